/* See trunk.h. */
#include "lan/trunk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mac.h"
#include "base/name.h"
#include "base/num.h"
#include "lan/switch_internal.h"

#define TRUNK_SWITCHES 64u
#define TRUNK_MACHINES 256u
#define NOTE_MAX       NET_MESSAGE_MAX

struct trunk_machine {
	uint8_t mac[NET_MAC_SIZE];
	char name[PORT_NAME_SIZE];
};

struct trunk {
	uint64_t id[TRUNK_SWITCHES]; /* the first is the other end's */
	unsigned nids;
	struct trunk_machine machine[TRUNK_MACHINES];
	unsigned nmachines;
	bool dhcp;
};

static struct trunk *trunk_of(const struct port *port)
{
	return port->lan->trunk[port->index];
}

/* The port of trunk n of the switch if it is not lost, or NULL. */
static struct port *trunk_port(const struct lan_switch *lan, unsigned n)
{
	struct port *port = lan->port[n];

	return lan->trunk[n] != NULL && port->state != PORT_GONE ? port : NULL;
}

/* Is it this switch, or joined to it otherwise than by `port`? */
static bool is_joined(const struct port *port, uint64_t id)
{
	if (id == port->lan->id)
		return true;
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		struct port *other = trunk_port(port->lan, i);

		if (other == NULL || other == port)
			continue;
		for (unsigned n = 0; n < trunk_of(other)->nids; n++) {
			if (trunk_of(other)->id[n] == id)
				return true;
		}
	}
	return false;
}

bool trunk_reaches_dhcp(const struct lan_switch *lan, const struct port *except)
{
	if (lan->gateway != NULL)
		return true;
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		struct port *port = trunk_port(lan, i);

		if (port != NULL && port != except && lan->trunk[i]->dhcp)
			return true;
	}
	return false;
}

int trunk_accept(struct port *port, uint64_t id, const char *name, bool dhcp, char *why, size_t len)
{
	struct lan_switch *lan = port->lan;
	struct trunk *trunk;

	if (id == lan->id) {
		snprintf(why, len, "%s would be joined to itself", lan->name);
		return -EINVAL;
	}
	if (is_joined(port, id)) {
		snprintf(why, len, "%s is joined to %s already", lan->name, name);
		return -EINVAL;
	}
	if (dhcp && trunk_reaches_dhcp(lan, NULL)) {
		snprintf(why, len, "%s and %s both have a DHCP server: create one of them without",
			 lan->name, name);
		return -EINVAL;
	}
	trunk = calloc(1, sizeof(*trunk));
	if (trunk == NULL) {
		snprintf(why, len, "%s has no memory for another switch", lan->name);
		return -ENOMEM;
	}
	trunk->id[0] = id;
	trunk->nids = 1;
	trunk->dhcp = dhcp;
	lan->trunk[port->index] = trunk;
	return 0;
}

void trunk_free(struct trunk *trunk)
{
	free(trunk);
}

/* ---- what is sent ---- */

static void add_machine(struct buf *note, const uint8_t *mac, const char *name)
{
	buf_printf(note, "machine " MAC_FORMAT " %s\n", MAC_ARGS(mac), name);
}

static void write_note(struct buf *note, const struct port *to)
{
	const struct lan_switch *lan = to->lan;

	buf_printf(note, "switch %016" PRIx64 " %s\n", lan->id, lan->name);
	if (trunk_reaches_dhcp(lan, to))
		buf_printf(note, "dhcp\n");
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		const struct port *port = lan->port[i];
		const struct trunk *trunk;

		if (port == NULL || port == to || port->state != PORT_UP)
			continue;
		if (port->kind == PORT_MACHINE)
			add_machine(note, port->mac, port->name);
		trunk = lan->trunk[i];
		if (trunk == NULL)
			continue;
		for (unsigned n = 0; n < trunk->nids; n++)
			buf_printf(note, "switch %016" PRIx64 " -\n", trunk->id[n]);
		for (unsigned n = 0; n < trunk->nmachines; n++)
			add_machine(note, trunk->machine[n].mac, trunk->machine[n].name);
	}
}

/* A trunk that has no room for it even now is lost: the other side would believe what is over. */
static void send_note(struct port *to)
{
	cleanup_buf struct buf note = {0};
	uint8_t head[LAN_WIRE_PREFIX];

	write_note(&note, to);
	if (buf_failed(&note) || note.len > NOTE_MAX) {
		log_line(&to->lan->log, "%s: too many machines to tell of", to->name);
		return;
	}
	le_put32(head, (uint32_t)note.len | LAN_WIRE_NOTE);
	if (!port_queue(to, head, sizeof(head)) || !port_queue(to, note.data, note.len))
		port_lose(to);
	(void)port_flush(to);
	port_update(to);
}

void trunk_announce(struct lan_switch *lan, const struct port *except)
{
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		struct port *port = trunk_port(lan, i);

		if (port != NULL && port != except && port->state == PORT_UP)
			send_note(port);
	}
}

/* ---- what is received ---- */

static void trunk_parse_machine(struct trunk *trunk, const char *line)
{
	struct trunk_machine *machine = &trunk->machine[trunk->nmachines];
	unsigned mac[NET_MAC_SIZE];

	if (trunk->nmachines == TRUNK_MACHINES ||
	    sscanf(line, "machine %2x:%2x:%2x:%2x:%2x:%2x %63s", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5], machine->name) != 7 ||
	    !name_is_valid(machine->name) || (mac[0] & 1) != 0)
		return;
	for (unsigned i = 0; i < NET_MAC_SIZE; i++)
		machine->mac[i] = (uint8_t)mac[i];
	trunk->nmachines++;
}

static void trunk_parse_line(struct trunk *trunk, const char *line)
{
	uint64_t id;

	if (strcmp(line, "dhcp") == 0)
		trunk->dhcp = true;
	else if (sscanf(line, "switch %" SCNx64, &id) == 1 && trunk->nids < TRUNK_SWITCHES)
		trunk->id[trunk->nids++] = id;
	else
		trunk_parse_machine(trunk, line);
}

static bool trunk_parse_note(struct trunk *trunk, const char *text, size_t len)
{
	cleanup_free char *copy = strndup(text, len);
	char *line, *next = copy;

	while ((line = strsep(&next, "\n")) != NULL)
		trunk_parse_line(trunk, line);
	return trunk->nids > 0;
}

/* Why the two may not be joined as it is now; NULL: they may. */
static const char *contradiction(const struct port *port, const struct trunk *told)
{
	if (told->id[0] != trunk_of(port)->id[0])
		return "it is another one now";
	for (unsigned i = 0; i < told->nids; i++) {
		if (is_joined(port, told->id[i]))
			return "that would be a loop";
	}
	if (told->dhcp && trunk_reaches_dhcp(port->lan, port))
		return "there are two DHCP servers now";
	return NULL;
}

/* No other port may send with the address of a machine behind this one. */
static void pin_machines(struct port *port)
{
	struct lan_switch *lan = port->lan;
	const struct trunk *trunk = trunk_of(port);

	mac_table_unpin(&lan->table, port->index);
	for (unsigned i = 0; i < trunk->nmachines; i++) {
		const struct trunk_machine *machine = &trunk->machine[i];

		if (mac_table_pin(&lan->table, machine->mac, port->index) == -EEXIST)
			log_guest(&lan->log, &lan->limit,
				  "%s, behind %s, has the MAC " MAC_FORMAT
				  " of another machine: it will not be heard",
				  machine->name, port->name, MAC_ARGS(machine->mac));
	}
}

void trunk_handle_note(struct port *port, const char *text, size_t len)
{
	struct trunk *told = calloc(1, sizeof(*told));
	const char *why;

	if (told == NULL || !trunk_parse_note(told, text, len)) {
		trunk_free(told);
		port_lose(port);
		return;
	}
	why = contradiction(port, told);
	trunk_free(trunk_of(port));
	port->lan->trunk[port->index] = told;
	if (why != NULL) {
		log_line(&port->lan->log, "%s is left: %s", port->name, why);
		port_lose(port);
		return;
	}
	pin_machines(port);
	trunk_announce(port->lan, port);
}

const char *trunk_machine_name(const struct port *port, const uint8_t mac[NET_MAC_SIZE])
{
	const struct trunk *trunk = trunk_of(port);

	for (unsigned i = 0; trunk != NULL && i < trunk->nmachines; i++) {
		if (memcmp(trunk->machine[i].mac, mac, NET_MAC_SIZE) == 0)
			return trunk->machine[i].name;
	}
	return NULL;
}

unsigned trunk_machine_count(const struct port *port)
{
	const struct trunk *trunk = trunk_of(port);

	return trunk != NULL ? trunk->nmachines : 0;
}
