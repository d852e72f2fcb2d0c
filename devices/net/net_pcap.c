/*
 * Capturing what passes; see net_pcap.h. Machine lock held.
 *
 * It stands between card and back end: a back end to the one, a card to the other. What the card
 * refuses is written down when it comes again.
 */
#include "devices/net/net_pcap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"

/* libpcap's file format (pcap-savefile(5)), in our byte order, which readers recognize. */
struct pcap_head {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy;
	uint32_t longest;
	uint32_t link;
};

#define NANOSECONDS 0xa1b23c4du
#define ETHERNET    1u

struct pcap_frame {
	uint32_t seconds, nanoseconds;
	uint32_t captured, len;
};

struct net_pcap {
	struct net_backend backend; /* to the card */
	struct net_card card;	    /* to `inner` */
	struct net_backend *inner;  /* owned */
	const struct log *log;
	int fd; /* -1: it could not be written; nothing is captured */
	/* What `inner` is sending, until it is written down. An answer may come before that
	 * returns. */
	struct {
		const struct iovec *iov;
		unsigned n;
		size_t len;
	} sending;
};

static struct net_pcap *pcap_from_backend(struct net_backend *b)
{
	return container_of(b, struct net_pcap, backend);
}

static struct net_pcap *pcap_from_card(struct net_card *c)
{
	return container_of(c, struct net_pcap, card);
}

static void pcap_stop(struct net_pcap *p, const char *why)
{
	log_line(p->log, "--pcap: %s: nothing is captured from here on", why);
	close(p->fd);
	p->fd = -1;
}

/* Write a frame without its virtio header. */
static void pcap_write_frame(struct net_pcap *p, const struct iovec *from, unsigned n, size_t len)
{
	struct iovec iov[NET_MAX_SEGMENTS + 1];
	size_t skip = NET_HEADER_SIZE, frame = len - NET_HEADER_SIZE;
	struct pcap_frame head = {.captured = (uint32_t)frame, .len = (uint32_t)frame};
	uint64_t now;
	ssize_t written;

	if (p->fd < 0 || n > NET_MAX_SEGMENTS)
		return;
	now = clock_realtime_ns();
	head.seconds = (uint32_t)(now / NS_PER_SECOND);
	head.nanoseconds = (uint32_t)(now % NS_PER_SECOND);
	iov[0] = (struct iovec){.iov_base = &head, .iov_len = sizeof(head)};
	for (unsigned i = 0; i < n; i++) {
		size_t cut = (size_t)u64_min(skip, from[i].iov_len);

		iov[i + 1].iov_base = (uint8_t *)from[i].iov_base + cut;
		iov[i + 1].iov_len = from[i].iov_len - cut;
		skip -= cut;
	}
	written = writev(p->fd, iov, (int)n + 1);
	if (written < 0)
		pcap_stop(p, strerror(errno));
	else if ((size_t)written != sizeof(head) + frame)
		pcap_stop(p, "a frame was cut short");
}

static void pcap_write_sent(struct net_pcap *p)
{
	if (p->sending.iov != NULL)
		pcap_write_frame(p, p->sending.iov, p->sending.n, p->sending.len);
	p->sending.iov = NULL;
}

/* What the inner back end may look at. */
static struct net_backend *pcap_inner(struct net_pcap *p)
{
	const struct net_card *card = p->backend.card;

	memcpy(p->card.mac, card->mac, sizeof(p->card.mac));
	p->card.up = card->up;
	p->card.flows = card->flows;
	return p->inner;
}

static int pcap_send(struct net_backend *b, const struct iovec *iov, unsigned n, size_t len)
{
	struct net_pcap *p = pcap_from_backend(b);
	int ret;

	p->sending.iov = iov;
	p->sending.n = n;
	p->sending.len = len;
	ret = p->inner->ops->send(pcap_inner(p), iov, n, len);
	if (ret == 0)
		pcap_write_sent(p);
	p->sending.iov = NULL;
	return ret;
}

static void pcap_ready(struct net_backend *b)
{
	struct net_pcap *p = pcap_from_backend(b);

	p->inner->ops->ready(pcap_inner(p));
}

static void pcap_offloads(struct net_backend *b, unsigned accepted)
{
	struct net_pcap *p = pcap_from_backend(b);

	if (p->inner->ops->offloads != NULL)
		p->inner->ops->offloads(pcap_inner(p), accepted);
}

static void pcap_start(struct net_backend *b)
{
	struct net_pcap *p = pcap_from_backend(b);

	if (p->inner->ops->start != NULL)
		p->inner->ops->start(pcap_inner(p));
}

static void pcap_quiesce(struct net_backend *b)
{
	struct net_pcap *p = pcap_from_backend(b);

	if (p->inner->ops->quiesce != NULL)
		p->inner->ops->quiesce(pcap_inner(p));
}

static int pcap_forget(struct net_backend *b, struct err *err)
{
	struct net_pcap *p = pcap_from_backend(b);

	return p->inner->ops->forget != NULL ? p->inner->ops->forget(pcap_inner(p), err) : 0;
}

static void pcap_close(struct net_backend *b)
{
	struct net_pcap *p = pcap_from_backend(b);

	p->inner->ops->close(p->inner);
	if (p->fd >= 0)
		close(p->fd);
	free(p);
}

static const struct net_backend_ops backend_ops = {
	.name = "pcap",
	.send = pcap_send,
	.ready = pcap_ready,
	.offloads = pcap_offloads,
	.start = pcap_start,
	.quiesce = pcap_quiesce,
	.forget = pcap_forget,
	.close = pcap_close,
};

static int pcap_receive(struct net_card *c, const struct iovec *iov, unsigned n, size_t len)
{
	struct net_pcap *p = pcap_from_card(c);
	struct net_card *card = p->backend.card;
	int ret = card->ops->receive(card, iov, n, len);

	if (ret != 0)
		return ret;
	pcap_write_sent(p);
	pcap_write_frame(p, iov, n, len);
	return 0;
}

static void pcap_dropped(struct net_card *c)
{
	struct net_card *card = pcap_from_card(c)->backend.card;

	card->ops->dropped(card);
}

static void pcap_writable(struct net_card *c)
{
	struct net_card *card = pcap_from_card(c)->backend.card;

	card->ops->writable(card);
}

static void pcap_link(struct net_card *c, bool up)
{
	struct net_card *card = pcap_from_card(c)->backend.card;

	card->ops->link(card, up);
}

static const struct net_card_ops card_ops = {
	.receive = pcap_receive,
	.dropped = pcap_dropped,
	.writable = pcap_writable,
	.link = pcap_link,
};

int net_pcap_open(struct net_backend **out, const struct log *log, struct net_backend *inner,
		  int fd, struct err *err)
{
	const struct pcap_head head = {
		.magic = NANOSECONDS,
		.major = 2,
		.minor = 4,
		.longest = NET_FRAME_MAX,
		.link = ETHERNET,
	};
	struct net_pcap *p = calloc(1, sizeof(*p));
	int ret = p != NULL ? io_write(fd, &head, sizeof(head)) : -ENOMEM;

	if (ret < 0) {
		inner->ops->close(inner);
		close(fd);
		free(p);
		return err_sys(err, -ret, "--pcap: write the header");
	}
	*p = (struct net_pcap){
		.backend.ops = &backend_ops,
		.card.ops = &card_ops,
		.inner = inner,
		.log = log,
		.fd = fd,
	};
	inner->card = &p->card;
	*out = &p->backend;
	return 0;
}
