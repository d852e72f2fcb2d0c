/* A port of the guest that is published for a test: GUEST[/udp] or GUEST[/tcp]. Pure. */
#ifndef TORPOR_GOLDEN_GUEST_PORT_H
#define TORPOR_GOLDEN_GUEST_PORT_H

#include "base/err.h"

/* Which port of the host it gets is not said. `what` names the option or the head. Returns 0, or
 * -EINVAL with ERR_USAGE. */
int guest_port_check(const char *what, const char *text, struct err *err);

#endif
