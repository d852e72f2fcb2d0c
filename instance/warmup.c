/* See warmup.h. */
#include "instance/warmup.h"

#include <string.h>

static void on_warmup_over(void *opaque)
{
	struct warmup *r = opaque;

	r->timed_out = true;
	machine_end(r->machine, MACHINE_END_KILLED);
}

/* Do the last bytes that it printed equal `until`? A window as long as that moves over them. */
static void on_warmup_text(void *opaque, const uint8_t *data, size_t len)
{
	struct warmup *r = opaque;
	size_t wanted = strlen(r->until);

	for (size_t i = 0; i < len && !r->heard; i++) {
		if (r->nlast == wanted)
			memmove(r->last, r->last + 1, --r->nlast);
		r->last[r->nlast++] = (char)data[i];
		r->heard = r->nlast == wanted && memcmp(r->last, r->until, wanted) == 0;
	}
	if (r->heard)
		machine_end(r->machine, MACHINE_END_KILLED);
}

int warmup_watch(struct warmup *r, struct machine *m, struct console_hub *hub, struct err *err)
{
	int ret;

	r->machine = m;
	r->timer = TIMER_CLOSED;
	ret = timer_open(&r->timer, &m->loop, on_warmup_over, r, err);
	if (ret < 0)
		return ret;
	timer_set(&r->timer, (unsigned)r->seconds * 1000);
	if (r->until != NULL) {
		hub->heard = on_warmup_text;
		hub->heard_opaque = r;
	}
	return 0;
}

int warmup_end(struct warmup *r, const struct pager *pager, struct err *err)
{
	timer_close(&r->timer);
	return touched_collect(r->machine, r->in_order ? pager : NULL, &r->touched, err);
}
