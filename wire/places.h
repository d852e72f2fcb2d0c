/*
 * Of one file of a web server: where that lies which a machine reads while it is made, so that it can come
 * all at once. Headers of a tar are found one behind the other, a round trip each; but the manifest lies in
 * front and has the sizes, and a file that torpor wrote has its payloads in the manifest's order
 * (format/archive_layout.c): packed ones one behind the other, others aligned, and then what found no room
 * in front. Where another writer did otherwise, some blocks come that nobody needed yet, and others are
 * waited for.
 */
#ifndef TORPOR_WIRE_PLACES_H
#define TORPOR_WIRE_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Ranges of one file. One that torpor wrote, with as many disks as there can be, has fewer. */
#define PLACES_MOST 512u

struct place {
	uint64_t from, to; /* whole blocks (ARRIVAL_BLOCK), but at the end of the file */
	bool came;	   /* the caller's */
};

struct places {
	struct place *item; /* owned; no two overlap */
	size_t count;
	uint64_t have, size; /* of the file */
};

/* By the first `have` bytes of the file, which are in `fd`; none where those are not the front of an
 * appliance. Nothing is believed: every place is between `have` and `size`. places_free() in any case.
 * Returns 0 or -ENOMEM. */
int places_find(struct places *p, int fd, uint64_t have, uint64_t size, struct err *err);
/* {0} is fine. */
void places_free(struct places *p);
#define cleanup_places __attribute__((cleanup(places_free)))

#endif
