/* What is left of the keyboard controller: the reset line. */
#ifndef TORPOR_DEVICES_X86_I8042_H
#define TORPOR_DEVICES_X86_I8042_H

#include "vmm/machine.h"

int i8042_create(struct machine *m, struct device **dev, struct err *err);

#endif
