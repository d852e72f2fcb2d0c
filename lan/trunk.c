/* See trunk.h. */
#include "lan/trunk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
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

static bool reaches(const struct trunk *trunk, uint64_t id)
{
	for (unsigned i = 0; i < trunk->nids; i++) {
		if (trunk->id[i] == id)
			return true;
	}
	return false;
}

/* Trunk n of the switch that is not lost, or NULL. */
static struct port *trunk_at(const struct lan_switch *lan, unsigned n)
{
	struct port *port = lan->port[n];

	return port != NULL && port->trunk != NULL && port->state != PORT_GONE ? port : NULL;
}

/* Is it this switch, or joined already, otherwise than by `port`? */
static bool is_known(const struct port *port, uint64_t id)
{
	if (id == port->lan->id)
		return true;
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		struct port *other = trunk_at(port->lan, i);

		if (other != NULL && other != port && reaches(other->trunk, id))
			return true;
	}
	return false;
}

bool trunk_dhcp(const struct lan_switch *lan, const struct port *except)
{
	if (lan->gateway != NULL)
		return true;
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		struct port *port = trunk_at(lan, i);

		if (port != NULL && port != except && port->trunk->dhcp)
			return true;
	}
	return false;
}

int trunk_judge(struct port *port, uint64_t id, const char *name, bool dhcp, char *why, size_t len)
{
	const struct lan_switch *lan = port->lan;

	if (id == lan->id)
		snprintf(why, len, "%s would be joined to itself", lan->name);
	else if (is_known(port, id))
		snprintf(why, len, "%s is joined to %s already", lan->name, name);
	else if (dhcp && trunk_dhcp(lan, NULL))
		snprintf(why, len, "%s and %s both have a DHCP server: create one of them without",
			 lan->name, name);
	else
		port->trunk = calloc(1, sizeof(*port->trunk));
	if (port->trunk == NULL)
		return -EINVAL;
	port->trunk->id[0] = id;
	port->trunk->nids = 1;
	port->trunk->dhcp = dhcp;
	return 0;
}

void trunk_free(struct trunk *trunk)
{
	free(trunk);
}

/* ---- what we say ---- */

static void add_machine(struct buf *note, const uint8_t *mac, const char *name)
{
	buf_printf(note, "machine " NET_MAC_FORMAT " %s\n", NET_MAC_BYTES(mac), name);
}

static void add_trunk(struct buf *note, const struct trunk *trunk)
{
	for (unsigned i = 0; i < trunk->nids; i++)
		buf_printf(note, "switch %016" PRIx64 " %s\n", trunk->id[i], "-");
	for (unsigned i = 0; i < trunk->nmachines; i++)
		add_machine(note, trunk->machine[i].mac, trunk->machine[i].name);
}

static void write_note(struct buf *note, const struct port *to)
{
	const struct lan_switch *lan = to->lan;

	buf_printf(note, "switch %016" PRIx64 " %s\n", lan->id, lan->name);
	if (trunk_dhcp(lan, to))
		buf_printf(note, "dhcp\n");
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		const struct port *port = lan->port[i];

		if (port == NULL || port == to || port->state != PORT_UP)
			continue;
		if (port->kind == PORT_MACHINE)
			add_machine(note, port->mac, port->name);
		else if (port->kind == PORT_TRUNK)
			add_trunk(note, port->trunk);
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

void trunk_tell(struct lan_switch *lan, const struct port *except)
{
	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		struct port *port = trunk_at(lan, i);

		if (port != NULL && port != except && port->state == PORT_UP)
			send_note(port);
	}
}

/* ---- what we hear ---- */

static void hear_machine(struct trunk *trunk, const char *line)
{
	struct trunk_machine *machine = &trunk->machine[trunk->nmachines];
	unsigned mac[NET_MAC_SIZE];

	if (trunk->nmachines == TRUNK_MACHINES ||
	    sscanf(line, "machine %2x:%2x:%2x:%2x:%2x:%2x %63s", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5], machine->name) != 7 ||
	    !port_name_is_valid(machine->name) || (mac[0] & 1) != 0)
		return;
	for (unsigned i = 0; i < NET_MAC_SIZE; i++)
		machine->mac[i] = (uint8_t)mac[i];
	trunk->nmachines++;
}

static void hear_line(struct trunk *trunk, const char *line)
{
	uint64_t id;

	if (strcmp(line, "dhcp") == 0)
		trunk->dhcp = true;
	else if (sscanf(line, "switch %" SCNx64, &id) == 1 && trunk->nids < TRUNK_SWITCHES)
		trunk->id[trunk->nids++] = id;
	else
		hear_machine(trunk, line);
}

static bool parse(struct trunk *trunk, const char *text, size_t len)
{
	cleanup_free char *copy = strndup(text, len);
	char *line, *next = copy;

	while ((line = strsep(&next, "\n")) != NULL)
		hear_line(trunk, line);
	return trunk->nids > 0;
}

/* Why the two may not be joined as it is now; NULL: they may. */
static const char *contradiction(const struct port *port, const struct trunk *told)
{
	if (told->id[0] != port->trunk->id[0])
		return "it is another one now";
	for (unsigned i = 0; i < told->nids; i++) {
		if (is_known(port, told->id[i]))
			return "that would be a loop";
	}
	if (told->dhcp && trunk_dhcp(port->lan, port))
		return "there are two DHCP servers now";
	return NULL;
}

/* Nobody here may send in the name of a machine there. */
static void pin_machines(struct port *port)
{
	struct lan_switch *lan = port->lan;

	mac_table_unpin(&lan->table, port->index);
	for (unsigned i = 0; i < port->trunk->nmachines; i++) {
		const struct trunk_machine *machine = &port->trunk->machine[i];

		if (mac_table_pin(&lan->table, machine->mac, port->index) == -EEXIST)
			log_guest(&lan->log, &lan->limit,
				  "%s, behind %s, has the MAC " NET_MAC_FORMAT
				  " of another machine: it will not be heard",
				  machine->name, port->name, NET_MAC_BYTES(machine->mac));
	}
}

void trunk_hear(struct port *port, const char *text, size_t len)
{
	struct trunk *told = calloc(1, sizeof(*told));
	const char *why;

	if (told == NULL || !parse(told, text, len)) {
		trunk_free(told);
		port_lose(port);
		return;
	}
	why = contradiction(port, told);
	trunk_free(port->trunk);
	port->trunk = told;
	if (why != NULL) {
		log_line(&port->lan->log, "%s is left: %s", port->name, why);
		port_lose(port);
		return;
	}
	pin_machines(port);
	trunk_tell(port->lan, port);
}

const char *trunk_machine(const struct port *port, const uint8_t mac[NET_MAC_SIZE])
{
	for (unsigned i = 0; port->trunk != NULL && i < port->trunk->nmachines; i++) {
		if (memcmp(port->trunk->machine[i].mac, mac, NET_MAC_SIZE) == 0)
			return port->trunk->machine[i].name;
	}
	return NULL;
}

unsigned trunk_machines(const struct port *port)
{
	return port->trunk != NULL ? port->trunk->nmachines : 0;
}
