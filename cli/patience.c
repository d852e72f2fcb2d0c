/* See patience.h. */
#include "cli/patience.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "meter/meter.h"

#define PATIENCE_S 1

static void *patience_thread(void *opaque)
{
	struct patience *p = opaque;
	struct timespec deadline;
	int ret = 0;

	pthread_mutex_lock(&p->lock);
	do {
		p->moved = false;
		clock_gettime(CLOCK_MONOTONIC, &deadline);
		deadline.tv_sec += PATIENCE_S;
		ret = 0;
		while (!p->over && ret != ETIMEDOUT)
			ret = pthread_cond_timedwait(&p->changed, &p->lock, &deadline);
	} while (!p->over && (p->moved || p->what == NULL));
	if (!p->over) {
		meter_hide();
		fprintf(stderr, "torpor: %s: waiting for %s\n", p->verb, p->what);
		meter_show();
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

void patience_begin(struct patience *p, const char *verb, const char *what)
{
	pthread_condattr_t monotonic;

	*p = (struct patience){.verb = verb, .what = what, .lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&p->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	p->running = pthread_create(&p->thread, NULL, patience_thread, p) == 0;
}

void patience_step(struct patience *p, const char *what)
{
	pthread_mutex_lock(&p->lock);
	p->what = what;
	p->moved = true;
	pthread_mutex_unlock(&p->lock);
}

void patience_end(struct patience *p)
{
	pthread_mutex_lock(&p->lock);
	p->over = true;
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
	if (p->running)
		pthread_join(p->thread, NULL);
	pthread_cond_destroy(&p->changed);
}
