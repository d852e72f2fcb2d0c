/*
 * The two address spaces of exits, port I/O and MMIO: sorted, non-overlapping ranges with handlers.
 *
 * Ranges are added while the machine is built and never change after. Handlers run on the vCPU
 * thread that exited, with the machine lock held (machine.h).
 */
#ifndef TORPOR_VMM_BUS_H
#define TORPOR_VMM_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define BUS_MAX_RANGES 32

/* `off` is relative to the range's base; `size` is 1, 2, 4 or 8 bytes and off + size lies within
 * the range. Values are little-endian numbers; a read's upper bytes are ignored. */
struct bus_ops {
	uint64_t (*read)(void *opaque, uint64_t off, unsigned size);
	void (*write)(void *opaque, uint64_t off, uint64_t value, unsigned size);
};

struct bus_range {
	uint64_t base;
	uint64_t len;
	const struct bus_ops *ops;
	void *opaque;
};

struct bus {
	struct bus_range range[BUS_MAX_RANGES]; /* by base */
	unsigned nranges;
};

/* Overlap or a full table is our bug in the machine's layout (assert). */
void bus_add(struct bus *bus, uint64_t base, uint64_t len, const struct bus_ops *ops, void *opaque);

/* Dispatch one exit; neither can fail. Where no range answers, reads are all ones, as on a PC, and
 * writes are lost. */
void bus_read(const struct bus *bus, uint64_t addr, void *data, unsigned size);
void bus_write(const struct bus *bus, uint64_t addr, const void *data, unsigned size);

#endif
