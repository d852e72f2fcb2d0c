/* Where frames go; see switch.h. Loop thread. Nothing here returns an error: a port whose socket
 * fails, or whose stream is malformed, is lost (port_lose()). */
#ifndef TORPOR_LAN_FORWARD_H
#define TORPOR_LAN_FORWARD_H

#include "lan/port.h"

/* Forward what was received from `source`, as far as destinations take it. `turn` is a destination
 * that others wait for too, and whose turn it is; or NULL. */
void lan_forward(struct port *source, const struct port *turn);
/* There is room in a destination: send what is queued, and let those go on who wait. */
void lan_drain(struct port *destination);
/* Drop the frames for a destination that takes nothing; true while sources wait for it and it must
 * be looked at again. */
bool lan_check_stall(struct port *destination);

#endif
