/*
 * A tap device as back end; see net_tap.h. Loop thread, machine lock held.
 *
 * The kernel takes and gives the same header as the card (TUNSETVNETHDRSZ), so large frames and
 * open checksums pass as they are.
 */
#include "devices/net/net_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/num.h"

#define DEVICE	       "/dev/net/tun"
#define BUDGET	       64u   /* frames a round */
#define QUIESCE_BUDGET 256u  /* at most, when the machine stops */
#define FORGET_BUDGET  4096u /* more than an interface queues: others go on sending */

struct net_tap {
	struct net_backend backend;
	struct loop *loop;
	const struct log *log;
	struct loop_watch watch;
	int fd;
	char name[IFNAMSIZ];
	bool refused; /* the guest's frame: the interface has no room */
	size_t held;  /* bytes of a frame in `frame` that the card has no buffers for; 0: none */
	uint8_t frame[NET_MESSAGE_MAX];
};

static struct net_tap *tap_from_backend(struct net_backend *b)
{
	return container_of(b, struct net_tap, backend);
}

static void tap_update_watch(struct net_tap *tap, bool running)
{
	uint32_t events = running && tap->held == 0 ? EPOLLIN : 0;

	loop_mod(tap->loop, &tap->watch, events | (tap->refused ? EPOLLOUT : 0));
}

/* Give the held frame to the card. */
static bool tap_give(struct net_tap *tap)
{
	struct net_card *card = tap->backend.card;
	const struct iovec iov = {.iov_base = tap->frame, .iov_len = tap->held};

	if (tap->held > 0 && card->ops->receive(card, &iov, 1, tap->held) == -EAGAIN)
		return false;
	tap->held = 0;
	return true;
}

/* A frame is held only when the card has refused it: only then does tap_ready() follow. */
static void tap_receive(struct net_tap *tap, unsigned budget)
{
	while (tap_give(tap) && budget-- > 0) {
		ssize_t got = read(tap->fd, tap->frame, sizeof(tap->frame));

		if (got <= 0)
			break;
		tap->held = (size_t)got;
	}
}

static void on_tap(struct loop_watch *watch, uint32_t events)
{
	struct net_tap *tap = container_of(watch, struct net_tap, watch);
	struct net_card *card = tap->backend.card;

	if ((events & EPOLLOUT) != 0 && tap->refused) {
		tap->refused = false;
		card->ops->writable(card);
	}
	if ((events & EPOLLIN) != 0)
		tap_receive(tap, BUDGET);
	/* An interface that was removed would report that for ever. */
	if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
		loop_del(tap->loop, &tap->watch);
		log_line(tap->log,
			 "--net tap=%s: the interface is gone: the card's link is down, and stays "
			 "so until the machine is started anew",
			 tap->name);
		card->ops->link(card, false);
		return;
	}
	tap_update_watch(tap, true);
}

static int tap_send(struct net_backend *b, const struct iovec *iov, unsigned n, size_t len)
{
	struct net_tap *tap = tap_from_backend(b);

	(void)len;
	/* What the interface does not take, because it is down for example, is dropped. */
	if (writev(tap->fd, iov, (int)n) >= 0 || errno != EAGAIN)
		return 0;
	tap->refused = true;
	tap_update_watch(tap, true);
	return -EAGAIN;
}

static void tap_ready(struct net_backend *b)
{
	struct net_tap *tap = tap_from_backend(b);

	(void)tap_give(tap);
	tap_update_watch(tap, true);
}

static void tap_offloads(struct net_backend *b, unsigned accepted)
{
	unsigned flags = 0;

	if ((accepted & NET_CHECKSUM) != 0)
		flags |= TUN_F_CSUM;
	if ((accepted & NET_TSO4) != 0)
		flags |= TUN_F_TSO4;
	if ((accepted & NET_TSO6) != 0)
		flags |= TUN_F_TSO6;
	if ((accepted & NET_ECN) != 0 && (accepted & (NET_TSO4 | NET_TSO6)) != 0)
		flags |= TUN_F_TSO_ECN;
	(void)ioctl(tap_from_backend(b)->fd, TUNSETOFFLOAD, (unsigned long)flags);
}

static void tap_start(struct net_backend *b)
{
	struct net_tap *tap = tap_from_backend(b);

	tap->refused = false;
	tap_receive(tap, BUDGET);
	tap_update_watch(tap, true);
}

static void tap_quiesce(struct net_backend *b)
{
	struct net_tap *tap = tap_from_backend(b);

	tap_receive(tap, QUIESCE_BUDGET);
	tap->refused = false;
	tap_update_watch(tap, false);
}

static int tap_forget(struct net_backend *b, struct err *err)
{
	struct net_tap *tap = tap_from_backend(b);
	unsigned budget = FORGET_BUDGET;

	(void)err;
	while (budget-- > 0 && read(tap->fd, tap->frame, sizeof(tap->frame)) > 0)
		;
	tap->held = 0;
	return 0;
}

static void tap_close(struct net_backend *b)
{
	struct net_tap *tap = tap_from_backend(b);

	loop_del(tap->loop, &tap->watch);
	close(tap->fd);
	free(tap);
}

static const struct net_backend_ops tap_ops = {
	.name = "tap",
	.send = tap_send,
	.ready = tap_ready,
	.offloads = tap_offloads,
	.start = tap_start,
	.quiesce = tap_quiesce,
	.forget = tap_forget,
	.close = tap_close,
};

static int tap_open_failed(int errnum, struct err *err)
{
	switch (errnum) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return err_set(err, ERR_FAILED,
			       "--net tap: this host has no " DEVICE " (kernel module tun)");
	default:
		return err_sys(err, errnum, "--net tap: " DEVICE);
	}
}

static int tap_attach_failed(int errnum, const char *name, struct err *err)
{
	switch (errnum) {
	case EPERM:
	case EACCES:
		if (name == NULL)
			return err_set(
				err, ERR_FAILED,
				"--net tap: making an interface needs CAP_NET_ADMIN; or name "
				"one that root made for you: ip tuntap add dev IF mode tap "
				"user %u",
				(unsigned)getuid());
		return err_set(err, ERR_FAILED,
			       "--net tap=%s: it is not yours, or not there, which needs "
			       "CAP_NET_ADMIN; or as root: ip tuntap add dev %s mode tap user %u",
			       name, name, (unsigned)getuid());
	case EBUSY:
		return err_set(err, ERR_FAILED, "--net tap=%s: it is in use", name);
	case EINVAL:
		return err_set(err, ERR_FAILED, "--net tap=%s: it is not a tap interface", name);
	default:
		return err_sys(err, errnum, "--net tap=%s", name != NULL ? name : "");
	}
}

static int tap_attach(struct net_tap *tap, const char *name, struct err *err)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int header = NET_HEADER_SIZE;

	if (name != NULL && strlen(name) >= sizeof(request.ifr_name))
		return err_set(err, ERR_USAGE, "--net tap=%s: names have at most %d letters", name,
			       IFNAMSIZ - 1);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s",
		 name != NULL ? name : "torpor%d");
	if (ioctl(tap->fd, TUNSETIFF, &request) < 0)
		return tap_attach_failed(errno, name, err);
	memcpy(tap->name, request.ifr_name, sizeof(tap->name));
	tap->name[sizeof(tap->name) - 1] = '\0';
	if (ioctl(tap->fd, TUNSETVNETHDRSZ, &header) < 0)
		return err_sys(err, errno, "--net tap=%s: set the size of the header", tap->name);
	return 0;
}

int net_tap_open(struct net_backend **out, struct loop *loop, const struct log *log,
		 const char *name, struct err *err)
{
	struct net_tap *tap = calloc(1, sizeof(*tap));
	int ret;

	if (tap == NULL)
		return err_sys(err, ENOMEM, "--net tap");
	tap->backend.ops = &tap_ops;
	tap->loop = loop;
	tap->log = log;
	tap->watch.fd = -1;
	tap->fd = open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	ret = tap->fd >= 0 ? tap_attach(tap, name, err) : tap_open_failed(errno, err);
	if (ret == 0)
		ret = loop_add(tap->loop, &tap->watch, tap->fd, 0, on_tap, err);
	if (ret < 0) {
		if (tap->fd >= 0)
			close(tap->fd);
		free(tap);
		return ret;
	}
	*out = &tap->backend;
	return 0;
}

const char *net_tap_name(const struct net_backend *b)
{
	return ((const struct net_tap *)b)->name;
}
