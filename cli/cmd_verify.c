/* torpor verify: check every digest in a file. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/sandbox.h"
#include "format/archive.h"

struct findings {
	const char *path;
	json_t *list; /* NULL: print them */
};

static void report(void *opaque, const char *finding)
{
	struct findings *findings = opaque;

	if (findings->list != NULL)
		json_array_append_new(findings->list, json_string(finding));
	else
		printf("%s: %s\n", findings->path, finding);
}

static uint64_t frames_of(const struct archive *a, const char *role)
{
	const struct image *image = archive_image(a, role);

	return image != NULL ? image->map.data_frames : 0;
}

static uint64_t count_frames(const struct archive *a)
{
	const struct appliance *appliance = archive_appliance(a);
	uint64_t frames = 0;
	char role[32];

	for (unsigned i = 0; appliance->live && i < 2; i++) {
		snprintf(role, sizeof(role), ROLE_MEMORY ".%u", i);
		frames += frames_of(a, role);
	}
	for (unsigned i = 0; i < appliance->ndisks; i++) {
		snprintf(role, sizeof(role), ROLE_DISK ".%u", i);
		frames += frames_of(a, role);
		snprintf(role, sizeof(role), ROLE_DISK ".%u.overlay", i);
		frames += frames_of(a, role);
	}
	return frames;
}

static void print_result(const struct archive *a, const struct findings *findings, int ret)
{
	const struct archive_entry *entries;
	size_t blobs = archive_entries(a, &entries);
	uint64_t frames = count_frames(a);

	if (findings->list != NULL)
		json_out(json_pack("{s:s,s:b,s:s,s:I,s:I,s:O}", "file", findings->path, "ok",
				   ret == 0, "digest", archive_digest(a), "blobs",
				   (json_int_t)blobs, "frames", (json_int_t)frames, "findings",
				   findings->list));
	else if (ret == 0)
		printf("%s: ok, %zu blobs, %llu frames\n", findings->path, blobs,
		       (unsigned long long)frames);
}

static int verify(struct findings *findings, struct err *err)
{
	struct archive *a;
	int ret = sandbox_enter(SANDBOX_CREATE, err);

	if (ret == 0)
		ret = archive_open(&a, findings->path, err);
	if (ret < 0)
		return ret;
	ret = archive_verify(a, report, findings, err);
	print_result(a, findings, ret);
	archive_close(a);
	return ret;
}

static int run(struct options *opts, struct err *err)
{
	struct findings findings = {0};
	bool json = false;
	int ret = options_flags(opts, OPTION_JSON, &json, err);

	if (ret == 0)
		ret = options_one_operand(opts, "FILE", &findings.path, err);
	if (ret < 0)
		return ret;
	if (json)
		findings.list = json_array();
	ret = verify(&findings, err);
	json_decref(findings.list);
	return ret;
}

const struct command cmd_verify = {
	.name = "verify",
	.args = "FILE",
	.summary = "check every digest in an appliance",
	.options = options_json,
	.run = run,
};
