/* Have a system call fail as it does on a host that cannot be made here. */
#ifndef TORPOR_TESTS_UNIT_REFUSE_H
#define TORPOR_TESTS_UNIT_REFUSE_H

#include <stdint.h>

/* From here on, in this process, the call fails with `errnum` when the lower half of its argument
 * `arg` (0 to 5) is in [least, most]. Each test is a process of its own. */
void refuse_call(long call, unsigned arg, uint32_t least, uint32_t most, int errnum);

#endif
