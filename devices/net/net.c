/* See net.h. */
#include "devices/net/net.h"

#include "base/assert.h"

void net_connect(struct net_card *card, struct net_backend *backend)
{
	assert(card->backend == NULL);
	card->backend = backend;
	backend->card = card;
	card->ops->connected(card);
}
