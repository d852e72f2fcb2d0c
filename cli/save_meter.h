/* The meter (meter/meter.h) of a verb that has a machine saved: how far that is, only the machine knows. */
#ifndef TORPOR_CLI_SAVE_METER_H
#define TORPOR_CLI_SAVE_METER_H

#include "host/client.h"
#include "meter/meter.h"

/* meter_begin() and meter_run(); the machine is asked on a connection of its own. `client` is used until
 * meter_end(). Returns what meter_begin() does. */
int save_meter_begin(const char *verb, const char *cancelled, const struct client *client,
		     struct err *err);
/* The answer to the save: how far it came in the end, which a quick one was never asked. */
void save_meter_note(const json_t *reply);
/* The same by the lines of a save with --progress=json. */
void save_meter_note_lines(const char *said);

#endif
