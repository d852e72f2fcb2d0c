/* See tar_tree.h. */
#include "cli/tar_tree.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/num.h"
#include "container/archive_api.h"

#define TAR_CHUNK 32768u

struct tar_stream {
	tar_read_fn *read;
	tar_write_fn *write;
	void *opaque;
	int ret; /* of the last call that failed */
	struct err *err;
};

static int tar_failed(const struct archive_api *api, struct archive *a, const struct tar_stream *s,
		      const char *what, struct err *err)
{
	const char *text = api->error_string(a);

	if (s->ret < 0)
		return s->ret;
	return err_set(err, ERR_FAILED, "%s: %s", what, text != NULL ? text : "failed");
}

/* Names are bytes; libarchive takes those of a locale. */
static void use_utf8_names(void)
{
	(void)setlocale(LC_CTYPE, "C.UTF-8");
}

/* --- out of a stream --- */

static la_ssize_t on_tar_read(struct archive *a, void *opaque, const void **data)
{
	struct tar_stream *s = opaque;
	const uint8_t *bytes = NULL;
	ssize_t got = s->read(s->opaque, &bytes, s->err);

	(void)a;
	*data = bytes;
	if (got < 0)
		s->ret = (int)got;
	return got;
}

/* What an entry is called here, in `mapped`. False: it is not below `from`. */
static bool map_name(const char *name, const char *from, const char *to, char *mapped, size_t size)
{
	size_t len = strlen(from);

	while (strncmp(name, "./", 2) == 0)
		name += 2 + strspn(name + 2, "/");
	if (strcmp(from, ".") == 0)
		return snprintf(mapped, size, "%s", name[0] != '\0' ? name : ".") < (int)size;
	if (strncmp(name, from, len) != 0 || (name[len] != '\0' && name[len] != '/'))
		return false;
	return snprintf(mapped, size, "%s%s", to, name + len) < (int)size;
}

static int refuse_entry(const char *name, struct err *err)
{
	return err_set(err, ERR_INTEGRITY, "the guest sends '%s', which was not asked for",
		       name != NULL ? name : "");
}

/* 0: it is left out. */
static int adapt_entry(const struct archive_api *api, struct archive_entry *entry, const char *from,
		       const char *to, struct err *err)
{
	const char *name = api->entry_path(entry), *link = api->entry_hardlink(entry);
	char mapped[PATH_MAX];
	mode_t type = api->entry_type(entry);

	if (name == NULL || !map_name(name, from, to, mapped, sizeof(mapped)))
		return refuse_entry(name, err);
	api->entry_set_path(entry, mapped);
	if (link != NULL) {
		if (!map_name(link, from, to, mapped, sizeof(mapped)))
			return refuse_entry(link, err);
		api->entry_set_hardlink(entry, mapped);
	} else if (type != S_IFREG && type != S_IFDIR && type != S_IFLNK) {
		return 0;
	}
	api->entry_set_perm(entry, api->entry_perm(entry) & 0777);
	return 1;
}

static int unpack_data(const struct archive_api *api, struct archive *in, struct archive *disk,
		       const struct tar_stream *s, struct err *err)
{
	const void *data;
	la_int64_t at;
	size_t len;
	int ret;

	while ((ret = api->read_data(in, &data, &len, &at)) == ARCHIVE_OK) {
		if (api->disk_data(disk, data, len, at) < ARCHIVE_OK)
			return tar_failed(api, disk, s, "write", err);
	}
	return ret == ARCHIVE_EOF ? 0 : tar_failed(api, in, s, "read the guest's tar", err);
}

static int unpack_entries(const struct archive_api *api, struct archive *in, struct archive *disk,
			  const struct tar_stream *s, const char *from, const char *to,
			  unsigned *entries, struct err *err)
{
	struct archive_entry *entry;
	int ret;

	while ((ret = api->read_next(in, &entry)) == ARCHIVE_OK || ret == ARCHIVE_WARN) {
		int taken = adapt_entry(api, entry, from, to, err);

		if (taken < 0)
			return taken;
		++*entries;
		if (taken == 0)
			continue;
		if (api->write_header(disk, entry) < ARCHIVE_WARN)
			return tar_failed(api, disk, s, api->entry_path(entry), err);
		ret = unpack_data(api, in, disk, s, err);
		if (ret < 0)
			return ret;
		if (api->write_finish(disk) < ARCHIVE_WARN)
			return tar_failed(api, disk, s, "write", err);
	}
	if (ret != ARCHIVE_EOF)
		return tar_failed(api, in, s, "read the guest's tar", err);
	return api->write_close(disk) < ARCHIVE_WARN ? tar_failed(api, disk, s, "write", err) : 0;
}

int tar_unpack(tar_read_fn *read, void *opaque, const char *from, const char *to, unsigned *entries,
	       struct err *err)
{
	struct tar_stream s = {.read = read, .opaque = opaque, .err = err};
	const struct archive_api *api = archive_api(err);
	struct archive *in, *disk;
	int ret;

	*entries = 0;
	if (api == NULL)
		return -EINVAL;
	use_utf8_names();
	in = api->read_new();
	disk = api->disk_new();
	if (in == NULL || disk == NULL) {
		ret = err_sys(err, ENOMEM, "unpack");
	} else {
		api->read_tar(in);
		api->disk_options(disk, ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_PERM |
						ARCHIVE_EXTRACT_SECURE_SYMLINKS |
						ARCHIVE_EXTRACT_SECURE_NODOTDOT |
						ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS);
		ret = api->read_open(in, &s, NULL, on_tar_read, NULL) == ARCHIVE_OK
			      ? unpack_entries(api, in, disk, &s, from, to, entries, err)
			      : tar_failed(api, in, &s, "read the guest's tar", err);
	}
	if (disk != NULL)
		api->write_free(disk);
	if (in != NULL)
		api->read_free(in);
	return ret;
}

/* --- into a stream --- */

static la_ssize_t on_tar_write(struct archive *a, void *opaque, const void *data, size_t len)
{
	struct tar_stream *s = opaque;
	int ret = s->write(s->opaque, data, len, s->err);

	(void)a;
	if (ret < 0)
		s->ret = ret;
	return ret < 0 ? -1 : (la_ssize_t)len;
}

static int write_zeroes(const struct archive_api *api, struct archive *out, la_int64_t len)
{
	static const uint8_t zeroes[TAR_CHUNK];

	for (; len > 0; len -= TAR_CHUNK) {
		if (api->write_data(out, zeroes, u64_min((uint64_t)len, TAR_CHUNK)) < 0)
			return -1;
	}
	return 0;
}

/* Holes are written as zeros. */
static int pack_data(const struct archive_api *api, struct archive *tree, struct archive *out,
		     la_int64_t size, const struct tar_stream *s, struct err *err)
{
	la_int64_t done = 0, at;
	const void *data;
	size_t len;
	int ret;

	while ((ret = api->read_data(tree, &data, &len, &at)) == ARCHIVE_OK) {
		if (write_zeroes(api, out, at - done) < 0 || api->write_data(out, data, len) < 0)
			return tar_failed(api, out, s, "pack", err);
		done = at + (la_int64_t)len;
	}
	if (ret != ARCHIVE_EOF)
		return tar_failed(api, tree, s, "read", err);
	if (write_zeroes(api, out, size - done) < 0)
		return tar_failed(api, out, s, "pack", err);
	return 0;
}

static int pack_entry(const struct archive_api *api, struct archive *tree, struct archive *out,
		      struct archive_entry *entry, const struct tar_stream *s, struct err *err)
{
	mode_t type = api->entry_type(entry);

	if (type == S_IFSOCK)
		return 0;
	api->entry_set_uid(entry, 0);
	api->entry_set_gid(entry, 0);
	api->entry_set_uname(entry, "root");
	api->entry_set_gname(entry, "root");
	if (api->write_header(out, entry) < ARCHIVE_WARN)
		return tar_failed(api, out, s, api->entry_path(entry), err);
	return type == S_IFREG ? pack_data(api, tree, out, api->entry_size(entry), s, err) : 0;
}

static int pack_tree(const struct archive_api *api, struct archive *tree, struct archive *out,
		     struct archive_entry *entry, const char *path, const char *name,
		     const struct tar_stream *s, struct err *err)
{
	size_t len = strlen(path);
	char mapped[PATH_MAX];
	int ret;

	while ((ret = api->tree_next(tree, entry)) == ARCHIVE_OK) {
		const char *found = api->entry_path(entry);

		api->tree_descend(tree);
		if (found == NULL || strncmp(found, path, len) != 0 ||
		    snprintf(mapped, sizeof(mapped), "%s%s", name, found + len) >=
			    (int)sizeof(mapped))
			return err_set(err, ERR_FAILED, "%s: a name in it cannot be packed", path);
		api->entry_set_path(entry, mapped);
		ret = pack_entry(api, tree, out, entry, s, err);
		if (ret < 0)
			return ret;
	}
	if (ret != ARCHIVE_EOF)
		return tar_failed(api, tree, s, path, err);
	return api->write_close(out) < ARCHIVE_WARN ? tar_failed(api, out, s, "pack", err) : 0;
}

int tar_pack(const char *path, const char *name, tar_write_fn *write, void *opaque, struct err *err)
{
	struct tar_stream s = {.write = write, .opaque = opaque, .err = err};
	const struct archive_api *api = archive_api(err);
	struct archive *tree, *out;
	struct archive_entry *entry;
	int ret;

	if (api == NULL)
		return -EINVAL;
	use_utf8_names();
	tree = api->tree_new();
	out = api->write_new();
	entry = api->entry_new();
	if (tree == NULL || out == NULL || entry == NULL) {
		ret = err_sys(err, ENOMEM, "pack");
	} else {
		api->tree_physical(tree);
		api->write_gnutar(out);
		api->write_block(out, TAR_CHUNK);
		if (api->write_open(out, &s, NULL, on_tar_write, NULL) < ARCHIVE_OK)
			ret = tar_failed(api, out, &s, "pack", err);
		else if (api->tree_open(tree, path) < ARCHIVE_OK)
			ret = tar_failed(api, tree, &s, path, err);
		else
			ret = pack_tree(api, tree, out, entry, path, name, &s, err);
	}
	if (entry != NULL)
		api->entry_free(entry);
	if (out != NULL)
		api->write_free(out);
	if (tree != NULL)
		api->read_free(tree);
	return ret;
}
