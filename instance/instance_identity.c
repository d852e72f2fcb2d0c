/* `resume --new-identity`: a clone that may run beside the machine it was made from; see
 * instance.h.
 *
 * Its name and its cards' addresses are new before it runs. But the guest's driver goes on with the
 * old address, until a hook in wake.d gives it the new one (TORPOR_MAC), which the driver then
 * tells the card. Back ends are opened at once, so that their errors are reported at the start, and
 * held until then. A guest that takes too long is connected to a user network all the same, because
 * no other machine is in that network. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mac.h"
#include "base/num.h"
#include "instance/instance.h"

#define PATIENCE_MS 10000u
#define SOON_MS	    1u

static const uint8_t *new_mac(const struct instance *in, uint32_t card)
{
	return in->source->appliance.net[card].mac;
}

const uint8_t *instance_identity_mac(const struct instance *in, unsigned card)
{
	return in->options->new_identity ? new_mac(in, card) : in->board.net[card]->mac;
}

void instance_resume_facts(const struct instance *in, struct resume_facts *facts)
{
	const struct appliance *a = &in->source->appliance;

	*facts = (struct resume_facts){
		.name = in->claim.name,
		.generation = a->generation,
		.new_identity = in->options->new_identity,
	};
	for (uint32_t i = 0; i < a->nnets; i++) {
		char *text = facts->macs + i * MAC_TEXT_SIZE;

		mac_format(instance_identity_mac(in, i), text);
		if (i > 0)
			text[-1] = ' ';
	}
}

static void connect_held(struct instance *in, uint32_t card)
{
	struct net_backend *backend = in->net[card].held;

	in->net[card].held = NULL;
	net_connect(in->board.net[card], backend);
}

static bool connect_those_that_took_it(struct instance *in)
{
	bool missing = false;

	for (uint32_t i = 0; i < in->source->appliance.nnets; i++) {
		if (in->net[i].held == NULL)
			continue;
		if (memcmp(in->board.net[i]->mac, new_mac(in, i), NET_MAC_SIZE) == 0)
			connect_held(in, i);
		else
			missing = true;
	}
	return missing;
}

static void lose_patience(struct instance *in)
{
	const struct log *log = &in->machine.log;
	char mac[MAC_TEXT_SIZE];

	in->identity_deadline = 0;
	for (uint32_t i = 0; i < in->source->appliance.nnets; i++) {
		const struct instance_net *net = &in->net[i];

		if (net->held == NULL)
			continue;
		mac_format(new_mac(in, i), mac);
		if (net->kind == NET_USER) {
			log_line(log, "net%u: the guest has not taken its new address %s", i, mac);
			connect_held(in, i);
		} else {
			log_line(log,
				 "net%u: the guest has not taken its new address %s, and is not "
				 "connected to %s %s before it does: its twin may be there",
				 i, mac, net_kind_name(net->kind), net->name);
		}
	}
}

static void check_cards(void *opaque)
{
	struct instance *in = opaque;
	uint64_t now = clock_monotonic_ns();

	if (!connect_those_that_took_it(in))
		in->identity_deadline = 0;
	else if (in->identity_deadline != 0 && now >= in->identity_deadline)
		lose_patience(in);
	else if (in->identity_deadline != 0)
		timer_set(&in->identity_timer,
			  (unsigned)((in->identity_deadline - now) / 1000000) + 1);
}

/* The driver is in the middle of a command to the card. */
static void on_mac(void *opaque)
{
	struct instance *in = opaque;

	timer_set(&in->identity_timer, SOON_MS);
}

int instance_identity_connect(struct instance *in, unsigned index, struct net_backend *backend,
			      struct err *err)
{
	struct net_card *card = in->board.net[index];
	int ret = 0;

	if (!in->options->new_identity) {
		net_connect(card, backend);
		return 0;
	}
	if (in->identity_timer.fd < 0)
		ret = timer_open(&in->identity_timer, &in->machine.loop, check_cards, in, err);
	if (ret < 0)
		return ret;
	card->ops->link(card, false);
	card->mac_changed = on_mac;
	card->opaque = in;
	in->net[index].held = backend;
	return 0;
}

void instance_identity_changed(struct instance *in)
{
	if (in->identity_timer.fd < 0 || in->identity_begun || in->machine.state != MACHINE_RUNNING)
		return;
	in->identity_begun = true;
	in->identity_deadline = clock_monotonic_ns() + PATIENCE_MS * UINT64_C(1000000);
	check_cards(in);
}

int instance_identity_check(const struct instance *in, struct err *err)
{
	if (in->identity_timer.fd < 0 || (in->identity_begun && in->identity_deadline == 0))
		return 0;
	return err_set(err, ERR_FAILED,
		       "machine %s is just taking its new identity; try again in some seconds",
		       in->claim.name);
}

void instance_identity_close(struct instance *in)
{
	timer_close(&in->identity_timer);
	for (uint32_t i = 0; i < APPLIANCE_MAX_NETS; i++) {
		if (in->net[i].held != NULL)
			in->net[i].held->ops->close(in->net[i].held);
		in->net[i].held = NULL;
	}
}
