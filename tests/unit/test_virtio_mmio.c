/* The MMIO registers and the device status (virtio 1.2 §2.1, §3.1, §4.2.2). */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "base/num.h"
#include "tests/unit/fake_driver.h"

static struct fake fake;

/* An entropy device: one queue, no configuration space. */
static void setup(void)
{
	struct virtio_backend none = {0};

	fake_init(&fake);
	fake_plug(&fake, VIRTIO_TYPE_RNG, "rng", &none);
}

static void teardown(void)
{
	fake_free(&fake);
}

TestSuite(virtio_mmio, .init = setup, .fini = teardown);

static uint32_t status(void)
{
	return fake_read(&fake, R_STATUS);
}

/* One request for `len` bytes of entropy; returns how many came. */
static uint32_t ask(uint32_t len)
{
	struct fake_seg seg = {FAKE_BUFFERS, len, true};
	uint32_t id, got = 0;

	fake_post(&fake, 0, &seg, 1);
	fake_kick(&fake, 0);
	fake_loop(&fake);
	return fake_used(&fake, 0, &id, &got) ? got : 0;
}

Test(virtio_mmio, identity)
{
	cr_assert(eq(u32, fake_read(&fake, R_MAGIC), 0x74726976));
	cr_assert(eq(u32, fake_read(&fake, R_VERSION), 2));
	cr_assert(eq(u32, fake_read(&fake, R_DEVICE_ID), 4));
	cr_assert(eq(u32, status(), 0));
	cr_assert(eq(u32, fake_read(&fake, R_SHM_LEN), UINT32_MAX));
	cr_assert(eq(u32, fake_read(&fake, R_SHM_LEN + 12), UINT32_MAX));
}

Test(virtio_mmio, registers_take_aligned_words_only)
{
	uint8_t byte = 0xff;
	uint64_t wide = 0;

	bus_read(&fake.m.mmio, FAKE_BASE + R_MAGIC, &byte, 1);
	cr_assert(eq(u8, byte, 0));
	bus_read(&fake.m.mmio, FAKE_BASE + R_MAGIC, &wide, 8);
	cr_assert(eq(u64, wide, 0));
	byte = 1;
	bus_write(&fake.m.mmio, FAKE_BASE + R_STATUS, &byte, 1);
	cr_assert(eq(u32, status(), 0));
}

Test(virtio_mmio, offers_features_by_word)
{
	fake_write(&fake, R_DEVICE_FEATURES_SEL, 0);
	cr_assert(eq(u32, fake_read(&fake, R_DEVICE_FEATURES), 1u << 28 | 1u << 29));
	fake_write(&fake, R_DEVICE_FEATURES_SEL, 1);
	cr_assert(eq(u32, fake_read(&fake, R_DEVICE_FEATURES), 1));
	fake_write(&fake, R_DEVICE_FEATURES_SEL, 2);
	cr_assert(eq(u32, fake_read(&fake, R_DEVICE_FEATURES), 0));
}

Test(virtio_mmio, accepts_offered_features)
{
	fake_negotiate(&fake, VIRTIO_VERSION_1 | VIRTIO_EVENT_IDX);
	cr_assert(eq(u32, status(), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK));
}

Test(virtio_mmio, refuses_a_feature_it_does_not_offer)
{
	fake_negotiate(&fake, VIRTIO_VERSION_1 | VIRTIO_FEATURE(34));
	cr_assert(eq(u32, status(), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER));
}

Test(virtio_mmio, refuses_a_legacy_driver)
{
	fake_negotiate(&fake, 0);
	cr_assert(eq(u32, status(), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER));
	/* And goes no further (§3.1.1). */
	fake_write(&fake, R_STATUS, status() | VIRTIO_DRIVER_OK);
	cr_assert(eq(u32, status(), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER));
}

Test(virtio_mmio, features_are_fixed_by_features_ok)
{
	fake_negotiate(&fake, VIRTIO_VERSION_1);
	fake_write(&fake, R_DRIVER_FEATURES_SEL, 0);
	fake_write(&fake, R_DRIVER_FEATURES, UINT32_MAX);
	cr_assert(eq(u64, fake.v->s.features, VIRTIO_VERSION_1));
}

Test(virtio_mmio, status_bits_are_only_added)
{
	fake_negotiate(&fake, VIRTIO_VERSION_1);
	fake_write(&fake, R_STATUS, VIRTIO_ACKNOWLEDGE);
	cr_assert(eq(u32, status(), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK));
	fake_write(&fake, R_STATUS, status() | VIRTIO_NEEDS_RESET);
	cr_assert(zero(u32, status() & VIRTIO_NEEDS_RESET));
}

Test(virtio_mmio, queue_registers)
{
	fake_negotiate(&fake, VIRTIO_VERSION_1);
	fake_write(&fake, R_QUEUE_SEL, 0);
	cr_assert(eq(u32, fake_read(&fake, R_QUEUE_NUM_MAX), VQ_MAX_SIZE));
	cr_assert(eq(u32, fake_read(&fake, R_QUEUE_READY), 0));
	fake_write(&fake, R_QUEUE_SEL, 1);
	cr_assert(eq(u32, fake_read(&fake, R_QUEUE_NUM_MAX), 0));
	fake_write(&fake, R_QUEUE_READY, 1);
	cr_assert(eq(u32, fake_read(&fake, R_QUEUE_READY), 0));
	fake_write(&fake, R_QUEUE_SEL, UINT32_MAX);
	cr_assert(eq(u32, fake_read(&fake, R_QUEUE_NUM_MAX), 0));
	fake_setup_queue(&fake, 0, 16);
	cr_assert(eq(u32, fake_read(&fake, R_QUEUE_READY), 1));
	/* In use, it cannot be moved. */
	fake_write(&fake, R_QUEUE_DESC, 0x123000);
	cr_assert(eq(u64, fake.v->s.queue[0].desc, fake.q[0].desc));
	fake_write(&fake, R_QUEUE_READY, 0);
	cr_assert(eq(u32, fake_read(&fake, R_QUEUE_READY), 0));
}

Test(virtio_mmio, a_queue_outside_memory_needs_a_reset)
{
	fake_negotiate(&fake, VIRTIO_VERSION_1);
	fake_write(&fake, R_QUEUE_SEL, 0);
	fake_write(&fake, R_QUEUE_NUM, 16);
	fake_write(&fake, R_QUEUE_DESC + 4, 1);
	fake_write(&fake, R_QUEUE_READY, 1);
	cr_assert(eq(u32, fake_read(&fake, R_QUEUE_READY), 0));
	cr_assert(not(zero(u32, status() & VIRTIO_NEEDS_RESET)));
	cr_assert(eq(uint, fake_log_lines(&fake), 1));
	cr_assert(eq(uint, fake_interrupts(&fake), 0), "not before DRIVER_OK (§2.1.2)");
	fake_write(&fake, R_STATUS, status() | VIRTIO_DRIVER_OK);
	cr_assert(eq(uint, fake_interrupts(&fake), 1));
	cr_assert(eq(u32, fake_read(&fake, R_INTERRUPT_STATUS), 2));
}

Test(virtio_mmio, a_queue_of_absurd_size_needs_a_reset)
{
	fake_negotiate(&fake, VIRTIO_VERSION_1);
	fake_setup_queue(&fake, 0, 24);
	cr_assert(not(zero(u32, status() & VIRTIO_NEEDS_RESET)));
	fake_negotiate(&fake, VIRTIO_VERSION_1);
	cr_assert(zero(u32, status() & VIRTIO_NEEDS_RESET));
	fake_setup_queue(&fake, 0, 4096);
	cr_assert(not(zero(u32, status() & VIRTIO_NEEDS_RESET)));
}

Test(virtio_mmio, serves_only_after_driver_ok)
{
	struct fake_seg seg = {FAKE_BUFFERS, 8, true};
	uint32_t id, len;

	fake_negotiate(&fake, VIRTIO_VERSION_1);
	fake_setup_queue(&fake, 0, 16);
	fake_post(&fake, 0, &seg, 1);
	fake_kick(&fake, 0);
	cr_assert(not(fake_used(&fake, 0, &id, &len)));
	/* What was made available before is looked at then. */
	fake_write(&fake, R_STATUS, status() | VIRTIO_DRIVER_OK);
	cr_assert(fake_used(&fake, 0, &id, &len));
	cr_assert(eq(u32, len, 8));
}

Test(virtio_mmio, interrupts_until_acknowledged)
{
	fake_bring_up(&fake, 0, 1, 16);
	cr_assert(eq(u32, ask(32), 32));
	cr_assert(eq(uint, fake_interrupts(&fake), 1));
	cr_assert(eq(u32, fake_read(&fake, R_INTERRUPT_STATUS), 1));
	fake_write(&fake, R_INTERRUPT_ACK, 1);
	cr_assert(eq(u32, fake_read(&fake, R_INTERRUPT_STATUS), 0));
}

Test(virtio_mmio, entropy_is_bounded_and_differs)
{
	uint8_t first[64];

	fake_bring_up(&fake, 0, 1, 16);
	cr_assert(eq(u32, ask(MIB(1)), 65536));
	memcpy(first, fake_ram(&fake, FAKE_BUFFERS, 64), 64);
	cr_assert(eq(u32, ask(64), 64));
	cr_assert(ne(int, memcmp(first, fake_ram(&fake, FAKE_BUFFERS, 64), 64), 0));
}

Test(virtio_mmio, many_requests_at_once_are_all_served)
{
	struct fake_seg seg = {FAKE_BUFFERS, 4, true};
	uint32_t id, len;

	fake_bring_up(&fake, 0, 1, 128);
	for (unsigned i = 0; i < 128; i++)
		fake_post(&fake, 0, &seg, 1);
	fake_kick(&fake, 0);
	for (unsigned i = 0; i < 16; i++)
		fake_loop(&fake);
	for (unsigned i = 0; i < 128; i++)
		cr_assert(fake_used(&fake, 0, &id, &len), "request %u", i);
}

Test(virtio_mmio, a_bad_chain_stops_the_device_until_reset)
{
	fake_bring_up(&fake, 0, 1, 16);
	fake_make_available(&fake, 0, 77);
	fake_kick(&fake, 0);
	cr_assert(not(zero(u32, status() & VIRTIO_NEEDS_RESET)));
	cr_assert(eq(u32, fake_read(&fake, R_INTERRUPT_STATUS), 2));
	cr_assert(eq(uint, fake_log_lines(&fake), 1));
	cr_assert(eq(u32, ask(8), 0));
	fake_bring_up(&fake, 0, 1, 16);
	cr_assert(eq(u32, fake_read(&fake, R_INTERRUPT_STATUS), 0));
	cr_assert(eq(u32, ask(8), 8));
}

Test(virtio_mmio, a_hostile_guest_does_not_flood_the_log)
{
	for (unsigned i = 0; i < 1000; i++) {
		fake_bring_up(&fake, 0, 1, 16);
		fake_make_available(&fake, 0, 77);
		fake_kick(&fake, 0);
	}
	cr_assert(lt(uint, fake_log_lines(&fake), 60));
}

Test(virtio_mmio, failed_driver_is_left_alone)
{
	fake_bring_up(&fake, 0, 1, 16);
	fake_write(&fake, R_STATUS, status() | VIRTIO_FAILED);
	cr_assert(eq(u32, ask(8), 0));
}

Test(virtio_mmio, without_a_vm_a_busy_queue_stays_with_exits)
{
	fake_bring_up(&fake, 0, 1, 16);
	for (unsigned i = 0; i < 200; i++)
		cr_assert(eq(u32, ask(8), 8));
	cr_assert(eq(uint, fake_log_lines(&fake), 1), "the failed ioeventfd, once");
}

Test(virtio_mmio, notify_of_a_queue_that_is_not_there)
{
	fake_bring_up(&fake, 0, 1, 16);
	fake_kick(&fake, 1);
	fake_kick(&fake, UINT32_MAX);
	cr_assert(eq(u32, ask(8), 8));
}

Test(virtio_mmio, quiet_while_paused)
{
	struct fake_seg seg = {FAKE_BUFFERS, 8, true};
	struct device *dev = &fake.v->dev;
	uint32_t id, len;

	fake_bring_up(&fake, 0, 1, 16);
	dev->ops->quiesce(dev);
	fake_post(&fake, 0, &seg, 1);
	fake_kick(&fake, 0);
	virtio_reschedule(fake.v, 0);
	fake_loop(&fake);
	cr_assert(not(fake_used(&fake, 0, &id, &len)));
	dev->ops->start(dev);
	cr_assert(fake_used(&fake, 0, &id, &len));
}

Test(virtio_mmio, guest_reset_forgets_everything)
{
	struct device *dev = &fake.v->dev;

	fake_bring_up(&fake, VIRTIO_EVENT_IDX, 1, 16);
	ask(8);
	fake_stop(&fake);
	fake_reset(&fake);
	dev->ops->start(dev);
	cr_assert(eq(u32, status(), 0));
	cr_assert(eq(u32, fake_read(&fake, R_INTERRUPT_STATUS), 0));
	cr_assert(eq(u32, fake_read(&fake, R_QUEUE_READY), 0));
	fake_bring_up(&fake, 0, 1, 16);
	cr_assert(eq(u32, ask(8), 8));
}

Test(virtio_mmio, moves_with_work_waiting)
{
	struct fake_seg seg = {FAKE_BUFFERS, 8, true};
	struct virtio_backend none = {0};
	struct fake other;
	struct err err;
	uint32_t id, len;

	fake_bring_up(&fake, VIRTIO_EVENT_IDX | VIRTIO_INDIRECT_DESC, 1, 16);
	for (unsigned i = 0; i < 20; i++)
		cr_assert(eq(u32, ask(8), 8));
	fake.v->dev.ops->quiesce(&fake.v->dev);
	fake_post(&fake, 0, &seg, 1);
	fake_init(&other);
	fake_plug(&other, VIRTIO_TYPE_RNG, "rng", &none);
	cr_assert(eq(int, fake_move(&fake, &other, &err), 0), "%s", err.text);
	/* An interrupt nobody acknowledged is raised again, the waiting request is served. */
	cr_assert(ge(uint, fake_interrupts(&other), 1));
	cr_assert(fake_used(&other, 0, &id, &len));
	cr_assert(eq(u32, len, 8));
	fake_post(&other, 0, &seg, 1);
	fake_kick(&other, 0);
	cr_assert(fake_used(&other, 0, &id, &len));
	fake_free(&other);
}

/* --- state that no driver could have produced --- */

static void expect_refused(void (*damage)(struct virtio_state *s))
{
	struct virtio_backend none = {0};
	struct fake other;
	struct err err;

	fake_bring_up(&fake, VIRTIO_EVENT_IDX, 1, 16);
	cr_assert(eq(u32, ask(8), 8));
	damage(&fake.v->s);
	fake_init(&other);
	fake_plug(&other, VIRTIO_TYPE_RNG, "rng", &none);
	cr_assert(lt(int, fake_move(&fake, &other, &err), 0));
	cr_assert(eq(u32, other.v->s.status, 0), "a refused state changes nothing");
	fake_free(&other);
}

static void unknown_feature(struct virtio_state *s)
{
	s->features |= VIRTIO_FEATURE(40);
}

static void no_version_1(struct virtio_state *s)
{
	s->features = 0;
}

static void unknown_status(struct virtio_state *s)
{
	s->status |= 0x10;
}

static void running_unnegotiated(struct virtio_state *s)
{
	s->status &= ~(uint32_t)VIRTIO_FEATURES_OK;
}

static void ring_outside(struct virtio_state *s)
{
	s->queue[0].device = UINT64_MAX - 3;
}

static void odd_size(struct virtio_state *s)
{
	s->queue[0].size = 12;
}

static void element_in_hand(struct virtio_state *s)
{
	s->queue[0].next_avail++;
}

static void ready_twice(struct virtio_state *s)
{
	s->queue[0].ready = 2;
}

static void another_device(struct virtio_state *s)
{
	s->device_id = 2;
}

#define REFUSED(name)                                                                              \
	Test(virtio_mmio, refuses_##name)                                                          \
	{                                                                                          \
		expect_refused(name);                                                              \
	}

REFUSED(unknown_feature)
REFUSED(no_version_1)
REFUSED(unknown_status)
REFUSED(running_unnegotiated)
REFUSED(ring_outside)
REFUSED(odd_size)
REFUSED(element_in_hand)
REFUSED(ready_twice)
REFUSED(another_device)
