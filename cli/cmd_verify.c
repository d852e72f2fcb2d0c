/* torpor verify: check every digest in a file, and who signed it. */
#include <stdio.h>

#include "base/assert.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/json_out.h"
#include "cli/key_args.h"
#include "cli/print_line.h"
#include "cli/target.h"
#include "cli/trust.h"
#include "format/archive.h"

static const struct option_spec options[] = {
	{'k', "key", "KEY", "insist that this public key signed it; `trust`: any that is trusted"},
	KEY_OPTIONS,
	OPTION_JSON_SPEC,
	OPTION_PROGRESS_SPEC,
	{0},
};

struct findings {
	const char *path;
	const char *key; /* NULL: signed or not is all the same */
	struct key_args keys;
	struct trust trust;
	json_t *list; /* NULL: print them */
};

static void report_finding(void *opaque, const char *finding)
{
	struct findings *findings = opaque;

	if (findings->list != NULL)
		json_array_append_new(findings->list, json_string(finding));
	else
		print_line(stdout, "%s: %s", findings->path, finding);
}

static uint64_t data_frames_of(const struct archive *a, const char *role)
{
	const struct image *image = archive_image(a, role);

	return image != NULL ? image->map.data_frames : 0;
}

static uint64_t count_data_frames(const struct archive *a)
{
	const struct appliance *appliance = archive_appliance(a);
	uint64_t frames = 0;
	char role[32];

	for (unsigned i = 0; appliance->live && i < 2; i++) {
		snprintf(role, sizeof(role), ROLE_MEMORY ".%u", i);
		frames += data_frames_of(a, role);
	}
	for (unsigned i = 0; i < appliance->ndisks; i++) {
		snprintf(role, sizeof(role), ROLE_DISK ".%u", i);
		frames += data_frames_of(a, role);
		snprintf(role, sizeof(role), ROLE_DISK ".%u.overlay", i);
		frames += data_frames_of(a, role);
	}
	return frames;
}

static json_t *signer_json(const struct findings *findings)
{
	const struct signed_by *by = &findings->trust.by;

	if (findings->key == NULL)
		return json_null();
	return json_pack("{s:s,s:s,s:s}", "key", by->id, "name", by->name, "comment", by->comment);
}

static void print_signer(const struct findings *findings)
{
	const struct signed_by *by = &findings->trust.by;
	bool named = by->name[0] != '\0';

	print_line(stdout, "%s: signed by key %s%s%s%s: %s", findings->path, by->id,
		   named ? " (" : "", by->name, named ? ")" : "", by->comment);
}

static void print_result(const struct archive *a, const struct findings *findings, int ret)
{
	const struct archive_entry *entries;
	size_t blobs = archive_entries(a, &entries);
	uint64_t frames = count_data_frames(a);

	if (findings->list != NULL) {
		json_out(json_pack("{s:s,s:b,s:s,s:I,s:I,s:o,s:O}", "file", findings->path, "ok",
				   ret == 0, "digest", archive_digest(a), "blobs",
				   (json_int_t)blobs, "frames", (json_int_t)frames, "signer",
				   signer_json(findings), "findings", findings->list));
		return;
	}
	if (ret == 0)
		print_line(stdout, "%s: ok, %zu blobs, %llu frames", findings->path, blobs,
			   (unsigned long long)frames);
	if (findings->key != NULL)
		print_signer(findings);
}

static int verify_file(struct findings *findings, struct err *err)
{
	static const struct meter_params shown = {
		.verb = "verify", .cancelled = "what was not looked at is not known"};
	struct archive_open_params params = {.fd = -1, .opaque = &findings->trust};
	cleanup_keyring struct keyring *keys = NULL;
	cleanup_archive struct archive *a = NULL;
	struct target target;
	int ret;

	if (findings->key != NULL) {
		params.verify_signature = trust_verify_signature;
		ret = trust_load(&findings->trust, findings->key, err);
		if (ret == 0)
			ret = target_find_file(&target, findings->path, err);
		if (ret < 0)
			return ret;
		findings->trust.image = target.file;
	}
	/* Without a key it looks at what is stored, and does not ask. */
	if (key_args_given(&findings->keys)) {
		ret = keys_to_open(&findings->keys, &keys, err);
		if (ret < 0)
			return ret;
	}
	params.keys = keys;
	ret = meter_begin(&shown, err);
	if (ret < 0)
		return ret;
	ret = input_open_archive(&a, findings->path, &params, SANDBOX_CREATE, err);
	if (ret == 0)
		ret = keys_check_used(&findings->keys, &a, 1, err);
	if (ret < 0) {
		meter_end(ret);
		return ret;
	}
	findings->path = archive_path(a);
	ret = archive_verify(a, report_finding, findings, err);
	meter_end(ret);
	print_result(a, findings, ret);
	return ret;
}

static int cmd_verify_parse(struct options *opts, struct findings *findings, struct err *err)
{
	int id;

	while ((id = options_next(opts, err)) > 0) {
		if (id == 'k')
			findings->key = opts->value;
		else if (id == OPTION_JSON)
			findings->list = json_array();
		else if (!key_args_take(&findings->keys, id, opts->value))
			assert(false);
	}
	return id < 0 ? id : options_one_operand(opts, "FILE or NAME", &findings->path, err);
}

static int cmd_verify_run(struct options *opts, struct err *err)
{
	struct findings findings = {0};
	int ret = cmd_verify_parse(opts, &findings, err);

	if (ret == 0)
		ret = verify_file(&findings, err);
	json_decref(findings.list);
	trust_free(&findings.trust);
	return ret;
}

const struct command cmd_verify = {
	.name = "verify",
	.args = "FILE|NAME",
	.summary = "check every digest in an appliance, and who signed it",
	.options = options,
	.run = cmd_verify_run,
};
