/* Loading libraries at first use; see lazy.h. Owns their symbol tables. */
#include "format/crypto/lazy.h"

#include "base/library.h"
#include "base/num.h"

static struct crypto_api crypto_table;
static struct sign_api sign_table;
static struct cipher_api encrypt_table;
static struct zstd_api zstd_table;

#define CRYPTO(member, symbol)                                                                     \
	{                                                                                          \
#symbol, offsetof(struct crypto_api, member)                                       \
	}
#define SIGN(member, symbol)                                                                       \
	{                                                                                          \
#symbol, offsetof(struct sign_api, member)                                         \
	}
#define CIPHER(member, symbol)                                                                     \
	{                                                                                          \
#symbol, offsetof(struct cipher_api, member)                                       \
	}

static const struct library_symbol crypto_symbols[] = {
	CRYPTO(ctx_new, EVP_MD_CTX_new),  CRYPTO(ctx_free, EVP_MD_CTX_free),
	CRYPTO(sha256, EVP_sha256),	  CRYPTO(init, EVP_DigestInit_ex),
	CRYPTO(update, EVP_DigestUpdate), CRYPTO(final, EVP_DigestFinal_ex),
};

static const struct library_symbol sign_symbols[] = {
	SIGN(ctx_new, EVP_MD_CTX_new),
	SIGN(ctx_free, EVP_MD_CTX_free),
	SIGN(private_key, EVP_PKEY_new_raw_private_key),
	SIGN(public_key, EVP_PKEY_new_raw_public_key),
	SIGN(get_public, EVP_PKEY_get_raw_public_key),
	SIGN(key_free, EVP_PKEY_free),
	SIGN(sign_init, EVP_DigestSignInit),
	SIGN(sign, EVP_DigestSign),
	SIGN(verify_init, EVP_DigestVerifyInit),
	SIGN(verify, EVP_DigestVerify),
	SIGN(scrypt, EVP_PBE_scrypt),
};

static const struct library_symbol encrypt_symbols[] = {
	CIPHER(ctx_new, EVP_CIPHER_CTX_new),  CIPHER(ctx_free, EVP_CIPHER_CTX_free),
	CIPHER(aes_256_gcm, EVP_aes_256_gcm), CIPHER(init, EVP_CipherInit_ex),
	CIPHER(update, EVP_CipherUpdate),     CIPHER(final, EVP_CipherFinal_ex),
	CIPHER(ctrl, EVP_CIPHER_CTX_ctrl),    CIPHER(scrypt, EVP_PBE_scrypt),
};

#define ZSTD(member, symbol)                                                                       \
	{                                                                                          \
#symbol, offsetof(struct zstd_api, member)                                         \
	}

static const struct library_symbol zstd_symbols[] = {
	ZSTD(cctx_new, ZSTD_createCCtx),     ZSTD(cctx_free, ZSTD_freeCCtx),
	ZSTD(compress, ZSTD_compressCCtx),   ZSTD(dctx_new, ZSTD_createDCtx),
	ZSTD(dctx_free, ZSTD_freeDCtx),	     ZSTD(decompress, ZSTD_decompressDCtx),
	ZSTD(bound, ZSTD_compressBound),     ZSTD(is_error, ZSTD_isError),
	ZSTD(error_name, ZSTD_getErrorName),
};

/* Every member has its symbol. */
_Static_assert(ARRAY_SIZE(crypto_symbols) == sizeof(struct crypto_api) / sizeof(void *), "crypto");
_Static_assert(ARRAY_SIZE(sign_symbols) == sizeof(struct sign_api) / sizeof(void *), "sign");
_Static_assert(ARRAY_SIZE(encrypt_symbols) == sizeof(struct cipher_api) / sizeof(void *),
	       "encrypt");
_Static_assert(ARRAY_SIZE(zstd_symbols) == sizeof(struct zstd_api) / sizeof(void *), "zstd");

static struct library crypto_library = {
	.soname = "libcrypto.so.3",
	.symbols = crypto_symbols,
	.nsymbols = ARRAY_SIZE(crypto_symbols),
	.table = &crypto_table,
};

static struct library sign_library = {
	.soname = "libcrypto.so.3",
	.symbols = sign_symbols,
	.nsymbols = ARRAY_SIZE(sign_symbols),
	.table = &sign_table,
};

static struct library encrypt_library = {
	.soname = "libcrypto.so.3",
	.symbols = encrypt_symbols,
	.nsymbols = ARRAY_SIZE(encrypt_symbols),
	.table = &encrypt_table,
};

static struct library zstd_library = {
	.soname = "libzstd.so.1",
	.symbols = zstd_symbols,
	.nsymbols = ARRAY_SIZE(zstd_symbols),
	.table = &zstd_table,
};

const struct crypto_api *lazy_crypto(struct err *err)
{
	return library_table(&crypto_library, err);
}

const struct sign_api *lazy_sign(struct err *err)
{
	return library_table(&sign_library, err);
}

const struct cipher_api *lazy_cipher(struct err *err)
{
	return library_table(&encrypt_library, err);
}

const struct zstd_api *lazy_zstd(struct err *err)
{
	return library_table(&zstd_library, err);
}
