/*
 * A file and, when it is an increment, the files it stands on: the chain down to a full one.
 *
 * What a machine is made of is asked here, not of the single archive: memory and disks come as
 * layers (layers.h), the kernel from whichever file has it. Archives are owned; images and blobs
 * borrow from them and are valid until chain_close(). One thread.
 *
 * Functions with an `err` return 0 or -errno: what archive.h says of the same step on one file;
 * ERR_INTEGRITY (-EINVAL) for a parent that cannot be one, more than CHAIN_MAX files, or an image
 * that no file of the chain has; and what the finder returned. The others cannot fail.
 */
#ifndef TORPOR_FORMAT_CHAIN_H
#define TORPOR_FORMAT_CHAIN_H

#include "format/archive.h"
#include "format/image/layers.h"

#define CHAIN_MAX 128u

struct chain {
	unsigned n;
	struct archive *archive[CHAIN_MAX]; /* owned; the newest first */
};

/* Who finds a file by the identity of its appliance: path (PATH_MAX bytes), or ERR_NOT_FOUND.
 * `child` is the path of the file that names it. *fd is -1, and stays so where the file at `path`
 * is to be opened; else it is that file, and is taken. */
struct chain_finder {
	int (*find)(void *opaque, const char *digest, const char *child, char *path, int *fd,
		    struct err *err);
	void *opaque;
};

/* `params` may be NULL and is for the newest file only, which names the others; but its keys are
 * for all of them, and give_parent() is for the others. */
int chain_open(struct chain **out, const char *path, const struct archive_open_params *params,
	       const struct chain_finder *finder, struct err *err);
/* NULL is fine. */
void chain_close(struct chain *c);

static inline struct archive *chain_newest(const struct chain *c)
{
	return c->archive[0];
}

static inline void chain_cleanup(struct chain **c)
{
	chain_close(*c);
}

#define cleanup_chain __attribute__((cleanup(chain_cleanup)))

/* archive_watch() of each. */
void chain_watch(const struct chain *c, struct progress *progress);

/* The process is another than that which opened it: lock the keys in its memory. NULL is fine. */
void chain_lock_keys(const struct chain *c);

/* archive_ensure_verified() of each. */
int chain_ensure_verified(const struct chain *c, struct err *err);
/* archive_check_boot() of each. */
int chain_check_boot(const struct chain *c, struct err *err);
/* archive_load_hashes() of each. */
int chain_load_hashes(const struct chain *c, struct err *err);

/* RAM range `index`, or disk `index` with its overlays; ERR_INTEGRITY when it is missing. */
int chain_memory(const struct chain *c, unsigned index, struct image_layers *layers,
		 struct err *err);
int chain_disk(const struct chain *c, unsigned index, struct image_layers *layers, struct err *err);
/* The blob of a role in the newest file that has it; false when none has. */
bool chain_blob(const struct chain *c, const char *role, struct blob *blob);

#endif
