/* Limits by a token bucket: what begins is counted, with a clock of our own. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "base/clock.h"
#include "base/num.h"
#include "devices/rate.h"

#define BEGIN (1000 * NS_PER_SECOND)

/* How many begin in so many seconds, by someone who waits exactly as long as it takes. */
static uint64_t begun(struct rate *r, uint64_t cost, uint64_t seconds)
{
	uint64_t now = BEGIN, n = 0;

	while (now < BEGIN + seconds * NS_PER_SECOND) {
		uint64_t wait = rate_wait_ns(r, now);

		if (wait == 0) {
			rate_charge(r, cost, now);
			n++;
		}
		now += wait;
	}
	return n;
}

Test(rate, so_many_begin_a_second)
{
	struct rate few = {.per_second = 7}, many = {.per_second = 30000};
	struct rate bytes = {.per_second = MIB(1)}, most = {.per_second = RATE_MAX};

	/* Seven a second, and one that the bucket has at first. */
	cr_assert(eq(u64, begun(&few, 1, 10), 71));
	cr_assert(eq(u64, begun(&many, 1, 10), 303004));
	cr_assert(eq(u64, begun(&bytes, 4096, 10), 2586));
	/* Each larger than the bucket. */
	bytes.paid_ns = 0;
	cr_assert(eq(u64, begun(&bytes, MIB(4), 40), 11));
	cr_assert(eq(u64, begun(&most, UINT32_MAX, 10), 24));
}

Test(rate, an_idle_bucket_is_full_and_no_more)
{
	struct rate r = {.per_second = 100};
	unsigned n = 0;

	for (; rate_wait_ns(&r, BEGIN) == 0; n++)
		rate_charge(&r, 1, BEGIN);
	cr_assert(eq(uint, n, 11));
	for (; rate_wait_ns(&r, BEGIN * 2) == 0; n++)
		rate_charge(&r, 1, BEGIN * 2);
	cr_assert(eq(uint, n, 22), "a long time later it is not fuller");
}

Test(rate, without_a_limit_nothing_waits)
{
	struct rate r = {0};

	rate_charge(&r, UINT32_MAX, BEGIN);
	cr_assert(zero(u64, rate_wait_ns(&r, BEGIN)));
}
