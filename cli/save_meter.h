/* The meter (meter/meter.h) of a verb that has a machine saved: how far that is, only the machine knows. */
#ifndef TORPOR_CLI_SAVE_METER_H
#define TORPOR_CLI_SAVE_METER_H

#include "host/client.h"
#include "meter/meter.h"

/* meter_begin() and meter_run(); the machine is asked on a connection of its own. `client` is used until
 * meter_end(). Returns what meter_begin() does. */
int save_meter_begin(const char *verb, const char *cancelled, const struct client *client,
		     struct err *err);

#endif
