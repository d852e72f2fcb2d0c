/*
 * The guest's own part in a resume: its agent runs the hooks in /etc/torpor/wake.d (guest-exec).
 * These functions make the request and read the answer. Pure.
 */
#ifndef TORPOR_INSTANCE_RESUME_HOOKS_H
#define TORPOR_INSTANCE_RESUME_HOOKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mac.h"
#include "format/appliance.h"

#define RESUME_MACS_SIZE (APPLIANCE_MAX_NETS * MAC_TEXT_SIZE) /* with spaces between them */

/* What the hooks are told. */
struct resume_facts {
	const char *name;	     /* of the machine; TORPOR_NAME */
	uint32_t generation;	     /* TORPOR_GENERATION */
	uint64_t asleep;	     /* seconds; TORPOR_SECONDS_ASLEEP */
	char macs[RESUME_MACS_SIZE]; /* of the cards, spaces between them; TORPOR_MACS, and the
				      first of them TORPOR_MAC */
	bool new_identity;	     /* TORPOR_NEW_IDENTITY=1, or not in the environment */
};

/* The arguments of guest-exec; NULL without memory. `now` in seconds since 1970: TORPOR_NOW. */
json_t *resume_hooks_arguments(const struct resume_facts *facts, int64_t now);

/* What guest-exec-status returned of a process that has exited: a list of
 * {"hook":name,"status":of its exit,"output":text}, its texts printable. NULL and ERR_FAILED
 * when the hooks could not be run. */
json_t *resume_hooks_report(const json_t *status, struct err *err);

#endif
