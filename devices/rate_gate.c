/* See rate_gate.h. */
#include "devices/rate_gate.h"

#include "base/clock.h"
#include "base/num.h"

int rate_gate_open(struct rate_gate *g, uint64_t requests, uint64_t bytes, struct loop *loop,
		   void (*fn)(void *opaque), void *opaque, struct err *err)
{
	g->requests.per_second = requests;
	g->bytes.per_second = bytes;
	return timer_open(&g->timer, loop, fn, opaque, err);
}

bool rate_gate_allows(struct rate_gate *g)
{
	uint64_t now, wait;

	if (g->timer.fd < 0)
		return true;
	now = clock_monotonic_ns();
	wait = u64_max(rate_wait_ns(&g->requests, now), rate_wait_ns(&g->bytes, now));
	if (wait > 0)
		timer_set(&g->timer, (unsigned)u64_min(wait / NS_PER_MS + 1, UINT32_MAX));
	return wait == 0;
}

void rate_gate_charge(struct rate_gate *g, uint64_t bytes)
{
	uint64_t now;

	if (g->timer.fd < 0)
		return;
	now = clock_monotonic_ns();
	rate_charge(&g->requests, 1, now);
	rate_charge(&g->bytes, bytes, now);
}

void rate_gate_close(struct rate_gate *g)
{
	timer_close(&g->timer);
}
