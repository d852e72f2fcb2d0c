/* What net_lan.c and net_lan_join.c share. Machine lock held. The functions cannot fail: an error
 * of the host is a line in the log. */
#ifndef TORPOR_DEVICES_NET_NET_LAN_INTERNAL_H
#define TORPOR_DEVICES_NET_NET_LAN_INTERNAL_H

#include <limits.h>

#include "base/timer.h"
#include "devices/net/net_lan.h"
#include "devices/net/net_lan_wire.h"

#define NET_LAN_IN    (256u << 10) /* read at once */
#define NET_LAN_PLAIN (128u << 10) /* a large frame, cut */

enum net_lan_state {
	NET_LAN_DOWN,	/* not connected; the switch is looked for */
	NET_LAN_ASKING, /* connected; its answer is awaited */
	NET_LAN_UP,
};

struct net_lan {
	struct net_backend backend;
	struct loop *loop;
	const struct log *log;
	enum net_lan_state state;
	int fd; /* -1 while down */
	struct loop_watch watch;
	struct timer probe_timer; /* closed while nothing is looked for */
	bool card_full;		  /* it has refused a frame */
	bool blocked;		  /* so have we */
	unsigned offloads;

	char socket[PATH_MAX];
	char name[64];
	char machine[64];
	uint8_t mac[NET_MAC_SIZE];
	char refused[256]; /* the last reason that was logged */

	uint8_t in[NET_LAN_IN]; /* of which [in_at, in_end) has not been delivered */
	uint32_t in_at, in_end;
	uint8_t *plain; /* owned; as `in`, made of one frame, to be delivered first */
	uint32_t plain_at, plain_end;
	uint8_t rest[LAN_WIRE_MAX]; /* of a frame that went in part */
	uint32_t rest_at, rest_end;
};

extern const struct net_backend_ops net_lan_ops;

void net_lan_watch(struct net_lan *lan);
/* While ASKING: take the switch's answer. */
void net_lan_read_answer(struct net_lan *lan);
/* Close the socket; the state is DOWN. */
void net_lan_leave(struct net_lan *lan);
/* While DOWN and running: look for the switch once a second; and stop that. */
void net_lan_start_probing(struct net_lan *lan);
void net_lan_stop_probing(struct net_lan *lan);

#endif
