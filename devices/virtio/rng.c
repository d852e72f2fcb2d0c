/* virtio-rng (virtio 1.2 §5.4): getrandom(2) into the guest's buffers. Machine lock held. */
#include "devices/virtio/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/num.h"

/* Of one request: a device may give less than was asked for (§5.4.6.1). */
#define MAX_BYTES 65536u
/* In one turn: getrandom(2) is slower than a copy. */
#define TURN_BYTES (1u << 20)

static size_t fill_random(void *dst, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t got = getrandom((uint8_t *)dst + done, len - done, 0);

		if (got < 0 && errno != EINTR)
			break;
		done += got > 0 ? (size_t)got : 0;
	}
	return done;
}

static size_t rng_serve(const struct vq_elem *e)
{
	size_t done = 0;

	for (unsigned i = 0; i < e->nin && done < MAX_BYTES; i++) {
		size_t want = (size_t)u64_min(e->in[i].iov_len, MAX_BYTES - done);
		size_t got = fill_random(e->in[i].iov_base, want);

		done += got;
		if (got < want)
			break;
	}
	return done;
}

static void rng_notify(struct virtio_device *v, unsigned index)
{
	uint64_t budget = TURN_BYTES;
	struct vq_elem e;

	while (budget > 0 && virtio_pop(v, index, &e)) {
		size_t len = rng_serve(&e);

		virtio_push(v, index, &e, len);
		virtio_spend(&budget, len);
	}
	virtio_interrupt(v, index);
	if (budget == 0)
		virtio_reschedule(v, index);
}

static void rng_free(struct virtio_device *v)
{
	free(v);
}

static const struct virtio_type rng_type = {
	.id = VIRTIO_TYPE_RNG,
	.notify = rng_notify,
	.free = rng_free,
};

int virtio_rng_create(struct virtio_device **out, struct machine *m, const char *id,
		      const struct virtio_backend *backend, struct err *err)
{
	struct virtio_device *v = calloc(1, sizeof(*v));

	(void)backend;
	if (v == NULL)
		return err_sys(err, ENOMEM, "%s", id);
	virtio_init(v, m, id, &rng_type, 0, 1, NULL);
	*out = v;
	return 0;
}
