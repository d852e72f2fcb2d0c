/* How the instance is confined; see instance.h and host/sandbox.h. */
#include "host/sandbox.h"

#include "instance/instance.h"

/* Of each card, whether it is connected already or will be. */
static unsigned needed_nets(const struct instance *in)
{
	const struct connections *c = in->options->connections;
	unsigned nets = 0;

	for (uint32_t i = 0; c != NULL && i < in->source->appliance.nnets && i < c->n; i++) {
		if (c->card[i].kind == NET_USER)
			nets |= SANDBOX_NET_USER;
		if (c->card[i].kind == NET_TAP)
			nets |= SANDBOX_NET_TAP;
		if (c->card[i].kind == NET_LAN)
			nets |= SANDBOX_NET_LAN;
	}
	return nets;
}

int instance_restrict(const struct instance *in, struct err *err)
{
	const struct connections *c = in->options->connections;
	uint16_t port[NET_MAX_FORWARDS];
	struct sandbox_reach reach = {
		.name = in->claim.name, .nets = needed_nets(in), .port = port};

	/* It writes the file anew in the end. */
	if (in->options->warmup != NULL)
		return 0;
	for (unsigned i = 0; c != NULL && i < c->nforwards; i++) {
		if (!c->forward[i].udp)
			port[reach.nports++] = c->forward[i].host_port;
	}
	return sandbox_restrict(&reach, err);
}

int instance_confine(const struct instance *in, struct err *err)
{
	/* A warmup looks at its page tables in the end. */
	if (in->options->warmup == NULL) {
		int ret;

		dirty_keep_pagemap();
		ret = sandbox_hide(err);
		if (ret < 0)
			return ret;
	}
	return sandbox_confine(needed_nets(in), err);
}
