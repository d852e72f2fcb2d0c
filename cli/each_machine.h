/* Verbs that take several machines: all at once, each failure told, the worst status returned. */
#ifndef TORPOR_CLI_EACH_MACHINE_H
#define TORPOR_CLI_EACH_MACHINE_H

#include <stddef.h>

#include "cli/options.h"

/* Does something to one machine, on a thread of its own: no global state, no output. Returns 0, or
 * a negative errno with *err set. */
typedef int each_machine_fn(const char *name, void *opaque, struct err *err);

/* Call `fn` for each operand; there must be one (-EINVAL with ERR_USAGE). A name that is given
 * twice counts once. One operand: returns what `fn` did. Several: prints a line `torpor: VERB: …`
 * for each failure, in the order of the operands, and returns 0 or the greatest exit status among
 * them. Returns -ENOMEM before any call of `fn`. */
int each_machine(struct options *o, each_machine_fn *fn, void *opaque, struct err *err);

/* Call `fn` with each number below `n`, many at once; returns when all are done. Cannot fail:
 * without threads the caller's does all. */
void each_at_once(size_t n, void (*fn)(size_t index, void *opaque), void *opaque);

#endif
