/*
 * One HTTP exchange after the other, on libcurl (RFC 9110). What a registry needs of it and no
 * more: nothing is followed, retried or authorized here (session.h does that).
 *
 *     http_new → http_exchange … → http_free
 *
 * A struct http keeps its connections for the next exchange, and is used by one thread at a time.
 * Functions with an `err` return 0, or -errno with ERR_FAILED: -ENOSYS when libcurl cannot be
 * loaded, -ENOMEM, and what is said below.
 */
#ifndef TORPOR_REGISTRY_HTTP_H
#define TORPOR_REGISTRY_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/progress.h"

#define HTTP_URL	4096u
#define HTTP_SECRET	16384u /* of an Authorization header */
#define HTTP_BODY_MAX	((uint64_t)4 << 20)
#define HTTP_ERROR_BODY ((uint64_t)64 << 10)

struct http_options {
	const char *ca_file;	   /* borrowed; NULL: the system's */
	unsigned silence_s;	   /* a connection that moves nothing for so long is given up */
	struct progress *progress; /* borrowed; NULL, or who may cancel */
};

struct http_response {
	long status; /* 0: none came */
	/* Headers: "" when they are not there, or longer than this. */
	char location[HTTP_URL];
	char challenge[4096]; /* WWW-Authenticate: of Bearer, if there are several */
	char content_type[128];
	char content_range[96];
	char range[64];
	char digest[96];  /* Docker-Content-Digest */
	char subject[96]; /* OCI-Subject */
	char etag[128];
	uint64_t length; /* Content-Length; 0: not said */
	uint64_t chunk_min;
	unsigned retry_after_s; /* 0: nothing was said */
	bool no_tls;	 /* it was closed before there was TLS, or there are no certificates here */
	struct buf body; /* of what went to no sink, bounded */
};

struct http_request {
	const char *method;
	const char *url;
	const char *authorization; /* NULL: none */
	const char *accept;	   /* NULL: anything */
	const char *content_type;  /* of what is sent; NULL: application/octet-stream */
	const char *content_range; /* NULL: none */
	/* What is sent: a part of a file, or bytes of memory; both NULL: nothing. */
	const struct blob *file;
	const void *data;
	size_t data_len;
	uint64_t from;	    /* not 0: ask for the bytes from here on */
	uint64_t to;	    /* not 0: and up to here, exclusively; also with 0 for `from` */
	unsigned silence_s; /* not 0: instead of that of the options */
	/* Takes the body of a response of status 200 or 206, as it comes; NULL: into `body`. An
	 * error ends the exchange, and is its error. `reported` counts what was sent. */
	int (*sink)(void *opaque, const struct http_response *response, const void *data,
		    size_t len, struct err *err);
	void (*sent)(void *opaque, uint64_t bytes);
	void *opaque;
};

struct http;

int http_new(struct http **out, const struct http_options *options, struct err *err);
/* NULL is fine. */
void http_free(struct http *h);

/* 0 when a response came whole, whatever its status. -EAGAIN when the connection failed, was cut
 * or fell silent: another attempt may go well. -EPROTO when the other side speaks no TLS.
 * -ECANCELED when the progress was cancelled. What the sink gave. -EIO for all else (a certificate
 * that is not trusted, a body that is too long). `response` begins as {0}, and is freed by the
 * caller in any case. */
int http_exchange(struct http *h, const struct http_request *request,
		  struct http_response *response, struct err *err);

static inline void http_response_free(struct http_response *response)
{
	buf_free(&response->body);
}

#define cleanup_http	      __attribute__((cleanup(http_cleanup)))
#define cleanup_http_response __attribute__((cleanup(http_response_free)))

static inline void http_cleanup(struct http **h)
{
	http_free(*h);
}

/* `location` as an absolute URL, where it is relative to `base`. False when it is none of http or
 * https, or too long. */
bool http_resolve(const char *base, const char *location, char url[HTTP_URL]);
/* Same scheme, host and port. */
bool http_same_origin(const char *a, const char *b);
/* It is http to a host other than this one. */
bool http_is_open(const char *url);
/* Only the scheme, host and port, for messages: queries hold secrets. */
void http_origin(const char *url, char origin[HTTP_URL]);

/* Take a header line apart; for http_exchange() and tests. */
void http_parse_header(struct http_response *response, const char *line, size_t len);

#endif
