/* torpor push: an appliance to a registry. */
#include <string.h>

#include "base/cleanup.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/print_line.h"
#include "cli/registry_args.h"
#include "cli/target.h"
#include "host/parent.h"
#include "registry/referrers.h"
#include "registry/transfer.h"

#define OPTION_MOUNT_FROM (OPTION_LONG_ONLY + 1)
#define OPTION_SIGNATURE  (OPTION_LONG_ONLY + 2)

static const struct option_spec options[] = {
	{OPTION_MOUNT_FROM, "mount-from", "NAME",
	 "ask the registry to share blobs of its repository NAME"},
	{OPTION_SIGNATURE, "signature", NULL,
	 "only attach the signature to REF, which is the same appliance"},
	REGISTRY_OPTIONS,
	OPTION_JSON_SPEC,
	{0},
};

struct push_args {
	struct registry_options registry;
	const char *mount_from; /* NULL: those of this registry that are in the store */
	bool json, signature;
	const char *what, *ref;
};

/* Where else on the same registry a blob may be. */
struct elsewhere {
	const struct cas *cas;
	const struct reference *to;
	const char *given;
	struct cas_refs refs;
	struct cas_image *image; /* of each of the refs */
};

static int cmd_push_parse(struct options *opts, struct push_args *args, struct err *err)
{
	int id, ret;

	while ((id = options_next(opts, err)) > 0) {
		ret = registry_args_take(&args->registry, id, opts->value, err);
		if (ret < 0)
			return ret;
		if (id == OPTION_MOUNT_FROM)
			args->mount_from = opts->value;
		else if (id == OPTION_SIGNATURE)
			args->signature = true;
		else if (id == OPTION_JSON)
			args->json = true;
	}
	if (id < 0)
		return id;
	args->what = options_operand(opts);
	if (args->what == NULL)
		return options_missing(opts, "FILE or NAME", err);
	return options_one_operand(opts, "REF", &args->ref, err);
}

static bool image_has(const struct cas_image *image, const char *digest)
{
	if (strcmp(image->config.digest, digest) == 0)
		return true;
	for (size_t i = 0; i < image->layers.count; i++) {
		if (strcmp(image->layers.item[i].digest, digest) == 0)
			return true;
	}
	return false;
}

static const char *find_elsewhere(void *opaque, const char *digest)
{
	const struct elsewhere *e = opaque;

	if (e->given != NULL)
		return e->given;
	for (size_t i = 0; i < e->refs.count; i++) {
		const struct reference *name = &e->refs.item[i].name;

		if (strcmp(name->host, e->to->host) == 0 &&
		    strcmp(name->repository, e->to->repository) != 0 &&
		    image_has(&e->image[i], digest))
			return name->repository;
	}
	return NULL;
}

/* A store that cannot be read only costs bytes. */
static void elsewhere_look(struct elsewhere *e)
{
	if (e->cas->folder < 0 || cas_list(&e->refs, e->cas, NULL) < 0)
		return;
	e->image = calloc(e->refs.count + 1, sizeof(*e->image));
	if (e->image == NULL)
		cas_refs_free(&e->refs);
	for (size_t i = 0; i < e->refs.count; i++)
		(void)cas_image_read(&e->image[i], e->cas, e->refs.item[i].digest, NULL);
}

static void elsewhere_free(struct elsewhere *e)
{
	for (size_t i = 0; i < e->refs.count && e->image != NULL; i++)
		cas_image_free(&e->image[i]);
	free(e->image);
	cas_refs_free(&e->refs);
}

static int push_chain(const struct push_args *args, const struct reference *ref,
		      const struct chain *chain, struct registry_push *push, struct err *err)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	struct elsewhere elsewhere = {.cas = &cas, .to = ref, .given = args->mount_from};
	cleanup_registry struct registry *r = NULL;
	int ret = registry_args_store(&cas, CAS_LOOK, err);

	if (ret < 0)
		return ret;
	ret = registry_open(&r, ref, &args->registry, err);
	if (ret < 0)
		return ret;
	if (args->signature)
		return referrers_sign(r, chain_newest(chain), push->digest, err);
	elsewhere_look(&elsewhere);
	push->mount_from = find_elsewhere;
	push->opaque = &elsewhere;
	ret = registry_push(r, chain, push, err);
	elsewhere_free(&elsewhere);
	return ret;
}

static void push_print(const struct push_args *args, const struct reference *ref,
		       const struct registry_push *push)
{
	char name[REFERENCE_TEXT];

	reference_text(ref, name);
	if (args->json)
		json_out(json_pack("{s:s,s:s,s:I,s:I}", "name", name, "digest", push->digest,
				   "sent", (json_int_t)push->sent, "there",
				   (json_int_t)push->there));
	else
		print_line(stdout, "%s: %s, %.1f MiB sent, %.1f MiB there already", name,
			   push->digest, (double)push->sent / 1048576.0,
			   (double)push->there / 1048576.0);
}

static int cmd_push_run(struct options *opts, struct err *err)
{
	struct push_args args = {.registry.actions = REGISTRY_PUSH};
	cleanup_chain struct chain *chain = NULL;
	struct registry_push push = {0};
	struct target target;
	struct reference ref;
	struct meter meter;
	int ret = cmd_push_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = registry_args_reference(&ref, args.ref, err);
	if (ret < 0)
		return ret;
	ret = target_find_file(&target, args.what, err);
	if (ret < 0)
		return ret;
	ret = parent_open(&chain, target.file, NULL, err);
	if (ret < 0)
		return ret;
	ret = meter_begin(&meter, "push", err);
	if (ret < 0)
		return ret;
	args.registry.progress = &meter.progress;
	ret = push_chain(&args, &ref, chain, &push, err);
	meter_end(&meter);
	if (ret < 0)
		return err_context(err, ret, "%s", args.ref);
	push_print(&args, &ref, &push);
	return 0;
}

const struct command cmd_push = {
	.name = "push",
	.args = "FILE|NAME REF",
	.summary = "put an appliance into a registry",
	.detail =
		"REF is docker://HOST[:PORT]/NAME[:TAG]. Any registry of OCI images will "
		"do. "
		"What is there is not sent again: of an increment or a new version only the new "
		"blobs. The parents "
		"of an increment go along, each with a tag parent-DIGEST.\n\n"
		"The signature of a signed file is attached to the image, too, as a referrer of "
		"OCI 1.1, or by the tag sha256-DIGEST where the registry has no such thing: torpor "
		"pull fetches it with the image, and --signature attaches one to what was pushed "
		"without.\n\n"
		"An upload that was interrupted goes on where it stopped, and goes in pieces of 4 "
		"MiB "
		"where the "
		"registry or a proxy takes no larger ones. Credentials are those of torpor login, "
		"docker login or podman login.",
	.options = options,
	.run = cmd_push_run,
};
