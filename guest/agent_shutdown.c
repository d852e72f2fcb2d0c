/* See agent_shutdown.h. */
#include "guest/agent_shutdown.h"

#include <stdio.h>

#include "base/printable.h"

#define ANSWER_MS 10000u

/* An agent that obeys ends without an answer. */
static void on_shutdown_answer(void *opaque, const json_t *value, const struct err *why)
{
	struct agent_shutdown *s = opaque;
	char text[AGENT_ERROR_TEXT];

	if (value != NULL || s->agent->state != AGENT_READY)
		return;
	snprintf(text, sizeof(text), "%.*s", (int)sizeof(text) - 1, why->text);
	printable(text);
	log_line(s->log, "the guest's agent does not switch it off: %s", text);
}

/* Also when the agent has changed. */
static void ask_to_shut_down(void *opaque)
{
	struct agent_shutdown *s = opaque;

	if (!s->wanted || s->agent->state != AGENT_READY || s->question.waits)
		return;
	s->wanted = false;
	log_line(s->log,
		 "no driver of the guest listens to its power button: its agent is asked to "
		 "switch off");
	agent_ask(s->agent, &s->question, "guest-shutdown", json_pack("{s:s}", "mode", "powerdown"),
		  ANSWER_MS, on_shutdown_answer, s);
}

void agent_shutdown_init(struct agent_shutdown *s, struct agent *agent, const struct log *log)
{
	*s = (struct agent_shutdown){.agent = agent, .log = log};
	agent_observe(agent, &s->observer, ask_to_shut_down, s);
}

void agent_shutdown_begin(struct agent_shutdown *s)
{
	s->wanted = true;
	ask_to_shut_down(s);
}

void agent_shutdown_forget(struct agent_shutdown *s)
{
	s->wanted = false;
}
