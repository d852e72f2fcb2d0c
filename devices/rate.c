/* See rate.h. The bucket is kept as the moment at which it will be full again. */
#include "devices/rate.h"

#include "base/clock.h"
#include "base/num.h"

#define BURST_NS (NS_PER_SECOND / 10)

uint64_t rate_wait_ns(const struct rate *r, uint64_t now_ns)
{
	if (r->per_second == 0 || r->paid_ns <= now_ns + BURST_NS)
		return 0;
	return r->paid_ns - now_ns - BURST_NS;
}

void rate_charge(struct rate *r, uint64_t cost, uint64_t now_ns)
{
	if (r->per_second == 0)
		return;
	r->paid_ns = u64_max(r->paid_ns, now_ns) + cost / r->per_second * NS_PER_SECOND +
		     cost % r->per_second * NS_PER_SECOND / r->per_second;
}
