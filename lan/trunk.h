/*
 * Joined switches. They forward to each other as to any port; what they tell each other besides is
 * who is behind them, so that there are no loops, no two machines with one MAC, one DHCP server,
 * and names for all. Switches that are joined form a tree.
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

/* May the switch with this id and name be joined? The reason is for it to read. `dhcp`: it has, or
 * reaches, a server. On success the port is a trunk. */
int trunk_judge(struct port *port, uint64_t id, const char *name, bool dhcp, char *why, size_t len);
void trunk_free(struct trunk *trunk);

/* A note has come. */
void trunk_hear(struct port *port, const char *text, size_t len);
/* Somebody has come or gone: tell all trunks but `except` (NULL: all). */
void trunk_tell(struct lan_switch *lan, const struct port *except);
/* A DHCP server is here or behind a trunk other than `except`. */
bool trunk_dhcp(const struct lan_switch *lan, const struct port *except);

/* The machine with this MAC behind the port, or NULL. */
const char *trunk_machine(const struct port *port, const uint8_t mac[NET_MAC_SIZE]);
/* How many machines are behind it. */
unsigned trunk_machines(const struct port *port);

#endif
