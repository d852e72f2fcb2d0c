/* One tar header from libarchive; see tar_header.h. Any thread. */
#include "format/tar_header.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "format/crypto/lazy.h"

/* Takes the header; what comes behind it is not wanted. */
struct collector {
	struct buf header;
	bool complete;
};

static ssize_t collect(struct archive *a, void *opaque, const void *data, size_t len)
{
	struct collector *c = opaque;

	(void)a;
	return !c->complete && buf_add(&c->header, data, len) != NULL ? (ssize_t)len : -1;
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

/* On being freed the writer supplies the missing payload, zeros by the gigabyte: the collector
 * refuses them, which ends that at the first. */
static int emit(const struct archive_api *api, struct archive_entry *entry, struct collector *c,
		struct err *err)
{
	struct archive *a = api->write_new();
	int ret = 0;

	if (a == NULL)
		return err_sys(err, ENOMEM, "write a tar header");
	if (api->set_format(a) != ARCHIVE_OK || api->set_bytes_per_block(a, 0) != ARCHIVE_OK ||
	    api->open(a, c, NULL, collect, NULL) != ARCHIVE_OK ||
	    api->header(a, entry) != ARCHIVE_OK)
		ret = err_set(err, ERR_FAILED, "write a tar header: %s", api->error_string(a));
	c->complete = true;
	api->free(a);
	return ret;
}

int tar_header_make(const char *name, const char *link, uint64_t size, uint8_t header[TAR_BLOCK],
		    struct err *err)
{
	const struct archive_api *api = lazy_archive(err);
	struct archive_entry *entry;
	struct collector c = {0};
	int ret;

	if (api == NULL)
		return -ENOSYS;
	entry = api->entry_new();
	if (entry == NULL)
		return err_sys(err, ENOMEM, "write a tar header");
	describe(api, entry, name, link, size);
	ret = emit(api, entry, &c, err);
	api->entry_free(entry);
	if (ret == 0 && c.header.len != TAR_BLOCK)
		ret = err_set(err, ERR_FAILED, "write a tar header: %s does not fit one block",
			      name);
	if (ret == 0)
		memcpy(header, c.header.data, TAR_BLOCK);
	buf_free(&c.header);
	return ret;
}
