/*
 * virtio-blk (virtio 1.2 §5.2): requests are served by threads of the device (block/workers.h).
 *
 * With the machine lock held, a thread takes an element from a queue, checks it and reads its header and
 * ranges into memory of its own, which nobody looks at again in the guest's (blk_take). Without the lock the
 * disk is read or written, straight from and to the guest's buffers (blk_perform); the request is counted as
 * pending meanwhile, and whoever pauses or resets waits until none is. Then it is answered with the lock held
 * again (blk_answer). A thread that is about to wait for the disk lets the driver know what is done by then,
 * and has another thread look for more (blk_waits).
 *
 * A request that goes on where the one before it ends, in the same queue, is taken with it, and both are one
 * call of the disk (blk_take_neighbour).
 *
 * What takes long would hold up a pause. So a request of more than VIRTIO_TURN_BYTES is served alone, a turn
 * at a time, and given back to its queue when the device is held: it is done again from its beginning.
 *
 * Order: none between requests that are under way at the same time, as §5.2.6.2 has it. A flush makes durable
 * what was answered before it was taken.
 */
#include "devices/virtio/blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/num.h"
#include "devices/block/workers.h"
#include "devices/rate_gate.h"

#define SECTOR		  512u
#define PHYSICAL_EXPONENT 3 /* 8 sectors: the 4 KiB the scratch file works in */
#define FRAME_SECTORS	  (FRAME_SIZE / SECTOR)
#define SEG_MAX		  (VQ_MAX_SEGMENTS - 2) /* header and status aside */
#define MAX_RANGE_SECTORS (MIB(2048) / SECTOR)	/* of one discard or write-zeroes */
#define MAX_RANGES	  16u
/* Bytes that are zeroed at the price of one that is copied. The scratch file's file system frees or
 * marks them; where it can do neither, zeros are written. */
#define ZERO_WEIGHT 16u
/* Requests that one disk of the host has at a time. */
#define MAX_THREADS 32u
/* Neighbours that are read or written as one. */
#define BATCH_MAX    16u
#define BATCH_BYTES  MIB(1)
#define BATCH_PIECES (2 * VQ_MAX_SEGMENTS)
/* At the end of a machine, which has waited for its requests before. */
#define END_PATIENCE_MS 100u
/* Threads without a request come back always, however busy the host is. */
#define IDLE_PATIENCE_MS 60000u

struct blk_state {
	uint64_t sectors;
	uint32_t readonly;
	uint32_t pad;
};

/* A request. */
struct blk_request {
	struct vq_elem elem; /* with what is left of its buffers */
	unsigned generation; /* of the queues, when it was taken */
	bool write_through;  /* what it changes is durable when it is answered */
	uint32_t type;
	uint8_t result;	  /* VIRTIO_BLK_S_*; an error ends the request */
	int error;	  /* of the host, to be logged; 0: none */
	uint8_t *status;  /* where the driver gets it */
	uint64_t at;	  /* bytes: where the disk is read or written next */
	uint64_t written; /* into the guest's buffers, status aside */
	struct virtio_blk_discard_write_zeroes range[MAX_RANGES];
	unsigned nranges, next_range;
	uint64_t zeroed; /* bytes of the next range that are done */
};

/* What a thread takes at a time, on its stack: one request, or several that lie one behind the other. */
struct blk_batch {
	unsigned n;
	struct blk_request request[BATCH_MAX];
};

struct blk_queue {
	struct worker_watch watch;
	struct virtio_blk *blk;
	unsigned index;
};

struct virtio_blk {
	struct virtio_device v;
	struct blk_state s;
	struct disk *disk;	 /* owned */
	struct workers *workers; /* owned; NULL before the first request */
	struct blk_queue queue[VIRTIO_MAX_QUEUES];
	unsigned pending; /* requests that threads have */
	bool abandoned;	  /* threads that did not come back use it */
	bool alone;	  /* one of them is long: no other is taken */
	bool long_waits;  /* one is in a queue, and waits for those that are pending */
	struct rate_gate limits;
	unsigned generation; /* of the queues: changes when the driver sets them up anew */
	struct virtio_blk_config config;
};

static const struct state_field blk_fields[] = {
	STATE_SCALAR(struct blk_state, sectors, 1, 1, STATE_EQUAL),
	STATE_SCALAR(struct blk_state, readonly, 2, 1, STATE_EQUAL),
	STATE_PAD(struct blk_state, pad),
};

const struct state_table virtio_blk_table =
	STATE_TABLE("virtio-blk", 1, struct blk_state, blk_fields);

static struct virtio_blk *blk_from_virtio(struct virtio_device *v)
{
	return container_of(v, struct virtio_blk, v);
}

static bool sectors_inside(const struct virtio_blk *blk, uint64_t sector, uint64_t count)
{
	return range_within(sector, count, blk->s.sectors);
}

/* --- taking a request, with the machine lock held --- */

static uint8_t blk_check_transfer(const struct virtio_blk *blk, uint64_t sector, uint64_t len)
{
	if (len % SECTOR != 0 || !sectors_inside(blk, sector, len / SECTOR))
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

static uint8_t blk_read_ranges(const struct virtio_blk *blk, struct blk_request *r)
{
	struct vq_elem *e = &r->elem;

	if (disk_readonly(blk->disk))
		return VIRTIO_BLK_S_UNSUPP; /* neither feature is offered then */
	if (e->out_len == 0 || e->out_len > sizeof(r->range) ||
	    e->out_len % sizeof(r->range[0]) != 0)
		return VIRTIO_BLK_S_IOERR;
	r->nranges = (unsigned)(vq_read(e, r->range, (size_t)e->out_len) / sizeof(r->range[0]));
	return VIRTIO_BLK_S_OK;
}

static uint8_t blk_get_id(const struct virtio_blk *blk, struct blk_request *r)
{
	char id[VIRTIO_BLK_ID_BYTES] = {0};
	const char *name = disk_id(blk->disk);

	memcpy(id, name, strnlen(name, sizeof(id)));
	r->written = vq_write(&r->elem, id, sizeof(id));
	return r->written == sizeof(id) ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

/* Header off the front, status byte off the end (§5.2.6); check the rest. False when header or status are not
 * there: such a request cannot be answered. */
static bool blk_parse(const struct virtio_blk *blk, struct blk_request *r)
{
	struct vq_elem *e = &r->elem;
	struct virtio_blk_outhdr header;
	uint64_t sector;

	r->status = vq_cut_last(e);
	if (r->status == NULL || vq_read(e, &header, sizeof(header)) != sizeof(header))
		return false;
	r->type = le32toh(header.type);
	sector = le64toh(header.sector);
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		r->result = blk_check_transfer(blk, sector, e->in_len);
		break;
	case VIRTIO_BLK_T_OUT:
		r->result = disk_readonly(blk->disk) ? VIRTIO_BLK_S_IOERR
						     : blk_check_transfer(blk, sector, e->out_len);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		r->result = blk_read_ranges(blk, r);
		break;
	case VIRTIO_BLK_T_FLUSH:
		r->result = VIRTIO_BLK_S_OK;
		break;
	case VIRTIO_BLK_T_GET_ID:
		r->result = blk_get_id(blk, r);
		break;
	default:
		r->result = VIRTIO_BLK_S_UNSUPP;
		break;
	}
	if (r->result == VIRTIO_BLK_S_OK)
		r->at = sector * SECTOR;
	return true;
}

/* What it will cost, in bytes that are copied. */
static uint64_t blk_cost(const struct blk_request *r)
{
	uint64_t sectors = 0;

	if (r->type == VIRTIO_BLK_T_IN)
		return r->elem.in_len;
	if (r->type == VIRTIO_BLK_T_OUT)
		return r->elem.out_len;
	for (unsigned i = 0; i < r->nranges; i++)
		sectors += le32toh(r->range[i].num_sectors);
	return sectors * SECTOR / ZERO_WEIGHT;
}

static bool needs_disk(const struct blk_request *r)
{
	return r->result == VIRTIO_BLK_S_OK && r->type != VIRTIO_BLK_T_GET_ID;
}

/* The next request of a queue. False: there is none that may be begun now. */
static bool blk_pop(struct virtio_blk *blk, unsigned index, struct blk_request *r)
{
	struct virtio_device *v = &blk->v;

	if (!rate_gate_allows(&blk->limits) || !virtio_pop(v, index, &r->elem))
		return false;
	r->result = VIRTIO_BLK_S_OK;
	r->error = 0;
	r->at = r->written = r->zeroed = 0;
	r->nranges = r->next_range = 0;
	r->generation = blk->generation;
	/* Without the feature a driver may rely on that (§5.2.5). */
	r->write_through = !virtio_has(v, VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH));
	if (blk_parse(blk, r))
		return true;
	vq_unpop(&v->queue[index]);
	virtio_needs_reset(v, "request without header or status");
	return false;
}

static bool blk_is_transfer(const struct blk_request *r)
{
	return r->result == VIRTIO_BLK_S_OK &&
	       (r->type == VIRTIO_BLK_T_IN || r->type == VIRTIO_BLK_T_OUT);
}

static unsigned blk_count_pieces(const struct blk_request *r)
{
	return r->type == VIRTIO_BLK_T_IN ? r->elem.nin : r->elem.nout;
}

/* The header is looked at before the request is popped, because most are no neighbours; it is read and checked
 * anew then. */
static bool blk_take_neighbour(struct virtio_blk *blk, unsigned index, struct blk_batch *b,
			       uint64_t bytes, unsigned pieces)
{
	const struct blk_request *first = &b->request[0];
	struct blk_request *r = &b->request[b->n];
	struct vq *q = &blk->v.queue[index];
	struct virtio_blk_outhdr header;

	if (!virtio_serving(&blk->v) || !vq_peek(q, &header, sizeof(header)) ||
	    le32toh(header.type) != first->type ||
	    le64toh(header.sector) != (first->at + bytes) / SECTOR || !blk_pop(blk, index, r))
		return false;
	if (blk_is_transfer(r) && r->type == first->type && r->at == first->at + bytes &&
	    bytes + blk_cost(r) <= BATCH_BYTES && pieces + blk_count_pieces(r) <= BATCH_PIECES)
		return true;
	vq_unpop(q);
	return false;
}

static void blk_take_neighbours(struct virtio_blk *blk, unsigned index, struct blk_batch *b)
{
	uint64_t bytes = blk_cost(&b->request[0]);
	unsigned pieces = blk_count_pieces(&b->request[0]);

	while (b->n < BATCH_MAX && blk_take_neighbour(blk, index, b, bytes, pieces)) {
		rate_gate_charge(&blk->limits, blk_cost(&b->request[b->n]));
		bytes += blk_cost(&b->request[b->n]);
		pieces += blk_count_pieces(&b->request[b->n]);
		b->n++;
	}
}

/* What is to be done next. False: there is nothing that may be begun now. */
static bool blk_take(struct virtio_blk *blk, unsigned index, struct blk_batch *b)
{
	struct blk_request *r = &b->request[0];
	bool is_long;

	if (blk->alone || blk->long_waits || !blk_pop(blk, index, r))
		return false;
	is_long = needs_disk(r) && blk_cost(r) > VIRTIO_TURN_BYTES;
	if (is_long && blk->pending > 0) {
		vq_unpop(&blk->v.queue[index]);
		blk->long_waits = true;
		return false;
	}
	blk->alone = is_long;
	rate_gate_charge(&blk->limits, needs_disk(r) ? blk_cost(r) : 0);
	b->n = 1;
	if (blk_is_transfer(r) && !is_long)
		blk_take_neighbours(blk, index, b);
	return true;
}

/* --- serving it, without the lock --- */

/* Log what failed on the host when the lock is held again; the guest sees an I/O error. */
static void blk_note(struct blk_request *r, int ret)
{
	if (ret == 0)
		return;
	r->error = -ret;
	r->result = VIRTIO_BLK_S_IOERR;
}

/* What is left of its buffers, at most a turn of it. Returns how many pieces. */
static unsigned blk_pieces(const struct blk_request *r, struct iovec *to, uint64_t *bytes)
{
	const struct iovec *from = r->type == VIRTIO_BLK_T_IN ? r->elem.in : r->elem.out;
	const unsigned n = blk_count_pieces(r);
	unsigned pieces = 0;

	*bytes = 0;
	for (unsigned i = 0; i < n && *bytes < VIRTIO_TURN_BYTES; i++) {
		/* As where the status was: its address says nothing about the alignment of data. */
		if (from[i].iov_len == 0)
			continue;
		to[pieces] = from[i];
		to[pieces].iov_len = (size_t)u64_min(from[i].iov_len, VIRTIO_TURN_BYTES - *bytes);
		*bytes += to[pieces++].iov_len;
	}
	return pieces;
}

/* So many bytes are done. */
static void blk_advance(struct blk_request *r, uint64_t bytes)
{
	struct vq_elem *e = &r->elem;

	r->at += bytes;
	if (r->type == VIRTIO_BLK_T_IN) {
		r->written += bytes;
		e->in_len -= bytes;
		iov_skip(&e->in, &e->nin, bytes);
	} else {
		e->out_len -= bytes;
		iov_skip(&e->out, &e->nout, bytes);
	}
}

/* A turn of them, as one; if that fails, each by itself, so that an error is that of its request. */
static void blk_transfer(struct virtio_blk *blk, struct blk_request *r, unsigned n)
{
	struct iovec iov[BATCH_PIECES];
	uint64_t bytes[BATCH_MAX];
	unsigned pieces = 0;
	int ret;

	for (unsigned i = 0; i < n; i++)
		pieces += blk_pieces(&r[i], iov + pieces, &bytes[i]);
	ret = r->type == VIRTIO_BLK_T_IN ? disk_readv(blk->disk, r->at, iov, pieces)
					 : disk_writev(blk->disk, r->at, iov, pieces);
	for (unsigned i = 0; i < n; i++) {
		if (ret < 0 && n > 1) {
			blk_transfer(blk, &r[i], 1);
			continue;
		}
		blk_note(&r[i], ret);
		blk_advance(&r[i], bytes[i]);
	}
}

/* Go on with a discard or write-zeroes (§5.2.6.2): no byte of them is copied. */
static uint64_t blk_zero(struct virtio_blk *blk, struct blk_request *r, uint64_t most)
{
	const struct virtio_blk_discard_write_zeroes *range = &r->range[r->next_range];
	uint64_t sector = le64toh(range->sector), count = le32toh(range->num_sectors), part;
	uint32_t flags = le32toh(range->flags);
	bool discard = r->type == VIRTIO_BLK_T_DISCARD;

	if ((flags & ~(uint32_t)VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) != 0 ||
	    (discard && flags != 0)) {
		r->result = VIRTIO_BLK_S_UNSUPP;
		return 0;
	}
	if (count > MAX_RANGE_SECTORS || !sectors_inside(blk, sector, count)) {
		r->result = VIRTIO_BLK_S_IOERR;
		return 0;
	}
	part = u64_min(count * SECTOR - r->zeroed, most * ZERO_WEIGHT);
	blk_note(r, disk_zero(blk->disk, sector * SECTOR + r->zeroed, part, discard || flags != 0));
	r->zeroed += part;
	if (r->zeroed == count * SECTOR) {
		r->next_range++;
		r->zeroed = 0;
	}
	return part / ZERO_WEIGHT;
}

static void blk_zero_ranges(struct virtio_blk *blk, struct blk_request *r, uint64_t most)
{
	uint64_t cost = 0;

	while (cost < most && r->result == VIRTIO_BLK_S_OK && r->next_range < r->nranges)
		cost += blk_zero(blk, r, most - cost);
}

static bool blk_is_done(const struct blk_request *r)
{
	if (r->result != VIRTIO_BLK_S_OK)
		return true;
	if (r->type == VIRTIO_BLK_T_IN)
		return r->elem.in_len == 0;
	if (r->type == VIRTIO_BLK_T_OUT)
		return r->elem.out_len == 0;
	return r->next_range == r->nranges;
}

/* Of a batch for a driver that flushes nothing. */
static void blk_write_through(struct virtio_blk *blk, struct blk_batch *b)
{
	const struct blk_request *r = &b->request[0];
	int ret;

	if (!r->write_through || !blk_is_done(r) ||
	    (r->type != VIRTIO_BLK_T_OUT && r->type != VIRTIO_BLK_T_WRITE_ZEROES))
		return;
	ret = disk_flush(blk->disk);
	for (unsigned i = 0; i < b->n; i++) {
		if (b->request[i].result == VIRTIO_BLK_S_OK)
			blk_note(&b->request[i], ret);
	}
}

/* A turn. */
static void blk_perform(struct virtio_blk *blk, struct blk_batch *b)
{
	struct blk_request *r = &b->request[0];

	switch (r->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		blk_transfer(blk, r, b->n);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		blk_zero_ranges(blk, r, VIRTIO_TURN_BYTES);
		break;
	case VIRTIO_BLK_T_FLUSH:
		blk_note(r, disk_flush(blk->disk));
		break;
	}
	blk_write_through(blk, b);
}

/* --- answering it, with the lock held --- */

static void blk_log(struct virtio_blk *blk, const struct blk_request *r)
{
	const char *what = "read";

	if (r->type == VIRTIO_BLK_T_OUT)
		what = "write";
	else if (r->type == VIRTIO_BLK_T_FLUSH)
		what = "flush";
	else if (r->type != VIRTIO_BLK_T_IN)
		what = r->type == VIRTIO_BLK_T_DISCARD ? "discard on" : "zero";
	/* Of guest memory, not of the disk: the guest must not go on with what it did not get. */
	if (r->error == EFAULT)
		(void)machine_break_if_truncated(blk->v.m);
	log_guest(&blk->v.m->log, &blk->v.limit, "%s: %s disk %s: %s", blk->v.dev.id, what,
		  disk_id(blk->disk), strerror(r->error));
}

static void blk_answer(struct virtio_blk *blk, unsigned index, const struct blk_request *r)
{
	if (r->error != 0)
		blk_log(blk, r);
	*r->status = r->result;
	virtio_push(&blk->v, index, &r->elem, r->written + 1);
}

static void blk_wake_all(struct virtio_blk *blk)
{
	for (unsigned i = 0; i < blk->v.s.nqueues; i++) {
		if (virtio_available(&blk->v, i))
			virtio_reschedule(&blk->v, i);
	}
}

/* So many are no longer pending. */
static void blk_end(struct virtio_blk *blk, unsigned n)
{
	bool waited = blk->alone || blk->long_waits;

	blk->pending -= n;
	if (blk->pending > 0)
		return;
	blk->alone = blk->long_waits = false;
	virtio_rested(&blk->v);
	if (waited)
		blk_wake_all(blk);
}

/* --- a thread --- */

/* The batch on the disk, from lock to lock. Returns false when the device is gone meanwhile. */
static bool blk_serve_batch(struct virtio_blk *blk, unsigned index, struct blk_batch *b)
{
	pthread_mutex_t *lock = &blk->v.m->lock;
	const struct blk_request *first = &b->request[0];
	bool held = false;

	blk->pending += b->n;
	while (!held) {
		pthread_mutex_unlock(lock);
		blk_perform(blk, b);
		if (worker_abandoned())
			return false;
		pthread_mutex_lock(lock);
		if (blk_is_done(first)) /* and so are those behind it */
			break;
		held = !virtio_serving(&blk->v);
	}
	if (first->generation == blk->generation && blk->v.s.queue[index].ready) {
		/* One that is not done was alone: it is the last that was taken. */
		if (held)
			vq_unpop(&blk->v.queue[index]);
		for (unsigned i = 0; !held && i < b->n; i++)
			blk_answer(blk, index, &b->request[i]);
	}
	blk_end(blk, b->n);
	return true;
}

/* Until the queue is empty or a turn is over. Returns false when the device is gone. */
static bool blk_serve_queue(struct virtio_blk *blk, unsigned index)
{
	uint64_t budget = VIRTIO_TURN_BYTES;
	struct blk_batch b;

	while (budget > 0 && blk_take(blk, index, &b)) {
		for (unsigned i = 0; i < b.n; i++)
			virtio_spend(&budget,
				     needs_disk(&b.request[i]) ? blk_cost(&b.request[i]) : 0);
		if (!needs_disk(&b.request[0]))
			blk_answer(blk, index, &b.request[0]);
		else if (!blk_serve_batch(blk, index, &b))
			return false;
	}
	virtio_interrupt(&blk->v, index);
	if (budget == 0)
		virtio_reschedule(&blk->v, index);
	return true;
}

static void blk_serve(struct worker_watch *watch)
{
	struct blk_queue *q = container_of(watch, struct blk_queue, watch);
	pthread_mutex_t *lock = &q->blk->v.m->lock;

	pthread_mutex_lock(lock);
	if (blk_serve_queue(q->blk, q->index))
		pthread_mutex_unlock(lock);
}

static void blk_waits(struct worker_watch *watch)
{
	struct blk_queue *q = container_of(watch, struct blk_queue, watch);
	struct virtio_device *v = &q->blk->v;

	pthread_mutex_lock(&v->m->lock);
	virtio_interrupt(v, q->index);
	if (!q->blk->alone && virtio_available(v, q->index))
		virtio_reschedule(v, q->index);
	pthread_mutex_unlock(&v->m->lock);
}

static int blk_watch(struct virtio_device *v, unsigned index, int fd)
{
	struct virtio_blk *blk = blk_from_virtio(v);
	struct blk_queue *q = &blk->queue[index];
	struct err err;
	int ret = blk->workers == NULL ? workers_open(&blk->workers, MAX_THREADS, &err) : 0;

	if (ret < 0)
		return ret;
	*q = (struct blk_queue){
		.watch = {.fd = fd, .serve = blk_serve, .waits = blk_waits},
		.blk = blk,
		.index = index,
	};
	return workers_watch(blk->workers, &q->watch, &err);
}

static void blk_on_rate(void *opaque)
{
	blk_wake_all(opaque);
}

static int blk_set_limits(struct virtio_blk *blk, struct err *err)
{
	const struct disk_limits limits = disk_limits(blk->disk);

	blk->limits.timer = TIMER_CLOSED;
	if (limits.requests == 0 && limits.bytes == 0)
		return 0;
	return rate_gate_open(&blk->limits, limits.requests, limits.bytes, &blk->v.m->loop,
			      blk_on_rate, blk, err);
}

/* A queue that is empty wakes no thread, and needs none. */
static void blk_notify(struct virtio_device *v, unsigned index)
{
	if (virtio_available(v, index))
		virtio_reschedule(v, index);
}

static unsigned blk_pending(const struct virtio_device *v)
{
	return container_of(v, const struct virtio_blk, v)->pending;
}

static int blk_forget(struct virtio_device *v, struct err *err)
{
	return disk_drop_changes(blk_from_virtio(v)->disk, err);
}

/* The driver's requests are forgotten with its queues. */
static void blk_reset(struct virtio_device *v)
{
	blk_from_virtio(v)->generation++;
}

/* Threads need the machine lock to end. What those that do not come back use stays until the process ends. */
static void blk_stop(struct virtio_device *v)
{
	struct virtio_blk *blk = blk_from_virtio(v);

	rate_gate_close(&blk->limits);
	blk->abandoned =
		!workers_close(blk->workers, blk->pending > 0 ? END_PATIENCE_MS : IDLE_PATIENCE_MS);
	blk->workers = NULL;
}

static void blk_free(struct virtio_device *v)
{
	struct virtio_blk *blk = blk_from_virtio(v);

	/* A thread that does not come back uses all of it. */
	if (blk->abandoned) {
		disk_abandon(blk->disk);
		v->m->mem.in_use = true;
		return;
	}
	disk_close(blk->disk);
	free(blk);
}

static const struct virtio_type blk_type = {
	.id = VIRTIO_TYPE_BLK,
	.table = &virtio_blk_table,
	.notify = blk_notify,
	.watch = blk_watch,
	.pending = blk_pending,
	.stop = blk_stop,
	.reset = blk_reset,
	.forget = blk_forget,
	.free = blk_free,
};

/* §5.2.4 */
static void blk_fill_config(struct virtio_blk_config *c, const struct disk *disk, unsigned queues)
{
	c->capacity = htole64(disk_size(disk) / SECTOR);
	c->seg_max = htole32(SEG_MAX);
	c->blk_size = htole32(SECTOR);
	c->physical_block_exp = PHYSICAL_EXPONENT;
	c->min_io_size = htole16(1u << PHYSICAL_EXPONENT);
	c->opt_io_size = htole32(FRAME_SECTORS);
	c->max_discard_sectors = htole32((uint32_t)MAX_RANGE_SECTORS);
	c->max_discard_seg = htole32(MAX_RANGES);
	c->discard_sector_alignment = htole32(1u << PHYSICAL_EXPONENT);
	c->max_write_zeroes_sectors = htole32((uint32_t)MAX_RANGE_SECTORS);
	c->max_write_zeroes_seg = htole32(MAX_RANGES);
	c->write_zeroes_may_unmap = 1;
	c->num_queues = htole16((uint16_t)queues);
}

static uint64_t blk_features(const struct disk *disk, unsigned queues)
{
	uint64_t features =
		VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
		VIRTIO_FEATURE(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH);

	if (queues > 1)
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_MQ);
	if (disk_readonly(disk))
		return features | VIRTIO_FEATURE(VIRTIO_BLK_F_RO);
	return features | VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD) |
	       VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
}

int virtio_blk_create(struct virtio_device **out, struct machine *m, const char *id,
		      const struct virtio_backend *backend, struct err *err)
{
	const unsigned queues = backend->queues > 1 ? backend->queues : 1;
	struct virtio_blk *blk = calloc(1, sizeof(*blk));

	if (blk == NULL) {
		disk_close(backend->disk);
		return err_sys(err, ENOMEM, "%s", id);
	}
	blk->disk = backend->disk;
	blk->s.sectors = disk_size(blk->disk) / SECTOR;
	blk->s.readonly = disk_readonly(blk->disk);
	blk_fill_config(&blk->config, blk->disk, queues);
	blk->v.config = &blk->config;
	blk->v.config_len = sizeof(blk->config);
	virtio_init(&blk->v, m, id, &blk_type, blk_features(blk->disk, queues), queues, &blk->s);
	if (blk_set_limits(blk, err) < 0) {
		blk_free(&blk->v);
		return err_context(err, -ENOMEM, "%s", id);
	}
	*out = &blk->v;
	return 0;
}
