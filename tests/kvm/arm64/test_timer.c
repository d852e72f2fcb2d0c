/* Interrupts of the guest's timer, which the tiny kernel asks the chip for: they come, and they come in a
 * machine that was saved in between, by the time that the guest has seen pass. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/await.h"
#include "tests/kvm/harness.h"

static void save_paused(struct guest *g, const char *file)
{
	struct err err;

	guest_pause(g);
	cr_assert(eq(int, guest_save(g, file, &err), 0), "%s", err.text);
	guest_stop(g);
}

static void await_timer(struct guest *g)
{
	AWAIT(strcmp(guest_say(g, "irq"), "irq none") != 0);
	cr_assert_str_eq(g->reply, "irq 27");
	cr_assert_str_eq(guest_say(g, "irq"), "irq none");
}

Test(timer, fires_and_is_ended)
{
	struct guest g;

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){0});
	cr_assert_str_eq(guest_say(&g, "irq"), "irq none");
	for (int i = 0; i < 3; i++) {
		cr_assert_str_eq(guest_say(&g, "timer 1"), "timer ok");
		await_timer(&g);
	}
	guest_stop(&g);
}

/* The saves are in the middle of it, and what the guest waits for is longer than each life. */
Test(timer, fires_in_a_later_life)
{
	static struct guest g, h;
	const char *file = strdup(scratch_path("timer.torpor"));

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){0});
	cr_assert_str_eq(guest_say(&g, "timer 3000"), "timer ok");
	save_paused(&g, file);
	guest_resume(&h, file);
	await_timer(&h);
	guest_stop(&h);
}

/* Pending, acknowledged by nobody: the chip's state has it. */
Test(timer, pending_is_saved)
{
	static struct guest g, h;
	const char *file = strdup(scratch_path("pending.torpor"));
	uint64_t until;

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){0});
	cr_assert_str_eq(guest_say(&g, "timer 1"), "timer ok");
	until = guest_number(&g, "tsc") + 100000000; /* a second and more */
	guest_await_more(&g, "tsc", until);
	save_paused(&g, file);
	guest_resume(&h, file);
	cr_assert_str_eq(guest_say(&h, "irq"), "irq 27");
	cr_assert_str_eq(guest_say(&h, "irq"), "irq none");
	guest_stop(&h);
}

/* However long the file lies there, the counter goes on where it stood. */
Test(timer, the_counter_neither_jumps_nor_stands)
{
	static struct guest g, h;
	const char *file = strdup(scratch_path("counter.torpor"));
	uint64_t before, after;

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){0});
	before = guest_number(&g, "tsc");
	save_paused(&g, file);
	guest_resume(&h, file);
	after = guest_number(&h, "tsc");
	cr_assert(ge(u64, after, before + 1));
	guest_await_more(&h, "tsc", after);
	guest_stop(&h);
}

Test(timer, exceptions_are_told)
{
	struct guest g;

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){0});
	cr_assert_not_null(strstr(guest_say(&g, "fault"), "error exception"));
	guest_stop(&g);
}
