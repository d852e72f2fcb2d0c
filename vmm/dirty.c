/* What changed since a base; see dirty.h. No threads and no locks of its own. */
#include "vmm/dirty.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "vmm/frameset.h"

static uint64_t range_frames(const struct mem_range *r)
{
	return r->size / FRAME_SIZE;
}

static uint64_t range_pages(const struct mem_range *r)
{
	return r->size / (uint64_t)sysconf(_SC_PAGESIZE);
}

void dirty_init(struct dirty *d, struct kvm *kvm, struct mem *mem, bool resumed)
{
	*d = (struct dirty){
		.kvm = kvm, .mem = mem, .base = resumed ? DIRTY_RESUMED : DIRTY_UNKNOWN};
}

/* Room for the log of any range, which stays: in a pause its pages are there. */
static int make_log_room(struct dirty *d, struct err *err)
{
	uint64_t most = 0;

	if (d->log != NULL)
		return 0;
	for (unsigned i = 0; i < d->mem->nranges; i++)
		most = u64_max(most, range_pages(&d->mem->range[i]));
	/* A set of pages is as large as one of as many frames. */
	d->log = frameset_new(most);
	return d->log == NULL ? err_sys(err, ENOMEM, "allocate a log of pages") : 0;
}

/* KVM's bitmap of the range's pages, whose slot has the range's number: d->log. */
static int get_log(struct dirty *d, unsigned range, struct err *err)
{
	int ret = make_log_room(d, err);

	return ret < 0 ? ret : kvm_get_dirty_log(d->kvm, range, d->log, err);
}

static int add_logged(struct dirty *d, unsigned range, uint64_t *frames, struct err *err)
{
	const struct mem_range *r = &d->mem->range[range];
	int ret = get_log(d, range, err);

	if (ret < 0)
		return ret;
	frameset_add_pages(frames, range_frames(r), d->log,
			   (unsigned)(range_pages(r) / range_frames(r)));
	return 0;
}

int dirty_collect(struct dirty *d, unsigned range, uint64_t **frames, struct err *err)
{
	const struct mem_range *r = &d->mem->range[range];
	cleanup_free uint64_t *set = frameset_new(range_frames(r));
	int ret = 0;

	if (set == NULL)
		return err_sys(err, ENOMEM, "allocate a set of frames");
	if (d->base == DIRTY_LOGGED)
		ret = add_logged(d, range, set, err);
	else if (d->base == DIRTY_RESUMED)
		dirty_add_private(set, r->host, r->size);
	else
		frameset_add_range(set, 0, range_frames(r) - 1);
	if (ret < 0)
		return err_context(err, ret, "find out which memory changed");
	frameset_add_set(set, range_frames(r), r->written);
	*frames = take_ptr(set);
	return 0;
}

static int set_logging(struct dirty *d, bool on, struct err *err)
{
	for (unsigned i = 0; i < d->mem->nranges; i++) {
		const struct mem_range *r = &d->mem->range[i];
		int ret = kvm_set_memory(d->kvm, i, r->gpa, r->size, r->host,
					 on ? KVM_MEM_LOG_DIRTY_PAGES : 0, err);

		if (ret < 0)
			return ret;
	}
	return 0;
}

static size_t log_words(const struct mem_range *r)
{
	return frameset_bytes(range_pages(r)) / sizeof(uint64_t);
}

/* Forget what KVM has noted, and let it note the next write to those pages again. The kernel goes
 * through what it is given: only the words that have a page in them. */
static int clear_log(struct dirty *d, unsigned range, const uint64_t *pages, struct err *err)
{
	const struct mem_range *r = &d->mem->range[range];
	size_t first = 0, end = log_words(r);

	while (first < end && pages[first] == 0)
		first++;
	while (end > first && pages[end - 1] == 0)
		end--;
	if (first == end)
		return 0;
	return kvm_clear_dirty_log(d->kvm, range, first * 64,
				   u64_min(end * 64, range_pages(r)) - first * 64, pages + first,
				   err);
}

static int start_or_clear(struct dirty *d, struct err *err)
{
	if (d->base != DIRTY_LOGGED) {
		int ret = kvm_enable_dirty_log(d->kvm, err);

		return ret < 0 ? ret : set_logging(d, true, err);
	}
	for (unsigned i = 0; i < d->mem->nranges; i++) {
		int ret = get_log(d, i, err);

		if (ret < 0)
			return ret;
		if (d->tracked[i] != NULL)
			frameset_add_set(d->tracked[i], range_pages(&d->mem->range[i]), d->log);
		ret = clear_log(d, i, d->log, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* The log is on before memory is looked at: what changes meanwhile is in one of the two. */
int dirty_arm(struct dirty *d, struct err *err)
{
	int ret;

	if (d->base == DIRTY_LOGGED)
		return 0;
	ret = start_or_clear(d, err);
	if (ret < 0) {
		(void)set_logging(d, false, NULL);
		return err_context(err, ret, "log which memory changes");
	}
	for (unsigned i = 0; i < d->mem->nranges; i++) {
		const struct mem_range *r = &d->mem->range[i];

		if (d->base == DIRTY_RESUMED)
			dirty_add_private(r->written, r->host, r->size);
		else
			frameset_add_range(r->written, 0, range_frames(r) - 1);
		/* For its room alone: under manual protection, reading clears nothing. */
		(void)get_log(d, i, NULL);
	}
	d->base = DIRTY_LOGGED;
	return 0;
}

void dirty_put_back(struct dirty *d, unsigned range, const uint64_t *frames)
{
	const struct mem_range *r = &d->mem->range[range];

	frameset_add_set(r->written, range_frames(r), frames);
}

static void forget_written(struct dirty *d)
{
	for (unsigned i = 0; i < d->mem->nranges; i++)
		memset(d->mem->range[i].written, 0,
		       frameset_bytes(range_frames(&d->mem->range[i])));
}

int dirty_rebase(struct dirty *d, struct err *err)
{
	int ret = start_or_clear(d, err);

	if (ret < 0) {
		dirty_stop(d);
		return err_context(err, ret, "log which memory changes");
	}
	d->base = DIRTY_LOGGED;
	forget_written(d);
	return 0;
}

static void untrack(struct dirty *d)
{
	for (unsigned i = 0; i < MEM_MAX_RANGES; i++) {
		if (d->tracked[i] == NULL)
			continue;
		d->mem->range[i].tracked = NULL;
		free(d->tracked[i]);
		d->tracked[i] = NULL;
	}
}

int dirty_track(struct dirty *d, struct err *err)
{
	int ret = make_log_room(d, err);

	for (unsigned i = 0; ret == 0 && i < d->mem->nranges; i++) {
		d->tracked[i] = frameset_new(range_pages(&d->mem->range[i]));
		if (d->tracked[i] == NULL)
			ret = err_sys(err, ENOMEM, "allocate a set of pages");
		d->mem->range[i].tracked = d->tracked[i];
	}
	if (ret == 0)
		ret = dirty_track_again(d, err);
	if (ret < 0)
		untrack(d);
	return ret;
}

/* Add what KVM has noted to the tracked pages of a range. */
static int add_tracked(struct dirty *d, unsigned range, struct err *err)
{
	const struct mem_range *r = &d->mem->range[range];
	int ret = get_log(d, range, err);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < log_words(r); i++) {
		if (d->log[i] != 0)
			d->tracked[range][i] |= d->log[i];
	}
	return 0;
}

const uint64_t *dirty_tracked(struct dirty *d, unsigned range)
{
	if (d->base != DIRTY_LOGGED || add_tracked(d, range, NULL) < 0)
		d->tracked_lost = true;
	if (d->tracked_lost)
		frameset_add_range(d->tracked[range], 0, range_pages(&d->mem->range[range]) - 1);
	return d->tracked[range];
}

int dirty_track_again(struct dirty *d, struct err *err)
{
	int ret = 0;

	/* All that the log has is among the tracked pages; where those are more, KVM passes over
	 * what it has not noted. */
	for (unsigned i = 0; d->base == DIRTY_LOGGED && ret == 0 && i < d->mem->nranges; i++)
		ret = clear_log(d, i, d->tracked[i], err);
	if (d->base != DIRTY_LOGGED)
		ret = start_or_clear(d, err);
	if (ret < 0) {
		dirty_stop(d);
		return err_context(err, ret, "log which memory changes");
	}
	d->base = DIRTY_LOGGED;
	d->tracked_lost = false;
	forget_written(d);
	for (unsigned i = 0; i < d->mem->nranges; i++)
		memset(d->tracked[i], 0, frameset_bytes(range_pages(&d->mem->range[i])));
	return 0;
}

void dirty_stop(struct dirty *d)
{
	struct err ignored;

	/* A log that goes on costs speed. Its bits belong to no base and add to those of the
	 * next. */
	(void)set_logging(d, false, &ignored);
	d->base = DIRTY_UNKNOWN;
	d->tracked_lost = true;
}

void dirty_free(struct dirty *d)
{
	untrack(d);
	free(d->log);
	d->log = NULL;
}
