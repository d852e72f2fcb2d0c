/* See cipher.h. Keys are loaded anew for each box: that takes a hundredth of unpacking a frame. */
#include "format/crypto/cipher.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "format/crypto/lazy.h"
#include "format/crypto/secret.h"

#define SKIPPABLE_MAGIC 0x184D2A50u
#define CHUNK		65536u
#define MAX_BOUND	128u /* of frames and chunks */

struct cipher {
	const struct cipher_api *api;
	EVP_CIPHER_CTX *ctx;
};

int cipher_new(struct cipher **out, struct err *err)
{
	const struct cipher_api *api = lazy_cipher(err);
	struct cipher *s;

	*out = NULL;
	if (api == NULL)
		return -ENOSYS;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return err_sys(err, ENOMEM, "encrypt");
	s->api = api;
	s->ctx = api->ctx_new();
	if (s->ctx == NULL || api->init(s->ctx, api->aes_256_gcm(), NULL, NULL, NULL, 1) != 1) {
		cipher_free(s);
		return err_set(err, ERR_FAILED, "libcrypto has no AES-256-GCM");
	}
	*out = s;
	return 0;
}

void cipher_free(struct cipher *s)
{
	if (s == NULL)
		return;
	s->api->ctx_free(s->ctx);
	free(s);
}

int data_key_new(struct data_key **key, struct err *err)
{
	*key = secret_new(sizeof(**key), err);
	if (*key == NULL)
		return -ENOMEM;
	if (getentropy((*key)->bytes, sizeof((*key)->bytes)) < 0) {
		int ret = err_sys(err, errno, "random numbers");

		data_key_free(*key);
		*key = NULL;
		return ret;
	}
	return 0;
}

void data_key_free(struct data_key *key)
{
	secret_free(key, sizeof(*key));
}

/* Key, nonce, and what is authenticated only. */
static bool cipher_begin(struct cipher *s, const struct data_key *key, const uint8_t *nonce,
			 const void *bound, size_t bound_len, bool encrypt)
{
	int done;

	return s->api->init(s->ctx, NULL, NULL, key->bytes, nonce, encrypt) == 1 &&
	       s->api->update(s->ctx, NULL, &done, bound, (int)bound_len) == 1;
}

static bool crypt_all(struct cipher *s, const void *in, size_t len, void *out)
{
	int done = 0;

	return len == 0 ||
	       (s->api->update(s->ctx, out, &done, in, (int)len) == 1 && (size_t)done == len);
}

int encrypt_box(struct cipher *s, const struct data_key *key, const void *bound, size_t bound_len,
		const void *plain, size_t len, uint8_t *box, struct err *err)
{
	uint8_t *tag = box + CIPHER_NONCE + len, none[1];
	int done;

	if (getentropy(box, CIPHER_NONCE) < 0)
		return err_sys(err, errno, "random numbers");
	if (!cipher_begin(s, key, box, bound, bound_len, true) ||
	    !crypt_all(s, plain, len, box + CIPHER_NONCE) ||
	    s->api->final(s->ctx, none, &done) != 1 ||
	    s->api->ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, CIPHER_TAG, tag) != 1)
		return err_set(err, ERR_FAILED, "libcrypto could not encrypt");
	return 0;
}

int decrypt_box(struct cipher *s, const struct data_key *key, const void *bound, size_t bound_len,
		const uint8_t *box, void *plain, size_t len, struct err *err)
{
	uint8_t tag[CIPHER_TAG], none[1];
	int done;

	memcpy(tag, box + CIPHER_NONCE + len, CIPHER_TAG);
	if (!cipher_begin(s, key, box, bound, bound_len, false) ||
	    s->api->ctrl(s->ctx, EVP_CTRL_AEAD_SET_TAG, CIPHER_TAG, tag) != 1 ||
	    !crypt_all(s, box + CIPHER_NONCE, len, plain))
		return err_set(err, ERR_FAILED, "libcrypto could not decrypt");
	return s->api->final(s->ctx, none, &done) == 1
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "it is not what was encrypted");
}

/* --- places --- */

struct bound {
	uint8_t bytes[MAX_BOUND];
	size_t len;
};

/* role, NUL, le64 number, le64 bytes of all */
static struct bound bind(const char *role, uint64_t index, uint64_t total)
{
	struct bound b = {.len = strlen(role) + 1};

	assert(b.len + 16 <= sizeof(b.bytes));
	memcpy(b.bytes, role, b.len);
	le_put64(b.bytes + b.len, index);
	le_put64(b.bytes + b.len + 8, total);
	b.len += 16;
	return b;
}

int encrypt_frame(struct cipher *s, const struct data_key *key, const char *role, uint64_t place,
		  uint8_t *encrypted, size_t len, struct err *err)
{
	struct bound b = bind(role, place, 0);

	le_put32(encrypted, SKIPPABLE_MAGIC);
	le_put32(encrypted + 4, (uint32_t)(CIPHER_BOX + len));
	return encrypt_box(s, key, b.bytes, b.len, encrypted + CIPHER_FRAME_DATA, len,
			   encrypted + 8, err);
}

int decrypt_frame(struct cipher *s, const struct data_key *key, const char *role, uint64_t place,
		  uint8_t *encrypted, size_t len, struct err *err)
{
	struct bound b = bind(role, place, 0);

	if (len < CIPHER_FRAME || le_get32(encrypted) != SKIPPABLE_MAGIC ||
	    le_get32(encrypted + 4) != len - 8)
		return err_set(err, ERR_INTEGRITY, "it is not encrypted");
	return decrypt_box(s, key, b.bytes, b.len, encrypted + 8, encrypted + CIPHER_FRAME_DATA,
			   len - CIPHER_FRAME, err);
}

/* --- blobs, chunk by chunk --- */

uint64_t encrypted_size(uint64_t plain)
{
	return plain + (plain + CHUNK - 1) / CHUNK * CIPHER_BOX;
}

bool decrypted_size(uint64_t stored, uint64_t *plain)
{
	uint64_t chunks = stored / (CHUNK + CIPHER_BOX) + (stored % (CHUNK + CIPHER_BOX) != 0);

	*plain = stored - u64_min(stored, chunks * CIPHER_BOX);
	return encrypted_size(*plain) == stored;
}

static int encrypt_chunk(struct cipher *s, const struct data_key *key, const char *role,
			 uint64_t index, uint64_t total, const void *plain, uint8_t *box,
			 struct err *err)
{
	struct bound b = bind(role, index, total);

	return encrypt_box(s, key, b.bytes, b.len, plain, u64_min(CHUNK, total - index * CHUNK),
			   box, err);
}

static int decrypt_chunk(struct cipher *s, const struct data_key *key, const char *role,
			 uint64_t index, uint64_t total, const uint8_t *box, void *plain,
			 struct err *err)
{
	struct bound b = bind(role, index, total);
	int ret = decrypt_box(s, key, b.bytes, b.len, box, plain,
			      u64_min(CHUNK, total - index * CHUNK), err);

	return ret < 0 ? err_context(err, ret, "%s", role) : 0;
}

int encrypt_bytes(const struct data_key *key, const char *role, const void *data, size_t len,
		  struct buf *out, struct err *err)
{
	cleanup_cipher struct cipher *s = NULL;
	uint8_t *box = buf_add(out, NULL, encrypted_size(len));
	int ret;

	if (box == NULL && len > 0)
		return err_sys(err, ENOMEM, "encrypt");
	ret = cipher_new(&s, err);
	if (ret < 0)
		return ret;
	for (uint64_t at = 0; at < len; at += CHUNK) {
		ret = encrypt_chunk(s, key, role, at / CHUNK, len, (const uint8_t *)data + at,
				    box + at / CHUNK * (CHUNK + CIPHER_BOX), err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int not_encrypted(const char *role, struct err *err)
{
	return err_set(err, ERR_INTEGRITY, "%s: it is not encrypted", role);
}

int decrypt_bytes(const struct data_key *key, const char *role, uint8_t *data, size_t stored,
		  struct err *err)
{
	cleanup_cipher struct cipher *s = NULL;
	uint8_t box[CHUNK + CIPHER_BOX];
	uint64_t len;
	int ret;

	if (!decrypted_size(stored, &len))
		return not_encrypted(role, err);
	ret = cipher_new(&s, err);
	if (ret < 0)
		return ret;
	for (uint64_t at = 0; at < len; at += CHUNK) {
		/* The plain bytes end before the next chunk begins. */
		memcpy(box, data + at / CHUNK * sizeof(box), u64_min(CHUNK, len - at) + CIPHER_BOX);
		ret = decrypt_chunk(s, key, role, at / CHUNK, len, box, data + at, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* One chunk after the other goes through a pair of buffers. */
struct chunk_buffers {
	struct cipher *s;
	uint8_t plain[CHUNK];
	uint8_t box[CHUNK + CIPHER_BOX];
};

static void chunk_buffers_free(struct chunk_buffers **p)
{
	if (*p == NULL)
		return;
	explicit_bzero((*p)->plain, sizeof((*p)->plain));
	cipher_free((*p)->s);
	free(*p);
}

static int crypt_chunks(const struct data_key *key, const char *role, const struct blob *from,
			struct blob *to, uint64_t total, bool encrypt, struct err *err)
{
	__attribute__((cleanup(chunk_buffers_free))) struct chunk_buffers *p = malloc(sizeof(*p));
	int ret;

	if (p == NULL)
		return err_sys(err, ENOMEM, "encrypt");
	ret = cipher_new(&p->s, err);
	if (ret < 0)
		return ret;
	for (uint64_t i = 0; i * CHUNK < total; i++) {
		uint64_t plain = u64_min(CHUNK, total - i * CHUNK), box = plain + CIPHER_BOX;

		ret = blob_read(from, i * (encrypt ? CHUNK : CHUNK + CIPHER_BOX),
				encrypt ? p->plain : p->box, encrypt ? plain : box, err);
		if (ret < 0)
			return ret;
		ret = encrypt ? encrypt_chunk(p->s, key, role, i, total, p->plain, p->box, err)
			      : decrypt_chunk(p->s, key, role, i, total, p->box, p->plain, err);
		if (ret < 0)
			return ret;
		ret = io_pwrite(to->fd, encrypt ? p->box : p->plain, encrypt ? box : plain,
				to->len);
		if (ret < 0)
			return err_sys(err, -ret, "hold %s in memory", role);
		to->len += encrypt ? box : plain;
	}
	return 0;
}

/* Into an unnamed file in memory. */
static int crypt_blob(const struct data_key *key, const char *role, const struct blob *from,
		      struct blob *to, uint64_t total, bool encrypt, struct err *err)
{
	int ret;

	*to = (struct blob){.fd = memfd_create("torpor contents", MFD_CLOEXEC)};
	if (to->fd < 0)
		return err_sys(err, errno, "memfd_create");
	ret = crypt_chunks(key, role, from, to, total, encrypt, err);
	if (ret < 0)
		close(take_fd(&to->fd));
	return ret;
}

int encrypt_blob(const struct data_key *key, const char *role, const struct blob *from,
		 struct blob *to, struct err *err)
{
	return crypt_blob(key, role, from, to, from->len, true, err);
}

int decrypt_blob(const struct data_key *key, const char *role, const struct blob *from,
		 struct blob *to, struct err *err)
{
	uint64_t total;

	*to = (struct blob){.fd = -1};
	if (!decrypted_size(from->len, &total))
		return not_encrypted(role, err);
	return crypt_blob(key, role, from, to, total, false, err);
}
