/*
 * A file and, when it is an increment, the files it stands on: the lineage down to a full one.
 *
 * What a machine is made of is asked here, not of the single archive: memory and disks come as
 * stacks (stack.h), the kernel from whichever file has it. Archives are owned; images and blobs
 * borrow from them and are valid until lineage_close(). One thread.
 */
#ifndef TORPOR_FORMAT_LINEAGE_H
#define TORPOR_FORMAT_LINEAGE_H

#include "format/archive.h"
#include "format/image/stack.h"

#define LINEAGE_MAX 128u

struct lineage {
	unsigned n;
	struct archive *archive[LINEAGE_MAX]; /* owned; the newest first */
};

/* Who finds a file by the identity of its appliance: path (PATH_MAX bytes), or ERR_NOT_FOUND.
 * `child` is the path of the file that names it. */
struct lineage_finder {
	int (*find)(void *opaque, const char *digest, const char *child, char *path,
		    struct err *err);
	void *opaque;
};

/* `params` may be NULL and is for the newest file only, which names the others; but its keys are
 * for all of them. */
int lineage_open(struct lineage **out, const char *path, const struct archive_open_params *params,
		 const struct lineage_finder *finder, struct err *err);
void lineage_close(struct lineage *l);

static inline struct archive *lineage_newest(const struct lineage *l)
{
	return l->archive[0];
}

/* The process is another than that which opened it: lock the keys in its memory. NULL is fine. */
void lineage_settle(const struct lineage *l);

/* archive_ensure_verified() of each. */
int lineage_ensure_verified(const struct lineage *l, struct err *err);
/* archive_load_hashes() of each. */
int lineage_load_hashes(const struct lineage *l, struct err *err);

/* RAM range `index`, or disk `index` with its overlays; ERR_INTEGRITY when it is missing. */
int lineage_memory(const struct lineage *l, unsigned index, struct stack *stack, struct err *err);
int lineage_disk(const struct lineage *l, unsigned index, struct stack *stack, struct err *err);
/* The blob of a role in the newest file that has it; false when none has. */
bool lineage_blob(const struct lineage *l, const char *role, struct blob *blob);

#endif
