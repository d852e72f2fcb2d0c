/* torpor push: an appliance to a registry. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
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
#define OPTION_INDEX	  (OPTION_LONG_ONLY + 3)

/* Of one call. */
#define MOST_PARTS 16u

static const struct option_spec options[] = {
	{OPTION_MOUNT_FROM, "mount-from", "NAME",
	 "ask the registry to share blobs of its repository NAME"},
	{OPTION_SIGNATURE, "signature", NULL,
	 "only attach the signature to REF, which is the same appliance"},
	{OPTION_INDEX, "index", NULL, "list each FILE or NAME in an index at REF, by its platform"},
	REGISTRY_OPTIONS,
	OPTION_JSON_SPEC,
	OPTION_PROGRESS_SPEC,
	{0},
};

struct push_args {
	struct registry_options registry;
	const char *mount_from; /* NULL: those of this registry that are in the store */
	bool json, signature, index;
	const char *what[MOST_PARTS + 1]; /* the last of them is `ref` */
	size_t nwhat;
	const char *ref;
};

/* Where else on the same registry a blob may be. */
struct elsewhere {
	const struct cas *cas;
	const struct reference *to;
	const char *given;
	struct cas_refs refs;
	struct cas_image *image; /* of each of the refs */
};

static int take_operands(struct options *opts, struct push_args *args, struct err *err)
{
	const char *text;

	while ((text = options_operand(opts)) != NULL) {
		if (args->nwhat > MOST_PARTS)
			return err_set(err, ERR_USAGE, "--index: more than %u images at once",
				       MOST_PARTS);
		args->what[args->nwhat++] = text;
		if (args->nwhat == 2 && !args->index)
			break;
	}
	if (args->nwhat == 0)
		return options_missing(opts, "FILE or NAME", err);
	if (args->nwhat == 1)
		return options_missing(opts, "REF", err);
	args->ref = args->what[--args->nwhat];
	return options_end(opts, err);
}

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
		else if (id == OPTION_INDEX)
			args->index = true;
		else if (id == OPTION_JSON)
			args->json = true;
	}
	if (id < 0)
		return id;
	if (args->index && args->signature)
		return err_set(err, ERR_USAGE, "--index and --signature exclude each other");
	return take_operands(opts, args, err);
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
	for (size_t i = 0; i < e->refs.count; i++) {
		char digest[DIGEST_TEXT_SIZE];

		if (cas_resolve(e->cas, &e->refs.item[i].name, digest, NULL) == 0)
			(void)cas_image_read(&e->image[i], e->cas, digest, NULL);
	}
}

static void elsewhere_free(struct elsewhere *e)
{
	for (size_t i = 0; i < e->refs.count && e->image != NULL; i++)
		cas_image_free(&e->image[i]);
	free(e->image);
	cas_refs_free(&e->refs);
}

/* What is pushed: a file on this host or, for an index, what the same repository has. */
struct pushed {
	struct registry_part part[MOST_PARTS];
	struct chain *chain[MOST_PARTS]; /* owned */
	struct reference there[MOST_PARTS];
	size_t n;
	/* Of an index in the store, which goes as it is. */
	uint8_t *index; /* owned; NULL: it is none */
	size_t index_len;
	struct oci_index listed; /* owned; as many as `n` */
	char platform[MOST_PARTS][2 * OCI_PLATFORM_SIZE];
	char lacking[sizeof(((struct err *)0)->text) +
		     128]; /* a line for the user: why one image of it went alone; "": it did not */
};

static void pushed_close(struct pushed *p)
{
	for (size_t i = 0; i < p->n; i++)
		chain_close(p->chain[i]);
	oci_index_free(&p->listed);
	free(p->index);
}

/* The reference `text` is of the repository that is pushed to, by a tag or digest of its own. */
static bool is_there(const struct reference *to, const char *text, struct reference *ref)
{
	return reference_is_remote(text) && reference_parse(ref, text, NULL) == 0 &&
	       strcmp(ref->host, to->host) == 0 && strcmp(ref->repository, to->repository) == 0;
}

static int open_pushed(struct pushed *p, const struct push_args *args, const struct reference *to,
		       struct err *err)
{
	for (; p->n < args->nwhat; p->n++) {
		const char *text = args->what[p->n];
		struct registry_part *part = &p->part[p->n];
		struct reference *ref = &p->there[p->n];
		struct target target;
		int ret = target_find_file(&target, text, err);

		part->name = text;
		if (ret < 0 && err->kind == ERR_NOT_FOUND && args->index &&
		    is_there(to, text, ref)) {
			err_clear(err);
			part->there = ref->digest[0] != '\0' ? ref->digest : ref->tag;
			continue;
		}
		if (ret == 0)
			ret = parent_open(&p->chain[p->n], target.file, NULL, err);
		if (ret < 0)
			return ret;
		part->chain = p->chain[p->n];
	}
	return 0;
}

/* The digest of the index in the store that this name stands for: 1; 0: it stands for something else. */
static int find_index(const struct cas *cas, const char *text, char digest[DIGEST_TEXT_SIZE])
{
	struct reference ref;
	struct target target;
	struct err ignored = {0};
	int ret = target_find_file(&target, text, &ignored);

	/* An index without an image for this host is no file. */
	if (ret == 0 && target.kind != TARGET_IMAGE)
		return 0;
	return reference_parse(&ref, text, NULL) == 0 &&
	       cas_resolve_name(cas, &ref, digest, NULL) == 0 && cas_is_index(cas, digest);
}

static int open_listed(struct pushed *p, const struct cas *cas, const char *digest, struct err *err)
{
	char path[PATH_MAX];
	int ret = cas_index_path(cas, digest, path, err);

	if (ret == 0)
		ret = cas_hold(path, err);
	if (ret == 0)
		ret = cas_index_read(&p->listed, cas, digest, err);
	if (ret == 0)
		ret = cas_read(cas, digest, JSON_MAX_BYTES, &p->index, &p->index_len, err);
	if (ret == 0 && p->listed.count > MOST_PARTS)
		ret = err_set(err, ERR_USAGE, "more than %u images", MOST_PARTS);
	for (; ret == 0 && p->n < p->listed.count; p->n++) {
		const struct oci_index_entry *entry = &p->listed.item[p->n];
		struct registry_part *part = &p->part[p->n];

		oci_platform_text(&entry->platform, p->platform[p->n]);
		part->name = p->platform[p->n];
		part->there = entry->image.digest;
		if (cas_image_path(cas, part->there, path, NULL) < 0 || cas_hold(path, NULL) < 0)
			continue;
		ret = parent_open(&p->chain[p->n], path, NULL, err);
		part->chain = p->chain[p->n];
	}
	return ret;
}

/* Of a name that stands for an index all that it lists is pushed. */
static int open_index(struct pushed *p, const struct push_args *args, struct err *err)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	char digest[DIGEST_TEXT_SIZE];
	int ret;

	if (args->index || args->signature)
		return 0;
	ret = registry_args_store(&cas, CAS_LOOK, err);
	if (ret < 0 || find_index(&cas, args->what[0], digest) == 0)
		return ret;
	ret = open_listed(p, &cas, digest, err);
	return ret < 0 ? err_context(err, ret, "%s", args->what[0]) : 0;
}

/* This host's image alone, where others of its index are nowhere, with a line that says so. */
static int push_own(struct registry *r, struct pushed *p, struct registry_push *push,
		    struct err *err)
{
	const struct oci_index_entry *own;
	struct err why = *err;
	size_t i;

	err_clear(err);
	if (oci_index_choose(&p->listed, &own, NULL) < 0)
		return err_copy(err, -ENOENT, &why);
	i = (size_t)(own - p->listed.item);
	if (p->chain[i] == NULL)
		return err_copy(err, -ENOENT, &why);
	snprintf(p->lacking, sizeof(p->lacking),
		 "%s: only the image for %s is pushed; torpor pull --all-platforms fetches all",
		 why.text, p->platform[i]);
	return registry_push(r, p->chain[i], push, err);
}

static int push_listed(struct registry *r, struct pushed *p, struct registry_push *push,
		       struct buf *index, struct err *err)
{
	int ret = registry_push_listed(r, p->index, p->index_len, p->part, p->n, push, err);

	if (ret == -ENOENT && err->kind == ERR_NOT_FOUND)
		return push_own(r, p, push, err);
	if (ret == 0)
		(void)buf_add(index, p->index, p->index_len);
	return ret;
}

static int push_to(const struct push_args *args, const struct reference *ref, struct pushed *pushed,
		   struct registry_push *push, struct buf *index, struct err *err)
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
		return referrers_sign(r, chain_newest(pushed->chain[0]), push->digest, err);
	elsewhere_look(&elsewhere);
	push->mount_from = find_elsewhere;
	push->opaque = &elsewhere;
	if (args->index)
		ret = registry_push_index(r, pushed->part, pushed->n, push, index, err);
	else if (pushed->index != NULL)
		ret = push_listed(r, pushed, push, index, err);
	else
		ret = registry_push(r, pushed->chain[0], push, err);
	elsewhere_free(&elsewhere);
	return ret;
}

/* The platforms of what an index lists: a list of texts, and all of them behind " for ". */
static json_t *list_platforms(const struct buf *text, char said[256])
{
	cleanup_oci_index struct oci_index index = {0};
	json_t *list = json_array();
	size_t used = 0;

	said[0] = '\0';
	if (oci_index_decode(&index, text->data, text->len, NULL) < 0)
		return list;
	for (size_t i = 0; i < index.count; i++) {
		char platform[2 * OCI_PLATFORM_SIZE];

		oci_platform_text(&index.item[i].platform, platform);
		json_array_append_new(list, json_string(platform));
		if (used < 256)
			used += (size_t)snprintf(said + used, 256 - used, "%s%s",
						 i == 0 ? " for " : ", ", platform);
	}
	return list;
}

static void push_print(const struct push_args *args, const struct reference *ref,
		       const struct registry_push *push, const struct buf *index)
{
	cleanup_json json_t *platforms = NULL;
	char name[REFERENCE_TEXT], said[256] = "";

	reference_text(ref, name);
	if (index->len > 0)
		platforms = list_platforms(index, said);
	if (args->json)
		json_out(json_pack("{s:s,s:s,s:I,s:I,s:O*}", "name", name, "digest", push->digest,
				   "sent-bytes", (json_int_t)push->sent, "there-bytes",
				   (json_int_t)push->there, "platforms", platforms));
	else
		print_line(stdout, "%s: %s%s, %.1f MiB sent, %.1f MiB there already", name,
			   push->digest, said, (double)push->sent / 1048576.0,
			   (double)push->there / 1048576.0);
}

static int cmd_push_run(struct options *opts, struct err *err)
{
	struct push_args args = {.registry.actions = REGISTRY_PUSH};
	__attribute__((cleanup(pushed_close))) struct pushed pushed = {.n = 0};
	cleanup_buf struct buf index = {0};
	struct registry_push push = {0};
	struct reference ref;
	static const struct meter_params shown = {
		.verb = "push",
		.cancelled = "what was sent stays there, and the next push goes on from it",
	};
	int ret = cmd_push_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = registry_args_reference(&ref, args.ref, err);
	if (ret < 0)
		return ret;
	ret = open_index(&pushed, &args, err);
	if (ret == 0 && pushed.index == NULL)
		ret = open_pushed(&pushed, &args, &ref, err);
	if (ret < 0)
		return ret;
	ret = meter_begin(&shown, err);
	if (ret < 0)
		return ret;
	meter_run();
	args.registry.progress = meter_progress();
	ret = push_to(&args, &ref, &pushed, &push, &index, err);
	meter_end(ret);
	if (ret < 0)
		return err_context(err, ret, "%s", args.ref);
	if (pushed.lacking[0] != '\0')
		print_line(stderr, "torpor: push: %s: %s", args.what[0], pushed.lacking);
	push_print(&args, &ref, &push, &index);
	return 0;
}

const struct command cmd_push = {
	.name = "push",
	.args = "FILE|NAME… REF",
	.summary = "put an appliance into a registry",
	.detail =
		"REF is docker://HOST[:PORT]/NAME[:TAG]. Any registry of OCI images will "
		"do. "
		"What is there is not sent again: of an increment or a new version only the new "
		"blobs. The parents "
		"of an increment go along, each with a tag parent-DIGEST.\n\n"
		"--index makes one name of the same appliance for amd64 and arm64 hosts: each FILE "
		"or "
		"NAME is pushed and listed in an index at REF, by its platform, and whoever asks "
		"for "
		"REF gets the one for its host. What REF has for other platforms stays, so each "
		"can be "
		"pushed where it was made; not by two at the same time, for one of both may be "
		"lost "
		"then. docker://… of the same repository is listed as it is there.\n\n"
		"Of a NAME that stands for an index in the store all images that it lists are "
		"pushed, and the index as it is, with its digest. Where one of them is neither in "
		"the store nor in the registry, this host's image goes alone, and a line says "
		"so.\n\n"
		"The signature of a signed file is attached to the image, too, as a referrer of "
		"OCI 1.1, or by the tag sha256-DIGEST where the registry has no such thing: torpor "
		"pull fetches it with the image, and --signature attaches one to what was pushed "
		"without. What pull has fetched of them goes along, too.\n\n"
		"An upload that was interrupted goes on where it stopped, and goes in pieces of 4 "
		"MiB "
		"where the "
		"registry or a proxy takes no larger ones. Credentials are those of torpor login, "
		"docker login or podman login.",
	.options = options,
	.run = cmd_push_run,
};
