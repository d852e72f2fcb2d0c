/* See route.h. */
#include "serve/route.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define API    "/v2/"
#define SUFFIX ".torpor"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool route_unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0'; from++) {
		int high, low;

		if (*from != '%') {
			*to++ = *from;
			continue;
		}
		high = hex_digit(from[1]);
		low = high < 0 ? -1 : hex_digit(from[2]);
		if (low < 0 || high + low == 0)
			return false;
		*to++ = (char)(high << 4 | low);
		from += 2;
	}
	*to = '\0';
	return true;
}

/* Cut the last component off the path and return it; NULL: there is but one. */
static char *cut_component(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash == NULL)
		return NULL;
	*slash = '\0';
	return slash + 1;
}

static bool take_digest(struct route *route, const char *text)
{
	uint8_t digest[DIGEST_SIZE];

	if (!digest_parse(text, digest))
		return false;
	strcpy(route->digest, text);
	return true;
}

static bool take_repository(struct route *route, const char *text)
{
	if (strlen(text) >= sizeof(route->repository) || !reference_is_repository(text))
		return false;
	strcpy(route->repository, text);
	return true;
}

/* A tag, or a digest: only that has a colon. */
static enum route_kind manifest_route(struct route *route, const char *text)
{
	if (strchr(text, ':') != NULL)
		return take_digest(route, text) ? ROUTE_MANIFEST : ROUTE_BAD_DIGEST;
	if (strlen(text) >= sizeof(route->tag) || !reference_is_tag(text))
		return ROUTE_BAD_REFERENCE;
	strcpy(route->tag, text);
	return ROUTE_MANIFEST;
}

/* From the end on, for components of a name may be called like those behind it. */
static enum route_kind api_route(struct route *route, char *rest)
{
	char *last = cut_component(rest), *word = last != NULL ? cut_component(rest) : NULL;
	enum route_kind kind;

	if (word == NULL)
		return ROUTE_NOTHING;
	if (strcmp(word, "manifests") == 0)
		kind = manifest_route(route, last);
	else if (strcmp(word, "blobs") == 0 && strcmp(last, "uploads") == 0)
		kind = ROUTE_UPLOAD;
	else if (strcmp(word, "blobs") == 0)
		kind = take_digest(route, last) ? ROUTE_BLOB : ROUTE_BAD_DIGEST;
	else if (strcmp(word, "referrers") == 0)
		kind = take_digest(route, last) ? ROUTE_REFERRERS : ROUTE_BAD_DIGEST;
	else if (strcmp(word, "tags") == 0 && strcmp(last, "list") == 0)
		kind = ROUTE_TAGS;
	else if (strcmp(word, "uploads") == 0 && (word = cut_component(rest)) != NULL &&
		 strcmp(word, "blobs") == 0)
		kind = ROUTE_UPLOAD;
	else
		return ROUTE_NOTHING;
	return take_repository(route, rest) ? kind : ROUTE_BAD_NAME;
}

static bool is_file_name(const char *name)
{
	size_t len = strlen(name);

	return len > sizeof(SUFFIX) - 1 && len <= NAME_MAX && name[0] != '.' &&
	       strchr(name, '/') == NULL && strcmp(name + len - (sizeof(SUFFIX) - 1), SUFFIX) == 0;
}

void route_parse(struct route *route, const char *path)
{
	char text[REFERENCE_TEXT + sizeof(API "/blobs/uploads/") + NAME_MAX];

	*route = (struct route){.kind = ROUTE_NOTHING};
	if (strlen(path) >= sizeof(text))
		return;
	strcpy(text, path);
	if (!route_unescape(text))
		return;
	if (strcmp(text, API) == 0 || strcmp(text, "/v2") == 0) {
		route->kind = ROUTE_BASE;
	} else if (strcmp(text, "/") == 0) {
		route->kind = ROUTE_ROOT;
	} else if (strcmp(text, API "_catalog") == 0) {
		route->kind = ROUTE_CATALOG;
	} else if (strncmp(text, API, sizeof(API) - 1) == 0) {
		route->kind = api_route(route, text + sizeof(API) - 1);
	} else if (text[0] == '/' && is_file_name(text + 1)) {
		strcpy(route->file, text + 1);
		route->kind = ROUTE_FILE;
	}
}

/* Digits and nothing else, up to `end`. */
static bool take_number(const char *text, const char *end, uint64_t *number)
{
	*number = 0;
	if (text == end)
		return false;
	for (; text < end; text++) {
		if (!isdigit((unsigned char)*text) ||
		    __builtin_mul_overflow(*number, 10u, number) ||
		    __builtin_add_overflow(*number, (uint64_t)(*text - '0'), number))
			return false;
	}
	return true;
}

int route_range(struct route_range *range, const char *text, uint64_t size)
{
	const char *dash, *end;
	uint64_t from, last;

	*range = (struct route_range){0, size};
	if (text == NULL || strncmp(text, "bytes=", 6) != 0)
		return 200;
	text += 6;
	dash = strchr(text, '-');
	end = text + strlen(text);
	if (dash == NULL)
		return 200;
	if (dash == text) {
		/* The last bytes. */
		if (!take_number(dash + 1, end, &last))
			return 200;
		if (last == 0 || size == 0)
			return 416;
		range->len = last < size ? last : size;
		range->from = size - range->len;
		return 206;
	}
	if (!take_number(text, dash, &from))
		return 200;
	if (dash + 1 == end)
		last = UINT64_MAX;
	else if (!take_number(dash + 1, end, &last) || last < from)
		return 200;
	if (from >= size)
		return 416;
	if (last >= size)
		last = size - 1;
	range->from = from;
	range->len = last - from + 1;
	return 206;
}
