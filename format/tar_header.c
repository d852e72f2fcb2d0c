/* One tar header from libarchive; see tar_header.h. Any thread. */
#include "format/tar_header.h"

#include <errno.h>
#include <string.h>

#include "format/lazy.h"
#include "vmm/base/buf.h"

static ssize_t collect(struct archive *a, void *opaque, const void *data, size_t len)
{
	struct buf *out = opaque;

	(void)a;
	return buf_add(out, data, len) != NULL ? (ssize_t)len : -1;
}

static void describe(const struct archive_api *api, struct archive_entry *entry, const char *name,
		     const char *link, uint64_t size)
{
	api->set_pathname(entry, name);
	api->set_mtime(entry, 0, 0);
	api->set_perm(entry, link != NULL ? 0777 : 0644);
	api->set_filetype(entry, link != NULL ? AE_IFLNK : AE_IFREG);
	api->set_size(entry, (int64_t)size);
	if (link != NULL)
		api->set_symlink(entry, link);
}

/* The writer is told to fail before it is freed: otherwise it would supply the payload itself. */
static int emit(const struct archive_api *api, struct archive_entry *entry, struct buf *out,
		struct err *err)
{
	struct archive *a = api->write_new();
	int ret = 0;

	if (a == NULL)
		return err_sys(err, ENOMEM, "write a tar header");
	if (api->set_format(a) != ARCHIVE_OK || api->set_bytes_per_block(a, 0) != ARCHIVE_OK ||
	    api->open(a, out, NULL, collect, NULL) != ARCHIVE_OK ||
	    api->header(a, entry) != ARCHIVE_OK)
		ret = err_set(err, ERR_FAILED, "write a tar header: %s", api->error_string(a));
	api->fail(a);
	api->free(a);
	return ret;
}

int tar_header_make(const char *name, const char *link, uint64_t size, uint8_t header[TAR_BLOCK],
		    struct err *err)
{
	const struct archive_api *api = lazy_archive(err);
	struct archive_entry *entry;
	cleanup_buf struct buf out = {0};
	int ret;

	if (api == NULL)
		return -ENOSYS;
	entry = api->entry_new();
	if (entry == NULL)
		return err_sys(err, ENOMEM, "write a tar header");
	describe(api, entry, name, link, size);
	ret = emit(api, entry, &out, err);
	api->entry_free(entry);
	if (ret == 0 && out.len != TAR_BLOCK)
		ret = err_set(err, ERR_FAILED, "write a tar header: %s does not fit one block",
			      name);
	if (ret == 0)
		memcpy(header, out.data, TAR_BLOCK);
	return ret;
}
