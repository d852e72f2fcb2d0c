/* What the files of the switch share; see switch.h. */
#ifndef TORPOR_LAN_SWITCH_INTERNAL_H
#define TORPOR_LAN_SWITCH_INTERNAL_H

#include "lan/switch.h"

#define LAN_SOCKET_BUFFER (4 << 20) /* asked for */
#define LAN_STALL_MS	  200u
#define LAN_TICK_MS	  50u
#define LAN_GREETING_MS	  10000u

/* The gateway has no socket, but a number as ports have. */
#define LAN_GATEWAY_PORT (LAN_MAX_PORTS - 1u)

struct lan_switch {
	struct loop *loop;
	struct log log;
	struct log_limit limit;
	char name[PORT_NAME_SIZE];
	uint64_t id;
	struct port *port[LAN_GATEWAY_PORT]; /* owned; NULL: free */
	struct mac_table table;
	struct gateway *gateway; /* owned, or NULL */

	uint64_t now_ms;	/* of this callback */
	struct loop_watch tick; /* owns a timer: while somebody waits, or is greeted */
	bool ticking;
	struct loop_hook reaper; /* frees lost ports */
	bool reaping;
	uint8_t scratch[NET_FRAME_MAX];
};

static inline uint32_t lan_seconds(const struct lan_switch *lan)
{
	return (uint32_t)(lan->now_ms / 1000);
}

/* switch.c */
void lan_reap_later(struct lan_switch *lan);
/* The time of this callback; first thing in each. */
void lan_look_at_clock(struct lan_switch *lan);
/* Have lan_tick() called until it is not needed any more. */
void lan_need_tick(struct lan_switch *lan);

/* forward.c */

/* Forward what has come from `source`, as far as destinations take it. `turn` is a destination that
 * others wait for too, and whose turn it is; or NULL. */
void lan_forward(struct port *source, const struct port *turn);
/* There is room in a destination: send what is queued, and let those go on who wait. */
void lan_drain(struct port *destination);
/* A frame of our own; dropped when the port is busy. */
void lan_offer(struct port *destination, unsigned source, const struct message *message);
/* Look after those whom others wait for; true while it must be done again. */
bool lan_look_after(struct port *destination);

/* greet.c */

/* The first words to a new port. */
void lan_greet(struct port *port);
/* Its first words. */
void lan_hear_greeting(struct port *port);

#endif
