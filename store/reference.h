/*
 * References to images, as docker and podman write them:
 *
 *     [docker://][HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]
 *
 * The first component is a host if it has a dot or a colon, or is "localhost". Without one, a
 * reference that begins with docker:// is of docker.io (with "library/" before a single component),
 * and any other one is a local name: of the host "localhost". Without tag and digest the tag is
 * "latest". The grammar is that of OCI distribution 1.1, "Pulling manifests". Pure; any thread.
 */
#ifndef TORPOR_STORE_REFERENCE_H
#define TORPOR_STORE_REFERENCE_H

#include <stdbool.h>

#include "base/err.h"
#include "format/crypto/digest.h"

#define REFERENCE_SCHEME "docker://"
#define REFERENCE_LOCAL	 "localhost"
#define REFERENCE_HOST	 256u
#define REFERENCE_REPO	 256u
#define REFERENCE_TAG	 129u
#define REFERENCE_TEXT	 (REFERENCE_HOST + REFERENCE_REPO + REFERENCE_TAG + DIGEST_TEXT_SIZE + 4)

struct reference {
	char host[REFERENCE_HOST]; /* with its port, if it has one */
	char repository[REFERENCE_REPO];
	char tag[REFERENCE_TAG];       /* "": none */
	char digest[DIGEST_TEXT_SIZE]; /* "": none */
};

/* Returns 0, or -EINVAL with ERR_USAGE, which says what is wrong. */
int reference_parse(struct reference *ref, const char *text, struct err *err);

/* By the grammar alone, whatever their length. */
bool reference_is_repository(const char *text);
bool reference_is_tag(const char *text);

/* Whether the text can be nothing but a reference: it begins with docker://. */
bool reference_is_remote(const char *text);

/* HOST/REPOSITORY[:TAG][@DIGEST], which reference_parse() takes. */
void reference_text(const struct reference *ref, char text[REFERENCE_TEXT]);

/* Whether `host` (with or without a port) is this machine by its name: localhost, 127.0.0.0/8 or
 * [::1]. */
bool reference_is_loopback(const char *host);

#endif
