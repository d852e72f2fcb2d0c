/* See hold.h. */
#include "instance/hold.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"

static void on_closed(struct loop_watch *watch, uint32_t events)
{
	struct hold *h = container_of(watch, struct hold, watch);

	/* Nobody writes to the pipe. A socket's requests are read elsewhere. */
	(void)events;
	if (h->loss == HOLD_PUBLISHES) {
		h->lost(h);
		return;
	}
	hold_release(h);
	switch (h->loss) {
	case HOLD_GOES_ON:
		hold_give_up(h);
		break;
	case HOLD_STAYS:
		log_line(&h->machine->log,
			 "the move was cut off behind its commit: the machine may run on the other "
			 "host, so it stays paused here");
		break;
	case HOLD_ENDS:
		log_line(&h->machine->log, "the move was given up before the machine ran here");
		machine_end(h->machine, MACHINE_END_KILLED);
		break;
	case HOLD_PUBLISHES: /* above */
		break;
	}
}

int hold_begin(struct hold *h, struct machine *m, int fd, enum hold_loss loss, struct err *err)
{
	cleanup_fd int pipe = fd;
	int ret;

	if (hold_is_active(h)) {
		err_set(err, ERR_FAILED, "machine %s is being %s already", m->log.prefix,
			hold_reason(h));
		return -EBUSY;
	}
	*h = (struct hold){
		.machine = m, .fd = -1, .loss = loss, .was_running = m->state == MACHINE_RUNNING};
	ret = loop_add(&m->loop, &h->watch, pipe, loss == HOLD_PUBLISHES ? 0 : EPOLLIN, on_closed,
		       err);
	if (ret < 0)
		return ret;
	h->fd = take_fd(&pipe);
	machine_pause(m);
	if (m->state != MACHINE_PAUSED) {
		hold_release(h);
		return machine_not_paused(m, err);
	}
	return 0;
}

int hold_commit(struct hold *h, struct err *err)
{
	if (!hold_is_move(h) || h->loss == HOLD_ENDS)
		return err_set(err, ERR_USAGE, "the machine is not being moved");
	h->loss = HOLD_STAYS;
	return 0;
}

void hold_release(struct hold *h)
{
	if (!hold_is_active(h))
		return;
	loop_del(&h->machine->loop, &h->watch);
	close(take_fd(&h->fd));
}

void hold_give_up(struct hold *h)
{
	log_line(&h->machine->log, "the move was given up: the machine is as it was");
	if (h->was_running)
		machine_unpause(h->machine);
}
