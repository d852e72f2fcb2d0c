/* What a download fetches next (wire/plan.h), and what it believes of an answer's range. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "wire/plan.h"
#include "wire/range.h"

#define ASKED	   (1u << PLAN_DEMAND | 1u << PLAN_HINT)
#define BACKGROUND (1u << PLAN_BACKGROUND)
#define KIB64	   KIB(64)

/* A hot set, and a large file. */
enum { HOT, LARGE };
#define HOT_SIZE   (MIB(2) + 100)
#define LARGE_SIZE (MIB(8) + 5)

struct planned {
	int map_fd;
	struct arrivals *set;
	struct plan plan;
	uint64_t now;
};

static void begin(struct planned *p)
{
	static const uint64_t sizes[] = {HOT_SIZE, LARGE_SIZE};

	p->map_fd = memfd_create("map", MFD_CLOEXEC);
	cr_assert(eq(int, arrivals_create(&p->set, p->map_fd, sizes, 2, NULL), 0));
	cr_assert(eq(int, plan_init(&p->plan, p->set, 0, NULL), 0));
	p->plan.file[HOT].first = true;
	p->now = 1000 * NS_PER_SECOND;
}

static void end(struct planned *p)
{
	plan_free(&p->plan);
	arrivals_free(p->set);
	close(p->map_fd);
}

static void ask(struct planned *p, uint64_t from, uint64_t len, bool now)
{
	const struct arrivals_request request = {
		.file = LARGE, .from = from, .len = len, .now = now};

	cr_assert(eq(int, plan_ask(&p->plan, &request, NULL), 0));
}

/* The next range is this one. */
static int expect_next(struct planned *p, unsigned kinds, uint32_t file, uint64_t from,
		       uint64_t len)
{
	int job = plan_next(&p->plan, kinds, p->now);

	cr_assert(ge(int, job, 0));
	cr_expect(eq(u32, p->plan.job[job].file, file));
	cr_expect(eq(u64, p->plan.job[job].from, from));
	cr_expect(eq(u64, p->plan.job[job].len, len));
	return job;
}

static void comes(struct planned *p, int job)
{
	const struct plan_range *r = &p->plan.job[job];

	arrival_mark(arrivals_file(p->set, r->file), r->from, r->len);
	plan_done(&p->plan, job, p->now);
}

Test(wire_plan, the_hot_set_comes_first_and_in_one_range)
{
	struct planned p;
	int job;

	begin(&p);
	job = expect_next(&p, BACKGROUND, HOT, 0, HOT_SIZE);
	cr_expect(eq(int, plan_next(&p.plan, ASKED, p.now), -1), "nobody has asked");
	comes(&p, job);
	cr_expect(plan_file_is_there(&p.plan, HOT));
	expect_next(&p, BACKGROUND, LARGE, 0, MIB(1));
	expect_next(&p, BACKGROUND, LARGE, MIB(1), MIB(1));
	cr_expect(eq(u32, plan_under_way(&p.plan, PLAN_BACKGROUND), 2));
	end(&p);
}

Test(wire_plan, the_rest_waits_for_the_hot_set)
{
	struct planned p;
	int job;

	begin(&p);
	job = expect_next(&p, BACKGROUND, HOT, 0, HOT_SIZE);
	cr_expect(eq(int, plan_next(&p.plan, BACKGROUND, p.now), -1));
	cr_expect(eq(u64, plan_wait_ns(&p.plan, p.now), 0), "no matter of time");
	/* It failed, and then for good. */
	plan_done(&p.plan, job, p.now);
	job = expect_next(&p, BACKGROUND, HOT, 0, HOT_SIZE);
	p.plan.file[HOT].ended = true;
	plan_done(&p.plan, job, p.now);
	expect_next(&p, BACKGROUND, LARGE, 0, MIB(1));
	end(&p);
}

Test(wire_plan, a_guest_that_begins_has_the_link_to_itself)
{
	struct planned p;

	begin(&p);
	plan_free(&p.plan);
	cr_assert(eq(int, plan_init(&p.plan, p.set, p.now, NULL), 0));
	cr_expect(eq(int, plan_next(&p.plan, ASKED | BACKGROUND, p.now), -1));
	cr_expect(eq(u64, plan_wait_ns(&p.plan, p.now), PLAN_MOMENT_NS));
	p.now += PLAN_MOMENT_NS;
	expect_next(&p, BACKGROUND, HOT, 0, MIB(1));
	end(&p);
}

Test(wire_plan, seek_tables_are_the_first_of_the_rest)
{
	struct planned p;
	int job;

	begin(&p);
	arrival_mark(arrivals_file(p.set, HOT), 0, HOT_SIZE);
	p.plan.file[LARGE].table = MIB(8) - ARRIVAL_BLOCK;
	job = expect_next(&p, BACKGROUND, LARGE, MIB(8) - ARRIVAL_BLOCK, ARRIVAL_BLOCK + 5);
	expect_next(&p, BACKGROUND, LARGE, 0, MIB(1));
	comes(&p, job);
	expect_next(&p, BACKGROUND, LARGE, MIB(1), MIB(1));
	end(&p);
}

/* Nothing is next now, but so long from now there is. */
static void expect_wait(struct planned *p, uint64_t ns)
{
	cr_expect(eq(int, plan_next(&p->plan, ASKED | BACKGROUND, p->now), -1));
	cr_assert(eq(u64, plan_wait_ns(&p->plan, p->now), ns));
	p->now += ns - 1;
	cr_expect(eq(int, plan_next(&p->plan, ASKED | BACKGROUND, p->now), -1));
	p->now++;
}

Test(wire_plan, the_rest_waits_until_nobody_has_waited_for_a_moment)
{
	struct planned p;
	int job, beside;

	begin(&p);
	comes(&p, plan_next(&p.plan, BACKGROUND, p.now));
	ask(&p, MIB(6), 1, true);
	job = expect_next(&p, ASKED | BACKGROUND, LARGE, MIB(6), KIB64);
	cr_expect(eq(int, plan_next(&p.plan, ASKED | BACKGROUND, p.now), -1), "somebody waits");
	p.now += NS_PER_SECOND;
	comes(&p, job);
	expect_wait(&p, PLAN_MOMENT_NS);
	/* One range, and when that has come, one more each time. */
	job = expect_next(&p, ASKED | BACKGROUND, LARGE, 0, MIB(1));
	cr_expect(eq(int, plan_next(&p.plan, ASKED | BACKGROUND, p.now), -1));
	comes(&p, job);
	job = expect_next(&p, BACKGROUND, LARGE, MIB(1), MIB(1));
	beside = expect_next(&p, BACKGROUND, LARGE, MIB(2), MIB(1));
	cr_expect(eq(int, plan_next(&p.plan, BACKGROUND, p.now), -1));
	/* Somebody waits for what is under way. */
	ask(&p, MIB(2), 1, true);
	cr_expect(eq(int, plan_next(&p.plan, ASKED | BACKGROUND, p.now), -1));
	comes(&p, job);
	cr_expect(eq(int, plan_next(&p.plan, ASKED | BACKGROUND, p.now), -1));
	comes(&p, beside);
	expect_wait(&p, PLAN_MOMENT_NS);
	expect_next(&p, BACKGROUND, LARGE, MIB(3), MIB(1));
	end(&p);
}

Test(wire_plan, the_rest_has_a_turn_where_somebody_always_waits)
{
	struct planned p;

	begin(&p);
	comes(&p, plan_next(&p.plan, BACKGROUND, p.now));
	for (unsigned turn = 0; turn < 2; turn++) {
		ask(&p, MIB(4 + turn), 1, true);
		expect_next(&p, ASKED | BACKGROUND, LARGE, MIB(4 + turn), KIB64);
		expect_wait(&p, PLAN_TURN_NS);
		comes(&p, expect_next(&p, ASKED | BACKGROUND, LARGE, MIB(turn), MIB(1)));
	}
	end(&p);
}

Test(wire_plan, a_demand_comes_before_hints_and_before_the_rest)
{
	struct planned p;

	begin(&p);
	ask(&p, MIB(4), 10, false);
	ask(&p, MIB(6), 10, true);
	expect_next(&p, ASKED | BACKGROUND, LARGE, MIB(6), KIB64);
	expect_next(&p, ASKED | BACKGROUND, LARGE, MIB(4), KIB64);
	expect_next(&p, ASKED | BACKGROUND, HOT, 0, HOT_SIZE);
	end(&p);
}

Test(wire_plan, neighbours_are_one_range_of_whole_blocks)
{
	struct planned p;

	begin(&p);
	ask(&p, MIB(4) + 100, KIB64, true);
	ask(&p, MIB(4) + KIB64 + 100, KIB64, true);
	ask(&p, MIB(5), KIB64, true);
	expect_next(&p, ASKED, LARGE, MIB(4), 2 * KIB64 + ARRIVAL_BLOCK);
	expect_next(&p, ASKED, LARGE, MIB(5), KIB64);
	cr_expect(eq(int, plan_next(&p.plan, ASKED, p.now), -1),
		  "all that was asked for is under way");
	end(&p);
}

Test(wire_plan, what_is_asked_for_in_order_is_read_ahead)
{
	struct planned p;
	uint64_t at = MIB(1), len = KIB64;

	begin(&p);
	for (unsigned i = 0; i < 4; i++) {
		ask(&p, at, 1, true);
		comes(&p, expect_next(&p, ASKED, LARGE, at, len));
		at += len;
		len *= 2;
	}
	/* Elsewhere it begins anew. */
	ask(&p, MIB(6), 1, true);
	expect_next(&p, ASKED, LARGE, MIB(6), KIB64);
	end(&p);
}

Test(wire_plan, nothing_is_fetched_twice_at_once)
{
	struct planned p;
	int job;

	begin(&p);
	arrival_mark(arrivals_file(p.set, LARGE), MIB(3) + KIB64, KIB64);
	ask(&p, MIB(3), 4 * KIB64, true);
	job = expect_next(&p, ASKED, LARGE, MIB(3), KIB64);
	expect_next(&p, ASKED, LARGE, MIB(3) + 2 * KIB64, 2 * KIB64);
	cr_expect(eq(int, plan_next(&p.plan, ASKED, p.now), -1));
	/* It failed: somebody still waits for it. */
	plan_done(&p.plan, job, p.now);
	expect_next(&p, ASKED, LARGE, MIB(3), KIB64);
	end(&p);
}

Test(wire_plan, the_end_of_a_file)
{
	struct planned p;

	begin(&p);
	ask(&p, LARGE_SIZE - 1, 1, true);
	comes(&p, expect_next(&p, ASKED, LARGE, MIB(8), 5));
	cr_expect(eq(int, plan_next(&p.plan, ASKED, p.now), -1));
	end(&p);
}

Test(wire_plan, a_file_without_ranges_is_one_range_at_a_time)
{
	struct planned p;
	int job;

	begin(&p);
	p.plan.file[LARGE].whole = true;
	ask(&p, MIB(4), 1, true);
	job = expect_next(&p, ASKED, LARGE, 0, LARGE_SIZE);
	cr_expect(eq(int, plan_next(&p.plan, ASKED, p.now), -1));
	/* It was cut off: from its beginning again. */
	arrival_mark(arrivals_file(p.set, LARGE), 0, MIB(2));
	plan_done(&p.plan, job, p.now);
	comes(&p, expect_next(&p, ASKED, LARGE, 0, LARGE_SIZE));
	cr_expect(plan_file_is_there(&p.plan, LARGE));
	end(&p);
}

/* In the background only what the other has is taken; what somebody waits for is fetched. */
Test(wire_plan, the_rest_is_left_to_another_download)
{
	static const uint64_t sizes[] = {HOT_SIZE, LARGE_SIZE};
	struct arrivals *other;
	struct planned p;
	int map_fd = memfd_create("map", MFD_CLOEXEC);

	begin(&p);
	cr_assert(eq(int, arrivals_create(&other, map_fd, sizes, 2, NULL), 0));
	arrival_mark(arrivals_file(p.set, HOT), 0, HOT_SIZE);
	p.plan.file[LARGE].beside = arrivals_file(other, LARGE);
	cr_expect(eq(int, plan_next(&p.plan, BACKGROUND, p.now), -1));
	arrival_mark(arrivals_file(other, LARGE), KIB64, KIB64);
	arrival_mark(arrivals_file(other, LARGE), LARGE_SIZE - LARGE_SIZE % ARRIVAL_BLOCK,
		     LARGE_SIZE % ARRIVAL_BLOCK);
	expect_next(&p, BACKGROUND, LARGE, KIB64, KIB64);
	arrival_mark(arrivals_file(p.set, LARGE), KIB64, KIB64);
	plan_done(&p.plan, 0, p.now);
	expect_next(&p, BACKGROUND, LARGE, LARGE_SIZE - LARGE_SIZE % ARRIVAL_BLOCK,
		    LARGE_SIZE % ARRIVAL_BLOCK);
	cr_expect(eq(int, plan_next(&p.plan, BACKGROUND, p.now), -1));
	ask(&p, MIB(1), 1, true);
	expect_next(&p, ASKED, LARGE, MIB(1), KIB64);
	/* It is not waited for any more. */
	p.plan.file[LARGE].beside = NULL;
	p.now += NS_PER_SECOND * 10;
	plan_done(&p.plan, 0, p.now);
	plan_done(&p.plan, 1, p.now);
	p.now += NS_PER_SECOND * 10;
	expect_next(&p, BACKGROUND, LARGE, 0, KIB64);
	arrivals_free(other);
	close(map_fd);
	end(&p);
}

Test(wire_plan, what_has_failed_is_not_asked_for)
{
	struct planned p;

	begin(&p);
	p.plan.file[LARGE].ended = p.plan.file[HOT].ended = true;
	ask(&p, 0, 1, true);
	cr_expect(eq(int, plan_next(&p.plan, ASKED | BACKGROUND, p.now), -1));
	end(&p);
}

Test(wire_range, what_a_content_range_may_say)
{
	uint64_t from, last, size;

	cr_assert(range_parse("bytes 5-9/10", &from, &last, &size));
	cr_expect(eq(u64, from, 5));
	cr_expect(eq(u64, last, 9));
	cr_expect(eq(u64, size, 10));
	cr_assert(range_parse("bytes 0-0/*", &from, &last, &size));
	cr_expect(eq(u64, size, UINT64_MAX));
}

Test(wire_range, what_is_none)
{
	static const char *const rows[] = {
		"",
		"bytes",
		"bytes ",
		"bytes */10",
		"bytes 5-4/10",
		"bytes 5-10/10",
		"bytes 5-9/",
		"bytes 5-9",
		"bytes 5/10",
		"bytes -9/10",
		"bytes 5-9/10x",
		"items 5-9/10",
		"bytes 99999999999999999999-99999999999999999999/*",
		"bytes 0-18446744073709551616/*",
	};
	uint64_t from, last, size;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		cr_expect(not(range_parse(rows[i], &from, &last, &size)), "%s", rows[i]);
}
