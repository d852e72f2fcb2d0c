/* What a registry, its token server and the files with credentials say, names of images, what
 * `torpor serve` is asked, and what refers to an image, by the first byte. A name that is accepted
 * has one text only. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "format/crypto/minisign.h"
#include "registry/auth.h"
#include "registry/manifest.h"
#include "registry/referrers.h"
#include "serve/route.h"
#include "store/reference.h"
#include "tests/fuzz/fuzz.h"
#include "wire/range.h"

static int fuzz_manifest_look(const uint8_t *text, size_t len, struct err *err)
{
	struct manifest_choice choice;

	return manifest_look(&choice, text, len, "text/plain", err);
}

static int fuzz_parent(const uint8_t *text, size_t len, struct err *err)
{
	char parent[DIGEST_TEXT_SIZE];

	return manifest_parent(text, len, parent, err);
}

static int fuzz_token(const uint8_t *text, size_t len, struct err *err)
{
	const struct buf answer = {.data = (uint8_t *)text, .len = len};
	char token[HTTP_SECRET];
	uint64_t seconds;
	int ret = auth_parse_token(&answer, token, &seconds, err);

	/* Nothing that would end a header. */
	fuzz_require(ret < 0 || (strlen(token) < sizeof(token) && strpbrk(token, "\r\n ") == NULL));
	return ret;
}

/* A header line, and what is asked for because of it. */
static int fuzz_header(const uint8_t *text, size_t len, struct err *err)
{
	struct http_response response = {0};
	struct auth_challenge challenge;
	uint64_t from, last, size;
	struct buf url = {0};
	int ret;

	http_parse_header(&response, (const char *)text, len);
	auth_parse_challenge(&challenge, response.challenge);
	if (range_parse(response.content_range, &from, &last, &size))
		fuzz_require(from <= last && last < size);
	ret = auth_token_url(&url, &challenge, challenge.scope, err);
	buf_free(&url);
	return ret;
}

static int fuzz_name(const char *text, struct err *err)
{
	char whole[REFERENCE_TEXT], again[REFERENCE_TEXT];
	struct reference ref;
	int ret = reference_parse(&ref, text, err);

	if (ret < 0)
		return ret;
	reference_text(&ref, whole);
	fuzz_require(strstr(ref.repository, "..") == NULL && ref.repository[0] != '/');
	fuzz_require(strchr(ref.tag, '/') == NULL && strcmp(ref.host, "..") != 0);
	fuzz_require(reference_parse(&ref, whole, err) == 0);
	reference_text(&ref, again);
	fuzz_require(strcmp(whole, again) == 0);
	return 0;
}

/* What `torpor serve` is asked: nothing of a path becomes more than a name, tag or digest. */
static void fuzz_route(const char *text)
{
	struct route_range range;
	struct route route;
	int status;

	route_parse(&route, text);
	fuzz_require(route.repository[0] == '\0' || reference_is_repository(route.repository));
	fuzz_require(route.tag[0] == '\0' || reference_is_tag(route.tag));
	fuzz_require(strchr(route.file, '/') == NULL && route.file[0] != '.');
	fuzz_require(route.kind != ROUTE_MANIFEST ||
		     (route.repository[0] != '\0' &&
		      (route.tag[0] == '\0') != (route.digest[0] == '\0')));
	fuzz_require((route.kind != ROUTE_BLOB && route.kind != ROUTE_REFERRERS) ||
		     (route.repository[0] != '\0' && route.digest[0] != '\0'));
	fuzz_require((route.kind == ROUTE_FILE) == (route.file[0] != '\0'));
	for (uint64_t size = 0; size <= 1000; size = size * 9 + 1) {
		status = route_range(&range, text, size);
		fuzz_require(status == 200 || status == 206 || status == 416);
		fuzz_require(range.from <= size && range.len <= size - range.from);
		fuzz_require(status != 206 || range.len > 0);
		fuzz_require(status != 200 || range.len == size);
	}
}

/* An index of referrers, and what it lists: nothing is a signature of an image but what says so. */
static int fuzz_referrers(const uint8_t *text, size_t len, struct err *err)
{
	static const char subject[] =
		"sha256:0000000000000000000000000000000000000000000000000000000000000000";
	char digest[REFERRERS_MAX][DIGEST_TEXT_SIZE];
	cleanup_registry_manifest struct registry_manifest m = {0};
	cleanup_json json_t *index = json_parse(text, len, NULL);
	uint8_t raw[DIGEST_SIZE];
	unsigned n = referrers_list(index, digest);
	int ret;

	fuzz_require(n <= REFERRERS_MAX);
	for (unsigned i = 0; i < n; i++)
		fuzz_require(digest_parse(digest[i], raw));
	(void)buf_add(&m.text, text, len);
	ret = registry_manifest_decode(&m, err);
	if (ret == 0 && referrers_is_signature(&m, subject)) {
		fuzz_require(m.nblobs == 1 || m.nblobs == 2);
		fuzz_require(m.blob[0].size <= MINISIGN_TEXT);
		fuzz_require(m.blob[m.nblobs - 1].size <= MINISIGN_TEXT);
	}
	return ret;
}

/* Texts that end with a NUL. */
static int fuzz_text(const uint8_t *data, size_t len, struct err *err)
{
	char *text = strndup((const char *)data, len);
	struct credentials c;
	int ret;

	fuzz_require(text != NULL);
	(void)credentials_decode(&c, text);
	fuzz_route(text);
	ret = fuzz_name(text, err);
	free(text);
	return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int (*const readers[])(const uint8_t *, size_t, struct err *) = {
		fuzz_manifest_look, fuzz_parent, fuzz_token,
		fuzz_header,	    fuzz_text,	 fuzz_referrers};
	struct err err = {0};

	if (size > 0)
		fuzz_require_reason(readers[data[0] % 6](data + 1, size - 1, &err), &err);
	return 0;
}
