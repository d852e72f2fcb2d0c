/*
 * Asking a guest for memory before a save; see balloon.h. Machine lock held.
 *
 * For its caches: have it count, then inflate the balloon to what it says is available, less a
 * reserve. Linux drops caches to fill a balloon, but need not reach the number. For free pages
 * alone: a hinting command, whose pages are discarded as they come (balloon.c). Either way, when
 * the guest has made no progress for a while, what it has given is enough. Progress of a balloon is
 * that it is larger than before in this trimming: Linux that runs out of memory takes pages back,
 * and gives them again.
 *
 * A timer ends it all if no save does: the process that asked may have ended.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "devices/virtio/balloon_internal.h"

#define STATS_QUEUE	2u /* there is none before it that a driver might leave out */
#define GIVE_BACK_AFTER 30 /* seconds since the last call that asked */
#define RESERVE		16 /* one part in so many of what is available stays with the guest */

static struct virtio_balloon *balloon_from_device(struct device *dev)
{
	return container_of(dev, struct virtio_balloon, v.dev);
}

/* Tell the driver that the numbers in the configuration space have changed. */
static void balloon_announce(struct virtio_balloon *b)
{
	balloon_update_config(b);
	virtio_config_changed(&b->v);
}

void balloon_give_back(struct virtio_balloon *b)
{
	const bool hints = b->s.command > VIRTIO_BALLOON_CMD_ID_DONE;

	b->phase = BALLOON_IDLE;
	b->hinting = false;
	if (hints)
		b->s.command = VIRTIO_BALLOON_CMD_ID_DONE;
	if (hints || b->s.num_pages != b->s.target) {
		b->s.num_pages = b->s.target;
		balloon_announce(b);
	}
	balloon_update_config(b);
}

static void on_give_back_timer(void *opaque)
{
	struct virtio_balloon *b = opaque;

	/* A machine that is paused gives back when it goes on. */
	if (virtio_serving(&b->v))
		balloon_give_back(b);
}

static bool set_give_back_timer(struct virtio_balloon *b)
{
	if (b->timer.fd < 0 &&
	    timer_open(&b->timer, &b->v.m->loop, on_give_back_timer, b, NULL) < 0)
		return false;
	timer_set(&b->timer, GIVE_BACK_AFTER * 1000);
	return true;
}

void balloon_trim_free(struct virtio_balloon *b)
{
	timer_close(&b->timer);
}

/* §5.5.6.3: using the old buffer asks for a new count. */
static void request_count(struct virtio_balloon *b)
{
	struct vq_elem e;

	if (!virtio_pop(&b->v, STATS_QUEUE, &e))
		return;
	virtio_push(&b->v, STATS_QUEUE, &e, 0);
	virtio_interrupt(&b->v, STATS_QUEUE);
	/* An empty queue is one that wants to be notified. */
	if (virtio_pop(&b->v, STATS_QUEUE, &e))
		vq_unpop(&b->v.queue[STATS_QUEUE]);
}

static void ask_count(struct virtio_balloon *b)
{
	b->phase = BALLOON_ASKING;
	balloon_note_progress(b);
	request_count(b);
}

static void note_size(struct virtio_balloon *b)
{
	b->largest = b->s.actual;
	balloon_note_progress(b);
	if (b->s.actual >= b->s.num_pages)
		b->phase = BALLOON_GIVEN;
}

void balloon_on_stats(struct virtio_balloon *b)
{
	const uint64_t all = b->v.m->mem.size / BALLOON_PAGE;

	if (b->phase != BALLOON_ASKING)
		return;
	b->s.num_pages = (uint32_t)u64_min(
		b->s.actual + (b->available - b->available / RESERVE) / BALLOON_PAGE, all);
	b->phase = BALLOON_FILLING;
	note_size(b);
	balloon_announce(b);
}

void balloon_note_progress(struct virtio_balloon *b)
{
	b->progress_ms = clock_monotonic_ns() / NS_PER_MS;
}

void balloon_on_actual(struct virtio_balloon *b)
{
	if (b->phase == BALLOON_FILLING && b->s.actual > b->largest)
		note_size(b);
}

static void ask_hints(struct virtio_balloon *b)
{
	if (++b->s.last_command <= VIRTIO_BALLOON_CMD_ID_DONE)
		b->s.last_command = VIRTIO_BALLOON_CMD_ID_DONE + 1;
	b->s.command = b->s.last_command;
	b->phase = BALLOON_HINTING;
	balloon_note_progress(b);
	balloon_announce(b);
}

void balloon_on_hints_done(struct virtio_balloon *b)
{
	if (b->phase == BALLOON_HINTING)
		b->phase = BALLOON_GIVEN;
}

bool balloon_trim(struct device *dev, bool caches)
{
	const unsigned feature =
		caches ? VIRTIO_BALLOON_F_STATS_VQ : VIRTIO_BALLOON_F_FREE_PAGE_HINT;
	struct virtio_balloon *b = balloon_from_device(dev);

	if (!virtio_serving(&b->v) || !virtio_has(&b->v, VIRTIO_FEATURE(feature)) ||
	    !set_give_back_timer(b))
		return false;
	balloon_give_back(b);
	if (caches)
		ask_count(b);
	else
		ask_hints(b);
	return true;
}

bool balloon_trimming(struct device *dev)
{
	struct virtio_balloon *b = balloon_from_device(dev);

	if (b->phase == BALLOON_IDLE || b->phase == BALLOON_GIVEN)
		return false;
	if (clock_monotonic_ns() / NS_PER_MS - b->progress_ms < BALLOON_STALLED_MS)
		return set_give_back_timer(b);
	if (b->phase == BALLOON_FILLING) {
		/* It need not try any more. */
		b->s.num_pages = (uint32_t)u64_min(b->s.actual, b->s.num_pages);
		balloon_announce(b);
	}
	b->phase = BALLOON_GIVEN;
	return false;
}

uint64_t balloon_bytes(const struct device *dev)
{
	const struct virtio_balloon *b = container_of(dev, const struct virtio_balloon, v.dev);

	return (uint64_t)b->s.actual * BALLOON_PAGE;
}

int balloon_set_target(struct device *dev, uint64_t bytes, struct err *err)
{
	struct virtio_balloon *b = balloon_from_device(dev);
	const uint64_t all = b->v.m->mem.size;

	if (bytes > all)
		return err_set(err, ERR_USAGE,
			       "a balloon of %llu MiB is more than all memory, which is %llu MiB",
			       (unsigned long long)(bytes >> 20), (unsigned long long)(all >> 20));
	b->s.target = (uint32_t)(bytes / BALLOON_PAGE);
	/* One that stands still, or is trimmed, is told when that is over (balloon_give_back()). */
	if (virtio_serving(&b->v) && b->phase == BALLOON_IDLE)
		balloon_give_back(b);
	return 0;
}

void balloon_ask_stats(struct device *dev)
{
	struct virtio_balloon *b = balloon_from_device(dev);

	if (virtio_has(&b->v, VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ)))
		request_count(b);
}

void balloon_look(const struct device *dev, struct balloon_view *view)
{
	static const char *const names[VIRTIO_BALLOON_S_NR] = {
		[VIRTIO_BALLOON_S_SWAP_IN] = "swapped-in",
		[VIRTIO_BALLOON_S_SWAP_OUT] = "swapped-out",
		[VIRTIO_BALLOON_S_MAJFLT] = "major-faults",
		[VIRTIO_BALLOON_S_MINFLT] = "minor-faults",
		[VIRTIO_BALLOON_S_MEMFREE] = "free",
		[VIRTIO_BALLOON_S_MEMTOT] = "total",
		[VIRTIO_BALLOON_S_AVAIL] = "available",
		[VIRTIO_BALLOON_S_CACHES] = "caches",
		[VIRTIO_BALLOON_S_HTLB_PGALLOC] = "huge-pages",
		[VIRTIO_BALLOON_S_HTLB_PGFAIL] = "huge-page-failures",
	};
	const struct virtio_balloon *b = container_of(dev, const struct virtio_balloon, v.dev);

	_Static_assert(BALLOON_STATS == VIRTIO_BALLOON_S_NR, "one place for each tag");
	*view = (struct balloon_view){
		.target = (uint64_t)b->s.target * BALLOON_PAGE,
		.actual = balloon_bytes(dev),
		.driver = (b->v.s.status & VIRTIO_DRIVER_OK) != 0,
		.answers = b->answers,
	};
	for (unsigned tag = 0; tag < VIRTIO_BALLOON_S_NR; tag++) {
		if ((b->stats & 1u << tag) == 0)
			continue;
		view->stat[view->nstats].name = names[tag];
		view->stat[view->nstats++].value = b->stat[tag];
	}
}
