/*
 * The user back end: its network, its ports, its life; see net_user.h and net_user_internal.h.
 */
#include "devices/net/net_user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/num.h"
#include "devices/net/net_user_internal.h"

#define MAX_SOCKETS 4096u

static struct net_user *user_from_backend(const struct net_backend *b)
{
	return container_of((struct net_backend *)b, struct net_user, b);
}

/* What libslirp calls. */

static ssize_t on_packet(const void *frame, size_t len, void *opaque)
{
	user_deliver(opaque, frame, len);
	return (ssize_t)len;
}

static void on_guest_error(const char *text, void *opaque)
{
	struct net_user *u = opaque;

	log_guest(u->log, &u->limit, "--net user: the guest: %s", text);
}

static int64_t on_clock_get(void *opaque)
{
	(void)opaque;
	return user_now_ns();
}

static void *on_timer_new(SlirpTimerId id, void *timer_opaque, void *opaque)
{
	return user_timer_new(opaque, id, timer_opaque);
}

static void on_timer_mod(void *timer, int64_t due, void *opaque)
{
	(void)opaque;
	if (timer != NULL)
		user_timer_mod(timer, due);
}

static void on_timer_free(void *timer, void *opaque)
{
	(void)opaque;
	if (timer != NULL)
		user_timer_free(timer);
}

/* An earlier socket with this number is closed. */
static void on_open(int fd, void *opaque)
{
	struct net_user *u = opaque;

	user_forget_socket(u, fd);
	u->nopen++;
}

static void on_closing(int fd, void *opaque)
{
	struct net_user *u = opaque;

	user_forget_socket(u, fd);
	if (u->nopen > 0)
		u->nopen--;
}

/* libslirp is asked again anyway after each frame that it was given. */
static void on_notify(void *opaque)
{
	(void)opaque;
}

static const SlirpCb callbacks = {
	.send_packet = on_packet,
	.guest_error = on_guest_error,
	.clock_get_ns = on_clock_get,
	.timer_free = on_timer_free,
	.timer_mod = on_timer_mod,
	.register_poll_fd = on_open,
	.unregister_poll_fd = on_closing,
	.notify = on_notify,
	.timer_new_opaque = on_timer_new,
};

static int open_slirp(struct net_user *u, struct err *err)
{
	const SlirpConfig config = {
		.version = 4,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(USER_NETWORK),
		.vnetmask.s_addr = htonl(USER_NETMASK),
		.vhost.s_addr = htonl(USER_HOST),
		.vnameserver.s_addr = htonl(USER_DNS),
		.vdhcp_start.s_addr = htonl(USER_GUEST),
		/* Always, so that a guest finds the same network on every host. */
		.in6_enabled = true,
		.vprefix_addr6.s6_addr = {0xfd},
		.vprefix_len = 64,
		.vhost6.s6_addr = {0xfd, [15] = 2},
		.vnameserver6.s6_addr = {0xfd, [15] = 3},
		.vhostname = u->hostname,
		.if_mtu = USER_MTU,
		.if_mru = USER_MTU,
		.disable_host_loopback = !u->host_loopback,
	};

	u->slirp = u->api->new (&config, &callbacks, u);
	if (u->slirp == NULL)
		return err_set(err, ERR_FAILED, "libslirp does not start");
	return 0;
}

/* Tell libslirp which MAC has the guest's address, so that the first connection after a resume need
 * not wait for an ARP answer. A guest whose MAC has changed announces that itself. */
static void announce_guest(struct net_user *u)
{
	uint8_t frame[ETH_HLEN + 28] = {0}, *arp = frame + ETH_HLEN;

	memset(frame, 0xff, ETH_ALEN);
	memcpy(frame + ETH_ALEN, u->b.card->mac, ETH_ALEN);
	memcpy(frame + 2 * ETH_ALEN, (uint8_t[]){ETH_P_ARP >> 8, ETH_P_ARP & 0xff}, 2);
	memcpy(arp, (uint8_t[]){0, ARPHRD_ETHER, ETH_P_IP >> 8, 0, ETH_ALEN, 4, 0, ARPOP_REQUEST},
	       8);
	memcpy(arp + 8, u->b.card->mac, ETH_ALEN);
	memcpy(arp + 14, &u->guest, sizeof(u->guest));
	memcpy(arp + 24, &u->guest, sizeof(u->guest));
	u->api->input(u->slirp, frame, sizeof(frame));
}

/* The operations of the back end. */

static void user_ready(struct net_backend *b)
{
	struct net_user *u = user_from_backend(b);

	if (user_flush_queue(u))
		user_loop_changed(u, false);
}

static void user_offloads(struct net_backend *b, unsigned accepted)
{
	user_from_backend(b)->accepted = accepted;
}

static void user_start(struct net_backend *b)
{
	announce_guest(user_from_backend(b));
	user_loop_start(user_from_backend(b));
}

static void user_quiesce(struct net_backend *b)
{
	user_loop_stop(user_from_backend(b));
	(void)user_flush_queue(user_from_backend(b));
}

/* libslirp cannot drop its connections: a new one has none. */
static int user_forget(struct net_backend *b, struct err *err)
{
	struct net_user *u = user_from_backend(b);
	int ret;

	user_relay_reset(u);
	user_dns_close(u);
	user_reset_all_on_close(u);
	u->api->cleanup(u->slirp);
	u->slirp = NULL;
	for (size_t i = 0; i < u->nsockets; i++)
		user_forget_socket(u, (int)i);
	memset(u->timer, 0, sizeof(u->timer));
	user_drop_queue(u);
	u->nopen = 0;
	u->due = INT64_MAX;
	u->guest.s_addr = htonl(USER_GUEST);
	u->guest_known = false;
	ret = open_slirp(u, err);
	return ret < 0 ? ret : user_publish_again(u, err);
}

static void user_close(struct net_backend *b)
{
	struct net_user *u = user_from_backend(b);

	u->running = false;
	user_relay_close(u);
	user_dns_close(u);
	if (u->slirp != NULL)
		u->api->cleanup(u->slirp);
	user_loop_close(u);
	user_drop_queue(u);
	free(u->from_guest);
	free(u->to_guest);
	free(u);
}

static const struct net_backend_ops user_ops = {
	.name = "user",
	.send = user_send,
	.ready = user_ready,
	.offloads = user_offloads,
	.start = user_start,
	.quiesce = user_quiesce,
	.forget = user_forget,
	.close = user_close,
};

static int open_all(struct net_user *u, const struct net_user_params *params, struct err *err)
{
	int ret = user_loop_open(u, err);
	struct rlimit limit = {0};

	if (ret < 0)
		return ret;
	getrlimit(RLIMIT_NOFILE, &limit);
	u->maxopen = (unsigned)u64_min(limit.rlim_cur / 4 * 3, MAX_SOCKETS);
	u->from_guest = malloc(NET_MESSAGE_MAX);
	u->to_guest = malloc(USER_ROOM + NET_MESSAGE_MAX);
	if (u->from_guest == NULL || u->to_guest == NULL)
		return err_sys(err, ENOMEM, "open --net user");
	u->api = slirp_api(err);
	if (u->api == NULL)
		return -ENOENT;
	ret = open_slirp(u, err);
	for (unsigned i = 0; ret == 0 && i < params->nforwards; i++)
		ret = user_publish(u, &params->forward[i], err);
	return ret;
}

int net_user_open(struct net_backend **out, struct loop *loop, const struct log *log,
		  const struct net_user_params *params, struct err *err)
{
	struct net_user *u;
	int ret;

	if (params->nforwards > NET_MAX_FORWARDS)
		return err_set(err, ERR_USAGE, "no more than %u ports can be published",
			       NET_MAX_FORWARDS);
	u = calloc(1, sizeof(*u));
	if (u == NULL)
		return err_sys(err, ENOMEM, "open --net user");
	u->b.ops = &user_ops;
	u->loop = loop;
	u->log = log;
	u->hostname = params->hostname;
	u->host_loopback = params->host_loopback;
	user_dns_init(u, params->resolv_conf, params->dns_port);
	u->mtu = params->mtu != 0 ? params->mtu : NET_MTU;
	u->guest.s_addr = htonl(USER_GUEST);
	u->queue_end = &u->queue;
	u->clock.fd = -1;
	ret = open_all(u, params, err);
	if (ret < 0) {
		user_close(&u->b);
		return ret;
	}
	*out = &u->b;
	return 0;
}
