/* See stats.h. */
#include "lan/stats.h"

#include <time.h>

#include "base/clock.h"
#include "base/mac.h"
#include "base/num.h"
#include "lan/trunk.h"

#define STATIONS 16u /* listed of a port */

static const char *const kinds[] = {
	[PORT_MACHINE] = "machine", [PORT_QEMU] = "qemu", [PORT_TRUNK] = "lan"};

struct listing {
	struct lan_switch *lan;
	json_t *ports;
};

static json_t *mac_json(const uint8_t *mac)
{
	return json_sprintf(MAC_FORMAT, MAC_ARGS(mac));
}

static json_t *address_json(uint32_t address)
{
	return json_sprintf("%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
			    address & 255);
}

static json_t *port_counters_json(const struct net_counters *c)
{
	return json_pack("{s:I,s:I}", "frames", (json_int_t)c->frames, "bytes",
			 (json_int_t)c->bytes);
}

static json_t *stations_json(struct lan_switch *lan, const struct port *port)
{
	uint8_t macs[STATIONS][NET_MAC_SIZE];
	unsigned n = lan_switch_stations(lan, port, macs, STATIONS);
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, mac_json(macs[i]));
	return list;
}

static void add_port(void *opaque, const struct port *port)
{
	const struct listing *listing = opaque;
	json_t *entry = json_pack(
		"{s:s,s:s,s:o,s:o,s:o,s:{s:I,s:I,s:I},s:I,s:b}", "kind", kinds[port->kind], "name",
		port->name, "macs", stations_json(listing->lan, port), "received",
		port_counters_json(&port->received), "sent", port_counters_json(&port->sent),
		"drops", "full", (json_int_t)port->drops.full, "forged",
		(json_int_t)port->drops.forged, "broken", (json_int_t)port->drops.broken, "queued",
		(json_int_t)port_queued(port), "stalled", port->stalled);

	if (entry != NULL && port->kind == PORT_TRUNK)
		json_object_set_new(entry, "machines", json_integer(trunk_machine_count(port)));
	json_array_append_new(listing->ports, entry);
}

static json_t *leases_json(const struct gateway *gateway)
{
	json_t *list = json_array();
	uint32_t now = (uint32_t)(clock_monotonic_ns() / NS_PER_SECOND);

	for (unsigned i = 0; gateway != NULL && i < LEASES_MAX; i++) {
		const struct lease *lease = &gateway->leases.lease[i];

		if (!lease->bound)
			continue;
		json_array_append_new(list, json_pack("{s:o,s:o,s:s,s:i}", "address",
						      address_json(lease->address), "mac",
						      mac_json(lease->mac), "name", lease->name,
						      "seconds", (int)(lease->until - now)));
	}
	return list;
}

static json_t *dhcp_json(const struct gateway *gateway)
{
	const struct leases *leases;

	if (gateway == NULL)
		return json_null();
	leases = &gateway->leases;
	return json_pack("{s:o,s:i,s:o,s:o}", "subnet", address_json(leases->network), "prefix",
			 (int)leases->prefix, "server", address_json(gateway->address), "dns",
			 address_json(gateway->dns));
}

json_t *lan_stats(struct lan_switch *lan)
{
	const struct gateway *gateway = lan_switch_gateway(lan);
	struct listing listing = {lan, json_array()};

	lan_switch_each_port(lan, add_port, &listing);
	return json_pack("{s:o,s:o,s:o}", "dhcp", dhcp_json(gateway), "ports", listing.ports,
			 "leases", leases_json(gateway));
}
