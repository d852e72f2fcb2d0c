/* The saved state of a virtio device: its table, and the checks of staged state. Pure functions. */
#include "devices/virtio/state.h"

static const struct state_field virtio_state_fields[] = {
	STATE_SCALAR(struct virtio_state, device_id, 1, 1, STATE_EQUAL),
	STATE_SCALAR(struct virtio_state, status, 2, 1, STATE_HEX),
	STATE_SCALAR(struct virtio_state, features, 3, 1, STATE_HEX),
	STATE_SCALAR(struct virtio_state, generation, 4, 1, 0),
	STATE_SCALAR(struct virtio_state, nqueues, 5, 1, STATE_EQUAL),
	STATE_VSTRUCT(struct virtio_state, queue, nqueues, 6, 1, &vq_state_table),
};

const struct state_table virtio_state_table =
	STATE_TABLE("virtio", 1, struct virtio_state, virtio_state_fields);

static int check_status(const struct virtio_device *v, const struct virtio_state *s,
			struct err *err)
{
	const uint32_t known = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_DRIVER_OK |
			       VIRTIO_FEATURES_OK | VIRTIO_NEEDS_RESET | VIRTIO_FAILED;
	bool negotiated = (s->status & VIRTIO_FEATURES_OK) != 0;

	if ((s->status & ~known) != 0 || ((s->status & VIRTIO_DRIVER_OK) != 0 && !negotiated))
		return err_set(err, ERR_INTEGRITY, "impossible device status %#x", s->status);
	if (!negotiated)
		return 0;
	if ((s->features & ~v->offered) != 0)
		return err_set(err, ERR_INCOMPATIBLE,
			       "the guest uses features %#llx, which this device does not offer",
			       (unsigned long long)(s->features & ~v->offered));
	if ((s->features & VIRTIO_VERSION_1) == 0)
		return err_set(err, ERR_INTEGRITY, "impossible features %#llx",
			       (unsigned long long)s->features);
	return 0;
}

static int check_queue(const struct virtio_device *v, const struct virtio_state *s, unsigned index,
		       struct err *err)
{
	const struct vq_state *q = &s->queue[index];
	const char *fault;

	if (!q->ready)
		return 0;
	if (q->ready != 1 || (s->status & VIRTIO_FEATURES_OK) == 0)
		return err_set(err, ERR_INTEGRITY, "queue %u: impossible state", index);
	fault = vq_layout_fault(q, &v->m->mem);
	if (fault != NULL)
		return err_set(err, ERR_INTEGRITY, "queue %u: %s", index, fault);
	/* A quiesced device has pushed or unpopped every element. */
	if (q->next_avail != q->next_used)
		return err_set(err, ERR_INTEGRITY, "queue %u: impossible indices", index);
	return 0;
}

int virtio_state_check(const struct virtio_device *v, const struct virtio_state *s, struct err *err)
{
	int ret = check_status(v, s, err);

	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < v->s.nqueues; i++) {
		ret = check_queue(v, s, i, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}
