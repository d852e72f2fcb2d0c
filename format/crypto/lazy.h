/*
 * Libraries that are loaded when a verb needs them, not at start-up: resuming a machine must not
 * wait for the dynamic linker to relocate what it never calls.
 *
 * Any thread; the first call loads. A library stays loaded for the life of the
 * process. The functions return NULL, with ERR_FAILED and the loader's text in *err, when the
 * library is not there or lacks a function.
 */
#ifndef TORPOR_FORMAT_CRYPTO_LAZY_H
#define TORPOR_FORMAT_CRYPTO_LAZY_H

#include <openssl/evp.h>
#include <zstd.h>

#include "base/err.h"

/* libcrypto: what SHA-256 takes. */
struct crypto_api {
	__typeof__(EVP_MD_CTX_new) *ctx_new;
	__typeof__(EVP_MD_CTX_free) *ctx_free;
	__typeof__(EVP_sha256) *sha256;
	__typeof__(EVP_DigestInit_ex) *init;
	__typeof__(EVP_DigestUpdate) *update;
	__typeof__(EVP_DigestFinal_ex) *final;
};

/* libcrypto again: what Ed25519 signatures take. Apart, so that resuming what is not signed looks
 * up none of it. */
struct sign_api {
	__typeof__(EVP_MD_CTX_new) *ctx_new;
	__typeof__(EVP_MD_CTX_free) *ctx_free;
	__typeof__(EVP_PKEY_new_raw_private_key) *private_key;
	__typeof__(EVP_PKEY_new_raw_public_key) *public_key;
	__typeof__(EVP_PKEY_get_raw_public_key) *get_public;
	__typeof__(EVP_PKEY_free) *key_free;
	__typeof__(EVP_DigestSignInit) *sign_init;
	__typeof__(EVP_DigestSign) *sign;
	__typeof__(EVP_DigestVerifyInit) *verify_init;
	__typeof__(EVP_DigestVerify) *verify;
	__typeof__(EVP_PBE_scrypt) *scrypt;
};

/* And again: what encrypted contents take. */
struct cipher_api {
	__typeof__(EVP_CIPHER_CTX_new) *ctx_new;
	__typeof__(EVP_CIPHER_CTX_free) *ctx_free;
	__typeof__(EVP_aes_256_gcm) *aes_256_gcm;
	__typeof__(EVP_CipherInit_ex) *init;
	__typeof__(EVP_CipherUpdate) *update;
	__typeof__(EVP_CipherFinal_ex) *final;
	__typeof__(EVP_CIPHER_CTX_ctrl) *ctrl;
	__typeof__(EVP_PBE_scrypt) *scrypt;
};

/* libzstd: what single frames take. */
struct zstd_api {
	__typeof__(ZSTD_createCCtx) *cctx_new;
	__typeof__(ZSTD_freeCCtx) *cctx_free;
	__typeof__(ZSTD_compressCCtx) *compress;
	__typeof__(ZSTD_createDCtx) *dctx_new;
	__typeof__(ZSTD_freeDCtx) *dctx_free;
	__typeof__(ZSTD_decompressDCtx) *decompress;
	__typeof__(ZSTD_compressBound) *bound;
	__typeof__(ZSTD_isError) *is_error;
	__typeof__(ZSTD_getErrorName) *error_name;
};

const struct crypto_api *lazy_crypto(struct err *err);
const struct sign_api *lazy_sign(struct err *err);
const struct cipher_api *lazy_cipher(struct err *err);
const struct zstd_api *lazy_zstd(struct err *err);

#endif
