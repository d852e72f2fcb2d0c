/* Signing and checking; see sign.h. */
#include "format/crypto/sign.h"

#include <errno.h>
#include <string.h>

#include "format/crypto/blake2b.h"
#include "format/crypto/lazy.h"

#define SEED_SIZE 32u

/* What a signature is made over: the message or its hash, or signature and comment. */
struct signed_bytes {
	const void *data;
	size_t len;
	uint8_t own[MINISIGN_SIGNATURE + MINISIGN_COMMENT];
};

_Static_assert(BLAKE2B_MAX <= MINISIGN_SIGNATURE, "a hash fits in signed_bytes");

static void signed_message(struct signed_bytes *bytes, bool prehashed, const void *data, size_t len)
{
	bytes->data = data;
	bytes->len = len;
	if (!prehashed)
		return;
	blake2b(bytes->own, BLAKE2B_MAX, data, len);
	bytes->data = bytes->own;
	bytes->len = BLAKE2B_MAX;
}

static void signed_comment(struct signed_bytes *bytes, const struct minisign_signature *sig)
{
	size_t len = strlen(sig->comment);

	memcpy(bytes->own, sig->signature, sizeof(sig->signature));
	memcpy(bytes->own + sizeof(sig->signature), sig->comment, len);
	bytes->data = bytes->own;
	bytes->len = sizeof(sig->signature) + len;
}

static int ed25519_failed(struct err *err)
{
	return err_set(err, ERR_FAILED, "libcrypto could not do Ed25519");
}

static int ed25519_sign(const struct sign_api *api, EVP_PKEY *key, const struct signed_bytes *bytes,
			uint8_t sig[MINISIGN_SIGNATURE], struct err *err)
{
	EVP_MD_CTX *ctx = api->ctx_new();
	size_t len = MINISIGN_SIGNATURE;
	bool good;

	good = ctx != NULL && api->sign_init(ctx, NULL, NULL, NULL, key) == 1 &&
	       api->sign(ctx, sig, &len, bytes->data, bytes->len) == 1 && len == MINISIGN_SIGNATURE;
	api->ctx_free(ctx);
	return good ? 0 : ed25519_failed(err);
}

int sign_message(struct minisign_signature *sig, const struct minisign_secret *key,
		 const void *data, size_t len, const char *comment, struct err *err)
{
	const struct sign_api *api = lazy_sign(err);
	struct signed_bytes bytes;
	EVP_PKEY *pkey;
	int ret;

	if (api == NULL)
		return -ENOSYS;
	if (!minisign_comment_ok(comment))
		return err_set(err, ERR_USAGE,
			       "the trusted comment must be one printable line of at most %u bytes",
			       MINISIGN_COMMENT);
	pkey = api->private_key(EVP_PKEY_ED25519, NULL, key->part.key, SEED_SIZE);
	if (pkey == NULL)
		return ed25519_failed(err);
	sig->prehashed = true;
	memcpy(sig->id, key->part.id, sizeof(sig->id));
	strcpy(sig->comment, comment);
	signed_message(&bytes, true, data, len);
	ret = ed25519_sign(api, pkey, &bytes, sig->signature, err);
	if (ret == 0) {
		signed_comment(&bytes, sig);
		ret = ed25519_sign(api, pkey, &bytes, sig->global, err);
	}
	api->key_free(pkey);
	return ret;
}

/* `what` is not as it was signed, in the error. */
static int ed25519_check(const struct sign_api *api, EVP_PKEY *key,
			 const struct signed_bytes *bytes, const uint8_t sig[MINISIGN_SIGNATURE],
			 const char *what, struct err *err)
{
	EVP_MD_CTX *ctx = api->ctx_new();
	bool ready = ctx != NULL && api->verify_init(ctx, NULL, NULL, NULL, key) == 1;
	bool good =
		ready && api->verify(ctx, sig, MINISIGN_SIGNATURE, bytes->data, bytes->len) == 1;

	api->ctx_free(ctx);
	if (!ready)
		return ed25519_failed(err);
	return good ? 0
		    : err_set(err, ERR_INTEGRITY, "the signature is wrong: %s not what was signed",
			      what);
}

int sign_check(const struct minisign_signature *sig, const struct minisign_public *key,
	       const void *data, size_t len, struct err *err)
{
	const struct sign_api *api = lazy_sign(err);
	struct signed_bytes bytes;
	EVP_PKEY *pkey;
	int ret;

	if (api == NULL)
		return -ENOSYS;
	pkey = api->public_key(EVP_PKEY_ED25519, NULL, key->key, sizeof(key->key));
	if (pkey == NULL)
		return ed25519_failed(err);
	signed_message(&bytes, sig->prehashed, data, len);
	ret = ed25519_check(api, pkey, &bytes, sig->signature, "the contents are", err);
	if (ret == 0) {
		signed_comment(&bytes, sig);
		ret = ed25519_check(api, pkey, &bytes, sig->global, "its trusted comment is", err);
	}
	api->key_free(pkey);
	return ret;
}
