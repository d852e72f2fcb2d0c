/* See agent.h. */
#include "instance/agent.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/num.h"

/* No character of UTF-8. Who reads it forgets what he has read of a line, on either side. */
#define DELIMITER 0xff

static void agent_set_state(struct agent *a, enum agent_state state)
{
	if (a->state == state)
		return;
	a->state = state;
	a->changed(a->changed_opaque);
}

/* The open question is over. Whoever asked may ask the next one in the callback. */
static void agent_finish(struct agent *a, const json_t *value, const struct err *why)
{
	agent_answer_fn *answer = a->answer;

	if (answer == NULL)
		return;
	a->answer = NULL;
	timer_set(&a->timer, 0);
	answer(a->answer_opaque, value, why);
}

static void agent_fail(struct agent *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void agent_fail(struct agent *a, const char *fmt, ...)
{
	char text[256];
	struct err why;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_set(&why, ERR_FAILED, "%s", text);
	agent_finish(a, NULL, &why);
}

/* Hand the port what it takes; the rest goes when there is room. */
static void agent_pump(struct agent *a)
{
	size_t taken;

	if (!a->going || a->out_len == 0)
		return;
	taken = a->port->input(a->port, (const uint8_t *)a->out + a->out_start, a->out_len);
	a->out_start += taken;
	a->out_len -= taken;
}

/* Nothing but this is on its way from here on. */
static void agent_send(struct agent *a, const char *text, size_t len)
{
	assert(len <= sizeof(a->out));
	memcpy(a->out, text, len);
	a->out_start = 0;
	a->out_len = len;
	agent_pump(a);
}

static void agent_sync(struct agent *a)
{
	uint32_t number = 0;
	char text[128];
	int len;

	/* A number that was used before would do harm only if its answer were still on the way. */
	(void)!getrandom(&number, sizeof(number), 0);
	a->number = number;
	len = snprintf(text, sizeof(text),
		       "%c{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%u}}\n",
		       DELIMITER, number);
	agent_set_state(a, AGENT_SYNCING);
	timer_set(&a->timer, AGENT_SYNC_MS);
	agent_send(a, text, (size_t)len);
}

/* What comes next cannot be told from what was meant before. */
static void agent_resync(struct agent *a, const char *why)
{
	a->state = AGENT_SYNCING; /* before the callback, which may look */
	agent_fail(a, "%s", why);
	agent_sync(a);
	a->changed(a->changed_opaque);
}

static void take_error(struct agent *a, const json_t *error)
{
	const char *text = json_string_value(json_object_get(error, "desc"));

	agent_fail(a, "%.200s", text != NULL ? text : "it failed");
}

static void agent_handle_reply(struct agent *a, const json_t *reply)
{
	const json_t *value = json_object_get(reply, "return");
	const json_t *error = json_object_get(reply, "error");

	if (value != NULL)
		agent_finish(a, value, NULL);
	else if (json_is_object(error))
		take_error(a, error);
	else
		agent_resync(a, "the answer makes no sense");
}

static void agent_handle_line(struct agent *a)
{
	json_t *reply = a->too_long ? NULL : json_loadb(a->line, a->len, 0, NULL);

	if (a->state == AGENT_SYNCING || a->state == AGENT_SILENT) {
		const json_t *value = json_object_get(reply, "return");

		if (json_is_integer(value) && json_integer_value(value) == a->number) {
			timer_set(&a->timer, 0);
			agent_set_state(a, AGENT_READY);
		}
	} else if (a->state == AGENT_READY && a->answer != NULL) {
		if (a->too_long)
			agent_resync(a, "the answer is too long");
		else
			agent_handle_reply(a, reply);
	}
	json_decref(reply);
}

static void agent_reset_line(struct agent *a)
{
	a->len = 0;
	a->too_long = false;
}

static void agent_receive_byte(struct agent *a, uint8_t byte)
{
	if (byte == DELIMITER) {
		agent_reset_line(a);
	} else if (byte == '\n') {
		agent_handle_line(a);
		agent_reset_line(a);
	} else if (a->len == AGENT_LINE_MAX) {
		a->too_long = true;
	} else {
		a->line[a->len++] = (char)byte;
	}
}

static void on_agent_output(void *opaque, const uint8_t *data, size_t len)
{
	struct agent *a = opaque;

	if (a->state == AGENT_CLOSED)
		return;
	if (a->line == NULL)
		a->line = malloc(AGENT_LINE_MAX);
	if (a->line == NULL)
		return; /* as if it were silent */
	for (size_t i = 0; i < len; i++)
		agent_receive_byte(a, data[i]);
}

static void on_agent_room(void *opaque)
{
	agent_pump(opaque);
}

static void on_agent_opened(void *opaque, bool open)
{
	struct agent *a = opaque;

	if (open) {
		if (a->going)
			agent_sync(a);
		return;
	}
	a->out_len = 0;
	timer_set(&a->timer, 0);
	agent_reset_line(a);
	a->state = AGENT_CLOSED;
	agent_fail(a, "the guest has closed the agent's port");
	a->changed(a->changed_opaque);
}

static void on_agent_timeout(void *opaque)
{
	struct agent *a = opaque;

	if (a->state == AGENT_SYNCING)
		agent_set_state(a, AGENT_SILENT);
	else if (a->answer != NULL)
		agent_resync(a, "no answer in time");
}

void agent_init(struct agent *a, struct chardev *port, void (*changed)(void *opaque), void *opaque)
{
	*a = (struct agent){
		.port = port, .timer = TIMER_CLOSED, .changed = changed, .changed_opaque = opaque};
	port->output = on_agent_output;
	port->room = on_agent_room;
	port->opened = on_agent_opened;
	port->opaque = a;
}

int agent_open(struct agent *a, struct loop *loop, struct err *err)
{
	return timer_open(&a->timer, loop, on_agent_timeout, a, err);
}

void agent_close(struct agent *a)
{
	timer_close(&a->timer);
	free(a->line);
	a->line = NULL;
	a->answer = NULL;
	a->state = AGENT_CLOSED;
	a->going = false;
}

void agent_go(struct agent *a)
{
	a->going = true;
	if (a->state == AGENT_READY && a->answer != NULL) {
		timer_set(&a->timer, a->answer_ms);
		agent_pump(a);
	} else if (a->state != AGENT_READY && a->port->is_open(a->port)) {
		agent_sync(a);
	}
}

void agent_stop(struct agent *a)
{
	a->going = false;
	timer_set(&a->timer, 0);
}

void agent_ask(struct agent *a, const char *command, json_t *arguments, unsigned timeout_ms,
	       agent_answer_fn *answer, void *opaque)
{
	json_t *question = json_pack("{s:s}", "execute", command);
	char text[AGENT_QUESTION_MAX];
	size_t len;

	assert(a->state == AGENT_READY && a->answer == NULL);
	a->answer = answer;
	a->answer_opaque = opaque;
	a->answer_ms = timeout_ms;
	timer_set(&a->timer, timeout_ms);
	if (arguments != NULL)
		json_object_set_new(question, "arguments", arguments);
	len = json_dumpb(question, text, sizeof(text) - 1, JSON_COMPACT);
	json_decref(question);
	/* Without memory for it the question stays unanswered. */
	if (len == 0)
		return;
	assert(len < sizeof(text));
	text[len++] = '\n';
	agent_send(a, text, len);
}
