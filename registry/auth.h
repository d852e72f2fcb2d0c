/*
 * What a registry asks for before it serves (RFC 9110, "Authentication"; the token protocol of
 * docker's registry): challenges, scopes, and the answers of its token server. Pure; any thread.
 */
#ifndef TORPOR_REGISTRY_AUTH_H
#define TORPOR_REGISTRY_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "registry/credentials.h"
#include "registry/http.h"

enum auth_kind {
	AUTH_NONE, /* the challenge is of no kind that is known here */
	AUTH_BASIC,
	AUTH_BEARER,
};

struct auth_challenge {
	enum auth_kind kind;
	char realm[1024]; /* of the token server, a URL */
	char service[256];
	char scope[512]; /* what the registry says it wants; "" when it does not */
	char error[64];
};

/* A WWW-Authenticate header. Bearer without a realm counts as AUTH_NONE. */
void auth_parse_challenge(struct auth_challenge *challenge, const char *header);

/* The URL to ask for a token that is good for `scope` (one or several, with spaces between them)
 * and nothing else. Returns 0 or -ENOMEM. */
int auth_token_url(struct buf *url, const struct auth_challenge *challenge, const char *scope,
		   struct err *err);
/* The form to get one for an identity token (OAuth 2, RFC 6749, "Refreshing an Access Token"). */
int auth_token_form(struct buf *form, const struct auth_challenge *challenge, const char *scope,
		    const struct credentials *c, struct err *err);

/* The token in an answer of the token server, and how many seconds it is good for. Returns 0, or
 * -EINVAL with ERR_FAILED for what is none. */
int auth_parse_token(const struct buf *answer, char token[HTTP_SECRET], uint64_t *seconds,
		     struct err *err);

#endif
