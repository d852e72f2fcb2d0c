/*
 * Which station is behind which port. Bounded, whatever the guests send: a hash value, which guests
 * cannot predict, has room for 8 stations; a port has at most MAC_TABLE_SHARE; and a station that
 * was silent for MAC_TABLE_AGE seconds is forgotten.
 *
 * A *pinned* station is the card of a machine that is there: it belongs to its port, does not age,
 * and no other port may send with its address.
 *
 * Pure. Only mac_table_pin() can fail.
 */
#ifndef TORPOR_LAN_MAC_TABLE_H
#define TORPOR_LAN_MAC_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/net/net.h"

#define LAN_MAX_PORTS	 256u
#define MAC_TABLE_SETS	 512u
#define MAC_TABLE_WAYS	 8u
#define MAC_TABLE_SHARE	 512u
#define MAC_TABLE_AGE	 300u
#define MAC_TABLE_NOBODY (-1)

struct mac_entry {
	uint64_t key; /* the MAC, and 1 << 63; 0: free */
	uint32_t seen;
	uint16_t port;
	bool pinned;
};

struct mac_table {
	uint64_t secret; /* odd */
	struct mac_entry entry[MAC_TABLE_SETS * MAC_TABLE_WAYS];
	uint16_t learned[LAN_MAX_PORTS]; /* stations of each port, without pinned ones */
};

/* `secret` makes the hash unpredictable. */
void mac_table_init(struct mac_table *table, uint64_t secret);

/* Times are in seconds, of any clock that does not jump. */

/* The port of this station, or MAC_TABLE_NOBODY. */
int mac_table_find(const struct mac_table *table, const uint8_t mac[NET_MAC_SIZE], uint32_t now);

enum learned {
	LEARNED_KNOWN,	/* nothing new */
	LEARNED_NEW,	/* it is there, or has moved */
	LEARNED_FORGED, /* the station is another port's, pinned */
};
enum learned mac_table_learn(struct mac_table *table, const uint8_t mac[NET_MAC_SIZE],
			     unsigned port, uint32_t now);

/* Returns 0, -EEXIST when it is pinned to another port, or -ENOSPC when all places of its hash
 * value are pinned. */
int mac_table_pin(struct mac_table *table, const uint8_t mac[NET_MAC_SIZE], unsigned port);
/* Forget everybody behind a port, or only those pinned there. */
void mac_table_forget(struct mac_table *table, unsigned port);
void mac_table_unpin(struct mac_table *table, unsigned port);

/* Up to `max` stations behind a port, not aged ones: their number. */
unsigned mac_table_list(const struct mac_table *table, unsigned port, uint32_t now,
			uint8_t macs[][NET_MAC_SIZE], unsigned max);

#endif
