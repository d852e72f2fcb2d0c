/*
 * A transient scope of systemd as the group of a machine: systemd.scope(5),
 * org.freedesktop.systemd1(5). Root asks the system's systemd, others that of their user. One thread;
 * it waits for systemd, up to half a minute.
 *
 * Functions that return int return 0, or -errno with ERR_FAILED that says what systemd or sd-bus said.
 */
#ifndef TORPOR_LIMITS_SCOPE_H
#define TORPOR_LIMITS_SCOPE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "limits/limits.h"

/* Whether systemd manages this host. */
bool scope_is_there(void);
/* Move the process into a new scope `unit` ("….scope"), with all limits but that of CPU time, and what
 * is below it left to us. `before`: a unit that is to be stopped before it when the host ends; NULL:
 * none. */
int scope_start(const char *unit, pid_t pid, const char *before, const struct limits *l,
		struct err *err);
/* Set those limits of it that were given, until it ends. */
int scope_set(const char *unit, const struct limits *l, struct err *err);

#endif
