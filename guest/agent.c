/* See agent.h. */
#include "guest/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/num.h"
#include "base/printable.h"
#include "format/crypto/base64.h"

/* No character of UTF-8. Either side drops what it has read of a line when it reads this. */
#define DELIMITER 0xff

static void agent_tell(const struct agent *a)
{
	for (struct agent_observer *o = a->observers; o != NULL; o = o->next)
		o->changed(o->opaque);
}

static void agent_set_state(struct agent *a, enum agent_state state)
{
	if (a->state == state)
		return;
	a->state = state;
	agent_tell(a);
}

/* Hand the port what it takes; the rest goes when there is room. */
static void agent_pump(struct agent *a)
{
	size_t taken;

	if (!a->going || a->out_len == 0)
		return;
	taken = a->port->input(a->port, (const uint8_t *)a->out, a->out_len);
	a->out += taken;
	a->out_len -= taken;
}

/* Nothing but this is on its way from here on. */
static void agent_send(struct agent *a, const char *text, size_t len)
{
	a->out = text;
	a->out_len = len;
	agent_pump(a);
}

/* Ask the question that waits longest, unless one is open. */
static void agent_ask_next(struct agent *a)
{
	if (a->state != AGENT_READY || a->open || a->first == NULL)
		return;
	a->open = true;
	if (a->going)
		timer_set(&a->timer, a->first->timeout_ms);
	agent_send(a, a->first->text, a->first->len);
}

static void agent_drop_first(struct agent *a)
{
	struct agent_question *q = a->first;

	a->first = q->next;
	a->open = false;
	a->out_len = 0;
	free(q->text);
	q->text = NULL;
	q->waits = false;
}

/* The first question is over. Whoever asked may ask the next one in the callback. */
static void agent_finish(struct agent *a, const json_t *value, const struct err *why)
{
	struct agent_question *q = a->first;

	agent_drop_first(a);
	timer_set(&a->timer, 0);
	q->answer(q->opaque, value, why);
	agent_ask_next(a);
}

static void agent_fail(struct agent *a, const char *text)
{
	struct err why;

	err_set(&why, ERR_FAILED, "%.255s", text);
	agent_finish(a, NULL, &why);
}

/* Nobody answers any of them. */
static void agent_fail_all(struct agent *a, const char *text)
{
	while (a->first != NULL)
		agent_fail(a, text);
}

static void agent_sync(struct agent *a)
{
	uint32_t number = 0;
	int len;

	/* A number that was used before would do harm only if its answer were still on the way. */
	(void)!getrandom(&number, sizeof(number), 0);
	a->number = number;
	len = snprintf(a->sync, sizeof(a->sync),
		       "%c{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%u}}\n",
		       DELIMITER, number);
	agent_set_state(a, AGENT_SYNCING);
	timer_set(&a->timer, AGENT_SYNC_MS);
	agent_send(a, a->sync, (size_t)len);
}

/* The next reply may be that to the old question: synchronize first. */
static void agent_resync(struct agent *a, const char *why)
{
	a->state = AGENT_SYNCING; /* before the callback, which may look */
	agent_fail(a, why);
	agent_sync(a);
	agent_tell(a);
}

static void take_error(struct agent *a, const json_t *error)
{
	const char *text = json_string_value(json_object_get(error, "desc"));

	agent_fail(a, text != NULL ? text : "it failed");
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

static void agent_handle_number(struct agent *a)
{
	json_t *reply = a->len < sizeof(a->sync) ? json_loadb(a->line, a->len, 0, NULL) : NULL;
	const json_t *value = json_object_get(reply, "return");
	bool repeated = json_is_integer(value) && json_integer_value(value) == a->number;

	json_decref(reply);
	if (!repeated)
		return;
	timer_set(&a->timer, 0);
	agent_set_state(a, AGENT_READY);
	agent_ask_next(a);
}

/* What an application's end was, which our init tells before it switches the machine off. It is no
 * answer, and comes whatever was asked. Returns whether it is that. */
static bool agent_handle_exit(struct agent *a)
{
	static const char start[] = "{\"event\":\"TORPOR_EXIT\"";
	const json_t *status;
	json_t *event;

	if (a->len < sizeof(start) - 1 || memcmp(a->line, start, sizeof(start) - 1) != 0)
		return false;
	event = json_loadb(a->line, a->len, 0, NULL);
	status = json_object_get(json_object_get(event, "data"), "status");
	if (json_integer_value(status) > 0 && json_integer_value(status) <= 255)
		a->exit_status = (int)json_integer_value(status);
	json_decref(event);
	return true;
}

static void agent_handle_line(struct agent *a)
{
	json_t *reply;

	if (agent_handle_exit(a))
		return;
	if (a->state == AGENT_SYNCING || a->state == AGENT_SILENT) {
		agent_handle_number(a);
		return;
	}
	if (a->state != AGENT_READY || !a->open)
		return;
	if (a->too_long) {
		agent_resync(a, "the answer is too long");
		return;
	}
	/* What is answered before it was asked is no answer. */
	reply = a->out_len == 0 ? json_loadb(a->line, a->len, 0, NULL) : NULL;
	agent_handle_reply(a, reply);
	json_decref(reply);
}

static void agent_reset_line(struct agent *a)
{
	a->len = 0;
	a->too_long = false;
}

static void on_agent_output(void *opaque, const uint8_t *data, size_t len)
{
	const uint8_t *end = data + len;
	struct agent *a = opaque;

	if (a->state == AGENT_CLOSED)
		return;
	if (a->line == NULL)
		a->line = malloc(AGENT_LINE_MAX);
	if (a->line == NULL)
		return; /* as if it were silent */
	while (data < end) {
		const uint8_t *start = data;
		size_t kept;

		while (data < end && *data != '\n' && *data != DELIMITER)
			data++;
		kept = u64_min((size_t)(data - start), AGENT_LINE_MAX - a->len);
		memcpy(a->line + a->len, start, kept);
		a->len += kept;
		a->too_long |= kept < (size_t)(data - start);
		if (data == end)
			return;
		if (*data++ == '\n')
			agent_handle_line(a);
		agent_reset_line(a);
	}
}

static void on_agent_room(void *opaque)
{
	agent_pump(opaque);
}

static void agent_lose(struct agent *a, const char *why)
{
	a->out_len = 0;
	timer_set(&a->timer, 0);
	agent_reset_line(a);
	a->state = AGENT_CLOSED;
	agent_fail_all(a, why);
	agent_tell(a);
}

static void on_agent_opened(void *opaque, bool open)
{
	struct agent *a = opaque;

	if (open)
		a->exit_status = 0;
	if (!open)
		agent_lose(a, "the guest has closed the agent's port");
	else if (a->going)
		agent_sync(a);
}

void agent_forget(struct agent *a)
{
	a->exit_status = 0;
	agent_lose(a, "the machine was reset");
}

static void on_agent_timeout(void *opaque)
{
	struct agent *a = opaque;

	if (a->state == AGENT_SYNCING) {
		a->state = AGENT_SILENT;
		agent_fail_all(a, "the agent does not answer");
		agent_tell(a);
	} else if (a->open) {
		agent_resync(a, "no answer in time");
	}
}

void agent_init(struct agent *a, struct chardev *port)
{
	*a = (struct agent){.port = port, .timer = TIMER_CLOSED};
	port->output = on_agent_output;
	port->room = on_agent_room;
	port->opened = on_agent_opened;
	port->opaque = a;
}

void agent_observe(struct agent *a, struct agent_observer *observer, void (*changed)(void *opaque),
		   void *opaque)
{
	*observer =
		(struct agent_observer){.next = a->observers, .changed = changed, .opaque = opaque};
	a->observers = observer;
}

int agent_open(struct agent *a, struct loop *loop, struct err *err)
{
	return timer_open(&a->timer, loop, on_agent_timeout, a, err);
}

void agent_close(struct agent *a)
{
	timer_close(&a->timer);
	while (a->first != NULL)
		agent_drop_first(a);
	free(a->line);
	a->line = NULL;
	a->state = AGENT_CLOSED;
	a->going = false;
}

void agent_go(struct agent *a)
{
	a->going = true;
	if (a->state == AGENT_READY) {
		if (a->open)
			timer_set(&a->timer, a->first->timeout_ms);
		agent_pump(a);
	} else if (a->port->is_open(a->port)) {
		agent_sync(a);
	}
}

void agent_stop(struct agent *a)
{
	a->going = false;
	timer_set(&a->timer, 0);
}

void agent_ask(struct agent *a, struct agent_question *q, const char *command, json_t *arguments,
	       unsigned timeout_ms, agent_answer_fn *answer, void *opaque)
{
	json_t *question = json_pack("{s:s,s:o*}", "execute", command, "arguments", arguments);
	struct agent_question **last = &a->first;
	char *text = question != NULL ? json_dumps(question, JSON_COMPACT) : NULL;

	assert(a->state == AGENT_READY && !q->waits);
	json_decref(question);
	*q = (struct agent_question){
		.waits = true, .timeout_ms = timeout_ms, .answer = answer, .opaque = opaque};
	if (text != NULL && asprintf(&q->text, "%s\n", text) > 0)
		q->len = strlen(q->text);
	else
		q->text = NULL;
	free(text);
	while (*last != NULL)
		last = &(*last)->next;
	*last = q;
	agent_ask_next(a);
}

void agent_error_text(const json_t *status, char text[AGENT_ERROR_TEXT])
{
	const json_t *member = json_object_get(status, "err-data");
	const char *text64 = json_string_value(member);
	size_t text_len = json_string_length(member), len = base64_decoded_len(text64, text_len);

	text[0] = '\0';
	if (text64 == NULL || len >= AGENT_ERROR_TEXT ||
	    !base64_decode(text64, text_len, text, len))
		return;
	text[len] = '\0';
	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	printable(text);
}
