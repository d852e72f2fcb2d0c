/* Headers judged, frames parsed, checksums and segments made: against known frames and against a
 * slow reference. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "devices/net/net_offload.h"
#include "tests/unit/frames.h"

#define GSO_NONE VIRTIO_NET_HDR_GSO_NONE
#define GSO_4	 VIRTIO_NET_HDR_GSO_TCPV4
#define GSO_6	 VIRTIO_NET_HDR_GSO_TCPV6
#define GSO_ECN	 VIRTIO_NET_HDR_GSO_ECN
#define SUMS	 VIRTIO_NET_HDR_F_NEEDS_CSUM

static uint8_t random_data[65536];
static uint8_t frame[FRAME_SPACE];

static void begin(void)
{
	srand(4);
	for (size_t i = 0; i < sizeof(random_data); i++)
		random_data[i] = (uint8_t)rand();
}

TestSuite(net_offload, .init = begin);

static struct frame segment(bool v6, size_t len)
{
	return (struct frame){
		.to = {0x52, 0x55, 10, 0, 2, 2},
		.from = {0x52, 0x54, 0, 0x12, 0x34, 0x56},
		.v6 = v6,
		.source = {10, 0, 2, 15, 1, 2, 3, 4},
		.target = {93, 184, 216, 34, 9, 8, 7, 6},
		.id = 0xfffe,
		.protocol = 6,
		.source_port = 40000,
		.target_port = 80,
		.seq = 0xfffffc00,
		.ack = 0x01020304,
		.flags = ACK | PSH | FIN | CWR,
		.window = 502,
		.tcp_options = 12,
		.data = random_data,
		.len = len,
	};
}

static struct virtio_net_hdr_v1 large(const struct frame *f, uint8_t type, uint16_t size)
{
	return (struct virtio_net_hdr_v1){
		.flags = SUMS,
		.gso_type = type,
		.gso_size = htole16(size),
		.csum_start = htole16((uint16_t)frame_l4(f)),
		.csum_offset = htole16(f->protocol == 6 ? 16 : 6),
	};
}

/* The example of RFC 1071 §3, and headers that were seen on a wire. */
Test(net_offload, known_sums)
{
	static const uint8_t rfc[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	static const uint8_t ip[] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
				     0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};

	cr_assert(eq(u16, be16toh(net_sum_fold(net_sum(rfc, sizeof(rfc), 0))), 0xddf2));
	cr_assert(eq(u16, net_sum_fold(net_sum(ip, sizeof(ip), 0)), 0xffff));
}

Test(net_offload, sums_of_every_length_and_alignment)
{
	memset(random_data + 1024, 0xff, 1024); /* carries everywhere */
	for (size_t start = 0; start < 9; start++) {
		for (size_t len = 0; len < 400; len++) {
			for (size_t part = 0; part < 2; part++) {
				const uint8_t *at = random_data + start + part * 1100;
				uint16_t sum = net_sum_fold(net_sum(at, len, 0xfffe1234));

				cr_assert(eq(u16, be16toh(sum),
					     slow_sum(at, len, be16toh(net_sum_fold(0xfffe1234)))));
			}
		}
	}
}

Test(net_offload, the_longest_sum)
{
	cr_assert(eq(u16, be16toh(net_sum_fold(net_sum(random_data, 65535, 0))),
		     slow_sum(random_data, 65535, 0)));
	memset(random_data, 0xff, sizeof(random_data));
	cr_assert(eq(u16, net_sum_fold(net_sum(random_data, 65536, UINT32_MAX)), 0xffff));
}

Test(net_offload, headers_that_break_the_rules)
{
	static const struct {
		struct virtio_net_hdr_v1 header;
		size_t len;
		bool broken;
	} cases[] = {
		{{.flags = 0}, 0, false},
		{{.flags = 0xfe, .csum_start = 9999}, 60, false}, /* unknown flags are ignored */
		{{.gso_size = 1}, 60, false},
		{{.flags = SUMS, .csum_start = 34, .csum_offset = 16}, 52, false},
		{{.flags = SUMS, .csum_start = 34, .csum_offset = 16}, 51, true},
		{{.flags = SUMS, .csum_start = 52, .csum_offset = 0}, 52, true},
		{{.flags = SUMS, .csum_start = 0xffff, .csum_offset = 0xffff}, 60, true},
		{{.flags = SUMS, .csum_start = 0, .csum_offset = 0}, 0, true},
		{{.flags = SUMS, .gso_type = GSO_4, .gso_size = 1, .csum_start = 34}, 60, false},
		{{.flags = SUMS, .gso_type = GSO_6 | GSO_ECN, .gso_size = 1}, 60, false},
		{{.flags = SUMS, .gso_type = GSO_4, .gso_size = 0}, 60, true},
		{{.flags = 0, .gso_type = GSO_4, .gso_size = 1}, 60, true},
		{{.flags = SUMS, .gso_type = GSO_ECN, .gso_size = 1}, 60, true},
		{{.flags = SUMS, .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 1}, 60, true},
		{{.flags = SUMS, .gso_type = 5, .gso_size = 1}, 60, true},
		{{.flags = SUMS, .gso_type = 0x41, .gso_size = 1}, 60, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_assert(eq(int, net_header_fault(&cases[i].header, cases[i].len) != NULL,
			     cases[i].broken),
			  "case %zu", i);
}

Test(net_offload, checksums_are_filled_in)
{
	static uint8_t whole[FRAME_SPACE];

	for (unsigned kind = 0; kind < 16; kind++) {
		for (size_t len = 0; len < 70; len++) {
			struct frame f = segment(kind & 1, len);
			struct virtio_net_hdr_v1 header;
			size_t n;

			f.protocol = kind & 2 ? 17 : 6;
			f.vlan = kind & 4;
			f.options = kind & 8 ? 24 : 0;
			header = large(&f, GSO_NONE, 0);
			header.flags |= VIRTIO_NET_HDR_F_DATA_VALID;
			n = frame_make_partial(&f, frame);
			cr_assert(eq(sz, frame_make(&f, whole), n));
			net_checksum(&header, frame, n);
			cr_assert_arr_eq(frame, whole, n);
			cr_assert(eq(u8, header.flags, VIRTIO_NET_HDR_F_DATA_VALID));
			cr_assert(frame_is_sound(frame, n));
			net_checksum(&header, frame, n); /* nothing is left to do */
			cr_assert_arr_eq(frame, whole, n);
		}
	}
}

/* Zero says that a UDP datagram has none. */
Test(net_offload, a_checksum_of_zero_is_written_as_its_twin)
{
	uint8_t data[2] = {0};
	struct frame f = segment(false, 0);
	struct virtio_net_hdr_v1 header;
	size_t n;

	f.protocol = 17;
	f.data = data;
	f.len = sizeof(data);
	n = frame_make(&f, frame);
	memcpy(data, frame + frame_l4(&f) + 6, 2);
	n = frame_make_partial(&f, frame);
	header = large(&f, GSO_NONE, 0);
	net_checksum(&header, frame, n);
	cr_assert(eq(u16, get16(frame + frame_l4(&f) + 6), 0xffff));
	cr_assert(frame_is_sound(frame, n));
}

/* What came out, one after the other. */
struct emitted {
	unsigned count;
	unsigned fail_at; /* 0: never */
	size_t size[65536];
	size_t used;
	uint8_t bytes[16u << 20];
};

static struct emitted emitted;

static int emit(void *opaque, const uint8_t *data, size_t len)
{
	struct emitted *e = opaque;

	if (++e->count == e->fail_at)
		return -EAGAIN;
	cr_assert(le(sz, e->used + len, sizeof(e->bytes)));
	memcpy(e->bytes + e->used, data, len);
	e->used += len;
	e->size[e->count - 1] = len;
	return 0;
}

static void expect_segments(struct frame f, uint8_t type, size_t step)
{
	static uint8_t expected[FRAME_SPACE];
	struct virtio_net_hdr_v1 header = large(&f, type, (uint16_t)step);
	size_t n = frame_make_partial(&f, frame), total = f.len, seen = 0;
	const struct frame whole = f;
	unsigned i = 0;

	emitted.count = emitted.fail_at = 0;
	emitted.used = 0;
	cr_assert_null(net_header_fault(&header, n));
	cr_assert(eq(int, net_plain(&header, frame, n, emit, &emitted), 0));
	for (size_t at = 0; at < total || i == 0; at += step, i++) {
		f.len = total - at < step ? total - at : step;
		f.data = whole.data + at;
		f.seq = whole.seq + (uint32_t)at;
		f.id = (uint16_t)(whole.id + i);
		f.flags = whole.flags;
		if (at + f.len < total)
			f.flags &= (uint8_t) ~(FIN | PSH);
		if (i > 0)
			f.flags &= (uint8_t)~CWR;
		n = frame_make(&f, expected);
		cr_assert(eq(sz, emitted.size[i], n), "segment %u", i);
		cr_assert_arr_eq(emitted.bytes + seen, expected, n);
		seen += n;
	}
	cr_assert(eq(uint, emitted.count, i));
}

Test(net_offload, segments_of_tcp)
{
	static const size_t totals[] = {0, 1, 99, 1447, 1448, 1449, 2896, 4001, 65160};
	static const size_t steps[] = {1, 7, 536, 1448, 8960, 65535};

	for (unsigned kind = 0; kind < 8; kind++) {
		for (size_t t = 0; t < ARRAY_SIZE(totals); t++) {
			for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
				struct frame f = segment(kind & 1, totals[t]);

				if (steps[s] < 100 && totals[t] > 2000)
					continue;
				f.vlan = kind & 2;
				f.options = kind & 4 ? 16 : 0;
				expect_segments(f, f.v6 ? GSO_6 | GSO_ECN : GSO_4, steps[s]);
			}
		}
	}
}

Test(net_offload, the_largest_frame_is_cut)
{
	struct frame f = segment(false, 65535 - 20 - 32);

	f.vlan = true;
	expect_segments(f, GSO_4, 1);
	expect_segments(f, GSO_4, 1440);
}

Test(net_offload, a_plain_frame_goes_out_whole)
{
	struct frame f = segment(true, 321);
	struct virtio_net_hdr_v1 header = large(&f, GSO_NONE, 0);
	size_t n = frame_make_partial(&f, frame);

	emitted.count = 0;
	cr_assert(eq(int, net_plain(&header, frame, n, emit, &emitted), 0));
	cr_assert(eq(uint, emitted.count, 1));
	cr_assert(frame_is_sound(emitted.bytes, n));
}

Test(net_offload, a_receiver_that_fails_ends_the_cutting)
{
	struct frame f = segment(false, 5000);
	struct virtio_net_hdr_v1 header = large(&f, GSO_4, 1000);
	size_t n = frame_make_partial(&f, frame);

	emitted.count = 0;
	emitted.fail_at = 3;
	cr_assert(eq(int, net_plain(&header, frame, n, emit, &emitted), -EAGAIN));
	cr_assert(eq(uint, emitted.count, 3));
}

static int never(void *opaque, const uint8_t *data, size_t len)
{
	(void)opaque;
	(void)data;
	(void)len;
	cr_assert(false, "a frame came out");
	return 0;
}

Test(net_offload, frames_that_are_not_what_their_header_says)
{
	struct frame f = segment(false, 5000);
	struct virtio_net_hdr_v1 header = large(&f, GSO_6, 1000);
	size_t n = frame_make_partial(&f, frame);

	cr_assert(eq(int, net_plain(&header, frame, n, never, NULL), -EINVAL));
	header = large(&f, GSO_4, 1000);
	header.csum_start = htole16(35);
	cr_assert(eq(int, net_plain(&header, frame, n, never, NULL), -EINVAL));
	header = large(&f, GSO_4, 1000);
	header.csum_offset = htole16(6);
	cr_assert(eq(int, net_plain(&header, frame, n, never, NULL), -EINVAL));
	header = large(&f, GSO_4, 1000);
	cr_assert(eq(int, net_plain(&header, frame, n - 1, never, NULL), -EINVAL));
	frame[14 + 6] = 0x00;
	frame[14 + 7] = 0x01; /* a later fragment */
	cr_assert(eq(int, net_plain(&header, frame, n, never, NULL), -EINVAL));
	f.protocol = 17;
	n = frame_make_partial(&f, frame);
	header.csum_offset = htole16(6);
	cr_assert(eq(int, net_plain(&header, frame, n, never, NULL), -EINVAL));
	f = segment(true, 5000);
	f.options = 256; /* more headers than anybody sends */
	n = frame_make_partial(&f, frame);
	header = large(&f, GSO_6, 1000);
	cr_assert(eq(int, net_plain(&header, frame, n, never, NULL), -EINVAL));
}

Test(net_offload, what_a_frame_is_made_of)
{
	struct frame f = segment(false, 10);
	struct net_packet p;
	size_t n = frame_make(&f, frame);

	cr_assert(net_parse(frame, n + 3, &p)); /* with padding */
	cr_assert(eq(u16, p.ethertype, 0x0800));
	cr_assert(eq(sz, p.ip, 14));
	cr_assert(eq(sz, p.l4, 34));
	cr_assert(eq(sz, p.payload, 34 + 32));
	cr_assert(eq(sz, p.end, n));
	cr_assert(eq(u8, p.protocol, 6));
	f.v6 = f.vlan = true;
	f.options = 40;
	n = frame_make(&f, frame);
	cr_assert(net_parse(frame, n, &p));
	cr_assert(eq(u16, p.ethertype, 0x86dd));
	cr_assert(eq(sz, p.ip, 18));
	cr_assert(eq(sz, p.l4, 18 + 40 + 40));
	cr_assert(eq(sz, p.end, n));
	f.protocol = 58;
	n = frame_make(&f, frame);
	cr_assert(net_parse(frame, n, &p));
	cr_assert(eq(sz, p.l4, 0));
	cr_assert(eq(u8, p.protocol, 58));
	put16(frame + 16, 0x0806); /* ARP */
	cr_assert_not(net_parse(frame, n, &p));
	cr_assert(eq(u16, p.ethertype, 0x0806));
	cr_assert(eq(sz, p.end, 0));
}

Test(net_offload, the_option_of_the_segment_size)
{
	static const struct {
		uint8_t option[8];
		size_t at; /* from the options on; 0: none */
	} cases[] = {
		{{2, 4, 5, 180, 1, 1, 1, 1}, 2},   {{1, 1, 1, 2, 4, 5, 180, 0}, 5},
		{{3, 3, 7, 2, 4, 5, 180, 0}, 5},   {{0, 2, 4, 5, 180, 0, 0, 0}, 0},
		{{1, 1, 1, 1, 1, 2, 4, 5}, 0},	   {{1, 1, 1, 1, 1, 1, 1, 2}, 0},
		{{2, 0, 5, 180, 2, 4, 5, 180}, 0}, {{2, 3, 5, 2, 4, 5, 180, 0}, 5},
		{{8, 10, 0, 0, 0, 0, 0, 0}, 0},
	};
	struct frame f = segment(false, 7);
	struct net_packet p;

	f.tcp_options = 8;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = frame_make(&f, frame), options = frame_l4(&f) + 20;

		memcpy(frame + options, cases[i].option, 8);
		cr_assert(net_parse(frame, n, &p));
		cr_assert(eq(sz, net_mss_offset(frame, &p),
			     cases[i].at == 0 ? 0 : options + cases[i].at),
			  "case %zu", i);
	}
}

/* Every truncation, on memory that ends where the frame does (ASan sees a step beyond). */
Test(net_offload, truncated_frames)
{
	for (unsigned kind = 0; kind < 16; kind++) {
		struct frame f = segment(kind & 1, 9);
		size_t n;

		f.vlan = kind & 2;
		f.options = kind & 4 ? 32 : 0;
		f.protocol = kind & 8 ? 17 : 6;
		n = frame_make(&f, frame);
		for (size_t len = 0; len < n; len++) {
			struct virtio_net_hdr_v1 header = large(&f, f.v6 ? GSO_6 : GSO_4, 4);
			uint8_t *cut = malloc(len + !len);
			struct net_packet p;

			memcpy(cut, frame, len);
			cr_assert_not(net_parse(cut, len, &p));
			if (net_header_fault(&header, len) == NULL)
				cr_assert(eq(int, net_plain(&header, cut, len, never, NULL),
					     -EINVAL));
			free(cut);
		}
	}
}

static int touch(void *opaque, const uint8_t *data, size_t len)
{
	volatile uint8_t sum = 0;

	(void)opaque;
	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + data[i]);
	return 0;
}

/* Headers and frames of chance: nothing outside of the frame is touched. */
Test(net_offload, hostile_frames)
{
	for (unsigned round = 0; round < 20000; round++) {
		struct frame f = segment(rand() & 1, (size_t)rand() % 200);
		struct virtio_net_hdr_v1 header;
		struct net_packet p;
		size_t n;
		uint8_t *copy;

		f.vlan = rand() & 1;
		f.options = rand() & 1 ? 8 : 0;
		n = frame_make_partial(&f, frame);
		header = large(&f, f.v6 ? GSO_6 : GSO_4, (uint16_t)(1 + rand() % 100));
		for (unsigned i = rand() % 4; i > 0; i--)
			frame[(size_t)rand() % (n < 100 ? n : 100)] = (uint8_t)rand();
		if (rand() % 8 == 0)
			((uint8_t *)&header)[(size_t)rand() % sizeof(header)] = (uint8_t)rand();
		n -= (size_t)rand() % (n / 2) * (rand() % 4 == 0);
		copy = malloc(n);
		memcpy(copy, frame, n);
		if (net_parse(copy, n, &p)) {
			cr_assert(le(sz, p.end, n));
			cr_assert(le(sz, p.payload, p.end));
			cr_assert(le(sz, p.l4, p.payload));
		}
		if (net_header_fault(&header, n) == NULL)
			(void)net_plain(&header, copy, n, touch, NULL);
		free(copy);
	}
}
