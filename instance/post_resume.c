/* See post_resume.h. Whatever has just ended calls advance(), which begins the next thing. */
#include "instance/post_resume.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/printable.h"
#include "guest/reseed.h"

#define ANSWER_MS	30000u
#define LOOK_FIRST_MS	20u
#define LOOK_LONGEST_MS 500u
#define PROCESS_MS	60000u /* after that its result is not waited for */
#define CLOCK_GOOD	2.0    /* seconds: an agent may have to be paged in to tell the time */
#define CLOCK_TRIES	3u     /* on a busy host a guest may take a time long after it was right */

/* What an agent may offer. */
enum {
	CAN_SET_TIME = 1,
	CAN_GET_TIME = 2,
	CAN_EXEC = 4,
};

static const struct {
	const char *command;
	unsigned able;
} offers[] = {
	{"guest-set-time", CAN_SET_TIME},
	{"guest-get-time", CAN_GET_TIME},
	{"guest-exec", CAN_EXEC},
};

static void advance(struct post_resume *w);

static bool something_owed(const struct post_resume *w)
{
	return w->random == POST_RESUME_OWED || w->clock == POST_RESUME_OWED ||
	       w->hooks == POST_RESUME_OWED || w->unchecked;
}

/* What the guest's clock is to say now. */
static uint64_t guest_time_ns(const struct post_resume *w)
{
	return clock_realtime_ns() + (uint64_t)w->shift_ns;
}

static void note_time(struct post_resume *w)
{
	w->took = clock_monotonic_ns() - w->began;
}

/* --- what the agent offers --- */

static unsigned able_to(const json_t *command)
{
	const char *name = json_string_value(json_object_get(command, "name"));

	if (name == NULL || !json_is_true(json_object_get(command, "enabled")))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(offers); i++) {
		if (strcmp(name, offers[i].command) == 0)
			return offers[i].able;
	}
	return 0;
}

static void on_info(void *opaque, const json_t *value, const struct err *why)
{
	const json_t *commands = json_object_get(value, "supported_commands");
	struct post_resume *w = opaque;

	(void)why;
	/* Not in time: a guest that is being paged in. It is asked again once it answers at all. */
	if (value == NULL && w->agent.state != AGENT_READY)
		return;
	w->able = 0;
	for (size_t i = 0; i < json_array_size(commands); i++)
		w->able |= able_to(json_array_get(commands, i));
	w->knows = true;
	advance(w);
}

/* --- the clock --- */

static void clock_failed(struct post_resume *w, const char *why)
{
	w->clock = POST_RESUME_FAILED;
	snprintf(w->clock_error, sizeof(w->clock_error), "%.255s", why);
	printable(w->clock_error);
}

static void on_time_set(void *opaque, const json_t *value, const struct err *why)
{
	struct post_resume *w = opaque;

	/* Closed: the agent that opens the port next is asked again. Behind: paused meanwhile. */
	if (w->agent.state == AGENT_CLOSED || w->behind > NS_PER_SECOND)
		w->clock = POST_RESUME_OWED;
	else if (value != NULL)
		w->clock = POST_RESUME_DONE;
	else
		clock_failed(w, why->text);
	advance(w);
}

static void set_clock(struct post_resume *w)
{
	w->unchecked = true;
	if ((w->able & CAN_SET_TIME) == 0) {
		clock_failed(w, "the agent does not offer guest-set-time");
		advance(w);
		return;
	}
	w->clock = POST_RESUME_BUSY;
	w->behind = 0;
	agent_ask(&w->agent, &w->question, "guest-set-time",
		  json_pack("{s:I}", "time", (json_int_t)guest_time_ns(w)), ANSWER_MS, on_time_set,
		  w);
}

/* An agent may set the clock and then fail, at a hardware clock that is not there; or a hook may
 * have set it. So the guest's clock is read, and decides. */
static void compare_clock(struct post_resume *w)
{
	char why[64];

	if (fabs(w->off) <= CLOCK_GOOD) {
		w->clock = POST_RESUME_DONE;
	} else if (w->clock == POST_RESUME_DONE && ++w->clock_tries < CLOCK_TRIES) {
		w->clock = POST_RESUME_OWED;
	} else if (w->clock == POST_RESUME_DONE) {
		snprintf(why, sizeof(why), "it is still %.1f s off", w->off);
		clock_failed(w, why);
	}
}

static void clock_checked(struct post_resume *w)
{
	w->unchecked = false;
	note_time(w);
	if (w->clock == POST_RESUME_FAILED)
		log_line(&w->machine->log, "the guest's clock is not set: %s", w->clock_error);
	else
		log_line(&w->machine->log, "the guest's clock is set");
	advance(w);
}

static void on_time_got(void *opaque, const json_t *value, const struct err *why)
{
	struct post_resume *w = opaque;

	(void)why;
	if (json_is_integer(value)) {
		uint64_t now = guest_time_ns(w);
		double middle = (double)w->asked + ((double)now - (double)w->asked) / 2;

		w->off = ((double)json_integer_value(value) - middle) / 1e9;
		compare_clock(w);
	}
	if (w->clock == POST_RESUME_OWED)
		advance(w);
	else
		clock_checked(w);
}

static void check_clock(struct post_resume *w)
{
	if ((w->able & CAN_GET_TIME) == 0) {
		clock_checked(w);
		return;
	}
	w->asked = guest_time_ns(w);
	agent_ask(&w->agent, &w->question, "guest-get-time", NULL, ANSWER_MS, on_time_got, w);
}

/* --- a process of the guest: for its random numbers, or for the hooks --- */

static void random_failed(struct post_resume *w, const char *why);
static void random_exited(struct post_resume *w, const json_t *status);
static void hooks_failed(struct post_resume *w, const char *why);
static void hooks_exited(struct post_resume *w, const json_t *status);

static void process_failed(struct post_resume *w, const char *why)
{
	w->pid = 0;
	note_time(w);
	if (w->random == POST_RESUME_BUSY)
		random_failed(w, why);
	else
		hooks_failed(w, why);
	advance(w);
}

static void process_exited(struct post_resume *w, const json_t *status)
{
	w->pid = 0;
	note_time(w);
	if (w->random == POST_RESUME_BUSY)
		random_exited(w, status);
	else
		hooks_exited(w, status);
	advance(w);
}

static void poll_process_later(struct post_resume *w)
{
	w->looked_ms += w->look_ms;
	w->look_ms = (unsigned)u64_min(2 * w->look_ms, LOOK_LONGEST_MS);
	if (w->looked_ms > PROCESS_MS)
		process_failed(w, "the guest's shell still runs after a minute; nobody waits for "
				  "it any more");
	else
		timer_set(&w->timer, w->look_ms);
}

static void on_status(void *opaque, const json_t *value, const struct err *why)
{
	struct post_resume *w = opaque;

	if (value == NULL)
		process_failed(w, why->text);
	else if (json_is_true(json_object_get(value, "exited")))
		process_exited(w, value);
	else
		poll_process_later(w);
}

static void poll_process(struct post_resume *w)
{
	if (w->agent.state != AGENT_READY || w->question.waits)
		poll_process_later(w);
	else
		agent_ask(&w->agent, &w->question, "guest-exec-status",
			  json_pack("{s:I}", "pid", w->pid), ANSWER_MS, on_status, w);
}

static void on_exec(void *opaque, const json_t *value, const struct err *why)
{
	struct post_resume *w = opaque;

	w->pid = json_integer_value(json_object_get(value, "pid"));
	if (w->pid == 0) {
		process_failed(w, why != NULL ? why->text : "guest-exec gives no process");
		return;
	}
	w->look_ms = LOOK_FIRST_MS;
	w->looked_ms = 0;
	timer_set(&w->timer, w->look_ms);
}

/* `part` is what it is for. */
static void start_process(struct post_resume *w, enum post_resume_part *part, json_t *arguments)
{
	*part = POST_RESUME_BUSY;
	if ((w->able & CAN_EXEC) != 0) {
		agent_ask(&w->agent, &w->question, "guest-exec", arguments, ANSWER_MS, on_exec, w);
		return;
	}
	json_decref(arguments);
	process_failed(w, "the agent does not offer guest-exec");
}

/* --- random numbers --- */

static void random_failed(struct post_resume *w, const char *why)
{
	/* The agent that opens the port next is asked again: that does no harm. */
	if (w->agent.state == AGENT_CLOSED) {
		w->random = POST_RESUME_OWED;
		return;
	}
	w->random = POST_RESUME_FAILED;
	snprintf(w->random_error, sizeof(w->random_error), "%.255s", why);
	printable(w->random_error);
	log_line(&w->machine->log,
		 "the guest's random numbers are not renewed, every machine of this file draws the "
		 "same: %s",
		 w->random_error);
}

static void random_exited(struct post_resume *w, const json_t *status)
{
	struct err err;

	if (reseed_check(status, &err) < 0) {
		random_failed(w, err.text);
		return;
	}
	w->random = POST_RESUME_DONE;
	log_line(
		&w->machine->log,
		"the guest's random numbers are renewed by its agent, for its kernel has no driver "
		"of the generation id");
}

/* --- the hooks --- */

static void hooks_failed(struct post_resume *w, const char *why)
{
	w->hooks = POST_RESUME_FAILED;
	snprintf(w->hooks_error, sizeof(w->hooks_error), "%.255s", why);
	printable(w->hooks_error);
	log_line(&w->machine->log, "wake hooks: %s", w->hooks_error);
}

static void log_hooks(const struct post_resume *w)
{
	const struct log *log = &w->machine->log;
	size_t n = json_array_size(w->ran);

	for (size_t i = 0; i < n; i++) {
		const json_t *hook = json_array_get(w->ran, i);
		const char *output = json_string_value(json_object_get(hook, "output"));
		int status = (int)json_integer_value(json_object_get(hook, "status"));

		if (status != 0 || output[0] != '\0')
			log_line(log, "wake hook %s: exit %d%s%s",
				 json_string_value(json_object_get(hook, "hook")), status,
				 output[0] != '\0' ? ": " : "", output);
	}
	log_line(log, "%zu wake hooks have run", n);
}

static void hooks_exited(struct post_resume *w, const json_t *status)
{
	struct err err;

	w->ran = resume_hooks_report(status, &err);
	if (w->ran == NULL) {
		hooks_failed(w, err.text);
		return;
	}
	w->hooks = POST_RESUME_DONE;
	log_hooks(w);
}

/* Once: whether a shell has started cannot be known if the answer does not come. */
static void run_hooks(struct post_resume *w)
{
	int64_t now = (int64_t)(guest_time_ns(w) / NS_PER_SECOND);

	start_process(w, &w->hooks, resume_hooks_arguments(&w->facts, now));
}

/* --- the order --- */

static void advance(struct post_resume *w)
{
	if (!w->going || !something_owed(w) || w->agent.state != AGENT_READY || w->question.waits)
		return;
	if (!w->knows)
		agent_ask(&w->agent, &w->question, "guest-info", NULL, ANSWER_MS, on_info, w);
	else if (w->random == POST_RESUME_OWED)
		start_process(w, &w->random, reseed_arguments());
	else if (w->random == POST_RESUME_BUSY)
		return;
	else if (w->clock == POST_RESUME_OWED)
		set_clock(w);
	else if (w->hooks == POST_RESUME_OWED)
		run_hooks(w);
	else if (w->hooks != POST_RESUME_BUSY)
		check_clock(w);
}

static void log_absent(struct post_resume *w, const char *what)
{
	if (w->told_absent || !something_owed(w))
		return;
	w->told_absent = true;
	log_line(&w->machine->log, "%s yet: before it answers, the guest's clock is not set%s%s",
		 what, w->hooks == POST_RESUME_OWED ? ", its wake hooks do not run" : "",
		 w->random == POST_RESUME_OWED ? ", its random numbers are not renewed" : "");
}

static void on_post_resume_timer(void *opaque)
{
	struct post_resume *w = opaque;

	if (w->pid != 0)
		poll_process(w);
	else if (w->agent.state == AGENT_CLOSED)
		log_absent(w, "no guest agent");
}

static void on_agent(void *opaque)
{
	struct post_resume *w = opaque;

	if (w->agent.state == AGENT_SILENT)
		log_absent(w, "the guest agent does not answer");
	if (w->agent.state != AGENT_CLOSED) {
		advance(w);
		return;
	}
	w->knows = false;
	if (w->pid != 0)
		process_failed(w, "the agent ended before it did");
	if (w->going && something_owed(w))
		timer_set(&w->timer, POST_RESUME_ABSENT_MS);
}

static void first_start(struct post_resume *w)
{
	uint64_t now = guest_time_ns(w);

	w->began = clock_monotonic_ns();
	if (w->saved_ns == 0)
		return;
	w->facts.asleep = now > w->saved_ns ? (now - w->saved_ns) / NS_PER_SECOND : 0;
	w->clock = w->hooks = POST_RESUME_OWED;
	w->random = w->deaf ? POST_RESUME_OWED : POST_RESUME_NONE;
}

/* Host suspended during a pause counts: CLOCK_BOOTTIME. */
static void count_pause(struct post_resume *w)
{
	if (w->stopped == 0)
		return;
	w->behind += clock_ns(CLOCK_BOOTTIME) - w->stopped;
	w->stopped = 0;
	if (w->behind > NS_PER_SECOND && w->clock != POST_RESUME_BUSY) {
		w->clock = POST_RESUME_OWED;
		w->clock_tries = 0;
	}
}

static void post_resume_go(struct post_resume *w)
{
	w->going = true;
	if (w->began == 0)
		first_start(w);
	count_pause(w);
	if (w->pid != 0)
		timer_set(&w->timer, w->look_ms);
	else if (something_owed(w))
		timer_set(&w->timer, POST_RESUME_ABSENT_MS);
	agent_go(&w->agent);
	advance(w);
}

static void post_resume_stop(struct post_resume *w)
{
	w->going = false;
	w->stopped = clock_ns(CLOCK_BOOTTIME);
	timer_set(&w->timer, 0);
	agent_stop(&w->agent);
}

void post_resume_init(struct post_resume *w, struct machine *m, struct chardev *port,
		      const struct resume_facts *facts, uint64_t saved_ns)
{
	*w = (struct post_resume){
		.machine = m, .timer = TIMER_CLOSED, .facts = *facts, .saved_ns = saved_ns};
	agent_init(&w->agent, port);
	agent_observe(&w->agent, &w->observer, on_agent, w);
}

int post_resume_open(struct post_resume *w, struct err *err)
{
	int ret = timer_open(&w->timer, &w->machine->loop, on_post_resume_timer, w, err);

	if (ret < 0)
		return ret;
	ret = agent_open(&w->agent, &w->machine->loop, err);
	if (ret < 0)
		return ret;
	w->open = true;
	post_resume_changed(w);
	return 0;
}

void post_resume_again(struct post_resume *w)
{
	w->pid = 0; /* its hooks are gone, and nobody is told that they failed */
	if (w->open)
		agent_forget(&w->agent);
	w->random = w->clock = w->hooks = POST_RESUME_NONE;
	w->began = w->took = w->stopped = w->behind = 0;
	w->unchecked = w->told_absent = w->knows = false;
	w->shift_ns = 0;
	json_decref(w->ran);
	w->ran = NULL;
}

void post_resume_hears_generation(struct post_resume *w, bool hears)
{
	w->deaf = !hears;
}

void post_resume_set_time(struct post_resume *w, int64_t now_ns)
{
	w->shift_ns = now_ns - (int64_t)clock_realtime_ns();
}

void post_resume_close(struct post_resume *w)
{
	if (w->machine == NULL)
		return;
	w->open = false;
	timer_close(&w->timer);
	agent_close(&w->agent);
	json_decref(w->ran);
	w->ran = NULL;
}

void post_resume_changed(struct post_resume *w)
{
	bool runs = w->machine->state == MACHINE_RUNNING;

	if (!w->open || runs == w->going)
		return;
	if (runs)
		post_resume_go(w);
	else
		post_resume_stop(w);
}

/* --- what is told --- */

static const char *agent_text(const struct post_resume *w)
{
	switch (w->agent.state) {
	case AGENT_READY:
		return "present";
	case AGENT_SYNCING:
		return "waiting";
	case AGENT_SILENT:
		return "silent";
	default:
		return something_owed(w) && !w->told_absent ? "waiting" : "absent";
	}
}

json_t *post_resume_json(const struct post_resume *w)
{
	static const char *const parts[] = {
		[POST_RESUME_NONE] = "none",	 [POST_RESUME_OWED] = "owed",
		[POST_RESUME_BUSY] = "busy",	 [POST_RESUME_DONE] = "done",
		[POST_RESUME_FAILED] = "failed",
	};
	json_t *json = json_pack("{s:s,s:s,s:s,s:s,s:O?}", "agent", agent_text(w), "random",
				 parts[w->random], "clock", parts[w->clock], "hooks",
				 parts[w->hooks], "ran", w->ran);

	if (w->saved_ns != 0)
		json_object_set_new(json, "asleep", json_integer((json_int_t)w->facts.asleep));
	if (w->took != 0)
		json_object_set_new(json, "seconds", json_real((double)w->took / 1e9));
	if (w->clock == POST_RESUME_FAILED)
		json_object_set_new(json, "clock-error", json_string(w->clock_error));
	else if (w->clock == POST_RESUME_DONE && !w->unchecked)
		json_object_set_new(json, "clock-off", json_real(w->off));
	if (w->random == POST_RESUME_FAILED)
		json_object_set_new(json, "random-error", json_string(w->random_error));
	if (w->hooks == POST_RESUME_FAILED)
		json_object_set_new(json, "hooks-error", json_string(w->hooks_error));
	return json;
}
