/*
 * What a request asks for: the paths of OCI distribution 1.1 ("Endpoints") and names of files.
 * Nothing of a request is ever the path of a file: it is taken apart here, and what is in it must be
 * a name, tag or digest by its grammar. Pure; any thread; cannot fail but as said.
 */
#ifndef TORPOR_SERVE_ROUTE_H
#define TORPOR_SERVE_ROUTE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/reference.h"

enum route_kind {
	ROUTE_NOTHING, /* there is no such path */
	ROUTE_BASE,    /* /v2/ */
	ROUTE_ROOT,    /* / */
	ROUTE_CATALOG, /* /v2/_catalog */
	ROUTE_MANIFEST,
	ROUTE_BLOB,
	ROUTE_TAGS,
	ROUTE_REFERRERS,
	ROUTE_FILE, /* /NAME.torpor */
	/* A path of the API in which something is wrong: the error code says what. */
	ROUTE_BAD_NAME,
	ROUTE_BAD_REFERENCE,
	ROUTE_BAD_DIGEST,
	ROUTE_UPLOAD, /* /v2/NAME/blobs/uploads/… */
};

struct route {
	enum route_kind kind;
	char repository[REFERENCE_REPO]; /* of all below /v2/NAME/ */
	char tag[REFERENCE_TAG];	 /* of a manifest; "": by its digest */
	char digest[DIGEST_TEXT_SIZE];	 /* of a manifest, a blob, or what referrers refer to */
	char file[NAME_MAX + 1];
};

/* `path` is as it came, with its percent signs, without a query. */
void route_parse(struct route *route, const char *path);

/* Undo percent signs, in place. False when one stands before no two hex digits, or for a NUL. */
bool route_unescape(char *text);

struct route_range {
	uint64_t from, len;
};

/* A Range header (RFC 9110, 14.2) for something of `size` bytes. Returns 206 and the range; 200 when
 * all is to be sent: there is none, it is of another kind, or it has several; 416 when nothing is
 * there. `text` may be NULL. */
int route_range(struct route_range *range, const char *text, uint64_t size);

#endif
