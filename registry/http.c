/* See http.h. */
#include "registry/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "registry/curl_api.h"
#include "store/reference.h"

#define CONNECT_SECONDS 30L

struct http {
	const struct curl_api *api;
	CURL *curl;
	struct http_options options;
};

/* One exchange. */
struct exchange {
	struct http *h;
	const struct http_request *request;
	struct http_response *response;
	struct err *err;
	int failed;    /* what the sink gave */
	uint64_t sent; /* of the file or the bytes */
};

int http_new(struct http **out, const struct http_options *options, struct err *err)
{
	const struct curl_api *api = curl_api(err);
	struct http *h;

	if (api == NULL)
		return -ENOSYS;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return err_sys(err, ENOMEM, "connect");
	h->api = api;
	h->options = *options;
	h->curl = api->init();
	if (h->curl == NULL) {
		free(h);
		return err_sys(err, ENOMEM, "connect");
	}
	*out = h;
	return 0;
}

void http_free(struct http *h)
{
	if (h == NULL)
		return;
	h->api->cleanup(h->curl);
	free(h);
}

/* Copy a header's value; one that is too long counts as not there. */
static void take_value(char *to, size_t size, const char *value, size_t len)
{
	if (len >= size)
		len = 0;
	memcpy(to, value, len);
	to[len] = '\0';
}

static uint64_t header_number(const char *value, size_t len, uint64_t max)
{
	uint64_t number = 0;

	for (size_t i = 0; i < len && value[i] >= '0' && value[i] <= '9'; i++) {
		number = number * 10 + (uint64_t)(value[i] - '0');
		if (number > max)
			return max;
	}
	return number;
}

/* A registry may offer several ways in: Bearer is the better one. */
static void take_challenge(struct http_response *r, const char *value, size_t len)
{
	if (r->challenge[0] == '\0' || (len >= 6 && strncasecmp(value, "Bearer", 6) == 0 &&
					strncasecmp(r->challenge, "Bearer", 6) != 0))
		take_value(r->challenge, sizeof(r->challenge), value, len);
}

void http_parse_header(struct http_response *r, const char *line, size_t len)
{
	const struct {
		const char *name;
		char *value;
		size_t size;
	} texts[] = {
		{"location", r->location, sizeof(r->location)},
		{"content-type", r->content_type, sizeof(r->content_type)},
		{"content-range", r->content_range, sizeof(r->content_range)},
		{"range", r->range, sizeof(r->range)},
		{"docker-content-digest", r->digest, sizeof(r->digest)},
		{"oci-subject", r->subject, sizeof(r->subject)},
		{"etag", r->etag, sizeof(r->etag)},
	};
	const char *colon = memchr(line, ':', len), *value;
	size_t name;

	if (colon == NULL)
		return;
	name = (size_t)(colon - line);
	value = colon + 1;
	len -= name + 1;
	while (len > 0 && (*value == ' ' || *value == '\t')) {
		value++;
		len--;
	}
	while (len > 0 && strchr(" \t\r\n", value[len - 1]) != NULL)
		len--;
	if (memchr(value, '\0', len) != NULL)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (strlen(texts[i].name) == name && strncasecmp(line, texts[i].name, name) == 0)
			take_value(texts[i].value, texts[i].size, value, len);
	}
	if (name == 16 && strncasecmp(line, "www-authenticate", name) == 0)
		take_challenge(r, value, len);
	if (name == 14 && strncasecmp(line, "content-length", name) == 0)
		r->length = header_number(value, len, INT64_MAX);
	if (name == 20 && strncasecmp(line, "oci-chunk-min-length", name) == 0)
		r->chunk_min = header_number(value, len, GIB(1));
}

static size_t on_header(char *line, size_t size, size_t count, void *opaque)
{
	struct exchange *x = opaque;
	size_t len = size * count;

	/* A new response begins: the one before was 100 Continue, or a proxy's. */
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		buf_free(&x->response->body);
		*x->response = (struct http_response){0};
	} else {
		http_parse_header(x->response, line, len);
	}
	return len;
}

static size_t on_body(char *data, size_t size, size_t count, void *opaque)
{
	struct exchange *x = opaque;
	struct http_response *r = x->response;
	bool good;
	size_t len = size * count;

	if (r->status == 0)
		x->h->api->getinfo(x->h->curl, CURLINFO_RESPONSE_CODE, &r->status);
	good = r->status == 200 || r->status == 206;
	if (good && x->request->sink != NULL) {
		x->failed = x->request->sink(x->request->opaque, r, data, len, x->err);
		return x->failed < 0 ? 0 : len;
	}
	if (len > (good ? HTTP_BODY_MAX : HTTP_ERROR_BODY) - r->body.len) {
		if (good)
			x->failed =
				err_set(x->err, ERR_FAILED, "the answer is longer than %llu bytes",
					(unsigned long long)HTTP_BODY_MAX);
		return 0;
	}
	buf_add(&r->body, data, len);
	return buf_failed(&r->body) ? 0 : len;
}

static size_t on_send(char *to, size_t size, size_t count, void *opaque)
{
	struct exchange *x = opaque;
	const struct http_request *q = x->request;
	uint64_t all = q->file != NULL ? q->file->len : q->data_len;
	size_t len = (size_t)u64_min(size * count, all - x->sent);

	if (len == 0)
		return 0;
	if (q->file != NULL) {
		x->failed = blob_read(q->file, x->sent, to, len, x->err);
		if (x->failed < 0)
			return CURL_READFUNC_ABORT;
	} else {
		memcpy(to, (const char *)q->data + x->sent, len);
	}
	x->sent += len;
	if (q->sent != NULL)
		q->sent(q->opaque, len);
	return len;
}

/* libcurl sends a body again when a connection that it kept was closed meanwhile. */
static int on_rewind(void *opaque, curl_off_t offset, int origin)
{
	struct exchange *x = opaque;

	if (origin != SEEK_SET || offset < 0)
		return CURL_SEEKFUNC_FAIL;
	x->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static int on_progress(void *opaque, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct exchange *x = opaque;

	(void)a, (void)b, (void)c, (void)d;
	return x->h->options.progress != NULL && progress_is_cancelled(x->h->options.progress);
}

static bool add_header(const struct curl_api *api, struct curl_slist **list, const char *name,
		       const char *value)
{
	cleanup_free char *line = NULL;
	struct curl_slist *grown;

	if (value == NULL)
		return true;
	if (asprintf(&line, "%s: %s", name, value) < 0)
		return false;
	grown = api->list_append(*list, line);
	if (grown == NULL)
		return false;
	*list = grown;
	return true;
}

static bool set_headers(const struct http_request *q, const struct curl_api *api,
			struct curl_slist **list)
{
	char range[64];
	bool sends = strcmp(q->method, "GET") != 0 && strcmp(q->method, "HEAD") != 0;
	const char *type = q->content_type != NULL ? q->content_type : "application/octet-stream";

	snprintf(range, sizeof(range), "bytes=%llu-", (unsigned long long)q->from);
	if (q->to > 0)
		snprintf(range, sizeof(range), "bytes=%llu-%llu", (unsigned long long)q->from,
			 (unsigned long long)q->to - 1);
	return add_header(api, list, "Authorization", q->authorization) &&
	       add_header(api, list, "Accept", q->accept != NULL ? q->accept : "*/*") &&
	       add_header(api, list, "Range", q->from > 0 || q->to > 0 ? range : NULL) &&
	       add_header(api, list, "Content-Range", q->content_range) &&
	       add_header(api, list, "Content-Type", sends ? type : NULL);
}

static unsigned silence_s(const struct exchange *x)
{
	return x->request->silence_s > 0 ? x->request->silence_s : x->h->options.silence_s;
}

static void set_options(struct exchange *x, struct curl_slist *headers, char *text)
{
	const struct http_request *q = x->request;
	const struct http_options *o = &x->h->options;
	__typeof__(x->h->api->setopt) set = x->h->api->setopt;
	CURL *c = x->h->curl;
	char origin[HTTP_URL];

	x->h->api->reset(c);
	set(c, CURLOPT_URL, q->url);
	set(c, CURLOPT_PROTOCOLS_STR, "http,https");
	set(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	set(c, CURLOPT_NOSIGNAL, 1L);
	set(c, CURLOPT_ERRORBUFFER, text);
	set(c, CURLOPT_USERAGENT, "torpor/" TORPOR_VERSION);
	set(c, CURLOPT_HTTPHEADER, headers);
	set(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	set(c, CURLOPT_HEADERFUNCTION, on_header);
	set(c, CURLOPT_HEADERDATA, x);
	set(c, CURLOPT_WRITEFUNCTION, on_body);
	set(c, CURLOPT_WRITEDATA, x);
	set(c, CURLOPT_BUFFERSIZE, 256L << 10);
	set(c, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
	set(c, CURLOPT_NOPROGRESS, 0L);
	set(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	set(c, CURLOPT_XFERINFODATA, x);
	set(c, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	set(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	set(c, CURLOPT_LOW_SPEED_TIME, (long)silence_s(x));
	if (o->ca_file != NULL)
		set(c, CURLOPT_CAINFO, o->ca_file);
	/* What goes to this host in clear goes to no proxy. */
	http_origin(q->url, origin);
	if (strncmp(origin, "http://", 7) == 0 && reference_is_loopback(origin + 7))
		set(c, CURLOPT_NOPROXY, "*");
	if (strcmp(q->method, "HEAD") == 0) {
		set(c, CURLOPT_NOBODY, 1L);
	} else if (strcmp(q->method, "GET") != 0) {
		uint64_t len = q->file != NULL ? q->file->len : q->data_len;

		set(c, CURLOPT_UPLOAD, 1L);
		set(c, CURLOPT_CUSTOMREQUEST, q->method);
		set(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)len);
		set(c, CURLOPT_READFUNCTION, on_send);
		set(c, CURLOPT_READDATA, x);
		set(c, CURLOPT_SEEKFUNCTION, on_rewind);
		set(c, CURLOPT_SEEKDATA, x);
	}
}

/* What libcurl found, for the user. */
static int exchange_failed(const struct exchange *x, CURLcode code, const char *text)
{
	const char *why = text[0] != '\0' ? text : x->h->api->strerror(code);
	char origin[HTTP_URL];
	int ret = -EIO;

	if (x->failed < 0)
		return x->failed;
	http_origin(x->request->url, origin);
	switch (code) {
	case CURLE_ABORTED_BY_CALLBACK:
		err_set(x->err, ERR_FAILED, "cancelled");
		return -ECANCELED;
	case CURLE_OUT_OF_MEMORY:
		return err_sys(x->err, ENOMEM, "%s", origin);
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_PARTIAL_FILE:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_UPLOAD_FAILED:
	case CURLE_WRITE_ERROR:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		ret = -EAGAIN;
		break;
	case CURLE_SSL_CONNECT_ERROR:
		/* OpenSSL's words for an answer that is no TLS; else it was cut. */
		ret = strstr(why, "wrong version number") != NULL ||
				      strstr(why, "packet length too long") != NULL ||
				      strstr(why, "http request") != NULL
			      ? -EPROTO
			      : -EAGAIN;
		x->response->no_tls = ret == -EAGAIN;
		break;
	case CURLE_SSL_CACERT_BADFILE:
		/* This host has none. Those that were named are what is to be trusted. */
		x->response->no_tls = x->h->options.ca_file == NULL;
		break;
	default:
		break;
	}
	if (ret == -EPROTO)
		err_set(x->err, ERR_FAILED,
			"%s: what answers there is not TLS: does it speak plain http? (http:// for "
			"a file, "
			"--plain-http for a registry)",
			origin);
	else if (code == CURLE_OPERATION_TIMEDOUT)
		err_set(x->err, ERR_FAILED, "%s: nothing came or went for %u s", origin,
			silence_s(x));
	else
		err_set(x->err, ERR_FAILED, "%s: %s", origin, why);
	return ret;
}

int http_exchange(struct http *h, const struct http_request *request,
		  struct http_response *response, struct err *err)
{
	struct exchange x = {.h = h, .request = request, .response = response, .err = err};
	char text[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = NULL;
	curl_off_t wait = 0;
	CURLcode code;

	buf_free(&response->body);
	*response = (struct http_response){0};
	if (!set_headers(request, h->api, &headers)) {
		h->api->list_free(headers);
		return err_sys(err, ENOMEM, "%s", request->method);
	}
	set_options(&x, headers, text);
	code = h->api->perform(h->curl);
	h->api->list_free(headers);
	h->api->getinfo(h->curl, CURLINFO_RESPONSE_CODE, &response->status);
	if (h->api->getinfo(h->curl, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0)
		response->retry_after_s = (unsigned)u64_min((uint64_t)wait, 86400);
	/* A server that refuses a body may hang up while it is sent, and of the reason that it gives
	 * the beginning will do: its answer counts. */
	if (code != CURLE_OK && x.failed == 0 && response->status >= 300 &&
	    (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_WRITE_ERROR))
		return 0;
	if (code != CURLE_OK)
		return exchange_failed(&x, code, text);
	return 0;
}

bool http_resolve(const char *base, const char *location, char url[HTTP_URL])
{
	const struct curl_api *api = curl_api(NULL);
	CURLU *u = api != NULL ? api->url_new() : NULL;
	char *text = NULL;
	bool good = false;

	if (u == NULL)
		return false;
	if (api->url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
	    api->url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK &&
	    /* Credentials in a URL are nobody's here. */
	    api->url_set(u, CURLUPART_USER, NULL, 0) == CURLUE_OK &&
	    api->url_set(u, CURLUPART_PASSWORD, NULL, 0) == CURLUE_OK &&
	    api->url_set(u, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
	    api->url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK && strlen(text) < HTTP_URL &&
	    (strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0)) {
		strcpy(url, text);
		good = true;
	}
	api->free(text);
	api->url_free(u);
	return good;
}

/* "scheme://host:port", with the port that the scheme has by default. */
void http_origin(const char *url, char origin[HTTP_URL])
{
	const struct curl_api *api = curl_api(NULL);
	CURLU *u = api != NULL ? api->url_new() : NULL;
	char *scheme = NULL, *host = NULL, *port = NULL;

	strcpy(origin, "?");
	if (u == NULL)
		return;
	if (api->url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    api->url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	    api->url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	    api->url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
		snprintf(origin, HTTP_URL, "%s://%s:%s", scheme, host, port);
	api->free(scheme);
	api->free(host);
	api->free(port);
	api->url_free(u);
}

bool http_same_origin(const char *a, const char *b)
{
	char left[HTTP_URL], right[HTTP_URL];

	http_origin(a, left);
	http_origin(b, right);
	return left[0] != '?' && strcasecmp(left, right) == 0;
}

bool http_is_open(const char *url)
{
	char origin[HTTP_URL];

	http_origin(url, origin);
	return strncmp(origin, "https://", 8) != 0 &&
	       (strncmp(origin, "http://", 7) != 0 || !reference_is_loopback(origin + 7));
}
