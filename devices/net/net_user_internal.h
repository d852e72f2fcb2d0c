/*
 * What the files of the user back end share.
 *
 *     net_user.c         opening, the operations of the back end
 *     net_user_frames.c  frames both ways: offloads, segment sizes, the queue to the guest
 *     net_user_ports.c   published ports
 *     net_user_relay.c   the same over IPv6
 *     net_user_dns.c     DNS where the host's name servers have IPv6 only
 *     net_user_loop.c    libslirp's sockets and timers on the machine's loop
 *
 * Machine lock held throughout. Functions that return nothing cannot fail.
 */
#ifndef TORPOR_DEVICES_NET_NET_USER_INTERNAL_H
#define TORPOR_DEVICES_NET_NET_USER_INTERNAL_H

#include <netinet/in.h>

#include "base/log.h"
#include "base/loop.h"
#include "devices/net/net_offload.h"
#include "devices/net/net_user.h"
#include "devices/net/slirp_api.h"

#define USER_MTU	65521u /* the most that libslirp takes */
#define USER_QUEUE_MAX	(1u << 20)
#define USER_MAX_TIMERS 4u
#define USER_ROOM	16u
#define USER_PEERS	32u
#define USER_QUERIES	64u

#define USER_NETWORK 0x0a000200u
#define USER_NETMASK 0xffffff00u
#define USER_HOST    (USER_NETWORK + 2)
#define USER_DNS     (USER_NETWORK + 3)
#define USER_GUEST   (USER_NETWORK + 15) /* the first that DHCP gives */

struct user_socket;
struct user_frame;
struct user_query;
struct user_relay;
struct relay_pair;
struct net_user;

struct user_timer {
	struct net_user *user; /* NULL: free */
	SlirpTimerId id;
	void *opaque;
	int64_t due; /* in milliseconds; INT64_MAX: never */
};

struct user_port {
	struct net_forward forward; /* with the port that was chosen */
	int fd;			    /* libslirp's */
	uint16_t peer[USER_PEERS];  /* UDP ports of the host's loopback that spoke to it last */
	unsigned npeers;
};

struct net_user {
	struct net_backend b;
	struct loop *loop;
	const struct log *log;
	const struct slirp_api *api;
	Slirp *slirp;
	struct log_limit limit;
	bool running;	      /* between start() and quiesce() */
	const char *hostname; /* borrowed */

	/* net_user_loop.c */
	struct loop_hook hook;
	struct loop_watch clock; /* timerfd */
	int64_t armed;		 /* when it fires, in milliseconds; INT64_MAX: never */
	int64_t due;		 /* when libslirp wants to be called again */
	int64_t called;		 /* when it was called last */
	struct user_timer timer[USER_MAX_TIMERS];
	struct user_socket **socket; /* by descriptor */
	size_t nsockets;
	unsigned nopen;	  /* that libslirp has opened, */
	unsigned maxopen; /* and may */
	uint32_t round;	  /* of asking libslirp what it waits for */
	bool changed;	  /* it may wait for something else now */
	bool ready;	  /* something that it waits for has come */

	/* net_user_frames.c */
	unsigned accepted; /* enum net_offload */
	size_t mtu;
	uint32_t fragment_id;
	struct user_frame *queue, **queue_end;
	size_t queued; /* bytes */
	uint8_t *from_guest;
	uint8_t *to_guest; /* for frames that are cut, with USER_ROOM in front */

	/* net_user_ports.c */
	struct user_port port[NET_MAX_FORWARDS];
	unsigned nports;
	struct in_addr guest; /* where they lead */
	bool guest_known;     /* it has sent something from that address */
	bool host_loopback;

	/* net_user_relay.c */
	struct user_relay *relay; /* owned lists */
	struct relay_pair *pair;
	unsigned npairs;

	/* net_user_dns.c */
	struct user_query *query; /* owned; USER_QUERIES, or NULL */
	unsigned next_query;
	const char *resolv_conf;
	uint16_t dns_port;
	struct sockaddr_in6 dns_server; /* not AF_INET6: libslirp has one */
	int64_t dns_expires;		/* when it is looked up again, as user_now_ns() counts */
};

/* net_user_frames.c: a message of the guest, to libslirp. */
int user_send(struct net_backend *b, const struct iovec *iov, unsigned n, size_t len);
/* A frame of libslirp, to the guest. */
void user_deliver(struct net_user *u, const uint8_t *frame, size_t len);
/* Give the card what it had no room for; false: it has no room for all of that yet. */
bool user_flush_queue(struct net_user *u);
void user_drop_queue(struct net_user *u);

/* net_user_loop.c */
/* Returns 0, or what timerfd_create(2) or epoll_ctl(2) gave. user_loop_close() may follow in any
 * case.
 */
int user_loop_open(struct net_user *u, struct err *err);
void user_loop_close(struct net_user *u);
void user_loop_start(struct net_user *u);
void user_loop_stop(struct net_user *u);
/* libslirp was called, and may wait for something else now; `ready`: call it as if one of its
 * descriptors were ready. */
void user_loop_changed(struct net_user *u, bool ready);
/* Before a frame goes in: libslirp looks at the clock only when it is called, and gives up new UDP
 * sockets at once when it finds that minutes have passed meanwhile. */
void user_loop_clock(struct net_user *u);
int64_t user_now_ns(void);
/* The descriptor that libslirp watches and that was not known before; -1: there is none, or no
 * memory. */
int user_new_socket(struct net_user *u);
void user_forget_socket(struct net_user *u, int fd);
/* Whoever is at the other end of a TCP connection sees a reset when it is closed next. */
void user_reset_on_close(int fd);
void user_reset_all_on_close(struct net_user *u);
/* NULL: there are USER_MAX_TIMERS already. */
void *user_timer_new(struct net_user *u, SlirpTimerId id, void *opaque);
void user_timer_mod(struct user_timer *timer, int64_t due);
void user_timer_free(struct user_timer *timer);

/* net_user_ports.c. Returns 0; the errors of a port as net_user_open() lists them; -EINVAL with
 * ERR_FAILED when libslirp does not listen. */
int user_publish(struct net_user *u, const struct net_forward *forward, struct err *err);
/* A new libslirp has none of the ports: publish those that there are again, at the same numbers. */
int user_publish_again(struct net_user *u, struct err *err);
/* The guest has sent from this address: ports lead there. */
void user_set_guest(struct net_user *u, struct in_addr address);
/* Note the sender of a UDP datagram to the guest. */
void user_note_peer(struct net_user *u, const uint8_t *frame, const struct net_packet *packet);
/* net_user_relay.c: listen over IPv6 for what is published over IPv4, with the port that was
 * chosen. Returns 0; what socket(2), bind(2), listen(2) or epoll_ctl(2) gave; -ENOMEM. The caller
 * says it. */
int user_relay_listen(struct net_user *u, const struct net_forward *v4);
void user_relay_close(struct net_user *u);
/* Reset all connections, and go on listening. */
void user_relay_reset(struct net_user *u);

/* net_user_dns.c. NULL and 0: /etc/resolv.conf and port 53. */
void user_dns_init(struct net_user *u, const char *resolv_conf, uint16_t port);
void user_dns_close(struct net_user *u);
/* A UDP datagram of the guest, untagged: send it, if it is a query that libslirp has no server for.
 * False: it is not, and is not handled. */
bool user_dns_query(struct net_user *u, const uint8_t *frame, const struct net_packet *packet);

/* A UDP datagram of the guest, untagged: send it, if it answers one that came from the host's
 * loopback. False: it does not, and is not handled. */
bool user_answer_loopback(struct net_user *u, const uint8_t *frame,
			  const struct net_packet *packet);

#endif
