/* --net user against this host's loopback: a guest by hand on one side, sockets on the other. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "tests/unit/refuse.h"
#include "tests/unit/user_guest.h"

#define DATA (300u * 1024)

static struct guest guest;
static uint8_t data[DATA];

static void begin(void)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8) * 31);
}

TestSuite(net_user, .init = begin);

union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static union address loopback(bool v6, uint16_t port)
{
	if (v6)
		return (union address){.v6 = {AF_INET6, htons(port), 0, IN6ADDR_LOOPBACK_INIT, 0}};
	return (union address){.v4 = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}}};
}

static socklen_t size_of(const union address *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

/* A socket that does not block, bound to a free port of the loopback; -1: no such family. */
static int bound(bool v6, int type, uint16_t *port)
{
	union address a = loopback(v6, 0);
	socklen_t size = sizeof(a);
	int fd = socket(a.sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, &a.sa, size_of(&a)) < 0)
		return -1;
	if (type == SOCK_STREAM)
		cr_assert(eq(int, listen(fd, 8), 0));
	cr_assert(eq(int, getsockname(fd, &a.sa, &size), 0));
	*port = ntohs(v6 ? a.v6.sin6_port : a.v4.sin_port);
	return fd;
}

/* The same over IPv6, at a port that is free over IPv4, too: whoever else runs here may have that one. */
static int bound_with_v4_free(uint16_t *port)
{
	for (;;) {
		int fd = bound(true, SOCK_STREAM, port);
		union address a = loopback(false, fd < 0 ? 0 : *port);
		int other = fd < 0 ? -1 : socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool is_free = other >= 0 && bind(other, &a.sa, size_of(&a)) == 0;

		if (other >= 0)
			close(other);
		if (fd < 0 || is_free)
			return fd;
		close(fd);
	}
}

static int await_connection(int listener)
{
	for (unsigned i = 0; i < 1000; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			return fd;
		guest_turn(&guest, 2);
	}
	cr_assert(false, "no connection came");
	return -1;
}

static int connect_to(uint16_t port)
{
	union address a = loopback(false, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	cr_assert(connect(fd, &a.sa, size_of(&a)) == 0 || errno == EINPROGRESS);
	return fd;
}

/* Move all of `data` from the guest to `fd`. */
static void upload(struct guest_tcp *t, int fd)
{
	static uint8_t arrived[DATA];
	size_t sent = 0, got = 0;

	for (unsigned i = 0; got < DATA && i < 2000; i++) {
		size_t part = DATA - sent < 60000 ? DATA - sent : 60000;
		ssize_t n;

		if (part > 0 && sent - got < 60000) {
			guest_tcp_send(t, ACK | PSH, data + sent, part);
			sent += part;
		}
		guest_turn(t->g, 1);
		guest_tcp_take(t);
		while ((n = read(fd, arrived + got, DATA - got)) > 0)
			got += (size_t)n;
	}
	cr_assert(eq(sz, got, DATA));
	cr_assert_arr_eq(arrived, data, DATA);
}

/* And from `fd` to the guest. */
static void download(struct guest_tcp *t, int fd)
{
	size_t sent = 0;

	for (unsigned i = 0; t->len < DATA && i < 2000; i++) {
		ssize_t n = write(fd, data + sent, DATA - sent);

		if (n > 0)
			sent += (size_t)n;
		guest_turn(t->g, 1);
		guest_tcp_take(t);
	}
	cr_assert(eq(sz, t->len, DATA));
	cr_assert_arr_eq(t->received, data, DATA);
}

static void finish(struct guest_tcp *t)
{
	free(t->received);
	t->received = NULL;
	t->len = 0;
}

static void open_guest(bool host_loopback)
{
	const struct net_user_params params = {.hostname = "web", .host_loopback = host_loopback};

	guest_open(&guest, &params, NULL);
}

static void expect_both_ways(bool v6, unsigned accepted)
{
	struct guest_tcp t;
	uint16_t port;
	int listener, fd;

	listener = bound(v6, SOCK_STREAM, &port);
	if (listener < 0) {
		cr_assert(v6);
		cr_skip("SKIP: this host has no IPv6");
	}
	open_guest(true);
	guest.v6 = v6;
	guest.b->ops->offloads(guest.b, accepted);
	guest_greet(&guest);
	guest_connect(&t, &guest, 40000, port, 1400);
	fd = await_connection(listener);
	upload(&t, fd);
	download(&t, fd);
	cr_assert(accepted == NET_CHECKSUM ? t.large == 0 : t.large > 4, "%u large ones", t.large);
	cr_assert(eq(u32, guest.flows.n, 1));
	guest_tcp_send(&t, FIN | ACK, NULL, 0);
	close(fd);
	for (unsigned i = 0; !t.fin && i < 500; i++) {
		guest_turn(&guest, 2);
		guest_tcp_take(&t);
	}
	cr_assert(t.fin);
	cr_assert(eq(u32, guest.flows.n, 0));
	finish(&t);
	guest_close(&guest);
	close(listener);
}

Test(net_user, tcp_both_ways)
{
	expect_both_ways(false, NET_OFFLOADS);
}

Test(net_user, tcp_both_ways_over_ipv6)
{
	expect_both_ways(true, NET_OFFLOADS);
}

Test(net_user, a_guest_that_takes_no_large_frames)
{
	expect_both_ways(false, NET_CHECKSUM);
	expect_both_ways(true, NET_CHECKSUM);
}

/* The offloads are given up in the middle (ethtool, say): what libslirp makes is cut here. */
Test(net_user, offloads_that_are_given_up)
{
	struct guest_tcp t;
	uint16_t port;
	int listener = bound(false, SOCK_STREAM, &port), fd;

	open_guest(true);
	guest_greet(&guest);
	guest_connect(&t, &guest, 40000, port, 1400);
	fd = await_connection(listener);
	guest.b->ops->offloads(guest.b, NET_CHECKSUM);
	download(&t, fd);
	cr_assert(eq(uint, t.large, 0));
	finish(&t);
	close(fd);
	close(listener);
	guest_close(&guest);
}

Test(net_user, what_is_lost_is_sent_again)
{
	struct guest_tcp t;
	uint16_t port;
	int listener = bound(false, SOCK_STREAM, &port), fd;

	open_guest(true);
	guest_greet(&guest);
	guest_connect(&t, &guest, 40000, port, 1400);
	fd = await_connection(listener);
	cr_assert(eq(int, (int)write(fd, data, 100000), 100000));
	cr_assert(guest_await(&guest, 2));
	guest_forget(&guest); /* lost */
	for (unsigned i = 0; t.len < 100000 && i < 1000; i++) {
		guest_turn(&guest, 5);
		guest_tcp_take(&t);
	}
	cr_assert(eq(sz, t.len, 100000));
	cr_assert_arr_eq(t.received, data, 100000);
	finish(&t);
	close(fd);
	close(listener);
	guest_close(&guest);
}

/* A card without room: nothing is lost, nothing is read for it, and all comes later. */
Test(net_user, a_full_card_holds_the_sender_up)
{
	struct guest_tcp t;
	uint16_t port;
	int listener = bound(false, SOCK_STREAM, &port), fd;
	unsigned refused;

	open_guest(true);
	guest_greet(&guest);
	guest_connect(&t, &guest, 40000, port, 1400);
	fd = await_connection(listener);
	guest.room = 0;
	cr_assert(eq(int, (int)write(fd, data, 200000), 200000));
	guest_turn(&guest, 50);
	refused = guest.refused;
	cr_assert(ge(uint, refused, 1));
	guest_turn(&guest, 100);
	cr_assert(eq(uint, guest.refused, refused)); /* it waits to be called */
	cr_assert(eq(uint, guest.ngot, 0));
	guest.room = 1;
	guest.b->ops->ready(guest.b);
	cr_assert(eq(uint, guest.ngot, 1));
	guest.room = UINT32_MAX;
	guest.b->ops->ready(guest.b);
	for (unsigned i = 0; t.len < 200000 && i < 500; i++) {
		guest_turn(&guest, 1);
		guest_tcp_take(&t);
	}
	cr_assert(eq(sz, t.len, 200000));
	cr_assert_arr_eq(t.received, data, 200000);
	finish(&t);
	close(fd);
	close(listener);
	guest_close(&guest);
}

/* Paused, nothing reaches the card; afterwards connections go on. */
Test(net_user, a_pause)
{
	struct guest_tcp t;
	uint16_t port;
	int listener = bound(false, SOCK_STREAM, &port), fd;

	open_guest(true);
	guest_greet(&guest);
	guest_connect(&t, &guest, 40000, port, 1400);
	fd = await_connection(listener);
	guest.b->ops->quiesce(guest.b);
	guest.room = 0;
	cr_assert(eq(int, (int)write(fd, data, 1000), 1000));
	guest_turn(&guest, 50);
	cr_assert(eq(uint, guest.refused, 0));
	guest.room = UINT32_MAX;
	guest.b->ops->start(guest.b);
	guest_turn(&guest, 50);
	guest_tcp_take(&t);
	cr_assert(eq(sz, t.len, 1000));
	finish(&t);
	close(fd);
	close(listener);
	guest_close(&guest);
}

Test(net_user, the_hosts_loopback_is_out_of_reach_unless_asked_for)
{
	static const uint8_t others[][4] = {
		{127, 0, 0, 1}, {127, 9, 9, 9}, {0, 0, 0, 0}, {255, 255, 255, 255}, {10, 0, 2, 3}};
	struct guest_tcp t = {.g = &guest};
	uint16_t port;
	int listener = bound(false, SOCK_STREAM, &port);

	open_guest(false);
	guest_greet(&guest);
	t.to = guest_frame(&guest, 6, 40000, port);
	guest_tcp_send(&t, SYN, NULL, 0);
	cr_assert(guest_await(&guest, 1));
	cr_assert(eq(u8, guest.got[0].frame[23], 1)); /* ICMP, */
	cr_assert(eq(u8, guest.got[0].frame[34], 3)); /* unreachable */
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		memcpy(t.to.target, others[i], 4);
		t.to.source_port++;
		guest_tcp_send(&t, SYN, NULL, 0);
		guest_turn(&guest, 5);
	}
	cr_assert(lt(int, accept(listener, NULL, NULL), 0));
	close(listener);
	guest_close(&guest);
}

Test(net_user, the_hosts_ipv6_loopback_is_out_of_reach)
{
	static const uint8_t others[][16] = {{0xfd, [15] = 2},
					     {[15] = 1},
					     {0},
					     {[10] = 0xff, 0xff, 127, 0, 0, 1},
					     {0xfd, [15] = 9}};
	struct guest_tcp t = {.g = &guest};
	uint16_t port;
	int listener = bound(true, SOCK_STREAM, &port);

	if (listener < 0)
		cr_skip("SKIP: this host has no IPv6");
	open_guest(false);
	guest.v6 = true;
	guest_greet(&guest);
	t.to = guest_frame(&guest, 6, 40000, port);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		memcpy(t.to.target, others[i], 16);
		t.to.source_port++;
		guest_tcp_send(&t, SYN, NULL, 0);
		guest_turn(&guest, 5);
	}
	cr_assert(lt(int, accept(listener, NULL, NULL), 0));
	close(listener);
	guest_close(&guest);
}

Test(net_user, a_segment_of_an_unknown_connection_is_reset)
{
	struct guest_tcp t = {.g = &guest};

	open_guest(false);
	guest_greet(&guest);
	t.to = guest_frame(&guest, 6, 40000, 80);
	t.seq = 1000;
	t.ack = 5000;
	guest_tcp_send(&t, ACK, NULL, 0);
	cr_assert(guest_await(&guest, 1));
	guest_tcp_take(&t);
	cr_assert(t.reset);
	guest_close(&guest);
}

Test(net_user, echo_requests_to_the_host_are_answered)
{
	uint8_t frame[128], body[40] = {8, 0, 0, 0, 0x12, 0x34, 0, 1, 'h', 'i'};
	struct frame f;

	open_guest(false);
	guest_greet(&guest);
	f = guest_frame(&guest, 1, 0, 0);
	f.data = body;
	f.len = sizeof(body);
	put16(body + 2, (uint16_t)~slow_sum(body, sizeof(body), 0));
	guest_send(&guest, frame, frame_make(&f, frame));
	cr_assert(guest_await(&guest, 1));
	cr_assert(eq(sz, guest.got[0].len, 34 + sizeof(body)));
	cr_assert(eq(u8, guest.got[0].frame[34], 0)); /* an echo reply */
	cr_assert_arr_eq(guest.got[0].frame + 38, body + 4, sizeof(body) - 4);
	guest_close(&guest);
}

/* RFC 2131: BOOTP's fields, a cookie, options; the answer's options as far as `option`. */
static const uint8_t *dhcp(uint8_t type, const uint8_t *address, uint8_t option)
{
	uint8_t frame[400], body[300] = {1, 1, 6, 0, 1, 2, 3, 4};
	static const uint8_t cookie[] = {99, 130, 83, 99};
	struct frame f = {.protocol = 17, .source_port = 68, .target_port = 67};
	const uint8_t *at;

	memset(f.to, 0xff, 6);
	memset(f.target, 0xff, 4);
	memcpy(f.from, guest.card.mac, 6);
	memcpy(body + 28, guest.card.mac, 6);
	memcpy(body + 236, cookie, 4);
	memcpy(body + 240, (uint8_t[]){53, 1, type, 50, 4}, 5);
	if (address != NULL)
		memcpy(body + 245, address, 4);
	else
		memset(body + 243, 0, 2);
	body[249] = 255;
	f.data = body;
	f.len = sizeof(body);
	guest_forget(&guest);
	guest_send(&guest, frame, frame_make(&f, frame));
	cr_assert(guest_await(&guest, 1));
	at = guest.got[0].frame + 42;
	cr_assert_arr_eq(at + 16, ((uint8_t[]){10, 0, 2, 15}), 4); /* yours */
	for (at += 240; at < guest.got[0].frame + guest.got[0].len && *at != 255; at += 2 + at[1]) {
		if (*at == option)
			return at;
	}
	cr_assert(false, "option %u is missing", option);
	return NULL;
}

Test(net_user, dhcp)
{
	static const uint8_t address[] = {10, 0, 2, 15};

	open_guest(false);
	cr_assert(eq(u8, dhcp(1, NULL, 53)[2], 2));    /* discover, offer */
	cr_assert(eq(u8, dhcp(3, address, 53)[2], 5)); /* request, ack */
	cr_assert_arr_eq(dhcp(3, address, 3) + 2, ((uint8_t[]){10, 0, 2, 2}), 4);
	cr_assert_arr_eq(dhcp(3, address, 6) + 2, ((uint8_t[]){10, 0, 2, 3}), 4);
	cr_assert_arr_eq(dhcp(3, address, 12) + 2, "web", 3);
	guest_close(&guest);
}

/* Ports. */

static struct net_forward forward_to(uint16_t port, bool udp, bool v6)
{
	struct net_forward f = {.udp = udp, .v6 = v6, .guest_port = port};

	if (v6)
		f.host.v6 = in6addr_loopback;
	else
		f.host.v4.s_addr = htonl(INADDR_LOOPBACK);
	return f;
}

static uint16_t open_with_port(const struct net_forward *f)
{
	const struct net_user_params params = {.forward = f, .nforwards = 1};
	struct net_forward is[NET_MAX_FORWARDS];

	guest_open(&guest, &params, NULL);
	cr_assert(eq(uint, net_user_forwards(guest.b, is), 1));
	cr_assert(ne(u16, is[0].host_port, 0));
	return is[0].host_port;
}

/* The guest has not said a word, as after a wake. */
Test(net_user, the_first_connection_to_a_published_port)
{
	struct net_forward f = forward_to(80, false, false);
	uint16_t port = open_with_port(&f);
	struct guest_tcp t;
	int fd = connect_to(port);

	guest_accept(&t, &guest, 80, 1400);
	cr_assert_arr_eq(t.to.source, ((uint8_t[]){10, 0, 2, 15}), 4);
	upload(&t, fd);
	download(&t, fd);
	cr_assert(ge(uint, t.large, 4));
	finish(&t);
	close(fd);
	guest_close(&guest);
}

/* The host's end of a connection that the guest will not know of is reset, not left hanging. */
static bool is_reset(int fd)
{
	for (unsigned i = 0; i < 500; i++) {
		char byte;
		ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);

		if (n < 0 && errno == ECONNRESET)
			return true;
		if (n == 0)
			return false;
		guest_turn(&guest, 2);
	}
	return false;
}

Test(net_user, a_guest_that_is_taken_back)
{
	struct net_forward f = forward_to(80, false, false);
	uint16_t port = open_with_port(&f), to;
	struct net_forward is[NET_MAX_FORWARDS];
	struct guest_tcp in, out;
	int listener, fd, theirs;
	struct err err;

	listener = bound(false, SOCK_STREAM, &to);
	for (unsigned round = 0; round < 3; round++) {
		fd = connect_to(port);
		guest_accept(&in, &guest, 80, 1400);
		upload(&in, fd);
		finish(&in);
		guest.b->ops->quiesce(guest.b);
		cr_assert(eq(int, guest.b->ops->forget(guest.b, &err), 0), "%s", err.text);
		guest_forget(&guest);
		memset(&guest.flows, 0, sizeof(guest.flows));
		guest.b->ops->start(guest.b);
		cr_assert(is_reset(fd));
		close(fd);
		cr_assert(eq(uint, net_user_forwards(guest.b, is), 1));
		cr_assert(eq(u16, is[0].host_port, port), "ports stay what they are");
	}
	guest_close(&guest);
	/* What the guest has connected to is reset, too. */
	open_guest(true);
	guest_greet(&guest);
	guest_connect(&out, &guest, 40000, to, 1400);
	theirs = await_connection(listener);
	guest.b->ops->quiesce(guest.b);
	cr_assert(eq(int, guest.b->ops->forget(guest.b, &err), 0), "%s", err.text);
	guest.b->ops->start(guest.b);
	cr_assert(is_reset(theirs));
	close(theirs);
	finish(&out);
	guest_forget(&guest);
	guest_greet(&guest);
	guest_connect(&out, &guest, 40001, to, 1400);
	theirs = await_connection(listener);
	upload(&out, theirs);
	close(theirs);
	finish(&out);
	guest_close(&guest);
	close(listener);
}

Test(net_user, many_connections_at_once)
{
	struct net_forward f = forward_to(80, false, false);
	uint16_t port = open_with_port(&f);
	int fd[40];

	for (unsigned i = 0; i < ARRAY_SIZE(fd); i++)
		fd[i] = connect_to(port);
	cr_assert(guest_await(&guest, ARRAY_SIZE(fd)));
	for (unsigned i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
	guest_close(&guest);
}

/* A guest with an address of its own choice: the port follows. */
Test(net_user, a_published_port_leads_to_where_the_guest_is)
{
	struct net_forward f = forward_to(80, false, false);
	uint8_t arp[42] = {[12] = 8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
	uint16_t port = open_with_port(&f);
	struct net_forward is[NET_MAX_FORWARDS];
	struct guest_tcp t;
	int fd;

	memset(arp, 0xff, 6);
	memcpy(arp + 6, guest.card.mac, 6);
	memcpy(arp + 22, guest.card.mac, 6);
	memcpy(arp + 28, (uint8_t[]){10, 0, 2, 77}, 4);
	memcpy(arp + 38, (uint8_t[]){10, 0, 2, 77}, 4);
	guest_send(&guest, arp, sizeof(arp));
	guest_turn(&guest, 2);
	cr_assert(eq(uint, net_user_forwards(guest.b, is), 1));
	cr_assert(eq(u16, is[0].host_port, port));
	fd = connect_to(port);
	guest_accept(&t, &guest, 80, 1400);
	cr_assert_arr_eq(t.to.source, ((uint8_t[]){10, 0, 2, 77}), 4);
	download(&t, fd);
	finish(&t);
	close(fd);
	guest_close(&guest);
}

Test(net_user, a_published_port_over_ipv6)
{
	struct net_forward f = forward_to(80, false, true);
	uint16_t port;
	struct guest_tcp t;
	union address a;
	int fd = bound(true, SOCK_STREAM, &port);

	if (fd < 0)
		cr_skip("SKIP: this host has no IPv6");
	close(fd);
	port = open_with_port(&f);
	guest.v6 = true;
	guest_greet(&guest);
	a = loopback(true, port);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	cr_assert(connect(fd, &a.sa, size_of(&a)) == 0 || errno == EINPROGRESS);
	guest_accept(&t, &guest, 80, 1400);
	upload(&t, fd);
	download(&t, fd);
	finish(&t);
	close(fd);
	guest_close(&guest);
}

/* "localhost" is ::1 first: the guest, which has no IPv6, is reached all the same. */
Test(net_user, a_published_port_is_there_over_ipv6)
{
	struct net_forward f = forward_to(80, false, false);
	struct guest_tcp t;
	union address a;
	uint16_t port;
	int fd = bound(true, SOCK_STREAM, &port);

	if (fd < 0)
		cr_skip("SKIP: this host has no IPv6");
	close(fd);
	f.any_family = true;
	port = open_with_port(&f);
	a = loopback(true, port);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	cr_assert(connect(fd, &a.sa, size_of(&a)) == 0 || errno == EINPROGRESS);
	guest_accept(&t, &guest, 80, 1400);
	upload(&t, fd);
	download(&t, fd);
	/* The end of one direction passes; the other stays. */
	cr_assert(eq(int, shutdown(fd, SHUT_WR), 0));
	for (unsigned i = 0; !t.fin && i < 500; i++) {
		guest_turn(&guest, 2);
		guest_tcp_take(&t);
	}
	cr_assert(t.fin);
	finish(&t);
	close(fd);
	guest_close(&guest);
}

Test(net_user, a_port_that_is_taken_over_ipv6_alone)
{
	struct net_forward f = forward_to(80, false, false);
	const struct net_user_params params = {.forward = &f, .nforwards = 1};
	struct err err = {0};
	char expected[128];
	int fd = bound_with_v4_free(&f.host_port);

	if (fd < 0)
		cr_skip("SKIP: this host has no IPv6");
	f.any_family = true;
	cr_assert(eq(int, guest_open(&guest, &params, &err), -EADDRINUSE));
	snprintf(expected, sizeof(expected), "port [::1]:%u/tcp is taken; choose another with -p,",
		 f.host_port);
	cr_assert(eq(int, strncmp(err.text, expected, strlen(expected)), 0), "%s", err.text);
	f.any_family = false;
	cr_assert(eq(int, guest_open(&guest, &params, NULL), 0));
	guest_close(&guest);
	close(fd);
}

/* Neither that there is no IPv6, nor that the port is taken. */
Test(net_user, a_port_that_cannot_be_listened_to_over_ipv6)
{
	struct net_forward f = forward_to(80, false, false);
	const struct net_user_params params = {.forward = &f, .nforwards = 1};
	struct err err = {0};

	f.any_family = true;
	refuse_call(SYS_socket, 0, AF_INET6, AF_INET6, EMFILE);
	cr_assert(eq(int, guest_open(&guest, &params, &err), -EMFILE));
	cr_assert(eq(int, strncmp(err.text, "publish port [::1]:", 19), 0), "%s", err.text);
	cr_assert_not_null(strstr(err.text, "/tcp: Too many open files"), "%s", err.text);
}

static void write_conf(const char *path, const char *conf)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	cr_assert(eq(int, (int)write(fd, conf, strlen(conf)), (int)strlen(conf)));
	close(fd);
}

/* A query of the guest to 10.0.2.3; whether it reached the IPv6 server, which answers. */
static bool query_reaches(int server)
{
	uint8_t packet[2048], query[64];
	struct sockaddr_in6 from;
	socklen_t size = sizeof(from);
	struct frame f = guest_frame(&guest, 17, 40000, 53);
	ssize_t got;

	f.target[3] = 3;
	f.data = (const uint8_t *)"query";
	f.len = 5;
	guest_forget(&guest);
	guest_send(&guest, packet, frame_make(&f, packet));
	guest_turn(&guest, 20);
	got = recvfrom(server, query, sizeof(query), 0, (struct sockaddr *)&from, &size);
	if (got < 0)
		return false;
	cr_assert(eq(int, (int)got, 5));
	cr_assert_arr_eq(query, "query", 5);
	cr_assert(
		eq(int, (int)sendto(server, data, 1900, 0, (struct sockaddr *)&from, size), 1900));
	return true;
}

/* The same with a guest and a resolv.conf of its own. */
static bool ask_name_server(const char *conf, int server, uint16_t port)
{
	char path[] = "/tmp/torpor-resolv.XXXXXX";
	struct net_user_params params = {.resolv_conf = path, .dns_port = port};
	bool reached;

	close(mkostemp(path, O_CLOEXEC));
	write_conf(path, conf);
	guest_open(&guest, &params, NULL);
	guest_greet(&guest);
	reached = query_reaches(server);
	unlink(path);
	return reached;
}

Test(net_user, a_host_whose_name_servers_have_ipv6_only)
{
	const uint8_t *ip;
	uint16_t port;
	int server = bound(true, SOCK_DGRAM, &port);

	if (server < 0)
		cr_skip("SKIP: this host has no IPv6");
	cr_assert(ask_name_server("search lan\nnameserver ::1\n", server, port));
	/* The answer comes from 10.0.2.3, in fragments that the guest's MTU allows. */
	cr_assert(guest_await(&guest, 2));
	ip = guest.got[0].frame + 14;
	cr_assert_arr_eq(ip + 12, ((uint8_t[]){10, 0, 2, 3}), 4);
	cr_assert_arr_eq(ip + 16, ((uint8_t[]){10, 0, 2, 15}), 4);
	cr_assert(eq(u16, slow_sum(ip, 20, 0), 0xffff));
	cr_assert(eq(u16, get16(ip + 20), 53));
	cr_assert(eq(u16, get16(ip + 22), 40000));
	cr_assert(eq(u16, get16(ip + 24), 1908));
	cr_assert_arr_eq(ip + 28, data, 1400);
	guest_close(&guest);
	/* One of IPv4 is libslirp's business. */
	cr_assert_not(ask_name_server("nameserver ::1\nnameserver 127.0.0.1\n", server, port));
	guest_close(&guest);
	close(server);
}

/* Name servers are remembered for a second, and then looked up again. */
Test(net_user, a_host_whose_name_servers_change)
{
	char path[] = "/tmp/torpor-resolv.XXXXXX";
	uint16_t port;
	int server = bound(true, SOCK_DGRAM, &port);
	struct net_user_params params = {.resolv_conf = path, .dns_port = port};
	uint64_t before;
	bool reached;

	if (server < 0)
		cr_skip("SKIP: this host has no IPv6");
	close(mkostemp(path, O_CLOEXEC));
	write_conf(path, "nameserver ::1\n");
	guest_open(&guest, &params, NULL);
	guest_greet(&guest);
	before = clock_monotonic_ns();
	cr_assert(query_reaches(server));
	write_conf(path, "nameserver 127.0.0.1\n");
	reached = query_reaches(server);
	cr_assert(reached || clock_monotonic_ns() - before >= NS_PER_SECOND);
	while (query_reaches(server))
		continue;
	cr_assert(ge(u64, clock_monotonic_ns() - before, NS_PER_SECOND));
	guest_close(&guest);
	unlink(path);
	close(server);
}

/* Datagrams both ways; a long one comes in fragments that the guest's MTU allows. */
Test(net_user, a_published_udp_port)
{
	struct net_forward f = forward_to(53, true, false);
	union address a = loopback(false, open_with_port(&f));
	uint8_t answer[64], whole[4008];
	uint16_t port;
	int fd = bound(false, SOCK_DGRAM, &port), other;
	struct frame reply;
	size_t seen = 0;

	cr_assert(eq(int, (int)sendto(fd, data, 4000, 0, &a.sa, size_of(&a)), 4000));
	cr_assert(guest_await(&guest, 3));
	cr_assert(eq(uint, guest.ngot, 3));
	for (unsigned i = 0; i < 3; i++) {
		const uint8_t *ip = guest.got[i].frame + 14;

		cr_assert(le(sz, guest.got[i].len, 1514));
		cr_assert(eq(u16, slow_sum(ip, 20, 0), 0xffff));
		cr_assert(eq(u16, get16(ip + 4), get16(guest.got[0].frame + 18)));
		cr_assert(eq(u16, get16(ip + 6), (uint16_t)(seen / 8 | (i < 2 ? 0x2000 : 0))));
		memcpy(whole + seen, ip + 20, guest.got[i].len - 34);
		seen += guest.got[i].len - 34;
	}
	cr_assert(eq(sz, seen, sizeof(whole)));
	cr_assert_arr_eq(whole + 8, data, 4000);
	cr_assert(eq(u16, get16(whole + 2), 53));
	guest_forget(&guest);
	guest_greet(&guest);
	reply = guest_frame(&guest, 17, 53, get16(whole));
	reply.data = (const uint8_t *)"hello";
	reply.len = 5;
	guest_send(&guest, whole, frame_make(&reply, whole));
	guest_turn(&guest, 20);
	cr_assert(eq(int, (int)read(fd, answer, sizeof(answer)), 5));
	cr_assert_arr_eq(answer, "hello", 5);
	/* Who did not ask gets no answer. */
	other = bound(false, SOCK_DGRAM, &port);
	reply.target_port = port;
	guest_send(&guest, whole, frame_make(&reply, whole));
	guest_turn(&guest, 20);
	cr_assert(lt(int, (int)read(other, answer, sizeof(answer)), 0));
	close(other);
	close(fd);
	guest_close(&guest);
}

static void expect_taken(bool udp, bool v6)
{
	struct net_forward f[2] = {forward_to(1, udp, v6), forward_to(2, udp, v6)};
	const struct net_user_params params = {.forward = f, .nforwards = 2};
	struct err err = {0};
	char expected[128];
	uint16_t port;
	int fd = bound(v6, udp ? SOCK_DGRAM : SOCK_STREAM, &port);

	if (fd < 0)
		cr_skip("SKIP: this host has no IPv6");
	f[1].host_port = port;
	cr_assert(eq(int, guest_open(&guest, &params, &err), -EADDRINUSE));
	snprintf(expected, sizeof(expected),
		 "port %s:%u/%s is taken; choose another with -p, or 0 for any free one",
		 v6 ? "[::1]" : "127.0.0.1", port, udp ? "udp" : "tcp");
	cr_assert_str_eq(err.text, expected);
	cr_assert(eq(int, (int)err.kind, ERR_FAILED));
	close(fd);
	/* Nothing of the failed one is left. */
	cr_assert(eq(int, guest_open(&guest, &params, NULL), 0));
	guest_close(&guest);
}

Test(net_user, a_port_that_is_taken)
{
	expect_taken(false, false);
	expect_taken(true, false);
	expect_taken(false, true);
}

Test(net_user, an_address_that_this_host_does_not_have)
{
	struct net_forward f = forward_to(1, false, false);
	const struct net_user_params params = {.forward = &f, .nforwards = 1};
	struct err err = {0};

	f.host.v4.s_addr = htonl(0xc0000201); /* 192.0.2.1 */
	f.host_port = 8080;
	cr_assert(eq(int, guest_open(&guest, &params, &err), -EADDRNOTAVAIL));
	cr_assert_str_eq(err.text, "port 192.0.2.1:8080/tcp: this host does not have that address");
}

/* Several in one process, and again and again. */
Test(net_user, machines_side_by_side)
{
	static struct guest other;
	const struct net_user_params params = {0};

	for (unsigned i = 0; i < 3; i++) {
		open_guest(false);
		guest_open(&other, &params, NULL);
		guest_greet(&guest);
		guest_greet(&other);
		guest_close(&guest);
		guest_close(&other);
	}
}

/* Frames of chance: no crash (ASan), and the network still answers. */
Test(net_user, hostile_frames)
{
	static uint8_t frame[FRAME_SPACE];

	open_guest(false);
	guest_greet(&guest);
	srand(9);
	for (unsigned i = 0; i < 20000; i++) {
		struct frame f = guest_frame(&guest, rand() & 1 ? 6 : 17, (uint16_t)(rand() % 4),
					     (uint16_t)(rand() % 4));
		struct virtio_net_hdr_v1 header = {0};
		size_t n;

		f.v6 = rand() & 1;
		f.target[3] = (uint8_t)rand();
		f.flags = (uint8_t)rand();
		f.data = data;
		f.len = (size_t)rand() % 3000;
		f.options = rand() & 1 ? 8 : 0;
		n = frame_make_partial(&f, frame);
		for (unsigned k = rand() % 4; k > 0; k--)
			frame[(size_t)rand() % 80] = (uint8_t)rand();
		if (rand() & 1) {
			header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
			header.csum_start = htole16((uint16_t)frame_l4(&f));
			header.csum_offset = htole16(f.protocol == 6 ? 16 : 6);
			header.gso_type =
				f.v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
			if ((rand() & 1) == 0)
				header.gso_type = VIRTIO_NET_HDR_GSO_NONE;
			header.gso_size = htole16((uint16_t)(1 + rand() % 2000));
		}
		n -= (size_t)rand() % n * (rand() % 4 == 0);
		if (net_header_fault(&header, n) != NULL)
			continue;
		guest_send_as(&guest, &header, frame, n);
		if (i % 50 == 0) {
			guest_turn(&guest, 0);
			guest_forget(&guest);
		}
		guest.room = GUEST_KEEPS - guest.ngot - 1;
	}
	guest.room = UINT32_MAX;
	guest_forget(&guest);
	guest.b->ops->ready(guest.b);
	guest_forget(&guest);
	guest_turn(&guest, 5);
	guest_greet(&guest);
	guest_close(&guest);
}
