/* How fast KVM runs a guest here: a counting loop in real mode, in a VM of its own. */
#ifndef TORPOR_CLI_GUEST_SPEED_H
#define TORPOR_CLI_GUEST_SPEED_H

#include <stdint.h>

#include "base/err.h"

/* Instructions a second, from a run of at least some 20 ms (or of one loop where that takes
 * longer). */
int guest_speed_measure(uint64_t *per_second, struct err *err);

/* Below this something interprets the guest: silicon is a thousand times faster than 2 million, and
 * software that translates to native code still a hundred times. */
#define GUEST_SPEED_HARDWARE UINT64_C(100000000)

#endif
