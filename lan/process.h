/*
 * The process of a LAN: its name, its sockets, the switch. It answers on its control socket as
 * machines do (protocol.h):
 *
 *     {"do":"stats"}  → {"ok":true,"name":…,"pid":…,"qemu":path of the socket for QEMU,
 *                        "started":seconds since 1970,"dhcp":…,"ports":[…],"leases":[…]}
 *     {"do":"end"}    → {"ok":true}: it is about to end
 *     {"do":"wait"}   → when it is over
 */
#ifndef TORPOR_LAN_PROCESS_H
#define TORPOR_LAN_PROCESS_H

#include "lan/switch.h"

/* Be the LAN until it is ended, by request or by SIGINT, SIGTERM or SIGHUP. `report_fd` is
 * detach_fork()'s: it is told when machines can join, or why they cannot. `gateway` is NULL for a
 * LAN without DHCP. A log that cannot be opened is no error. Returns 0 when it was ended; what
 * claim_lan(), lan_switch_new(), listener_open(), control_listen_at() and sandbox_enter() give; or
 * the errno of epoll_create1(2), eventfd(2), signalfd(2), epoll_ctl(2) or epoll_wait(2). */
int lan_process_run(const char *name, const struct gateway_params *gateway, int report_fd,
		    struct err *err);

#endif
