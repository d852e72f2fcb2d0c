/* The ports of a switch, and its clock; see switch.h. */
#include "lan/switch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "lan/switch_internal.h"
#include "lan/trunk.h"

void lan_look_at_clock(struct lan_switch *lan)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	lan->now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- looking after ports that do not move ---- */

static void set_timer(struct lan_switch *lan, bool on)
{
	struct itimerspec spec = {0};

	lan->ticking = on;
	if (on)
		spec.it_interval.tv_nsec = spec.it_value.tv_nsec = LAN_TICK_MS * 1000000L;
	(void)timerfd_settime(lan->tick.fd, 0, &spec, NULL);
}

void lan_need_tick(struct lan_switch *lan)
{
	if (!lan->ticking)
		set_timer(lan, true);
}

/* True while it must be looked at again. */
static bool look_after(struct port *port)
{
	if (port->state == PORT_UP)
		return lan_look_after(port);
	if (port->state == PORT_GONE)
		return false;
	if (port->lan->now_ms - port->since_ms > LAN_GREETING_MS)
		port_lose(port);
	return true;
}

static void on_tick(struct loop_watch *watch, uint32_t events)
{
	struct lan_switch *lan = container_of(watch, struct lan_switch, tick);
	bool again = false;
	uint64_t ticks;

	(void)events;
	lan_look_at_clock(lan);
	if (read(lan->tick.fd, &ticks, sizeof(ticks)) < 0)
		return;
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++)
		again |= lan->port[i] != NULL && look_after(lan->port[i]);
	if (!again)
		set_timer(lan, false);
}

/* ---- the ports ---- */

static void on_port(struct loop_watch *watch, uint32_t events)
{
	struct port *port = container_of(watch, struct port, watch);

	lan_look_at_clock(port->lan);
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
		lan_hear_greeting(port);
	if (port->state == PORT_UP)
		lan_forward(port, NULL);
}

static void remove_port(struct port *port)
{
	struct lan_switch *lan = port->lan;

	bool told = port->kind != PORT_QEMU && port->name[0] != '\0';

	port_forget_waiting(port);
	lan->port[port->index] = NULL;
	mac_table_forget(&lan->table, port->index);
	while (port->waiters != NULL)
		lan_forward(port_next_waiter(port), NULL);
	port_free(port);
	if (told)
		trunk_tell(lan, NULL);
}

static void reap(struct loop_hook *hook)
{
	struct lan_switch *lan = container_of(hook, struct lan_switch, reaper);

	loop_unhook(lan->loop, hook);
	lan->reaping = false;
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		struct port *port = lan->port[i];

		if (port == NULL || port->state != PORT_GONE)
			continue;
		if (port->name[0] != '\0')
			log_line(&lan->log, "%s has left", port->name);
		remove_port(port);
	}
}

void lan_reap_later(struct lan_switch *lan)
{
	if (lan->reaping)
		return;
	lan->reaping = true;
	loop_hook(lan->loop, &lan->reaper, reap);
}

static int free_index(const struct lan_switch *lan)
{
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		if (lan->port[i] == NULL)
			return (int)i;
	}
	return -ENOSPC;
}

int lan_switch_plug(struct lan_switch *lan, int fd, enum port_kind kind, struct err *err)
{
	int index = free_index(lan), ret;
	struct port *port = NULL;

	if (index < 0) {
		close(fd);
		return err_set(err, ERR_FAILED, "the LAN has %u ports, all taken",
			       LAN_GATEWAY_PORT);
	}
	lan_look_at_clock(lan);
	ret = port_new(&port, lan, fd, kind, err);
	if (ret < 0)
		return ret;
	port->index = (unsigned)index;
	port->since_ms = lan->now_ms;
	ret = loop_add(lan->loop, &port->watch, fd, EPOLLIN, on_port, err);
	if (ret < 0) {
		port_free(port);
		return ret;
	}
	lan->port[index] = port;
	lan_greet(port);
	return 0;
}

/* ---- the switch ---- */

static int make_gateway(struct lan_switch *lan, const struct gateway_params *params,
			struct err *err)
{
	int ret = gateway_new(&lan->gateway, params, err);

	if (ret == 0)
		(void)mac_table_pin(&lan->table, lan->gateway->mac, LAN_GATEWAY_PORT);
	return ret;
}

int lan_switch_new(struct lan_switch **out, struct loop *loop, const struct lan_params *params,
		   struct err *err)
{
	struct lan_switch *lan = calloc(1, sizeof(*lan));
	uint64_t noise[2];
	int fd, ret;

	if (lan == NULL)
		return err_sys(err, ENOMEM, "a switch");
	if (getrandom(noise, sizeof(noise), 0) != (ssize_t)sizeof(noise)) {
		free(lan);
		return err_sys(err, errno, "getrandom");
	}
	lan->loop = loop;
	lan->log = params->log;
	lan->id = noise[0];
	snprintf(lan->name, sizeof(lan->name), "%s", params->name);
	mac_table_init(&lan->table, noise[1]);
	lan->tick.fd = -1;
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	ret = fd < 0 ? err_sys(err, errno, "timer")
		     : loop_add(loop, &lan->tick, fd, EPOLLIN, on_tick, err);
	if (ret < 0 && fd >= 0)
		close(fd);
	if (ret == 0 && params->gateway != NULL)
		ret = make_gateway(lan, params->gateway, err);
	if (ret < 0) {
		lan_switch_free(lan);
		return ret;
	}
	*out = lan;
	return 0;
}

void lan_switch_free(struct lan_switch *lan)
{
	int fd = lan->tick.fd;

	loop_unhook(lan->loop, &lan->reaper);
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		if (lan->port[i] != NULL)
			port_free(lan->port[i]);
	}
	loop_del(lan->loop, &lan->tick);
	if (fd >= 0)
		close(fd);
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
	lan_look_at_clock(lan);
	return mac_table_list(&lan->table, port->index, lan_seconds(lan), macs, max);
}
