/* Virtqueues against well-formed and hostile rings (virtio 1.2 §2.7). */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "tests/unit/fake_driver.h"

#define SIZE 8

/* A bare queue: rings at FAKE_QUEUES, no device. */
struct bare {
	struct fake f;
	struct vq_state s;
	struct vq q;
	struct vq_elem e;
};

static void bare_open(struct bare *b, bool event_idx, bool indirect)
{
	memset(b, 0, sizeof(*b));
	fake_init(&b->f);
	b->f.q[0] = (struct fake_queue){.size = SIZE,
					.desc = FAKE_QUEUES,
					.avail = FAKE_QUEUES + 0x2000,
					.used = FAKE_QUEUES + 0x3000};
	b->s = (struct vq_state){.size = SIZE,
				 .ready = 1,
				 .desc = FAKE_QUEUES,
				 .driver = FAKE_QUEUES + 0x2000,
				 .device = FAKE_QUEUES + 0x3000};
	vq_init(&b->q, &b->s, &b->f.m.mem);
	vq_enable(&b->q, event_idx, indirect);
}

static void bare_close(struct bare *b)
{
	fake_free(&b->f);
}

static void expect_broken(struct bare *b, const char *why)
{
	cr_assert(eq(int, vq_pop(&b->q, &b->e), VQ_BROKEN));
	cr_assert(eq(str, (char *)(uintptr_t)b->q.fault, (char *)(uintptr_t)why));
	/* It stays broken, whatever the ring says later. */
	cr_assert(eq(int, vq_pop(&b->q, &b->e), VQ_BROKEN));
	bare_close(b);
}

Test(queue, state_table_tiles)
{
	struct err err;

	cr_assert(eq(int, state_check_table(&vq_state_table, &err), 0));
	cr_assert(eq(int, state_check_table(&virtio_state_table, &err), 0));
	cr_assert(eq(int, state_check_table(&virtio_mmio_table, &err), 0));
	for (unsigned i = 0; i < VIRTIO_TYPES; i++) {
		if (virtio_types[i].state != NULL)
			cr_assert(eq(int, state_check_table(virtio_types[i].state, &err), 0));
	}
}

Test(queue, pops_a_chain_and_pushes_it)
{
	struct bare b;
	struct fake_seg seg[] = {{FAKE_BUFFERS, 10, false},
				 {FAKE_BUFFERS + 100, 20, false},
				 {FAKE_BUFFERS + 200, 30, true}};
	uint32_t id, len;

	bare_open(&b, false, false);
	cr_assert(eq(int, vq_pop(&b.q, &b.e), VQ_EMPTY));
	fake_post(&b.f, 0, seg, 3);
	cr_assert(eq(int, vq_pop(&b.q, &b.e), VQ_ELEMENT));
	cr_assert(eq(uint, b.e.nout, 2));
	cr_assert(eq(uint, b.e.nin, 1));
	cr_assert(eq(u64, b.e.out_len, 30));
	cr_assert(eq(u64, b.e.in_len, 30));
	cr_assert(b.e.in[0].iov_base == fake_ram(&b.f, FAKE_BUFFERS + 200, 30));
	vq_push(&b.q, b.e.head, 7);
	cr_assert(fake_used(&b.f, 0, &id, &len));
	cr_assert(eq(u32, id, 0));
	cr_assert(eq(u32, len, 7));
	cr_assert(eq(int, vq_pop(&b.q, &b.e), VQ_EMPTY));
	bare_close(&b);
}

Test(queue, indices_wrap)
{
	struct bare b;
	struct fake_seg seg = {FAKE_BUFFERS, 1, true};
	uint32_t id, len;

	bare_open(&b, false, false);
	for (uint32_t i = 0; i < 70000; i++) {
		uint16_t head = fake_post(&b.f, 0, &seg, 1);

		cr_assert(eq(int, vq_pop(&b.q, &b.e), VQ_ELEMENT));
		vq_push(&b.q, b.e.head, i);
		cr_assert(fake_used(&b.f, 0, &id, &len));
		cr_assert(eq(u32, id, head));
		cr_assert(eq(u32, len, i));
	}
	bare_close(&b);
}

Test(queue, reads_and_writes_across_buffers)
{
	struct bare b;
	struct fake_seg seg[] = {{FAKE_BUFFERS, 3, false},
				 {FAKE_BUFFERS + 16, 5, false},
				 {FAKE_BUFFERS + 32, 2, true},
				 {FAKE_BUFFERS + 48, 3, true}};
	char text[9] = {0};

	bare_open(&b, false, false);
	memcpy(fake_ram(&b.f, FAKE_BUFFERS, 3), "abc", 3);
	memcpy(fake_ram(&b.f, FAKE_BUFFERS + 16, 5), "defgh", 5);
	fake_post(&b.f, 0, seg, 4);
	cr_assert(eq(int, vq_pop(&b.q, &b.e), VQ_ELEMENT));
	cr_assert(eq(sz, vq_read(&b.e, text, 4), 4));
	cr_assert(eq(sz, vq_read(&b.e, text + 4, 99), 4));
	cr_assert(eq(str, text, (char[]){"abcdefgh"}));
	cr_assert(vq_cut_last(&b.e) == fake_ram(&b.f, FAKE_BUFFERS + 50, 1));
	cr_assert(eq(u64, b.e.in_len, 4));
	cr_assert(eq(sz, vq_write(&b.e, "12345", 5), 4));
	cr_assert(eq(int, memcmp(fake_ram(&b.f, FAKE_BUFFERS + 32, 2), "12", 2), 0));
	cr_assert(eq(int, memcmp(fake_ram(&b.f, FAKE_BUFFERS + 48, 3), "34\0", 3), 0));
	bare_close(&b);
}

Test(queue, cut_last_of_nothing)
{
	struct bare b;
	struct fake_seg seg[] = {{FAKE_BUFFERS, 3, false}, {FAKE_BUFFERS, 0, true}};

	bare_open(&b, false, false);
	fake_post(&b.f, 0, seg, 2);
	cr_assert(eq(int, vq_pop(&b.q, &b.e), VQ_ELEMENT));
	cr_assert(vq_cut_last(&b.e) == NULL);
	bare_close(&b);
}

Test(queue, indirect)
{
	struct bare b;
	struct fake_seg seg[20];

	for (unsigned i = 0; i < 20; i++)
		seg[i] = (struct fake_seg){FAKE_BUFFERS + 64 * i, 64, i >= 10};
	bare_open(&b, false, true);
	fake_post_indirect(&b.f, 0, FAKE_BUFFERS + 0x8000, seg, 20);
	cr_assert(eq(int, vq_pop(&b.q, &b.e), VQ_ELEMENT));
	cr_assert(eq(uint, b.e.nout, 10));
	cr_assert(eq(uint, b.e.nin, 10));
	bare_close(&b);
}

Test(queue, indirect_behind_direct)
{
	struct bare b;

	bare_open(&b, false, true);
	fake_desc(&b.f, FAKE_QUEUES, 0, FAKE_BUFFERS, 4, D_NEXT, 1);
	fake_desc(&b.f, FAKE_QUEUES, 1, FAKE_BUFFERS + 0x1000, 16, D_INDIRECT, 0);
	fake_desc(&b.f, FAKE_BUFFERS + 0x1000, 0, FAKE_BUFFERS + 64, 5, D_WRITE, 0);
	fake_make_available(&b.f, 0, 0);
	cr_assert(eq(int, vq_pop(&b.q, &b.e), VQ_ELEMENT));
	cr_assert(eq(u64, b.e.out_len, 4));
	cr_assert(eq(u64, b.e.in_len, 5));
	bare_close(&b);
}

Test(queue, interrupt_by_flag)
{
	struct bare b;
	struct fake_seg seg = {FAKE_BUFFERS, 1, true};

	bare_open(&b, false, false);
	cr_assert(not(vq_wants_interrupt(&b.q)));
	fake_post(&b.f, 0, &seg, 1);
	vq_pop(&b.q, &b.e);
	vq_push(&b.q, b.e.head, 1);
	cr_assert(vq_wants_interrupt(&b.q));
	cr_assert(not(vq_wants_interrupt(&b.q)), "once for what was pushed");
	le_put16(fake_ram(&b.f, b.f.q[0].avail, 2), 1);
	fake_post(&b.f, 0, &seg, 1);
	vq_pop(&b.q, &b.e);
	vq_push(&b.q, b.e.head, 1);
	cr_assert(not(vq_wants_interrupt(&b.q)));
	bare_close(&b);
}

static void push_one(struct bare *b)
{
	struct fake_seg seg = {FAKE_BUFFERS, 1, true};

	fake_post(&b->f, 0, &seg, 1);
	cr_assert(eq(int, vq_pop(&b->q, &b->e), VQ_ELEMENT));
	vq_push(&b->q, b->e.head, 1);
}

Test(queue, interrupt_by_event_index)
{
	struct bare b;
	uint16_t *used_event;

	bare_open(&b, true, false);
	used_event = fake_ram(&b.f, b.f.q[0].avail + 4 + 2 * SIZE, 2);
	*used_event = 2; /* wants to hear of the third */
	push_one(&b);
	cr_assert(not(vq_wants_interrupt(&b.q)));
	push_one(&b);
	push_one(&b);
	cr_assert(vq_wants_interrupt(&b.q));
	push_one(&b);
	cr_assert(not(vq_wants_interrupt(&b.q)));
	bare_close(&b);
}

Test(queue, empty_queue_asks_for_a_notification)
{
	struct bare b;
	uint16_t *avail_event;

	bare_open(&b, true, false);
	avail_event = fake_ram(&b.f, b.f.q[0].used + 4 + 8 * SIZE, 2);
	push_one(&b);
	push_one(&b);
	cr_assert(eq(u16, *avail_event, 0));
	cr_assert(eq(int, vq_pop(&b.q, &b.e), VQ_EMPTY));
	cr_assert(eq(u16, *avail_event, 2));
	bare_close(&b);
}

Test(queue, refuses_a_cycle)
{
	struct bare b;

	bare_open(&b, false, false);
	fake_desc(&b.f, FAKE_QUEUES, 0, FAKE_BUFFERS, 4, D_NEXT, 1);
	fake_desc(&b.f, FAKE_QUEUES, 1, FAKE_BUFFERS, 4, D_NEXT, 0);
	fake_make_available(&b.f, 0, 0);
	expect_broken(&b, "descriptor chain with a cycle");
}

Test(queue, refuses_a_cycle_in_an_indirect_table)
{
	struct bare b;

	bare_open(&b, false, true);
	fake_desc(&b.f, FAKE_BUFFERS, 0, FAKE_BUFFERS, 0, D_NEXT, 0);
	fake_desc(&b.f, FAKE_QUEUES, 0, FAKE_BUFFERS, 16, D_INDIRECT, 0);
	fake_make_available(&b.f, 0, 0);
	expect_broken(&b, "descriptor chain with a cycle");
}

Test(queue, refuses_a_head_beyond_the_table)
{
	struct bare b;

	bare_open(&b, false, false);
	fake_make_available(&b.f, 0, SIZE);
	expect_broken(&b, "descriptor index beyond the table");
}

Test(queue, refuses_a_next_beyond_the_table)
{
	struct bare b;

	bare_open(&b, false, false);
	fake_desc(&b.f, FAKE_QUEUES, 0, FAKE_BUFFERS, 4, D_NEXT, 0xffff);
	fake_make_available(&b.f, 0, 0);
	expect_broken(&b, "descriptor index beyond the table");
}

Test(queue, refuses_buffers_outside_memory)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
	} bad[] = {
		{FAKE_RAM, 1},	 {FAKE_RAM - 1, 2},   {0, UINT32_MAX},
		{UINT64_MAX, 2}, {UINT64_MAX - 3, 4}, {FAKE_BASE, 4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct bare b;

		bare_open(&b, false, false);
		fake_desc(&b.f, FAKE_QUEUES, 0, bad[i].addr, bad[i].len, D_WRITE, 0);
		fake_make_available(&b.f, 0, 0);
		expect_broken(&b, "buffer outside memory");
	}
}

Test(queue, refuses_a_chain_of_more_than_4_gib)
{
	struct bare b;
	unsigned n = VQ_MAX_SEGMENTS;

	/* All of RAM, 128 times. */
	bare_open(&b, false, true);
	for (unsigned i = 0; i < n; i++)
		fake_desc(&b.f, FAKE_BUFFERS, i, 0, FAKE_RAM, D_NEXT, (uint16_t)(i + 1));
	fake_desc(&b.f, FAKE_QUEUES, 0, FAKE_BUFFERS, 16 * n, D_INDIRECT, 0);
	fake_make_available(&b.f, 0, 0);
	expect_broken(&b, "chain of more than 4 GiB");
}

Test(queue, refuses_a_buffer_to_read_behind_one_to_write)
{
	struct bare b;
	struct fake_seg seg[] = {{FAKE_BUFFERS, 1, true}, {FAKE_BUFFERS, 1, false}};

	bare_open(&b, false, false);
	fake_post(&b.f, 0, seg, 2);
	expect_broken(&b, "buffer to read behind one to write");
}

Test(queue, refuses_an_index_that_jumps)
{
	struct bare b;

	bare_open(&b, false, false);
	le_put16(fake_ram(&b.f, b.f.q[0].avail + 2, 2), SIZE + 1);
	expect_broken(&b, "available index jumped");
}

Test(queue, refuses_an_index_that_goes_back)
{
	struct bare b;

	bare_open(&b, false, false);
	le_put16(fake_ram(&b.f, b.f.q[0].avail + 2, 2), 0xffff);
	expect_broken(&b, "available index jumped");
}

Test(queue, refuses_bad_indirect_descriptors)
{
	static const struct {
		bool feature;
		uint64_t addr;
		uint32_t len;
		uint16_t flags;
		const char *why;
	} bad[] = {
		{false, FAKE_BUFFERS, 16, D_INDIRECT, "indirect descriptor without the feature"},
		{true, FAKE_BUFFERS, 16, D_INDIRECT | D_NEXT,
		 "indirect descriptor with a next one"},
		{true, FAKE_BUFFERS, 0, D_INDIRECT, "indirect table of a wrong length"},
		{true, FAKE_BUFFERS, 24, D_INDIRECT, "indirect table of a wrong length"},
		{true, FAKE_BUFFERS, 0xfffffff0, D_INDIRECT, "indirect table of a wrong length"},
		{true, FAKE_RAM, 16, D_INDIRECT, "indirect table outside memory"},
		{true, UINT64_MAX - 7, 16, D_INDIRECT, "indirect table outside memory"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct bare b;

		bare_open(&b, false, bad[i].feature);
		fake_desc(&b.f, FAKE_QUEUES, 0, bad[i].addr, bad[i].len, bad[i].flags, 0);
		fake_make_available(&b.f, 0, 0);
		expect_broken(&b, bad[i].why);
	}
}

Test(queue, refuses_indirect_within_indirect)
{
	struct bare b;

	bare_open(&b, false, true);
	fake_desc(&b.f, FAKE_BUFFERS, 0, FAKE_BUFFERS, 16, D_INDIRECT, 0);
	fake_desc(&b.f, FAKE_QUEUES, 0, FAKE_BUFFERS, 16, D_INDIRECT, 0);
	fake_make_available(&b.f, 0, 0);
	expect_broken(&b, "indirect descriptor within an indirect table");
}

Test(queue, refuses_too_many_buffers)
{
	struct bare b;
	unsigned n = VQ_MAX_SEGMENTS;

	/* One direct buffer and a full indirect table are one too many. */
	bare_open(&b, false, true);
	for (unsigned i = 0; i < n; i++)
		fake_desc(&b.f, FAKE_BUFFERS, i, 0, 1, i + 1 < n ? D_NEXT : 0, (uint16_t)(i + 1));
	fake_desc(&b.f, FAKE_QUEUES, 0, 0, 1, D_NEXT, 1);
	fake_desc(&b.f, FAKE_QUEUES, 1, FAKE_BUFFERS, 16 * n, D_INDIRECT, 0);
	fake_make_available(&b.f, 0, 0);
	expect_broken(&b, "too many buffers in a chain");
}

Test(queue, layout_is_judged)
{
	static const struct {
		struct vq_state s;
		bool good;
	} layout[] = {
		{{.size = 8, .desc = 0, .driver = 0x1000, .device = 0x2000}, true},
		{{.size = VQ_MAX_SIZE, .desc = 0, .driver = 0x1000, .device = 0x2000}, true},
		{{.size = 0, .desc = 0, .driver = 0x1000, .device = 0x2000}, false},
		{{.size = 7, .desc = 0, .driver = 0x1000, .device = 0x2000}, false},
		{{.size = 2 * VQ_MAX_SIZE, .desc = 0, .driver = 0x1000, .device = 0x2000}, false},
		{{.size = 8, .desc = 8, .driver = 0x1000, .device = 0x2000}, false},
		{{.size = 8, .desc = 0, .driver = 0x1001, .device = 0x2000}, false},
		{{.size = 8, .desc = 0, .driver = 0x1000, .device = 0x2002}, false},
		{{.size = 8, .desc = FAKE_RAM - 112, .driver = 0x1000, .device = 0x2000}, false},
		{{.size = 8, .desc = 0, .driver = FAKE_RAM - 20, .device = 0x2000}, false},
		{{.size = 8, .desc = 0, .driver = FAKE_RAM - 22, .device = 0x2000}, true},
		{{.size = 8, .desc = 0, .driver = 0x1000, .device = FAKE_RAM - 68}, false},
		{{.size = 8, .desc = 0, .driver = 0x1000, .device = FAKE_RAM - 72}, true},
		{{.size = 8, .desc = UINT64_MAX - 15, .driver = 0, .device = 0}, false},
	};
	struct fake f;

	fake_init(&f);
	for (size_t i = 0; i < ARRAY_SIZE(layout); i++)
		cr_expect(eq(int, vq_layout_fault(&layout[i].s, &f.m.mem) == NULL, layout[i].good),
			  "layout %zu", i);
	fake_free(&f);
}

/* --- random rings --- */

/* Mostly plausible, so that walks get deep; sometimes anything. */
static void random_desc(struct bare *b, uint64_t table, unsigned index, uint64_t *seed)
{
	uint64_t r = fake_random(seed);
	uint64_t addr = r % 8 == 0 ? fake_random(seed) : fake_random(seed) % (FAKE_RAM + 64);
	uint32_t len = r % 5 == 0 ? (uint32_t)fake_random(seed) : (uint32_t)(r >> 8) % 512;
	uint16_t flags = (uint16_t)((r >> 32) % 8), next = (uint16_t)((r >> 40) % (SIZE + 1));

	if ((flags & D_INDIRECT) != 0 && r % 3 != 0) {
		addr = FAKE_BUFFERS;
		len = 16 * (uint32_t)((r >> 48) % 10);
		flags = D_INDIRECT;
	}
	fake_desc(&b->f, table, index, addr, len, flags, next);
}

static void check_elem(struct bare *b)
{
	const uint8_t *ram = fake_ram(&b->f, 0, FAKE_RAM);
	uint64_t total = 0;

	cr_assert(le(uint, b->e.nout + b->e.nin, VQ_MAX_SEGMENTS));
	cr_assert(lt(uint, b->e.head, SIZE));
	for (unsigned i = 0; i < b->e.nout + b->e.nin; i++) {
		const uint8_t *base = b->e.iov[i].iov_base;

		cr_assert(base >= ram && b->e.iov[i].iov_len <= FAKE_RAM &&
			  base + b->e.iov[i].iov_len <= ram + FAKE_RAM);
		total += b->e.iov[i].iov_len;
	}
	cr_assert(eq(u64, total, b->e.in_len + b->e.out_len));
}

Test(queue, random_rings)
{
	uint64_t seed = 0x9e3779b97f4a7c15, elements = 0, faults = 0;
	struct bare b;

	bare_open(&b, true, true);
	for (unsigned round = 0; round < 100000; round++) {
		enum vq_result result;

		for (unsigned i = 0; i < SIZE; i++) {
			random_desc(&b, FAKE_QUEUES, i, &seed);
			random_desc(&b, FAKE_BUFFERS, i, &seed);
		}
		fake_make_available(&b.f, 0, (uint16_t)(fake_random(&seed) % (SIZE + 1)));
		if (round % 64 == 0)
			le_put16(fake_ram(&b.f, b.f.q[0].avail + 2, 2), (uint16_t)seed);
		while ((result = vq_pop(&b.q, &b.e)) == VQ_ELEMENT) {
			elements++;
			check_elem(&b);
			vq_push(&b.q, b.e.head, (uint32_t)b.e.in_len);
			vq_wants_interrupt(&b.q);
		}
		if (result == VQ_BROKEN) {
			faults++;
			b.s.next_avail = b.s.next_used = b.f.q[0].avail_idx;
			le_put16(fake_ram(&b.f, b.f.q[0].avail + 2, 2), b.f.q[0].avail_idx);
			vq_enable(&b.q, true, true);
		}
	}
	/* The generator is worth something only if it reaches both. */
	cr_assert(ge(u64, elements, 1001));
	cr_assert(ge(u64, faults, 1001));
	bare_close(&b);
}
