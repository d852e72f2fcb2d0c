/* The ports and leases of a LAN as JSON. Loop thread, under the loop's lock. */
#ifndef TORPOR_LAN_STATS_H
#define TORPOR_LAN_STATS_H

#include <jansson.h>

#include "lan/switch.h"

/* {"dhcp": {…} or null, "ports": […], "leases": […]}: a new object, or NULL without memory. */
json_t *lan_stats(struct lan_switch *lan);

#endif
