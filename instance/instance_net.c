/* The network cards of the instance and what they are connected to; see instance.h. Loop thread,
 * machine lock held. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mac.h"
#include "base/num.h"
#include "devices/net/net_flows.h"
#include "devices/net/net_lan.h"
#include "devices/net/net_pcap.h"
#include "devices/net/net_tap.h"
#include "instance/instance.h"

int instance_net_prepare(struct instance *in, struct err *err)
{
	struct appliance *a = &in->source->appliance;

	for (uint32_t i = 0; i < a->nnets; i++) {
		uint8_t *mac = a->net[i].mac;

		if (!in->options->new_identity && !is_zero(mac, NET_MAC_SIZE))
			continue;
		if (getrandom(mac, NET_MAC_SIZE, 0) != (ssize_t)NET_MAC_SIZE)
			return err_sys(err, errno, "make a MAC address");
		mac[0] = 0x02; /* locally administered, of one card (IEEE 802 §8.2) */
	}
	return 0;
}

static int open_tap_backend(struct instance *in, unsigned index, const char *name,
			    struct net_backend **backend, struct err *err)
{
	struct instance_net *net = &in->net[index];
	int ret = net_tap_open(backend, &in->machine.loop, &in->machine.log, name, err);

	if (ret < 0)
		return ret;
	snprintf(net->name, sizeof(net->name), "%s", net_tap_name(*backend));
	return 0;
}

/* The first of the user networks publishes the ports. */
static int open_user_backend(struct instance *in, unsigned index, const struct connection *choice,
			     struct net_backend **backend, struct err *err)
{
	const struct connections *connections = in->options->connections;
	struct net_user_params params = {
		.forward = connections->forward,
		.nforwards = connections->nforwards,
		.hostname = in->claim.name,
		.mtu = in->source->appliance.net[index].mtu,
		.host_loopback = choice->host_loopback,
	};

	for (unsigned i = 0; i < index; i++) {
		if (connections->card[i].kind == NET_USER)
			params.nforwards = 0;
	}
	return net_user_open(backend, &in->machine.loop, &in->machine.log, &params, err);
}

static int open_lan_backend(struct instance *in, unsigned index, const char *name,
			    struct net_backend **backend, struct err *err)
{
	struct net_lan_params params = {.lan = name, .machine = in->claim.name};
	struct path socket;
	char line[160];
	int ret = path_lan(&socket, name, "port", err);

	if (ret < 0)
		return ret;
	params.socket = socket.text;
	memcpy(params.mac, instance_identity_mac(in, index), sizeof(params.mac));
	snprintf(in->net[index].name, sizeof(in->net[index].name), "%s", name);
	ret = net_lan_open(backend, &in->machine.loop, &in->machine.log, &params, err);
	if (ret > 0) {
		snprintf(line, sizeof(line),
			 "LAN %s: its switch does not answer: the link is down until it does",
			 name);
		in->options->notice(line);
	}
	return ret < 0 ? ret : 0;
}

static int open_backend(struct instance *in, unsigned index, const struct connection *choice,
			struct net_backend **backend, struct err *err)
{
	switch (choice->kind) {
	case NET_USER:
		return open_user_backend(in, index, choice, backend, err);
	case NET_TAP:
		return open_tap_backend(in, index, choice->name, backend, err);
	case NET_LAN:
		return open_lan_backend(in, index, choice->name, backend, err);
	case NET_NONE:
		break;
	}
	return -EINVAL; /* the caller has checked the kind */
}

/* FILE for the first card, FILE.1 for the next. */
static int open_capture(const char *file, unsigned index, struct err *err)
{
	char path[4096];
	int fd, len;

	len = index == 0 ? snprintf(path, sizeof(path), "%s", file)
			 : snprintf(path, sizeof(path), "%s.%u", file, index);
	if ((size_t)len >= sizeof(path))
		return err_set(err, ERR_USAGE, "--pcap: the name is too long");
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return fd >= 0 ? fd : err_sys(err, errno, "--pcap %s", path);
}

/* Whether that card is to have a back end. */
static bool is_connected(const struct connections *c, unsigned index)
{
	return c != NULL && index < c->n && c->card[index].kind != NET_NONE;
}

int instance_net_open_captures(struct instance *in, struct err *err)
{
	const struct connections *c = in->options->connections;

	for (uint32_t i = 0; i < APPLIANCE_MAX_NETS; i++)
		in->net[i].capture_fd = -1;
	for (uint32_t i = 0; i < in->source->appliance.nnets; i++) {
		if (!is_connected(c, i) || c->pcap == NULL)
			continue;
		in->net[i].capture_fd = open_capture(c->pcap, i, err);
		if (in->net[i].capture_fd < 0)
			return in->net[i].capture_fd;
	}
	return 0;
}

static int capture_frames(struct instance *in, unsigned index, struct net_backend **backend,
			  struct err *err)
{
	struct net_backend *carrier = *backend;

	*backend = NULL;
	return net_pcap_open(backend, &in->machine.log, carrier,
			     take_fd(&in->net[index].capture_fd), err);
}

static int connect_card(struct instance *in, unsigned index, const struct connection *choice,
			struct err *err)
{
	struct net_backend *backend = NULL;
	int ret = open_backend(in, index, choice, &backend, err);

	if (ret < 0)
		return ret;
	in->net[index].kind = choice->kind;
	in->net[index].carrier = backend;
	if (in->net[index].capture_fd >= 0)
		ret = capture_frames(in, index, &backend, err);
	if (ret == 0)
		ret = instance_identity_connect(in, index, backend, err);
	if (ret < 0 && backend != NULL)
		backend->ops->close(backend);
	return ret;
}

static int limit_card(struct net_card *card, const struct net_limits *limits, struct err *err)
{
	if (limits->frames == 0 && limits->bytes == 0)
		return 0;
	return card->ops->limit(card, limits, err);
}

int instance_net_open(struct instance *in, struct err *err)
{
	const struct connections *connections = in->options->connections;

	for (uint32_t i = 0; connections != NULL && i < in->source->appliance.nnets; i++) {
		int ret = limit_card(in->board.net[i], &connections->limits, err);

		if (ret < 0)
			return ret;
		if (!is_connected(connections, i)) {
			in->board.net[i]->ops->link(in->board.net[i], false);
			continue;
		}
		ret = connect_card(in, i, &connections->card[i], err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static json_t *card_counters_json(const struct net_counters *c)
{
	return json_pack("{s:I,s:I,s:I}", "frames", (json_int_t)c->frames, "bytes",
			 (json_int_t)c->bytes, "dropped", (json_int_t)c->dropped);
}

static json_t *card_json(const struct instance *in, uint32_t index, bool counters)
{
	const struct instance_net *net = &in->net[index];
	const struct net_card *card = in->board.net[index];
	json_t *json;
	char id[16], mac[MAC_TEXT_SIZE];

	snprintf(id, sizeof(id), "net%u", index);
	mac_format(card->mac, mac);
	json = json_pack("{s:s,s:s,s:s,s:b}", "id", id, "kind", net_kind_name(net->kind), "mac",
			 mac, "link", card->up);
	if (net->name[0] != '\0')
		json_object_set_new(json, "name", json_string(net->name));
	if (counters) {
		json_object_set_new(json, "sent", card_counters_json(&card->sent));
		json_object_set_new(json, "received", card_counters_json(&card->received));
	}
	return json;
}

json_t *instance_net_describe(const struct instance *in, bool counters)
{
	json_t *cards = json_array();

	for (uint32_t i = 0; i < in->source->appliance.nnets; i++)
		json_array_append_new(cards, card_json(in, i, counters));
	return cards;
}

static json_t *forward_json(const struct net_forward *f)
{
	char address[INET6_ADDRSTRLEN] = "";

	inet_ntop(f->v6 ? AF_INET6 : AF_INET, &f->host, address, sizeof(address));
	return json_pack("{s:i,s:s,s:s,s:i}", "guest", (int)f->guest_port, "protocol",
			 f->udp ? "udp" : "tcp", "address", address, "host", (int)f->host_port);
}

/* libslirp takes a connection before it asks the guest, so that it is open says nothing. It keeps
 * the client's port. */
json_t *instance_accepted(struct instance *in, const json_t *request, struct err *err)
{
	const json_int_t guest = json_integer_value(json_object_get(request, "guest"));
	const json_int_t client = json_integer_value(json_object_get(request, "client"));
	bool accepted = false;

	if (guest < 1 || guest > UINT16_MAX || client < 0 || client > UINT16_MAX) {
		err_set(err, ERR_USAGE, "accepted needs the ports \"guest\" and \"client\"");
		return NULL;
	}
	for (uint32_t i = 0; i < APPLIANCE_MAX_NETS; i++)
		accepted |=
			in->net[i].kind == NET_USER && in->board.net[i] != NULL &&
			net_flows_open(in->board.net[i]->flows, (uint16_t)guest, (uint16_t)client);
	return json_pack("{s:b,s:b}", "ok", 1, "accepted", (int)accepted);
}

json_t *instance_ports(struct instance *in, const json_t *request, struct err *err)
{
	struct net_forward forward[NET_MAX_FORWARDS];
	json_t *ports = json_array();

	(void)request;
	(void)err;
	for (uint32_t i = 0; i < APPLIANCE_MAX_NETS; i++) {
		unsigned n = 0;

		if (in->net[i].kind == NET_USER && in->net[i].carrier != NULL)
			n = net_user_forwards(in->net[i].carrier, forward);
		for (unsigned k = 0; k < n; k++)
			json_array_append_new(ports, forward_json(&forward[k]));
	}
	return json_pack("{s:b,s:o}", "ok", 1, "ports", ports);
}
