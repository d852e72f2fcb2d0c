/*
 * A conversation with one repository of a registry (OCI distribution 1.1): its address,
 * credentials, tokens, redirects and second attempts, for any number of threads.
 *
 *     registry_open → registry_call … (each thread with a struct http of its own) → registry_close
 *
 * Addresses. https, with the certificates of the system, of `ca_file`, or of
 * /etc/containers/certs.d/HOST/ca.crt and /etc/docker/certs.d/HOST/ca.crt. http is spoken to this
 * host alone (reference_is_loopback()), when it does not speak TLS or the system has no certificates and none
 * are named, unless `plain_http` asks for it.
 *
 * Credentials. They go to the registry's own origin (scheme, host and port), and to the token
 * server that it names, which must not be http on another host. A redirect to another origin, and a
 * Location there, gets none. A token is for what one call needs and no more; it is asked for anew
 * when it has expired, by its time or by a 401.
 *
 * Attempts. A call is repeated when the connection fails or the answer is 408, 429, 500, 502, 503
 * or 504: after 0.25 s, doubled each time up to 8 s, or what Retry-After says, up to a minute.
 *
 * Functions with an `err` return 0 or -errno with *err set, the text of which begins with the
 * origin: ERR_NOT_FOUND (-ENOENT) for a 404, ERR_FAILED for anything else: -EACCES for a 401 or
 * 403, -EAGAIN when all attempts failed, -EINVAL, -ENOMEM, -ECANCELED, and what http.h says.
 */
#ifndef TORPOR_REGISTRY_SESSION_H
#define TORPOR_REGISTRY_SESSION_H

#include <stdbool.h>

#include "base/err.h"
#include "base/progress.h"
#include "registry/credentials.h"
#include "registry/http.h"
#include "store/reference.h"

#define REGISTRY_PULL "pull"
#define REGISTRY_PUSH "pull,push"

struct registry_options {
	const char *ca_file; /* NULL: see above */
	bool plain_http;
	unsigned silence_s;	   /* 0: 60 */
	unsigned attempts;	   /* 0: 6 */
	const char *actions;	   /* what tokens are for: REGISTRY_PULL or REGISTRY_PUSH */
	struct progress *progress; /* borrowed; NULL: none */
	/* Borrowed; NULL: those that are found (credentials_find()). */
	const struct credentials *credentials;
};

struct registry;

/* Nothing is sent but a GET of /v2/ without credentials, to learn whether a registry on this host
 * speaks TLS; that is tried `attempts` times, and its error is that of registry_call(). */
int registry_open(struct registry **out, const struct reference *ref,
		  const struct registry_options *options, struct err *err);
/* The same for one file of a web server, by its URL, which must not be http to another host unless
 * `plain_http` says so. Credentials that are kept for its host answer a challenge of Basic, no other. Nothing is sent.
 * registry_reference() is not for it. */
int registry_open_url(struct registry **out, const char *url,
		      const struct registry_options *options, struct err *err);
/* NULL is fine. */
void registry_close(struct registry *r);

static inline void registry_cleanup(struct registry **r)
{
	registry_close(*r);
}

#define cleanup_registry __attribute__((cleanup(registry_cleanup)))

const struct reference *registry_reference(const struct registry *r);
/* scheme://HOST[:PORT], for messages. */
const char *registry_base(const struct registry *r);
/* The file of certificates that is used; NULL: the system's. */
const char *registry_ca_file(const struct registry *r);
/* For a struct http of a thread. */
int registry_http(const struct registry *r, struct http **http, struct err *err);
/* "BASE/v2/REPOSITORY/" and what the format says. Returns 0 or -ENAMETOOLONG. */
int registry_url(const struct registry *r, char url[HTTP_URL], struct err *err, const char *fmt,
		 ...) __attribute__((format(printf, 4, 5)));

struct registry_request {
	struct http_request http; /* its authorization is filled in */
	const char *mount_from;	  /* NULL, or a repository that the token is to read, too */
	bool once;		  /* no second attempt: the caller makes them */
	char *answered_by; /* NULL, or HTTP_URL bytes: whose answer it is, behind redirects */
};

/* One call, with all that it takes. 0: *response is the last answer, whatever its status; redirects,
 * and a 401 that can be answered, are no last answers. */
int registry_call(struct registry *r, struct http *http, const struct registry_request *request,
		  struct http_response *response, struct err *err);

/* Where `location` of a response to `url` leads. ERR_FAILED when it leads nowhere, or from https to
 * http. */
int registry_follow(const char *url, const char *location, char to[HTTP_URL], struct err *err);

/* The error for an answer that is no success: what the registry says of it (distribution 1.1,
 * "Error Codes"). `what` is what was tried. */
int registry_refused(const char *url, const struct http_response *response, const char *what,
		     struct err *err);

/* For messages: REPOSITORY:TAG or REPOSITORY@DIGEST; `version` is the tag or the digest. */
void registry_version_name(const struct registry *r, const char *version, char name[HTTP_URL]);

/* GET of `kind`/`name` ("blobs" or "manifests"): an answer of another status than 200 is an error,
 * that of registry_refused(). `accept` may be NULL. Also returns what registry_url() and registry_call()
 * give. */
int registry_get(struct registry *r, struct http *http, const char *kind, const char *name,
		 const char *accept, struct http_response *response, struct err *err);

/* Wait before repetition `n`, from 1 on, or as long as an answer asks for (0: it does not). Returns
 * 0 or -ECANCELED. */
int registry_wait(const struct registry *r, unsigned n, unsigned asked_s, struct err *err);
unsigned registry_attempts(const struct registry *r);
/* Cancel the progress, if there is one: calls under way end with -ECANCELED. */
void registry_cancel(const struct registry *r);
struct progress *registry_progress(const struct registry *r);
/* The answer of a server that may do better next time. */
bool registry_is_transient(long status);

/* That the credentials are good for this registry: GET /v2/ with them. A server that asks for Basic and has
 * no /v2/ is one of files. */
int registry_check(struct registry *r, struct err *err);

#endif
