/* virtio-fs; see fs.h. Machine lock held. */
#include "devices/virtio/fs.h"

#include <errno.h>
#include <linux/fuse.h>
#include <linux/virtio_fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/num.h"
#include "share/link.h"
#include "share/record.h"

#define QUEUES	       2u /* the one for what must not wait, and one for requests (§5.11.2) */
#define TAG_SIZE       36u
#define RECORD_WAIT_MS 20000u

struct fs_state {
	uint8_t tag[TAG_SIZE];
	uint32_t request_queues;
};

/* A request that the server has. */
struct fs_slot {
	bool used;
	bool dropped; /* the driver was reset meanwhile: nobody waits for the answer */
	bool silent;  /* it expects no answer */
	unsigned queue;
	uint64_t unique; /* of the request */
	uint64_t since_ns;
	struct vq_elem elem;
};

struct virtio_fs {
	struct virtio_device v;
	struct fs_state s;
	struct virtio_fs_config config;
	struct share_link link;
	struct loop_watch watch; /* of its socket, while the machine runs */
	struct fs_slot slot[SHARE_SLOTS];
	/* What is known of the folder, while there is no server that would know more. */
	uint8_t *record; /* owned; NULL: nothing */
	size_t nrecord;
	uint64_t loading_ns; /* since when the server opens what a record says; 0: it does not */
	/* The answer to SHARE_SAVE. */
	bool saved;
	uint64_t saved_bytes;
	struct err saved_error;
	bool lost; /* the server has gone by itself */
};

static const struct state_field fs_fields[] = {
	STATE_ARRAY(struct fs_state, tag, 1, 1, STATE_EQUAL),
	STATE_SCALAR(struct fs_state, request_queues, 2, 1, STATE_EQUAL),
};

const struct state_table virtio_fs_table = STATE_TABLE("virtio-fs", 1, struct fs_state, fs_fields);

static struct virtio_fs *fs_from_virtio(struct virtio_device *v)
{
	return container_of(v, struct virtio_fs, v);
}

/* --- answers --- */

static bool is_silent(uint32_t opcode)
{
	return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT;
}

static void answer_error(struct virtio_fs *fs, struct fs_slot *slot, int error)
{
	const struct fuse_out_header out = {
		.len = sizeof(out), .error = error, .unique = slot->unique};
	size_t len = 0;

	if (!slot->silent && slot->elem.in_len >= sizeof(out))
		len = vq_write(&slot->elem, &out, sizeof(out));
	virtio_push(&fs->v, slot->queue, &slot->elem, len);
}

static void free_record(struct virtio_fs *fs)
{
	free(fs->record);
	fs->record = NULL;
	fs->nrecord = 0;
}

static int error_of(const struct virtio_fs *fs)
{
	return fs->lost ? -ENOTCONN : -ESTALE;
}

static void fs_release(struct virtio_fs *fs, struct fs_slot *slot, uint32_t len)
{
	unsigned index = (unsigned)(slot - fs->slot);

	slot->used = false;
	if (slot->dropped)
		return;
	len = (uint32_t)vq_write(&slot->elem, share_link_slot(&fs->link, index), len);
	virtio_push(&fs->v, slot->queue, &slot->elem, len);
}

/* The process of the folder has ended, or does not keep to what was agreed. All requests get an answer. */
static void fs_lose(struct virtio_fs *fs)
{
	log_line(&fs->v.m->log, "%s: the process that serves it has ended: the guest gets ENOTCONN",
		 fs->v.dev.id);
	fs->lost = true;
	fs->loading_ns = 0;
	loop_del(&fs->v.m->loop, &fs->watch);
	share_link_close(&fs->link);
	for (unsigned i = 0; i < SHARE_SLOTS; i++) {
		struct fs_slot *slot = &fs->slot[i];

		if (slot->used && !slot->dropped)
			answer_error(fs, slot, -ENOTCONN);
		slot->used = false;
	}
}

static bool fs_take_answer(struct virtio_fs *fs, const struct share_message *m)
{
	struct fs_slot *slot = m->slot < SHARE_SLOTS ? &fs->slot[m->slot] : NULL;

	if (slot == NULL || !slot->used || m->len > SHARE_SLOT_SIZE)
		return false;
	fs_release(fs, slot, m->len);
	return true;
}

static bool fs_take_message(struct virtio_fs *fs, const struct share_message *m)
{
	switch (m->kind) {
	case SHARE_DONE:
		return fs_take_answer(fs, m);
	case SHARE_SAVED:
		fs->saved = true;
		fs->saved_bytes = m->bytes;
		err_set(&fs->saved_error, ERR_FAILED, "%s", m->text);
		return m->bytes <= SHARE_RECORD_MAX || m->bytes == UINT64_MAX;
	case SHARE_SAID:
		log_guest(&fs->v.m->log, &fs->v.limit, "%s: %s", fs->v.dev.id, m->text);
		return true;
	case SHARE_LOADED:
		fs->loading_ns = 0;
		return true;
	default:
		return false;
	}
}

/* All that has come. */
static void fs_receive(struct virtio_fs *fs)
{
	struct share_message m;
	int got = 0;

	while (fs->link.slots != NULL && (got = share_link_receive(&fs->link, &m)) > 0) {
		if (!fs_take_message(fs, &m)) {
			got = -EPIPE;
			break;
		}
	}
	if (got < 0)
		fs_lose(fs);
}

/* --- requests --- */

static struct fs_slot *free_slot(struct virtio_fs *fs)
{
	for (unsigned i = 0; i < SHARE_SLOTS; i++) {
		if (!fs->slot[i].used)
			return &fs->slot[i];
	}
	return NULL;
}

/* Hand a request to the server; its header has been read. Returns what that cost. */
static uint64_t fs_hand_over(struct virtio_fs *fs, struct fs_slot *slot,
			     const struct fuse_in_header *in)
{
	struct share_message m = {.kind = SHARE_REQUEST, .slot = (uint32_t)(slot - fs->slot)};
	uint8_t *to = share_link_slot(&fs->link, m.slot);

	memcpy(to, in, sizeof(*in));
	m.len = (uint32_t)(sizeof(*in) +
			   vq_read(&slot->elem, to + sizeof(*in), SHARE_SLOT_SIZE - sizeof(*in)));
	m.room = (uint32_t)u64_min(slot->elem.in_len, SHARE_SLOT_SIZE);
	slot->used = true;
	slot->since_ns = clock_monotonic_ns();
	if (share_link_send(&fs->link, &m) < 0)
		fs_lose(fs);
	return (uint64_t)m.len + m.room;
}

/* A request was popped. */
static uint64_t fs_begin(struct virtio_fs *fs, unsigned queue, struct fs_slot *slot)
{
	struct fuse_in_header in = {0};
	int error = 0;

	slot->queue = queue;
	slot->dropped = false;
	if (slot->elem.out_len > SHARE_SLOT_SIZE)
		error = -E2BIG;
	if (vq_read(&slot->elem, &in, sizeof(in)) != sizeof(in))
		error = -EINVAL;
	slot->unique = in.unique;
	slot->silent = is_silent(in.opcode);
	/* Who unmounts what is not there is done. */
	if (error == 0 && fs->link.slots == NULL)
		error = in.opcode == FUSE_DESTROY ? 0 : error_of(fs);
	if (error == 0 && fs->link.slots != NULL)
		return fs_hand_over(fs, slot, &in);
	answer_error(fs, slot, error);
	return 0;
}

static void fs_serve(struct virtio_fs *fs, unsigned queue)
{
	uint64_t budget = VIRTIO_TURN_BYTES;

	while (budget > 0) {
		struct fs_slot *slot = free_slot(fs);

		/* The next answer makes room. */
		if (slot == NULL || !virtio_pop(&fs->v, queue, &slot->elem))
			break;
		virtio_spend(&budget, fs_begin(fs, queue, slot));
	}
	if (budget == 0)
		virtio_reschedule(&fs->v, queue);
}

static void fs_notify(struct virtio_device *v, unsigned index)
{
	fs_serve(fs_from_virtio(v), index);
	virtio_interrupt(v, index);
}

static void on_server(struct loop_watch *watch, uint32_t events)
{
	struct virtio_fs *fs = container_of(watch, struct virtio_fs, watch);

	(void)events;
	fs_receive(fs);
	for (unsigned i = 0; i < QUEUES; i++) {
		if (virtio_serving(&fs->v) && fs->v.s.queue[i].ready)
			fs_serve(fs, i);
		virtio_interrupt(&fs->v, i);
	}
}

/* --- the machine's life --- */

static void fs_start(struct virtio_device *v)
{
	struct virtio_fs *fs = fs_from_virtio(v);
	struct err err;

	if (fs->link.slots == NULL)
		return;
	if (loop_add(&v->m->loop, &fs->watch, fs->link.ends.socket, EPOLLIN, on_server, &err) < 0) {
		log_line(&v->m->log, "%s: %s", v->dev.id, err.text);
		fs_lose(fs);
	}
}

/* For how long the host has been silent about the oldest request, files that are opened again included; false: there
 * is none. */
static bool fs_oldest(const struct virtio_fs *fs, uint64_t *ms, unsigned *count)
{
	uint64_t now = clock_monotonic_ns();

	*ms = fs->loading_ns != 0 ? (now - fs->loading_ns) / NS_PER_MS : 0;
	*count = fs->loading_ns != 0;
	for (unsigned i = 0; i < SHARE_SLOTS; i++) {
		if (!fs->slot[i].used)
			continue;
		*ms = u64_max(*ms, (now - fs->slot[i].since_ns) / NS_PER_MS);
		++*count;
	}
	return *count > 0;
}

static void fs_quiesce(struct virtio_device *v)
{
	struct virtio_fs *fs = fs_from_virtio(v);
	unsigned count;
	uint64_t ms;

	while (fs_oldest(fs, &ms, &count) && ms < FS_PATIENCE_MS) {
		share_link_wait(&fs->link, FS_PATIENCE_MS - ms);
		fs_receive(fs);
	}
	loop_del(&v->m->loop, &fs->watch);
	for (unsigned i = 0; i < QUEUES; i++)
		virtio_interrupt(v, i);
}

/* Nobody waits for what the server has of that queue. */
static void fs_disable(struct virtio_device *v, unsigned index)
{
	struct virtio_fs *fs = fs_from_virtio(v);

	for (unsigned i = 0; i < SHARE_SLOTS; i++) {
		if (fs->slot[i].queue == index)
			fs->slot[i].dropped = true;
	}
}

static void fs_reset(struct virtio_device *v)
{
	const struct share_message m = {.kind = SHARE_RESET};
	struct virtio_fs *fs = fs_from_virtio(v);

	free_record(fs);
	if (fs->link.slots != NULL && share_link_send(&fs->link, &m) < 0)
		fs_lose(fs);
}

static int fs_await_record(struct virtio_fs *fs, struct err *err)
{
	const struct share_message m = {.kind = SHARE_SAVE};
	const uint64_t end = clock_monotonic_ns() + RECORD_WAIT_MS * NS_PER_MS;

	fs->saved = false;
	if (share_link_send(&fs->link, &m) < 0)
		fs_lose(fs);
	while (fs->link.slots != NULL && !fs->saved) {
		uint64_t now = clock_monotonic_ns();

		if (now >= end)
			return err_set(err, ERR_FAILED,
				       "the host does not say what the guest has open there");
		share_link_wait(&fs->link, (end - now) / NS_PER_MS + 1);
		fs_receive(fs);
	}
	if (fs->link.slots != NULL && fs->saved_bytes == UINT64_MAX)
		return err_copy(err, -EINVAL, &fs->saved_error);
	return 0;
}

static int fs_save_extra(struct virtio_device *v, struct buf *out, struct err *err)
{
	struct virtio_fs *fs = fs_from_virtio(v);
	uint8_t *record;
	unsigned count;
	uint64_t ms;
	int ret;

	if (fs_oldest(fs, &ms, &count))
		return err_set(err, ERR_FAILED,
			       "the host has not answered %u request%s of the guest for %llu s: "
			       "the shared folder hangs; save again when it is back",
			       count, count == 1 ? "" : "s", (unsigned long long)ms / 1000);
	ret = fs->link.slots != NULL ? fs_await_record(fs, err) : 0;
	if (ret < 0)
		return ret;
	if (fs->link.slots == NULL) {
		buf_add(out, fs->record, fs->nrecord);
		return 0;
	}
	ret = share_link_take_record(&fs->link, &record, fs->saved_bytes);
	if (ret < 0)
		return err_sys(err, -ret, "record a shared folder");
	buf_add(out, record, (size_t)fs->saved_bytes);
	free(record);
	return 0;
}

static int fs_check_extra(struct virtio_device *v, const uint8_t *data, size_t len, struct err *err)
{
	(void)v;
	if (len > SHARE_RECORD_MAX)
		return err_set(err, ERR_INTEGRITY, "what is known of a shared folder is too long");
	return share_record_check(data, len, err);
}

/* With a server it is the server's; the guest's requests wait behind it. */
static int fs_load_extra(struct virtio_device *v, const uint8_t *data, size_t len, struct err *err)
{
	const struct share_message m = {.kind = SHARE_LOAD, .bytes = len};
	struct virtio_fs *fs = fs_from_virtio(v);
	int ret;

	free_record(fs);
	if (fs->link.slots == NULL) {
		fs->record = malloc(len + 1);
		if (fs->record == NULL)
			return err_sys(err, ENOMEM, "%s", v->dev.id);
		memcpy(fs->record, data, len);
		fs->nrecord = len;
		return 0;
	}
	ret = share_link_put_record(&fs->link, data, len);
	if (ret < 0)
		return err_sys(err, -ret, "%s", v->dev.id);
	fs->loading_ns = clock_monotonic_ns();
	if (share_link_send(&fs->link, &m) < 0)
		fs_lose(fs);
	return 0;
}

static void fs_free(struct virtio_device *v)
{
	struct virtio_fs *fs = fs_from_virtio(v);

	loop_del(&v->m->loop, &fs->watch);
	share_link_close(&fs->link);
	free_record(fs);
	free(fs);
}

static const struct virtio_type fs_type = {
	.id = VIRTIO_TYPE_FS,
	.table = &virtio_fs_table,
	.extra = "files",
	.notify = fs_notify,
	.disable = fs_disable,
	.reset = fs_reset,
	.start = fs_start,
	.quiesce = fs_quiesce,
	.save_extra = fs_save_extra,
	.check_extra = fs_check_extra,
	.load_extra = fs_load_extra,
	.free = fs_free,
};

int virtio_fs_create(struct virtio_device **out, struct machine *m, const char *id,
		     const struct virtio_backend *backend, struct err *err)
{
	struct virtio_fs *fs = calloc(1, sizeof(*fs));
	size_t len = strnlen(backend->tag, TAG_SIZE);
	int ret = 0;

	if (fs == NULL) {
		share_ends_close(backend->share);
		return err_sys(err, ENOMEM, "%s", id);
	}
	fs->watch.fd = -1;
	if (backend->share->socket >= 0)
		ret = share_link_open(&fs->link, backend->share, err);
	if (ret < 0) {
		free(fs);
		return ret;
	}
	memcpy(fs->s.tag, backend->tag, len);
	memcpy(fs->config.tag, backend->tag, len);
	fs->s.request_queues = QUEUES - 1;
	fs->config.num_request_queues = htole32(QUEUES - 1);
	fs->v.config = &fs->config;
	fs->v.config_len = sizeof(fs->config);
	virtio_init(&fs->v, m, id, &fs_type, 0, QUEUES, &fs->s);
	*out = &fs->v;
	return 0;
}
