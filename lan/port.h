/*
 * A port of a switch: one Unix stream socket, what was received from it and is not forwarded yet,
 * and what is to be sent to it. A port moves bytes; forward.c decides where frames go, and greet.c
 * handles the first lines.
 *
 * Loop thread. Nothing here frees a port. One that is lost is marked PORT_GONE, and its owner is
 * told by params.lost: it removes the port at the end of the loop's round, because callers further
 * up may still use it.
 *
 * port_new() returns 0, or -ENOMEM with *err set. Nothing else here reports an error: a socket that
 * fails loses its port.
 */
#ifndef TORPOR_LAN_PORT_H
#define TORPOR_LAN_PORT_H

#include "base/loop.h"
#include "devices/net/net.h"
#include "lan/framing.h"
#include "lan/mac_table.h"

#define PORT_IN_SIZE   (256u << 10) /* read at once, and a source's turn */
#define PORT_OUT_SIZE  (384u << 10)
#define PORT_SHARE     (64u << 10) /* of `out`, for what one source may leave there unasked */
#define PORT_NAME_SIZE 64u

struct lan_switch;
struct port;

enum port_kind { PORT_MACHINE, PORT_QEMU, PORT_TRUNK };

enum port_state {
	PORT_GREETING, /* its first line is awaited */
	PORT_AWAIT_OK, /* a trunk's: we have accepted the peer, its answer is awaited */
	PORT_UP,       /* frames */
	PORT_GONE,     /* to be removed */
};

struct port_drops {
	uint64_t full;	 /* it did not take what was for it */
	uint64_t forged; /* what came in another's name */
	uint64_t broken; /* what came and is no frame, or a header that lies about it */
};

/* What a port needs of its switch. */
struct port_params {
	struct loop *loop;
	struct lan_switch *lan; /* for the owner's own use: ports do not look into it */
	void (*lost)(struct port *port);
	enum port_kind kind;
};

struct port {
	struct lan_switch *lan;
	struct loop *loop;
	void (*lost)(struct port *port);
	unsigned index; /* in the switch */
	enum port_kind kind;
	enum port_state state;
	int fd; /* owned */
	struct loop_watch watch;
	uint64_t since_ms; /* it was plugged in */
	char name[PORT_NAME_SIZE];
	uint8_t mac[NET_MAC_SIZE]; /* of a machine's card */

	uint8_t *in; /* owned; PORT_IN_SIZE bytes, of which [in_at, in_end) are to be forwarded */
	uint32_t in_at, in_end;

	uint8_t *out; /* owned; NULL until it is needed; [out_at, out_end) are to be sent */
	uint32_t out_at, out_end;
	uint32_t left_by[LAN_MAX_PORTS]; /* bytes each source has put there since it was empty */

	/* A source whose destination is full waits for it, and is not read meanwhile. */
	struct port *waits_for;
	struct port *next_waiter;
	struct port *waiters, **last_waiter;
	uint64_t progress_ms; /* when it last took something, or a source began to wait */
	bool stalled;	      /* it takes nothing: sources do not wait for it */

	struct net_counters received; /* from it; `dropped` unused */
	struct net_counters sent;     /* to it; the same */
	struct port_drops drops;
};

/* Takes fd, also when it fails. */
int port_new(struct port **out, const struct port_params *params, int fd, struct err *err);
void port_free(struct port *port);

enum framing port_framing(const struct port *port);
static inline uint32_t port_queued(const struct port *port)
{
	return port->out_end - port->out_at;
}

/* One read(2). False when nothing is to be had: nothing has come, or it is gone. */
bool port_read(struct port *port);
/* What the socket takes of this at once: the number of bytes. Only while nothing is queued. */
size_t port_write(struct port *port, const void *data, size_t len);
/* Put behind what is queued; false when there is no room. */
bool port_queue(struct port *port, const void *data, size_t len);
/* Send what is queued; true when something went. */
bool port_flush(struct port *port);

/* A header (if its framing has one: header NULL is one without offloads) and frame into the queue,
 * in the form its receiver expects. False when there is no room for all of it. `scratch` is the
 * caller's memory, whose contents are lost. */
bool port_queue_frame(struct port *port, const struct message *message,
		      uint8_t scratch[NET_FRAME_MAX]);

void port_wait(struct port *source, struct port *destination, uint64_t now_ms);
/* Ends the wait of the source that waits longest and returns it; NULL: there is none. */
struct port *port_next_waiter(struct port *destination);
void port_forget_waiting(struct port *source);

/* Watch the socket for what the port can use now. */
void port_update(struct port *port);
void port_lose(struct port *port);

#endif
