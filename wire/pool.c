/* See pool.h. */
#include "wire/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"

#define EARLY 8u
#define MOST  16u

struct pool {
	struct registry *registry;
	struct progress *progress;
	char early_url[HTTP_URL];
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t changed;
	pthread_t thread[MOST];
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

/* Whatever comes of that: a connection that fails now may not later, and says so then. */
static void connect_early(const struct pool *p, struct http *http)
{
	cleanup_http_response struct http_response response = {0};
	const struct http_request request = {.method = "GET", .url = p->early_url};

	(void)http_exchange(http, &request, &response, NULL);
}

static void *pool_thread(void *opaque)
{
	cleanup_http struct http *http = NULL;
	struct pool *p = opaque;
	bool early;
	int ret = registry_http(p->registry, &http, NULL);

	pthread_mutex_lock(&p->lock);
	early = p->jobs == 0;
	if (ret == 0 && early) {
		p->connecting++;
		pthread_mutex_unlock(&p->lock);
		connect_early(p, http);
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

int pool_start(struct pool **out, struct registry *r, struct progress *progress, struct err *err)
{
	struct pool *p = calloc(1, sizeof(*p));

	*out = p;
	if (p == NULL)
		return err_sys(err, ENOMEM, "connect");
	p->registry = r;
	p->progress = progress;
	if (snprintf(p->early_url, sizeof(p->early_url), "%s/v2/", registry_base(r)) >=
	    (int)sizeof(p->early_url))
		p->early_url[0] = '\0';
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	start_threads(p, EARLY);
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
	start_threads(p, jobs > EARLY ? MOST : EARLY);
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
