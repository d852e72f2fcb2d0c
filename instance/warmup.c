/* See warmup.h. */
#include "instance/warmup.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/num.h"

static void on_warmup_over(struct loop_watch *watch, uint32_t events)
{
	struct warmup *r = container_of(watch, struct warmup, timer_watch);

	(void)events;
	r->timed_out = true;
	machine_end(r->machine, MACHINE_END_KILLED);
}

/* The last bytes it said are `until`: a window as long as that moves over them. */
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
	struct itimerspec when = {.it_value.tv_sec = (time_t)r->seconds};

	r->machine = m;
	r->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (r->timer_fd < 0 || timerfd_settime(r->timer_fd, 0, &when, NULL) < 0)
		return err_sys(err, errno, "timerfd");
	if (r->until != NULL) {
		hub->heard = on_warmup_text;
		hub->heard_opaque = r;
	}
	return loop_add(&m->loop, &r->timer_watch, r->timer_fd, EPOLLIN, on_warmup_over, err);
}

int warmup_end(struct warmup *r, const struct pager *pager, struct err *err)
{
	close(r->timer_fd);
	return touched_collect(r->machine, r->in_order ? pager : NULL, &r->touched, err);
}
