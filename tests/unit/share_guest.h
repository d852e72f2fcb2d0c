/* What a guest's kernel would say to the server of a shared folder, for tests. */
#ifndef TORPOR_TESTS_UNIT_SHARE_GUEST_H
#define TORPOR_TESTS_UNIT_SHARE_GUEST_H

#include <linux/fuse.h>
#include <stdint.h>

#include "base/buf.h"
#include "share/server.h"

struct share_guest {
	char dir[64]; /* of the folder, "" while there is none */
	struct share_server *server;
	struct buf said;
	uint8_t answer[1 << 20];
	size_t len; /* of what is behind the header of the last answer */
};

/* A new folder in /tmp, or that of `dir`, with a server; FUSE_INIT is done unless `fresh`. */
void share_guest_init(struct share_guest *g, const char *dir, bool readonly, bool fresh);
/* The server alone. */
void share_guest_end(struct share_guest *g);
/* And what is in the folder. */
void share_guest_remove(struct share_guest *g);

/* One request: arguments in two parts, the second a text with NUL or bytes. Returns the error, 0 or below. */
int share_guest_call(struct share_guest *g, uint32_t opcode, uint64_t node, const void *args,
		     size_t nargs, const void *more, size_t nmore);
/* Returns the node, or a negative errno. */
int64_t share_guest_lookup(struct share_guest *g, uint64_t parent, const char *name);
/* Of "a/b/c". */
int64_t share_guest_walk(struct share_guest *g, const char *path);
/* Returns a handle, or a negative errno. */
int64_t share_guest_open(struct share_guest *g, uint64_t node, uint32_t flags);
int64_t share_guest_create(struct share_guest *g, uint64_t parent, const char *name, uint32_t flags,
			   uint32_t mode, uint64_t *node);
/* Bytes, or a negative errno; what was read is in g->answer + sizeof(struct fuse_out_header). */
int share_guest_read(struct share_guest *g, uint64_t fh, uint64_t at, uint32_t size);
int share_guest_write(struct share_guest *g, uint64_t fh, uint64_t at, const char *text);
int share_guest_stat(struct share_guest *g, uint64_t node, struct fuse_attr *attr);

static inline const void *share_guest_got(const struct share_guest *g)
{
	return g->answer + sizeof(struct fuse_out_header);
}

#endif
