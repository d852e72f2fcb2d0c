/* What a registry, its token server and the files with credentials say, and names of images, by the
 * first byte. A name that is accepted has one text only. */
#include <stdlib.h>
#include <string.h>

#include "registry/auth.h"
#include "registry/manifest.h"
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

/* Texts that end with a NUL. */
static int fuzz_text(const uint8_t *data, size_t len, struct err *err)
{
	char *text = strndup((const char *)data, len);
	struct credentials c;
	int ret;

	fuzz_require(text != NULL);
	(void)credentials_decode(&c, text);
	ret = fuzz_name(text, err);
	free(text);
	return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int (*const readers[])(const uint8_t *, size_t, struct err *) = {
		fuzz_manifest_look, fuzz_parent, fuzz_token, fuzz_header, fuzz_text};
	struct err err = {0};

	if (size > 0)
		fuzz_require_reason(readers[data[0] % 5](data + 1, size - 1, &err), &err);
	return 0;
}
