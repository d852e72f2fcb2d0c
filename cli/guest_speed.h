/* How fast KVM runs a guest here: a counting loop, in a VM of its own. */
#ifndef TORPOR_CLI_GUEST_SPEED_H
#define TORPOR_CLI_GUEST_SPEED_H

#include <stdint.h>

#include "base/err.h"

/* Instructions a second, the best of several runs of some 5 ms (or of one loop where that takes
 * longer). Returns 0; what kvm_open() gives; the errno of mmap(2) or of an ioctl of KVM; or -EINVAL
 * with ERR_FAILED when the loop ends in another way than it should. */
int guest_speed_measure(uint64_t *per_second, struct err *err);

/* The same from runs of another kind: `run` gives the time of `count` rounds of two instructions.
 * Returns 0, or what `run` gives. */
typedef int guest_speed_run(void *opaque, uint32_t count, uint64_t *ns, struct err *err);
int guest_speed_best(guest_speed_run *run, void *opaque, uint64_t *per_second, struct err *err);

/* Below this the guest is interpreted by software, which reaches some 2 million a second. Hardware
 * is a thousand times as fast as that, and translation to native code a hundred times. */
#define GUEST_SPEED_HARDWARE UINT64_C(100000000)

#endif
