/* Dispatch of port and MMIO exits; see bus.h. */
#include "vmm/bus.h"

#include <string.h>

#include "base/assert.h"
#include "base/num.h"

void bus_add(struct bus *bus, uint64_t base, uint64_t len, const struct bus_ops *ops, void *opaque)
{
	unsigned at = bus->nranges;

	assert(bus->nranges < BUS_MAX_RANGES && len > 0);
	while (at > 0 && bus->range[at - 1].base > base)
		at--;
	assert(at == 0 || bus->range[at - 1].base + bus->range[at - 1].len <= base);
	assert(at == bus->nranges || base + len <= bus->range[at].base);
	memmove(&bus->range[at + 1], &bus->range[at], (bus->nranges - at) * sizeof(bus->range[0]));
	bus->range[at] = (struct bus_range){.base = base, .len = len, .ops = ops, .opaque = opaque};
	bus->nranges++;
}

static const struct bus_range *bus_find(const struct bus *bus, uint64_t addr, unsigned size)
{
	unsigned low = 0, high = bus->nranges;

	while (low < high) {
		unsigned mid = (low + high) / 2;
		const struct bus_range *r = &bus->range[mid];

		if (addr < r->base)
			high = mid;
		else if (range_within(addr - r->base, size, r->len))
			return r;
		else
			low = mid + 1;
	}
	return NULL;
}

void bus_read(const struct bus *bus, uint64_t addr, void *data, unsigned size)
{
	const struct bus_range *r = bus_find(bus, addr, size);
	uint64_t value = UINT64_MAX;

	if (r != NULL)
		value = r->ops->read(r->opaque, addr - r->base, size);
	value = htole64(value);
	memcpy(data, &value, size);
}

void bus_write(const struct bus *bus, uint64_t addr, const void *data, unsigned size)
{
	const struct bus_range *r = bus_find(bus, addr, size);
	uint64_t value = 0;

	if (r == NULL)
		return;
	memcpy(&value, data, size);
	r->ops->write(r->opaque, addr - r->base, le64toh(value), size);
}
