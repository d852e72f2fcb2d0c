/*
 * How the parts of a machine are named in the state blob: `vcpu.N`, `vm`, and for devices `ID` or
 * `ID.PART`. Shared by save.c and staged.c. Pure; cannot fail.
 */
#ifndef TORPOR_SNAPSHOT_SECTIONS_H
#define TORPOR_SNAPSHOT_SECTIONS_H

#include <stdio.h>

#include "state/statefile.h"
#include "vmm/device.h"

#define SECTION_VM "vm"

struct section_name {
	char text[STATEFILE_NAME_MAX + 1];
};

static inline struct section_name section_of_vcpu(unsigned index)
{
	struct section_name name;

	snprintf(name.text, sizeof(name.text), "vcpu.%u", index);
	return name;
}

static inline struct section_name section_of_part(const struct device *dev, unsigned part)
{
	struct section_name name;
	const char *suffix = dev->part[part].name;

	snprintf(name.text, sizeof(name.text), "%s%s%.16s", dev->id, suffix[0] != '\0' ? "." : "",
		 suffix);
	return name;
}

#define SECTION_EXTRA_VERSION 1u

/* Of device.extra. */
static inline struct section_name section_of_extra(const struct device *dev)
{
	struct section_name name;

	snprintf(name.text, sizeof(name.text), "%s.%.16s", dev->id, dev->extra);
	return name;
}

#endif
