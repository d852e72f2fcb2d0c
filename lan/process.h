/*
 * The process of a LAN: its name, its sockets, the switch. It answers on its control socket as
 * machines do (protocol.h):
 *
 *     {"do":"stats"}  → {"ok":true,"name":…,"pid":…,"started":…,"dhcp":…,"ports":[…],"leases":[…]}
 *     {"do":"end"}    → {"ok":true}: it is about to end
 *     {"do":"wait"}   → when it is over
 */
#ifndef TORPOR_LAN_PROCESS_H
#define TORPOR_LAN_PROCESS_H

#include "lan/switch.h"

/* Make it in the background; returns when machines can join. */
int lan_process_start(const char *name, const struct gateway_params *gateway, struct err *err);

#endif
