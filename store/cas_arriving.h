/*
 * Images of the store that are used while they arrive.
 *
 *     arriving/HEX.N/    what has arrived of the image with that manifest; url.N: of one file
 *         lock           locked by the processes that use it (flock)
 *         map            which bytes are there (base/arrival.h)
 *         list           the blobs that it is about, in its order
 *         DIGITS         a blob by its SHA-256: whole, or a sparse file
 *
 * Each process that fetches has a folder of its own, so that two of the same image do not disturb
 * one another; the second copies what the first has (struct cas_beside). A folder that nobody has
 * locked is taken over by the next who wants that image, with what is in it, or removed by
 * cas_sweep(). One that is locked is left alone, and so is the image of its name, once that is in
 * the store.
 *
 * Functions return what cas.h says.
 */
#ifndef TORPOR_STORE_CAS_ARRIVING_H
#define TORPOR_STORE_CAS_ARRIVING_H

#include "base/arrival.h"
#include "store/cas.h"

#define CAS_ARRIVING_LOCK "lock"
#define CAS_ARRIVING_MAP  "map"
#define CAS_ARRIVING_LIST "list"

struct cas_arriving {
	char path[PATH_MAX]; /* of the folder */
	int folder;	     /* owned */
	int lock;	     /* owned; the lock ends with the last duplicate of it */
};

/* Take a folder for the image of this manifest; NULL: for a file without a digest, a new one. `cas`
 * is open for CAS_ADD. */
int cas_arriving_take(struct cas_arriving *a, const struct cas *cas, const char *manifest,
		      struct err *err);
/* The lock stays while others have it. */
void cas_arriving_close(struct cas_arriving *a);
#define cleanup_cas_arriving __attribute__((cleanup(cas_arriving_close)))

/* Another name for a blob that is in the store. Returns 1 when it was there, else 0. */
int cas_arriving_link(const struct cas_arriving *a, const struct cas *cas, const char *digest,
		      uint64_t size, struct err *err);
/* Open the blob for reading and writing, or for reading alone when it is whole (0400). It is made,
 * with this size, when it is not there; a file of another size is made anew. */
int cas_arriving_open(const struct cas_arriving *a, const char *digest, uint64_t size,
		      struct err *err);
/* Move a blob, whose contents have been checked, to its place in the store. The descriptors stay
 * good. `cas` is open for CAS_ADD. */
int cas_arriving_publish(const struct cas_arriving *a, const struct cas *cas, const char *digest,
			 struct err *err);
/* Remove the blobs that are left in it. */
int cas_arriving_empty(const struct cas_arriving *a, struct err *err);

/* What an earlier process has left in a folder that is locked by this one. */
struct cas_left {
	struct arrivals *set; /* owned; NULL: nothing */
	char *list;	      /* owned */
};

void cas_left_open(struct cas_left *left, const struct cas_arriving *a);
/* What is there of this blob; NULL: nothing. */
const struct arrival *cas_left_find(const struct cas_left *left, const char *digest, uint64_t size);
void cas_left_close(struct cas_left *left);
#define cleanup_cas_left __attribute__((cleanup(cas_left_close)))

/* Another process that fetches the same image at this moment. */
struct cas_beside {
	int folder;	      /* owned; -1: there is none */
	int map_fd;	      /* owned; -1: it has not begun with what is large */
	struct cas_left left; /* what has come to it; it goes on meanwhile */
};

/* Never fails: what cannot be used is not there. */
void cas_beside_find(struct cas_beside *b, const struct cas *cas, const struct cas_arriving *a);
/* Open its copy for reading; -1: it has none. */
int cas_beside_open(const struct cas_beside *b, const char *digest, uint64_t size);
/* It is fetching this blob: *come is what takes room of it. */
bool cas_beside_fetches(const struct cas_beside *b, const char *digest, uint64_t size,
			uint64_t *come);
/* Give its copy another name in `a`, if it is whole. Nothing is said of its digest. */
void cas_beside_link(const struct cas_beside *b, const struct cas_arriving *a, const char *digest,
		     uint64_t size);
void cas_beside_close(struct cas_beside *b);

/* Add to a blob of which nothing has come what has arrived of it from its beginning on, in a folder
 * that nobody uses. What is in none is not added, and no error. `b` is open. */
int cas_arriving_copy(struct cas_blob *b, struct err *err);

#endif
