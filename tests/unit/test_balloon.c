/* virtio-balloon requests from a guest's driver, and a guest being asked for memory (virtio 1.2
 * §5.5). */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "devices/virtio/balloon.h"
#include "tests/unit/fake_driver.h"

#define PAGE	 4096u
#define NUMBERS	 FAKE_BUFFERS /* what requests are made of */
#define STATS	 (FAKE_BUFFERS + 0x2000)
#define FREE	 MIB(4) /* pages that tests give up, full of 'x' */
#define FREE_LEN MIB(2)

#define STALLED_US (BALLOON_STALLED_MS * 1000 + 100000)

#define F(name) VIRTIO_FEATURE(VIRTIO_BALLOON_F_##name)
#define ALL	(F(STATS_VQ) | F(DEFLATE_ON_OOM) | F(FREE_PAGE_HINT) | F(REPORTING))

enum { INFLATE, DEFLATE, STAT, HINT, REPORT };

static struct fake fake;

static void plug(struct fake *f)
{
	static const struct virtio_backend none;

	fake_init(f);
	fake_plug(f, VIRTIO_TYPE_BALLOON, "balloon", &none);
}

static void start(uint64_t features, unsigned nqueues)
{
	plug(&fake);
	fake_bring_up(&fake, features, nqueues, 64);
	memset(fake_ram(&fake, FREE, FREE_LEN), 'x', FREE_LEN);
}

static void setup(void)
{
	start(ALL, 5);
}

static void teardown(void)
{
	fake_free(&fake);
}

TestSuite(balloon, .init = setup, .fini = teardown);
TestSuite(balloon_other, .fini = teardown);

#define CONFIG_OF(f, field) fake_read(f, R_CONFIG + offsetof(struct virtio_balloon_config, field))
#define CONFIG(field)	    CONFIG_OF(&fake, field)

static void set_actual(uint32_t pages)
{
	fake_write(&fake, R_CONFIG + offsetof(struct virtio_balloon_config, actual), pages);
}

/* How many of these pages are zero. */
static unsigned gone(uint64_t gpa, unsigned pages)
{
	unsigned n = 0;

	for (unsigned i = 0; i < pages; i++)
		n += is_zero(fake_ram(&fake, gpa + i * PAGE, PAGE), PAGE);
	return n;
}

static void expect_used(unsigned queue, unsigned count)
{
	uint32_t id, len;

	for (unsigned i = 0; i < count; i++) {
		cr_assert(fake_used(&fake, queue, &id, &len));
		cr_assert(eq(u32, len, 0));
	}
	cr_assert_not(fake_used(&fake, queue, &id, &len));
}

static void give_numbers(unsigned queue, const uint32_t *page, unsigned n)
{
	struct fake_seg seg = {NUMBERS, 4 * n, false};

	for (unsigned i = 0; i < n; i++)
		le_put32(fake_ram(&fake, NUMBERS + 4 * i, 4), page[i]);
	fake_post(&fake, queue, &seg, 1);
	fake_kick(&fake, queue);
	expect_used(queue, 1);
}

static void send_command(uint32_t command)
{
	struct fake_seg seg = {NUMBERS, 4, false};

	le_put32(fake_ram(&fake, NUMBERS, 4), command);
	fake_post(&fake, HINT, &seg, 1);
	fake_kick(&fake, HINT);
	expect_used(HINT, 1);
}

static void give_range(unsigned queue, uint64_t gpa, uint32_t len)
{
	struct fake_seg seg = {gpa, len, true};

	fake_post(&fake, queue, &seg, 1);
	fake_kick(&fake, queue);
	expect_used(queue, 1);
}

Test(balloon, inflated_pages_are_empty_and_usable_again)
{
	/* Up, down, one twice, one alone. */
	const uint32_t page[] = {0x400, 0x401, 0x402, 0x410, 0x40f, 0x40e, 0x40e, 0x420};

	give_numbers(INFLATE, page, ARRAY_SIZE(page));
	cr_assert(eq(uint, gone(FREE, 0x30), 7));
	cr_assert(eq(uint, gone(FREE + 0xe * PAGE, 3), 3));
	set_actual(7);
	cr_assert(eq(u32, CONFIG(actual), 7));
	give_numbers(DEFLATE, page, ARRAY_SIZE(page));
	memset(fake_ram(&fake, FREE, PAGE), 'y', PAGE);
	cr_assert(eq(uint, gone(FREE, 0x30), 6));
}

Test(balloon, numbers_of_no_page_are_ignored_and_logged)
{
	const uint32_t page[] = {0x400, FAKE_RAM / PAGE - 1, FAKE_RAM / PAGE, 0xd0000, UINT32_MAX};

	give_numbers(INFLATE, page, ARRAY_SIZE(page));
	cr_assert(eq(uint, gone(FREE, 2), 1));
	cr_assert(eq(uint, fake_log_lines(&fake), 3));
	cr_assert(eq(u32, fake_read(&fake, R_STATUS) & VIRTIO_NEEDS_RESET, 0));
}

/* A list of every page of 4 TiB, in buffers that overlap: the walk is cut. */
Test(balloon, an_endless_list_is_cut)
{
	struct fake_seg seg[60];

	for (unsigned i = 0; i < ARRAY_SIZE(seg); i++)
		seg[i] = (struct fake_seg){FREE, FREE_LEN, false};
	fake_post(&fake, INFLATE, seg, ARRAY_SIZE(seg));
	fake_kick(&fake, INFLATE);
	for (unsigned turns = 0; turns < 4; turns++)
		fake_loop(&fake);
	expect_used(INFLATE, 1);
	cr_assert(le(uint, fake_log_lines(&fake), 21));
}

Test(balloon, reported_ranges_are_empty)
{
	struct fake_seg seg[] = {{FREE, 2 * PAGE, true}, {FREE + 4 * PAGE, PAGE, true}};

	fake_post(&fake, REPORT, seg, 2);
	fake_kick(&fake, REPORT);
	expect_used(REPORT, 1);
	cr_assert(eq(uint, gone(FREE, 2), 2));
	cr_assert(eq(uint, gone(FREE, 8), 3));
	give_range(REPORT, FREE + 16 * PAGE + 1, PAGE); /* no whole page */
	cr_assert(eq(uint, gone(FREE + 16 * PAGE, 2), 0));
}

Test(balloon, a_range_outside_memory_breaks_the_queue)
{
	struct fake_seg seg = {FAKE_RAM - PAGE, 2 * PAGE, true};

	fake_post(&fake, REPORT, &seg, 1);
	fake_kick(&fake, REPORT);
	expect_used(REPORT, 0);
	cr_assert(ne(u32, fake_read(&fake, R_STATUS) & VIRTIO_NEEDS_RESET, 0));
}

Test(balloon_other, a_pattern_in_free_pages_stays)
{
	start(ALL | F(PAGE_POISON), 5);
	fake_write(&fake, R_CONFIG + offsetof(struct virtio_balloon_config, poison_val),
		   0xaaaaaaaa);
	cr_assert(eq(u32, CONFIG(poison_val), 0xaaaaaaaa));
	give_range(REPORT, FREE, 4 * PAGE);
	cr_assert(balloon_trim(&fake.v->dev, false));
	send_command(CONFIG(free_page_hint_cmd_id));
	give_range(HINT, FREE, 4 * PAGE);
	cr_assert(eq(uint, gone(FREE, 4), 0));
	fake_write(&fake, R_CONFIG + offsetof(struct virtio_balloon_config, poison_val), 0);
	give_range(REPORT, FREE, 4 * PAGE);
	cr_assert(eq(uint, gone(FREE, 4), 4));
}

/* The numbers of a driver's queues have no gaps. */
Test(balloon_other, a_driver_that_only_reports)
{
	start(F(REPORTING), 3);
	give_range(2, FREE, PAGE);
	cr_assert(eq(uint, gone(FREE, 4), 1));
	cr_assert_not(balloon_trim(&fake.v->dev, true));
	cr_assert_not(balloon_trim(&fake.v->dev, false));
}

Test(balloon, hints_answer_the_command)
{
	uint32_t command;

	give_range(HINT, FREE, PAGE); /* nobody asked */
	cr_assert(eq(uint, gone(FREE, 1), 0));
	fake_interrupts(&fake);
	cr_assert(balloon_trim(&fake.v->dev, false));
	cr_assert(eq(uint, fake_interrupts(&fake), 1));
	cr_assert(ne(u32, fake_read(&fake, R_INTERRUPT_STATUS) & VIRTIO_CAUSE_CONFIG, 0));
	command = CONFIG(free_page_hint_cmd_id);
	cr_assert(ge(u32, command, VIRTIO_BALLOON_CMD_ID_DONE + 1));

	send_command(command + 1); /* not what was asked */
	give_range(HINT, FREE, PAGE);
	cr_assert(eq(uint, gone(FREE, 1), 0));
	send_command(command);
	give_range(HINT, FREE, 2 * PAGE);
	cr_assert(eq(uint, gone(FREE, 4), 2));
	cr_assert(balloon_trimming(&fake.v->dev));
	send_command(VIRTIO_BALLOON_CMD_ID_STOP);
	cr_assert_not(balloon_trimming(&fake.v->dev));
	give_range(HINT, FREE + 2 * PAGE, PAGE);
	cr_assert(eq(uint, gone(FREE, 4), 2));
}

/* What Linux does under pressure: the page was hinted, is taken back, and written to. */
Test(balloon, a_hinted_page_that_is_used_again_keeps_what_it_gets)
{
	cr_assert(balloon_trim(&fake.v->dev, false));
	send_command(CONFIG(free_page_hint_cmd_id));
	give_range(HINT, FREE, 2 * PAGE);
	memset(fake_ram(&fake, FREE, PAGE), 'y', PAGE);
	send_command(VIRTIO_BALLOON_CMD_ID_STOP);
	fake.v->dev.ops->quiesce(&fake.v->dev);
	cr_assert(eq(uint, gone(FREE, 2), 1));
	fake.v->dev.ops->start(&fake.v->dev);
	cr_assert(eq(uint, gone(FREE, 2), 1));
	cr_assert(eq(u32, CONFIG(free_page_hint_cmd_id), VIRTIO_BALLOON_CMD_ID_DONE));
}

/* More than are served at a time: the rest waited too long to be true. */
Test(balloon, hints_that_waited_are_not_used)
{
	cr_assert(balloon_trim(&fake.v->dev, false));
	send_command(CONFIG(free_page_hint_cmd_id));
	for (unsigned i = 0; i < 20; i++) {
		struct fake_seg seg = {FREE + i * PAGE, PAGE, true};

		fake_post(&fake, HINT, &seg, 1);
	}
	fake_kick(&fake, HINT);
	expect_used(HINT, 16);
	fake_loop(&fake);
	expect_used(HINT, 4);
	cr_assert(eq(uint, gone(FREE, 20), 16));
	give_range(HINT, FREE + 30 * PAGE, PAGE);
	cr_assert(eq(uint, gone(FREE + 30 * PAGE, 1), 1));
}

/* Notified often, its queues still have no doorbell but the exit. */
Test(balloon, hints_are_always_handled_at_once)
{
	cr_assert(balloon_trim(&fake.v->dev, false));
	send_command(CONFIG(free_page_hint_cmd_id));
	for (unsigned i = 0; i < 300; i++)
		give_range(HINT, FREE + i * PAGE, PAGE);
	cr_assert(eq(uint, gone(FREE, 300), 300));
	cr_assert(eq(int, fake.v->notifier[HINT].fd, -1));
}

static void put_stat(unsigned at, uint16_t tag, uint64_t value)
{
	uint8_t *s = fake_ram(&fake, STATS + 10 * at, 10);

	le_put16(s, tag);
	le_put64(s + 2, value);
}

static void give_stats(uint64_t available)
{
	struct fake_seg seg = {STATS, 30, false};

	put_stat(0, VIRTIO_BALLOON_S_MEMFREE, 1);
	put_stat(1, 0x7777, UINT64_MAX);
	put_stat(2, VIRTIO_BALLOON_S_AVAIL, available);
	fake_post(&fake, STAT, &seg, 1);
	fake_kick(&fake, STAT);
}

Test(balloon, caches_are_asked_for_by_what_is_available)
{
	give_stats(0);
	expect_used(STAT, 0); /* kept for the next question */
	cr_assert(balloon_trim(&fake.v->dev, true));
	expect_used(STAT, 1);
	cr_assert(balloon_trimming(&fake.v->dev));
	cr_assert(eq(u32, CONFIG(num_pages), 0));
	give_stats(1600 * PAGE);
	expect_used(STAT, 0);
	cr_assert(eq(u32, CONFIG(num_pages), 1500));
	set_actual(1000);
	cr_assert(balloon_trimming(&fake.v->dev));
	set_actual(1500);
	cr_assert_not(balloon_trimming(&fake.v->dev));
	cr_assert(eq(u64, balloon_bytes(&fake.v->dev), 1500 * PAGE));
	fake.v->dev.ops->quiesce(&fake.v->dev);
	cr_assert(eq(u32, CONFIG(num_pages), 1500));
	fake_interrupts(&fake);
	fake.v->dev.ops->start(&fake.v->dev);
	cr_assert(eq(u32, CONFIG(num_pages), 0));
	cr_assert(ge(uint, fake_interrupts(&fake), 1));
}

Test(balloon, nothing_is_asked_of_a_guest_with_nothing_to_give)
{
	give_stats(0);
	cr_assert(balloon_trim(&fake.v->dev, true));
	give_stats(0);
	cr_assert_not(balloon_trimming(&fake.v->dev));
	cr_assert(eq(u32, CONFIG(num_pages), 0));
}

Test(balloon, lies_are_bounded_by_the_memory_there_is)
{
	struct err err;
	static struct fake other;

	set_actual(UINT32_MAX);
	give_stats(0);
	cr_assert(balloon_trim(&fake.v->dev, true));
	give_stats(UINT64_MAX);
	cr_assert(eq(u32, CONFIG(num_pages), FAKE_RAM / PAGE));
	cr_assert_not(balloon_trimming(&fake.v->dev));
	plug(&other);
	cr_assert(eq(int, fake_move(&fake, &other, &err), 0), "%s", err.text);
	fake_free(&other);
}

Test(balloon, a_balloon_that_grows_no_further_is_full)
{
	give_stats(0);
	cr_assert(balloon_trim(&fake.v->dev, true));
	give_stats(1600 * PAGE);
	set_actual(700);
	cr_assert(balloon_trimming(&fake.v->dev));
	usleep(STALLED_US / 2);
	set_actual(500); /* it needed some, and gave it again: no further than it was */
	set_actual(700);
	usleep(STALLED_US / 2);
	cr_assert_not(balloon_trimming(&fake.v->dev));
	cr_assert(eq(u32, CONFIG(num_pages), 700)); /* the guest need not try any more */
}

Test(balloon, a_balloon_that_grows_slowly_is_waited_for)
{
	give_stats(0);
	cr_assert(balloon_trim(&fake.v->dev, true));
	give_stats(1600 * PAGE);
	for (uint32_t pages = 1; pages < 4; pages++) {
		usleep(STALLED_US / 2);
		set_actual(pages);
		cr_assert(balloon_trimming(&fake.v->dev));
	}
}

Test(balloon, a_guest_that_does_not_answer_is_not_waited_for)
{
	cr_assert(balloon_trim(&fake.v->dev, false));
	send_command(CONFIG(free_page_hint_cmd_id));
	cr_assert(balloon_trimming(&fake.v->dev));
	usleep(STALLED_US);
	cr_assert_not(balloon_trimming(&fake.v->dev));
	give_range(HINT, FREE, PAGE); /* later is as good */
	cr_assert(eq(uint, gone(FREE, 1), 1));
}

Test(balloon, a_trimming_begun_again_starts_over)
{
	cr_assert(balloon_trim(&fake.v->dev, false));
	send_command(CONFIG(free_page_hint_cmd_id));
	give_stats(0);
	cr_assert(balloon_trim(&fake.v->dev, true));
	cr_assert(eq(u32, CONFIG(free_page_hint_cmd_id), VIRTIO_BALLOON_CMD_ID_DONE));
	give_range(HINT, FREE, PAGE);
	cr_assert(eq(uint, gone(FREE, 1), 0));
	give_stats(16 * PAGE);
	cr_assert(eq(u32, CONFIG(num_pages), 15));
}

Test(balloon, a_paused_machine_is_not_asked)
{
	fake.v->dev.ops->quiesce(&fake.v->dev);
	cr_assert_not(balloon_trim(&fake.v->dev, false));
	cr_assert_not(balloon_trimming(&fake.v->dev));
	cr_assert(eq(u32, CONFIG(free_page_hint_cmd_id), VIRTIO_BALLOON_CMD_ID_STOP));
}

Test(balloon, a_driver_that_resets_is_asked_nothing_any_more)
{
	cr_assert(balloon_trim(&fake.v->dev, false));
	fake_bring_up(&fake, ALL, 5, 64);
	cr_assert(eq(u32, CONFIG(free_page_hint_cmd_id), VIRTIO_BALLOON_CMD_ID_STOP));
	cr_assert_not(balloon_trimming(&fake.v->dev));
}

/* In the middle of everything: hints begun, the balloon half full, statistics waiting. */
Test(balloon, goes_on_elsewhere_and_gives_back)
{
	static struct fake other;
	struct err err;

	give_stats(0);
	cr_assert(balloon_trim(&fake.v->dev, true));
	give_stats(1600 * PAGE);
	set_actual(100);
	cr_assert(balloon_trim(&fake.v->dev, false));
	send_command(CONFIG(free_page_hint_cmd_id));
	plug(&other);
	cr_assert(eq(int, fake_move(&fake, &other, &err), 0), "%s", err.text);
	cr_assert(eq(u32, CONFIG_OF(&other, num_pages), 0));
	cr_assert(eq(u32, CONFIG_OF(&other, actual), 100));
	cr_assert(eq(u32, CONFIG_OF(&other, free_page_hint_cmd_id), VIRTIO_BALLOON_CMD_ID_DONE));
	cr_assert(ge(uint, fake_interrupts(&other), 1));
	fake_free(&other);
}

Test(balloon, damaged_state_is_refused_or_harmless)
{
	uint64_t seed = 7;

	cr_assert(balloon_trim(&fake.v->dev, false));
	for (unsigned i = 0; i < 300; i++) {
		static struct fake other;
		struct err err;

		plug(&other);
		if (fake_move_damaged(&fake, &other, &seed, &err) == 0)
			fake_kick(&other, REPORT);
		fake_free(&other);
	}
}

Test(balloon, a_size_that_is_set_stays)
{
	struct balloon_view view;
	struct err err;

	cr_assert(eq(int, balloon_set_target(&fake.v->dev, MIB(2) + 5, &err), 0));
	cr_assert(eq(u32, CONFIG(num_pages), 512));
	set_actual(512);
	balloon_look(&fake.v->dev, &view);
	cr_assert(eq(u64, view.target, MIB(2)));
	cr_assert(eq(u64, view.actual, MIB(2)));
	cr_assert(view.driver);
	/* A trimming leads back to it. */
	give_stats(0);
	cr_assert(balloon_trim(&fake.v->dev, true));
	expect_used(STAT, 1);
	give_stats(1600 * PAGE);
	cr_assert(eq(u32, CONFIG(num_pages), 512 + 1500));
	fake.v->dev.ops->quiesce(&fake.v->dev);
	fake.v->dev.ops->start(&fake.v->dev);
	cr_assert(eq(u32, CONFIG(num_pages), 512));
	cr_assert(eq(int, balloon_set_target(&fake.v->dev, UINT64_MAX, &err), -EINVAL));
	cr_assert(eq(u32, CONFIG(num_pages), 512));
	cr_assert(eq(int, balloon_set_target(&fake.v->dev, 0, &err), 0));
	cr_assert(eq(u32, CONFIG(num_pages), 0));
}

/* It is part of the state, and a guest that boots anew finds it. */
Test(balloon, a_size_goes_along)
{
	struct balloon_view view;
	struct fake other;
	struct err err;

	cr_assert(eq(int, balloon_set_target(&fake.v->dev, MIB(3), &err), 0));
	plug(&other);
	cr_assert(eq(int, fake_move(&fake, &other, &err), 0), "%s", err.text);
	balloon_look(&other.v->dev, &view);
	cr_assert(eq(u64, view.target, MIB(3)));
	cr_assert(eq(u32, CONFIG_OF(&other, num_pages), 768));
	fake_write(&other, R_STATUS, 0);
	cr_assert(eq(u32, CONFIG_OF(&other, num_pages), 768));
	fake_free(&other);
}

Test(balloon, one_that_stands_still_is_told_later)
{
	struct err err;

	fake.v->dev.ops->quiesce(&fake.v->dev);
	cr_assert(eq(int, balloon_set_target(&fake.v->dev, MIB(1), &err), 0));
	cr_assert(eq(u32, CONFIG(num_pages), 0));
	fake.v->dev.ops->start(&fake.v->dev);
	cr_assert(eq(u32, CONFIG(num_pages), 256));
}

Test(balloon, statistics_are_what_the_guest_said_last)
{
	struct balloon_view view;

	give_stats(100 * PAGE);
	balloon_look(&fake.v->dev, &view);
	cr_assert(eq(u64, view.answers, 1));
	balloon_ask_stats(&fake.v->dev);
	expect_used(STAT, 1);
	give_stats(200 * PAGE);
	balloon_look(&fake.v->dev, &view);
	cr_assert(eq(u64, view.answers, 2));
	cr_assert(ge(uint, view.nstats, 1));
	for (unsigned i = 0; i < view.nstats; i++) {
		if (strcmp(view.stat[i].name, "available") == 0)
			cr_assert(eq(u64, view.stat[i].value, 200 * PAGE));
	}
}
