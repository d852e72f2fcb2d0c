/* See cpio.h. */
#include "bootfiles/cpio.h"

#include <string.h>
#include <sys/stat.h>

#define ALIGN 4u

struct entry {
	unsigned mode, nlink, major, minor;
	const void *data;
	size_t len;
};

static void pad(struct buf *out)
{
	buf_add(out, NULL, -out->len % ALIGN);
}

static void add_entry(struct cpio *cpio, const char *path, const struct entry *e)
{
	/* Magic, then thirteen numbers: inode, mode, owner, group, links, time, size, device of the
	 * file system, device, length of the name, checksum (none). */
	buf_printf(cpio->out, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x",
		   cpio->entries++, e->mode, 0u, 0u, e->nlink, 0u, e->len, 0u, 0u, e->major,
		   e->minor, strlen(path) + 1, 0u);
	buf_add(cpio->out, path, strlen(path) + 1);
	pad(cpio->out);
	if (e->len > 0)
		buf_add(cpio->out, e->data, e->len);
	pad(cpio->out);
}

void cpio_folder(struct cpio *cpio, const char *path)
{
	const struct entry e = {.mode = S_IFDIR | 0755, .nlink = 2};

	add_entry(cpio, path, &e);
}

void cpio_file(struct cpio *cpio, const char *path, unsigned mode, const void *data, size_t len)
{
	const struct entry e = {.mode = S_IFREG | mode, .nlink = 1, .data = data, .len = len};

	add_entry(cpio, path, &e);
}

void cpio_device(struct cpio *cpio, const char *path, unsigned mode, unsigned major, unsigned minor)
{
	const struct entry e = {.mode = S_IFCHR | mode, .nlink = 1, .major = major, .minor = minor};

	add_entry(cpio, path, &e);
}

void cpio_end(struct cpio *cpio)
{
	const struct entry e = {.nlink = 1};

	add_entry(cpio, "TRAILER!!!", &e);
}
