/* See net_args.h. */
#include "cli/net_args.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mac.h"
#include "base/num.h"
#include "devices/rate.h"
#include "host/parse.h"

static const enum {
	NO_NAME,
	MAY_HAVE_NAME,
	HAS_NAME
} named[] = {
	[NET_NONE] = NO_NAME,
	[NET_USER] = NO_NAME,
	[NET_TAP] = MAY_HAVE_NAME,
	[NET_LAN] = HAS_NAME,
};

/* "KIND", or "KIND=NAME" where there is something to name. */
static bool parse_net(const char *text, struct connection *card)
{
	for (enum net_kind kind = NET_NONE; kind <= NET_LAN; kind++) {
		const char *word = net_kind_name(kind);
		size_t len = strlen(word);
		const char *name;

		if (strncmp(text, word, len) != 0)
			continue;
		name = text[len] == '=' && text[len + 1] != '\0' ? text + len + 1 : NULL;
		if (text[len] != '\0' && name == NULL)
			continue;
		*card = (struct connection){.kind = kind, .name = name};
		return name != NULL ? named[kind] != NO_NAME : named[kind] != HAS_NAME;
	}
	return false;
}

static int take_net(struct connections *c, const char *value, struct err *err)
{
	struct connection *card = &c->card[c->n];
	int ret;

	if (c->n == APPLIANCE_MAX_NETS)
		return err_set(err, ERR_USAGE, "--net: more than %d", APPLIANCE_MAX_NETS);
	if (strcmp(value, "user,host-loopback") == 0)
		*card = (struct connection){.kind = NET_USER, .host_loopback = true};
	else if (!parse_net(value, card))
		return err_set(err, ERR_USAGE,
			       "--net: '%s' is not user, tap[=IF], lan=NAME or none", value);
	if (card->kind == NET_LAN) {
		ret = parse_name(card->name, err);
		if (ret < 0)
			return err_context(err, ret, "--net %s", value);
	}
	c->n++;
	return 0;
}

static int bad_forward(const char *text, const char *why, struct err *err)
{
	return err_set(err, ERR_USAGE, "-p %s: %s", text, why);
}

/* Cut the last ":PORT" off. */
static bool cut_port(char *text, uint64_t min, uint16_t *port)
{
	char *colon = strrchr(text, ':');
	char *digits = colon != NULL ? colon + 1 : text;
	uint64_t number;

	if (parse_number(digits, "", min, UINT16_MAX, &number, NULL) < 0)
		return false;
	*digits = '\0';
	if (colon != NULL)
		*colon = '\0';
	*port = (uint16_t)number;
	return true;
}

static bool parse_address(char *text, struct net_forward *forward)
{
	size_t len = strlen(text);

	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text[len - 1] = '\0';
		forward->v6 = true;
		return inet_pton(AF_INET6, text + 1, &forward->host.v6) == 1;
	}
	return inet_pton(AF_INET, text, &forward->host.v4) == 1;
}

int parse_forward(const char *text, struct net_forward *forward, struct err *err)
{
	char copy[128], *protocol;

	*forward = (struct net_forward){.host_port = 0};
	if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
		return bad_forward(text, "too long", err);
	protocol = strchr(copy, '/');
	if (protocol != NULL) {
		*protocol++ = '\0';
		forward->udp = strcmp(protocol, "udp") == 0;
		if (!forward->udp && strcmp(protocol, "tcp") != 0)
			return bad_forward(text, "the protocol is tcp or udp", err);
	}
	if (!cut_port(copy, 1, &forward->guest_port))
		return bad_forward(text, "the guest's port is not 1 to 65535", err);
	/* As container engines have it: any free port of the host. */
	if (copy[0] == '\0' && strchr(text, ':') == NULL)
		return 0;
	if (!cut_port(copy, 0, &forward->host_port))
		return bad_forward(text, "the host's port is not 0 to 65535", err);
	if (copy[0] != '\0' && !parse_address(copy, forward))
		return bad_forward(text, "the address is not one of IPv4, or of IPv6 in brackets",
				   err);
	forward->any_family = copy[0] == '\0' ||
			      (!forward->v6 && forward->host.v4.s_addr == htonl(INADDR_LOOPBACK));
	return 0;
}

static int take_forward(struct connections *c, const char *value, struct err *err)
{
	int ret;

	if (c->nforwards == NET_MAX_FORWARDS)
		return err_set(err, ERR_USAGE, "-p: more than %u", NET_MAX_FORWARDS);
	ret = parse_forward(value, &c->forward[c->nforwards], err);
	if (ret < 0)
		return ret;
	c->nforwards++;
	return 0;
}

static int take_mac(struct net_args *args, const char *value, struct err *err)
{
	if (!mac_parse(value, args->mac))
		return err_set(err, ERR_USAGE,
			       "--mac: '%s' is not an address such as "
			       "02:00:00:12:34:56",
			       value);
	if (!mac_is_unicast(args->mac))
		return err_set(err, ERR_USAGE, "--mac: %s is not the address of one card", value);
	args->has_mac = true;
	return 0;
}

static int take_u16(uint16_t *to, const char *value, const char *what, uint64_t min, uint64_t max,
		    struct err *err)
{
	uint64_t number;
	int ret = parse_number(value, what, min, max, &number, err);

	if (ret < 0)
		return ret;
	*to = (uint16_t)number;
	return 0;
}

static int take_rate(uint64_t *to, const char *value, bool bytes, struct err *err)
{
	const char *name = bytes ? "--net-bps" : "--net-pps";
	int ret = bytes ? parse_memory(value, to, err)
			: parse_number(value, name, 1, RATE_MAX, to, err);

	if (ret < 0)
		return bytes ? err_context(err, ret, "%s", name) : ret;
	return *to > 0 && *to <= RATE_MAX
		       ? 0
		       : err_set(err, ERR_USAGE, "%s %s: more than 0, and at most 9G", name, value);
}

int net_args_take(struct net_args *args, int id, const char *value, struct err *err)
{
	int ret = 0;

	switch (id) {
	case OPT_NET:
		ret = take_net(&args->connections, value, err);
		break;
	case OPT_PUBLISH:
		ret = take_forward(&args->connections, value, err);
		break;
	case OPT_PCAP:
		args->connections.pcap = value;
		break;
	case OPT_MAC:
		ret = take_mac(args, value, err);
		break;
	case OPT_MTU:
		ret = take_u16(&args->mtu, value, "--mtu", APPLIANCE_MIN_MTU, UINT16_MAX, err);
		break;
	case OPT_QUEUES:
		ret = take_u16(&args->pairs, value, "--queues", 1, APPLIANCE_MAX_PAIRS, err);
		break;
	case OPT_NET_PPS:
		ret = take_rate(&args->connections.limits.frames, value, false, err);
		break;
	case OPT_NET_BPS:
		ret = take_rate(&args->connections.limits.bytes, value, true, err);
		break;
	default:
		return 0;
	}
	return ret < 0 ? ret : 1;
}

int net_args_override(const struct net_args *args, struct appliance *a, struct err *err)
{
	if (connections_none(&args->connections))
		a->nnets = 0;
	else
		for (; a->nnets < args->connections.n; a->nnets++)
			a->net[a->nnets] = (struct appliance_net){.mtu = NET_MTU, .pairs = 1};
	if (a->nnets == 0 && (args->has_mac || args->mtu != 0 || args->pairs != 0))
		return err_set(err, ERR_USAGE,
			       "--mac, --mtu and --queues are for a network card, and there is "
			       "none");
	if (args->has_mac)
		memcpy(a->net[0].mac, args->mac, NET_MAC_SIZE);
	for (uint32_t i = 0; i < a->nnets; i++) {
		struct appliance_net *net = &a->net[i];

		net->mtu = args->mtu != 0 ? args->mtu : net->mtu;
		net->pairs = args->pairs != 0 ? args->pairs : net->pairs;
	}
	return 0;
}

int net_args_make_cards(const struct net_args *args, struct appliance *a, struct err *err)
{
	a->nnets = 1;
	a->net[0] = (struct appliance_net){.mtu = NET_MTU, .pairs = 1};
	return net_args_override(args, a, err);
}
