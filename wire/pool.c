/* See pool.h. */
#include "wire/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"

/* The small blobs and the pieces of a hot set of a machine with a disk or two. */
#define THREADS 16u

struct pool {
	struct registry *registry;
	struct progress *progress;
	bool early;
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t changed;
	pthread_t thread[THREADS];
	unsigned threads;
	unsigned connecting; /* threads that are not ready for jobs yet */
	bool stop;
	int (*job)(void *opaque, struct http *http, size_t index, struct err *err);
	void *opaque;
	size_t jobs, next, running;
	int ret;
	struct err err;
};

/* Locked. Jobs as long as there are some. */
static void take_jobs(struct pool *p, struct http *http)
{
	while (!p->stop && p->next < p->jobs) {
		struct err err = {0};
		size_t index = p->next++;
		int ret;

		p->running++;
		pthread_mutex_unlock(&p->lock);
		ret = p->job(p->opaque, http, index, &err);
		pthread_mutex_lock(&p->lock);
		p->running--;
		if (ret < 0 && p->ret == 0) {
			p->ret = ret;
			p->err = err;
			p->next = p->jobs;
			progress_cancel(p->progress);
		}
		pthread_cond_broadcast(&p->changed);
	}
}

void pool_connect(const struct registry *r, struct http *http)
{
	cleanup_http_response struct http_response response = {0};
	char url[HTTP_URL];
	const struct http_request request = {.method = "GET", .url = url};

	if (snprintf(url, sizeof(url), "%s/v2/", registry_base(r)) < (int)sizeof(url))
		(void)http_exchange(http, &request, &response, NULL);
}

static void *pool_thread(void *opaque);

/* Locked. */
static void start_threads(struct pool *p, unsigned most)
{
	sigset_t all, before;

	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (p->threads < most &&
	       pthread_create(&p->thread[p->threads], NULL, pool_thread, p) == 0)
		p->threads++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void *pool_thread(void *opaque)
{
	cleanup_http struct http *http = NULL;
	struct pool *p = opaque;
	bool early;
	int ret = registry_http(p->registry, &http, NULL);

	pthread_mutex_lock(&p->lock);
	/* The caller has the manifest to fetch. */
	if (p->threads == 1 && !p->stop)
		start_threads(p, THREADS);
	early = p->early && p->jobs == 0;
	if (ret == 0 && early) {
		p->connecting++;
		pthread_mutex_unlock(&p->lock);
		pool_connect(p->registry, http);
		pthread_mutex_lock(&p->lock);
		p->connecting--;
	}
	while (ret == 0 && !p->stop) {
		take_jobs(p, http);
		if (!p->stop)
			pthread_cond_wait(&p->changed, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int pool_start(struct pool **out, struct registry *r, struct progress *progress, bool early,
	       struct err *err)
{
	struct pool *p = calloc(1, sizeof(*p));

	*out = p;
	if (p == NULL)
		return err_sys(err, ENOMEM, "connect");
	p->registry = r;
	p->progress = progress;
	p->early = early;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	pthread_mutex_lock(&p->lock);
	start_threads(p, 1);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

int pool_run(struct pool *p, struct http *own, size_t jobs,
	     int (*job)(void *opaque, struct http *http, size_t index, struct err *err),
	     void *opaque, struct err *err)
{
	pthread_mutex_lock(&p->lock);
	p->job = job;
	p->opaque = opaque;
	p->jobs = jobs;
	p->next = 0;
	/* Those that still connect are not waited for. */
	pthread_cond_broadcast(&p->changed);
	take_jobs(p, own);
	while (p->running > 0)
		pthread_cond_wait(&p->changed, &p->lock);
	pthread_mutex_unlock(&p->lock);
	return p->ret < 0 ? err_copy(err, p->ret, &p->err) : 0;
}

void pool_end(struct pool *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	if (p->connecting > 0)
		progress_cancel(p->progress);
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	while (p->threads > 0)
		pthread_join(p->thread[--p->threads], NULL);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
