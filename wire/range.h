/*
 * One range of one file, from a registry or a web server (RFC 9110, "Range Requests").
 *
 * What comes is written only where it is missing: what a machine has checked is never written
 * again. An answer that is not of the range is not used, whatever its status is.
 */
#ifndef TORPOR_WIRE_RANGE_H
#define TORPOR_WIRE_RANGE_H

#include "base/arrival.h"
#include "registry/session.h"

/* Where a file comes from. One thread at a time changes it: callers have a lock, and fetch from a
 * copy of it. */
struct range_source {
	char url[HTTP_URL];    /* at the registry, or as it was given */
	char direct[HTTP_URL]; /* where that led the last time; "": ask at `url` */
	char etag[128];	       /* of the first answer; kept for files without a digest */
	bool has_digest;
	uint64_t size;
};

enum range_result {
	RANGE_CAME,
	RANGE_MOVED,  /* what was shown or asked is not good any more: ask again at `url` */
	RANGE_AWAY,   /* the server cannot be reached, or says that it is busy */
	RANGE_LIES,   /* what came is not what was asked for, or less than a block of it */
	RANGE_FAILED, /* it will not come: `err` says why */
	RANGE_BROKEN, /* it cannot be written here: `err` says why */
	RANGE_CANCELLED,
};

struct range_fetch {
	struct registry *registry;
	struct http *http;
	struct range_source source; /* changed by the call */
	int fd;			    /* what comes is written here */
	struct progress *progress;  /* what comes is counted here; NULL: nowhere */
	struct arrival *arrival;    /* what comes is marked here; NULL: nowhere */
	uint64_t from, to;
	bool whole;	    /* ask for no range: from 0, to the size */
	unsigned silence_s; /* not 0: a server that is silent for so long is given up */
	/* Filled in. */
	uint64_t at;	 /* all from `from` to here has come */
	unsigned wait_s; /* that the server asks for */
};

enum range_result range_fetch(struct range_fetch *f, struct err *err);
/* More is there than before: a block, or the end of the range. Fewer bytes are none: a server that gives a
 * few each time would be asked for ever. */
bool range_progressed(const struct range_fetch *f);

/* "bytes FROM-LAST/SIZE" or "bytes FROM-LAST/" and a star, as a Content-Range says it; *size is
 * then UINT64_MAX. Pure. */
bool range_parse(const char *text, uint64_t *from, uint64_t *last, uint64_t *size);

#endif
