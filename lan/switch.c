/* The ports of a switch, and its clock; see switch.h. */
#include "lan/switch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "lan/forward.h"
#include "lan/greet.h"
#include "lan/switch_internal.h"
#include "lan/trunk.h"

#define LAN_GREETING_MS 10000u

/* First in each callback. */
static void update_now(struct lan_switch *lan)
{
	lan->now_ms = clock_monotonic_ns() / NS_PER_MS;
}

/* Ports that others wait for, and those that have not greeted yet. */
static void on_tick(void *opaque)
{
	struct lan_switch *lan = opaque;
	bool again = false;

	update_now(lan);
	lan->ticking = false;
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		struct port *port = lan->port[i];

		if (port == NULL || port->state == PORT_GONE)
			continue;
		if (port->state == PORT_UP) {
			again |= lan_check_stall(port);
			continue;
		}
		again = true;
		if (lan->now_ms - port->since_ms > LAN_GREETING_MS)
			port_lose(port);
	}
	if (again)
		lan_need_tick(lan);
}

/* ---- the ports ---- */

static void on_lan_port(struct loop_watch *watch, uint32_t events)
{
	struct port *port = container_of(watch, struct port, watch);

	update_now(port->lan);
	if (port->state == PORT_GONE)
		return;
	if ((events & EPOLLOUT) != 0)
		lan_drain(port);
	if (port->waits_for != NULL) {
		if ((events & (EPOLLHUP | EPOLLERR)) != 0)
			port_lose(port);
		return;
	}
	if ((events & ~(uint32_t)EPOLLOUT) == 0 || port->state == PORT_GONE || !port_read(port))
		return;
	if (port->state != PORT_UP)
		lan_handle_greeting(port);
	if (port->state == PORT_UP)
		lan_forward(port, NULL);
}

static void remove_port(struct port *port)
{
	struct lan_switch *lan = port->lan;
	bool told = port->kind != PORT_QEMU && port->name[0] != '\0';

	port_forget_waiting(port);
	lan->port[port->index] = NULL;
	trunk_free(lan->trunk[port->index]);
	lan->trunk[port->index] = NULL;
	mac_table_forget(&lan->table, port->index);
	while (port->waiters != NULL)
		lan_forward(port_next_waiter(port), NULL);
	port_free(port);
	if (told)
		trunk_announce(lan, NULL);
}

static struct port *find_gone(const struct lan_switch *lan)
{
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		if (lan->port[i] != NULL && lan->port[i]->state == PORT_GONE)
			return lan->port[i];
	}
	return NULL;
}

static void reap_ports(struct loop_hook *hook)
{
	struct lan_switch *lan = container_of(hook, struct lan_switch, reaper);

	struct port *port;

	/* Telling the others that one has gone may lose another. */
	while ((port = find_gone(lan)) != NULL) {
		if (port->name[0] != '\0')
			log_line(&lan->log, "%s has left", port->name);
		remove_port(port);
	}
	loop_unhook(lan->loop, hook);
	lan->reaping = false;
}

static void on_port_lost(struct port *port)
{
	struct lan_switch *lan = port->lan;

	if (lan->reaping)
		return;
	lan->reaping = true;
	loop_hook(lan->loop, &lan->reaper, reap_ports);
}

int lan_switch_plug(struct lan_switch *lan, int fd, enum port_kind kind, struct err *err)
{
	const struct port_params params = {
		.loop = lan->loop, .lan = lan, .lost = on_port_lost, .kind = kind};
	struct port *port = NULL;
	unsigned index = 0;
	int ret;

	while (index < LAN_GATEWAY_PORT && lan->port[index] != NULL)
		index++;
	if (index == LAN_GATEWAY_PORT) {
		close(fd);
		return err_set(err, ERR_FAILED, "the LAN has %u ports, all taken",
			       LAN_GATEWAY_PORT);
	}
	update_now(lan);
	ret = port_new(&port, &params, fd, err);
	if (ret < 0)
		return ret;
	port->index = index;
	port->since_ms = lan->now_ms;
	ret = loop_add(lan->loop, &port->watch, fd, EPOLLIN, on_lan_port, err);
	if (ret < 0) {
		port_free(port);
		return ret;
	}
	lan->port[index] = port;
	lan_greet(port);
	return 0;
}

/* ---- the switch ---- */

static int open_switch(struct lan_switch *lan, const struct lan_params *params, struct err *err)
{
	uint64_t noise[2];
	int ret;

	if (getrandom(noise, sizeof(noise), 0) != (ssize_t)sizeof(noise))
		return err_sys(err, errno, "getrandom");
	lan->id = noise[0];
	mac_table_init(&lan->table, noise[1]);
	ret = timer_open(&lan->tick, lan->loop, on_tick, lan, err);
	if (ret < 0 || params->gateway == NULL)
		return ret;
	ret = gateway_new(&lan->gateway, params->gateway, err);
	if (ret < 0)
		return ret;
	(void)mac_table_pin(&lan->table, lan->gateway->mac, LAN_GATEWAY_PORT);
	return 0;
}

int lan_switch_new(struct lan_switch **out, struct loop *loop, const struct lan_params *params,
		   struct err *err)
{
	struct lan_switch *lan = calloc(1, sizeof(*lan));
	int ret;

	if (lan == NULL)
		return err_sys(err, ENOMEM, "a switch");
	lan->loop = loop;
	lan->log = params->log;
	lan->tick = TIMER_CLOSED;
	snprintf(lan->name, sizeof(lan->name), "%s", params->name);
	ret = open_switch(lan, params, err);
	if (ret < 0) {
		lan_switch_free(lan);
		return ret;
	}
	*out = lan;
	return 0;
}

void lan_switch_free(struct lan_switch *lan)
{
	loop_unhook(lan->loop, &lan->reaper);
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		trunk_free(lan->trunk[i]);
		if (lan->port[i] != NULL)
			port_free(lan->port[i]);
	}
	timer_close(&lan->tick);
	gateway_free(lan->gateway);
	free(lan);
}

void lan_switch_each_port(struct lan_switch *lan, lan_port_fn *fn, void *opaque)
{
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		if (lan->port[i] != NULL && lan->port[i]->state == PORT_UP)
			fn(opaque, lan->port[i]);
	}
}

const struct gateway *lan_switch_gateway(const struct lan_switch *lan)
{
	return lan->gateway;
}

unsigned lan_switch_stations(struct lan_switch *lan, const struct port *port,
			     uint8_t macs[][NET_MAC_SIZE], unsigned max)
{
	update_now(lan);
	return mac_table_list(&lan->table, port->index, lan_seconds(lan), macs, max);
}
