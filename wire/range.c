/* See range.h. */
#include "wire/range.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/num.h"

/* What a fetch came to, as the sink sees it. */
enum verdict {
	NOTHING_YET,
	GOOD,
	ENOUGH, /* all that was asked for is here, and more would come */
	LIE,
	REPLACED,
	UNWRITABLE,
};

struct reception {
	struct range_fetch *f;
	enum verdict verdict;
};

static bool take_number(const char **text, uint64_t *value)
{
	const char *at = *text;

	*value = 0;
	while (*at >= '0' && *at <= '9') {
		if (*value > (UINT64_MAX - 9) / 10)
			return false;
		*value = *value * 10 + (uint64_t)(*at++ - '0');
	}
	if (at == *text)
		return false;
	*text = at;
	return true;
}

bool range_parse(const char *text, uint64_t *from, uint64_t *last, uint64_t *size)
{
	if (strncmp(text, "bytes ", 6) != 0)
		return false;
	text += 6;
	if (!take_number(&text, from) || *text++ != '-' || !take_number(&text, last) ||
	    *text++ != '/' || *last < *from)
		return false;
	*size = UINT64_MAX;
	if (strcmp(text, "*") == 0)
		return true;
	return take_number(&text, size) && *text == '\0' && *last < *size;
}

/* Is it the same file as in earlier answers? By its digest in the end; else its server says so. */
static bool is_same(struct range_source *s, const struct http_response *response)
{
	if (s->has_digest || response->etag[0] == '\0')
		return true;
	if (s->etag[0] == '\0')
		strcpy(s->etag, response->etag);
	return strcmp(s->etag, response->etag) == 0;
}

/* By the head of the answer: is this what was asked for? */
static enum verdict judge(struct range_fetch *f, const struct http_response *response)
{
	uint64_t from, last, size;

	if (!is_same(&f->source, response))
		return REPLACED;
	if (response->status == 200) {
		/* The file from its beginning. */
		if (response->length > 0 && response->length != f->source.size)
			return LIE;
		return f->from == 0 ? GOOD : LIE;
	}
	if (f->whole || !range_parse(response->content_range, &from, &last, &size))
		return LIE;
	if (size != UINT64_MAX && size != f->source.size)
		return LIE;
	/* Less than was asked for is allowed. */
	return from == f->from && last < f->to ? GOOD : LIE;
}

/* Write what is missing of these bytes. */
static int put(struct range_fetch *f, const uint8_t *data, uint64_t len)
{
	uint64_t at = f->at, end = f->at + len;

	while (at < end) {
		uint64_t start = at, missing = end - at;
		int ret;

		if (f->arrival != NULL && !arrival_missing(f->arrival, at, &start, &missing))
			return 0;
		missing -= start < at ? at - start : 0;
		start = u64_max(start, at);
		if (start >= end)
			return 0;
		missing = u64_min(missing, end - start);
		ret = io_pwrite(f->fd, data + (start - f->at), missing, start);
		if (ret < 0)
			return ret;
		at = start + missing;
	}
	return 0;
}

static int on_range(void *opaque, const struct http_response *response, const void *data,
		    size_t len, struct err *err)
{
	struct reception *r = opaque;
	struct range_fetch *f = r->f;
	uint64_t used = u64_min(len, f->to - f->at);
	int ret;

	if (r->verdict == NOTHING_YET)
		r->verdict = judge(f, response);
	if (r->verdict == LIE)
		return err_set(err, ERR_FAILED, "bytes from %llu on were asked for, and %s came",
			       (unsigned long long)f->from,
			       response->status == 200		    ? "others"
			       : response->content_range[0] != '\0' ? response->content_range
								    : "some");
	if (r->verdict == REPLACED)
		return err_set(err, ERR_FAILED, "the file was replaced while it was fetched");
	ret = put(f, data, used);
	if (ret < 0) {
		r->verdict = UNWRITABLE;
		return err_sys(err, -ret, "write what arrives");
	}
	f->at += used;
	progress_add(f->progress, used);
	if (f->arrival != NULL) {
		/* Whole blocks only: the rest of the last one has yet to come. */
		uint64_t begun = align_down(f->at - used, ARRIVAL_BLOCK);

		begun = u64_max(begun, f->from);
		arrival_mark(f->arrival, begun, f->at - begun);
	}
	if (used == len)
		return 0;
	r->verdict = ENOUGH;
	return -ENOBUFS;
}

/* By the status of an answer without its bytes. */
static enum range_result refused(struct range_fetch *f, const char *url,
				 const struct http_response *response, struct err *err)
{
	long status = response->status;

	f->wait_s = response->retry_after_s;
	(void)registry_refused(url, response, "fetch it", err);
	if (registry_is_transient(status))
		return RANGE_AWAY;
	/* An address, or a token, that was good for some time only: there will be another. */
	if (strcmp(url, f->source.url) != 0 || status == 401)
		return RANGE_MOVED;
	return status == 416 ? RANGE_LIES : RANGE_FAILED;
}

static enum range_result result_of(struct range_fetch *f, const struct reception *r, int ret,
				   const struct http_response *response, const char *url,
				   struct err *err)
{
	switch (r->verdict) {
	case ENOUGH:
		return RANGE_CAME;
	case LIE:
		return RANGE_LIES;
	case REPLACED:
		return RANGE_FAILED;
	case UNWRITABLE:
		return RANGE_BROKEN;
	default:
		break;
	}
	if (ret == -ECANCELED)
		return RANGE_CANCELLED;
	if (ret == -EAGAIN)
		return RANGE_AWAY;
	if (ret < 0)
		return RANGE_FAILED;
	if (response->status != 200 && response->status != 206)
		return refused(f, url, response, err);
	if (range_progressed(f))
		return RANGE_CAME;
	err_set(err, ERR_FAILED, "%llu bytes from %llu on were asked for, and %llu came",
		(unsigned long long)(f->to - f->from), (unsigned long long)f->from,
		(unsigned long long)(f->at - f->from));
	return RANGE_LIES;
}

bool range_progressed(const struct range_fetch *f)
{
	/* Without ranges the next answer begins anew. */
	return f->at == f->to || (!f->whole && align_down(f->at, ARRIVAL_BLOCK) > f->from);
}

enum range_result range_fetch(struct range_fetch *f, struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	struct reception r = {.f = f};
	char url[HTTP_URL];
	struct registry_request request = {
		.once = true,
		.answered_by = url,
		.http = {.method = "GET",
			 .sink = on_range,
			 .opaque = &r,
			 .silence_s = f->silence_s},
	};
	enum range_result result;
	int ret;

	f->at = f->from;
	f->wait_s = 0;
	request.http.url = f->source.direct[0] != '\0' ? f->source.direct : f->source.url;
	strcpy(url, request.http.url);
	if (!f->whole) {
		request.http.from = f->from;
		request.http.to = f->to;
	}
	ret = registry_call(f->registry, f->http, &request, &response, err);
	result = result_of(f, &r, ret, &response, url, err);
	/* What failed is asked for at the beginning of the way. */
	if (result == RANGE_CAME && strcmp(url, f->source.url) != 0)
		strcpy(f->source.direct, url);
	else if (result != RANGE_CAME)
		f->source.direct[0] = '\0';
	return result;
}
