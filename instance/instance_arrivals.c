/*
 * A machine whose files are still arriving; see instance.h and base/arrival.h.
 *
 * A thread looks at how far they are and writes the events. It takes no lock of the machine's: the
 * loop may hold that while it waits for memory.
 */
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/arriving.h"
#include "instance/instance.h"

/* So often, at most, it looks. */
#define LOOK_MS 200

static void tell_state(struct instance *in, const struct arrivals_status *was,
		       const struct arrivals_status *now)
{
	if (was->state == ARRIVALS_WAITING)
		instance_event(
			in, "waited",
			json_pack("{s:s,s:I}", "host", was->host, "since", (json_int_t)was->since));
	if (now->state == ARRIVALS_WAITING)
		instance_event(in, "waiting", arriving_json(now));
	else if (now->state == ARRIVALS_COMPLETE)
		instance_event(in, "arrived", json_pack("{s:I}", "bytes", (json_int_t)now->bytes));
}

static void tell_change(struct instance *in, const struct arrivals_status *was,
			const struct arrivals_status *now)
{
	char text[ARRIVING_TEXT];

	if (now->state != was->state)
		tell_state(in, was, now);
	if (arrivals_have_failed(now) && !arrivals_have_failed(was))
		instance_event(in, "arrival-failed", arriving_json(now));
	if (now->state == ARRIVALS_COMPLETE) {
		log_line(&in->machine.log, "all of it has arrived");
		return;
	}
	arriving_text(now, text);
	log_line(&in->machine.log, "%s", text);
}

static void *watch_arrivals(void *instance)
{
	static const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000};
	struct instance *in = instance;
	struct arrivals *set = in->source->arrivals;
	struct arrivals_status was = {.state = ARRIVALS_GOING}, now;
	uint32_t generation = 0;

	while (!atomic_load(&in->arrivals_over)) {
		arrivals_status(set, &now);
		if (now.state != was.state ||
		    arrivals_have_failed(&now) != arrivals_have_failed(&was))
			tell_change(in, &was, &now);
		if (now.state == ARRIVALS_COMPLETE || now.state == ARRIVALS_FAILED)
			return NULL;
		was = now;
		nanosleep(&pause, NULL);
		arrivals_await_change(set, &generation);
	}
	return NULL;
}

/* Without these two it runs all the same. */
void instance_arrivals_note(const struct instance *in)
{
	if (in->source->arrivals != NULL)
		(void)arriving_note(in->claim.name, in->source->arrivals_map, NULL);
}

static void *watch_parent(void *instance)
{
	struct instance *in = instance;
	struct pollfd fds[] = {{.fd = in->options->report_fd},
			       {.fd = in->parent_fd, .events = POLLIN}};

	/* An error of the pipe's writing end is that nobody reads. */
	while (poll(fds, 2, -1) < 0)
		continue;
	if (fds[0].revents != 0)
		arrivals_interrupt(in->source->arrivals);
	return NULL;
}

void instance_arrivals_watch_parent(struct instance *in)
{
	if (in->source->arrivals == NULL || in->options->report_fd < 0)
		return;
	in->parent_fd = eventfd(0, EFD_CLOEXEC);
	if (in->parent_fd >= 0 && pthread_create(&in->parent_thread, NULL, watch_parent, in) != 0)
		cleanup_fd_fn(&in->parent_fd);
}

void instance_arrivals_told(struct instance *in)
{
	if (in->parent_fd < 0)
		return;
	(void)eventfd_write(in->parent_fd, 1);
	pthread_join(in->parent_thread, NULL);
	cleanup_fd_fn(&in->parent_fd);
}

void instance_arrivals_begin(struct instance *in)
{
	in->watches_arrivals = in->source->arrivals != NULL &&
			       pthread_create(&in->arrivals_thread, NULL, watch_arrivals, in) == 0;
}

void instance_arrivals_end(struct instance *in)
{
	if (in->source->arrivals == NULL)
		return;
	instance_arrivals_told(in);
	atomic_store(&in->arrivals_over, true);
	arrivals_interrupt(in->source->arrivals);
	if (in->watches_arrivals)
		pthread_join(in->arrivals_thread, NULL);
}

json_t *instance_arrivals_json(const struct instance *in)
{
	struct arrivals_status status;

	if (in->source->arrivals == NULL)
		return NULL;
	arrivals_status(in->source->arrivals, &status);
	return arriving_json(&status);
}

int instance_arrivals_check(const struct instance *in, struct err *err)
{
	struct arrivals_status status;
	char text[ARRIVING_TEXT];

	if (in->source->arrivals == NULL)
		return 0;
	arrivals_status(in->source->arrivals, &status);
	if (status.state == ARRIVALS_COMPLETE)
		return 0;
	arriving_text(&status, text);
	return err_set(err, ERR_FAILED, "machine %s is not all there yet: %s", in->claim.name,
		       text);
}
