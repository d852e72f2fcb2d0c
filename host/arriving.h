/*
 * Machines that run while their files arrive (base/arrival.h), seen from outside.
 *
 * The machine notes in its state folder where the map of the arrivals is (`arriving`), until its
 * name is free again. Others read the map: a machine that waits for memory may answer nobody. Any
 * thread.
 */
#ifndef TORPOR_HOST_ARRIVING_H
#define TORPOR_HOST_ARRIVING_H

#include <jansson.h>

#include "base/arrival.h"

#define ARRIVING_TEXT 512u

/* The machine's. Returns 0, what path_state() gives, or the errno of open(2) or write(2). */
int arriving_note(const char *name, const char *map_path, struct err *err);
/* False: all of that machine is there, as far as can be told. */
bool arriving_look(const char *name, struct arrivals_status *status);

/* {"state": going|waiting|complete|failed, "host", "since", "bytes", "there", "waiters", "failed"}; NULL
 * without memory. */
json_t *arriving_json(const struct arrivals_status *status);
/* "waiting for HOST since 14:02:11, 34 % of 512.0 MiB has arrived". */
void arriving_text(const struct arrivals_status *status, char text[ARRIVING_TEXT]);

#endif
