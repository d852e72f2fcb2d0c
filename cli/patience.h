/*
 * A line on standard error for who waits: "torpor: VERB: waiting for …" when a step has not gone on
 * for a second. Once for each step.
 *
 *     patience_begin → patience_step … → patience_end
 *
 * The steps are one thread's. patience_begin() starts a second one, so patience_end() belongs
 * before a fork.
 */
#ifndef TORPOR_CLI_PATIENCE_H
#define TORPOR_CLI_PATIENCE_H

#include <pthread.h>
#include <stdbool.h>

struct patience {
	const char *verb;
	const char *what; /* is waited for; NULL: nothing that is to be told */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool running; /* the thread; without one nothing is said */
	bool moved;   /* there was a step since it looked last */
	bool over;
};

/* `verb` and `what` are kept. */
void patience_begin(struct patience *p, const char *verb, const char *what);
/* It goes on, and now waits for `what`. */
void patience_step(struct patience *p, const char *what);
void patience_end(struct patience *p);

#endif
