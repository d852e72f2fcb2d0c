/*
 * What is in an appliance, as a user sees it: a kernel, a state, the image of a disk; not the maps,
 * lists and parts that an image is stored as. Shared by `ls` and `extract`.
 */
#ifndef TORPOR_CLI_CONTENTS_H
#define TORPOR_CLI_CONTENTS_H

#include "format/archive.h"

struct content {
	char role[64];
	char encoding[32];	   /* "flat", "packed"; of a blob its kind: "kernel", "json" */
	const char *digest;	   /* of an image: of its map, which with its hash list names it */
	uint64_t size;		   /* bytes of what it is */
	uint64_t stored;	   /* bytes it takes in the file */
	const struct image *image; /* NULL: a single blob */
	struct blob blob;
};

struct contents {
	struct content *item; /* owned; borrows from the archive */
	size_t count;
};

/* Returns 0 or -ENOMEM. */
int contents_list(struct contents *contents, const struct archive *a, struct err *err);
void contents_free(struct contents *contents);
/* Borrowed; NULL when there is none of that role. */
const struct content *contents_find(const struct contents *contents, const char *role);

#endif
