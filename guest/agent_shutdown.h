/*
 * Switching a guest off by its agent (guest-shutdown), for a kernel without a driver of the power button.
 *
 *     agent_shutdown_init → agent_shutdown_begin …
 *
 * An agent that does not answer yet is asked once it does: a guest that was just woken may need a while. What it
 * refuses is a line in the log; of success it says nothing. Nothing returns an error: who wants the guest to end
 * kills it when that takes too long. Machine lock held.
 */
#ifndef TORPOR_GUEST_AGENT_SHUTDOWN_H
#define TORPOR_GUEST_AGENT_SHUTDOWN_H

#include "base/log.h"
#include "guest/agent.h"

struct agent_shutdown {
	struct agent *agent;
	const struct log *log;
	struct agent_observer observer;
	struct agent_question question;
	bool wanted; /* and the agent was not asked yet */
};

/* Behind agent_init(), before the guest runs. Both are kept. */
void agent_shutdown_init(struct agent_shutdown *s, struct agent *agent, const struct log *log);
void agent_shutdown_begin(struct agent_shutdown *s);
/* The guest was taken back to a state in which nobody had asked. */
void agent_shutdown_forget(struct agent_shutdown *s);

#endif
