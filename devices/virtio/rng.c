/* virtio-rng (virtio 1.2 §5.4): getrandom(2) into the guest's buffers, or what a seed gives. Machine
 * lock held. */
#include "devices/virtio/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/num.h"
#include "format/crypto/blake2b.h"

/* Of one request: a device may give less than was asked for (§5.4.6.1). */
#define MAX_BYTES 65536u
/* In one turn: getrandom(2) is slower than a copy. */
#define TURN_BYTES (1u << 20)

struct rng {
	struct virtio_device virtio;
	bool seeded;
	uint64_t given; /* bytes since it was seeded */
	uint8_t seed[RNG_SEED_SIZE];
};

/* Block n of the stream is BLAKE2b of the seed and n. */
static void fill_seeded(struct rng *rng, uint8_t *dst, size_t len)
{
	uint8_t input[RNG_SEED_SIZE + sizeof(uint64_t)], block[BLAKE2B_MAX];

	memcpy(input, rng->seed, RNG_SEED_SIZE);
	while (len > 0) {
		size_t skip = rng->given % sizeof(block);
		size_t n = u64_min(len, sizeof(block) - skip);

		le_put64(input + RNG_SEED_SIZE, rng->given / sizeof(block));
		blake2b(block, sizeof(block), input, sizeof(input));
		memcpy(dst, block + skip, n);
		rng->given += n;
		dst += n;
		len -= n;
	}
}

static size_t fill_random(struct rng *rng, void *dst, size_t len)
{
	size_t done = 0;

	if (rng->seeded) {
		fill_seeded(rng, dst, len);
		return len;
	}
	while (done < len) {
		ssize_t got = getrandom((uint8_t *)dst + done, len - done, 0);

		if (got < 0 && errno != EINTR)
			break;
		done += got > 0 ? (size_t)got : 0;
	}
	return done;
}

static size_t rng_serve(struct rng *rng, const struct vq_elem *e)
{
	size_t done = 0;

	for (unsigned i = 0; i < e->nin && done < MAX_BYTES; i++) {
		size_t want = (size_t)u64_min(e->in[i].iov_len, MAX_BYTES - done);
		size_t got = fill_random(rng, e->in[i].iov_base, want);

		done += got;
		if (got < want)
			break;
	}
	return done;
}

static void rng_notify(struct virtio_device *v, unsigned index)
{
	struct rng *rng = container_of(v, struct rng, virtio);
	uint64_t budget = TURN_BYTES;
	struct vq_elem e;

	while (budget > 0 && virtio_pop(v, index, &e)) {
		size_t len = rng_serve(rng, &e);

		virtio_push(v, index, &e, len);
		virtio_spend(&budget, len);
	}
	virtio_interrupt(v, index);
	if (budget == 0)
		virtio_reschedule(v, index);
}

static void rng_free(struct virtio_device *v)
{
	free(container_of(v, struct rng, virtio));
}

static const struct virtio_type rng_type = {
	.id = VIRTIO_TYPE_RNG,
	.notify = rng_notify,
	.free = rng_free,
};

int virtio_rng_create(struct virtio_device **out, struct machine *m, const char *id,
		      const struct virtio_backend *backend, struct err *err)
{
	struct rng *rng = calloc(1, sizeof(*rng));

	(void)backend;
	if (rng == NULL)
		return err_sys(err, ENOMEM, "%s", id);
	virtio_init(&rng->virtio, m, id, &rng_type, 0, 1, NULL);
	*out = &rng->virtio;
	return 0;
}

void virtio_rng_seed(struct device *dev, const uint8_t *seed)
{
	struct rng *rng = container_of(dev, struct rng, virtio.dev);

	rng->seeded = seed != NULL;
	rng->given = 0;
	if (seed != NULL)
		memcpy(rng->seed, seed, sizeof(rng->seed));
}
