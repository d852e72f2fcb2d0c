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

/* Be the LAN until it is ended. `report_fd` is detach_fork()'s: it is told when machines can join,
 * or why they cannot. `gateway` is NULL for a LAN without DHCP. Returns 0 when it was ended;
 * ERR_FAILED when the name is taken; or the errno of the call that failed. */
int lan_process_run(const char *name, const struct gateway_params *gateway, int report_fd,
		    struct err *err);

#endif
