/* See user_guest.h. */
#include "tests/unit/user_guest.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/num.h"

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t guest4[4] = {10, 0, 2, 15}, host4[4] = {10, 0, 2, 2};
static const uint8_t guest6[16] = {0xfd, [15] = 0x15}, host6[16] = {0xfd, [15] = 2};

static int receive(struct net_card *c, const struct iovec *iov, unsigned n, size_t len)
{
	struct guest *g = container_of(c, struct guest, card);
	struct got *got = &g->got[g->ngot];
	uint8_t *message, *at;

	if (g->room == 0) {
		g->refused++;
		return -EAGAIN;
	}
	g->room--;
	cr_assert(lt(uint, g->ngot, GUEST_KEEPS));
	cr_assert(le(sz, len, NET_MESSAGE_MAX));
	at = message = malloc(len);
	for (unsigned i = 0; i < n; i++) {
		memcpy(at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	cr_assert(eq(sz, (size_t)(at - message), len));
	memcpy(&got->header, message, NET_HEADER_SIZE);
	got->len = len - NET_HEADER_SIZE;
	memmove(message, message + NET_HEADER_SIZE, got->len);
	got->frame = message;
	g->ngot++;
	return 0;
}

static void dropped(struct net_card *c)
{
	c->received.dropped++;
}

static const struct net_card_ops card_ops = {.receive = receive, .dropped = dropped};

int guest_open(struct guest *g, const struct net_user_params *params, struct err *err)
{
	struct err unexpected = {0};
	int ret;

	memset(g, 0, sizeof(*g));
	pthread_mutex_init(&g->lock, NULL);
	g->log.fd = -1;
	g->card.ops = &card_ops;
	g->card.flows = &g->flows;
	memcpy(g->card.mac, mac, sizeof(mac));
	cr_assert(eq(int, loop_init(&g->loop, &g->lock, &unexpected), 0));
	ret = net_user_open(&g->b, &g->loop, &g->log, params, err != NULL ? err : &unexpected);
	cr_assert(err != NULL || ret == 0, "%s", unexpected.text);
	if (ret < 0) {
		loop_free(&g->loop);
		return ret;
	}
	g->room = UINT32_MAX;
	g->b->card = &g->card;
	g->b->ops->offloads(g->b, NET_OFFLOADS);
	g->b->ops->start(g->b);
	return 0;
}

void guest_forget(struct guest *g)
{
	while (g->ngot > 0)
		free(g->got[--g->ngot].frame);
}

void guest_close(struct guest *g)
{
	g->b->ops->quiesce(g->b);
	g->b->ops->close(g->b);
	guest_forget(g);
	loop_free(&g->loop);
}

void guest_send_as(struct guest *g, const struct virtio_net_hdr_v1 *header, const uint8_t *frame,
		   size_t len)
{
	const struct iovec iov[] = {{(void *)header, sizeof(*header)},
				    {(void *)frame, len / 2},
				    {(void *)(frame + len / 2), len - len / 2}};

	pthread_mutex_lock(&g->lock);
	cr_assert(eq(int, g->b->ops->send(g->b, iov, 3, sizeof(*header) + len), 0));
	pthread_mutex_unlock(&g->lock);
}

void guest_send(struct guest *g, const uint8_t *frame, size_t len)
{
	const struct virtio_net_hdr_v1 plain = {0};

	guest_send_as(g, &plain, frame, len);
}

struct stopper {
	struct loop_watch watch;
	struct guest *g;
};

static void stop(struct loop_watch *watch, uint32_t events)
{
	struct stopper *s = container_of(watch, struct stopper, watch);

	(void)events;
	loop_stop(&s->g->loop);
}

void guest_turn(struct guest *g, unsigned ms)
{
	struct itimerspec when = {.it_value.tv_nsec = ms * 1000000L + 1};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	struct stopper s = {.g = g};
	struct err err = {0};

	timerfd_settime(fd, 0, &when, NULL);
	cr_assert(eq(int, loop_add(&g->loop, &s.watch, fd, EPOLLIN, stop, &err), 0));
	cr_assert(eq(int, loop_run(&g->loop, &err), 0));
	loop_del(&g->loop, &s.watch);
	close(fd);
}

bool guest_await(struct guest *g, unsigned n)
{
	for (unsigned i = 0; g->ngot < n && i < 1000; i++)
		guest_turn(g, 2);
	return g->ngot >= n;
}

/* RFC 4861 §4.3 and §4.4, with the option that names the MAC; ICMPv6 has the pseudo header's
 * sum. */
static void solicit(struct guest *g)
{
	uint8_t frame[128], body[32] = {135};
	struct frame f = {.v6 = true, .protocol = 58, .data = body, .len = sizeof(body)};
	uint8_t tail[4] = {0, 58, 0, sizeof(body)};

	memcpy(f.to, (uint8_t[]){0x33, 0x33, 0xff, 0, 0, 2}, 6);
	memcpy(f.from, mac, 6);
	memcpy(f.source, guest6, 16);
	memcpy(f.target, host6, 16);
	memcpy(body + 8, host6, 16);
	memcpy(body + 24, (uint8_t[]){1, 1, 2, 0, 0, 0, 0, 1}, 8);
	put16(body + 2,
	      (uint16_t)~slow_sum(body, sizeof(body),
				  slow_sum(tail, 4, slow_sum(host6, 16, slow_sum(guest6, 16, 0)))));
	frame_make(&f, frame);
	frame[14 + 7] = 255; /* hop limit */
	guest_send(g, frame, 14 + 40 + sizeof(body));
}

static void ask_arp(struct guest *g)
{
	uint8_t frame[42] = {[12] = 8, 6, 0, 1, 8, 0, 6, 4, 0, 1};

	memset(frame, 0xff, 6);
	memcpy(frame + 6, mac, 6);
	memcpy(frame + 22, mac, 6);
	memcpy(frame + 28, guest4, 4);
	memcpy(frame + 38, host4, 4);
	guest_send(g, frame, sizeof(frame));
}

void guest_greet(struct guest *g)
{
	guest_forget(g);
	if (g->v6)
		solicit(g);
	else
		ask_arp(g);
	cr_assert(guest_await(g, 1), "nobody answers");
	memcpy(g->router, g->got[0].frame + 6, 6);
	guest_forget(g);
}

struct frame guest_frame(const struct guest *g, uint8_t protocol, uint16_t from, uint16_t to)
{
	struct frame f = {
		.v6 = g->v6,
		.protocol = protocol,
		.source_port = from,
		.target_port = to,
		.window = 65535,
	};

	memcpy(f.to, g->router, 6);
	memcpy(f.from, mac, 6);
	memcpy(f.source, g->v6 ? guest6 : guest4, g->v6 ? 16 : 4);
	memcpy(f.target, g->v6 ? host6 : host4, g->v6 ? 16 : 4);
	return f;
}

void guest_tcp_send(struct guest_tcp *t, uint8_t flags, const uint8_t *data, size_t len)
{
	static uint8_t frame[FRAME_SPACE];
	struct virtio_net_hdr_v1 header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM};
	struct frame f = t->to;

	f.flags = flags;
	f.seq = t->seq;
	f.ack = t->ack;
	f.data = data;
	f.len = len;
	header.csum_start = htole16((uint16_t)frame_l4(&f));
	header.csum_offset = htole16(16);
	if (len > 1400) {
		header.gso_type = t->g->v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
		header.gso_size = htole16(1400);
	}
	t->seq += (uint32_t)len + !!(flags & SYN) + !!(flags & FIN);
	guest_send_as(t->g, &header, frame, frame_make_partial(&f, frame));
}

/* A message for this connection: fill in what is left to fill in, and look whether all is right. */
static const uint8_t *check(struct guest_tcp *t, struct got *got)
{
	const struct frame *f = &t->to;
	const uint8_t *tcp = got->frame + frame_l4(f);
	size_t payload;

	if (got->len < frame_l4(f) + 20 || get16(got->frame + 12) != (f->v6 ? 0x86dd : 0x800) ||
	    get16(tcp + 2) != f->source_port || get16(tcp) != f->target_port)
		return NULL;
	payload = got->len - frame_l4(f) - (tcp[12] >> 4) * 4u;
	if (got->header.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		cr_assert(eq(u8, got->header.gso_type,
			     f->v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4));
		cr_assert(eq(u16, le16toh(got->header.gso_size), 1400));
		cr_assert(eq(sz, le16toh(got->header.hdr_len), got->len - payload));
		cr_assert(eq(u16, le16toh(got->header.csum_start), frame_l4(f)));
		cr_assert(eq(u16, le16toh(got->header.csum_offset), 16));
		cr_assert(eq(u8, got->header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM));
		cr_assert(lt(sz, 1400, payload));
		t->large++;
	} else {
		cr_assert(le(sz, payload, 1400));
		cr_assert(eq(u8, got->header.flags, VIRTIO_NET_HDR_F_DATA_VALID));
	}
	net_checksum(&got->header, got->frame, got->len);
	cr_assert(frame_is_sound(got->frame, got->len));
	return tcp;
}

void guest_tcp_take(struct guest_tcp *t)
{
	struct guest *g = t->g;
	bool answer = false;

	for (unsigned i = 0; i < g->ngot; i++) {
		const uint8_t *tcp = check(t, &g->got[i]), *data;
		size_t len;

		if (tcp == NULL)
			continue;
		data = tcp + (tcp[12] >> 4) * 4u;
		len = g->got[i].len - (size_t)(data - g->got[i].frame);
		t->reset |= !!(tcp[13] & RST);
		answer |= len > 0 || tcp[13] & FIN;
		if (get32(tcp + 4) != t->ack || tcp[13] & (RST | SYN))
			continue;
		t->received = realloc(t->received, t->len + len + 1);
		memcpy(t->received + t->len, data, len);
		t->len += len;
		t->ack += (uint32_t)len + !!(tcp[13] & FIN);
		t->fin |= !!(tcp[13] & FIN);
	}
	guest_forget(g);
	if (answer && !t->reset)
		guest_tcp_send(t, ACK, NULL, 0);
}

/* The other side's SYN, or SYN and ACK. */
static const uint8_t *find_syn(struct guest_tcp *t)
{
	for (unsigned i = 0; i < t->g->ngot; i++) {
		const uint8_t *tcp = check(t, &t->g->got[i]);

		if (tcp != NULL && tcp[13] & SYN)
			return tcp;
		t->reset |= tcp != NULL && tcp[13] & RST;
	}
	return NULL;
}

void guest_connect(struct guest_tcp *t, struct guest *g, uint16_t from, uint16_t to, uint16_t mss)
{
	const uint8_t *tcp = NULL;

	*t = (struct guest_tcp){.g = g, .to = guest_frame(g, 6, from, to), .seq = 0xffffff00};
	t->to.mss = mss;
	guest_tcp_send(t, SYN, NULL, 0);
	t->to.mss = 0;
	for (unsigned i = 0; tcp == NULL && !t->reset && i < 1000; i++) {
		guest_turn(g, 2);
		tcp = find_syn(t);
	}
	if (t->reset)
		return;
	cr_assert(tcp != NULL, "no answer to a SYN");
	cr_assert(eq(u32, get32(tcp + 8), t->seq));
	t->ack = get32(tcp + 4) + 1;
	guest_forget(g);
	guest_tcp_send(t, ACK, NULL, 0);
}

void guest_accept(struct guest_tcp *t, struct guest *g, uint16_t port, uint16_t mss)
{
	const uint8_t *frame, *tcp;

	*t = (struct guest_tcp){.g = g, .to = guest_frame(g, 6, port, 0), .seq = 77};
	cr_assert(guest_await(g, 1), "no SYN came");
	frame = g->got[0].frame;
	tcp = frame + frame_l4(&t->to);
	memcpy(t->to.to, frame + 6, 6);
	memcpy(t->to.target, frame + (g->v6 ? 22 : 26), g->v6 ? 16 : 4);
	memcpy(t->to.source, frame + (g->v6 ? 38 : 30), g->v6 ? 16 : 4);
	cr_assert(eq(u16, get16(tcp + 2), port));
	cr_assert(eq(u8, tcp[13], SYN));
	t->to.target_port = get16(tcp);
	t->ack = get32(tcp + 4) + 1;
	guest_forget(g);
	t->to.mss = mss;
	guest_tcp_send(t, SYN | ACK, NULL, 0);
	t->to.mss = 0;
}
