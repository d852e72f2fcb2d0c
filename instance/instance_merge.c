/*
 * Merging disks behind a save; see instance.h. It waits for the host's disk, and for requests that do: so it has
 * a thread of its own, which takes no lock but the disks'.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/num.h"
#include "instance/instance.h"

/* Moved from one scratch file to the other while requests wait. */
#define MERGE_AT_ONCE MIB(1)
/* A thread that does not end in this time waits for a disk that does not answer. */
#define END_PATIENCE_MS 2000u

struct disk_merge {
	struct instance *in;
	void (*done)(struct instance *in, int ret, const struct err *err);
	struct disk *disk[APPLIANCE_MAX_DISKS];
	uint32_t ndisks;
	atomic_bool stop;
	pthread_t thread;
	int fd; /* owned: an eventfd, readable when the thread is done */
	struct loop_watch watch;
	int ret; /* what it came to */
	struct err err;
};

void instance_thaw_disks(struct instance *in)
{
	for (uint32_t i = 0; i < in->source->appliance.ndisks; i++)
		disk_thaw(in->disk[i]);
}

static void merge_free(struct disk_merge *merge)
{
	cleanup_fd_fn(&merge->fd);
	free(merge);
}

static void *merge_main(void *opaque)
{
	struct disk_merge *merge = opaque;

	for (uint32_t i = 0; i < merge->ndisks; i++)
		disk_thaw(merge->disk[i]);
	for (uint32_t i = 0; i < merge->ndisks && merge->ret == 0; i++) {
		while (merge->ret == 0 && !atomic_load(&merge->stop) &&
		       disk_merging(merge->disk[i]))
			merge->ret = disk_merge(merge->disk[i], MERGE_AT_ONCE, &merge->err);
	}
	(void)eventfd_write(merge->fd, 1);
	return NULL;
}

static void on_merged(struct loop_watch *watch, uint32_t events)
{
	struct disk_merge *merge = container_of(watch, struct disk_merge, watch);

	(void)events;
	loop_del(&merge->in->machine.loop, watch);
	merge->done(merge->in, merge->ret, &merge->err);
}

static int start_thread(struct disk_merge *merge, struct err *err)
{
	sigset_t blocked, old;
	int ret;

	sigfillset(&blocked);
	pthread_sigmask(SIG_SETMASK, &blocked, &old);
	ret = pthread_create(&merge->thread, NULL, merge_main, merge);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret != 0 ? err_sys(err, ret, "start a thread that merges disks") : 0;
}

static int merge_start(struct disk_merge *merge, struct err *err)
{
	struct loop *loop = &merge->in->machine.loop;
	int ret;

	merge->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (merge->fd < 0)
		return err_sys(err, errno, "eventfd");
	ret = loop_add(loop, &merge->watch, merge->fd, EPOLLIN, on_merged, err);
	if (ret < 0)
		return ret;
	ret = start_thread(merge, err);
	if (ret < 0)
		loop_del(loop, &merge->watch);
	return ret;
}

int disk_merge_begin(struct disk_merge **out, struct instance *in,
		     void (*done)(struct instance *in, int ret, const struct err *err),
		     struct err *err)
{
	struct disk_merge *merge = calloc(1, sizeof(*merge));
	int ret;

	*out = NULL;
	if (merge == NULL)
		return err_sys(err, ENOMEM, "merge disks");
	merge->in = in;
	merge->done = done;
	merge->fd = -1;
	merge->ndisks = in->source->appliance.ndisks;
	memcpy(merge->disk, in->disk, sizeof(merge->disk));
	ret = merge_start(merge, err);
	if (ret < 0) {
		merge_free(merge);
		return ret;
	}
	*out = merge;
	return 0;
}

void disk_merge_end(struct disk_merge *merge)
{
	struct timespec until;
	uint64_t end;

	if (merge == NULL)
		return;
	atomic_store(&merge->stop, true);
	loop_del(&merge->in->machine.loop, &merge->watch);
	end = clock_monotonic_ns() + END_PATIENCE_MS * NS_PER_MS;
	until = (struct timespec){(time_t)(end / NS_PER_SECOND), (long)(end % NS_PER_SECOND)};
	if (pthread_clockjoin_np(merge->thread, NULL, CLOCK_MONOTONIC, &until) == 0) {
		merge_free(merge);
		return;
	}
	/* What it uses stays until the process ends. */
	for (uint32_t i = 0; i < merge->ndisks; i++)
		disk_abandon(merge->disk[i]);
}
