/*
 * A machine whose files are still arriving; see instance.h and base/arrival.h.
 *
 * A thread looks at how far they are and writes the events. It takes no lock of the machine's: the
 * loop may hold that while it waits for memory.
 */
#include <time.h>

#include "host/arriving.h"
#include "instance/instance.h"

/* So often, at most, it looks. */
#define LOOK_MS 200

static void tell_change(struct instance *in, const struct arrivals_status *was,
			const struct arrivals_status *now)
{
	char text[ARRIVING_TEXT];

	if (was->state == ARRIVALS_WAITING)
		instance_event(
			in, "waited",
			json_pack("{s:s,s:I}", "host", was->host, "since", (json_int_t)was->since));
	if (now->state == ARRIVALS_WAITING)
		instance_event(in, "waiting", arriving_json(now));
	else if (now->state == ARRIVALS_COMPLETE)
		instance_event(in, "arrived", json_pack("{s:I}", "bytes", (json_int_t)now->bytes));
	else if (now->state == ARRIVALS_FAILED)
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
		if (now.state != was.state)
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

void instance_arrivals_begin(struct instance *in)
{
	in->watches_arrivals = in->source->arrivals != NULL &&
			       pthread_create(&in->arrivals_thread, NULL, watch_arrivals, in) == 0;
}

void instance_arrivals_end(struct instance *in)
{
	if (in->source->arrivals == NULL)
		return;
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
