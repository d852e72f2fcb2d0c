/* See stats.h. The switch's process makes the document, `torpor lan stats` prints it. */
#include "lan/stats.h"

#include <stdio.h>
#include <time.h>

#include "base/num.h"
#include "host/protocol.h"
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
	return json_sprintf(NET_MAC_FORMAT, NET_MAC_BYTES(mac));
}

static json_t *address_json(uint32_t address)
{
	return json_sprintf("%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
			    address & 255);
}

static json_t *counters_json(const struct net_counters *c)
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
		port->name, "macs", stations_json(listing->lan, port), "in",
		counters_json(&port->received), "out", counters_json(&port->sent), "dropped",
		"full", (json_int_t)port->drops.full, "forged", (json_int_t)port->drops.forged,
		"broken", (json_int_t)port->drops.broken, "queued", (json_int_t)port_queued(port),
		"stalled", port->stalled);

	if (entry != NULL && port->kind == PORT_TRUNK)
		json_object_set_new(entry, "machines", json_integer(trunk_machines(port)));
	json_array_append_new(listing->ports, entry);
}

static json_t *leases_json(const struct gateway *gateway)
{
	json_t *list = json_array();
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	for (unsigned i = 0; gateway != NULL && i < LEASES_MAX; i++) {
		const struct lease *lease = &gateway->leases.lease[i];

		if (!lease->bound)
			continue;
		json_array_append_new(list, json_pack("{s:o,s:o,s:s,s:i}", "address",
						      address_json(lease->address), "mac",
						      mac_json(lease->mac), "name", lease->name,
						      "seconds",
						      (int)(lease->until - (uint32_t)now.tv_sec)));
	}
	return list;
}

static json_t *dhcp_json(const struct gateway *gateway)
{
	const struct leases *leases;

	if (gateway == NULL)
		return json_null();
	leases = &gateway->leases;
	return json_pack("{s:o,s:i,s:o,s:o}", "network", address_json(leases->network), "prefix",
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

/* ---- printing ---- */

static long long number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void print_port(const json_t *port)
{
	const json_t *in = json_object_get(port, "in"), *out = json_object_get(port, "out");
	const json_t *dropped = json_object_get(port, "dropped");
	const char *mac = json_string_value(json_array_get(json_object_get(port, "macs"), 0));

	printf("%-16s %-8s %-17s %10lld %13lld %10lld %13lld %8lld %7lld%s\n",
	       protocol_text(port, "name"), protocol_text(port, "kind"), mac != NULL ? mac : "-",
	       number(in, "frames"), number(in, "bytes"), number(out, "frames"),
	       number(out, "bytes"),
	       number(dropped, "full") + number(dropped, "forged") + number(dropped, "broken"),
	       number(port, "queued"),
	       json_is_true(json_object_get(port, "stalled")) ? " stalled" : "");
}

static void print_leases(const json_t *leases)
{
	const json_t *lease;
	size_t i;

	printf("\n%-16s %-17s %-16s %s\n", "ADDRESS", "MAC", "NAME", "SECONDS LEFT");
	json_array_foreach(leases, i, lease)
	{
		printf("%-16s %-17s %-16s %lld\n", protocol_text(lease, "address"),
		       protocol_text(lease, "mac"),
		       protocol_text(lease, "name")[0] != '\0' ? protocol_text(lease, "name") : "-",
		       number(lease, "seconds"));
	}
}

void lan_stats_print(const json_t *stats)
{
	const json_t *dhcp = json_object_get(stats, "dhcp"), *port;
	size_t i;

	printf("QEMU at %s\n", protocol_text(stats, "qemu"));
	if (json_is_object(dhcp))
		printf("DHCP %s/%lld, server %s, names at %s\n", protocol_text(dhcp, "network"),
		       number(dhcp, "prefix"), protocol_text(dhcp, "server"),
		       protocol_text(dhcp, "dns"));
	printf("\n%-16s %-8s %-17s %10s %13s %10s %13s %8s %7s\n", "PORT", "KIND", "MAC",
	       "FRAMES IN", "BYTES IN", "FRAMES OUT", "BYTES OUT", "DROPPED", "QUEUED");
	json_array_foreach(json_object_get(stats, "ports"), i, port)
	{
		print_port(port);
	}
	if (json_is_object(dhcp))
		print_leases(json_object_get(stats, "leases"));
}
