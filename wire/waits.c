/* See waits.h. */
#include "wire/waits.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/clock.h"

/* What is over soon is not told. */
#define FIRST_NS (500 * NS_PER_MS)
#define AGAIN_NS (200 * NS_PER_MS)

struct waits {
	const struct wire_options *options;
	struct wire_wait wait;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	bool over;
};

static void *waits_run(void *opaque)
{
	struct waits *w = opaque;
	const uint64_t begun = clock_monotonic_ns();
	uint64_t next = begun + FIRST_NS;
	bool told = false;

	pthread_mutex_lock(&w->lock);
	while (!w->over) {
		const struct timespec when = {(time_t)(next / NS_PER_SECOND),
					      (long)(next % NS_PER_SECOND)};

		(void)pthread_cond_timedwait(&w->changed, &w->lock, &when);
		if (w->over || clock_monotonic_ns() < next)
			continue;
		w->wait.elapsed_ns = clock_monotonic_ns() - begun;
		w->options->waits(w->options->waits_opaque, &w->wait);
		told = true;
		next = clock_monotonic_ns() + AGAIN_NS;
	}
	pthread_mutex_unlock(&w->lock);
	if (told)
		w->options->waits(w->options->waits_opaque, NULL);
	return NULL;
}

struct waits *waits_begin(const struct wire_options *options, const struct progress *progress,
			  const char *host)
{
	struct waits *w = options->waits != NULL ? calloc(1, sizeof(*w)) : NULL;
	pthread_condattr_t attr;
	sigset_t all, before;
	int ret;

	if (w == NULL)
		return NULL;
	w->options = options;
	w->wait = (struct wire_wait){.progress = progress, .host = host};
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&w->thread, NULL, waits_run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret == 0)
		return w;
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return NULL;
}

void waits_end(struct waits *w)
{
	if (w == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	w->over = true;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
