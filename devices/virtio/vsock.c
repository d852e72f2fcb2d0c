/* virtio-vsock; see vsock.h. Machine lock held. */
#include "devices/virtio/vsock.h"

#include <errno.h>
#include <linux/virtio_vsock.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/num.h"
#include "vsock/hub.h"

#define F_STREAM VIRTIO_FEATURE(0) /* §5.10.3 */

enum { QUEUE_RX, QUEUE_TX, QUEUE_EVENT, QUEUES }; /* §5.10.2 */

struct vsock_state {
	uint64_t guest_cid;
	uint32_t reset_due; /* the guest is to learn that all connections are gone */
	uint32_t pad;
};

struct virtio_vsock {
	struct virtio_device v;
	struct vsock_state s;
	struct virtio_vsock_config config;
	struct vsock_hub *hub; /* owned */
	/* The event was sent when the driver's index was that; another one shows that it was handled. */
	bool resetting;
	uint16_t event_index;
	uint8_t data[VSOCK_BUFFER];
};

static const struct state_field vsock_fields[] = {
	STATE_SCALAR(struct vsock_state, guest_cid, 1, 1, STATE_EQUAL),
	STATE_SCALAR(struct vsock_state, reset_due, 2, 1, 0),
	STATE_PAD(struct vsock_state, pad),
};

const struct state_table virtio_vsock_table =
	STATE_TABLE("virtio-vsock", 1, struct vsock_state, vsock_fields);

static struct virtio_vsock *vsock_from_virtio(struct virtio_device *v)
{
	return container_of(v, struct virtio_vsock, v);
}

/* A packet of the guest. Returns its bytes, or -1 when it is none: the driver is at fault. */
static int64_t vsock_take_packet(struct virtio_vsock *vs, struct vq_elem *e)
{
	struct virtio_vsock_hdr hdr;
	uint32_t len;

	if (vq_read(e, &hdr, sizeof(hdr)) != sizeof(hdr))
		return -1;
	len = le16toh(hdr.op) == VIRTIO_VSOCK_OP_RW ? le32toh(hdr.len) : 0;
	if (len > e->out_len)
		return -1;
	if (len > VSOCK_BUFFER) {
		vsock_hub_receive(vs->hub, &hdr, NULL);
		return 0;
	}
	(void)vq_read(e, vs->data, len);
	vsock_hub_receive(vs->hub, &hdr, vs->data);
	return len;
}

/* What there is no room to answer is left in the queue: buffers for the answers come first. */
static void vsock_serve_tx(struct virtio_vsock *vs)
{
	uint64_t budget = VIRTIO_TURN_BYTES;
	struct vq_elem e;

	while (budget > 0 && vsock_hub_has_room(vs->hub) && virtio_pop(&vs->v, QUEUE_TX, &e)) {
		const int64_t len = vsock_take_packet(vs, &e);

		virtio_push(&vs->v, QUEUE_TX, &e, 0);
		if (len < 0)
			virtio_needs_reset(&vs->v, "a packet that is shorter than it says");
		virtio_spend(&budget, len > 0 ? (uint64_t)len : 0);
	}
	virtio_interrupt(&vs->v, QUEUE_TX);
	if (budget == 0)
		virtio_reschedule(&vs->v, QUEUE_TX);
}

/* Whether there was a packet for the buffer. */
static bool vsock_give_packet(struct virtio_vsock *vs, struct vq_elem *e, uint64_t *bytes)
{
	const uint64_t room = u64_min(e->in_len - sizeof(struct virtio_vsock_hdr), VSOCK_PACKET);
	struct virtio_vsock_hdr hdr;

	if (!vsock_hub_next(vs->hub, &hdr, vs->data, room))
		return false;
	*bytes = vq_write(e, &hdr, sizeof(hdr));
	*bytes += vq_write(e, vs->data, le32toh(hdr.len));
	return true;
}

static void vsock_serve_rx(struct virtio_vsock *vs)
{
	uint64_t budget = VIRTIO_TURN_BYTES, bytes = 0;
	struct vq_elem e;

	while (budget > 0 && vsock_hub_pending(vs->hub) && virtio_pop(&vs->v, QUEUE_RX, &e)) {
		if (e.in_len <= sizeof(struct virtio_vsock_hdr)) {
			virtio_push(&vs->v, QUEUE_RX, &e, 0);
			virtio_needs_reset(&vs->v, "a buffer that holds no packet");
			break;
		}
		if (!vsock_give_packet(vs, &e, &bytes)) {
			vq_unpop(&vs->v.queue[QUEUE_RX]);
			break;
		}
		virtio_push(&vs->v, QUEUE_RX, &e, bytes);
		virtio_spend(&budget, bytes);
	}
	virtio_interrupt(&vs->v, QUEUE_RX);
	if (budget == 0)
		virtio_reschedule(&vs->v, QUEUE_RX);
}

/* §5.10.6.7 */
static void vsock_send_event(struct virtio_vsock *vs)
{
	const struct virtio_vsock_event event = {htole32(VIRTIO_VSOCK_EVENT_TRANSPORT_RESET)};
	struct vq_elem e;

	if (!virtio_pop(&vs->v, QUEUE_EVENT, &e))
		return;
	/* Before the driver can see the event. */
	vs->event_index = vq_await_more(&vs->v.queue[QUEUE_EVENT]);
	if (vq_write(&e, &event, sizeof(event)) != sizeof(event)) {
		virtio_push(&vs->v, QUEUE_EVENT, &e, 0);
		virtio_needs_reset(&vs->v, "a buffer that holds no event");
		return;
	}
	virtio_push(&vs->v, QUEUE_EVENT, &e, sizeof(event));
	vs->s.reset_due = 0;
	vs->resetting = true;
	virtio_interrupt(&vs->v, QUEUE_EVENT);
}

static void vsock_serve_event(struct virtio_vsock *vs)
{
	if (!virtio_serving(&vs->v) || !vs->v.s.queue[QUEUE_EVENT].ready)
		return;
	if (vs->s.reset_due != 0)
		vsock_send_event(vs);
	if (vs->resetting && vq_avail_index(&vs->v.queue[QUEUE_EVENT]) != vs->event_index) {
		vs->resetting = false;
		vsock_hub_hold(vs->hub, false);
	}
}

static void vsock_serve(struct virtio_vsock *vs)
{
	bool full;

	vsock_serve_event(vs);
	vsock_serve_tx(vs);
	full = !vsock_hub_has_room(vs->hub);
	vsock_serve_rx(vs);
	if (full && vsock_hub_has_room(vs->hub))
		virtio_reschedule(&vs->v, QUEUE_TX);
}

static void vsock_notify(struct virtio_device *v, unsigned index)
{
	(void)index;
	vsock_serve(vsock_from_virtio(v));
}

static void vsock_hub_is_ready(void *opaque)
{
	struct virtio_vsock *vs = opaque;

	vsock_serve(vs);
}

static void vsock_reset(struct virtio_device *v)
{
	struct virtio_vsock *vs = vsock_from_virtio(v);

	vs->s.reset_due = 0;
	vs->resetting = false;
	vsock_hub_reset(vs->hub);
}

static int vsock_forget(struct virtio_device *v, struct err *err)
{
	(void)err;
	vsock_hub_reset(vsock_from_virtio(v)->hub);
	return 0;
}

static void vsock_loaded(struct virtio_device *v)
{
	struct virtio_vsock *vs = vsock_from_virtio(v);

	vs->resetting = false;
	vs->s.reset_due = (v->s.status & VIRTIO_DRIVER_OK) != 0 && v->s.queue[QUEUE_EVENT].ready;
	vsock_hub_hold(vs->hub, vs->s.reset_due != 0);
}

static int vsock_check(struct virtio_device *v, const void *staged, struct err *err)
{
	const struct vsock_state *s = staged;

	(void)v;
	return s->reset_due > 1 ? err_set(err, ERR_INTEGRITY, "impossible event") : 0;
}

static void vsock_free(struct virtio_device *v)
{
	struct virtio_vsock *vs = vsock_from_virtio(v);

	vsock_hub_close(vs->hub);
	free(vs);
}

static const struct virtio_type vsock_type = {
	.id = VIRTIO_TYPE_VSOCK,
	.table = &virtio_vsock_table,
	.notify = vsock_notify,
	.reset = vsock_reset,
	.forget = vsock_forget,
	.loaded = vsock_loaded,
	.check = vsock_check,
	.free = vsock_free,
};

int virtio_vsock_create(struct virtio_device **out, struct machine *m, const char *id,
			const struct virtio_backend *backend, struct err *err)
{
	struct virtio_vsock *vs = calloc(1, sizeof(*vs));
	const struct vsock_hub_params params = {
		.loop = &m->loop,
		.guest_cid = backend->cid,
		.ends = backend->vsock,
		.ready = vsock_hub_is_ready,
		.opaque = vs,
		.clock = clock_monotonic_ns,
	};
	int ret;

	if (vs == NULL) {
		vsock_ends_close(backend->vsock);
		return err_sys(err, ENOMEM, "%s", id);
	}
	ret = vsock_hub_open(&vs->hub, &params, err);
	if (ret < 0) {
		free(vs);
		return ret;
	}
	vs->s.guest_cid = backend->cid;
	vs->config.guest_cid = htole64(backend->cid);
	vs->v.config = &vs->config;
	vs->v.config_len = sizeof(vs->config);
	virtio_init(&vs->v, m, id, &vsock_type, F_STREAM, QUEUES, &vs->s);
	*out = &vs->v;
	return 0;
}
