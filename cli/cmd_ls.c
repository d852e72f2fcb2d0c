/* torpor ls: what is in a file, image by image. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/contents.h"
#include "cli/input.h"
#include "cli/json_out.h"

struct frames {
	uint64_t of[EXTENT_PARENT + 1]; /* by kind */
};

static struct frames frames_by_kind(const struct image *image)
{
	struct frames frames = {0};

	for (uint32_t i = 0; i < image->map.nextents; i++)
		frames.of[image->map.extents[i].kind] += image->map.extents[i].frames;
	return frames;
}

static json_t *content_json(const struct content *c)
{
	json_t *json = json_pack("{s:s,s:s,s:s,s:I,s:I}", "role", c->role, "encoding", c->encoding,
				 "digest", c->digest, "bytes", (json_int_t)c->size, "stored",
				 (json_int_t)c->stored);
	struct frames frames;

	if (c->image == NULL)
		return json;
	frames = frames_by_kind(c->image);
	json_object_set_new(json, "frames",
			    json_pack("{s:I,s:I,s:I}", "data", (json_int_t)frames.of[EXTENT_DATA],
				      "zero", (json_int_t)frames.of[EXTENT_ZERO], "parent",
				      (json_int_t)frames.of[EXTENT_PARENT]));
	return json;
}

static void print_contents_json(const struct archive *a, const struct contents *contents)
{
	json_t *list = json_array();

	for (size_t i = 0; i < contents->count; i++)
		json_array_append_new(list, content_json(&contents->item[i]));
	json_out(json_pack("{s:s,s:s,s:o}", "file", archive_path(a), "digest", archive_digest(a),
			   "contents", list));
}

static void print_line(const struct content *c)
{
	printf("%-16s %-9s %14llu %14llu", c->role, c->encoding, (unsigned long long)c->size,
	       (unsigned long long)c->stored);
	if (c->image != NULL) {
		struct frames frames = frames_by_kind(c->image);

		for (int kind = EXTENT_DATA; kind <= EXTENT_PARENT; kind++)
			printf(" %8llu", (unsigned long long)frames.of[kind]);
	} else {
		printf(" %8s %8s %8s", "-", "-", "-");
	}
	printf("  %s\n", c->digest);
}

static void print_contents(const struct contents *contents)
{
	printf("%-16s %-9s %14s %14s %8s %8s %8s  %s\n", "ROLE", "ENCODING", "BYTES", "STORED",
	       "DATA", "ZERO", "PARENT", "DIGEST");
	for (size_t i = 0; i < contents->count; i++)
		print_line(&contents->item[i]);
}

static int list_file(const char *path, bool json, struct err *err)
{
	cleanup_archive struct archive *a = NULL;
	struct contents contents;
	int ret = input_open_archive(&a, path, NULL, SANDBOX_READ, err);

	if (ret < 0)
		return ret;
	ret = contents_list(&contents, a, err);
	if (ret < 0)
		return ret;
	if (json)
		print_contents_json(a, &contents);
	else
		print_contents(&contents);
	contents_free(&contents);
	return 0;
}

static int cmd_ls_run(struct options *opts, struct err *err)
{
	const char *path;
	bool json = false;
	int ret = options_flags(opts, OPTION_JSON, &json, err);

	if (ret < 0)
		return ret;
	ret = options_one_operand(opts, "FILE or NAME", &path, err);
	return ret < 0 ? ret : list_file(path, json, err);
}

const struct command cmd_ls = {
	.name = "ls",
	.args = "FILE|NAME",
	.summary = "list what is in an appliance: roles, encodings, sizes, frames",
	.detail = "DATA, ZERO and PARENT count frames of 64 KiB: in the file, all zero, and as in "
		  "what is underneath\n"
		  "(the base of a disk, the parent of an increment).",
	.options = options_json,
	.run = cmd_ls_run,
};
