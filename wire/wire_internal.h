/* What the files behind wire_open() share; see wire.h. */
#ifndef TORPOR_WIRE_INTERNAL_H
#define TORPOR_WIRE_INTERNAL_H

#include "base/arrival.h"
#include "registry/transfer.h"
#include "store/cas_arriving.h"
#include "wire/download.h"
#include "wire/pool.h"
#include "wire/wire.h"

/* Where the member of a file that arrives is: the image and the member; `image` is nimages for the
 * one file of a web server. */
struct opening_place {
	size_t image, member, file;
};

/* What is asked for early and is not important is given up after so long: it is asked for again when
 * somebody waits for it. */
#define OPTIONAL_SILENCE_S 2u

/* What has come of a file that arrives, besides its beginning. */
struct opening_tail {
	char digest[DIGEST_TEXT_SIZE]; /* "": the one file of a web server */
	uint64_t from, to;
};

struct opening {
	struct wire *wire;
	const struct wire_options *options;
	struct reference ref;
	struct registry *registry; /* owned */
	struct http *http;	   /* owned; of the calling thread */
	struct pool *pool;	   /* owned; NULL until it is needed */
	bool waiting;		   /* somebody was told, and is still to be told that it is over */
	struct progress progress;
	struct cas cas;
	struct cas_arriving folder;
	struct cas_beside
		beside; /* what is small there; looked for again when the download begins */
	struct registry_manifest *manifest; /* owned; the newest first, like the images */
	size_t nmanifests;
	struct download_file *file; /* owned; the descriptors are the members' */
	size_t nfiles;
	struct opening_tail *tail; /* owned */
	size_t ntails;
	struct opening_place *place; /* owned */
	size_t nplaces;
};

/* The image that a tag or digest names, with all that is fetched before a guest runs, as the next
 * of the images. ERR_NOT_FOUND when there is none. */
int opening_add_image(struct opening *o, const char *name, struct err *err);
/* A machine reads all of it while it is made. Pure. */
bool opening_is_small(const struct oci_descriptor *d);
/* It reads the seek table of this part then, or soon after. Pure. */
bool opening_read_at_once(const struct oci_descriptor *d);
/* Returns 0 or -ENOMEM. */
int opening_note_end(struct opening *o, const char *digest, uint64_t from, uint64_t to,
		     struct err *err);
/* Where the end of a packed part begins that has its seek table; 0: it is no packed part, or a short
 * one. Pure. */
uint64_t opening_table_of(const struct oci_descriptor *d);
/* The identity of what the last image stands on; "" when it is no increment. */
int opening_parent(const struct opening *o, char parent[DIGEST_TEXT_SIZE], struct err *err);
/* The members of all images. */
int opening_list_members(struct opening *o, struct err *err);
/* The one file of a web server, with its first bytes; *have says how many. */
int opening_add_url(struct opening *o, const char *url, uint64_t *have, struct err *err);
/* Make the map, and note what an earlier process has left in the folder, and what has come. */
int opening_make_map(struct opening *o, int *map_fd, struct arrivals **set, struct err *err);

#endif
