/* Split virtqueues; see queue.h. Loop or vCPU thread, machine lock held. */
#include "devices/virtio/queue.h"

#include "base/assert.h"
#include "base/num.h"

/* virtio 1.2 §2.7.5 */
struct vq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

enum {
	DESC_NEXT = 1,
	DESC_WRITE = 2,
	DESC_INDIRECT = 4,
};

/* §2.7.6; behind ring[size] follows le16 used_event. */
struct vq_avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[];
};

#define AVAIL_NO_INTERRUPT 1

struct vq_used_elem {
	uint32_t id;
	uint32_t len;
};

/* §2.7.8; behind ring[size] follows le16 avail_event. */
struct vq_used {
	uint16_t flags;
	uint16_t idx;
	struct vq_used_elem ring[];
};

static const struct state_field vq_state_fields[] = {
	STATE_SCALAR(struct vq_state, desc, 1, 1, STATE_HEX),
	STATE_SCALAR(struct vq_state, driver, 2, 1, STATE_HEX),
	STATE_SCALAR(struct vq_state, device, 3, 1, STATE_HEX),
	STATE_SCALAR(struct vq_state, size, 4, 1, 0),
	STATE_SCALAR(struct vq_state, next_avail, 5, 1, 0),
	STATE_SCALAR(struct vq_state, next_used, 6, 1, 0),
	STATE_SCALAR(struct vq_state, ready, 7, 1, 0),
	STATE_PAD(struct vq_state, pad),
};

const struct state_table vq_state_table =
	STATE_TABLE("virtqueue", 1, struct vq_state, vq_state_fields);

/* The one way to read a 16-bit ring field: once, whatever the guest does meanwhile. */
static uint16_t load_le16(const uint16_t *field)
{
	return le16toh(__atomic_load_n(field, __ATOMIC_ACQUIRE));
}

static void store_le16(uint16_t *field, uint16_t value)
{
	__atomic_store_n(field, htole16(value), __ATOMIC_RELEASE);
}

void vq_init(struct vq *q, struct vq_state *state, struct mem *mem)
{
	*q = (struct vq){.s = state, .mem = mem};
}

static uint64_t desc_bytes(uint16_t size)
{
	return (uint64_t)size * sizeof(struct vq_desc);
}

/* Both with the event field behind the ring. */
static uint64_t avail_bytes(uint16_t size)
{
	return sizeof(struct vq_avail) + (uint64_t)size * sizeof(uint16_t) + sizeof(uint16_t);
}

static uint64_t used_bytes(uint16_t size)
{
	return sizeof(struct vq_used) + (uint64_t)size * sizeof(struct vq_used_elem) +
	       sizeof(uint16_t);
}

const char *vq_layout_fault(const struct vq_state *s, const struct mem *mem)
{
	if (s->size == 0 || s->size > VQ_MAX_SIZE || (s->size & (s->size - 1)) != 0)
		return "queue size is not a power of two up to the maximum";
	if (s->desc % 16 != 0 || s->driver % 2 != 0 || s->device % 4 != 0)
		return "queue is not aligned";
	if (mem_at(mem, s->desc, desc_bytes(s->size)) == NULL)
		return "descriptor table is outside memory";
	if (mem_at(mem, s->driver, avail_bytes(s->size)) == NULL)
		return "available ring is outside memory";
	if (mem_at(mem, s->device, used_bytes(s->size)) == NULL)
		return "used ring is outside memory";
	return NULL;
}

void vq_enable(struct vq *q, bool event_idx, bool indirect)
{
	assert(vq_layout_fault(q->s, q->mem) == NULL);
	q->desc = mem_at(q->mem, q->s->desc, desc_bytes(q->s->size));
	q->avail = mem_at(q->mem, q->s->driver, avail_bytes(q->s->size));
	q->used = mem_at(q->mem, q->s->device, used_bytes(q->s->size));
	q->event_idx = event_idx;
	q->indirect = indirect;
	q->signalled = q->s->next_used;
	q->fault = NULL;
}

void vq_disable(struct vq *q)
{
	q->desc = NULL;
	q->avail = NULL;
	q->used = NULL;
	q->fault = NULL;
}

/* Looked up at each write, so that the pages are noted as written. A queue in use is in memory. */
static struct vq_used *used_to_write(struct vq *q)
{
	return mem_at_write(q->mem, q->s->device, used_bytes(q->s->size));
}

static enum vq_result vq_broken(struct vq *q, const char *fault)
{
	q->fault = fault;
	return VQ_BROKEN;
}

/* A chain being walked: the queue's own table, or an indirect one. */
struct walk {
	const uint8_t *table; /* of struct vq_desc; an indirect one has any alignment */
	unsigned entries;
	bool indirect;
	unsigned index;
	unsigned steps; /* descriptors seen in this table */
};

/* Copy the descriptor out of guest memory, once: behind the fence, the compiler cannot read
 * again. */
static struct vq_desc walk_desc(const struct walk *w)
{
	struct vq_desc d;

	memcpy(&d, w->table + w->index * sizeof(d), sizeof(d));
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return (struct vq_desc){
		.addr = le64toh(d.addr),
		.len = le32toh(d.len),
		.flags = le16toh(d.flags),
		.next = le16toh(d.next),
	};
}

/* §2.7.5.3.1: an indirect descriptor ends the queue's own chain and is no part of another table.
 * Its table may be longer than a small queue: what bounds the walk is VQ_MAX_SEGMENTS. */
static const char *walk_enter_indirect(const struct vq *q, struct walk *w, const struct vq_desc *d)
{
	uint32_t entries = d->len / (uint32_t)sizeof(struct vq_desc);

	if (!q->indirect)
		return "indirect descriptor without the feature";
	if (w->indirect)
		return "indirect descriptor within an indirect table";
	if ((d->flags & DESC_NEXT) != 0)
		return "indirect descriptor with a next one";
	if (entries == 0 || entries > VQ_MAX_SEGMENTS || d->len % sizeof(struct vq_desc) != 0)
		return "indirect table of a wrong length";
	*w = (struct walk){
		.table = mem_at(q->mem, d->addr, d->len), .entries = entries, .indirect = true};
	return w->table == NULL ? "indirect table outside memory" : NULL;
}

static const char *elem_add(const struct vq *q, struct vq_elem *e, const struct vq_desc *d)
{
	unsigned n = e->nout + e->nin;
	bool in = (d->flags & DESC_WRITE) != 0;
	const void *host =
		in ? mem_at_write(q->mem, d->addr, d->len) : mem_at(q->mem, d->addr, d->len);

	if (host == NULL)
		return "buffer outside memory";
	if (n >= VQ_MAX_SEGMENTS)
		return "too many buffers in a chain";
	/* An iovec has no const: out buffers are read all the same. */
	e->iov[n] = (struct iovec){.iov_base = (void *)(uintptr_t)host, .iov_len = d->len};
	if (in) {
		e->nin++;
		e->in_len += d->len;
	} else if (e->nin > 0) {
		return "buffer to read behind one to write"; /* §2.7.4.2 */
	} else {
		e->nout++;
		e->out_len += d->len;
	}
	/* §2.7.5.2: no chain of more than 2^32 bytes. The used ring's length has 32 bits. */
	return e->in_len + e->out_len > UINT32_MAX ? "chain of more than 4 GiB" : NULL;
}

/* Collect the chain. Returns NULL or what is wrong with it. A cycle runs out of steps: no chain has
 * more descriptors than its table. */
static const char *walk_chain(struct vq *q, struct walk *w, struct vq_elem *e)
{
	for (;;) {
		struct vq_desc d;
		const char *fault;

		if (w->index >= w->entries)
			return "descriptor index beyond the table";
		if (w->steps++ >= w->entries)
			return "descriptor chain with a cycle";
		d = walk_desc(w);
		if ((d.flags & DESC_INDIRECT) != 0) {
			fault = walk_enter_indirect(q, w, &d);
			if (fault != NULL)
				return fault;
			continue;
		}
		fault = elem_add(q, e, &d);
		if (fault != NULL || (d.flags & DESC_NEXT) == 0)
			return fault;
		w->index = d.next;
	}
}

/* §2.7.10.1: name the index whose arrival shall be notified. Written only when it changes, so that
 * resuming a machine with idle queues dirties no page. */
static void ask_notification(struct vq *q, uint16_t index)
{
	if (load_le16((const uint16_t *)&q->used->ring[q->s->size]) != index)
		store_le16((uint16_t *)&used_to_write(q)->ring[q->s->size], index);
	/* The store must be seen before the index is looked at again, else both sides wait. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static uint16_t count_available(const struct vq *q)
{
	return (uint16_t)(load_le16(&q->avail->idx) - q->s->next_avail);
}

bool vq_pending(const struct vq *q)
{
	return count_available(q) > 0;
}

bool vq_available(struct vq *q)
{
	if (q->fault == NULL && !vq_pending(q) && q->event_idx)
		ask_notification(q, q->s->next_avail);
	return vq_pending(q);
}

uint16_t vq_avail_index(const struct vq *q)
{
	return load_le16(&q->avail->idx);
}

uint16_t vq_await_more(struct vq *q)
{
	const uint16_t index = vq_avail_index(q);

	if (q->event_idx)
		ask_notification(q, index);
	return index;
}

bool vq_peek(const struct vq *q, void *dst, uint32_t len)
{
	struct walk w = {.table = (const uint8_t *)q->desc, .entries = q->s->size};
	const uint16_t count = count_available(q);
	struct vq_desc d;

	if (q->fault != NULL || count == 0 || count > q->s->size)
		return false;
	w.index = load_le16(&q->avail->ring[q->s->next_avail % q->s->size]);
	if (w.index >= w.entries)
		return false;
	d = walk_desc(&w);
	if ((d.flags & DESC_INDIRECT) != 0) {
		if (walk_enter_indirect(q, &w, &d) != NULL)
			return false;
		d = walk_desc(&w);
	}
	return d.len >= len && mem_read(q->mem, d.addr, dst, len);
}

enum vq_result vq_pop(struct vq *q, struct vq_elem *e)
{
	struct walk w = {.table = (const uint8_t *)q->desc, .entries = q->s->size};
	uint16_t count = count_available(q);
	const char *fault;

	if (q->fault != NULL)
		return VQ_BROKEN;
	if (count == 0 && q->event_idx) {
		ask_notification(q, q->s->next_avail);
		count = count_available(q);
	}
	if (count == 0)
		return VQ_EMPTY;
	if (count > q->s->size)
		return vq_broken(q, "available index jumped");
	w.index = load_le16(&q->avail->ring[q->s->next_avail % q->s->size]);
	e->head = (uint16_t)w.index;
	e->nout = e->nin = 0;
	e->out_len = e->in_len = 0;
	fault = walk_chain(q, &w, e);
	if (fault != NULL)
		return vq_broken(q, fault);
	e->out = e->iov;
	e->in = e->iov + e->nout;
	q->s->next_avail++;
	return VQ_ELEMENT;
}

void vq_push_all(struct vq *q, const struct vq_given *given, unsigned n)
{
	struct vq_used *used = used_to_write(q);

	for (unsigned i = 0; i < n; i++) {
		struct vq_used_elem *slot = &used->ring[q->s->next_used++ % q->s->size];

		slot->id = htole32(given[i].head);
		slot->len = htole32(given[i].len);
	}
	store_le16(&used->idx, q->s->next_used);
}

void vq_push(struct vq *q, uint16_t head, uint32_t len)
{
	vq_push_all(q, &(const struct vq_given){head, len}, 1);
}

void vq_unpop(struct vq *q)
{
	q->s->next_avail--;
}

bool vq_wants_interrupt(struct vq *q)
{
	uint16_t now = q->s->next_used, before = q->signalled, event;

	if (now == before)
		return false;
	/* The used index is stored before the driver's flag or event index is read (§2.7.7.1,
	 * §2.7.8.1). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	q->signalled = now;
	if (!q->event_idx)
		return (load_le16(&q->avail->flags) & AVAIL_NO_INTERRUPT) == 0;
	event = load_le16(&q->avail->ring[q->s->size]);
	return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

/* Copy between buf and the buffers, advancing *iov, *n and *left. */
static size_t vq_transfer(struct iovec **iov, unsigned *n, uint64_t *left, uint8_t *buf, size_t len,
			  bool to_guest)
{
	size_t done = 0;

	while (done<len && * n> 0) {
		struct iovec *v = *iov;
		size_t part = (size_t)u64_min(len - done, v->iov_len);

		if (to_guest)
			memcpy(v->iov_base, buf + done, part);
		else
			memcpy(buf + done, v->iov_base, part);
		done += part;
		v->iov_base = (uint8_t *)v->iov_base + part;
		v->iov_len -= part;
		if (v->iov_len == 0) {
			(*iov)++;
			(*n)--;
		}
	}
	*left -= done;
	return done;
}

size_t vq_read(struct vq_elem *e, void *dst, size_t len)
{
	return vq_transfer(&e->out, &e->nout, &e->out_len, dst, len, false);
}

size_t vq_write(struct vq_elem *e, const void *src, size_t len)
{
	/* vq_transfer() only reads from the buffer in this direction. */
	return vq_transfer(&e->in, &e->nin, &e->in_len, (uint8_t *)(uintptr_t)src, len, true);
}

static void *take_part(struct iovec **iov, unsigned *n, uint64_t *left, uint64_t most, size_t *len)
{
	struct iovec *v;
	uint8_t *at;

	for (; *n > 0 && (*iov)->iov_len == 0; (*n)--)
		(*iov)++;
	if (*n == 0)
		return NULL;
	v = *iov;
	at = v->iov_base;
	*len = (size_t)u64_min(most, v->iov_len);
	v->iov_base = at + *len;
	v->iov_len -= *len;
	*left -= *len;
	return at;
}

const void *vq_take_out(struct vq_elem *e, uint64_t most, size_t *len)
{
	return take_part(&e->out, &e->nout, &e->out_len, most, len);
}

void *vq_take_in(struct vq_elem *e, uint64_t most, size_t *len)
{
	return take_part(&e->in, &e->nin, &e->in_len, most, len);
}

uint8_t *vq_skip_in(struct vq_elem *e)
{
	size_t len;

	return vq_take_in(e, 1, &len);
}

uint8_t *vq_cut_last(struct vq_elem *e)
{
	struct iovec *v;

	while (e->nin > 0 && e->in[e->nin - 1].iov_len == 0)
		e->nin--;
	if (e->nin == 0)
		return NULL;
	v = &e->in[e->nin - 1];
	v->iov_len--;
	e->in_len--;
	return (uint8_t *)v->iov_base + v->iov_len;
}
