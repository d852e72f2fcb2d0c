/* See disk_digest.h. */
#include "format/image/disk_digest.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "base/io.h"
#include "base/num.h"
#include "base/parallel.h"

#define BATCH_FRAMES 2048u /* 128 MiB; between batches the hashes are taken together */
#define JOB_FRAMES   32u

struct batch {
	int fd;
	uint64_t size;
	const struct progress *progress;
	unsigned n;
	struct {
		uint64_t index;
		bool zero;
		uint8_t hash[DIGEST_SIZE];
	} frame[BATCH_FRAMES];
};

static int hash_frame(struct batch *b, unsigned i, uint8_t *data, struct err *err)
{
	const uint64_t at = b->frame[i].index * FRAME_SIZE;
	const uint64_t len = u64_min(FRAME_SIZE, b->size - at);
	int ret = io_pread(b->fd, data, len, at);

	if (ret < 0)
		return err_sys(err, -ret, "read a disk at %llu KiB",
			       (unsigned long long)(at >> 10));
	memset(data + len, 0, FRAME_SIZE - len);
	b->frame[i].zero = is_zero(data, FRAME_SIZE);
	return b->frame[i].zero ? 0 : digest_bytes(data, FRAME_SIZE, b->frame[i].hash, err);
}

static int hash_job(void *opaque, uint64_t job, struct err *err)
{
	struct batch *b = opaque;
	cleanup_free uint8_t *data = malloc(FRAME_SIZE);
	unsigned end = (unsigned)u64_min(b->n, (job + 1) * JOB_FRAMES);

	if (data == NULL)
		return err_sys(err, ENOMEM, "read a disk");
	for (unsigned i = (unsigned)job * JOB_FRAMES; i < end; i++) {
		int ret = progress_check(b->progress, err);

		if (ret < 0)
			return ret;
		ret = hash_frame(b, i, data, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int add_batch(struct batch *b, struct digest *sum, struct err *err)
{
	uint8_t number[8];
	int ret = parallel_run((b->n + JOB_FRAMES - 1) / JOB_FRAMES, hash_job, b, err);

	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < b->n; i++) {
		if (b->frame[i].zero)
			continue;
		le_put64(number, b->frame[i].index);
		digest_add(sum, number, sizeof(number));
		digest_add(sum, b->frame[i].hash, DIGEST_SIZE);
	}
	b->n = 0;
	return 0;
}

/* The next frame from `index` on that may hold data; `frames`: none. Where holes cannot be told, all is data. */
static uint64_t next_data(int fd, uint64_t index, uint64_t frames)
{
	off_t data = lseek(fd, (off_t)(index * FRAME_SIZE), SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? frames : index;
	return u64_min(frames, u64_max(index, (uint64_t)data / FRAME_SIZE));
}

/* Where the data that frame `index` begins ends. */
static uint64_t data_end(int fd, uint64_t index, uint64_t frames)
{
	off_t hole = lseek(fd, (off_t)(index * FRAME_SIZE), SEEK_HOLE);

	if (hole < 0)
		return frames;
	return u64_min(frames,
		       u64_max(index + 1, align_up((uint64_t)hole, FRAME_SIZE) / FRAME_SIZE));
}

int disk_digest(int fd, uint64_t size, const struct progress *progress, char text[DIGEST_TEXT_SIZE],
		struct err *err)
{
	const uint64_t frames = align_up(size, FRAME_SIZE) / FRAME_SIZE;
	cleanup_free struct batch *b = malloc(sizeof(*b));
	cleanup_digest struct digest *sum = NULL;
	uint8_t result[DIGEST_SIZE], number[8];
	uint64_t index = 0;
	int ret;

	if (b == NULL)
		return err_sys(err, ENOMEM, "read a disk");
	ret = digest_new(&sum, err);
	if (ret < 0)
		return ret;
	b->fd = fd;
	b->size = size;
	b->progress = progress;
	b->n = 0;
	le_put64(number, size);
	digest_add(sum, number, sizeof(number));
	while ((index = next_data(fd, index, frames)) < frames) {
		const uint64_t end = data_end(fd, index, frames);

		for (; index < end; index++) {
			b->frame[b->n++].index = index;
			if (b->n < BATCH_FRAMES)
				continue;
			ret = add_batch(b, sum, err);
			if (ret < 0)
				return ret;
		}
	}
	ret = add_batch(b, sum, err);
	if (ret < 0)
		return ret;
	ret = digest_end(sum, result, err);
	if (ret == 0)
		digest_text(result, text);
	return ret;
}
