/*
 * virtio-blk (virtio 1.2 §5.2): one request queue, served in order on the thread that rings.
 *
 * A request is parsed and judged (blk_parse) before the disk is touched (blk_execute), and answered
 * last (blk_complete): a worker thread would take over the middle part. Machine lock held.
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
#define QUEUE		  0u

struct blk_state {
	uint64_t sectors;
	uint32_t readonly;
	uint32_t pad;
};

struct virtio_blk {
	struct virtio_device v;
	struct blk_state s;
	struct disk *disk; /* owned */
	struct virtio_blk_config config;
};

static const struct state_field blk_fields[] = {
	STATE_SCALAR(struct blk_state, sectors, 1, 1, STATE_EQUAL),
	STATE_SCALAR(struct blk_state, readonly, 2, 1, STATE_EQUAL),
	STATE_PAD(struct blk_state, pad),
};

const struct state_table virtio_blk_table =
	STATE_TABLE("virtio-blk", 1, struct blk_state, blk_fields);

struct blk_request {
	uint32_t type;
	uint64_t at; /* bytes */
	uint8_t *status;
	uint64_t written; /* into the guest's buffers, status aside */
};

static struct virtio_blk *blk_from_virtio(struct virtio_device *v)
{
	return container_of(v, struct virtio_blk, v);
}

static bool sectors_inside(const struct virtio_blk *blk, uint64_t sector, uint64_t count)
{
	return range_within(sector, count, blk->s.sectors);
}

/* Header off the front, status byte off the end (§5.2.6). False when they are not there: there is
 * no way to answer such a request. */
static bool blk_parse(struct vq_elem *e, struct blk_request *r)
{
	struct virtio_blk_outhdr header;

	r->status = vq_cut_last(e);
	if (r->status == NULL || vq_read(e, &header, sizeof(header)) != sizeof(header))
		return false;
	r->type = le32toh(header.type);
	r->at = le64toh(header.sector);
	r->written = 0;
	return true;
}

/* Log what failed on the host; the guest sees an I/O error. */
static uint8_t blk_result(struct virtio_blk *blk, const char *what, int ret)
{
	if (ret == 0)
		return VIRTIO_BLK_S_OK;
	log_guest(&blk->v.m->log, &blk->v.limit, "%s: %s disk %s: %s", blk->v.dev.id, what,
		  disk_id(blk->disk), strerror(-ret));
	return VIRTIO_BLK_S_IOERR;
}

static uint8_t blk_in(struct virtio_blk *blk, struct blk_request *r, struct vq_elem *e)
{
	uint64_t at;
	int ret = 0;

	if (e->in_len % SECTOR != 0 || !sectors_inside(blk, r->at, e->in_len / SECTOR))
		return VIRTIO_BLK_S_IOERR;
	at = r->at * SECTOR;
	for (unsigned i = 0; ret == 0 && i < e->nin; i++) {
		ret = disk_read(blk->disk, at, e->in[i].iov_base, e->in[i].iov_len);
		at += e->in[i].iov_len;
	}
	r->written = e->in_len;
	return blk_result(blk, "read", ret);
}

static uint8_t blk_out(struct virtio_blk *blk, const struct blk_request *r, struct vq_elem *e)
{
	uint64_t at;
	int ret = 0;

	if (disk_readonly(blk->disk) || e->out_len % SECTOR != 0 ||
	    !sectors_inside(blk, r->at, e->out_len / SECTOR))
		return VIRTIO_BLK_S_IOERR;
	at = r->at * SECTOR;
	for (unsigned i = 0; ret == 0 && i < e->nout; i++) {
		ret = disk_write(blk->disk, at, e->out[i].iov_base, e->out[i].iov_len);
		at += e->out[i].iov_len;
	}
	return blk_result(blk, "write", ret);
}

/* One range of a discard or write-zeroes (§5.2.6.2). */
static uint8_t blk_range(struct virtio_blk *blk, uint32_t type,
			 const struct virtio_blk_discard_write_zeroes *range)
{
	uint64_t sector = le64toh(range->sector), count = le32toh(range->num_sectors);
	uint32_t flags = le32toh(range->flags);
	bool discard = type == VIRTIO_BLK_T_DISCARD;

	if ((flags & ~(uint32_t)VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) != 0 || (discard && flags != 0))
		return VIRTIO_BLK_S_UNSUPP;
	if (count > MAX_RANGE_SECTORS || !sectors_inside(blk, sector, count))
		return VIRTIO_BLK_S_IOERR;
	return blk_result(
		blk, discard ? "discard on" : "zero",
		disk_zero(blk->disk, sector * SECTOR, count * SECTOR, discard || flags != 0));
}

static uint8_t blk_ranges(struct virtio_blk *blk, const struct blk_request *r, struct vq_elem *e)
{
	struct virtio_blk_discard_write_zeroes range[MAX_RANGES];
	size_t bytes = e->out_len <= sizeof(range) ? (size_t)e->out_len : 0;
	uint8_t status = VIRTIO_BLK_S_OK;

	if (disk_readonly(blk->disk))
		return VIRTIO_BLK_S_UNSUPP; /* neither feature is offered then */
	if (bytes == 0 || bytes % sizeof(range[0]) != 0)
		return VIRTIO_BLK_S_IOERR;
	vq_read(e, range, bytes);
	for (size_t i = 0; status == VIRTIO_BLK_S_OK && i < bytes / sizeof(range[0]); i++)
		status = blk_range(blk, r->type, &range[i]);
	return status;
}

static uint8_t blk_get_id(struct virtio_blk *blk, struct blk_request *r, struct vq_elem *e)
{
	char id[VIRTIO_BLK_ID_BYTES] = {0};
	const char *name = disk_id(blk->disk);

	memcpy(id, name, strnlen(name, sizeof(id)));
	r->written = vq_write(e, id, sizeof(id));
	return r->written == sizeof(id) ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

static uint8_t blk_execute(struct virtio_blk *blk, struct blk_request *r, struct vq_elem *e)
{
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		return blk_in(blk, r, e);
	case VIRTIO_BLK_T_OUT:
		return blk_out(blk, r, e);
	case VIRTIO_BLK_T_FLUSH:
		return blk_result(blk, "flush", disk_flush(blk->disk));
	case VIRTIO_BLK_T_GET_ID:
		return blk_get_id(blk, r, e);
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return blk_ranges(blk, r, e);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

static void blk_complete(struct virtio_blk *blk, const struct blk_request *r,
			 const struct vq_elem *e, uint8_t status)
{
	*r->status = status;
	virtio_push(&blk->v, QUEUE, e, r->written + 1);
}

static void blk_notify(struct virtio_device *v, unsigned index)
{
	struct virtio_blk *blk = blk_from_virtio(v);
	unsigned budget = VQ_MAX_SIZE;
	struct blk_request r = {0};
	struct vq_elem e;

	while (budget > 0 && virtio_pop(v, index, &e)) {
		if (!blk_parse(&e, &r)) {
			virtio_needs_reset(v, "request without header or status");
			break;
		}
		blk_complete(blk, &r, &e, blk_execute(blk, &r, &e));
		budget--;
	}
	virtio_interrupt(v, index);
	if (budget == 0)
		virtio_reschedule(v, index);
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
	*out = &blk->v;
	return 0;
}
