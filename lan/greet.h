/*
 * The first lines on a connection (devices/net/net_lan_wire.h), before frames. They are hostile.
 * Loop thread.
 *
 * Nothing here returns an error. A peer that is refused (a line that is no greeting, a MAC that is
 * taken, a switch that may not be joined) is sent "no REASON", and its port is lost (port_lose()).
 * A line longer than LAN_WIRE_LINE_MAX loses the port without an answer.
 */
#ifndef TORPOR_LAN_GREET_H
#define TORPOR_LAN_GREET_H

#include "lan/port.h"

/* Send the switch's own first line to a new port, if its kind has one. */
void lan_greet(struct port *port);
/* Handle the lines that were received. On return the port is PORT_UP, PORT_GONE, or waits for
 * more. */
void lan_handle_greeting(struct port *port);

#endif
