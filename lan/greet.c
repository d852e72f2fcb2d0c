/* See greet.h. */
#include "lan/greet.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mac.h"
#include "base/name.h"
#include "lan/switch_internal.h"
#include "lan/trunk.h"

static void send_line(struct port *port, const char *text)
{
	if (!port_queue(port, text, strlen(text)))
		port_lose(port);
	(void)port_flush(port);
	port_update(port);
}

static void refuse_port(struct port *port, const char *why)
{
	char line[LAN_WIRE_LINE_MAX];

	snprintf(line, sizeof(line), "no %s\n", why);
	send_line(port, line);
	port_lose(port);
}

static void bring_up(struct port *port)
{
	port->state = PORT_UP;
	log_line(&port->lan->log, "%s has come", port->name);
	trunk_announce(port->lan, NULL);
}

void lan_greet(struct port *port)
{
	char line[LAN_WIRE_LINE_MAX];

	if (port->kind == PORT_QEMU) {
		snprintf(port->name, sizeof(port->name), "qemu");
		bring_up(port);
		return;
	}
	lan_need_tick(port->lan);
	if (port->kind == PORT_MACHINE)
		return;
	snprintf(line, sizeof(line), LAN_WIRE_GREETING "trunk %016" PRIx64 " %s%s\n", port->lan->id,
		 port->lan->name, trunk_reaches_dhcp(port->lan, port) ? " dhcp" : "");
	send_line(port, line);
}

/* Give the card's MAC to this port alone. False: the port was refused. */
static bool pin_machine(struct port *port)
{
	struct lan_switch *lan = port->lan;
	int holder = mac_table_find(&lan->table, port->mac, lan_seconds(lan));
	const char *name = "the LAN's own gateway";
	char why[256] = "the LAN has no room for more machines";
	int ret = mac_table_pin(&lan->table, port->mac, port->index);

	if (ret == 0)
		return true;
	if (ret == -EEXIST) {
		if (holder != (int)LAN_GATEWAY_PORT) {
			name = trunk_machine_name(lan->port[holder], port->mac);
			if (name == NULL)
				name = lan->port[holder]->name;
		}
		snprintf(why, sizeof(why),
			 "%s has the MAC " MAC_FORMAT
			 " of %s, which is there already; resume it with --new-identity",
			 port->name, MAC_ARGS(port->mac), name);
	}
	port->name[0] = '\0'; /* it was never there */
	refuse_port(port, why);
	return false;
}

static void greet_machine(struct port *port, const char *words)
{
	unsigned mac[NET_MAC_SIZE];
	char name[LAN_WIRE_LINE_MAX];

	if (sscanf(words, "port %2x:%2x:%2x:%2x:%2x:%2x %511s", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5], name) != 7 ||
	    !name_is_valid(name) || (mac[0] & 1) != 0) {
		refuse_port(port, "that is no greeting of a machine");
		return;
	}
	for (unsigned i = 0; i < NET_MAC_SIZE; i++)
		port->mac[i] = (uint8_t)mac[i];
	snprintf(port->name, sizeof(port->name), "%.63s", name);
	if (!pin_machine(port))
		return;
	send_line(port, "ok\n");
	bring_up(port);
}

static void greet_switch(struct port *port, const char *words)
{
	char name[LAN_WIRE_LINE_MAX], last[8] = "", why[256];
	uint64_t id;

	if (sscanf(words, "trunk %" SCNx64 " %511s %7s", &id, name, last) < 2 ||
	    !name_is_valid(name)) {
		refuse_port(port, "that is no greeting of a switch");
		return;
	}
	if (trunk_accept(port, id, name, strcmp(last, "dhcp") == 0, why, sizeof(why)) < 0) {
		refuse_port(port, why);
		return;
	}
	snprintf(port->name, sizeof(port->name), "%.63s", name);
	port->state = PORT_AWAIT_OK;
	send_line(port, "ok\n");
}

static void greet_handle_line(struct port *port, const char *line)
{
	size_t len = strlen(LAN_WIRE_GREETING);

	if (port->state == PORT_AWAIT_OK && strcmp(line, "ok") == 0) {
		bring_up(port);
	} else if (port->state == PORT_AWAIT_OK) {
		log_line(&port->lan->log, "the switch of %s: %.200s", port->name, line);
		port_lose(port);
	} else if (strncmp(line, LAN_WIRE_GREETING, len) != 0) {
		refuse_port(port, "this switch speaks torpor-lan 1");
	} else if (port->kind == PORT_MACHINE) {
		greet_machine(port, line + len);
	} else {
		greet_switch(port, line + len);
	}
}

void lan_handle_greeting(struct port *port)
{
	while (port->state == PORT_GREETING || port->state == PORT_AWAIT_OK) {
		char *line = (char *)port->in + port->in_at;
		size_t len = port->in_end - port->in_at;
		char *end = memchr(line, '\n', len);

		if (len >= LAN_WIRE_LINE_MAX && (end == NULL || end - line >= LAN_WIRE_LINE_MAX)) {
			port_lose(port);
			return;
		}
		if (end == NULL)
			return;
		*end = '\0';
		port->in_at += (uint32_t)(end + 1 - line);
		greet_handle_line(port, line);
	}
}
