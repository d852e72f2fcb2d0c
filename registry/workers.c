/* See workers.h. */
#include "registry/workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

struct work {
	struct registry *registry;
	size_t jobs;
	int (*job)(void *opaque, struct http *http, size_t index, struct err *err);
	void *opaque;
	_Atomic(struct http *) own; /* for the first who takes it */
	atomic_size_t next;
	pthread_mutex_t lock; /* of what follows */
	int ret;
	struct err err;
};

static void work_failed(struct work *w, int ret, const struct err *err)
{
	pthread_mutex_lock(&w->lock);
	if (w->ret == 0) {
		w->ret = ret;
		w->err = *err;
		registry_cancel(w->registry);
	}
	pthread_mutex_unlock(&w->lock);
	atomic_store(&w->next, w->jobs);
}

static void *work(void *opaque)
{
	cleanup_http struct http *made = NULL;
	struct work *w = opaque;
	struct http *http = atomic_exchange(&w->own, NULL);
	struct err err = {0};
	int ret = 0;

	if (http == NULL) {
		ret = registry_http(w->registry, &made, &err);
		http = made;
	}

	while (ret == 0) {
		size_t index = atomic_fetch_add(&w->next, 1);

		if (index >= w->jobs)
			return NULL;
		ret = w->job(w->opaque, http, index, &err);
	}
	work_failed(w, ret, &err);
	return NULL;
}

int workers_run(struct registry *r, struct http *own, unsigned most, size_t jobs,
		int (*job)(void *opaque, struct http *http, size_t index, struct err *err),
		void *opaque, struct err *err)
{
	struct work w = {.registry = r, .jobs = jobs, .job = job, .opaque = opaque, .own = own};
	pthread_t thread[WORKERS_MOST];
	sigset_t all, before;
	unsigned started = 0;

	if (jobs == 0)
		return 0;
	pthread_mutex_init(&w.lock, NULL);
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (started < most && started < WORKERS_MOST && started < jobs &&
	       pthread_create(&thread[started], NULL, work, &w) == 0)
		started++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (started == 0)
		(void)work(&w);
	while (started > 0)
		pthread_join(thread[--started], NULL);
	pthread_mutex_destroy(&w.lock);
	return w.ret < 0 ? err_copy(err, w.ret, &w.err) : 0;
}
