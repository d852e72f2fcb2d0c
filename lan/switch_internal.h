/* The struct that the files of the switch share; see switch.h. Nothing here fails. */
#ifndef TORPOR_LAN_SWITCH_INTERNAL_H
#define TORPOR_LAN_SWITCH_INTERNAL_H

#include "base/log.h"
#include "base/timer.h"
#include "lan/gateway.h"
#include "lan/port.h"

#define LAN_TICK_MS 50u

/* The gateway has no socket, but a number as ports have. */
#define LAN_GATEWAY_PORT (LAN_MAX_PORTS - 1u)

struct trunk;

struct lan_switch {
	struct loop *loop;
	struct log log;
	struct log_limit limit;
	char name[PORT_NAME_SIZE];
	uint64_t id;
	struct port *port[LAN_GATEWAY_PORT]; /* owned; NULL: free */
	struct trunk
		*trunk[LAN_GATEWAY_PORT]; /* owned; of each port; NULL: it is none, or not yet */
	struct mac_table table;
	struct gateway *gateway; /* owned, or NULL */

	uint64_t now_ms;   /* of this callback */
	struct timer tick; /* while a source waits, or a port is greeted */
	bool ticking;
	struct loop_hook reaper; /* frees lost ports */
	bool reaping;
	uint8_t scratch[NET_FRAME_MAX];
};

static inline uint32_t lan_seconds(const struct lan_switch *lan)
{
	return (uint32_t)(lan->now_ms / 1000);
}

/* Have waiting sources and greetings looked at LAN_TICK_MS from now. */
static inline void lan_need_tick(struct lan_switch *lan)
{
	if (lan->ticking)
		return;
	lan->ticking = true;
	timer_set(&lan->tick, LAN_TICK_MS);
}

#endif
