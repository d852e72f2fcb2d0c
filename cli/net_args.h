/*
 * How a machine is connected: --net, -p, its limits and --pcap, for `run` and `resume`; and what cards a new
 * one has: --net, --mac, --mtu and --queues, for `run` and `build`. Only the latter goes into
 * files.
 *
 * The n-th --net is the n-th card's.
 */
#ifndef TORPOR_CLI_NET_ARGS_H
#define TORPOR_CLI_NET_ARGS_H

#include "cli/options.h"
#include "instance/connections.h"

enum net_option {
	OPT_NET = OPTION_LONG_ONLY + 120,
	OPT_PCAP,
	OPT_MAC,
	OPT_MTU,
	OPT_QUEUES,
	OPT_NET_PPS,
	OPT_NET_BPS,
	OPT_PUBLISH = 'p',
};

/* clang-format off */
#define NET_OPTIONS                                                                                \
	{OPT_NET, "net", "user|tap[=IF]|lan=NAME|none", "what a network card is connected to; repeatable, default user; user,host-loopback also reaches 127.0.0.1 of this host"}, \
	{OPT_PUBLISH, "publish", "[HOST:]GUEST[/udp]", "publish a port of the guest, or ADDR:HOST:GUEST on one address; without HOST, or 0, on any free port"}, \
	{OPT_NET_PPS, "net-pps", "N", "at most N frames a second from each network card, and as many to it"}, \
	{OPT_NET_BPS, "net-bps", "SIZE", "at most SIZE bytes a second from each network card, and as many to it"}, \
	{OPT_PCAP, "pcap", "FILE", "capture the frames of the network card; those of the second into FILE.1, and so on"}
#define NET_CARD_OPTIONS                                                                           \
	{OPT_MAC, "mac", "ADDRESS", "MAC address of the first network card; default a random one for each machine"}, \
	{OPT_MTU, "mtu", "BYTES", "MTU of the network cards, 1280 to 65535; default 1500"},        \
	{OPT_QUEUES, "queues", "N", "queue pairs of each network card, 1 to 4; default 1"}
/* clang-format on */

struct net_args {
	struct connections connections;
	bool has_mac;
	uint8_t mac[NET_MAC_SIZE];
	uint16_t mtu;	/* 0: not given, here and below */
	uint16_t pairs; /* of queues */
};

/* Take an option of the tables above: 1, 0 when it is none of them, or -EINVAL with
 * ERR_USAGE. */
int net_args_take(struct net_args *args, int id, const char *value, struct err *err);

/* A new machine's cards: one unless --net says otherwise; `none` alone: no card at all.
 * Returns 0, or -EINVAL with ERR_USAGE when options are for a card and there is none. */
int net_args_make_cards(const struct net_args *args, struct appliance *a, struct err *err);
/* The cards of a file that is booted: what is given replaces what the file says. Errors as
 * above. */
int net_args_override(const struct net_args *args, struct appliance *a, struct err *err);
/* "[[ADDR:]HOST:]GUEST[/udp|/tcp]"; no HOST is 0, any free port; the address in brackets if it is
 * IPv6. Returns 0, or -EINVAL with ERR_USAGE. */
int parse_forward(const char *text, struct net_forward *forward, struct err *err);

#endif
