/* minisign's texts, by the first byte: public key, secret key, signature. What is accepted is
 * written again as one that is accepted, and means the same. */
#include "format/crypto/minisign.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"

static void fuzz_public(const char *text, size_t len)
{
	char once[MINISIGN_TEXT], twice[MINISIGN_TEXT];
	struct minisign_public key;
	struct err err = {0};
	int ret = minisign_public_decode(&key, text, len, &err);

	fuzz_require_reason(ret, &err);
	if (ret < 0)
		return;
	len = minisign_public_encode(&key, once);
	fuzz_require(minisign_public_decode(&key, once, len, &err) == 0);
	fuzz_require(minisign_public_encode(&key, twice) == len && memcmp(once, twice, len) == 0);
}

static void fuzz_secret(const char *text, size_t len)
{
	char once[MINISIGN_TEXT], twice[MINISIGN_TEXT];
	struct minisign_secret key;
	struct err err = {0};
	int ret = minisign_secret_decode(&key, text, len, &err);

	fuzz_require_reason(ret, &err);
	if (ret < 0)
		return;
	len = minisign_secret_encode(&key, once);
	fuzz_require(minisign_secret_decode(&key, once, len, &err) == 0);
	fuzz_require(minisign_secret_encode(&key, twice) == len && memcmp(once, twice, len) == 0);
}

static void fuzz_signature(const char *text, size_t len)
{
	static struct minisign_signature sig; /* large */
	char once[MINISIGN_TEXT], twice[MINISIGN_TEXT];
	struct err err = {0};
	int ret = minisign_signature_decode(&sig, text, len, &err);

	fuzz_require_reason(ret, &err);
	if (ret < 0)
		return;
	fuzz_require(minisign_comment_ok(sig.comment));
	len = minisign_signature_encode(&sig, once);
	fuzz_require(minisign_signature_decode(&sig, once, len, &err) == 0);
	fuzz_require(minisign_signature_encode(&sig, twice) == len &&
		     memcmp(once, twice, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const decoders[])(const char *, size_t) = {fuzz_public, fuzz_secret,
								 fuzz_signature};

	if (size > 0)
		decoders[data[0] % 3]((const char *)data + 1, size - 1);
	return 0;
}
