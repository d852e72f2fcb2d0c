/* See fake_driver.h. One thread. */
#include "tests/unit/fake_driver.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/await.h"

void fake_init(struct fake *f)
{
	struct err err;

	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->m.lock, NULL);
	f->m.kvm.dev_fd = f->m.kvm.vm_fd = -1;
	f->log_fd = memfd_create("log", MFD_CLOEXEC);
	f->m.log = (struct log){.fd = f->log_fd, .prefix = "test"};
	cr_assert(eq(int, mem_init(&f->m.mem, FAKE_RAM, &err), 0));
	/* Wherever the architecture's RAM begins. */
	f->m.mem.range[0].gpa = 0;
	cr_assert(eq(int, loop_init(&f->m.loop, &f->m.lock, &err), 0));
}

void fake_free(struct fake *f)
{
	if (f->v != NULL)
		virtio_destroy(f->v);
	loop_free(&f->m.loop);
	mem_free(&f->m.mem);
	close(f->log_fd);
}

void fake_plug(struct fake *f, enum virtio_id type, const char *id,
	       const struct virtio_backend *backend)
{
	struct irq irq = {.kvm = &f->m.kvm, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	struct err err;
	int ret = -1;

	f->irq_fd = irq.fd;
	for (unsigned i = 0; i < VIRTIO_TYPES; i++) {
		if (virtio_types[i].id == type)
			ret = virtio_types[i].create(&f->v, &f->m, id, backend, &err);
	}
	cr_assert(eq(int, ret, 0));
	cr_assert(eq(int, virtio_mmio_attach(f->v, FAKE_BASE, &irq, &err), 0));
	fake_start(f);
}

void fake_start(struct fake *f)
{
	pthread_mutex_lock(&f->m.lock);
	f->v->dev.ops->start(&f->v->dev);
	pthread_mutex_unlock(&f->m.lock);
}

static bool is_at_rest(struct fake *f)
{
	char what[64];
	bool rest;

	pthread_mutex_lock(&f->m.lock);
	rest = f->v->dev.ops->at_rest(&f->v->dev, what, sizeof(what));
	pthread_mutex_unlock(&f->m.lock);
	return rest;
}

void fake_hold(struct fake *f)
{
	pthread_mutex_lock(&f->m.lock);
	f->v->dev.ops->hold(&f->v->dev, true);
	pthread_mutex_unlock(&f->m.lock);
	AWAIT(is_at_rest(f));
	cr_assert(is_at_rest(f));
}

unsigned fake_pending(struct fake *f)
{
	unsigned n;

	pthread_mutex_lock(&f->m.lock);
	n = f->v->type->pending(f->v);
	pthread_mutex_unlock(&f->m.lock);
	return n;
}

bool fake_is_resetting(struct fake *f)
{
	bool resetting;

	pthread_mutex_lock(&f->m.lock);
	resetting = f->v->resetting > 0;
	pthread_mutex_unlock(&f->m.lock);
	return resetting;
}

void fake_stop(struct fake *f)
{
	fake_hold(f);
	pthread_mutex_lock(&f->m.lock);
	f->v->dev.ops->quiesce(&f->v->dev);
	pthread_mutex_unlock(&f->m.lock);
}

void fake_reset(struct fake *f)
{
	pthread_mutex_lock(&f->m.lock);
	f->v->dev.ops->reset(&f->v->dev);
	pthread_mutex_unlock(&f->m.lock);
}

/* Threads of the device have nothing, and there is nothing for them. */
static bool is_idle(struct fake *f)
{
	struct virtio_device *v = f->v;
	bool idle;

	if (v->type->pending == NULL)
		return true;
	pthread_mutex_lock(&f->m.lock);
	idle = v->type->pending(v) == 0;
	for (unsigned i = 0; i < v->s.nqueues && virtio_serving(v); i++)
		idle = idle && (!v->s.queue[i].ready || !vq_pending(&v->queue[i]));
	pthread_mutex_unlock(&f->m.lock);
	return idle;
}

void fake_await(struct fake *f)
{
	for (unsigned i = 0; i < 1000 && !is_idle(f); i++)
		sched_yield();
	AWAIT(is_idle(f));
	cr_assert(is_idle(f));
}

uint32_t fake_read(struct fake *f, uint64_t reg)
{
	uint8_t data[4];

	pthread_mutex_lock(&f->m.lock);
	bus_read(&f->m.mmio, FAKE_BASE + reg, data, sizeof(data));
	pthread_mutex_unlock(&f->m.lock);
	return le_get32(data);
}

void fake_write(struct fake *f, uint64_t reg, uint32_t value)
{
	uint8_t data[4];

	le_put32(data, value);
	pthread_mutex_lock(&f->m.lock);
	bus_write(&f->m.mmio, FAKE_BASE + reg, data, sizeof(data));
	pthread_mutex_unlock(&f->m.lock);
}

void *fake_ram(struct fake *f, uint64_t gpa, uint64_t len)
{
	void *p = mem_at_write(&f->m.mem, gpa, len);

	cr_assert(p != NULL);
	return p;
}

void fake_negotiate(struct fake *f, uint64_t features)
{
	fake_write(f, R_STATUS, 0);
	fake_write(f, R_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	for (uint32_t word = 0; word < 2; word++) {
		fake_write(f, R_DRIVER_FEATURES_SEL, word);
		fake_write(f, R_DRIVER_FEATURES, (uint32_t)(features >> (32 * word)));
	}
	fake_write(f, R_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
	f->features = features;
}

static void write64(struct fake *f, uint64_t reg, uint64_t value)
{
	fake_write(f, reg, (uint32_t)value);
	fake_write(f, reg + 4, (uint32_t)(value >> 32));
}

void fake_setup_queue(struct fake *f, unsigned index, uint16_t size)
{
	struct fake_queue *q = &f->q[index];
	uint64_t base = FAKE_QUEUES + index * 0x4000u;

	*q = (struct fake_queue){
		.size = size, .desc = base, .avail = base + 0x2000, .used = base + 0x3000};
	memset(fake_ram(f, base, 0x4000), 0, 0x4000);
	fake_write(f, R_QUEUE_SEL, index);
	fake_write(f, R_QUEUE_NUM, size);
	write64(f, R_QUEUE_DESC, q->desc);
	write64(f, R_QUEUE_DRIVER, q->avail);
	write64(f, R_QUEUE_DEVICE, q->used);
	fake_write(f, R_QUEUE_READY, 1);
}

void fake_bring_up(struct fake *f, uint64_t features, unsigned nqueues, uint16_t size)
{
	fake_negotiate(f, features | VIRTIO_VERSION_1);
	cr_assert(not(zero(u32, fake_read(f, R_STATUS) & VIRTIO_FEATURES_OK)));
	for (unsigned i = 0; i < nqueues; i++)
		fake_setup_queue(f, i, size);
	fake_write(f, R_STATUS, fake_read(f, R_STATUS) | VIRTIO_DRIVER_OK);
}

void fake_desc(struct fake *f, uint64_t table, unsigned index, uint64_t addr, uint32_t len,
	       uint16_t flags, uint16_t next)
{
	uint8_t *d = fake_ram(f, table + 16 * index, 16);

	le_put64(d, addr);
	le_put32(d + 8, len);
	le_put16(d + 12, flags);
	le_put16(d + 14, next);
}

void fake_make_available(struct fake *f, unsigned queue, uint16_t head)
{
	struct fake_queue *q = &f->q[queue];

	le_put16(fake_ram(f, q->avail + 4 + 2 * (q->avail_idx % q->size), 2), head);
	q->avail_idx++;
	le_put16(fake_ram(f, q->avail + 2, 2), q->avail_idx);
}

uint16_t fake_post(struct fake *f, unsigned queue, const struct fake_seg *seg, unsigned n)
{
	struct fake_queue *q = &f->q[queue];
	uint16_t head = q->next_desc % q->size;

	for (unsigned i = 0; i < n; i++) {
		uint16_t at = q->next_desc++ % q->size;
		unsigned flags = (seg[i].write ? D_WRITE : 0) | (i + 1 < n ? D_NEXT : 0);

		fake_desc(f, q->desc, at, seg[i].addr, seg[i].len, (uint16_t)flags,
			  q->next_desc % q->size);
	}
	fake_make_available(f, queue, head);
	return head;
}

uint16_t fake_post_indirect(struct fake *f, unsigned queue, uint64_t table,
			    const struct fake_seg *seg, unsigned n)
{
	struct fake_queue *q = &f->q[queue];
	uint16_t head = q->next_desc++ % q->size;

	for (unsigned i = 0; i < n; i++) {
		unsigned flags = (seg[i].write ? D_WRITE : 0) | (i + 1 < n ? D_NEXT : 0);

		fake_desc(f, table, i, seg[i].addr, seg[i].len, (uint16_t)flags, (uint16_t)(i + 1));
	}
	fake_desc(f, q->desc, head, table, 16 * n, D_INDIRECT, 0);
	fake_make_available(f, queue, head);
	return head;
}

void fake_kick(struct fake *f, unsigned queue)
{
	fake_write(f, R_QUEUE_NOTIFY, queue);
	fake_await(f);
}

bool fake_used(struct fake *f, unsigned queue, uint32_t *id, uint32_t *len)
{
	struct fake_queue *q = &f->q[queue];
	const uint8_t *slot;

	if (le_get16(fake_ram(f, q->used + 2, 2)) == q->used_seen)
		return false;
	slot = fake_ram(f, q->used + 4 + 8 * (q->used_seen % q->size), 8);
	*id = le_get32(slot);
	*len = le_get32(slot + 4);
	q->used_seen++;
	return true;
}

unsigned fake_interrupts(struct fake *f)
{
	eventfd_t count = 0;

	return eventfd_read(f->irq_fd, &count) == 0 ? (unsigned)count : 0;
}

void fake_loop(struct fake *f)
{
	struct err err;

	loop_stop(&f->m.loop);
	cr_assert(eq(int, loop_run(&f->m.loop, &err), 0));
}

unsigned fake_log_lines(struct fake *f)
{
	char text[65536];
	ssize_t len = pread(f->log_fd, text, sizeof(text), 0);
	unsigned lines = 0;

	for (ssize_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	return lines;
}

static void move_parts(struct device *from, struct device *to, void *staged[], struct err *err)
{
	for (unsigned p = 0; p < to->nparts; p++) {
		const struct state_table *table = to->part[p].table;
		cleanup_buf struct buf bytes = {0};

		staged[p] = calloc(1, table->size);
		state_encode(from->part[p].table, from->part[p].state, &bytes);
		cr_assert(eq(int,
			     state_decode(table, table->version, bytes.data, bytes.len, staged[p],
					  err),
			     0),
			  "%s", err->text);
	}
}

uint64_t fake_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Change up to four bytes anywhere; padding stays zero, as the decoder leaves it. */
static void damage(struct device *dev, void *staged[], uint64_t *seed)
{
	for (uint64_t n = 1 + fake_random(seed) % 4; n > 0; n--) {
		unsigned p = (unsigned)(fake_random(seed) % dev->nparts);
		const struct state_table *table = dev->part[p].table;
		uint8_t *byte = (uint8_t *)staged[p] + fake_random(seed) % table->size;

		*byte = (uint8_t)(*byte ^ 1u << fake_random(seed) % 8);
	}
}

static int take_over(struct device *dev, void *staged[], struct err *err)
{
	int ret = 0;

	for (unsigned p = 0; ret == 0 && p < dev->nparts; p++)
		ret = state_check_equal(dev->part[p].table, dev->part[p].state, staged[p], err);
	if (ret == 0)
		ret = dev->ops->check(dev, staged, err);
	if (ret < 0)
		return ret;
	for (unsigned p = 0; p < dev->nparts; p++)
		memcpy(dev->part[p].state, staged[p], dev->part[p].table->size);
	cr_assert(eq(int, dev->ops->loaded(dev, err), 0));
	dev->ops->start(dev);
	return 0;
}

int fake_move_damaged(struct fake *from, struct fake *to, uint64_t *seed, struct err *err)
{
	struct device *old = &from->v->dev, *dev = &to->v->dev;
	void *staged[DEVICE_MAX_PARTS] = {0};
	int ret;

	fake_stop(from);
	memcpy(fake_ram(to, 0, FAKE_LOW), fake_ram(from, 0, FAKE_LOW), FAKE_LOW);
	memcpy(to->q, from->q, sizeof(to->q));
	to->features = from->features;
	move_parts(old, dev, staged, err);
	if (seed != NULL)
		damage(dev, staged, seed);
	pthread_mutex_lock(&to->m.lock);
	ret = take_over(dev, staged, err);
	pthread_mutex_unlock(&to->m.lock);
	if (ret == 0)
		fake_await(to);
	for (unsigned p = 0; p < dev->nparts; p++)
		free(staged[p]);
	return ret;
}

int fake_move(struct fake *from, struct fake *to, struct err *err)
{
	return fake_move_damaged(from, to, NULL, err);
}
