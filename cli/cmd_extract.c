/* torpor extract: the contents of an appliance as plain files. Their names are ours, never the
 * file's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "base/tempfile.h"
#include "cli/command.h"
#include "cli/contents.h"
#include "cli/key_args.h"
#include "cli/spool.h"
#include "format/image/frame_reader.h"
#include "format/image/layers.h"
#include "host/parent.h"
#include "host/sandbox.h"
#include "vmm/mem.h"

enum {
	OPT_SPARSE = OPTION_LONG_ONLY + 1,
	MAX_OUTPUTS = 8 + MEM_MAX_RANGES + APPLIANCE_MAX_DISKS,
};

static const struct option_spec options[] = {
	{'C', "directory", "DIR", "write there; default the current folder"},
	{'o', "output", "FILE", "write one ROLE to FILE, - for standard output"},
	{OPT_SPARSE, "sparse", NULL, "leave holes in files where there are zeros"},
	KEY_OPTIONS,
	{0},
};

struct extract_args {
	const char *folder;
	const char *output; /* NULL: by the names below */
	bool sparse;
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
	bool sparse;
};

static int put(struct sink *sink, const uint8_t *data, uint64_t len, struct err *err)
{
	uint64_t at = sink->at;

	sink->at += len;
	if (sink->file != NULL)
		return tempfile_write(sink->file, data, len, at, err);
	while (len > 0) {
		ssize_t done = write(STDOUT_FILENO, data, len);

		if (done < 0 && errno != EINTR)
			return err_sys(err, errno, "write to standard output");
		if (done > 0) {
			data += done;
			len -= (uint64_t)done;
		}
	}
	return 0;
}

static int put_blob(struct sink *sink, const struct blob *blob, struct err *err)
{
	uint8_t chunk[FRAME_SIZE];
	int ret = 0;

	for (uint64_t at = 0; ret == 0 && at < blob->len; at += sizeof(chunk)) {
		uint64_t len = u64_min(sizeof(chunk), blob->len - at);

		ret = blob_read(blob, at, chunk, len, err);
		if (ret == 0)
			ret = put(sink, chunk, len, err);
	}
	return ret;
}

static int put_runs(struct sink *sink, const struct layer_extents *extents, struct err *err)
{
	cleanup_frame_reader struct frame_reader *reader = NULL;
	uint8_t frame[FRAME_SIZE];
	int ret = frame_reader_new(&reader, err);

	for (size_t i = 0; ret == 0 && i < extents->n; i++) {
		const struct layer_extent *extent = &extents->extent[i];

		memset(frame, 0, sizeof(frame));
		for (uint64_t n = 0; ret == 0 && n < extent->frames; n++) {
			uint64_t len = u64_min(FRAME_SIZE, extents->size - sink->at);

			if (extent->image == NULL && sink->sparse) {
				sink->at += len;
				continue;
			}
			if (extent->image != NULL)
				ret = frame_read(reader, extent->image, extent->place + n, frame,
						 err);
			if (ret == 0)
				ret = put(sink, frame, len, err);
		}
	}
	return ret;
}

/* What a role stands for: bytes of a file, or images on top of one another. */
struct item {
	struct image_layers layers; /* n 0: a blob */
	struct blob blob;
};

static int put_item(struct sink *sink, const struct item *item, struct err *err)
{
	struct layer_extents extents;
	int ret;

	if (item->layers.n == 0)
		return put_blob(sink, &item->blob, err);
	ret = image_layers_resolve(&item->layers, &extents, err);
	if (ret < 0)
		return ret;
	ret = put_runs(sink, &extents, err);
	layer_extents_free(&extents);
	return ret;
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
static bool find_item(const struct chain *l, const struct contents *contents, const char *role,
		      struct item *item)
{
	const struct appliance *a = archive_appliance(chain_newest(l));
	const struct content *content = contents_find(contents, role);
	unsigned number;

	item->layers.n = 0;
	if (numbered(role, ROLE_MEMORY, &number))
		return a->live && chain_memory(l, number, &item->layers, NULL) == 0;
	if (numbered(role, ROLE_DISK, &number))
		return number < a->ndisks && chain_disk(l, number, &item->layers, NULL) == 0;
	if (content != NULL)
		item->blob = content->blob;
	else if (strcmp(role, ROLE_SIGNATURE) == 0)
		return false; /* a parent's is not ours */
	return content != NULL || chain_blob(l, role, &item->blob);
}

static int write_file(const char *path, bool sparse, const struct item *item, struct err *err)
{
	struct tempfile file;
	struct sink sink = {.file = &file, .sparse = sparse};
	struct stat st;
	int ret = tempfile_open(&file, path, err);

	if (ret < 0)
		return ret;
	ret = put_item(&sink, item, err);
	/* A file may end in a hole. */
	if (ret == 0 && ftruncate(file.fd, (off_t)sink.at) < 0)
		ret = tempfile_error(&file, errno, err);
	if (ret == 0)
		ret = tempfile_publish(&file, &st, err);
	tempfile_close(&file);
	return ret;
}

static int write_output(const struct extract_args *args, const struct output *output,
			const struct item *item, struct err *err)
{
	struct sink sink = {0};
	char path[PATH_MAX];

	if (args->output != NULL && strcmp(args->output, "-") == 0)
		return put_item(&sink, item, err);
	if (args->output != NULL)
		return write_file(args->output, args->sparse, item, err);
	if (snprintf(path, sizeof(path), "%s/%s", args->folder, output->name) >= (int)sizeof(path))
		return err_sys(err, ENAMETOOLONG, "write to %.100s…", args->folder);
	return write_file(path, args->sparse, item, err);
}

static const struct output *find_output(const struct outputs *all, const char *role)
{
	for (unsigned i = 0; i < all->count; i++) {
		if (strcmp(all->item[i].role, role) == 0)
			return &all->item[i];
	}
	return NULL;
}

static int write_outputs(const struct extract_args *args, const struct chain *l,
			 const struct contents *contents, struct err *err)
{
	unsigned count = args->nroles;
	struct outputs all;
	int ret = 0;

	list_outputs(&all);
	for (unsigned i = 0; ret == 0 && i < (count > 0 ? count : all.count); i++) {
		const char *role = count > 0 ? args->role[i] : all.item[i].role;
		const struct output *output = find_output(&all, role);
		struct item item;

		if (output != NULL && find_item(l, contents, role, &item))
			ret = write_output(args, output, &item, err);
		else if (count > 0)
			ret = err_set(err, ERR_NOT_FOUND, "%s has no %s to extract", args->file,
				      role);
	}
	return ret;
}

static int extract(const struct extract_args *args, struct err *err)
{
	cleanup_keyring struct keyring *keys = NULL;
	struct archive_open_params params = {.fd = -1};
	struct contents contents = {0};
	const char *file = args->file;
	struct chain *l = NULL;
	int ret = keys_to_open(&args->keys, &keys, err);

	params.keys = keys;
	if (ret == 0)
		ret = spool_input(&file, &params.fd, err);
	if (ret == 0)
		ret = sandbox_enter(SANDBOX_CREATE, err);
	if (ret == 0)
		ret = parent_open(&l, file, &params, err);
	if (ret == 0)
		ret = chain_ensure_verified(l, err);
	if (ret == 0)
		ret = contents_list(&contents, chain_newest(l), err);
	if (ret == 0)
		ret = write_outputs(args, l, &contents, err);
	contents_free(&contents);
	chain_close(l);
	return ret;
}

static int check_args(const struct extract_args *args, struct err *err)
{
	if (args->output == NULL)
		return 0;
	if (args->nroles != 1)
		return err_set(err, ERR_USAGE, "--output takes exactly one ROLE");
	if (strcmp(args->folder, ".") != 0)
		return err_set(err, ERR_USAGE, "--output and --directory exclude each other");
	if (args->sparse && strcmp(args->output, "-") == 0)
		return err_set(err, ERR_USAGE,
			       "standard output has no holes: --sparse needs a file");
	return 0;
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
			args->sparse = true;
	}
	if (id < 0)
		return id;
	args->file = options_operand(opts);
	if (args->file == NULL)
		return err_set(err, ERR_USAGE, "FILE is missing (see torpor help extract)");
	while ((role = options_operand(opts)) != NULL) {
		if (args->nroles == MAX_OUTPUTS)
			return err_set(err, ERR_USAGE, "more than %d roles", MAX_OUTPUTS);
		args->role[args->nroles++] = role;
	}
	return check_args(args, err);
}

static int cmd_extract_run(struct options *opts, struct err *err)
{
	struct extract_args args = {.folder = "."};
	int ret = cmd_extract_parse(opts, &args, err);

	return ret < 0 ? ret : extract(&args, err);
}

const struct command cmd_extract = {
	.name = "extract",
	.args = "FILE [ROLE]…",
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
