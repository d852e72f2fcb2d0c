/* torpor extract: the contents of an appliance as plain files. Their names are ours, never the
 * file's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "base/tempfile.h"
#include "cli/command.h"
#include "cli/contents.h"
#include "cli/input.h"
#include "cli/key_args.h"
#include "format/image/frame_reader.h"
#include "format/image/layers.h"
#include "host/parse.h"
#include "meter/meter.h"
#include "vmm/mem.h"

#define MAX_OUTPUTS (8 + MEM_MAX_RANGES + APPLIANCE_MAX_DISKS)

static const struct option_spec options[] = {
	{'C', "directory", "DIR", "write there; default the current folder"},
	{'o', "output", "FILE", "write one ROLE to FILE, - for standard output"},
	KEY_OPTIONS,
	OPTION_PROGRESS_SPEC,
	{0},
};

struct extract_args {
	const char *folder; /* NULL: the current one */
	const char *output; /* NULL: by the names below */
	struct key_args keys;
	const char *file;
	const char *role[MAX_OUTPUTS];
	unsigned nroles; /* 0: all there is */
};

struct output {
	char role[16];
	char name[24];
};

/* Everything that can be written, whether this file has it or not. */
struct outputs {
	struct output item[MAX_OUTPUTS];
	unsigned count;
};

static void add_output(struct outputs *all, const char *role, const char *suffix)
{
	struct output *output = &all->item[all->count++];

	snprintf(output->role, sizeof(output->role), "%s", role);
	snprintf(output->name, sizeof(output->name), "%s%s", role, suffix);
}

static void add_numbered(struct outputs *all, const char *role, unsigned count)
{
	char numbered[16];

	for (unsigned i = 0; i < count; i++) {
		snprintf(numbered, sizeof(numbered), "%s.%u", role, i);
		add_output(all, numbered, ".raw");
	}
}

static void list_outputs(struct outputs *all)
{
	all->count = 0;
	add_output(all, "config", ".json");
	add_output(all, ROLE_SIGNATURE, ".minisig");
	add_output(all, ROLE_KERNEL, "");
	add_output(all, ROLE_INITRD, "");
	add_output(all, ROLE_STATE, "");
	add_numbered(all, ROLE_DISK, APPLIANCE_MAX_DISKS);
	add_numbered(all, ROLE_MEMORY, MEM_MAX_RANGES);
}

/* Where bytes go, from the first to the last. */
struct sink {
	struct tempfile *file; /* NULL: standard output */
	uint64_t at;
};

static int sink_put(struct sink *sink, const uint8_t *data, uint64_t len, struct err *err)
{
	uint64_t at = sink->at;
	int ret;

	sink->at += len;
	if (sink->file != NULL)
		return tempfile_write(sink->file, data, len, at, err);
	ret = io_write(STDOUT_FILENO, data, len);
	return ret < 0 ? err_sys(err, -ret, "write to standard output") : 0;
}

static int sink_put_blob(struct sink *sink, const struct blob *blob, struct err *err)
{
	uint8_t chunk[FRAME_SIZE];

	for (uint64_t at = 0; at < blob->len; at += sizeof(chunk)) {
		uint64_t len = u64_min(sizeof(chunk), blob->len - at);
		int ret = blob_read(blob, at, chunk, len, err);

		if (ret < 0)
			return ret;
		ret = sink_put(sink, chunk, len, err);
		if (ret < 0)
			return ret;
		progress_add(meter_progress(), len);
	}
	return 0;
}

/* Frames of data, or zeros. */
static int sink_put_frames(struct sink *sink, struct frame_reader *reader,
			   const struct layer_extent *extent, uint64_t size, struct err *err)
{
	uint8_t frame[FRAME_SIZE] = {0};

	for (uint64_t n = 0; n < extent->frames; n++) {
		int ret = 0;

		if (extent->image != NULL)
			ret = frame_read(reader, extent->image, extent->place + n, frame, err);
		if (ret < 0)
			return ret;
		ret = sink_put(sink, frame, u64_min(FRAME_SIZE, size - sink->at), err);
		if (ret < 0)
			return ret;
		progress_add(meter_progress(), FRAME_SIZE);
	}
	return 0;
}

/* Zeros are holes in a file. */
static int sink_put_extents(struct sink *sink, const struct layer_extents *extents, struct err *err)
{
	cleanup_frame_reader struct frame_reader *reader = NULL;
	int ret = frame_reader_new(&reader, err);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < extents->n; i++) {
		const struct layer_extent *extent = &extents->extent[i];

		if (extent->image == NULL && sink->file != NULL) {
			sink->at = u64_min(extents->size,
					   (extent->frame + extent->frames) * FRAME_SIZE);
			progress_skip(meter_progress(), extent->frames * FRAME_SIZE);
			continue;
		}
		ret = sink_put_frames(sink, reader, extent, extents->size, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* What a role stands for: bytes of a file, or images on top of one another. */
struct item {
	struct image_layers layers; /* n 0: a blob */
	struct blob blob;
};

static int sink_put_item(struct sink *sink, const struct item *item, struct err *err)
{
	cleanup_layer_extents struct layer_extents extents = {0};
	int ret;

	progress_expect(meter_progress(),
			item->layers.n > 0 ? item->layers.image[0]->map.size : item->blob.len);
	if (item->layers.n == 0)
		return sink_put_blob(sink, &item->blob, err);
	ret = image_layers_resolve(&item->layers, &extents, err);
	return ret < 0 ? ret : sink_put_extents(sink, &extents, err);
}

/* The number behind "disk." or "memory.", of the outputs we list. */
static bool numbered(const char *role, const char *prefix, unsigned *number)
{
	size_t len = strlen(prefix);

	if (strncmp(role, prefix, len) != 0 || role[len] != '.')
		return false;
	*number = (unsigned)(role[len + 1] - '0');
	return true;
}

/* An increment's images stand on its parents', who also have the kernel. */
static bool find_item(const struct chain *c, const struct contents *contents, const char *role,
		      struct item *item)
{
	const struct appliance *a = archive_appliance(chain_newest(c));
	const struct content *content = contents_find(contents, role);
	unsigned number;

	item->layers.n = 0;
	if (numbered(role, ROLE_MEMORY, &number))
		return a->live && chain_memory(c, number, &item->layers, NULL) == 0;
	if (numbered(role, ROLE_DISK, &number))
		return number < a->ndisks && a->disk[number].outside[0] == '\0' &&
		       chain_disk(c, number, &item->layers, NULL) == 0;
	if (content != NULL)
		item->blob = content->blob;
	else if (strcmp(role, ROLE_SIGNATURE) == 0)
		return false; /* a parent's is not ours */
	return content != NULL || chain_blob(c, role, &item->blob);
}

static int write_file(const char *path, const struct item *item, struct err *err)
{
	struct tempfile file;
	struct sink sink = {.file = &file};
	struct stat st;
	int ret = tempfile_open(&file, path, err);

	if (ret < 0)
		return ret;
	ret = sink_put_item(&sink, item, err);
	/* A file may end in a hole. */
	if (ret == 0 && ftruncate(file.fd, (off_t)sink.at) < 0)
		ret = tempfile_error(&file, errno, err);
	if (ret == 0)
		ret = tempfile_publish(&file, &st, err);
	tempfile_close(&file);
	return ret;
}

/* Nothing that is read is replaced by what comes out of it. */
static int spare_inputs(const struct extract_args *args, const char *output, struct err *err)
{
	int ret = output_spares(output, args->file, err);

	return ret < 0 ? ret : key_args_spared(&args->keys, output, err);
}

static int write_output(const struct extract_args *args, const struct output *output,
			const struct item *item, struct err *err)
{
	const char *folder = args->folder != NULL ? args->folder : ".";
	struct sink sink = {0};
	char path[PATH_MAX];
	int ret;

	if (args->output != NULL && output_is_stream(args->output))
		return sink_put_item(&sink, item, err);
	if (args->output != NULL)
		return write_file(args->output, item, err);
	if (snprintf(path, sizeof(path), "%s/%s", folder, output->name) >= (int)sizeof(path))
		return err_sys(err, ENAMETOOLONG, "write to %.100s…", folder);
	ret = spare_inputs(args, path, err);
	return ret < 0 ? ret : write_file(path, item, err);
}

static const struct output *find_output(const struct outputs *all, const char *role)
{
	for (unsigned i = 0; i < all->count; i++) {
		if (strcmp(all->item[i].role, role) == 0)
			return &all->item[i];
	}
	return NULL;
}

static int write_outputs(const struct extract_args *args, const struct chain *c,
			 const struct contents *contents, struct err *err)
{
	unsigned count = args->nroles;
	struct outputs all;

	list_outputs(&all);
	for (unsigned i = 0; i < (count > 0 ? count : all.count); i++) {
		const char *role = count > 0 ? args->role[i] : all.item[i].role;
		const struct output *output = find_output(&all, role);
		struct item item;
		int ret;

		if (output == NULL || !find_item(c, contents, role, &item)) {
			if (count == 0)
				continue;
			return err_set(err, ERR_NOT_FOUND, "%s has no %s to extract", args->file,
				       role);
		}
		ret = write_output(args, output, &item, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int extract(const struct extract_args *args, struct err *err)
{
	cleanup_keyring struct keyring *keys = NULL;
	cleanup_chain struct chain *c = NULL;
	struct contents contents;
	int ret = input_open_chain(&c, &keys, args->file, &args->keys, err);

	if (ret < 0)
		return ret;
	ret = chain_ensure_verified(c, err);
	if (ret < 0)
		return ret;
	ret = contents_list(&contents, chain_newest(c), err);
	if (ret < 0)
		return ret;
	ret = write_outputs(args, c, &contents, err);
	contents_free(&contents);
	return ret;
}

static int check_args(const struct extract_args *args, struct err *err)
{
	if (args->output == NULL)
		return 0;
	if (args->nroles != 1)
		return err_set(err, ERR_USAGE, "--output takes exactly one ROLE");
	if (args->folder != NULL)
		return err_set(err, ERR_USAGE, "--output and --directory exclude each other");
	if (parse_output(args->output, err) < 0)
		return -EINVAL;
	return spare_inputs(args, args->output, err);
}

static int cmd_extract_parse(struct options *opts, struct extract_args *args, struct err *err)
{
	const char *role;
	int id;

	while ((id = options_next(opts, err)) > 0) {
		if (id == 'C')
			args->folder = opts->value;
		else if (id == 'o')
			args->output = opts->value;
		else if (!key_args_take(&args->keys, id, opts->value))
			assert(false);
	}
	if (id < 0)
		return id;
	args->file = options_operand(opts);
	if (args->file == NULL)
		return options_missing(opts, "FILE or NAME", err);
	while ((role = options_operand(opts)) != NULL) {
		if (args->nroles == MAX_OUTPUTS)
			return err_set(err, ERR_USAGE, "more than %d roles", MAX_OUTPUTS);
		args->role[args->nroles++] = role;
	}
	return check_args(args, err);
}

static int cmd_extract_run(struct options *opts, struct err *err)
{
	static const struct meter_params shown = {
		.verb = "extract", .cancelled = "the file that was being written is as it was"};
	struct extract_args args = {0};
	int ret = cmd_extract_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	/* Its line would stand in what is written there. */
	if (args.output != NULL && output_is_stream(args.output) && isatty(STDOUT_FILENO))
		return extract(&args, err);
	ret = meter_begin(&shown, err);
	if (ret < 0)
		return ret;
	ret = extract(&args, err);
	meter_end(ret);
	return ret;
}

const struct command cmd_extract = {
	.name = "extract",
	.args = "FILE|NAME [ROLE]…",
	.summary = "write contents of an appliance as plain files",
	.detail = "ROLE is config, signature, kernel, initrd, state, disk.N or memory.N (see "
		  "torpor ls); "
		  "by default all\n"
		  "there are. A disk comes as the guest last saw it; of an increment, everything "
		  "as it is with its\n"
		  "parents. Files are called config.json, "
		  "signature.minisig,\n"
		  "kernel, initrd, state, disk.N.raw and memory.N.raw, and replace what is there.",
	.options = options,
	.run = cmd_extract_run,
};
