/* torpor tag: give an image a name; a file comes into the store by that. */
#include <string.h>

#include "base/cleanup.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/print_line.h"
#include "cli/registry_args.h"
#include "cli/target.h"
#include "host/parent.h"
#include "host/sandbox.h"
#include "meter/meter.h"

static const struct option_spec options[] = {OPTION_JSON_SPEC, OPTION_PROGRESS_SPEC, {0}};

static void expect_blobs(const struct chain *chain)
{
	const struct archive_entry *entry;

	for (unsigned i = 0; i < chain->n; i++) {
		for (size_t n = archive_entries(chain->archive[i], &entry); n > 0; n--)
			progress_expect(meter_progress(), entry[n - 1].blob.len);
	}
}

/* What it stands on first: whoever finds an image finds its parents. */
static int tag_import(const struct cas *cas, const char *file, char digest[DIGEST_TEXT_SIZE],
		      struct err *err)
{
	static const struct meter_params shown = {
		.verb = "tag", .cancelled = "the name stands for what it did before"};
	cleanup_chain struct chain *chain = NULL;
	int ret = meter_begin(&shown, err);

	if (ret < 0)
		return ret;
	ret = sandbox_enter(SANDBOX_CREATE, err);
	if (ret < 0)
		return ret;
	meter_run();
	ret = parent_open(&chain, file, NULL, err);
	if (ret >= 0)
		expect_blobs(chain);
	for (unsigned i = chain != NULL ? chain->n : 0; ret >= 0 && i-- > 0;)
		ret = cas_put_archive(cas, chain->archive[i], meter_progress(), digest, err);
	meter_end(ret);
	return ret;
}

static int tag_find(const struct cas *cas, const char *what, char digest[DIGEST_TEXT_SIZE],
		    struct err *err)
{
	struct reference from;
	struct target target;
	int ret = target_find_file(&target, what, err);

	if (ret < 0)
		return ret;
	if (target.kind != TARGET_IMAGE)
		return tag_import(cas, target.file, digest, err);
	ret = reference_parse(&from, what, err);
	return ret < 0 ? ret : cas_resolve_name(cas, &from, digest, err);
}

static int tag_parse(struct reference *ref, const char *text, struct err *err)
{
	int ret = reference_parse(ref, text, err);

	if (ret < 0 || ref->digest[0] == '\0')
		return ret;
	return err_set(err, ERR_USAGE,
		       "'%s' has a digest, which only the image itself has: a name is NAME[:TAG]",
		       text);
}

static int cmd_tag_run(struct options *opts, struct err *err)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	char digest[DIGEST_TEXT_SIZE], name[REFERENCE_TEXT];
	const char *what, *text;
	struct reference ref;
	bool json = false;
	int ret = options_flags(opts, OPTION_JSON, &json, err);

	if (ret < 0)
		return ret;
	what = options_operand(opts);
	if (what == NULL)
		return options_missing(opts, "FILE or NAME", err);
	ret = options_one_operand(opts, "REF", &text, err);
	if (ret < 0)
		return ret;
	ret = tag_parse(&ref, text, err);
	if (ret < 0)
		return ret;
	ret = registry_args_store(&cas, CAS_ADD, err);
	if (ret < 0)
		return ret;
	ret = tag_find(&cas, what, digest, err);
	if (ret < 0)
		return ret;
	ret = cas_set_ref(&cas, &ref, digest, err);
	if (ret < 0)
		return ret;
	reference_text(&ref, name);
	if (json)
		json_out(json_pack("{s:s,s:s}", "name", name, "digest", digest));
	else
		print_line(stdout, "%s: %s", name, digest);
	return 0;
}

const struct command cmd_tag = {
	.name = "tag",
	.args = "FILE|NAME REF",
	.summary = "give an image in the store one more name, or a file its first one there",
	.detail = "REF is [HOST[:PORT]/]NAME[:TAG]; what had that name is without it. A "
		  "FILE, or a saved "
		  "machine NAME, is copied into the store with the parents that it stands on, each "
		  "blob "
		  "checked against its digest; blobs that are there are shared. An image in the "
		  "store is "
		  "named as torpor images has it.",
	.options = options,
	.run = cmd_tag_run,
};
