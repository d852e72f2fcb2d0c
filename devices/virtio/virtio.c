/* What all virtio devices have in common; see virtio.h. Machine lock held throughout. */
#include "devices/virtio/virtio.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "devices/virtio/state.h"

static const struct device_ops virtio_device_ops;

static struct virtio_device *virtio_from_device(struct device *dev)
{
	return container_of(dev, struct virtio_device, dev);
}

static void virtio_add_part(struct virtio_device *v, const char *name,
			    const struct state_table *table, void *state)
{
	assert(v->dev.nparts < DEVICE_MAX_PARTS);
	v->dev.part[v->dev.nparts++] =
		(struct device_part){.name = name, .table = table, .state = state};
}

void virtio_init(struct virtio_device *v, struct machine *m, const char *id,
		 const struct virtio_type *type, uint64_t features, unsigned nqueues,
		 void *type_state)
{
	assert(nqueues <= VIRTIO_MAX_QUEUES);
	snprintf(v->dev.id, sizeof(v->dev.id), "%s", id);
	v->dev.ops = &virtio_device_ops;
	v->type = type;
	v->m = m;
	v->offered = features | VIRTIO_COMMON_FEATURES;
	v->s = (struct virtio_state){.device_id = type->id, .nqueues = nqueues};
	for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) {
		v->s.queue[i].size = VQ_MAX_SIZE;
		vq_init(&v->queue[i], &v->s.queue[i], &m->mem);
		v->notifier[i] =
			(struct virtio_notifier){.v = v, .index = i, .fd = -1, .watch.fd = -1};
	}
	virtio_add_part(v, "", &virtio_state_table, &v->s);
	if (type->table != NULL)
		virtio_add_part(v, "type", type->table, type_state);
	v->dev.extra = type->extra;
}

void virtio_set_transport(struct virtio_device *v, struct virtio_transport *t, const char *name,
			  void *state)
{
	v->transport = t;
	t->v = v;
	virtio_add_part(v, name, t->ops->table, state);
}

bool virtio_serving(const struct virtio_device *v)
{
	const uint32_t mask = VIRTIO_DRIVER_OK | VIRTIO_FAILED | VIRTIO_NEEDS_RESET;

	return v->running && !v->held && v->resetting == 0 &&
	       (v->s.status & mask) == VIRTIO_DRIVER_OK;
}

void virtio_needs_reset(struct virtio_device *v, const char *why)
{
	log_guest(&v->m->log, &v->limit, "%s: %s: the driver must reset it", v->dev.id, why);
	if ((v->s.status & VIRTIO_NEEDS_RESET) != 0)
		return;
	v->s.status |= VIRTIO_NEEDS_RESET;
	if ((v->s.status & VIRTIO_DRIVER_OK) != 0)
		virtio_config_changed(v);
}

void virtio_config_changed(struct virtio_device *v)
{
	v->s.generation++;
	v->transport->ops->interrupt(v->transport, VIRTIO_CAUSE_CONFIG);
}

bool virtio_pop(struct virtio_device *v, unsigned index, struct vq_elem *elem)
{
	struct vq *q = &v->queue[index];
	enum vq_result result;

	if (!virtio_serving(v) || !q->s->ready)
		return false;
	result = vq_pop(q, elem);
	if (result == VQ_BROKEN)
		virtio_needs_reset(v, q->fault);
	return result == VQ_ELEMENT;
}

void virtio_push(struct virtio_device *v, unsigned index, const struct vq_elem *elem, uint64_t len)
{
	/* A chain has less than 4 GiB (queue.c). */
	vq_push(&v->queue[index], elem->head, (uint32_t)len);
}

/* The queue was reset or rewound: the element is no longer in flight. */
static void virtio_forget_inflight(struct virtio_device *v, unsigned index)
{
	if (v->inflight[index] != NULL)
		v->inflight[index]->active = false;
}

bool virtio_next(struct virtio_device *v, unsigned index, bool *fresh)
{
	struct virtio_inflight *f = v->inflight[index];

	*fresh = !f->active;
	if (!f->active)
		f->active = virtio_pop(v, index, &f->elem);
	return f->active;
}

void virtio_complete(struct virtio_device *v, unsigned index, uint64_t len)
{
	struct virtio_inflight *f = v->inflight[index];

	virtio_push(v, index, &f->elem, len);
	f->active = false;
}

void virtio_rewind(struct virtio_device *v, unsigned index)
{
	struct virtio_inflight *f = v->inflight[index];

	if (f != NULL && f->active)
		vq_unpop(&v->queue[index]);
	virtio_forget_inflight(v, index);
}

bool virtio_available(struct virtio_device *v, unsigned index)
{
	return virtio_serving(v) && v->s.queue[index].ready && vq_available(&v->queue[index]);
}

void virtio_rested(struct virtio_device *v)
{
	machine_rested(v->m);
}

void virtio_interrupt(struct virtio_device *v, unsigned index)
{
	if (v->s.queue[index].ready && vq_wants_interrupt(&v->queue[index]))
		v->transport->ops->interrupt(v->transport, VIRTIO_CAUSE_USED);
}

void virtio_notify(struct virtio_device *v, unsigned index)
{
	if (index < v->s.nqueues && virtio_serving(v) && v->s.queue[index].ready)
		v->type->notify(v, index);
}

/* Buffers may have become available while notifications were ignored. */
static void notify_all_queues(struct virtio_device *v)
{
	for (unsigned i = 0; i < v->s.nqueues; i++)
		virtio_notify(v, i);
}

static void on_virtio_notify(struct loop_watch *watch, uint32_t events)
{
	struct virtio_notifier *notifier = container_of(watch, struct virtio_notifier, watch);
	eventfd_t ignored;

	(void)events;
	(void)eventfd_read(watch->fd, &ignored);
	virtio_notify(notifier->v, notifier->index);
}

static int watch_notifier(struct virtio_notifier *n, int fd, struct err *err)
{
	struct virtio_device *v = n->v;

	if (v->type->watch != NULL)
		return v->type->watch(v, n->index, fd);
	return loop_add(&v->m->loop, &n->watch, fd, EPOLLIN, on_virtio_notify, err);
}

int virtio_notify_fd(struct virtio_device *v, unsigned index)
{
	struct virtio_notifier *n = &v->notifier[index];
	struct err err;
	int fd;

	if (n->fd >= 0)
		return n->fd;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0 || watch_notifier(n, fd, &err) < 0) {
		log_guest(&v->m->log, &v->limit, "%s: no eventfd for queue %u", v->dev.id, index);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	n->fd = fd;
	return fd;
}

void virtio_reschedule(struct virtio_device *v, unsigned index)
{
	int fd = virtio_notify_fd(v, index);

	if (fd >= 0)
		(void)eventfd_write(fd, 1);
	else
		virtio_needs_reset(v, "out of descriptors");
}

/* The driver is about to take the buffers back that threads of the type read and write. Its vCPU waits;
 * the others and the loop go on. */
static void wait_for_threads(struct virtio_device *v)
{
	if (v->type->pending == NULL || v->type->pending(v) == 0)
		return;
	v->resetting++;
	while (v->type->pending(v) > 0 && machine_await_rest(v->m))
		;
	v->resetting--;
}

static void virtio_reset_core(struct virtio_device *v)
{
	wait_for_threads(v);
	v->s.status = 0;
	v->s.features = 0;
	for (unsigned i = 0; i < v->s.nqueues; i++) {
		virtio_disable_queue(v, i);
		v->s.queue[i] = (struct vq_state){.size = VQ_MAX_SIZE};
	}
	if (v->type->reset != NULL)
		v->type->reset(v);
}

void virtio_set_status(struct virtio_device *v, uint32_t status)
{
	uint32_t added = status & ~v->s.status;

	if (status == 0) {
		virtio_reset_core(v);
		v->transport->ops->reset(v->transport);
		return;
	}
	/* §3.1.1: the device refuses features by leaving FEATURES_OK unset. */
	if ((added & VIRTIO_FEATURES_OK) != 0 && (v->s.features & ~v->offered) == 0 &&
	    virtio_has(v, VIRTIO_VERSION_1))
		v->s.status |= VIRTIO_FEATURES_OK;
	v->s.status |= added & (VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FAILED);
	if ((added & VIRTIO_DRIVER_OK) == 0 || (v->s.status & VIRTIO_FEATURES_OK) == 0)
		return;
	v->s.status |= VIRTIO_DRIVER_OK;
	/* §2.1.2: the driver is notified of an earlier fault now. */
	if ((v->s.status & VIRTIO_NEEDS_RESET) != 0)
		virtio_config_changed(v);
	notify_all_queues(v);
}

void virtio_set_features(struct virtio_device *v, uint32_t word, uint32_t bits)
{
	unsigned shift = 32 * word;

	if (word > 1 || (v->s.status & VIRTIO_FEATURES_OK) != 0)
		return;
	v->s.features &= ~((uint64_t)UINT32_MAX << shift);
	v->s.features |= (uint64_t)bits << shift;
}

static void virtio_queue_enable(struct virtio_device *v, unsigned index)
{
	vq_enable(&v->queue[index], virtio_has(v, VIRTIO_EVENT_IDX),
		  virtio_has(v, VIRTIO_INDIRECT_DESC));
}

void virtio_enable_queue(struct virtio_device *v, unsigned index)
{
	struct vq_state *q = &v->s.queue[index];
	const char *fault = vq_layout_fault(q, &v->m->mem);

	if (q->ready)
		return;
	if ((v->s.status & VIRTIO_FEATURES_OK) == 0)
		fault = "queue set up before FEATURES_OK";
	if (fault != NULL) {
		virtio_needs_reset(v, fault);
		return;
	}
	q->next_avail = q->next_used = 0;
	q->ready = 1;
	virtio_queue_enable(v, index);
}

void virtio_disable_queue(struct virtio_device *v, unsigned index)
{
	wait_for_threads(v);
	v->s.queue[index].ready = 0;
	vq_disable(&v->queue[index]);
	virtio_forget_inflight(v, index);
	if (v->type->disable != NULL)
		v->type->disable(v, index);
}

uint32_t virtio_config_read(const struct virtio_device *v, uint64_t off, unsigned size)
{
	uint32_t value = 0;

	if (size <= sizeof(value) && range_within(off, size, v->config_len))
		memcpy(&value, (const uint8_t *)v->config + off, size);
	return le32toh(value);
}

void virtio_config_write(struct virtio_device *v, uint64_t off, uint32_t value, unsigned size)
{
	if (v->type->config_write != NULL && range_within(off, size, v->config_len))
		v->type->config_write(v, off, value, size);
}

static void virtio_device_reset(struct device *dev)
{
	struct virtio_device *v = virtio_from_device(dev);

	virtio_reset_core(v);
	v->s.generation = 0;
	v->transport->ops->reset(v->transport);
}

static void virtio_device_quiesce(struct device *dev)
{
	struct virtio_device *v = virtio_from_device(dev);

	if (v->type->quiesce != NULL && v->running)
		v->type->quiesce(v);
	for (unsigned i = 0; i < v->s.nqueues; i++)
		virtio_rewind(v, i);
	v->running = false;
}

static void virtio_device_hold(struct device *dev, bool on)
{
	struct virtio_device *v = virtio_from_device(dev);

	if (v->type->pending == NULL || v->held == on)
		return;
	v->held = on;
	if (!on)
		notify_all_queues(v);
}

static bool virtio_device_at_rest(const struct device *dev, char *what, size_t size)
{
	const struct virtio_device *v = container_of(dev, const struct virtio_device, dev);
	const unsigned n = v->type->pending != NULL ? v->type->pending(v) : 0;

	if (n > 0)
		snprintf(what, size, "%u request%s to %s", n, n > 1 ? "s" : "", dev->id);
	return n == 0;
}

static void virtio_device_start(struct device *dev)
{
	struct virtio_device *v = virtio_from_device(dev);

	v->running = true;
	v->held = false;
	v->transport->ops->start(v->transport);
	if (v->type->start != NULL)
		v->type->start(v);
	notify_all_queues(v);
}

/* Parts are, in order: core, type (where it has state), transport. */
static int virtio_device_check(struct device *dev, void *const staged[], struct err *err)
{
	struct virtio_device *v = virtio_from_device(dev);
	int ret = virtio_state_check(v, staged[0], err);

	if (ret < 0)
		return ret;
	if (v->type->check != NULL) {
		ret = v->type->check(v, staged[1], err);
		if (ret < 0)
			return ret;
	}
	return v->transport->ops->check(v->transport, staged[v->dev.nparts - 1], err);
}

/* What was in flight was given back to its queue when the machine stopped. */
static int virtio_device_forget(struct device *dev, struct err *err)
{
	struct virtio_device *v = virtio_from_device(dev);

	return v->type->forget != NULL ? v->type->forget(v, err) : 0;
}

static int virtio_device_loaded(struct device *dev, struct err *err)
{
	struct virtio_device *v = virtio_from_device(dev);

	(void)err;
	for (unsigned i = 0; i < v->s.nqueues; i++) {
		vq_disable(&v->queue[i]);
		if (v->s.queue[i].ready)
			virtio_queue_enable(v, i);
	}
	if (v->type->loaded != NULL)
		v->type->loaded(v);
	return 0;
}

static int virtio_device_save_extra(struct device *dev, struct buf *out, struct err *err)
{
	struct virtio_device *v = virtio_from_device(dev);

	return v->type->save_extra(v, out, err);
}

static int virtio_device_check_extra(struct device *dev, const uint8_t *data, size_t len,
				     struct err *err)
{
	struct virtio_device *v = virtio_from_device(dev);

	return v->type->check_extra(v, data, len, err);
}

static int virtio_device_load_extra(struct device *dev, const uint8_t *data, size_t len,
				    struct err *err)
{
	struct virtio_device *v = virtio_from_device(dev);

	return v->type->load_extra(v, data, len, err);
}

void virtio_destroy(struct virtio_device *v)
{
	if (v->type->stop != NULL)
		v->type->stop(v);
	for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) {
		loop_del(&v->m->loop, &v->notifier[i].watch);
		cleanup_fd_fn(&v->notifier[i].fd);
	}
	if (v->transport != NULL)
		v->transport->ops->free(v->transport);
	v->type->free(v);
}

static void virtio_device_destroy(struct device *dev)
{
	virtio_destroy(virtio_from_device(dev));
}

static const struct device_ops virtio_device_ops = {
	.reset = virtio_device_reset,
	.hold = virtio_device_hold,
	.at_rest = virtio_device_at_rest,
	.quiesce = virtio_device_quiesce,
	.start = virtio_device_start,
	.check = virtio_device_check,
	.forget = virtio_device_forget,
	.loaded = virtio_device_loaded,
	.save_extra = virtio_device_save_extra,
	.check_extra = virtio_device_check_extra,
	.load_extra = virtio_device_load_extra,
	.destroy = virtio_device_destroy,
};
