/*
 * The files of a shared folder that its guest knows: nodes, which it has looked up, and handles, which it has
 * open. Both are descriptors of this process: of a node one that only names the file (O_PATH), so that it stays
 * that file whatever becomes of its name.
 *
 * What a saved machine knew, and is not there when it wakes, is `gone`: it has no descriptor, and keeps its
 * number until the guest forgets it. One thread.
 */
#ifndef TORPOR_SHARE_NODES_H
#define TORPOR_SHARE_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "share/record.h"

#define NODE_ROOT 1u /* FUSE_ROOT_ID */

struct node {
	int fd; /* owned; -1: gone */
	uint32_t id;
	uint32_t type;
	uint64_t lookups;
	struct share_identity self;
	struct node *next; /* of those with the same hash */
};

struct handle {
	int fd; /* owned; -1: gone */
	bool used;
	bool directory;
	bool moved; /* a folder of another file system: positions in it that the guest has mean nothing */
	uint32_t flags;
	struct share_identity self;
};

struct nodes {
	struct node **node; /* owned, both; by their number; NULL: free */
	uint32_t nnodes;    /* numbers there are */
	uint32_t free_node; /* none below it is free */
	uint32_t count;
	struct node **hash; /* owned; by identity */
	uint32_t nhash;	    /* a power of two */
	struct handle *handle;
	uint32_t nhandles, free_handle;
	uint32_t open; /* descriptors in both */
	uint32_t most; /* that there may be */
};

/* `root` is taken, also on failure. Returns 0 or -ENOMEM. */
int nodes_open(struct nodes *n, int root, const struct share_identity *self, uint32_t most);
void nodes_close(struct nodes *n);
/* Forget all but the root. */
void nodes_clear(struct nodes *n);

/* NULL: there is none. */
struct node *nodes_find(const struct nodes *n, uint64_t id);
struct node *nodes_find_file(const struct nodes *n, const struct share_identity *self);
/* With `fd`, which is taken, also on failure; under number `id`, or the first free one for 0. NULL: no memory,
 * too many descriptors, or that number is taken. */
struct node *nodes_add(struct nodes *n, uint32_t id, int fd, uint32_t type,
		       const struct share_identity *self);
/* The guest forgets `count` of its lookups. */
void nodes_forget(struct nodes *n, uint64_t id, uint64_t count);

/* NULL: there is none. */
struct handle *nodes_handle(const struct nodes *n, uint64_t id);
/* As nodes_add(). *id is its number. */
struct handle *nodes_open_handle(struct nodes *n, uint32_t *id, int fd, bool directory,
				 uint32_t flags, const struct share_identity *self);
void nodes_close_handle(struct nodes *n, uint64_t id);

#endif
