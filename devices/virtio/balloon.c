/*
 * virtio-balloon; see balloon.h. Machine lock held throughout.
 *
 * When a page may go. Inflated and reported pages (§5.5.6.2, §5.5.6.7) are the device's until their
 * descriptor is used: discarded before that, they cannot hold anything yet. A hinted page
 * (§5.5.6.5) belongs to the driver all the time. Linux takes it back under memory pressure without
 * telling the device, and writes to it; only a page that was not written since may be changed. So
 * no hint is kept for the save: it is acted on at once, before the notification returns to the vCPU
 * that sent it (virtio_device.prompt): only after it does Linux put the block where it may take it
 * back from. Hints that were left in the queue longer than that are not used. What is
 * written to a discarded page later is new memory and stays.
 *
 * A save at any moment: hints and pages of a command from before are void after it, because start()
 * ends the command (CMD_ID_DONE) and asks for a balloon of the target, which is empty unless it was
 * set.
 *
 * Free pages that the guest keeps filled with a pattern must keep it (§5.5.6.6): then neither
 * reports nor hints are used. Linux keeps zeros or nothing unless it is debugged.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/num.h"
#include "devices/virtio/balloon_internal.h"

#define BUDGET	  16u	/* requests in a turn */
#define CHUNK	  256u	/* page numbers at a time */
#define MAX_PAGES 4096u /* of one inflate request; the rest of it is ignored */
#define MAX_STATS 32u

static const struct state_field balloon_fields[] = {
	STATE_SCALAR(struct balloon_state, num_pages, 1, 1, 0),
	STATE_SCALAR(struct balloon_state, actual, 2, 1, 0),
	STATE_SCALAR(struct balloon_state, command, 3, 1, 0),
	STATE_SCALAR(struct balloon_state, last_command, 4, 1, 0),
	STATE_SCALAR(struct balloon_state, poison, 5, 1, STATE_HEX),
	STATE_SCALAR(struct balloon_state, target, 6, 2, 0),
};

const struct state_table virtio_balloon_table =
	STATE_TABLE("virtio-balloon", 2, struct balloon_state, balloon_fields);

static struct virtio_balloon *balloon_from_virtio(struct virtio_device *v)
{
	return container_of(v, struct virtio_balloon, v);
}

void balloon_update_config(struct virtio_balloon *b)
{
	b->config = (struct virtio_balloon_config){
		.num_pages = htole32(b->s.num_pages),
		.actual = htole32(b->s.actual),
		.free_page_hint_cmd_id = htole32(b->s.command),
		.poison_val = htole32(b->s.poison),
	};
}

/* A free page may read as zero when the guest next takes it. */
static bool zero_will_do(const struct virtio_balloon *b)
{
	return !virtio_has(&b->v, VIRTIO_FEATURE(VIRTIO_BALLOON_F_PAGE_POISON)) || b->s.poison == 0;
}

/* Discard the next buffers, up to `most` bytes. Returns how many. */
static uint64_t discard_buffers(struct virtio_balloon *b, struct vq_elem *e, uint64_t most)
{
	uint64_t done = 0;
	size_t part;
	void *at;

	while (done < most && (at = vq_take_in(e, most - done, &part)) != NULL) {
		mem_discard(&b->v.m->mem, at, part);
		done += part;
	}
	return done;
}

static int compare_page_numbers(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

static void discard_pages(struct virtio_balloon *b, uint32_t first, uint32_t count)
{
	struct machine *m = b->v.m;
	uint64_t len = (uint64_t)count * BALLOON_PAGE;
	void *at = mem_at_write(&m->mem, (uint64_t)first * BALLOON_PAGE, len);

	if (at != NULL)
		mem_discard(&m->mem, at, len);
	else
		log_guest(&m->log, &b->v.limit, "%s: pages from %#x on are no memory", b->v.dev.id,
			  first);
}

/* Linux gives single pages, in runs up or down: a run is one system call. */
static void discard_numbers(struct virtio_balloon *b, uint32_t *page, size_t n)
{
	size_t first = 0;

	for (size_t i = 0; i < n; i++)
		page[i] = le32toh(page[i]);
	qsort(page, n, sizeof(page[0]), compare_page_numbers);
	for (size_t i = 1; i <= n; i++) {
		if (i < n && page[i] == page[i - 1] + 1)
			continue;
		discard_pages(b, page[first], (uint32_t)(i - first));
		first = i;
	}
}

/* Each handles the next part of a request, of which `handled` bytes of pages were handled in
 * earlier turns, up to `most` bytes. Returns how many that were; *done: it was the last part. */
typedef uint64_t balloon_take(struct virtio_balloon *b, struct vq_elem *e, uint64_t handled,
			      uint64_t most, bool *done);

static uint64_t take_inflated(struct virtio_balloon *b, struct vq_elem *e, uint64_t handled,
			      uint64_t most, bool *done)
{
	uint32_t page[CHUNK];
	uint64_t pages = u64_min(align_up(most, BALLOON_PAGE), MAX_PAGES * BALLOON_PAGE - handled) /
			 BALLOON_PAGE;
	uint64_t n = 0;

	while (n < pages && e->out_len >= sizeof(page[0])) {
		size_t count = (size_t)u64_min(pages - n, CHUNK);

		count = vq_read(e, page, count * sizeof(page[0])) / sizeof(page[0]);
		discard_numbers(b, page, count);
		n += count;
	}
	*done = e->out_len < sizeof(page[0]) || handled / BALLOON_PAGE + n == MAX_PAGES;
	return n * BALLOON_PAGE;
}

/* Discarded pages are memory like any other: nothing is to be done when the guest takes them
 * back. */
static uint64_t take_deflated(struct virtio_balloon *b, struct vq_elem *e, uint64_t handled,
			      uint64_t most, bool *done)
{
	(void)b, (void)e, (void)handled, (void)most;
	*done = true;
	return 0;
}

static uint64_t take_reported(struct virtio_balloon *b, struct vq_elem *e, uint64_t handled,
			      uint64_t most, bool *done)
{
	uint64_t bytes = zero_will_do(b) ? discard_buffers(b, e, most) : 0;

	(void)handled;
	*done = bytes < most || e->in_len == 0;
	return bytes;
}

static void take_command(struct virtio_balloon *b, struct vq_elem *e)
{
	uint32_t command;

	if (vq_read(e, &command, sizeof(command)) != sizeof(command))
		return;
	command = le32toh(command);
	if (command == VIRTIO_BALLOON_CMD_ID_STOP && b->hinting)
		balloon_on_hints_done(b);
	b->hinting = command > VIRTIO_BALLOON_CMD_ID_DONE && command == b->s.command;
}

/* What of a hint goes beyond the turn is not used: later it need not be true. */
static uint64_t take_hint(struct virtio_balloon *b, struct vq_elem *e, uint64_t handled,
			  uint64_t most, bool *done)
{
	(void)handled;
	balloon_note_progress(b);
	if (e->nout > 0)
		take_command(b, e);
	*done = true;
	return b->hinting && !b->late && zero_will_do(b) ? discard_buffers(b, e, most) : 0;
}

static void balloon_serve(struct virtio_balloon *b, unsigned queue, balloon_take *take)
{
	struct vq_elem *e = &b->inflight[queue].elem;
	uint64_t budget = VIRTIO_TURN_BYTES;
	unsigned requests = BUDGET;
	bool fresh;

	while (budget > 0 && requests > 0 && virtio_next(&b->v, queue, &fresh)) {
		uint64_t *handled = &b->handled[queue], bytes;
		bool done;

		if (fresh)
			*handled = 0;
		bytes = take(b, e, *handled, budget, &done);
		*handled += bytes;
		virtio_spend(&budget, bytes);
		if (!done)
			break;
		virtio_complete(&b->v, queue, 0);
		requests--;
	}
	virtio_interrupt(&b->v, queue);
	if (budget == 0 || requests == 0)
		virtio_reschedule(&b->v, queue);
}

static void serve_inflate(struct virtio_balloon *b, unsigned queue)
{
	balloon_serve(b, queue, take_inflated);
}

static void serve_deflate(struct virtio_balloon *b, unsigned queue)
{
	balloon_serve(b, queue, take_deflated);
}

static void serve_hints(struct virtio_balloon *b, unsigned queue)
{
	balloon_serve(b, queue, take_hint);
	b->late = b->v.s.queue[queue].ready && vq_pending(&b->v.queue[queue]);
}

static void serve_reports(struct virtio_balloon *b, unsigned queue)
{
	balloon_serve(b, queue, take_reported);
}

/* §5.5.6.3: the buffer with the last count stays where it is until another count is wanted. */
static void serve_stats(struct virtio_balloon *b, unsigned queue)
{
	struct virtio_balloon_stat stat;
	struct vq_elem e;

	if (!virtio_pop(&b->v, queue, &e))
		return;
	for (unsigned i = 0; i < MAX_STATS && vq_read(&e, &stat, sizeof(stat)) == sizeof(stat);
	     i++) {
		const unsigned tag = le16toh(stat.tag);

		if (tag == VIRTIO_BALLOON_S_AVAIL)
			b->available = le64toh(stat.val);
		if (tag >= VIRTIO_BALLOON_S_NR)
			continue;
		b->stat[tag] = le64toh(stat.val);
		b->stats |= 1u << tag;
	}
	b->answers++;
	vq_unpop(&b->v.queue[queue]);
	balloon_on_stats(b);
}

/* §5.5.2. A driver that leaves a feature out leaves no gap in the numbers: so does Linux, whatever
 * the specification says. */
static const struct {
	uint64_t feature; /* 0: always there */
	void (*balloon_serve)(struct virtio_balloon *b, unsigned queue);
} queues[BALLOON_QUEUES] = {
	{0, serve_inflate},
	{0, serve_deflate},
	{VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ), serve_stats},
	{VIRTIO_FEATURE(VIRTIO_BALLOON_F_FREE_PAGE_HINT), serve_hints},
	{VIRTIO_FEATURE(VIRTIO_BALLOON_F_REPORTING), serve_reports},
};

static void balloon_notify(struct virtio_device *v, unsigned index)
{
	unsigned queue = 0;

	for (unsigned i = 0; i < BALLOON_QUEUES; i++) {
		if (queues[i].feature != 0 && !virtio_has(v, queues[i].feature))
			continue;
		if (queue++ == index)
			queues[i].balloon_serve(balloon_from_virtio(v), index);
	}
}

static void balloon_reset(struct virtio_device *v)
{
	struct virtio_balloon *b = balloon_from_virtio(v);

	/* The next driver, as of a guest that boots anew, finds what was asked for. */
	b->s = (struct balloon_state){.num_pages = b->s.target, .target = b->s.target};
	b->hinting = b->late = false;
	b->phase = BALLOON_IDLE;
	b->stats = 0;
	balloon_update_config(b);
}

static int balloon_forget(struct virtio_device *v, struct err *err)
{
	struct virtio_balloon *b = balloon_from_virtio(v);

	(void)err;
	b->hinting = b->late = false;
	b->phase = BALLOON_IDLE;
	b->stats = 0;
	b->available = 0;
	if (b->timer.fd >= 0)
		timer_set(&b->timer, 0);
	return 0;
}

static void balloon_start(struct virtio_device *v)
{
	balloon_give_back(balloon_from_virtio(v));
}

/* §5.5.4; fields are written whole. */
static void balloon_config_write(struct virtio_device *v, uint64_t off, uint32_t value,
				 unsigned size)
{
	struct virtio_balloon *b = balloon_from_virtio(v);

	if (size != sizeof(value))
		return;
	if (off == offsetof(struct virtio_balloon_config, poison_val))
		b->s.poison = value;
	if (off == offsetof(struct virtio_balloon_config, actual)) {
		b->s.actual = value;
		balloon_on_actual(b);
	}
	balloon_update_config(b);
}

static int balloon_check(struct virtio_device *v, const void *staged, struct err *err)
{
	const struct balloon_state *s = staged;

	const uint64_t all = v->m->mem.size / BALLOON_PAGE;

	if (s->num_pages > all || s->target > all)
		return err_set(err, ERR_INTEGRITY, "a balloon of %u pages is more than all memory",
			       s->num_pages > all ? s->num_pages : s->target);
	if (s->command > VIRTIO_BALLOON_CMD_ID_DONE && s->command != s->last_command)
		return err_set(err, ERR_INTEGRITY, "impossible command %u", s->command);
	return 0;
}

static void balloon_free(struct virtio_device *v)
{
	struct virtio_balloon *b = balloon_from_virtio(v);

	balloon_trim_free(b);
	free(b);
}

static const struct virtio_type balloon_type = {
	.id = VIRTIO_TYPE_BALLOON,
	.table = &virtio_balloon_table,
	.notify = balloon_notify,
	.reset = balloon_reset,
	.start = balloon_start,
	.forget = balloon_forget,
	.config_write = balloon_config_write,
	.check = balloon_check,
	.free = balloon_free,
};

int virtio_balloon_create(struct virtio_device **out, struct machine *m, const char *id,
			  const struct virtio_backend *backend, struct err *err)
{
	struct virtio_balloon *b = calloc(1, sizeof(*b));

	(void)backend;
	if (b == NULL)
		return err_sys(err, ENOMEM, "%s", id);
	b->timer = TIMER_CLOSED;
	b->v.config = &b->config;
	b->v.config_len = sizeof(b->config);
	b->v.prompt = true;
	virtio_init(&b->v, m, id, &balloon_type,
		    VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ) |
			    VIRTIO_FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) |
			    VIRTIO_FEATURE(VIRTIO_BALLOON_F_FREE_PAGE_HINT) |
			    VIRTIO_FEATURE(VIRTIO_BALLOON_F_PAGE_POISON) |
			    VIRTIO_FEATURE(VIRTIO_BALLOON_F_REPORTING),
		    BALLOON_QUEUES, &b->s);
	for (unsigned i = 0; i < BALLOON_QUEUES; i++)
		b->v.inflight[i] = &b->inflight[i];
	*out = &b->v;
	return 0;
}
