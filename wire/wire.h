/*
 * An appliance that is used while it is fetched: from a registry (docker://REF) or as one file from
 * a web server (https://HOST/app.torpor).
 *
 *     wire_open → … wire_image() or wire.whole, until the machine is over … → wire_close
 *
 * wire_open() is the client's, before it is confined and while it has one thread. It fetches what
 * is read before a guest can run (manifests, configs, states, maps, hash lists, hot lists), and
 * checks its digests. Of everything else it makes sparse files, and starts the download: a process
 * of its own, in a session and a sandbox of its own, which fetches them, first the hot sets in one
 * range, then what is asked for (base/arrival.h), and the rest in order. The download ends when all
 * has arrived, or when every process that has the socket of `arrivals` has ended: the machine, its
 * forks, and the client.
 *
 * In the store (store/cas_arriving.h) everything of one wire_open() lies in a folder of its own
 * below arriving/, locked for as long as a process has it open: `torpor gc` leaves it alone. When
 * all of it has arrived and has the right digests, the download moves it to its place and gives it
 * its name, as `torpor pull` does, with the signatures beside it. Descriptors that are open stay
 * good. When the machine ends first, the folder stays for the next wire_open() of that image, until
 * `torpor gc`. The one file of a web server has no digest and no name in the store: it is gone when
 * the machine is.
 *
 * Functions with an `err` return 0 or -errno with *err set: what session.h, transfer.h and cas.h
 * say; or the errno of fork(2), socketpair(2), memfd_create(2), openat(2), ftruncate(2).
 */
#ifndef TORPOR_WIRE_WIRE_H
#define TORPOR_WIRE_WIRE_H

#include <limits.h>

#include "format/container.h"
#include "registry/referrers.h"

struct arrivals; /* base/arrival.h */

/* What wire_open() waits for. Valid until that is over. */
struct wire_wait {
	const struct progress *progress; /* nothing expected: not even the manifest has come */
	const char *host;		 /* HOST[:PORT] */
};

struct wire_options {
	/* Both NULL, or called by wire_open(), on the caller's thread: before the other side is asked for
	 * anything, and when nothing more is waited for, before there is another process. Failed: it
	 * was for nothing. */
	void (*waits)(void *opaque, const struct wire_wait *wait);
	void (*waits_over)(void *opaque, bool failed);
	void *waits_opaque;
	/* The `actions` are set here. `silence_s` 0: 15. The progress is that of wire_open()
	 * alone.
	 */
	struct registry_options registry;
	const char *store; /* the path of the store (path_cas()) */
	/* Fetch the signatures beside the image, too, before wire_open() returns. */
	bool signatures;
	/* NULL, or asked about an image that the store has all of, in the folder `path`, before it gets
	 * its name there: an error is that of wire_open(). */
	int (*accept)(void *opaque, const char *path, struct err *err);
	void *accept_opaque;
};

/* One appliance: the image itself, or one that it stands on. Its members make an OCI image layout:
 * index.json, oci-layout, and every blob of its manifest under blobs/sha256/. */
struct wire_image {
	char manifest[DIGEST_TEXT_SIZE];
	char identity[DIGEST_TEXT_SIZE]; /* the digest of the config: archive_digest() */
	struct container_member *member; /* owned, names and descriptors too */
	size_t nmembers;
};

struct wire {
	/* All of it was in the store: open this path like any other, `torpor resume REF` needs no
	 * wire. "" otherwise, and then either images or the one file are there. */
	char path[PATH_MAX];
	/* docker://: the newest first. Of a parent that the store has there is none: it is held
	 * (cas_hold()), and found there (host/parent.h). */
	struct wire_image *image; /* owned */
	size_t nimages;
	/* A parent that neither registry nor store has; "" when nothing is missing. */
	char missing[DIGEST_TEXT_SIZE];
	/* https://: the tar; fd -1: there is none. */
	struct blob whole;
	struct arrivals *arrivals; /* owned; of all blobs with an arrival */
	/* Of the map of the arrivals, for others of this user (arrivals_look()). It is there as
	 * long as the machine, at least. */
	char map_path[PATH_MAX];
	int lock; /* owned: of the folder in the store */
	/* Beside the image, if they were asked for; those of `path` are in the store. */
	struct signatures signatures; /* owned */
};

/* The source is for wire_open(): docker://…, https://… or http://…. */
bool wire_is_source(const char *source);

int wire_open(struct wire **out, const char *source, const struct wire_options *options,
	      struct err *err);
/* The image of this identity; NULL: there is none. */
const struct wire_image *wire_image(const struct wire *w, const char *identity);
/* In each process that has it. NULL is fine. */
void wire_close(struct wire *w);

static inline void wire_cleanup(struct wire **w)
{
	wire_close(*w);
}

#define cleanup_wire __attribute__((cleanup(wire_cleanup)))

#endif
