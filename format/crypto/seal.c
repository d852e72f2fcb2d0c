/* See seal.h. Keys are loaded anew for each box: that takes a hundredth of unpacking a frame. */
#include "format/crypto/seal.h"

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

struct sealer {
	const struct seal_api *api;
	EVP_CIPHER_CTX *ctx;
};

int sealer_new(struct sealer **out, struct err *err)
{
	const struct seal_api *api = lazy_seal(err);
	struct sealer *s;

	*out = NULL;
	if (api == NULL)
		return -ENOSYS;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return err_sys(err, ENOMEM, "seal");
	s->api = api;
	s->ctx = api->ctx_new();
	if (s->ctx == NULL || api->init(s->ctx, api->aes_256_gcm(), NULL, NULL, NULL, 1) != 1) {
		sealer_free(s);
		return err_set(err, ERR_FAILED, "libcrypto has no AES-256-GCM");
	}
	*out = s;
	return 0;
}

void sealer_free(struct sealer *s)
{
	if (s == NULL)
		return;
	s->api->ctx_free(s->ctx);
	free(s);
}

struct seal_key *seal_key_new(struct err *err)
{
	struct seal_key *key = secret_new(sizeof(*key), err);

	if (key != NULL && getentropy(key->bytes, sizeof(key->bytes)) < 0) {
		err_sys(err, errno, "random numbers");
		seal_key_free(key);
		return NULL;
	}
	return key;
}

void seal_key_free(struct seal_key *key)
{
	secret_free(key, sizeof(*key));
}

/* Key, nonce, and what is authenticated only. */
static bool begin(struct sealer *s, const struct seal_key *key, const uint8_t *nonce,
		  const void *bound, size_t bound_len, bool seal)
{
	int done;

	return s->api->init(s->ctx, NULL, NULL, key->bytes, nonce, seal) == 1 &&
	       s->api->update(s->ctx, NULL, &done, bound, (int)bound_len) == 1;
}

static bool crypt_all(struct sealer *s, const void *in, size_t len, void *out)
{
	int done = 0;

	return len == 0 ||
	       (s->api->update(s->ctx, out, &done, in, (int)len) == 1 && (size_t)done == len);
}

int seal_box(struct sealer *s, const struct seal_key *key, const void *bound, size_t bound_len,
	     const void *plain, size_t len, uint8_t *box, struct err *err)
{
	uint8_t *tag = box + SEAL_NONCE + len, none[1];
	int done;

	if (getentropy(box, SEAL_NONCE) < 0)
		return err_sys(err, errno, "random numbers");
	if (!begin(s, key, box, bound, bound_len, true) ||
	    !crypt_all(s, plain, len, box + SEAL_NONCE) ||
	    s->api->final(s->ctx, none, &done) != 1 ||
	    s->api->ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG, tag) != 1)
		return err_set(err, ERR_FAILED, "libcrypto could not seal");
	return 0;
}

int seal_open(struct sealer *s, const struct seal_key *key, const void *bound, size_t bound_len,
	      const uint8_t *box, void *plain, size_t len, struct err *err)
{
	uint8_t tag[SEAL_TAG], none[1];
	int done;

	memcpy(tag, box + SEAL_NONCE + len, SEAL_TAG);
	if (!begin(s, key, box, bound, bound_len, false) ||
	    s->api->ctrl(s->ctx, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG, tag) != 1 ||
	    !crypt_all(s, box + SEAL_NONCE, len, plain))
		return err_set(err, ERR_FAILED, "libcrypto could not decrypt");
	return s->api->final(s->ctx, none, &done) == 1
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "it is not what was sealed");
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

int seal_frame(struct sealer *s, const struct seal_key *key, const char *role, uint64_t place,
	       uint8_t *sealed, size_t len, struct err *err)
{
	struct bound b = bind(role, place, 0);

	le_put32(sealed, SKIPPABLE_MAGIC);
	le_put32(sealed + 4, (uint32_t)(SEAL_BOX + len));
	return seal_box(s, key, b.bytes, b.len, sealed + SEAL_FRAME_DATA, len, sealed + 8, err);
}

int seal_open_frame(struct sealer *s, const struct seal_key *key, const char *role, uint64_t place,
		    uint8_t *sealed, size_t len, struct err *err)
{
	struct bound b = bind(role, place, 0);

	if (len < SEAL_FRAME || le_get32(sealed) != SKIPPABLE_MAGIC ||
	    le_get32(sealed + 4) != len - 8)
		return err_set(err, ERR_INTEGRITY, "it is not sealed");
	return seal_open(s, key, b.bytes, b.len, sealed + 8, sealed + SEAL_FRAME_DATA,
			 len - SEAL_FRAME, err);
}

/* --- blobs, chunk by chunk --- */

uint64_t seal_stored_size(uint64_t plain)
{
	return plain + (plain + CHUNK - 1) / CHUNK * SEAL_BOX;
}

bool seal_plain_size(uint64_t stored, uint64_t *plain)
{
	uint64_t chunks = stored / (CHUNK + SEAL_BOX) + (stored % (CHUNK + SEAL_BOX) != 0);

	*plain = stored - u64_min(stored, chunks * SEAL_BOX);
	return seal_stored_size(*plain) == stored;
}

static int seal_chunk(struct sealer *s, const struct seal_key *key, const char *role,
		      uint64_t index, uint64_t total, const void *plain, uint8_t *box,
		      struct err *err)
{
	struct bound b = bind(role, index, total);

	return seal_box(s, key, b.bytes, b.len, plain, u64_min(CHUNK, total - index * CHUNK), box,
			err);
}

static int open_chunk(struct sealer *s, const struct seal_key *key, const char *role,
		      uint64_t index, uint64_t total, const uint8_t *box, void *plain,
		      struct err *err)
{
	struct bound b = bind(role, index, total);
	int ret = seal_open(s, key, b.bytes, b.len, box, plain,
			    u64_min(CHUNK, total - index * CHUNK), err);

	return ret < 0 ? err_context(err, ret, "%s", role) : 0;
}

int seal_bytes(const struct seal_key *key, const char *role, const void *data, size_t len,
	       struct buf *out, struct err *err)
{
	cleanup_sealer struct sealer *s = NULL;
	uint8_t *box = buf_add(out, NULL, seal_stored_size(len));
	int ret = box != NULL || len == 0 ? sealer_new(&s, err) : err_sys(err, ENOMEM, "seal");

	for (uint64_t at = 0; ret == 0 && at < len; at += CHUNK)
		ret = seal_chunk(s, key, role, at / CHUNK, len, (const uint8_t *)data + at,
				 box + at / CHUNK * (CHUNK + SEAL_BOX), err);
	return ret;
}

static int no_blob(const char *role, struct err *err)
{
	return err_set(err, ERR_INTEGRITY, "%s: it is not sealed", role);
}

int seal_open_bytes(const struct seal_key *key, const char *role, uint8_t *data, size_t stored,
		    struct err *err)
{
	cleanup_sealer struct sealer *s = NULL;
	uint8_t box[CHUNK + SEAL_BOX];
	uint64_t len;
	int ret = seal_plain_size(stored, &len) ? sealer_new(&s, err) : no_blob(role, err);

	for (uint64_t at = 0; ret == 0 && at < len; at += CHUNK) {
		/* What is opened never reaches the chunks behind it. */
		memcpy(box, data + at / CHUNK * sizeof(box), u64_min(CHUNK, len - at) + SEAL_BOX);
		ret = open_chunk(s, key, role, at / CHUNK, len, box, data + at, err);
	}
	return ret;
}

static int open_memory(struct blob *to, struct err *err)
{
	to->fd = memfd_create("torpor contents", MFD_CLOEXEC);
	return to->fd >= 0 ? 0 : err_sys(err, errno, "memfd_create");
}

/* One chunk after the other goes through a pair of buffers. */
struct passage {
	struct sealer *s;
	uint8_t plain[CHUNK];
	uint8_t box[CHUNK + SEAL_BOX];
};

static int pass(const struct seal_key *key, const char *role, const struct blob *from,
		struct blob *to, uint64_t total, bool seal, struct err *err)
{
	struct passage *p = malloc(sizeof(*p));
	int ret = p != NULL ? sealer_new(&p->s, err) : err_sys(err, ENOMEM, "seal");

	if (p == NULL)
		return ret;
	for (uint64_t i = 0; ret == 0 && i * CHUNK < total; i++) {
		uint64_t plain = u64_min(CHUNK, total - i * CHUNK), box = plain + SEAL_BOX;

		ret = blob_read(from, i * (seal ? CHUNK : CHUNK + SEAL_BOX),
				seal ? p->plain : p->box, seal ? plain : box, err);
		if (ret == 0)
			ret = seal ? seal_chunk(p->s, key, role, i, total, p->plain, p->box, err)
				   : open_chunk(p->s, key, role, i, total, p->box, p->plain, err);
		if (ret < 0)
			break;
		ret = io_pwrite(to->fd, seal ? p->box : p->plain, seal ? box : plain, to->len);
		if (ret < 0)
			err_sys(err, -ret, "hold %s in memory", role);
		to->len += seal ? box : plain;
	}
	explicit_bzero(p->plain, sizeof(p->plain));
	sealer_free(p->s);
	free(p);
	return ret;
}

static int pass_to_memory(const struct seal_key *key, const char *role, const struct blob *from,
			  struct blob *to, uint64_t total, bool seal, struct err *err)
{
	int ret;

	*to = (struct blob){.fd = -1};
	ret = open_memory(to, err);
	if (ret == 0)
		ret = pass(key, role, from, to, total, seal, err);
	if (ret < 0 && to->fd >= 0)
		close(take_fd(&to->fd));
	return ret;
}

int seal_blob(const struct seal_key *key, const char *role, const struct blob *from,
	      struct blob *to, struct err *err)
{
	return pass_to_memory(key, role, from, to, from->len, true, err);
}

int seal_open_blob(const struct seal_key *key, const char *role, const struct blob *from,
		   struct blob *to, struct err *err)
{
	uint64_t total;

	*to = (struct blob){.fd = -1};
	if (!seal_plain_size(from->len, &total))
		return no_blob(role, err);
	return pass_to_memory(key, role, from, to, total, false, err);
}
