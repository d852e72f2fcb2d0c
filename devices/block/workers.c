/* See workers.h. `lock` is a leaf: no other lock is taken below it. */
#include "devices/block/workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

#define STACK_BYTES (256u << 10)

struct workers {
	int epoll_fd; /* owned, like stop_fd */
	int stop_fd;  /* readable, for good: the threads are to end */
	unsigned most;
	atomic_bool abandoned;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t ended; /* `threads` has become 0 */
	unsigned threads;
	unsigned waiting; /* of them in epoll_wait(2), or on their way to it */
};

/* What the calling thread is serving; NULL: it is no worker. */
static __thread struct workers *my_workers;
static __thread struct worker_watch *my_watch;

static void workers_free(struct workers *w)
{
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	if (w->stop_fd >= 0)
		close(w->stop_fd);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->ended);
	free(w);
}

/* Of several threads that wait, the kernel wakes the one that began to wait last. */
static struct worker_watch *next_watch(const struct workers *w)
{
	struct epoll_event event;
	eventfd_t ignored;
	struct worker_watch *watch;

	while (epoll_wait(w->epoll_fd, &event, 1, -1) != 1)
		;
	watch = event.data.ptr;
	if (watch != NULL)
		(void)eventfd_read(watch->fd, &ignored);
	return watch;
}

static void count_waiting(struct workers *w, int change)
{
	pthread_mutex_lock(&w->lock);
	w->waiting += (unsigned)change;
	pthread_mutex_unlock(&w->lock);
}

static void *worker_main(void *opaque)
{
	struct workers *w = opaque;
	bool last_of_abandoned;

	my_workers = w;
	(void)pthread_setname_np(pthread_self(), "disk");
	while ((my_watch = next_watch(w)) != NULL) {
		count_waiting(w, -1);
		my_watch->serve(my_watch);
		count_waiting(w, 1);
	}
	pthread_mutex_lock(&w->lock);
	w->waiting--;
	last_of_abandoned = --w->threads == 0 && atomic_load(&w->abandoned);
	pthread_cond_signal(&w->ended);
	pthread_mutex_unlock(&w->lock);
	if (last_of_abandoned)
		workers_free(w);
	return NULL;
}

/* With `lock` held. Returns 0, or the error's number. */
static int start_worker(struct workers *w)
{
	sigset_t blocked, old;
	pthread_attr_t attributes;
	pthread_t thread;
	int ret;

	sigfillset(&blocked);
	sigdelset(&blocked,
		  SIGBUS); /* of a mapped file: blocked, it kills instead of being handled */
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_sigmask(SIG_SETMASK, &blocked, &old);
	ret = pthread_create(&thread, &attributes, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	if (ret != 0)
		return ret;
	w->threads++;
	w->waiting++;
	return 0;
}

static int watch_fd(const struct workers *w, int fd, void *watch, struct err *err)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0
		       ? err_sys(err, errno, "watch descriptor %d", fd)
		       : 0;
}

static int workers_begin(struct workers *w, struct err *err)
{
	int ret;

	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->epoll_fd < 0 || w->stop_fd < 0)
		return err_sys(err, errno, "open descriptors for threads");
	ret = watch_fd(w, w->stop_fd, NULL, err);
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&w->lock);
	ret = start_worker(w);
	pthread_mutex_unlock(&w->lock);
	return ret != 0 ? err_sys(err, ret, "start a thread") : 0;
}

int workers_open(struct workers **out, unsigned most, struct err *err)
{
	struct workers *w = calloc(1, sizeof(*w));
	int ret;

	*out = NULL;
	if (w == NULL)
		return err_sys(err, ENOMEM, "start threads");
	w->epoll_fd = w->stop_fd = -1;
	w->most = most;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->ended, NULL);
	ret = workers_begin(w, err);
	if (ret < 0) {
		workers_free(w);
		return ret;
	}
	*out = w;
	return 0;
}

int workers_watch(struct workers *w, struct worker_watch *watch, struct err *err)
{
	return watch_fd(w, watch->fd, watch, err);
}

bool workers_close(struct workers *w, unsigned milliseconds)
{
	const uint64_t end = clock_monotonic_ns() + milliseconds * NS_PER_MS;
	const struct timespec until = {
		.tv_sec = (time_t)(end / NS_PER_SECOND),
		.tv_nsec = (long)(end % NS_PER_SECOND),
	};
	bool all;

	if (w == NULL)
		return true;
	(void)eventfd_write(w->stop_fd, 1);
	pthread_mutex_lock(&w->lock);
	while (w->threads > 0 &&
	       pthread_cond_clockwait(&w->ended, &w->lock, CLOCK_MONOTONIC, &until) == 0)
		;
	all = w->threads == 0;
	atomic_store(&w->abandoned, !all);
	pthread_mutex_unlock(&w->lock);
	if (all)
		workers_free(w);
	return all;
}

void worker_may_wait(void)
{
	struct workers *w = my_workers;

	if (w == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	/* Without another thread, what comes meanwhile waits for this one. */
	if (w->waiting == 0 && w->threads < w->most)
		(void)start_worker(w);
	pthread_mutex_unlock(&w->lock);
}

void worker_waits(void)
{
	worker_may_wait();
	if (my_workers != NULL && !worker_abandoned() && my_watch->waits != NULL)
		my_watch->waits(my_watch);
}

bool worker_abandoned(void)
{
	return my_workers != NULL && atomic_load(&my_workers->abandoned);
}
