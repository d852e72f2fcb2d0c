/* SHA-256 by libcrypto; see digest.h. No state outside the contexts. */
#include "format/crypto/digest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/crypto/lazy.h"

struct digest {
	const struct crypto_api *api;
	EVP_MD_CTX *ctx;
	bool failed; /* sticky until digest_end() tells */
};

static void digest_start(struct digest *d)
{
	d->failed = d->api->init(d->ctx, d->api->sha256(), NULL) != 1;
}

int digest_new(struct digest **out, struct err *err)
{
	const struct crypto_api *api = lazy_crypto(err);
	struct digest *d;

	*out = NULL;
	if (api == NULL)
		return -ENOSYS;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return err_sys(err, ENOMEM, "hash");
	d->api = api;
	d->ctx = api->ctx_new();
	if (d->ctx == NULL) {
		free(d);
		return err_sys(err, ENOMEM, "hash");
	}
	digest_start(d);
	*out = d;
	return 0;
}

void digest_free(struct digest *d)
{
	if (d == NULL)
		return;
	d->api->ctx_free(d->ctx);
	free(d);
}

void digest_add(struct digest *d, const void *data, size_t len)
{
	if (d->api->update(d->ctx, data, len) != 1)
		d->failed = true;
}

int digest_end(struct digest *d, uint8_t out[DIGEST_SIZE], struct err *err)
{
	bool ok = d->api->final(d->ctx, out, NULL) == 1 && !d->failed;

	digest_start(d);
	return ok ? 0 : err_set(err, ERR_FAILED, "libcrypto could not compute a SHA-256");
}

int digest_bytes(const void *data, size_t len, uint8_t out[DIGEST_SIZE], struct err *err)
{
	cleanup_digest struct digest *d = NULL;
	int ret = digest_new(&d, err);

	if (ret < 0)
		return ret;
	digest_add(d, data, len);
	return digest_end(d, out, err);
}

static const char prefix[] = "sha256:";
static const char hex[] = "0123456789abcdef";

void digest_text(const uint8_t digest[DIGEST_SIZE], char text[DIGEST_TEXT_SIZE])
{
	char *at = text + sizeof(prefix) - 1;

	memcpy(text, prefix, sizeof(prefix) - 1);
	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		*at++ = hex[digest[i] >> 4];
		*at++ = hex[digest[i] & 15];
	}
	*at = '\0';
}

bool digest_parse(const char *text, uint8_t digest[DIGEST_SIZE])
{
	const char *at = text + sizeof(prefix) - 1;

	if (strlen(text) != DIGEST_TEXT_SIZE - 1 || strncmp(text, prefix, sizeof(prefix) - 1) != 0)
		return false;
	for (size_t i = 0; i < DIGEST_SIZE; i++, at += 2) {
		const char *high = strchr(hex, at[0]), *low = strchr(hex, at[1]);

		if (high == NULL || low == NULL)
			return false;
		digest[i] = (uint8_t)((high - hex) << 4 | (low - hex));
	}
	return true;
}
