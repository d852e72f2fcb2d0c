/* See lease.h. A walk over all leases is a few microseconds, and only DHCP and DNS pay for it. */
#include "lan/lease.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/fnv.h"
#include "base/num.h"

uint32_t leases_mask(const struct leases *leases)
{
	return ~(uint32_t)0 << (32 - leases->prefix);
}

void leases_init(struct leases *leases, uint32_t network, unsigned prefix)
{
	uint32_t broadcast;

	*leases = (struct leases){.network = network, .prefix = prefix};
	broadcast = network | ~leases_mask(leases);
	leases->first = network + 2;
	leases->last = broadcast - 1;
}

static bool lease_is_over(const struct lease *lease, uint32_t now)
{
	return (int32_t)(now - lease->until) >= 0;
}

struct lease *lease_of(struct leases *leases, const uint8_t mac[NET_MAC_SIZE])
{
	for (unsigned i = 0; i < LEASES_MAX; i++) {
		struct lease *lease = &leases->lease[i];

		if (lease->address != 0 && memcmp(lease->mac, mac, NET_MAC_SIZE) == 0)
			return lease;
	}
	return NULL;
}

static struct lease *lease_at(struct leases *leases, uint32_t address)
{
	for (unsigned i = 0; i < LEASES_MAX; i++) {
		if (leases->lease[i].address == address)
			return &leases->lease[i];
	}
	return NULL;
}

static unsigned held_by(const struct leases *leases, unsigned port, uint32_t now)
{
	unsigned n = 0;

	for (unsigned i = 0; i < LEASES_MAX; i++) {
		const struct lease *lease = &leases->lease[i];

		n += lease->address != 0 && lease->port == port && !lease_is_over(lease, now);
	}
	return n;
}

/* One more, unless it is the port's already: a lease that is over, or of another port, is none. */
static bool may_hold(const struct leases *leases, const struct lease *lease, unsigned port,
		     uint32_t now)
{
	return (lease != NULL && lease->port == port && !lease_is_over(lease, now)) ||
	       held_by(leases, port, now) < LEASES_SHARE;
}

static bool can_be_given(const struct leases *leases, uint32_t address)
{
	return address >= leases->first && address <= leases->last;
}

/* An address that was never leased, or else the one whose lease has been over longest. */
static uint32_t lease_choose(struct leases *leases, const uint8_t *mac, uint32_t now)
{
	/* Hashed, so that stations mostly find their own again when all leases were forgotten. */
	uint32_t n = leases->last - leases->first + 1, at = fnv1a(mac, NET_MAC_SIZE) % n;
	uint32_t tries = n < LEASES_MAX ? n : LEASES_MAX;
	bool room = lease_at(leases, 0) != NULL;
	const struct lease *oldest = NULL;

	for (uint32_t i = 0; room && i < tries; i++) {
		uint32_t address = leases->first + (at + i) % n;

		if (lease_at(leases, address) == NULL)
			return address;
	}
	for (unsigned i = 0; i < LEASES_MAX; i++) {
		const struct lease *lease = &leases->lease[i];

		if (lease->address != 0 && lease_is_over(lease, now) &&
		    (oldest == NULL || now - lease->until > now - oldest->until))
			oldest = lease;
	}
	return oldest != NULL ? oldest->address : 0;
}

/* NULL when the address is taken, or there is no place for another lease. */
static struct lease *lease_grant(struct leases *leases, const uint8_t *mac, unsigned port,
				 uint32_t address, uint32_t now)
{
	struct lease *lease = lease_at(leases, address);

	if (lease == NULL)
		lease = lease_at(leases, 0);
	else if (!lease_is_over(lease, now))
		return NULL;
	if (lease == NULL)
		return NULL;
	*lease = (struct lease){
		.address = address, .port = (uint16_t)port, .until = now + LEASE_OFFER};
	memcpy(lease->mac, mac, NET_MAC_SIZE);
	return lease;
}

struct lease *lease_take(struct leases *leases, const uint8_t mac[NET_MAC_SIZE], unsigned port,
			 uint32_t requested, uint32_t now)
{
	struct lease *lease = lease_of(leases, mac);

	if (!may_hold(leases, lease, port, now))
		return NULL;
	if (lease != NULL) {
		lease->port = (uint16_t)port;
		if (lease_is_over(lease, now)) {
			lease->bound = false;
			lease->until = now + LEASE_OFFER;
		}
		return lease;
	}
	if (!can_be_given(leases, requested) || lease_at(leases, requested) != NULL)
		requested = lease_choose(leases, mac, now);
	return requested != 0 ? lease_grant(leases, mac, port, requested, now) : NULL;
}

struct lease *lease_adopt(struct leases *leases, const uint8_t mac[NET_MAC_SIZE], unsigned port,
			  uint32_t address, uint32_t now)
{
	struct lease *lease = lease_of(leases, mac);

	if (!may_hold(leases, lease, port, now))
		return NULL;
	if (lease != NULL)
		return lease->address == address ? lease : NULL;
	if (!can_be_given(leases, address))
		return NULL;
	return lease_grant(leases, mac, port, address, now);
}

void lease_decline(struct lease *lease, uint32_t now)
{
	memset(lease->mac, 0, NET_MAC_SIZE);
	lease->until = now + LEASE_DECLINED;
	lease->bound = false;
	lease->name[0] = '\0';
}

void lease_name(struct leases *leases, struct lease *lease, const char *name, bool trusted)
{
	if (lease->trusted && !trusted)
		return;
	for (unsigned i = 0; i < LEASES_MAX; i++) {
		struct lease *other = &leases->lease[i];

		if (other == lease || other->address == 0 || strcasecmp(other->name, name) != 0)
			continue;
		if (!trusted)
			return;
		other->name[0] = '\0';
		other->trusted = false;
	}
	snprintf(lease->name, sizeof(lease->name), "%s", name);
	lease->trusted = trusted;
}

const struct lease *lease_named(const struct leases *leases, const char *name, uint32_t now)
{
	for (unsigned i = 0; i < LEASES_MAX; i++) {
		const struct lease *lease = &leases->lease[i];

		if (lease->bound && !lease_is_over(lease, now) && name[0] != '\0' &&
		    strcasecmp(lease->name, name) == 0)
			return lease;
	}
	return NULL;
}
