/*
 * A guest agent for tests, behind a character device of its own: what the host writes is kept, line
 * by line, and the test writes the answers.
 */
#ifndef TORPOR_TESTS_UNIT_FAKE_AGENT_H
#define TORPOR_TESTS_UNIT_FAKE_AGENT_H

#include "guest/agent.h"

struct fake_agent {
	struct chardev port; /* the device's part of it is here */
	bool open;
	size_t room;	      /* bytes it takes of the host; then no more */
	char heard[1u << 18]; /* the helper has 64 KiB where pages may be as large */
	size_t len, taken;
};

/* Closed, with any amount of room. */
void fake_agent_init(struct fake_agent *f);
/* The guest opens or closes the port. */
void fake_agent_open(struct fake_agent *f, bool open);
/* The next line of the host as JSON, to be freed; NULL: there is none. `delimited`: it must have
 * 0xff in front, and else must not. */
json_t *fake_agent_hears(struct fake_agent *f, bool delimited);
/* It must be this command; its arguments, to be freed, or NULL. */
json_t *fake_agent_expects(struct fake_agent *f, const char *command);
/* Nothing whole is there. */
bool fake_agent_hears_nothing(struct fake_agent *f);
/* The next line must be the number to repeat. */
json_int_t fake_agent_number(struct fake_agent *f);
/* Repeat it. */
void fake_agent_synchronizes(struct fake_agent *f);
void fake_agent_says(struct fake_agent *f, const char *text);

/* The alarm must be set, and rings now. */
void fake_agent_time_passes(struct timer *t);
bool fake_agent_is_set(const struct timer *t);

#endif
