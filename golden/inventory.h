/*
 * Names with values, in order: what there is in a guest, to be compared with what there was.
 *
 *     (zeroes) → inventory_add … → inventory_sort → inventory_find, inventory_compare
 *     → inventory_free
 *
 * Text of a guest is escaped before it becomes a name or a value (inventory_add_escaped()), so that
 * a name has neither spaces nor bytes that a terminal takes for more. One thread. Functions that
 * return int return 0 or -ENOMEM.
 */
#ifndef TORPOR_GOLDEN_INVENTORY_H
#define TORPOR_GOLDEN_INVENTORY_H

#include "base/buf.h"
#include "base/err.h"

struct inventory_item {
	char *name, *value; /* owned */
};

struct inventory {
	struct inventory_item *item;
	size_t n;
};

/* Append `len` bytes of text: backslash, space, and what is not printable ASCII as \xNN. */
void inventory_add_escaped(struct buf *out, const char *text, size_t len);

/* Takes both, which malloc() gave; NULL: there was no memory for it, and -ENOMEM is returned. */
int inventory_add(struct inventory *inv, char *name, char *value, struct err *err);
/* By the bytes of their names. */
void inventory_sort(struct inventory *inv);
/* Names that are there several times become one whose value is their number: "2". It must be
 * sorted. */
int inventory_count(struct inventory *inv, struct err *err);
/* Of a sorted one. NULL: there is no such name. */
struct inventory_item *inventory_find(const struct inventory *inv, const char *name);

/* Both must be sorted. `tell` is called for each name that is not in both with one value: `was` or
 * `is` is NULL when it is new or gone. Returns how many these are. */
size_t inventory_compare(const struct inventory *was, const struct inventory *is,
			 void (*tell)(void *opaque, const char *name, const char *was,
				      const char *is),
			 void *opaque);

/* Safe on zeroes. */
void inventory_free(struct inventory *inv);

#define cleanup_inventory __attribute__((cleanup(inventory_free)))

#endif
