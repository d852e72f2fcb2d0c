/* See frame_reader.h. A reader belongs to one thread at a time; the pool's mutex guards its
 * list. */
#include "format/image/frame_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arrival.h"
#include "format/crypto/cipher.h"
#include "format/crypto/digest.h"
#include "format/crypto/lazy.h"

/* ZSTD_compressBound(FRAME_SIZE), and no frame of ours is larger. */
#define MAX_PACKED (FRAME_SIZE + 1024u + CIPHER_FRAME)

struct frame_reader {
	struct frame_reader *next; /* in the pool */
	const struct zstd_api *zstd;
	ZSTD_DCtx *dctx;
	struct digest *digest;
	struct cipher *cipher; /* made for the first encrypted frame */
	uint8_t packed[MAX_PACKED];
};

int frame_reader_prepare(struct frame_reader *r, struct err *err)
{
	if (r->digest != NULL)
		return 0;
	r->zstd = lazy_zstd(err);
	if (r->zstd == NULL)
		return -ENOSYS;
	if (r->dctx == NULL)
		r->dctx = r->zstd->dctx_new();
	if (r->dctx == NULL)
		return err_sys(err, ENOMEM, "decode");
	return digest_new(&r->digest, err);
}

int frame_reader_new(struct frame_reader **out, struct err *err)
{
	*out = calloc(1, sizeof(**out));
	return *out != NULL ? 0 : err_sys(err, ENOMEM, "read an image");
}

void frame_reader_free(struct frame_reader *r)
{
	if (r == NULL)
		return;
	if (r->dctx != NULL)
		r->zstd->dctx_free(r->dctx);
	digest_free(r->digest);
	cipher_free(r->cipher);
	free(r);
}

static int check_hash(struct frame_reader *r, const struct image *image, uint64_t place,
		      const uint8_t *frame, struct err *err)
{
	uint8_t digest[DIGEST_SIZE];
	int ret;

	digest_add(r->digest, frame, FRAME_SIZE);
	ret = digest_end(r->digest, digest, err);
	if (ret < 0)
		return ret;
	if (memcmp(digest, image->hash_list + place * IMAGE_HASH_SIZE, sizeof(digest)) != 0)
		return err_set(err, ERR_INTEGRITY, "SHA-256 differs");
	return 0;
}

/* In place. */
static int decrypt_packed(struct frame_reader *r, const struct image *image, uint64_t place,
			  size_t len, struct err *err)
{
	int ret = image_check_open(image, err);

	if (ret < 0)
		return ret;
	if (r->cipher == NULL) {
		ret = cipher_new(&r->cipher, err);
		if (ret < 0)
			return ret;
	}
	return decrypt_frame(r->cipher, image->key, image->role, place, r->packed, len, err);
}

static int frame_read_packed(struct frame_reader *r, const struct image *image, uint64_t place,
			     const struct blob *packed, uint8_t *frame, struct err *err)
{
	size_t len = packed->len, before = 0, got;
	int ret = frame_reader_prepare(r, err);

	if (ret < 0)
		return ret;
	if (packed->len > sizeof(r->packed))
		return err_set(err, ERR_INTEGRITY, "its packed form is too long");
	ret = blob_read(packed, 0, r->packed, len, err);
	if (ret < 0)
		return ret;
	if (image->encrypted) {
		ret = decrypt_packed(r, image, place, len, err);
		if (ret < 0)
			return ret;
		len -= CIPHER_FRAME;
		before = CIPHER_FRAME_DATA;
	}
	got = r->zstd->decompress(r->dctx, frame, FRAME_SIZE, r->packed + before, len);
	if (got != FRAME_SIZE)
		return err_set(err, ERR_INTEGRITY, "it cannot be unpacked (%s)",
			       r->zstd->is_error(got) ? r->zstd->error_name(got) : "too short");
	return check_hash(r, image, place, frame, err);
}

static int frame_read_flat(struct frame_reader *r, const struct image *image, uint64_t place,
			   const struct blob *blob, uint8_t *frame, struct err *err)
{
	int ret = blob_read(blob, 0, frame, FRAME_SIZE, err);

	if (ret < 0 || !image->checked)
		return ret;
	ret = frame_reader_prepare(r, err);
	return ret < 0 ? ret : check_hash(r, image, place, frame, err);
}

static int frame_read_once(struct frame_reader *r, const struct image *image, uint64_t place,
			   uint8_t *frame, struct err *err)
{
	bool packed;
	struct blob blob = image_frame_place(image, place, &packed);

	return packed ? frame_read_packed(r, image, place, &blob, frame, err)
		      : frame_read_flat(r, image, place, &blob, frame, err);
}

/* A frame that arrived wrong is asked for once more. */
static int frame_read_again(struct frame_reader *r, const struct image *image, uint64_t place,
			    uint8_t *frame, struct err *err)
{
	struct blob blob;
	struct err first = {0};
	bool packed;
	int ret = image_has_table(image, place) ? 0 : image_load_table(image, place, err);

	if (ret < 0)
		return ret;
	ret = frame_read_once(r, image, place, frame, &first);
	if (ret == 0)
		return 0;
	blob = image_frame_place(image, place, &packed);
	if (first.kind != ERR_INTEGRITY || blob.arrival == NULL || blob.len == 0)
		return err_copy(err, ret, &first);
	ret = arrival_again(blob.arrival, blob.offset, blob.len, err);
	if (ret < 0)
		return err_context(err, ret, "%s, and it cannot be fetched again", first.text);
	return frame_read_once(r, image, place, frame, err);
}

int frame_read(struct frame_reader *r, const struct image *image, uint64_t place,
	       uint8_t frame[FRAME_SIZE], struct err *err)
{
	int ret = image->checked ? frame_read_again(r, image, place, frame, err)
				 : frame_read_once(r, image, place, frame, err);

	if (ret == 0)
		return 0;
	return err_context(err, ret, "frame %llu of %s",
			   (unsigned long long)image_map_frame_at(&image->map, place), image->role);
}

void frame_readers_init(struct frame_readers *pool)
{
	pthread_mutex_init(&pool->lock, NULL);
	pool->idle = NULL;
}

void frame_readers_free(struct frame_readers *pool)
{
	while (pool->idle != NULL) {
		struct frame_reader *next = pool->idle->next;

		frame_reader_free(pool->idle);
		pool->idle = next;
	}
	pthread_mutex_destroy(&pool->lock);
}

int frame_readers_read(struct frame_readers *pool, const struct image *image, uint64_t place,
		       uint8_t frame[FRAME_SIZE], struct err *err)
{
	struct frame_reader *r;
	int ret;

	pthread_mutex_lock(&pool->lock);
	r = pool->idle;
	if (r != NULL)
		pool->idle = r->next;
	pthread_mutex_unlock(&pool->lock);
	if (r == NULL) {
		ret = frame_reader_new(&r, err);
		if (ret < 0)
			return ret;
	}
	ret = frame_read(r, image, place, frame, err);
	pthread_mutex_lock(&pool->lock);
	r->next = pool->idle;
	pool->idle = r;
	pthread_mutex_unlock(&pool->lock);
	return ret;
}
