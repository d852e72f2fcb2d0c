/* Which connections are known, and that each is reset where the guest listens. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/net/net_flows.h"
#include "tests/unit/frames.h"

static struct net_flows flows;
static uint8_t frame[2048];
static const uint8_t data[1000];

/* From the guest, or from its peer. */
static struct frame segment(bool guest, uint16_t port, uint8_t flags, size_t len)
{
	struct frame f = {
		.to = {0x52, 0x55, 10, 0, 2, 2},
		.from = {2, 0, 0, 0, 0, 1},
		.source = {10, 0, 2, 15},
		.target = {93, 184, 216, 34},
		.protocol = 6,
		.source_port = port,
		.target_port = 443,
		.flags = flags,
		.data = data,
		.len = len,
	};

	if (guest)
		return f;
	memcpy(f.source, (uint8_t[]){93, 184, 216, 34}, 4);
	memcpy(f.target, (uint8_t[]){10, 0, 2, 15}, 4);
	memcpy(f.to, (uint8_t[]){2, 0, 0, 0, 0, 1}, 6);
	memcpy(f.from, (uint8_t[]){0x52, 0x55, 10, 0, 2, 2}, 6);
	f.source_port = 443;
	f.target_port = port;
	return f;
}

static void pass(bool guest, const struct frame *f)
{
	size_t len = frame_make(f, frame);

	if (guest)
		net_flows_note(&flows, frame, len);
	else
		net_flows_note_peer(&flows, frame, len);
}

static void send(bool guest, uint16_t port, uint8_t flags, uint32_t seq, uint32_t ack, size_t len)
{
	struct frame f = segment(guest, port, flags, len);

	f.seq = seq;
	f.ack = ack;
	pass(guest, &f);
}

#define GUEST true
#define PEER  false

static void open_flow(uint16_t port)
{
	send(GUEST, port, SYN, 1000, 0, 0);
	send(PEER, port, SYN | ACK, 5000, 1001, 0);
	send(GUEST, port, ACK, 1001, 5001, 0);
}

/* The resets that came out. */
struct resets {
	unsigned count, fail_at;
	uint32_t seq[2 * NET_FLOWS_MAX], ack[2 * NET_FLOWS_MAX];
	uint8_t frame[2 * NET_FLOWS_MAX][80];
	size_t len[2 * NET_FLOWS_MAX];
};

static struct resets resets;

static int take(void *opaque, const uint8_t *bytes, size_t len)
{
	struct resets *r = opaque;
	const uint8_t *tcp = bytes + len - 20;

	if (r->count + 1 == r->fail_at)
		return -EAGAIN;
	cr_assert(le(sz, len, sizeof(r->frame[0])));
	cr_assert(frame_is_sound(bytes, len));
	cr_assert(eq(u8, tcp[13], RST | ACK));
	memcpy(r->frame[r->count], bytes, len);
	r->len[r->count] = len;
	r->seq[r->count] = get32(tcp + 4);
	r->ack[r->count++] = get32(tcp + 8);
	return 0;
}

Test(net_flows, the_table_tiles)
{
	struct err err = {0};

	cr_assert(eq(int, state_check_table(&net_flows_table, &err), 0), "%s", err.text);
}

Test(net_flows, a_connection_is_reset_where_the_guest_is)
{
	struct frame expected = segment(PEER, 40000, RST | ACK, 0);
	uint8_t bytes[128];

	open_flow(40000);
	cr_assert(eq(u32, flows.n, 1));
	send(GUEST, 40000, ACK | PSH, 1001, 5001, 100);
	send(PEER, 40000, ACK, 5001, 1101, 300);
	send(GUEST, 40000, ACK, 1101, 5301, 0);
	send(GUEST, 40000, ACK | PSH, 1001, 5001, 50); /* sent again: nothing goes back */
	cr_assert(net_flows_valid(&flows));
	cr_assert(eq(int, net_flows_reset(&flows, take, &resets), 0));
	cr_assert(eq(uint, resets.count, 1));
	cr_assert(eq(u32, resets.seq[0], 5301));
	cr_assert(eq(u32, resets.ack[0], 1101));
	expected.seq = 5301;
	expected.ack = 1101;
	cr_assert(eq(sz, frame_make(&expected, bytes), resets.len[0]));
	cr_assert_arr_eq(resets.frame[0], bytes, resets.len[0]);
	cr_assert(eq(u32, flows.n, 0));
	cr_assert(eq(int, net_flows_reset(&flows, take, &resets), 0));
	cr_assert(eq(uint, resets.count, 1));
}

Test(net_flows, what_was_received_but_not_acknowledged_gets_a_second_reset)
{
	open_flow(40000);
	send(PEER, 40000, ACK, 5001, 1001, 300);
	send(PEER, 40000, ACK, 5301, 1001, 700);
	send(PEER, 40000, ACK, 5001, 1001, 300);
	cr_assert(eq(int, net_flows_reset(&flows, take, &resets), 0));
	cr_assert(eq(uint, resets.count, 2));
	cr_assert(eq(u32, resets.seq[0], 5001));
	cr_assert(eq(u32, resets.seq[1], 6001));
}

/* RFC 9293 §3.10.7.3: in SYN-SENT a reset counts when it acknowledges the SYN. */
Test(net_flows, a_connection_that_is_being_opened_is_reset)
{
	send(GUEST, 40000, SYN, 1000, 0, 0);
	cr_assert(eq(int, net_flows_reset(&flows, take, &resets), 0));
	cr_assert(eq(uint, resets.count, 1));
	cr_assert(eq(u32, resets.ack[0], 1001));
}

/* A published port: the peer begins. */
Test(net_flows, a_connection_to_the_guest_is_known_from_its_answer_on)
{
	send(PEER, 80, SYN, 7000, 0, 0);
	cr_assert(eq(u32, flows.n, 0));
	send(GUEST, 80, SYN | ACK, 100, 7001, 0);
	send(PEER, 80, ACK, 7001, 101, 0);
	send(PEER, 80, ACK, 7001, 101, 10);
	send(GUEST, 80, ACK, 101, 7011, 0);
	cr_assert(eq(int, net_flows_reset(&flows, take, &resets), 0));
	cr_assert(eq(uint, resets.count, 1));
	cr_assert(eq(u32, resets.seq[0], 7011));
	cr_assert(eq(u32, resets.ack[0], 101));
}

Test(net_flows, sequence_numbers_wrap)
{
	send(GUEST, 40000, SYN, 0xffffffff, 0, 0);
	send(PEER, 40000, SYN | ACK, 0xfffffff0, 0, 0);
	send(GUEST, 40000, ACK, 0, 0xfffffff1, 100);
	send(PEER, 40000, ACK, 0xfffffff1, 100, 100);
	send(GUEST, 40000, ACK, 100, 85, 0);
	cr_assert(eq(int, net_flows_reset(&flows, take, &resets), 0));
	cr_assert(eq(uint, resets.count, 1));
	cr_assert(eq(u32, resets.seq[0], 85));
	cr_assert(eq(u32, resets.ack[0], 100));
}

Test(net_flows, both_fins_end_it)
{
	open_flow(1);
	send(GUEST, 1, FIN | ACK, 1001, 5001, 0);
	send(PEER, 1, FIN | ACK, 5001, 1002, 0);
	cr_assert(eq(u32, flows.n, 1));
	send(GUEST, 1, ACK, 1002, 5002, 0);
	cr_assert(eq(u32, flows.n, 0));
	send(GUEST, 1, ACK, 1002, 5002, 0); /* said again: not a new one */
	cr_assert(eq(u32, flows.n, 0));
	open_flow(2);
	send(PEER, 2, FIN | ACK, 5001, 1001, 0);
	send(GUEST, 2, ACK, 1001, 5002, 0);
	send(GUEST, 2, ACK, 1001, 5002, 10);
	cr_assert(eq(u32, flows.n, 1));
	send(GUEST, 2, FIN | ACK, 1011, 5002, 0);
	cr_assert(eq(u32, flows.n, 1));
	send(PEER, 2, ACK, 5002, 1012, 0);
	cr_assert(eq(u32, flows.n, 0));
}

Test(net_flows, a_reset_of_either_side_ends_it)
{
	open_flow(1);
	send(GUEST, 1, RST, 1001, 0, 0);
	cr_assert(eq(u32, flows.n, 0));
	open_flow(1);
	send(PEER, 1, RST | ACK, 5001, 1001, 0);
	cr_assert(eq(u32, flows.n, 0));
	send(PEER, 1, RST | ACK, 5001, 1001, 0);
	send(GUEST, 1, RST, 1001, 0, 0);
	cr_assert(eq(u32, flows.n, 0));
}

/* What `wait --until port:` asks. */
Test(net_flows, a_connection_is_open_from_the_guests_answer_to_the_first_end)
{
	memset(&flows, 0, sizeof(flows));
	send(PEER, 80, SYN, 5000, 0, 0);
	cr_assert(not(net_flows_open(&flows, 80, 443)));
	send(GUEST, 80, RST | ACK, 0, 5001, 0);
	cr_assert(not(net_flows_open(&flows, 80, 0)));
	send(PEER, 80, SYN, 6000, 0, 0);
	send(GUEST, 80, SYN | ACK, 1000, 6001, 0);
	cr_assert(net_flows_open(&flows, 80, 443));
	cr_assert(net_flows_open(&flows, 80, 0));
	cr_assert(not(net_flows_open(&flows, 80, 444)));
	cr_assert(not(net_flows_open(&flows, 81, 443)));
	send(PEER, 80, FIN | ACK, 6001, 1001, 0);
	cr_assert(not(net_flows_open(&flows, 80, 443)));
}

Test(net_flows, a_port_is_used_again)
{
	open_flow(1);
	send(GUEST, 1, FIN | ACK, 1001, 5001, 0);
	send(PEER, 1, FIN | ACK, 5001, 1002, 0);
	send(GUEST, 1, SYN, 90, 0, 0);
	send(PEER, 1, SYN | ACK, 70, 91, 0);
	send(GUEST, 1, ACK, 91, 71, 0);
	cr_assert(eq(u32, flows.n, 1));
	cr_assert(eq(int, net_flows_reset(&flows, take, &resets), 0));
	cr_assert(eq(u32, resets.seq[0], 71));
	cr_assert(eq(uint, resets.count, 1));
}

Test(net_flows, the_oldest_is_forgotten_first)
{
	for (uint16_t port = 1; port <= NET_FLOWS_MAX; port++)
		open_flow(port);
	cr_assert(eq(u32, flows.n, NET_FLOWS_MAX));
	send(GUEST, 1, ACK | PSH, 1001, 5001, 1); /* it is the freshest now */
	open_flow(1000);
	cr_assert(eq(u32, flows.n, NET_FLOWS_MAX));
	cr_assert(eq(int, net_flows_reset(&flows, take, &resets), 0));
	cr_assert(eq(uint, resets.count, NET_FLOWS_MAX));
	for (unsigned i = 0; i < resets.count; i++)
		cr_assert(ne(u16, get16(resets.frame[i] + 36), 2));
}

Test(net_flows, what_is_not_taken_is_kept)
{
	for (uint16_t port = 1; port <= 5; port++)
		open_flow(port);
	resets.fail_at = 3;
	cr_assert(eq(int, net_flows_reset(&flows, take, &resets), -EAGAIN));
	cr_assert(eq(u32, flows.n, 3));
	resets.fail_at = 0;
	cr_assert(eq(int, net_flows_reset(&flows, take, &resets), 0));
	cr_assert(eq(uint, resets.count, 5));
}

Test(net_flows, ipv6)
{
	struct frame f = segment(GUEST, 40000, SYN, 0);

	f.v6 = true;
	f.seq = 41;
	for (unsigned i = 0; i < 16; i++) {
		f.source[i] = (uint8_t)(0xfd + i);
		f.target[i] = (uint8_t)(0x20 + i);
	}
	pass(GUEST, &f);
	f.flags = ACK;
	f.ack = 77;
	f.seq = 42;
	f.len = 8;
	pass(GUEST, &f);
	cr_assert(eq(u32, flows.n, 1));
	f.target[15] ^= 1; /* another one */
	pass(GUEST, &f);
	cr_assert(eq(u32, flows.n, 2));
	cr_assert(eq(int, net_flows_reset(&flows, take, &resets), 0));
	cr_assert(eq(uint, resets.count, 2));
	cr_assert_arr_eq(resets.frame[1] + 22, resets.frame[0] + 22, 15);
	cr_assert_arr_eq(resets.frame[0] + 38, f.source, 16);
	cr_assert(eq(u32, resets.seq[1], 77));
	cr_assert(eq(u32, resets.ack[1], 50));
}

Test(net_flows, what_is_no_tcp_is_no_flow)
{
	struct frame f = segment(GUEST, 53, SYN, 10);

	f.protocol = 17;
	pass(GUEST, &f);
	f.protocol = 1;
	pass(GUEST, &f);
	send(GUEST, 1, ACK, 1, 1, 0); /* an acknowledgement alone opens nothing */
	f = segment(GUEST, 1, SYN, 0);
	f.vlan = true;
	pass(GUEST, &f);
	cr_assert(eq(u32, flows.n, 0));
	for (size_t len = 0; len < 54; len++) {
		f = segment(GUEST, 1, SYN, 0);
		frame_make(&f, frame);
		net_flows_note(&flows, frame, len);
	}
	cr_assert(eq(u32, flows.n, 0));
}

static uint16_t known_mss(uint16_t port)
{
	struct frame f = segment(PEER, port, ACK, 0);
	const struct net_flow *flow = net_flows_note_peer(&flows, frame, frame_make(&f, frame));

	return flow == NULL ? 0 : flow->mss;
}

Test(net_flows, the_segment_size_that_the_guest_wants)
{
	struct frame f = segment(GUEST, 7, SYN, 0);

	cr_assert(eq(u16, known_mss(7), 0));
	f.mss = 1410;
	pass(GUEST, &f);
	f.flags = ACK;
	f.mss = 0;
	pass(GUEST, &f);
	cr_assert(eq(u16, known_mss(7), 1410));
	open_flow(8);
	cr_assert(eq(u16, known_mss(8), 536));
	send(GUEST, 9, ACK, 1, 1, 1); /* from the middle */
	cr_assert(eq(u16, known_mss(9), 536));
}

Test(net_flows, state_from_a_file_is_judged)
{
	open_flow(1);
	cr_assert(net_flows_valid(&flows));
	flows.flow[0].mss = 0;
	cr_assert_not(net_flows_valid(&flows));
	flows.flow[0].mss = 1460;
	flows.flow[0].version = 5;
	cr_assert_not(net_flows_valid(&flows));
	flows.flow[0].version = 6;
	flows.flow[0].closed = 4;
	cr_assert_not(net_flows_valid(&flows));
}

/* Whatever guest and peer say, the table stays one that could be saved. */
Test(net_flows, chaos)
{
	srand(5);
	for (unsigned i = 0; i < 100000; i++)
		send(rand() & 1, (uint16_t)(rand() % 400), (uint8_t)rand(), (uint32_t)rand() * 3u,
		     (uint32_t)rand() * 3u, (size_t)rand() % 3);
	cr_assert(net_flows_valid(&flows));
	for (uint32_t i = 0; i < flows.n; i++) {
		for (uint32_t j = 0; j < i; j++)
			cr_assert(ne(u16, flows.flow[i].guest_port, flows.flow[j].guest_port));
	}
	cr_assert(eq(int, net_flows_reset(&flows, take, &resets), 0));
}
