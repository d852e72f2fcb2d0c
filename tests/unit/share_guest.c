/* See share_guest.h. */
#include "tests/unit/share_guest.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void hear(void *opaque, const char *text)
{
	struct share_guest *g = opaque;

	buf_printf(&g->said, "%s\n", text);
}

void share_guest_init(struct share_guest *g, const char *dir, bool readonly, bool fresh)
{
	const struct fuse_init_in init = {
		.major = 7, .minor = 38, .max_readahead = 65536, .flags = UINT32_MAX};
	struct share_server_params params = {
		.readonly = readonly, .files = 1000, .say = hear, .opaque = g};
	struct err err = {0};

	memset(g, 0, offsetof(struct share_guest, answer));
	if (dir == NULL) {
		strcpy(g->dir, "/tmp/share-XXXXXX");
		cr_assert(ne(ptr, mkdtemp(g->dir), NULL));
	} else {
		strcpy(g->dir, dir);
	}
	params.folder = open(g->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cr_assert(ge(int, params.folder, 0));
	cr_assert(eq(int, share_server_open(&g->server, &params, &err), 0), "%s", err.text);
	close(params.folder);
	if (!fresh)
		cr_assert(eq(int, share_guest_call(g, FUSE_INIT, 0, &init, sizeof(init), NULL, 0),
			     0));
}

void share_guest_end(struct share_guest *g)
{
	share_server_close(g->server);
	g->server = NULL;
	buf_free(&g->said);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void share_guest_remove(struct share_guest *g)
{
	share_guest_end(g);
	(void)nftw(g->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int share_guest_call(struct share_guest *g, uint32_t opcode, uint64_t node, const void *args,
		     size_t nargs, const void *more, size_t nmore)
{
	static uint64_t unique;
	struct fuse_in_header in = {.opcode = opcode, .nodeid = node, .unique = ++unique};
	struct fuse_out_header out;
	size_t len;

	in.len = (uint32_t)(sizeof(in) + nargs + nmore);
	/* Where the machine has it: the answer takes the place of the request. */
	memcpy(g->answer, &in, sizeof(in));
	if (nargs > 0)
		memcpy(g->answer + sizeof(in), args, nargs);
	if (nmore > 0)
		memcpy(g->answer + sizeof(in) + nargs, more, nmore);
	len = share_server_request(g->server, g->answer, in.len, g->answer, sizeof(g->answer));
	if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT) {
		cr_assert(eq(sz, len, 0));
		return 0;
	}
	cr_assert(ge(sz, len, sizeof(out)));
	memcpy(&out, g->answer, sizeof(out));
	cr_assert(eq(u64, out.unique, unique));
	cr_assert(eq(sz, out.len, len));
	g->len = len - sizeof(out);
	return out.error;
}

int64_t share_guest_lookup(struct share_guest *g, uint64_t parent, const char *name)
{
	int ret = share_guest_call(g, FUSE_LOOKUP, parent, NULL, 0, name, strlen(name) + 1);

	return ret < 0 ? ret : (int64_t)((const struct fuse_entry_out *)share_guest_got(g))->nodeid;
}

int64_t share_guest_walk(struct share_guest *g, const char *path)
{
	char copy[4096], *rest = copy, *part;
	int64_t node = 1;

	strcpy(copy, path);
	while (node > 0 && (part = strsep(&rest, "/")) != NULL)
		node = share_guest_lookup(g, (uint64_t)node, part);
	return node;
}

int64_t share_guest_open(struct share_guest *g, uint64_t node, uint32_t flags)
{
	const struct fuse_open_in in = {.flags = flags};
	int ret = share_guest_call(g, (flags & O_DIRECTORY) != 0 ? FUSE_OPENDIR : FUSE_OPEN, node,
				   &in, sizeof(in), NULL, 0);

	return ret < 0 ? ret : (int64_t)((const struct fuse_open_out *)share_guest_got(g))->fh;
}

int64_t share_guest_create(struct share_guest *g, uint64_t parent, const char *name, uint32_t flags,
			   uint32_t mode, uint64_t *node)
{
	const struct fuse_create_in in = {.flags = flags | O_CREAT, .mode = mode | S_IFREG};
	const struct fuse_entry_out *out = share_guest_got(g);
	int ret = share_guest_call(g, FUSE_CREATE, parent, &in, sizeof(in), name, strlen(name) + 1);

	if (ret < 0)
		return ret;
	*node = out->nodeid;
	return (int64_t)((const struct fuse_open_out *)(out + 1))->fh;
}

int share_guest_read(struct share_guest *g, uint64_t fh, uint64_t at, uint32_t size)
{
	const struct fuse_read_in in = {.fh = fh, .offset = at, .size = size};
	int ret = share_guest_call(g, FUSE_READ, 1, &in, sizeof(in), NULL, 0);

	return ret < 0 ? ret : (int)g->len;
}

int share_guest_write(struct share_guest *g, uint64_t fh, uint64_t at, const char *text)
{
	const struct fuse_write_in in = {.fh = fh, .offset = at, .size = (uint32_t)strlen(text)};
	int ret = share_guest_call(g, FUSE_WRITE, 1, &in, sizeof(in), text, strlen(text));

	return ret < 0 ? ret : (int)((const struct fuse_write_out *)share_guest_got(g))->size;
}

int share_guest_stat(struct share_guest *g, uint64_t node, struct fuse_attr *attr)
{
	const struct fuse_getattr_in in = {0};
	int ret = share_guest_call(g, FUSE_GETATTR, node, &in, sizeof(in), NULL, 0);

	if (ret == 0)
		*attr = ((const struct fuse_attr_out *)share_guest_got(g))->attr;
	return ret;
}
