/*
 * See image_pack.h. Jobs are frames [16 n, 16 n + 16) of the data, cut at the ends of parts. A
 * thread puts a finished job into a window. If no other thread is at the sink, it hands over the
 * jobs there that are next in order; then it takes a new job. One mutex guards the window and is
 * not held while packing or writing, so no core waits for another unless a whole window is finished
 * behind a job.
 */
#include "format/image/image_pack.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/parallel.h"
#include "format/crypto/cipher.h"
#include "format/crypto/digest.h"
#include "format/crypto/lazy.h"
#include "format/image/seek_table.h"

#define JOB_FRAMES 16u
#define WINDOW	   16u /* jobs, some 1 MiB each: twice the threads there are */

/* What a job works with, and what comes of it; kept for the next one. */
struct packer {
	struct packer *next;
	ZSTD_CCtx *cctx;
	struct digest *digest;
	struct cipher *cipher; /* NULL: frames are not encrypted */
	uint8_t *scratch;      /* a frame */
	uint8_t *packed;       /* of all frames of a job */
	size_t len;
	uint32_t sizes[JOB_FRAMES];
	unsigned frames;
};

struct pack {
	struct image_plan *plan;
	const struct image_sink *sink;
	const struct zstd_api *zstd; /* NULL: frames as they are */
	size_t bound;		     /* of a packed frame */
	int level;
	uint64_t jobs_a_part;

	pthread_mutex_t lock; /* guards the five below */
	pthread_cond_t turned;
	struct packer *idle;
	struct packer *finished[WINDOW]; /* job n at n % WINDOW; NULL: not yet */
	uint64_t turn;			 /* the job whose bytes come next */
	bool handing;			 /* a thread is at the sink */
	bool failed;

	/* Used by the thread at the sink. */
	struct digest *digest; /* of the part */
	uint64_t size;	       /* of the part so far */
	uint32_t *sizes;       /* of its frames */
	uint32_t frames;
};

static void packer_free(struct pack *pack, struct packer *p)
{
	if (p->cctx != NULL)
		pack->zstd->cctx_free(p->cctx);
	digest_free(p->digest);
	cipher_free(p->cipher);
	free(p->scratch);
	free(p->packed);
	free(p);
}

static struct packer *packer_new(struct pack *pack, struct err *err)
{
	struct packer *p = calloc(1, sizeof(*p));
	bool encrypts = pack->plan->key != NULL;

	if (p == NULL) {
		err_sys(err, ENOMEM, "pack an image");
		return NULL;
	}
	if (pack->zstd != NULL)
		p->cctx = pack->zstd->cctx_new();
	p->scratch = malloc(FRAME_SIZE);
	p->packed = malloc(JOB_FRAMES * (pack->bound + CIPHER_FRAME));
	if ((pack->zstd != NULL && p->cctx == NULL) || p->scratch == NULL || p->packed == NULL)
		err_sys(err, ENOMEM, "pack an image");
	else if (digest_new(&p->digest, err) == 0 &&
		 (!encrypts || cipher_new(&p->cipher, err) == 0))
		return p;
	packer_free(pack, p);
	return NULL;
}

static struct packer *take_packer(struct pack *pack, struct err *err)
{
	struct packer *p;

	pthread_mutex_lock(&pack->lock);
	p = pack->idle;
	if (p != NULL)
		pack->idle = p->next;
	pthread_mutex_unlock(&pack->lock);
	return p != NULL ? p : packer_new(pack, err);
}

/* With the lock. */
static void put_packer(struct pack *pack, struct packer *p)
{
	p->next = pack->idle;
	pack->idle = p;
}

static int compress_frame(const struct pack *pack, struct packer *p, const uint8_t *data,
			  uint8_t *out, size_t *size, struct err *err)
{
	*size = pack->zstd->compress(p->cctx, out, pack->bound, data, FRAME_SIZE, pack->level);
	if (pack->zstd->is_error(*size))
		return err_set(err, ERR_FAILED, "zstd: %s", pack->zstd->error_name(*size));
	return 0;
}

/* What is encrypted is packed to where its ciphertext will be. */
static int compress_and_encrypt(const struct pack *pack, struct packer *p, uint64_t place,
				const uint8_t *data, uint8_t *out, size_t *size, struct err *err)
{
	int ret = compress_frame(pack, p, data, out + CIPHER_FRAME_DATA, size, err);

	if (ret < 0)
		return ret;
	ret = encrypt_frame(p->cipher, pack->plan->key, pack->plan->role, place, out, *size, err);
	*size += CIPHER_FRAME;
	return ret;
}

static int encode_frame(const struct pack *pack, struct packer *p, uint64_t place,
			const uint8_t *data, struct err *err)
{
	uint8_t *out = p->packed + p->len;
	size_t size = FRAME_SIZE;
	int ret = 0;

	if (pack->zstd == NULL)
		memcpy(out, data, FRAME_SIZE);
	else if (pack->plan->key == NULL)
		ret = compress_frame(pack, p, data, out, &size, err);
	else
		ret = compress_and_encrypt(pack, p, place, data, out, &size, err);
	p->sizes[p->frames++] = (uint32_t)size;
	p->len += size;
	return ret;
}

static int pack_frame(struct pack *pack, struct packer *p, uint64_t place, uint64_t index,
		      struct err *err)
{
	struct image_plan *plan = pack->plan;
	const uint8_t *data = NULL;
	int ret = image_plan_read(plan, index, p->scratch, &data, err);

	if (ret < 0)
		return ret;
	if (!plan->hashed) {
		digest_add(p->digest, data, FRAME_SIZE);
		ret = digest_end(p->digest, plan->hashes + place * IMAGE_HASH_SIZE, err);
		if (ret < 0)
			return ret;
	}
	return encode_frame(pack, p, place, data, err);
}

static int sink_write(struct pack *pack, const void *data, size_t len, struct err *err)
{
	digest_add(pack->digest, data, len);
	pack->size += len;
	return pack->sink->write(pack->sink->opaque, data, len, err);
}

static int end_part(struct pack *pack, uint32_t index, struct err *err)
{
	cleanup_buf struct buf table = {0};
	uint8_t digest[DIGEST_SIZE];
	int ret;

	if (pack->level != IMAGE_PACK_NONE)
		seek_table_encode(pack->sizes, pack->frames, &table);
	if (buf_failed(&table))
		return err_sys(err, ENOMEM, "pack an image");
	ret = sink_write(pack, table.data, table.len, err);
	if (ret < 0)
		return ret;
	ret = digest_end(pack->digest, digest, err);
	if (ret < 0)
		return ret;
	ret = pack->sink->end(pack->sink->opaque, index, pack->size, digest, err);
	pack->size = 0;
	pack->frames = 0;
	return ret;
}

/* The job's turn: its bytes follow those of the job before. */
static int hand_over(struct pack *pack, const struct packer *p, uint32_t part, struct err *err)
{
	int ret = sink_write(pack, p->packed, p->len, err);

	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < p->frames; i++)
		pack->sizes[pack->frames++] = p->sizes[i];
	return pack->frames == pack->plan->part[part].frames ? end_part(pack, part, err) : 0;
}

/* Hand over what is finished, in order. With the lock, which is released meanwhile. */
static int hand_over_finished(struct pack *pack, struct err *err)
{
	struct packer **slot, *p;
	int ret = 0;

	pack->handing = true;
	while (ret == 0 && !pack->failed &&
	       *(slot = &pack->finished[pack->turn % WINDOW]) != NULL) {
		p = *slot;
		*slot = NULL;
		pthread_mutex_unlock(&pack->lock);
		ret = hand_over(pack, p, (uint32_t)(pack->turn / pack->jobs_a_part), err);
		pthread_mutex_lock(&pack->lock);
		put_packer(pack, p);
		pack->turn++;
		pthread_cond_broadcast(&pack->turned);
	}
	pack->handing = false;
	return ret;
}

static int pack_frames(struct pack *pack, struct packer *p, uint64_t first, uint64_t end,
		       struct err *err)
{
	uint32_t extent = 0;

	p->len = 0;
	p->frames = 0;
	for (uint64_t place = first; place < end; place++) {
		int ret = pack_frame(pack, p, place, image_plan_frame(pack->plan, place, &extent),
				     err);

		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Leave it for its turn, which may be now. The job whose turn it is never waits here. */
static int finish_job(struct pack *pack, uint64_t index, struct packer *p, struct err *err)
{
	while (index >= pack->turn + WINDOW && !pack->failed)
		pthread_cond_wait(&pack->turned, &pack->lock);
	if (pack->failed) {
		put_packer(pack, p);
		return 0; /* the job that failed has the error */
	}
	pack->finished[index % WINDOW] = p;
	return pack->handing ? 0 : hand_over_finished(pack, err);
}

static int pack_job(void *opaque, uint64_t index, struct err *err)
{
	struct pack *pack = opaque;
	uint32_t part = (uint32_t)(index / pack->jobs_a_part);
	uint64_t begin = part * pack->plan->part_frames;
	uint64_t first = begin + index % pack->jobs_a_part * JOB_FRAMES;
	uint64_t end = u64_min(first + JOB_FRAMES, begin + pack->plan->part[part].frames);
	struct packer *p = take_packer(pack, err);
	int ret = p != NULL ? pack_frames(pack, p, first, end, err) : -ENOMEM;

	pthread_mutex_lock(&pack->lock);
	if (ret == 0)
		ret = finish_job(pack, index, p, err);
	else if (p != NULL)
		put_packer(pack, p);
	if (ret < 0) {
		/* Wake the threads that wait for a turn that will not come. */
		pack->failed = true;
		pthread_cond_broadcast(&pack->turned);
	}
	pthread_mutex_unlock(&pack->lock);
	return ret;
}

static int pack_prepare(struct pack *pack, struct err *err)
{
	pack->bound = FRAME_SIZE;
	if (pack->level != IMAGE_PACK_NONE) {
		pack->zstd = lazy_zstd(err);
		if (pack->zstd == NULL)
			return -ENOSYS;
		pack->bound = pack->zstd->bound(FRAME_SIZE);
	}
	pack->sizes = malloc(pack->plan->part_frames * sizeof(pack->sizes[0]) + 1);
	if (pack->sizes == NULL)
		return err_sys(err, ENOMEM, "pack an image");
	return digest_new(&pack->digest, err);
}

static void free_packers(struct pack *pack)
{
	while (pack->idle != NULL) {
		struct packer *next = pack->idle->next;

		packer_free(pack, pack->idle);
		pack->idle = next;
	}
	for (unsigned i = 0; i < WINDOW; i++) { /* of a pack that failed */
		if (pack->finished[i] != NULL)
			packer_free(pack, pack->finished[i]);
	}
}

int image_pack(struct image_plan *plan, int level, const struct image_sink *sink, struct err *err)
{
	struct pack pack = {
		.plan = plan,
		.sink = sink,
		.level = level,
		.jobs_a_part = (plan->part_frames + JOB_FRAMES - 1) / JOB_FRAMES,
	};
	uint64_t jobs = 0;
	int ret;

	if (plan->nparts > 0)
		jobs = (plan->nparts - 1) * pack.jobs_a_part +
		       (plan->part[plan->nparts - 1].frames + JOB_FRAMES - 1) / JOB_FRAMES;
	pthread_mutex_init(&pack.lock, NULL);
	pthread_cond_init(&pack.turned, NULL);
	ret = pack_prepare(&pack, err);
	if (ret == 0)
		ret = parallel_run(jobs, pack_job, &pack, err);
	free_packers(&pack);
	pthread_cond_destroy(&pack.turned);
	pthread_mutex_destroy(&pack.lock);
	digest_free(pack.digest);
	free(pack.sizes);
	return ret;
}
