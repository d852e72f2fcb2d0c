/*
 * The process that fetches what a machine reads.
 *
 * It is started by wire_open() and listens to nobody but the socket of the arrivals: requests for
 * ranges, and the end of the machine. Its threads fetch one range each at a time; wire/plan.h says
 * which. It never gives up a server that is away: it waits, longer each time, up to eight seconds
 * or as long as the server says, and says so in the state of the arrivals (ARRIVALS_WAITING). What
 * comes of a file is checked by its digest when all of it is there. If that is wrong, the file is
 * fetched once more, aside: where the two differ the bytes are replaced. What a machine has found
 * to be right is never written again.
 *
 * Where another process fetches the same image already, its copy is used: what has come there is copied,
 * and what nobody waits for here is left to it, until it ends, waits for its own server, or nothing comes
 * there for some seconds. What is copied is checked like anything that comes.
 *
 * When all files are right, the images that they are of go into the store, and it ends. The one file
 * of a web server has no digest: there it stays as long as the machine, which may want some of it
 * once more.
 */
#ifndef TORPOR_WIRE_DOWNLOAD_H
#define TORPOR_WIRE_DOWNLOAD_H

#include "base/arrival.h"
#include "registry/transfer.h"
#include "store/cas_arriving.h"
#include "wire/range.h"

/* A file of the arrivals, in their order. */
struct download_file {
	struct range_source source;
	int fd;
	char digest[DIGEST_TEXT_SIZE]; /* "": it has none */
	bool first;		       /* what a guest touches at once */
	uint64_t table;		       /* where a seek table begins; 0: there is none */
	int beside_fd;		       /* owned: another download's copy; -1: there is none */
	const struct arrival *beside;  /* what has come of that */
};

/* All that is in its folder is put into the store by it. */
struct download_image {
	struct oci_descriptor self;
	const struct oci_descriptor *blob;
	size_t nblobs;
};

struct download {
	struct registry *registry;
	struct progress *progress; /* of the registry's session */
	struct arrivals *set;	   /* as a writer */
	int socket;		   /* the writer's end */
	/* NULL, or of another download of the same image: what comes there is copied, and the rest is left
	 * to it while it goes on. */
	const struct cas_beside *beside;
	struct download_file *file;
	const struct cas_arriving *folder;
	const char *store;
	const char *ca_file;		    /* NULL: none */
	const struct download_image *image; /* those that others stand on first */
	size_t nimages;
	const struct reference *ref;	       /* what the last of them is to be called */
	const struct registry_manifest *named; /* what is to be called so */
};

/* Start it; the caller keeps its own descriptors. Main thread, while it is the only one. Returns 0,
 * -ENOMEM, or what fork(2) gave. */
int download_start(const struct download *d, struct err *err);

/* Put the images, of which all is there, into the store, open for CAS_ADD, without a name. */
int download_put_images(const struct download *d, const struct cas *cas, struct err *err);

#endif
