/* See mac_table.h. */
#include "lan/mac_table.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/num.h"

#define USED ((uint64_t)1 << 63)

void mac_table_init(struct mac_table *table, uint64_t secret)
{
	*table = (struct mac_table){.secret = secret | 1};
}

static uint64_t key_of(const uint8_t *mac)
{
	return (uint64_t)le_get32(mac) | (uint64_t)le_get16(mac + 4) << 32 | USED;
}

static_assert(MAC_TABLE_SETS == 1 << 9, "as many as the shift below leaves");

/* Where its set begins. Multiply-shift: only who knows the secret can fill a set at will. */
static unsigned set_of(const struct mac_table *table, uint64_t key)
{
	return MAC_TABLE_WAYS * (unsigned)((key ^ key >> 21) * table->secret >> 55);
}

static bool is_current(const struct mac_entry *entry, uint32_t now)
{
	return entry->key != 0 && (entry->pinned || now - entry->seen < MAC_TABLE_AGE);
}

static struct mac_entry *mac_table_lookup(struct mac_table *table, uint64_t key)
{
	struct mac_entry *entry = &table->entry[set_of(table, key)];

	for (unsigned i = 0; i < MAC_TABLE_WAYS; i++) {
		if (entry[i].key == key)
			return &entry[i];
	}
	return NULL;
}

int mac_table_find(const struct mac_table *table, const uint8_t mac[NET_MAC_SIZE], uint32_t now)
{
	const struct mac_entry *entry = mac_table_lookup((struct mac_table *)table, key_of(mac));

	return entry != NULL && is_current(entry, now) ? entry->port : MAC_TABLE_NOBODY;
}

static void mac_table_drop(struct mac_table *table, struct mac_entry *entry)
{
	if (entry->key != 0 && !entry->pinned)
		table->learned[entry->port]--;
	*entry = (struct mac_entry){0};
}

/* A place for a new station: a free one, or that of who was silent longest. */
static struct mac_entry *mac_table_evict(struct mac_table *table, uint64_t key, uint32_t now)
{
	struct mac_entry *set = &table->entry[set_of(table, key)], *best = NULL;

	for (unsigned i = 0; i < MAC_TABLE_WAYS; i++) {
		struct mac_entry *entry = &set[i];

		if (entry->pinned)
			continue;
		if (entry->key == 0) {
			best = entry;
			break;
		}
		if (best == NULL || now - entry->seen > now - best->seen)
			best = entry;
	}
	if (best != NULL)
		mac_table_drop(table, best);
	return best;
}

enum learned mac_table_learn(struct mac_table *table, const uint8_t mac[NET_MAC_SIZE],
			     unsigned port, uint32_t now)
{
	uint64_t key = key_of(mac);
	struct mac_entry *entry = mac_table_lookup(table, key);

	if (entry != NULL && entry->pinned)
		return entry->port == port ? LEARNED_KNOWN : LEARNED_FORGED;
	if (entry != NULL && entry->port == port) {
		entry->seen = now;
		return LEARNED_KNOWN;
	}
	if (table->learned[port] >= MAC_TABLE_SHARE)
		return LEARNED_KNOWN; /* frames to it are flooded */
	if (entry != NULL)
		mac_table_drop(table, entry);
	else
		entry = mac_table_evict(table, key, now);
	if (entry == NULL)
		return LEARNED_KNOWN;
	*entry = (struct mac_entry){.key = key, .seen = now, .port = (uint16_t)port};
	table->learned[port]++;
	return LEARNED_NEW;
}

int mac_table_pin(struct mac_table *table, const uint8_t mac[NET_MAC_SIZE], unsigned port)
{
	uint64_t key = key_of(mac);
	struct mac_entry *entry = mac_table_lookup(table, key);

	if (entry != NULL && entry->pinned)
		return entry->port == port ? 0 : -EEXIST;
	if (entry != NULL)
		mac_table_drop(table, entry);
	else
		entry = mac_table_evict(table, key, 0);
	if (entry == NULL)
		return -ENOSPC;
	*entry = (struct mac_entry){.key = key, .port = (uint16_t)port, .pinned = true};
	return 0;
}

static void mac_table_remove(struct mac_table *table, unsigned port, bool all)
{
	for (unsigned i = 0; i < MAC_TABLE_SETS * MAC_TABLE_WAYS; i++) {
		struct mac_entry *entry = &table->entry[i];

		if (entry->key != 0 && entry->port == port && (all || entry->pinned))
			mac_table_drop(table, entry);
	}
}

void mac_table_forget(struct mac_table *table, unsigned port)
{
	mac_table_remove(table, port, true);
}

void mac_table_unpin(struct mac_table *table, unsigned port)
{
	mac_table_remove(table, port, false);
}

unsigned mac_table_list(const struct mac_table *table, unsigned port, uint32_t now,
			uint8_t macs[][NET_MAC_SIZE], unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MAC_TABLE_SETS * MAC_TABLE_WAYS && n < max; i++) {
		const struct mac_entry *entry = &table->entry[i];

		if (entry->port != port || !is_current(entry, now))
			continue;
		for (unsigned byte = 0; byte < NET_MAC_SIZE; byte++)
			macs[n][byte] = (uint8_t)(entry->key >> 8 * byte);
		n++;
	}
	return n;
}
