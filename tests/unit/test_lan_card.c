/* A card's port of a LAN (devices/net/net_lan.c), with the test as the switch. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "devices/net/net_lan.h"
#include "devices/net/net_offload.h"
#include "lan/framing.h"
#include "tests/await.h"

static struct loop loop;
static struct log quiet = {.fd = -1};
static pthread_mutex_t lock;
static char folder[] = "/tmp/torpor-lan.XXXXXX";
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int listener, port; /* the switch's */
static char heard[LAN_WIRE_LINE_MAX];
static const char *reply;

/* A card that takes `room` frames. */
static struct fake_card {
	struct net_card card;
	unsigned room, frames, writable;
	size_t bytes, last;
	bool up;
} card;

static int take(struct net_card *c, const struct iovec *iov, unsigned n, size_t len)
{
	(void)c;
	cr_assert(eq(u32, n, 1));
	cr_assert(eq(sz, iov[0].iov_len, len));
	if (card.room == 0)
		return -EAGAIN;
	card.room--;
	card.frames++;
	card.bytes += len;
	card.last = len;
	return 0;
}

static void can_write(struct net_card *c)
{
	(void)c;
	card.writable++;
}

static void link_is(struct net_card *c, bool up)
{
	(void)c;
	card.up = up;
}

static void connected(struct net_card *c)
{
	card.up = true;
	c->backend->ops->start(c->backend);
}

static const struct net_card_ops card_ops = {
	.receive = take,
	.writable = can_write,
	.link = link_is,
	.connected = connected,
};

static void *answer_once(void *opaque)
{
	struct pollfd said = {.events = POLLIN};
	ssize_t got;

	(void)opaque;
	port = said.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	(void)poll(&said, 1, AWAIT_S * 1000);
	got = recv(port, heard, sizeof(heard) - 1, 0);
	if (got > 0)
		heard[got] = '\0';
	(void)!send(port, reply, strlen(reply), MSG_NOSIGNAL);
	return NULL;
}

static void listen_there(void)
{
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	(void)unlink(address.sun_path);
	cr_assert(eq(i32, bind(listener, (struct sockaddr *)&address, sizeof(address)), 0));
	cr_assert(eq(i32, listen(listener, 4), 0));
}

static void set_up(void)
{
	cr_assert(ne(ptr, mkdtemp(folder), NULL));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/port", folder);
	pthread_mutex_init(&lock, NULL);
	cr_assert(eq(i32, loop_init(&loop, &lock, NULL), 0));
	card = (struct fake_card){.card.ops = &card_ops, .room = 1000};
	listen_there();
}

static void tear_down(void)
{
	if (card.card.backend != NULL)
		card.card.backend->ops->close(card.card.backend);
	loop_free(&loop);
	close(listener);
	close(port);
	(void)unlink(address.sun_path);
	(void)rmdir(folder);
}

TestSuite(lan_card, .init = set_up, .fini = tear_down);

static void turn(void)
{
	for (int i = 0; i < 4; i++) {
		loop_stop(&loop);
		cr_assert(eq(i32, loop_run(&loop, NULL), 0));
	}
}

static int join(const char *with, struct net_backend **backend, struct err *err)
{
	struct net_lan_params params = {.socket = address.sun_path,
					.lan = "shop",
					.machine = "web",
					.mac = {2, 0, 0, 0, 0, 1}};
	pthread_t thread;
	int ret;

	reply = with;
	pthread_create(&thread, NULL, answer_once, NULL);
	ret = net_lan_open(backend, &loop, &quiet, &params, err);
	pthread_join(thread, NULL);
	return ret;
}

static void join_well(void)
{
	struct net_backend *backend;
	struct err err;

	cr_assert(eq(i32, join("ok\n", &backend, &err), 0), "%s", err.text);
	net_connect(&card.card, backend);
	backend->ops->offloads(backend, NET_OFFLOADS);
}

static int send_frame(size_t len)
{
	static uint8_t message[NET_MESSAGE_MAX];
	struct iovec iov[2] = {{message, 12}, {message + 12, len}};

	return card.card.backend->ops->send(card.card.backend, iov, 2, 12 + len);
}

/* Messages of `len` bytes of frame, as the switch sends them. */
static bool deliver(const struct virtio_net_hdr_v1 *header, const uint8_t *frame, size_t len)
{
	static uint8_t data[LAN_WIRE_MAX];
	size_t head = framing_head(FRAMING_NATIVE, (const uint8_t *)header, len, data);

	memcpy(data + head, frame, len);
	return send(port, data, head + len, MSG_NOSIGNAL) == (ssize_t)(head + len);
}

static unsigned count_sent(void)
{
	static uint8_t data[1 << 20];
	static size_t have;
	struct message message;
	unsigned n = 0;
	size_t at = 0;
	ssize_t got;
	int size;

	while ((got = recv(port, data + have, sizeof(data) - have, 0)) > 0) {
		have += (size_t)got;
		for (at = 0;
		     (size = framing_next(FRAMING_NATIVE, data + at, have - at, &message)) > 0;
		     at += (size_t)size)
			n++;
		cr_assert(eq(int, size, 0));
		have -= at;
		memmove(data, data + at, have);
	}
	return n;
}

Test(lan_card, says_who_it_is)
{
	join_well();
	cr_expect(eq(str, heard, (char *)"torpor-lan 1 port 02:00:00:00:00:01 web\n"));
	cr_expect(card.up);
}

/* Whole frames that have come are for a guest that is no more; the stream goes on behind them. */
Test(lan_card, a_guest_that_is_taken_back)
{
	static uint8_t frame[1000];
	struct virtio_net_hdr_v1 header = {0};
	struct net_backend *b;
	struct err err;

	join_well();
	b = card.card.backend;
	cr_assert(deliver(&header, frame, 900));
	card.room = 0;
	turn();
	for (unsigned i = 0; i < 5; i++)
		cr_assert(deliver(&header, frame, 900));
	b->ops->quiesce(b);
	cr_assert(eq(i32, b->ops->forget(b, &err), 0));
	card.room = 1000;
	b->ops->start(b);
	turn();
	cr_expect(eq(u32, card.frames, 0));
	cr_assert(deliver(&header, frame, 700));
	turn();
	cr_expect(eq(u32, card.frames, 1));
	cr_expect(eq(sz, card.last, 712));
	cr_expect(eq(i32, send_frame(60), 0));
	cr_expect(eq(u32, count_sent(), 1));
}

Test(lan_card, is_told_why_it_is_refused)
{
	struct net_backend *backend;
	struct err err = {0};

	cr_expect(lt(i32, join("no web is there already\n", &backend, &err), 0));
	cr_expect(eq(str, (char *)err.text, (char *)"LAN shop: web is there already"));
}

Test(lan_card, a_lan_that_is_not_there)
{
	struct net_lan_params params = {
		.socket = "/tmp/nowhere/port", .lan = "shop", .machine = "web", .mac = {2}};
	struct net_backend *backend;
	struct err err = {0};

	cr_expect(lt(i32, net_lan_open(&backend, &loop, &quiet, &params, &err), 0));
	cr_expect(eq(int, (int)err.kind, ERR_NOT_FOUND));
	cr_expect(ne(ptr, strstr(err.text, "there is no LAN shop"), NULL));
}

Test(lan_card, frames_go_both_ways)
{
	static uint8_t frame[65000];
	struct virtio_net_hdr_v1 header = {0};

	join_well();
	cr_assert(eq(i32, send_frame(65000), 0));
	cr_assert(eq(i32, send_frame(60), 0));
	cr_expect(eq(u32, count_sent(), 2));
	cr_assert(deliver(&header, frame, 65000));
	cr_assert(deliver(&header, frame, 60));
	turn();
	cr_expect(eq(u32, card.frames, 2));
	cr_expect(eq(sz, card.bytes, 65000 + 60 + 24));
}

Test(lan_card, what_the_switch_does_not_take_is_kept)
{
	unsigned sent = 0, arrived = 0;

	join_well();
	while (send_frame(60000) == 0)
		sent++;
	cr_assert(ge(u32, sent, 1));
	turn();
	cr_expect(eq(u32, card.writable, 0));
	for (int i = 0; i < 10 && card.writable == 0; i++) {
		arrived += count_sent();
		turn();
	}
	arrived += count_sent();
	cr_expect(eq(u32, card.writable, 1));
	cr_expect(eq(u32, arrived, sent));
	cr_expect(eq(i32, send_frame(100), 0));
	cr_expect(eq(u32, count_sent(), 1));
}

Test(lan_card, a_full_card_is_not_given_more)
{
	static uint8_t frame[1000];
	struct virtio_net_hdr_v1 header = {0};
	unsigned sent = 0;

	join_well();
	card.room = 3;
	for (int i = 0; i < 40; i++) {
		while (deliver(&header, frame, sizeof(frame)))
			sent++;
		turn();
	}
	cr_expect(eq(u32, card.frames, 3));
	card.room = 1000000;
	card.card.backend->ops->ready(card.card.backend);
	for (int i = 0; i < 40; i++)
		turn();
	cr_expect(ge(u32, card.frames, sent));
}

Test(lan_card, what_has_come_is_handed_over_before_a_save)
{
	static uint8_t frame[1000];
	struct virtio_net_hdr_v1 header = {0};

	join_well();
	for (int i = 0; i < 5; i++)
		cr_assert(deliver(&header, frame, sizeof(frame)));
	card.card.backend->ops->quiesce(card.card.backend);
	cr_expect(eq(u32, card.frames, 5));
	cr_assert(deliver(&header, frame, sizeof(frame)));
	turn();
	cr_expect(eq(u32, card.frames, 5), "it stands still");
	card.card.backend->ops->start(card.card.backend);
	turn();
	cr_expect(eq(u32, card.frames, 6));
}

Test(lan_card, large_frames_are_cut_for_a_guest_that_cannot)
{
	static const uint8_t heads[54] = {
		2,  0,	 0, 0,	0,    1, 2,  0, 0, 0, 0,  9, 8, 0, 0x45, 0,
		15, 200, 0, 1,	0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10,	 0,
		0,  2,	 0, 80, 4,    0, 0,  0, 0, 1, 0,  0, 0, 1, 0x50, 0x10,
	};
	struct virtio_net_hdr_v1 header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = htole16(54),
		.gso_size = htole16(1000),
		.csum_start = htole16(34),
		.csum_offset = htole16(16),
	};
	static uint8_t frame[4054];

	memcpy(frame, heads, sizeof(heads));
	join_well();
	card.card.backend->ops->offloads(card.card.backend, NET_CHECKSUM);
	card.room = 3;
	cr_assert(deliver(&header, frame, sizeof(frame)));
	turn();
	cr_expect(eq(u32, card.frames, 3));
	card.room = 10;
	card.card.backend->ops->ready(card.card.backend);
	cr_expect(eq(u32, card.frames, 4));
	cr_expect(eq(sz, card.last, 1054 + 12));
}

Test(lan_card, headers_that_lie_do_not_reach_the_guest)
{
	struct virtio_net_hdr_v1 header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					   .csum_start = htole16(9999)};
	static uint8_t frame[60];

	join_well();
	cr_assert(deliver(&header, frame, sizeof(frame)));
	turn();
	cr_expect(eq(u32, card.frames, 0));
	cr_expect(card.up);
	cr_assert(eq(long, send(port, "\xff\xff\xff\xff", 4, 0), 4L));
	turn();
	cr_expect(not(card.up), "that is no switch");
}

Test(lan_card, joins_again_when_the_switch_comes_back)
{
	static const struct timespec second = {.tv_sec = 1, .tv_nsec = 100000000};
	pthread_t thread;

	join_well();
	close(port);
	close(listener);
	turn();
	cr_expect(not(card.up));
	cr_expect(eq(i32, send_frame(60), 0), "as with the cable pulled");
	listen_there();
	heard[0] = '\0';
	reply = "ok\n";
	pthread_create(&thread, NULL, answer_once, NULL);
	nanosleep(&second, NULL);
	turn();
	pthread_join(thread, NULL);
	turn();
	cr_expect(card.up);
	cr_expect(eq(str, heard, (char *)"torpor-lan 1 port 02:00:00:00:00:01 web\n"));
}

/* The queue holds one connection, and is emptied while the card waits. */
static void *empty_then_answer(void *opaque)
{
	static const struct timespec while_it_waits = {.tv_nsec = 100000000};

	(void)nanosleep(&while_it_waits, NULL);
	close(accept(listener, NULL, NULL));
	return answer_once(opaque);
}

Test(lan_card, a_full_queue_is_waited_for)
{
	struct net_lan_params params = {
		.socket = address.sun_path, .lan = "shop", .machine = "web", .mac = {2}};
	struct net_backend *backend;
	struct err err = {0};
	pthread_t thread;
	int first = socket(AF_UNIX, SOCK_STREAM, 0);

	cr_assert(eq(i32, listen(listener, 0), 0));
	cr_assert(eq(i32, connect(first, (struct sockaddr *)&address, sizeof(address)), 0));
	reply = "ok\n";
	pthread_create(&thread, NULL, empty_then_answer, NULL);
	cr_assert(eq(i32, net_lan_open(&backend, &loop, &quiet, &params, &err), 0), "%s", err.text);
	pthread_join(thread, NULL);
	backend->ops->close(backend);
	close(first);
}

/* A byte at a time, and no end: until the other side hangs up. */
static void *answer_slowly(void *opaque)
{
	static const struct timespec between = {.tv_nsec = 200000000};

	(void)opaque;
	port = accept(listener, NULL, NULL);
	while (send(port, "x", 1, MSG_NOSIGNAL) == 1)
		(void)nanosleep(&between, NULL);
	return NULL;
}

Test(lan_card, an_answer_that_does_not_end_is_not_waited_for)
{
	struct net_lan_params params = {
		.socket = address.sun_path, .lan = "shop", .machine = "web", .mac = {2}};
	struct net_backend *backend;
	struct err err = {0};
	pthread_t thread;

	pthread_create(&thread, NULL, answer_slowly, NULL);
	cr_assert(eq(i32, net_lan_open(&backend, &loop, &quiet, &params, &err), 1), "%s", err.text);
	net_connect(&card.card, backend);
	turn();
	cr_expect(not(card.up));
	backend->ops->close(backend);
	card.card.backend = NULL;
	pthread_join(thread, NULL);
}

Test(lan_card, a_switch_that_answers_late_is_joined_by_the_loop)
{
	struct net_lan_params params = {
		.socket = address.sun_path, .lan = "shop", .machine = "web", .mac = {2}};
	struct net_backend *backend;
	struct err err = {0};

	cr_assert(eq(i32, net_lan_open(&backend, &loop, &quiet, &params, &err), 1), "%s", err.text);
	net_connect(&card.card, backend);
	turn();
	cr_expect(not(card.up));
	cr_expect(eq(i32, send_frame(60), 0), "as with the cable pulled");
	port = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	cr_assert(eq(i32, (int)send(port, "ok\n", 3, MSG_NOSIGNAL), 3));
	turn();
	cr_expect(card.up);
	cr_assert(ge(i32, (int)recv(port, heard, sizeof(heard), 0), 1));
	cr_expect(eq(i32, send_frame(60), 0));
	cr_expect(eq(u32, count_sent(), 1));
}
