/* See lan_stats_print.h. */
#include "cli/lan_stats_print.h"

#include <stdio.h>

#include "host/protocol.h"

static long long integer_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void print_port(const json_t *port)
{
	const json_t *in = json_object_get(port, "received"), *out = json_object_get(port, "sent");
	const json_t *dropped = json_object_get(port, "drops");
	const char *mac = json_string_value(json_array_get(json_object_get(port, "macs"), 0));

	printf("%-16s %-8s %-17s %10lld %13lld %10lld %13lld %8lld %7lld%s\n",
	       protocol_text(port, "name"), protocol_text(port, "kind"), mac != NULL ? mac : "-",
	       integer_of(in, "frames"), integer_of(in, "bytes"), integer_of(out, "frames"),
	       integer_of(out, "bytes"),
	       integer_of(dropped, "full") + integer_of(dropped, "forged") +
		       integer_of(dropped, "broken"),
	       integer_of(port, "queued"),
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
		       integer_of(lease, "seconds"));
	}
}

void lan_stats_print(const json_t *stats)
{
	const json_t *dhcp = json_object_get(stats, "dhcp"), *port;
	size_t i;

	printf("QEMU at %s\n", protocol_text(stats, "qemu"));
	if (json_is_object(dhcp))
		printf("DHCP %s/%lld, server %s, names at %s\n", protocol_text(dhcp, "subnet"),
		       integer_of(dhcp, "prefix"), protocol_text(dhcp, "server"),
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
