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

/* KVM's bitmap of the range's pages, whose slot has the range's number. */
static int get_log(const struct dirty *d, unsigned range, uint64_t **pages, struct err *err)
{
	/* A set of pages is as large as one of as many frames. */
	*pages = frameset_new(range_pages(&d->mem->range[range]));
	if (*pages == NULL)
		return err_sys(err, ENOMEM, "allocate a log of pages");
	return kvm_get_dirty_log(d->kvm, range, *pages, err);
}

static int add_logged(const struct dirty *d, unsigned range, uint64_t *frames, struct err *err)
{
	const struct mem_range *r = &d->mem->range[range];
	cleanup_free uint64_t *pages = NULL;
	int ret = get_log(d, range, &pages, err);

	if (ret < 0)
		return ret;
	frameset_add_pages(frames, range_frames(r), pages,
			   (unsigned)(range_pages(r) / range_frames(r)));
	return 0;
}

int dirty_collect(const struct dirty *d, unsigned range, uint64_t **frames, struct err *err)
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

static int start_or_clear(struct dirty *d, struct err *err)
{
	if (d->base != DIRTY_LOGGED) {
		int ret = kvm_enable_dirty_log(d->kvm, err);

		return ret < 0 ? ret : set_logging(d, true, err);
	}
	/* Forget what KVM has noted, and let it note the next write to those pages again. */
	for (unsigned i = 0; i < d->mem->nranges; i++) {
		cleanup_free uint64_t *pages = NULL;
		int ret = get_log(d, i, &pages, err);

		if (ret < 0)
			return ret;
		ret = kvm_clear_dirty_log(d->kvm, i, range_pages(&d->mem->range[i]), pages, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int dirty_rebase(struct dirty *d, struct err *err)
{
	int ret = start_or_clear(d, err);

	if (ret < 0) {
		dirty_stop(d);
		return err_context(err, ret, "log which memory changes");
	}
	d->base = DIRTY_LOGGED;
	for (unsigned i = 0; i < d->mem->nranges; i++)
		memset(d->mem->range[i].written, 0,
		       frameset_bytes(range_frames(&d->mem->range[i])));
	return 0;
}

void dirty_stop(struct dirty *d)
{
	struct err ignored;

	/* A log that goes on costs speed. Its bits belong to no base and add to those of the next.
	 */
	(void)set_logging(d, false, &ignored);
	d->base = DIRTY_UNKNOWN;
}
