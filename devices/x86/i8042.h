/* The one part of the keyboard controller that guests need: the reset line. */
#ifndef TORPOR_DEVICES_X86_I8042_H
#define TORPOR_DEVICES_X86_I8042_H

#include "vmm/machine.h"

/* Create it, with its registers on the machine's port bus. Machine lock held. Returns 0 or -ENOMEM.
 */
int i8042_create(struct machine *m, struct device **dev, struct err *err);

#endif
