/* Fragments put together again are what was cut. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <string.h>

#include "devices/net/net_fragment.h"
#include "tests/unit/frames.h"

static uint8_t room[8 + FRAME_SPACE], data[60000], whole[FRAME_SPACE], joined[FRAME_SPACE];

struct pieces {
	size_t mtu, headers, joined;
	unsigned count;
	bool v6, last;
	uint32_t id;
};

static int join(void *opaque, const uint8_t *frame, size_t len)
{
	struct pieces *p = opaque;
	const uint8_t *ip = frame + 14;
	uint16_t field = get16(ip + (p->v6 ? 42 : 6));
	size_t offset = p->v6 ? field & 0xfff8 : (field & 0x1fff) * 8u;
	size_t headers = p->headers + (p->v6 ? 8 : 0);

	cr_assert_not(p->last);
	cr_assert(le(sz, len - 14, p->mtu));
	cr_assert(eq(sz, offset, p->joined));
	cr_assert_arr_eq(frame, whole, 14);
	if (p->v6) {
		cr_assert(eq(sz, get16(ip + 4), len - 54));
		cr_assert(eq(u8, ip[6], 44));
		cr_assert(eq(u8, ip[40], whole[20]));
		cr_assert(eq(u32, get32(ip + 44), p->id));
		p->last = !(field & 1);
	} else {
		cr_assert(eq(sz, get16(ip + 2), len - 14));
		cr_assert(eq(u16, slow_sum(ip, headers - 14, 0), 0xffff));
		cr_assert(eq(u16, get16(ip + 4), get16(whole + 18)));
		p->last = !(field & 0x2000);
	}
	cr_assert(p->last || (len - headers) % 8 == 0);
	memcpy(joined + p->joined, frame + headers, len - headers);
	p->joined += len - headers;
	p->count++;
	return 0;
}

static struct frame datagram(bool v6, size_t len)
{
	return (struct frame){.v6 = v6,
			      .source = {10, 0, 2, 2},
			      .target = {10, 0, 2, 15},
			      .id = 7,
			      .protocol = 17,
			      .data = data,
			      .len = len};
}

Test(net_fragment, put_together_again)
{
	static const size_t lens[] = {1473, 1480, 2953, 4000, 60000};

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 13 + (i >> 8));
	for (unsigned v6 = 0; v6 < 2; v6++) {
		for (unsigned i = 0; i < 5; i++) {
			for (unsigned options = 0; options <= (v6 ? 0 : 8); options += 8) {
				struct frame f = datagram(v6, lens[i]);
				struct pieces p = {.mtu = 1500, .v6 = v6, .id = 0xabcd1234};
				size_t n;

				f.options = options;
				n = frame_make(&f, whole);
				memcpy(room + 8, whole, n);
				p.headers = frame_l4(&f);
				cr_assert(eq(int, net_fragment(room + 8, n, 1500, p.id, join, &p),
					     0));
				cr_assert(p.last);
				cr_assert(ge(uint, p.count, 2));
				cr_assert(eq(sz, p.joined, n - p.headers));
				cr_assert_arr_eq(joined, whole + p.headers, p.joined);
			}
		}
	}
}

static int once(void *opaque, const uint8_t *frame, size_t len)
{
	cr_assert(eq(sz, len, *(size_t *)opaque));
	cr_assert_arr_eq(frame, whole, len);
	return 5;
}

Test(net_fragment, what_fits_stays_whole)
{
	struct frame f = datagram(false, 1472);
	size_t n = frame_make(&f, whole);

	memcpy(room + 8, whole, n);
	cr_assert(eq(int, net_fragment(room + 8, n, 1500, 0, once, &n), 5));
	whole[12] = 9; /* no IP */
	memcpy(room + 8, whole, n);
	cr_assert(eq(int, net_fragment(room + 8, n, 1500, 0, once, &n), 5));
}

static int never(void *opaque, const uint8_t *frame, size_t len)
{
	(void)opaque;
	(void)frame;
	(void)len;
	cr_assert(false, "a fragment came out");
	return 0;
}

Test(net_fragment, what_may_not_be_fragmented)
{
	struct frame f = datagram(false, 3000);
	size_t n = frame_make(&f, room + 8);

	room[8 + 20] = 0x40; /* DF */
	cr_assert(eq(int, net_fragment(room + 8, n, 1500, 0, never, NULL), -EMSGSIZE));
	room[8 + 20] = 0x20; /* one already */
	cr_assert(eq(int, net_fragment(room + 8, n, 1500, 0, never, NULL), -EMSGSIZE));
	room[8 + 20] = 0;
	cr_assert(eq(int, net_fragment(room + 8, n, 27, 0, never, NULL), -EMSGSIZE));
	room[8 + 12] = 9;
	cr_assert(eq(int, net_fragment(room + 8, n, 1500, 0, never, NULL), -EMSGSIZE));
	f = datagram(true, 3000);
	f.options = 8; /* an extension header */
	n = frame_make(&f, room + 8);
	cr_assert(eq(int, net_fragment(room + 8, n, 1500, 0, never, NULL), -EMSGSIZE));
}
