/*
 * The MMIO transport; see mmio.h.
 *
 * Notifications. A QueueNotify write is first an exit, handled at once. A queue that is notified
 * often gets an ioeventfd, so that its requests run on the loop while the vCPU goes on. Registering
 * one costs 1 to 3 µs on Linux 6.18; older kernels wait for an SRCU grace period (25 µs to 5 ms
 * each on an emulated host with 6.1). So it never happens while a machine is resumed, and never for
 * a queue that is rarely used.
 */
#include "devices/virtio/mmio.h"

#include <errno.h>
#include <stdlib.h>

#include "base/num.h"
#include "vmm/arch.h"

#define MAGIC	  0x74726976u /* "virt" */
#define VERSION	  2u
#define VENDOR_ID 0x50524f54u /* "TORP" */

/* Notifications by exit after which a queue counts as busy. */
#define BUSY_NOTIFIES 64

enum {
	REG_MAGIC = 0x00,
	REG_VERSION = 0x04,
	REG_DEVICE_ID = 0x08,
	REG_VENDOR_ID = 0x0c,
	REG_DEVICE_FEATURES = 0x10,
	REG_DEVICE_FEATURES_SEL = 0x14,
	REG_DRIVER_FEATURES = 0x20,
	REG_DRIVER_FEATURES_SEL = 0x24,
	REG_QUEUE_SEL = 0x30,
	REG_QUEUE_NUM_MAX = 0x34,
	REG_QUEUE_NUM = 0x38,
	REG_QUEUE_READY = 0x44,
	REG_QUEUE_NOTIFY = 0x50,
	REG_INTERRUPT_STATUS = 0x60,
	REG_INTERRUPT_ACK = 0x64,
	REG_STATUS = 0x70,
	REG_QUEUE_DESC_LOW = 0x80,
	REG_QUEUE_DESC_HIGH = 0x84,
	REG_QUEUE_DRIVER_LOW = 0x90,
	REG_QUEUE_DRIVER_HIGH = 0x94,
	REG_QUEUE_DEVICE_LOW = 0xa0,
	REG_QUEUE_DEVICE_HIGH = 0xa4,
	REG_SHM_LEN_LOW = 0xb0,
	REG_SHM_BASE_HIGH = 0xbc,
	REG_CONFIG_GENERATION = 0xfc,
	REG_CONFIG = 0x100,
};

struct mmio_state {
	uint32_t device_features_sel;
	uint32_t driver_features_sel;
	uint32_t queue_sel;
	uint32_t interrupt_status;
};

struct virtio_mmio {
	struct virtio_transport transport;
	struct mmio_state s;
	uint64_t base;
	struct irq irq; /* owned */
	unsigned notifies[VIRTIO_MAX_QUEUES];
};

static const struct state_field mmio_fields[] = {
	STATE_SCALAR(struct mmio_state, device_features_sel, 1, 1, 0),
	STATE_SCALAR(struct mmio_state, driver_features_sel, 2, 1, 0),
	STATE_SCALAR(struct mmio_state, queue_sel, 3, 1, 0),
	STATE_SCALAR(struct mmio_state, interrupt_status, 4, 1, STATE_HEX),
};

const struct state_table virtio_mmio_table =
	STATE_TABLE("virtio-mmio", 1, struct mmio_state, mmio_fields);

static struct virtio_mmio *mmio_from_transport(struct virtio_transport *t)
{
	return container_of(t, struct virtio_mmio, transport);
}

/* The selected queue, or NULL: its registers then read as zero and writes are lost (§4.2.2). */
static struct vq_state *selected(const struct virtio_mmio *mmio)
{
	struct virtio_device *v = mmio->transport.v;

	return mmio->s.queue_sel < v->s.nqueues ? &v->s.queue[mmio->s.queue_sel] : NULL;
}

static uint32_t read_features(const struct virtio_mmio *mmio)
{
	if (mmio->s.device_features_sel > 1)
		return 0;
	return (uint32_t)(mmio->transport.v->offered >> (32 * mmio->s.device_features_sel));
}

static uint32_t mmio_read_register(const struct virtio_mmio *mmio, uint64_t off)
{
	const struct virtio_device *v = mmio->transport.v;
	const struct vq_state *q = selected(mmio);

	switch (off) {
	case REG_MAGIC:
		return MAGIC;
	case REG_VERSION:
		return VERSION;
	case REG_DEVICE_ID:
		return v->s.device_id;
	case REG_VENDOR_ID:
		return VENDOR_ID;
	case REG_DEVICE_FEATURES:
		return read_features(mmio);
	case REG_QUEUE_NUM_MAX:
		return q != NULL ? VQ_MAX_SIZE : 0;
	case REG_QUEUE_READY:
		return q != NULL ? q->ready : 0;
	case REG_INTERRUPT_STATUS:
		return mmio->s.interrupt_status;
	case REG_STATUS:
		return v->s.status;
	case REG_CONFIG_GENERATION:
		return v->s.generation;
	default:
		/* No shared memory regions: length and base read as -1 (§4.2.2). */
		return off >= REG_SHM_LEN_LOW && off <= REG_SHM_BASE_HIGH ? UINT32_MAX : 0;
	}
}

static uint64_t mmio_read(void *opaque, uint64_t off, unsigned size)
{
	const struct virtio_mmio *mmio = opaque;

	if (off >= REG_CONFIG)
		return virtio_config_read(mmio->transport.v, off - REG_CONFIG, size);
	/* §4.2.2.2: registers are only accessed by aligned 32 bits. */
	return size == 4 && off % 4 == 0 ? mmio_read_register(mmio, off) : 0;
}

static void set_low(uint64_t *address, uint32_t value)
{
	*address = (*address & ~(uint64_t)UINT32_MAX) | value;
}

static void set_high(uint64_t *address, uint32_t value)
{
	*address = (*address & UINT32_MAX) | (uint64_t)value << 32;
}

/* Size and addresses; only while the queue is not in use (§4.2.2.2). */
static void write_queue_setup(struct vq_state *q, uint64_t off, uint32_t value)
{
	if (q == NULL || q->ready)
		return;
	switch (off) {
	case REG_QUEUE_NUM:
		/* Whatever is no size at all is refused when the queue is taken into use. */
		q->size = value <= VQ_MAX_SIZE ? (uint16_t)value : 0;
		break;
	case REG_QUEUE_DESC_LOW:
		set_low(&q->desc, value);
		break;
	case REG_QUEUE_DESC_HIGH:
		set_high(&q->desc, value);
		break;
	case REG_QUEUE_DRIVER_LOW:
		set_low(&q->driver, value);
		break;
	case REG_QUEUE_DRIVER_HIGH:
		set_high(&q->driver, value);
		break;
	case REG_QUEUE_DEVICE_LOW:
		set_low(&q->device, value);
		break;
	case REG_QUEUE_DEVICE_HIGH:
		set_high(&q->device, value);
		break;
	default:
		break;
	}
}

static void write_queue_ready(struct virtio_mmio *mmio, uint32_t value)
{
	if (selected(mmio) == NULL)
		return;
	if (value == 1)
		virtio_enable_queue(mmio->transport.v, mmio->s.queue_sel);
	else if (value == 0)
		virtio_disable_queue(mmio->transport.v, mmio->s.queue_sel);
}

/* From here on KVM signals the eventfd instead of exiting. */
static void register_ioeventfd(struct virtio_mmio *mmio, unsigned index)
{
	struct virtio_device *v = mmio->transport.v;
	int fd = virtio_notify_fd(v, index);
	struct err err;

	/* Exits serve as well, only slower. */
	if (fd >= 0 &&
	    kvm_ioeventfd(&v->m->kvm, fd, mmio->base + REG_QUEUE_NOTIFY, index, true, &err) < 0)
		log_line(&v->m->log, "%s: queue %u: %s", v->dev.id, index, err.text);
}

static void write_queue_notify(struct virtio_mmio *mmio, uint32_t index)
{
	struct virtio_device *v = mmio->transport.v;

	if (index >= v->s.nqueues)
		return;
	virtio_notify(v, index);
	if (!v->prompt && mmio->notifies[index] < BUSY_NOTIFIES &&
	    ++mmio->notifies[index] == BUSY_NOTIFIES)
		register_ioeventfd(mmio, index);
}

static void mmio_write_register(struct virtio_mmio *mmio, uint64_t off, uint32_t value)
{
	switch (off) {
	case REG_DEVICE_FEATURES_SEL:
		mmio->s.device_features_sel = value;
		break;
	case REG_DRIVER_FEATURES:
		virtio_set_features(mmio->transport.v, mmio->s.driver_features_sel, value);
		break;
	case REG_DRIVER_FEATURES_SEL:
		mmio->s.driver_features_sel = value;
		break;
	case REG_QUEUE_SEL:
		mmio->s.queue_sel = value;
		break;
	case REG_QUEUE_READY:
		write_queue_ready(mmio, value);
		break;
	case REG_QUEUE_NOTIFY:
		write_queue_notify(mmio, value);
		break;
	case REG_INTERRUPT_ACK:
		mmio->s.interrupt_status &= ~value;
		break;
	case REG_STATUS:
		virtio_set_status(mmio->transport.v, value);
		break;
	default:
		write_queue_setup(selected(mmio), off, value);
		break;
	}
}

static void mmio_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct virtio_mmio *mmio = opaque;

	if (size > 4)
		return;
	if (off >= REG_CONFIG)
		virtio_config_write(mmio->transport.v, off - REG_CONFIG, (uint32_t)value, size);
	else if (size == 4 && off % 4 == 0)
		mmio_write_register(mmio, off, (uint32_t)value);
}

static const struct bus_ops mmio_bus_ops = {.read = mmio_read, .write = mmio_write};

static void mmio_interrupt(struct virtio_transport *t, uint32_t cause)
{
	struct virtio_mmio *mmio = mmio_from_transport(t);

	mmio->s.interrupt_status |= cause;
	irq_pulse(&mmio->irq);
}

static void mmio_reset(struct virtio_transport *t)
{
	mmio_from_transport(t)->s = (struct mmio_state){0};
}

static void mmio_start(struct virtio_transport *t)
{
	struct virtio_mmio *mmio = mmio_from_transport(t);

	/* The edge may have been lost on the way; a driver copes with one too many. */
	if (mmio->s.interrupt_status != 0)
		irq_pulse(&mmio->irq);
}

static int mmio_check(struct virtio_transport *t, const void *staged, struct err *err)
{
	const struct mmio_state *s = staged;

	(void)t;
	if ((s->interrupt_status & ~(uint32_t)(VIRTIO_CAUSE_USED | VIRTIO_CAUSE_CONFIG)) != 0)
		return err_set(err, ERR_INTEGRITY, "impossible interrupt status %#x",
			       s->interrupt_status);
	return 0;
}

static void mmio_free(struct virtio_transport *t)
{
	struct virtio_mmio *mmio = mmio_from_transport(t);

	irq_free(&mmio->irq);
	free(mmio);
}

static const struct virtio_transport_ops mmio_ops = {
	.table = &virtio_mmio_table,
	.interrupt = mmio_interrupt,
	.reset = mmio_reset,
	.start = mmio_start,
	.check = mmio_check,
	.free = mmio_free,
};

int virtio_mmio_attach(struct virtio_device *v, uint64_t base, const struct irq *irq,
		       struct err *err)
{
	struct virtio_mmio *mmio = calloc(1, sizeof(*mmio));

	if (mmio == NULL)
		return err_sys(err, ENOMEM, "%s", v->dev.id);
	mmio->transport.ops = &mmio_ops;
	mmio->base = base;
	mmio->irq = *irq;
	virtio_set_transport(v, &mmio->transport, "mmio", &mmio->s);
	bus_add(&v->m->mmio, base, ARCH_VIRTIO_SIZE, &mmio_bus_ops, mmio);
	return 0;
}

int virtio_mmio_plug(struct virtio_device *v, unsigned slot, struct err *err)
{
	struct irq irq;
	uint64_t base;
	uint32_t gsi;
	int ret;

	arch_virtio_slot(slot, &base, &gsi);
	ret = irq_init_edge(&irq, &v->m->kvm, gsi, err);
	if (ret < 0)
		return err_context(err, ret, "%s", v->dev.id);
	ret = virtio_mmio_attach(v, base, &irq, err);
	if (ret < 0)
		irq_free(&irq);
	return ret;
}
