/* See connections.h. */
#include "instance/connections.h"

const char *net_kind_name(enum net_kind kind)
{
	static const char *const names[] = {
		[NET_NONE] = "none",
		[NET_USER] = "user",
		[NET_TAP] = "tap",
		[NET_LAN] = "lan",
	};

	return names[kind];
}

bool connections_none(const struct connections *c)
{
	return c->n == 1 && c->card[0].kind == NET_NONE;
}

bool connections_need(const struct connections *c, enum net_kind kind)
{
	for (unsigned i = 0; i < c->n; i++) {
		if (c->card[i].kind == kind)
			return true;
	}
	return c->n == 0 && kind == NET_USER;
}

int connections_bind(struct connections *c, const struct appliance *a, struct err *err)
{
	if (c->n == 0 && a->nnets > 0)
		c->card[c->n++] = (struct connection){.kind = NET_USER};
	if (c->nforwards > 0 && (a->nnets == 0 || !connections_need(c, NET_USER)))
		return err_set(err, ERR_USAGE,
			       "-p: ports are published by --net user, and no card has that");
	if (c->pcap != NULL && a->nnets == 0)
		return err_set(err, ERR_USAGE, "--pcap: there is no network card");
	if ((c->limits.frames > 0 || c->limits.bytes > 0) && a->nnets == 0)
		return err_set(err, ERR_USAGE,
			       "--net-pps and --net-bps are for a network card, and there is none");
	if (a->nnets == 0 && connections_none(c))
		c->n = 0;
	if (c->n > a->nnets)
		return err_set(err, ERR_USAGE, "--net: more of them than network cards (%u)",
			       a->nnets);
	return 0;
}
