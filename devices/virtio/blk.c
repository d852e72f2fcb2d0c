/*
 * virtio-blk (virtio 1.2 §5.2): one request queue, served in order on the thread that notifies.
 *
 * A request is checked first (blk_begin), then the disk is read or written, over several turns if
 * need be (blk_continue), then it is answered. Machine lock held.
 */
#include "devices/virtio/blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>

#include "base/num.h"

#define SECTOR		  512u
#define PHYSICAL_EXPONENT 3 /* 8 sectors: the 4 KiB the scratch file works in */
#define FRAME_SECTORS	  (FRAME_SIZE / SECTOR)
#define SEG_MAX		  (VQ_MAX_SEGMENTS - 2) /* header and status aside */
#define MAX_RANGE_SECTORS (MIB(2048) / SECTOR)	/* of one discard or write-zeroes */
#define MAX_RANGES	  16u
/* Bytes that are zeroed at the price of one that is copied. The scratch file's file system frees or
 * marks them; where it can do neither, zeros are written. */
#define ZERO_WEIGHT 16u

struct blk_state {
	uint64_t sectors;
	uint32_t readonly;
	uint32_t pad;
};

/* The request in flight, and how far it is. */
struct blk_request {
	uint32_t type;
	uint8_t result;	  /* VIRTIO_BLK_S_*; an error ends the request */
	uint8_t *status;  /* where the driver gets it */
	uint64_t at;	  /* bytes: where the disk is read or written next */
	uint64_t written; /* into the guest's buffers, status aside */
	struct virtio_blk_discard_write_zeroes range[MAX_RANGES];
	unsigned nranges, next_range;
	uint64_t zeroed; /* bytes of the next range that are done */
};

struct virtio_blk {
	struct virtio_device v;
	struct blk_state s;
	struct disk *disk; /* owned */
	struct virtio_inflight inflight;
	struct blk_request request;
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

/* Log what failed on the host; the guest sees an I/O error. */
static uint8_t blk_result(struct virtio_blk *blk, const char *what, int ret)
{
	if (ret == 0)
		return VIRTIO_BLK_S_OK;
	/* Of guest memory, not of the disk: the guest must not go on with what it did not get. */
	if (ret == -EFAULT)
		(void)machine_break_if_truncated(blk->v.m);
	log_guest(&blk->v.m->log, &blk->v.limit, "%s: %s disk %s: %s", blk->v.dev.id, what,
		  disk_id(blk->disk), strerror(-ret));
	return VIRTIO_BLK_S_IOERR;
}

static uint8_t blk_check_transfer(const struct virtio_blk *blk, uint64_t sector, uint64_t len)
{
	if (len % SECTOR != 0 || !sectors_inside(blk, sector, len / SECTOR))
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

static uint8_t blk_read_ranges(struct virtio_blk *blk, struct vq_elem *e)
{
	struct blk_request *r = &blk->request;

	if (disk_readonly(blk->disk))
		return VIRTIO_BLK_S_UNSUPP; /* neither feature is offered then */
	if (e->out_len == 0 || e->out_len > sizeof(r->range) ||
	    e->out_len % sizeof(r->range[0]) != 0)
		return VIRTIO_BLK_S_IOERR;
	r->nranges = (unsigned)(vq_read(e, r->range, (size_t)e->out_len) / sizeof(r->range[0]));
	return VIRTIO_BLK_S_OK;
}

static uint8_t blk_get_id(struct virtio_blk *blk, struct vq_elem *e)
{
	struct blk_request *r = &blk->request;
	char id[VIRTIO_BLK_ID_BYTES] = {0};
	const char *name = disk_id(blk->disk);

	memcpy(id, name, strnlen(name, sizeof(id)));
	r->written = vq_write(e, id, sizeof(id));
	return r->written == sizeof(id) ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

/* Header off the front, status byte off the end (§5.2.6); check the rest, and do what takes no
 * time. False when header or status are not there: such a request cannot be answered. */
static bool blk_begin(struct virtio_blk *blk, struct vq_elem *e)
{
	struct blk_request *r = &blk->request;
	struct virtio_blk_outhdr header;
	uint64_t sector;

	*r = (struct blk_request){.status = vq_cut_last(e)};
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
		r->result = blk_read_ranges(blk, e);
		break;
	case VIRTIO_BLK_T_FLUSH:
		r->result = blk_result(blk, "flush", disk_flush(blk->disk));
		break;
	case VIRTIO_BLK_T_GET_ID:
		r->result = blk_get_id(blk, e);
		break;
	default:
		r->result = VIRTIO_BLK_S_UNSUPP;
		break;
	}
	if (r->result == VIRTIO_BLK_S_OK)
		r->at = sector * SECTOR;
	return true;
}

static uint64_t blk_read(struct virtio_blk *blk, struct vq_elem *e, uint64_t most)
{
	struct blk_request *r = &blk->request;
	uint64_t done = 0;
	size_t part;
	void *to;

	while (done < most && r->result == VIRTIO_BLK_S_OK &&
	       (to = vq_take_in(e, most - done, &part)) != NULL) {
		r->result = blk_result(blk, "read", disk_read(blk->disk, r->at, to, part));
		r->at += part;
		r->written += part;
		done += part;
	}
	return done;
}

static uint64_t blk_write(struct virtio_blk *blk, struct vq_elem *e, uint64_t most)
{
	struct blk_request *r = &blk->request;
	const void *from;
	uint64_t done = 0;
	size_t part;

	while (done < most && r->result == VIRTIO_BLK_S_OK &&
	       (from = vq_take_out(e, most - done, &part)) != NULL) {
		r->result = blk_result(blk, "write", disk_write(blk->disk, r->at, from, part));
		r->at += part;
		done += part;
	}
	return done;
}

/* Go on with a discard or write-zeroes (§5.2.6.2): no byte of them is copied. */
static uint64_t blk_zero(struct virtio_blk *blk, uint64_t most)
{
	struct blk_request *r = &blk->request;
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
	r->result = blk_result(
		blk, discard ? "discard on" : "zero",
		disk_zero(blk->disk, sector * SECTOR + r->zeroed, part, discard || flags != 0));
	r->zeroed += part;
	if (r->zeroed == count * SECTOR) {
		r->next_range++;
		r->zeroed = 0;
	}
	return part / ZERO_WEIGHT;
}

/* Go on with the request in flight by up to `most` bytes. Returns what that cost; *done: it can be
 * completed. */
static uint64_t blk_continue(struct virtio_blk *blk, struct vq_elem *e, uint64_t most, bool *done)
{
	struct blk_request *r = &blk->request;
	uint64_t cost = 0;

	*done = true;
	if (r->result != VIRTIO_BLK_S_OK)
		return 0;
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		cost = blk_read(blk, e, most);
		*done = e->in_len == 0;
		break;
	case VIRTIO_BLK_T_OUT:
		cost = blk_write(blk, e, most);
		*done = e->out_len == 0;
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		while (cost < most && r->result == VIRTIO_BLK_S_OK && r->next_range < r->nranges)
			cost += blk_zero(blk, most - cost);
		*done = r->next_range == r->nranges;
		break;
	}
	if (r->result != VIRTIO_BLK_S_OK)
		*done = true;
	return cost;
}

/* Without VIRTIO_BLK_F_FLUSH a driver may rely on what was written being durable (§5.2.5). */
static void blk_write_through(struct virtio_blk *blk)
{
	struct blk_request *r = &blk->request;

	if (virtio_has(&blk->v, VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH)) || r->result != VIRTIO_BLK_S_OK)
		return;
	if (r->type == VIRTIO_BLK_T_OUT || r->type == VIRTIO_BLK_T_WRITE_ZEROES)
		r->result = blk_result(blk, "flush", disk_flush(blk->disk));
}

static void blk_notify(struct virtio_device *v, unsigned index)
{
	struct virtio_blk *blk = blk_from_virtio(v);
	struct vq_elem *e = &blk->inflight.elem;
	uint64_t budget = VIRTIO_TURN_BYTES;
	bool fresh, done;

	while (budget > 0 && virtio_next(v, index, &fresh)) {
		if (fresh && !blk_begin(blk, e)) {
			virtio_rewind(v, index);
			virtio_needs_reset(v, "request without header or status");
			break;
		}
		virtio_spend(&budget, blk_continue(blk, e, budget, &done));
		if (done) {
			blk_write_through(blk);
			*blk->request.status = blk->request.result;
			virtio_complete(v, index, blk->request.written + 1);
		}
	}
	virtio_interrupt(v, index);
	if (budget == 0)
		virtio_reschedule(v, index);
}

static int blk_forget(struct virtio_device *v, struct err *err)
{
	return disk_drop_changes(blk_from_virtio(v)->disk, err);
}

static void blk_free(struct virtio_device *v)
{
	struct virtio_blk *blk = blk_from_virtio(v);

	disk_close(blk->disk);
	free(blk);
}

static const struct virtio_type blk_type = {
	.id = VIRTIO_TYPE_BLK,
	.table = &virtio_blk_table,
	.notify = blk_notify,
	.forget = blk_forget,
	.free = blk_free,
};

/* §5.2.4 */
static void blk_fill_config(struct virtio_blk_config *c, const struct disk *disk)
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
}

static uint64_t blk_features(const struct disk *disk)
{
	uint64_t features =
		VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
		VIRTIO_FEATURE(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH);

	if (disk_readonly(disk))
		return features | VIRTIO_FEATURE(VIRTIO_BLK_F_RO);
	return features | VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD) |
	       VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
}

int virtio_blk_create(struct virtio_device **out, struct machine *m, const char *id,
		      const struct virtio_backend *backend, struct err *err)
{
	struct virtio_blk *blk = calloc(1, sizeof(*blk));

	if (blk == NULL) {
		disk_close(backend->disk);
		return err_sys(err, ENOMEM, "%s", id);
	}
	blk->disk = backend->disk;
	blk->s.sectors = disk_size(blk->disk) / SECTOR;
	blk->s.readonly = disk_readonly(blk->disk);
	blk_fill_config(&blk->config, blk->disk);
	blk->v.config = &blk->config;
	blk->v.config_len = sizeof(blk->config);
	virtio_init(&blk->v, m, id, &blk_type, blk_features(blk->disk), 1, &blk->s);
	blk->v.inflight[0] = &blk->inflight;
	*out = &blk->v;
	return 0;
}
