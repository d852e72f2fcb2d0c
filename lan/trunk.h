/*
 * Joined switches. They forward to each other as to any port. They also tell each other who is
 * behind them, so that there are no loops, no two machines with one MAC, only one DHCP server, and
 * names for all. Switches that are joined form a tree.
 *
 * A note is a text; it replaces the one before, and says what the sender reaches without the
 * receiver:
 *
 *     switch ID NAME\n      itself, first, and others
 *     machine MAC NAME\n    machines
 *     dhcp\n                there is a DHCP server among them
 *
 * Unknown lines are skipped. Loop thread. Notes are hostile.
 */
#ifndef TORPOR_LAN_TRUNK_H
#define TORPOR_LAN_TRUNK_H

#include "lan/port.h"

struct trunk;

/* Make the port a trunk to the switch with this id and name. `dhcp`: that has, or reaches, a DHCP
 * server. Returns 0, -EINVAL when the two may not be joined, or -ENOMEM; `why` then is a reason for
 * the other side to read. */
int trunk_accept(struct port *port, uint64_t id, const char *name, bool dhcp, char *why,
		 size_t len);
void trunk_free(struct trunk *trunk); /* NULL will do */

/* A note was received. A port whose note contradicts what is joined here is lost, and so is one
 * whose note there is no memory for. */
void trunk_handle_note(struct port *port, const char *text, size_t len);
/* A machine or a trunk has come or gone: tell all trunks but `except` (NULL: all). A trunk that has
 * no room for the note is lost. A note that would be too long is not sent; the log says so. */
void trunk_announce(struct lan_switch *lan, const struct port *except);
/* A DHCP server is here or behind a trunk other than `except`. */
bool trunk_reaches_dhcp(const struct lan_switch *lan, const struct port *except);

/* The name of the machine with this MAC behind the port, or NULL. */
const char *trunk_machine_name(const struct port *port, const uint8_t mac[NET_MAC_SIZE]);
/* The number of machines behind it. */
unsigned trunk_machine_count(const struct port *port);

#endif
