/*
 * The first lines on a connection (devices/net/net_lan_wire.h), before frames. They are hostile. A
 * peer that says something else is told why and lost. Loop thread.
 */
#ifndef TORPOR_LAN_GREET_H
#define TORPOR_LAN_GREET_H

#include "lan/port.h"

/* Send the switch's own first line to a new port, if its kind has one. */
void lan_greet(struct port *port);
/* Handle the lines that were received. */
void lan_handle_greeting(struct port *port);

#endif
