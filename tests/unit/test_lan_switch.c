/* The switch of a LAN: who gets what, who waits for whom, and who is refused. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/unit/fake_lan.h"

#define NATIVE FRAMING_NATIVE

static struct fake_lan f;
static int web, db, cache;

static void plug_three(void)
{
	fake_lan_init(&f, "shop", NULL);
	web = fake_lan_machine(&f, 1, "web");
	db = fake_lan_machine(&f, 2, "db");
	cache = fake_lan_machine(&f, 3, "cache");
}

static void unplug(void)
{
	fake_lan_free(&f);
}

TestSuite(lan_switch, .init = plug_three, .fini = unplug);

Test(lan_switch, a_machine_gets_what_is_for_it_and_nobody_else_does)
{
	cr_assert(fake_lan_send(web, NATIVE, 2, 1, 100));
	fake_lan_turn(&f);
	cr_expect(eq(u32, fake_lan_drain(db, NATIVE), 1));
	cr_expect(eq(u32, fake_lan_drain(cache, NATIVE), 0));
	cr_expect(eq(u32, fake_lan_drain(web, NATIVE), 0));
}

Test(lan_switch, broadcasts_and_the_unknown_go_to_all_others)
{
	cr_assert(fake_lan_send(web, NATIVE, BROADCAST_ID, 1, 60));
	cr_assert(fake_lan_send(web, NATIVE, 77, 1, 60));
	fake_lan_turn(&f);
	cr_expect(eq(u32, fake_lan_drain(db, NATIVE), 2));
	cr_expect(eq(u32, fake_lan_drain(cache, NATIVE), 2));
	cr_expect(eq(u32, fake_lan_drain(web, NATIVE), 0));
}

Test(lan_switch, a_station_is_learned_and_moves)
{
	cr_assert(fake_lan_send(web, NATIVE, BROADCAST_ID, 77, 60));
	fake_lan_turn(&f);
	cr_expect(eq(u32, fake_lan_drain(db, NATIVE), 1));
	cr_expect(eq(u32, fake_lan_drain(cache, NATIVE), 1));
	cr_assert(fake_lan_send(db, NATIVE, 77, 2, 60));
	fake_lan_turn(&f);
	cr_expect(eq(u32, fake_lan_drain(web, NATIVE), 1));
	cr_expect(eq(u32, fake_lan_drain(cache, NATIVE), 0));
	cr_assert(fake_lan_send(cache, NATIVE, BROADCAST_ID, 77, 60));
	fake_lan_turn(&f);
	cr_expect(eq(u32, fake_lan_drain(web, NATIVE), 1));
	cr_assert(fake_lan_send(db, NATIVE, 77, 2, 60));
	fake_lan_turn(&f);
	cr_expect(eq(u32, fake_lan_drain(web, NATIVE), 0));
	cr_expect(eq(u32, fake_lan_drain(cache, NATIVE), 1));
}

Test(lan_switch, large_frames_pass_whole_with_their_header)
{
	static uint8_t out[LAN_WIRE_MAX], in[LAN_WIRE_MAX];
	struct virtio_net_hdr_v1 header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = htole16(1448),
		.csum_start = htole16(34),
		.csum_offset = htole16(16),
	};
	size_t len = 65000, head = framing_head(NATIVE, (uint8_t *)&header, len, out);
	struct message message;

	for (size_t i = 0; i < len; i++)
		out[head + i] = (uint8_t)(i * 7);
	memcpy(out + head, "\2\0\0\0\0\2\2\0\0\0\0\1\x08\x00", 14);
	cr_assert(eq(long, send(web, out, head + len, 0), (long)(head + len)));
	fake_lan_turn(&f);
	cr_assert(eq(sz, fake_lan_receive(db, NATIVE, in, &message), len));
	cr_expect(eq(int, memcmp(in, out, head + len), 0));
}

Test(lan_switch, a_message_may_come_byte_by_byte)
{
	uint8_t data[200] = {0};
	size_t head = framing_head(NATIVE, NULL, 100, data);

	memcpy(data + head, "\2\0\0\0\0\2\2\0\0\0\0\1\x88\xb5", 14);
	for (size_t i = 0; i < head + 100; i++) {
		cr_expect(eq(u32, fake_lan_drain(db, NATIVE), 0));
		cr_assert(eq(long, send(web, data + i, 1, 0), 1L));
		fake_lan_turn(&f);
	}
	cr_expect(eq(u32, fake_lan_drain(db, NATIVE), 1));
}

Test(lan_switch, a_mac_that_is_there_is_refused_by_name)
{
	char line[512];
	int twin = fake_lan_ask(&f, 1, "web-2", line);

	cr_expect(eq(str, line,
		     (char *)"no web-2 has the MAC 02:00:00:00:00:01 of web, which is there "
			     "already; resume "
			     "it with --new-identity\n"));
	fake_lan_turn(&f);
	cr_expect(eq(long, recv(twin, line, sizeof(line), 0), 0L));
	close(twin);
	close(web);
	fake_lan_turn(&f);
	close(fake_lan_machine(&f, 1, "web-2"));
}

Test(lan_switch, nobody_sends_in_anothers_name)
{
	cr_assert(fake_lan_send(web, NATIVE, 3, 2, 60));
	cr_assert(fake_lan_send(web, NATIVE, 3, 1, 60));
	fake_lan_turn(&f);
	cr_expect(eq(u32, fake_lan_drain(cache, NATIVE), 1));
	cr_expect(eq(u64, fake_lan_port(&f, "web")->drops.forged, 1));
}

Test(lan_switch, what_is_no_frame_is_dropped_and_what_is_no_message_ends_the_port)
{
	static const uint8_t lie[] = {26, 0, 0, 0, 1, 0, 0, 0, 0, 0, 255, 255, 9, 0, 0, 0};
	uint8_t data[30] = {0};

	memcpy(data, lie, sizeof(lie)); /* a checksum far behind a frame of 14 bytes */
	cr_assert(eq(long, send(web, data, sizeof(data), 0), (long)sizeof(data)));
	fake_lan_turn(&f);
	cr_expect(eq(u64, fake_lan_port(&f, "web")->drops.broken, 1));
	cr_assert(eq(long, send(web, "\xff\xff\xff\x7f", 4, 0), 4L));
	fake_lan_turn(&f);
	cr_expect(eq(ptr, (void *)fake_lan_port(&f, "web"), NULL));
	cr_expect(eq(long, recv(web, data, sizeof(data), 0), 0L));
	cr_expect(eq(u32, fake_lan_drain(db, NATIVE), 0));
}

Test(lan_switch, greetings_that_are_none_are_refused)
{
	static const char *const greetings[] = {
		"hello\n",
		"torpor-lan 2 port 02:00:00:00:00:09 x\n",
		"torpor-lan 1 port 02:00:00:00:00 x\n",
		"torpor-lan 1 port 03:00:00:00:00:09 x\n",
		"torpor-lan 1 port 02:00:00:00:00:09 a/b\n",
		"torpor-lan 1 trunk 12 x\n",
	};
	char line[512];
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(greetings); i++) {
		fd = fake_lan_plug(&f, PORT_MACHINE);
		dprintf(fd, "%s", greetings[i]);
		fake_lan_turn(&f);
		cr_assert(ge(long, recv(fd, line, sizeof(line), 0), 4L), "%s", greetings[i]);
		cr_expect(eq(int, memcmp(line, "no ", 3), 0), "%s", greetings[i]);
		cr_expect(eq(long, recv(fd, line, sizeof(line), 0), 0L));
		close(fd);
	}
	fd = fake_lan_plug(&f, PORT_MACHINE);
	for (int i = 0; i < 100; i++)
		(void)!send(fd, "endless ", 8, MSG_NOSIGNAL);
	fake_lan_turn(&f);
	cr_expect(eq(long, recv(fd, line, sizeof(line), 0), 0L));
	close(fd);
}

/* Send until the switch takes no more. */
static unsigned fill(int fd, unsigned to, unsigned from)
{
	unsigned n = 0, before;

	do {
		before = n;
		while (fake_lan_send(fd, NATIVE, to, from, 1000))
			n++;
		fake_lan_turn(&f);
	} while (n > before);
	return n;
}

Test(lan_switch, who_sends_too_fast_waits_and_nothing_is_lost)
{
	unsigned sent = fill(web, 2, 1), received = 0;

	cr_expect(not(fake_lan_port(&f, "db")->stalled));
	cr_expect(ge(u32, sent, 100));
	/* Others go on meanwhile. */
	cr_assert(fake_lan_send(db, NATIVE, 3, 2, 60));
	fake_lan_turn(&f);
	cr_expect(eq(u32, fake_lan_drain(cache, NATIVE), 1));
	for (unsigned i = 0; i < 50; i++) {
		received += fake_lan_drain(db, NATIVE);
		fake_lan_turn(&f);
	}
	/* The last one may have been written in part. */
	cr_expect(ge(u32, received, sent));
	cr_expect(eq(u64, fake_lan_port(&f, "db")->drops.full, 0));
	cr_expect(eq(u64, fake_lan_port(&f, "web")->received.frames, (uint64_t)received));
}

Test(lan_switch, nobody_waits_long_for_one_that_takes_nothing)
{
	unsigned before;

	(void)fill(web, 2, 1);
	fake_lan_turn_for(&f, 400);
	cr_assert(fake_lan_port(&f, "db")->stalled);
	cr_expect(ge(u64, fake_lan_port(&f, "db")->drops.full, 1));
	before = fake_lan_drain(db, NATIVE);
	cr_expect(ge(u32, before, 10));
	fake_lan_turn(&f);
	cr_expect(not(fake_lan_port(&f, "db")->stalled));
	(void)fake_lan_drain(db, NATIVE);
}

Test(lan_switch, a_flood_starves_no_other)
{
	unsigned from[4] = {0};
	static uint8_t data[LAN_WIRE_MAX];
	struct message message;

	for (unsigned round = 0; round < 60; round++) {
		while (fake_lan_send(web, NATIVE, 2, 1, 1000))
			continue;
		(void)fake_lan_send(cache, NATIVE, 2, 3, 100);
		fake_lan_turn(&f);
		while (fake_lan_receive(db, NATIVE, data, &message) > 0)
			from[message.frame[11]]++;
	}
	cr_expect(ge(u32, from[1], 100));
	cr_expect(ge(u32, from[3], 50));
}

Test(lan_switch, a_flood_of_broadcasts_is_bounded)
{
	for (unsigned round = 0; round < 2000; round++) {
		while (fake_lan_send(web, NATIVE, BROADCAST_ID, 1, 1400))
			continue;
		fake_lan_turn(&f);
		if (fake_lan_port(&f, "db")->drops.full > 10)
			break;
	}
	cr_expect(le(u32, port_queued(fake_lan_port(&f, "db")), PORT_SHARE));
	cr_expect(ge(u64, fake_lan_port(&f, "db")->drops.full, 1));
	(void)fake_lan_drain(db, NATIVE);
	fake_lan_turn(&f);
	(void)fake_lan_drain(db, NATIVE);
	cr_assert(fake_lan_send(cache, NATIVE, 2, 3, 60));
	fake_lan_turn(&f);
	cr_expect(eq(u32, fake_lan_drain(db, NATIVE), 1));
}

Test(lan_switch, made_up_stations_do_not_displace_machines)
{
	uint8_t data[60] = {0};
	size_t head = framing_head(NATIVE, NULL, 40, data);

	for (unsigned i = 0; i < 20000; i++) {
		memset(data + head, 0xff, 6);
		data[head + 6] = 2;
		data[head + 7] = 9;
		memcpy(data + head + 8, &i, sizeof(i));
		if (send(web, data, head + 40, 0) < 0) {
			fake_lan_turn(&f);
			(void)fake_lan_drain(db, NATIVE);
			(void)fake_lan_drain(cache, NATIVE);
		}
	}
	fake_lan_turn(&f);
	(void)fake_lan_drain(db, NATIVE);
	(void)fake_lan_drain(cache, NATIVE);
	fake_lan_turn(&f);
	(void)fake_lan_drain(db, NATIVE);
	(void)fake_lan_drain(cache, NATIVE);
	cr_assert(fake_lan_send(db, NATIVE, 3, 2, 60));
	fake_lan_turn(&f);
	cr_expect(eq(u32, fake_lan_drain(cache, NATIVE), 1));
	cr_expect(eq(u32, fake_lan_drain(web, NATIVE), 0));
}

Test(lan_switch, qemu_gets_plain_frames)
{
	static uint8_t in[LAN_WIRE_MAX];
	struct message message;
	int qemu = fake_lan_plug(&f, PORT_QEMU);

	cr_assert(fake_lan_send(qemu, FRAMING_QEMU, 1, 9, 300));
	fake_lan_turn(&f);
	cr_assert(eq(sz, fake_lan_receive(web, NATIVE, in, &message), 300));
	cr_expect(is_zero(message.header, NET_HEADER_SIZE));
	cr_assert(fake_lan_send(web, NATIVE, 9, 1, 200));
	fake_lan_turn(&f);
	cr_assert(eq(sz, fake_lan_receive(qemu, FRAMING_QEMU, in, &message), 200));
	cr_expect(eq(u32, fake_lan_drain(db, NATIVE), 0));
	close(qemu);
}

/* A TCP segment of 4000 bytes for a card that cuts it; QEMU's `stream` knows no such thing. */
Test(lan_switch, large_frames_are_cut_for_qemu)
{
	static const uint8_t heads[54] = {
		2,    0,  0,  0,   0, 9, 2,    0, 0,  0, 0, 1, 8,    0, /* Ethernet */
		0x45, 0,  15, 200, 0, 1, 0x40, 0, 64, 6, 0, 0, 10,   0,
		0,    1,  10, 0,   0, 2, /* IPv4 */
		0,    80, 4,  0,   0, 0, 0,    1, 0,  0, 0, 1, 0x50, 0x10,
		1,    0,  0,  0,   0, 0, /* TCP */
	};
	struct virtio_net_hdr_v1 header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = htole16(54),
		.gso_size = htole16(1000),
		.csum_start = htole16(34),
		.csum_offset = htole16(16),
	};
	static uint8_t data[8192], in[LAN_WIRE_MAX];
	size_t head = framing_head(NATIVE, (uint8_t *)&header, 4054, data);
	int qemu = fake_lan_plug(&f, PORT_QEMU);
	struct message message;

	cr_assert(fake_lan_send(qemu, FRAMING_QEMU, 1, 9, 60));
	fake_lan_turn(&f);
	memcpy(data + head, heads, sizeof(heads));
	data[head + 16] = 4040 >> 8;
	data[head + 17] = 4040 & 255;
	cr_assert(eq(long, send(web, data, head + 4054, 0), (long)(head + 4054)));
	fake_lan_turn(&f);
	for (int i = 0; i < 4; i++)
		cr_assert(eq(sz, fake_lan_receive(qemu, FRAMING_QEMU, in, &message), 1054));
	cr_expect(eq(sz, fake_lan_receive(qemu, FRAMING_QEMU, in, &message), 0));
	close(qemu);
}
