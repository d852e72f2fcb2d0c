/*
 * See meter.h. One thread prints, with all signals blocked. It and who hides the line take turns by an
 * atomic flag, which a signal's handler can take, too: a line that is half written would be behind the
 * handler's words otherwise.
 */
#include "meter/meter.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "host/terminal.h"
#include "meter/meter_text.h"

#define TICK_MS	       200
#define LINE_NS	       NS_PER_SECOND
#define FEW_LINES_NS   (10 * NS_PER_SECOND)
#define HANDLER_TRIES  200 /* of a millisecond */
#define CANCELLED_TEXT 512u
#define WIPE	       "\r\033[K"

enum mode { METER_AUTO, METER_PLAIN, METER_JSON, METER_NONE };

/* What AUTO comes to, on this standard error. */
enum shown { SHOW_NOTHING, SHOW_LINE, SHOW_DUMB, SHOW_PLAIN, SHOW_JSON };

static enum mode chosen = METER_AUTO;

static struct {
	bool active, running;
	enum shown shown;
	bool foreground; /* when it began */
	struct meter_params params;
	struct progress progress;
	pthread_t thread;
	pthread_mutex_t lock; /* guards `over` */
	pthread_cond_t changed;
	bool over;
	uint64_t begun;
	struct meter_sample sample; /* the thread's, and the owner's behind it */
	double rate;
	uint64_t looked; /* when the sample was taken */
} meter;

static atomic_flag writing = ATOMIC_FLAG_INIT;
static atomic_uint hidden;
static atomic_bool on_screen; /* a line stands there that has to be wiped */
/* Of the handler. */
static char cancelled_text[CANCELLED_TEXT];
static atomic_size_t cancelled_len;

int meter_choose(const char *mode, struct err *err)
{
	static const char *const names[] = {
		[METER_PLAIN] = "plain", [METER_JSON] = "json", [METER_NONE] = "none"};

	for (enum mode i = METER_PLAIN; i <= METER_NONE; i++) {
		if (strcmp(mode, names[i]) == 0) {
			chosen = i;
			return 0;
		}
	}
	return err_set(err, ERR_USAGE, "--progress: '%s' is none of " METER_MODES, mode);
}

static void nap(void)
{
	static const struct timespec pause = {.tv_nsec = 1000000};

	nanosleep(&pause, NULL);
}

static void begin_writing(void)
{
	while (atomic_flag_test_and_set(&writing))
		nap();
}

static void end_writing(void)
{
	atomic_flag_clear(&writing);
}

static enum shown choose_shown(void)
{
	const char *term = getenv("TERM");

	if (chosen == METER_PLAIN)
		return SHOW_PLAIN;
	if (chosen == METER_JSON)
		return SHOW_JSON;
	if (chosen == METER_NONE || isatty(STDERR_FILENO) != 1)
		return SHOW_NOTHING;
	return term == NULL || term[0] == '\0' || strcmp(term, "dumb") == 0 ? SHOW_DUMB : SHOW_LINE;
}

/* In a sandbox the question is refused: then it is as it was. */
static bool in_foreground(void)
{
	const pid_t group = tcgetpgrp(STDERR_FILENO);

	return group < 0 ? meter.foreground : group == getpgrp();
}

static void put(const char *text)
{
	(void)io_write(STDERR_FILENO, text, strlen(text));
}

/* --- what is shown --- */

static void look(void)
{
	const uint64_t now = clock_monotonic_ns(), before = meter.sample.done;
	uint64_t done = atomic_load(&meter.progress.done);
	uint64_t expected = atomic_load(&meter.progress.expected);

	if (meter.params.look != NULL && !meter.params.look(meter.params.opaque, &done, &expected))
		return;
	meter.rate = meter_rate(meter.rate, done > before ? done - before : 0,
				(double)(now - meter.looked) / NS_PER_SECOND);
	meter.looked = now;
	meter.sample = (struct meter_sample){
		.done = done,
		.expected = expected,
		.rate = meter.rate,
		.seconds = (double)(now - meter.begun) / NS_PER_SECOND,
		.waits_for = meter.params.waits_for,
	};
}

static void show_line(void)
{
	char text[METER_TEXT], line[METER_TEXT + sizeof(WIPE)];
	uint16_t rows, columns;

	if (!terminal_error_size(&rows, &columns))
		columns = 0;
	meter_line(text, meter.params.verb, &meter.sample, columns);
	snprintf(line, sizeof(line), WIPE "%s", text);
	begin_writing();
	if (atomic_load(&hidden) == 0 && atomic_load(&cancelled_len) > 0) {
		atomic_store(&on_screen, true);
		put(line);
	}
	end_writing();
}

static void show_text(const char *state)
{
	char text[METER_TEXT + 1];

	if (meter.shown == SHOW_JSON)
		meter_json(text, meter.params.verb, state, &meter.sample);
	else if (strcmp(state, "running") == 0)
		meter_line(text, meter.params.verb, &meter.sample, 0);
	else
		meter_last_line(text, meter.params.verb, state, &meter.sample);
	strcat(text, "\n");
	begin_writing();
	put(text);
	end_writing();
}

static void *meter_thread(void *opaque)
{
	uint64_t shown = 0, now;
	struct timespec deadline;

	(void)opaque;
	pthread_mutex_lock(&meter.lock);
	while (!meter.over) {
		clock_gettime(CLOCK_MONOTONIC, &deadline);
		deadline.tv_nsec += TICK_MS * 1000000;
		deadline.tv_sec += deadline.tv_nsec / (long)NS_PER_SECOND;
		deadline.tv_nsec %= (long)NS_PER_SECOND;
		if (pthread_cond_timedwait(&meter.changed, &meter.lock, &deadline) != ETIMEDOUT)
			continue;
		pthread_mutex_unlock(&meter.lock);
		look();
		now = clock_monotonic_ns();
		if (meter.shown == SHOW_LINE && now - meter.begun >= METER_DELAY_MS * 1000000ull &&
		    (meter.sample.done > 0 || meter.sample.expected > 0 ||
		     meter.sample.waits_for != NULL) &&
		    in_foreground())
			show_line();
		if (meter.shown != SHOW_LINE &&
		    now - (shown > 0 ? shown : meter.begun) >=
			    (now - meter.begun < FEW_LINES_NS ? LINE_NS : FEW_LINES_NS)) {
			shown = now;
			show_text("running");
		}
		pthread_mutex_lock(&meter.lock);
	}
	pthread_mutex_unlock(&meter.lock);
	return NULL;
}

/* --- its life --- */

static size_t cancelled_words(char out[CANCELLED_TEXT], enum shown shown, const char *verb,
			      const char *cancelled)
{
	const int len = shown == SHOW_JSON
				? snprintf(out, CANCELLED_TEXT,
					   "{\"progress\":\"%s\",\"state\":\"cancelled\"}\n", verb)
				: snprintf(out, CANCELLED_TEXT, "torpor: %s: cancelled: %s\n", verb,
					   cancelled);

	return u64_min((uint64_t)len, CANCELLED_TEXT - 1);
}

void meter_say_cancelled(const char *verb, const char *cancelled)
{
	const enum shown shown = choose_shown();
	char text[CANCELLED_TEXT];

	if (shown == SHOW_NOTHING)
		return;
	(void)cancelled_words(text, shown, verb, cancelled);
	put(text);
}

/* A child has no meter, and its threads are not there. */
static void forget_in_child(void)
{
	end_writing();
	atomic_store(&cancelled_len, 0);
	atomic_store(&on_screen, false);
	meter.active = false;
}

static void prepare(void)
{
	static bool prepared;

	if (!prepared)
		(void)pthread_atfork(begin_writing, end_writing, forget_in_child);
	prepared = true;
	atomic_store(&cancelled_len, cancelled_words(cancelled_text, meter.shown, meter.params.verb,
						     meter.params.cancelled));
}

int meter_begin(const struct meter_params *params, struct err *err)
{
	pthread_condattr_t monotonic;
	int ret;

	assert(!meter.active);
	memset(&meter, 0, sizeof(meter));
	ret = progress_init(&meter.progress, err);
	if (ret < 0)
		return ret;
	meter.active = true;
	meter.params = *params;
	meter.shown = choose_shown();
	meter.foreground = tcgetpgrp(STDERR_FILENO) == getpgrp();
	meter.begun = meter.looked = clock_monotonic_ns();
	meter.rate = -1;
	pthread_mutex_init(&meter.lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&meter.changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	prepare();
	return 0;
}

void meter_run(void)
{
	sigset_t all, before;

	if (!meter.active || meter.running || meter.shown == SHOW_NOTHING)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	meter.running = pthread_create(&meter.thread, NULL, meter_thread, NULL) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct progress *meter_progress(void)
{
	return meter.active ? &meter.progress : NULL;
}

static void wipe(void)
{
	if (atomic_exchange(&on_screen, false))
		put(WIPE);
}

void meter_hide(void)
{
	begin_writing();
	atomic_fetch_add(&hidden, 1);
	wipe();
	end_writing();
}

void meter_show(void)
{
	atomic_fetch_sub(&hidden, 1);
}

void meter_end(int ret)
{
	if (!meter.active)
		return;
	pthread_mutex_lock(&meter.lock);
	meter.over = true;
	pthread_cond_signal(&meter.changed);
	pthread_mutex_unlock(&meter.lock);
	if (meter.running)
		pthread_join(meter.thread, NULL);
	begin_writing();
	atomic_store(&cancelled_len, 0);
	wipe();
	end_writing();
	if (meter.shown == SHOW_PLAIN || meter.shown == SHOW_JSON) {
		if (atomic_load(&meter.progress.done) > 0)
			meter.params.look = NULL;
		if (meter.params.look == NULL)
			look();
		show_text(ret < 0 ? "failed" : "done");
	}
	progress_free(&meter.progress);
	pthread_cond_destroy(&meter.changed);
	pthread_mutex_destroy(&meter.lock);
	meter.active = false;
}

void meter_on_signal(void)
{
	const int saved = errno;
	size_t len;

	/* The thread that we interrupted may hold it, and a terminal may take nothing more. */
	for (int i = 0; i < HANDLER_TRIES && atomic_flag_test_and_set(&writing); i++)
		nap();
	len = atomic_exchange(&cancelled_len, 0);
	if (len > 0 && meter.shown != SHOW_NOTHING && !progress_is_committed(&meter.progress)) {
		if (atomic_exchange(&on_screen, false))
			(void)!write(STDERR_FILENO, WIPE, sizeof(WIPE) - 1);
		(void)!write(STDERR_FILENO, cancelled_text, len);
	}
	errno = saved;
}
