/* torpor pull: an image from a registry into the store. */
#include "base/json.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/print_line.h"
#include "cli/registry_args.h"
#include "cli/trust.h"

#define OPTION_ALL     (OPTION_LONG_ONLY + 1)
#define OPTION_REQUIRE (OPTION_LONG_ONLY + 2)

static const struct option_spec options[] = {
	{OPTION_ALL, "all-platforms", NULL, "of an index all images, and not only this host's"},
	{OPTION_REQUIRE, "require-signature", "KEY",
	 "refuse an image that this public key has not signed; `trust`: any trusted key"},
	REGISTRY_OPTIONS,
	OPTION_JSON_SPEC,
	OPTION_PROGRESS_SPEC,
	{0},
};

struct pull_args {
	struct registry_options registry;
	bool json, all;
	const char *signer; /* NULL: nobody has to have signed it */
	const char *ref;
};

static int cmd_pull_parse(struct options *opts, struct pull_args *args, struct err *err)
{
	int id, ret;

	while ((id = options_next(opts, err)) > 0) {
		ret = registry_args_take(&args->registry, id, opts->value, err);
		if (ret < 0)
			return ret;
		if (id == OPTION_JSON)
			args->json = true;
		else if (id == OPTION_ALL)
			args->all = true;
		else if (id == OPTION_REQUIRE)
			args->signer = opts->value;
	}
	return id < 0 ? id : options_one_operand(opts, "REF", &args->ref, err);
}

static void pull_print(const struct pull_args *args, const struct reference *ref,
		       const struct registry_pulled *pulled)
{
	cleanup_json json_t *missing = json_array();
	char name[REFERENCE_TEXT];

	reference_text(ref, name);
	if (pulled->missing[0] != '\0')
		json_array_append_new(missing, json_string(pulled->missing));
	if (args->json)
		json_out(json_pack("{s:s,s:s,s:s*,s:b,s:O}", "name", name, "digest", pulled->named,
				   "image", pulled->digest[0] != '\0' ? pulled->digest : NULL,
				   "is-appliance", (int)pulled->appliance, "missing", missing));
	else
		print_line(stdout, "%s: %s", name, pulled->named);
	if (pulled->missing[0] != '\0')
		print_line(stderr,
			   "torpor: pull: it stands on %s, which neither this host nor the "
			   "registry (as parent-%s) has: pull or make that image, too, or push "
			   "this one "
			   "anew where both are, whole after torpor flatten",
			   pulled->missing, pulled->missing + sizeof("sha256:") - 1);
}

static int cmd_pull_run(struct options *opts, struct err *err)
{
	struct pull_args args = {0};
	cleanup_trust struct trust trust = {.signers = {0}};
	struct registry_pull what = {.wanted = REGISTRY_ANY};
	struct registry_pulled pulled;
	struct reference ref;
	char path[PATH_MAX];
	int ret = cmd_pull_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = registry_args_reference(&ref, args.ref, err);
	if (ret < 0)
		return ret;
	what.all = args.all;
	ret = trust_pull(&trust, args.signer, &what, err);
	if (ret < 0)
		return ret;
	ret = registry_args_pull(&ref, &args.registry, &what, "pull", &pulled, path, err);
	if (ret < 0)
		return ret;
	pull_print(&args, &ref, &pulled);
	return 0;
}

const struct command cmd_pull = {
	.name = "pull",
	.args = "REF",
	.summary = "fetch an appliance from a registry into the store",
	.detail =
		"REF is docker://HOST[:PORT]/NAME[:TAG][@DIGEST], as docker and podman write it. "
		"Other verbs find the "
		"appliance by the same name: torpor resume REF. The parents of an increment are "
		"fetched with it.\n\n"
		"What is in the store is not fetched again, whatever image it came with; a pull "
		"that "
		"was interrupted "
		"goes on where it stopped. Each blob is checked against its digest while it comes. "
		"Images of "
		"containers can be pulled, too.\n\n"
		"Where REF is an index of images for several platforms (torpor push --index), the "
		"one "
		"for this host is fetched, and --all-platforms fetches all of them, for torpor "
		"serve, "
		"say.\n\n"
		"With --require-signature, what KEY has not signed is refused before it has a "
		"name, "
		"and before more than its config and signatures is fetched: the signature is in "
		"the "
		"image, or beside it.\n\n"
		"Credentials are those of torpor login, docker login or podman login.",
	.options = options,
	.run = cmd_pull_run,
};
