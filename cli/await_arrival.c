/* See await_arrival.h. The map is read again and again: nobody tells when it changes. */
#include "cli/await_arrival.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli/print_line.h"
#include "host/arriving.h"
#include "host/claim.h"
#include "meter/meter.h"

#define LOOK_MS 200

/* On the meter's thread. */
static bool look_at_arrivals(void *opaque, uint64_t *done, uint64_t *expected)
{
	struct arrivals_status status;

	if (!arriving_look(opaque, &status))
		return false;
	*done = status.there;
	*expected = status.bytes;
	return true;
}

/* With a meter that shows how far it is, only what holds it up has to be told. */
static bool is_news(const struct arrivals_status *status, enum arrivals_state told)
{
	return status->state != told &&
	       (status->state != ARRIVALS_GOING || isatty(STDERR_FILENO) != 1);
}

static int wait_for_rest(const char *name, const char *verb, struct err *err)
{
	static const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000};
	enum arrivals_state told = ARRIVALS_COMPLETE;
	struct arrivals_status status;
	char text[ARRIVING_TEXT];

	while (claim_is_held(name) && arriving_look(name, &status)) {
		arriving_text(&status, text);
		if (arrivals_have_failed(&status)) {
			err_set(err, ERR_FAILED, "machine %s: %s", name, text);
			return -EIO;
		}
		if (is_news(&status, told))
			print_line(stderr, "torpor: %s: waiting for the rest of %s: %s", verb, name,
				   text);
		told = status.state;
		nanosleep(&pause, NULL);
	}
	return 0;
}

int await_arrival(const char *name, const char *verb, struct err *err)
{
	const struct meter_params shown = {
		.verb = verb,
		.cancelled = "the machine goes on, and what it stands on comes all the same",
		.look = look_at_arrivals,
		.opaque = (void *)name,
	};
	struct arrivals_status status;
	int ret;

	if (!claim_is_held(name) || !arriving_look(name, &status))
		return 0;
	ret = meter_begin(&shown, err);
	if (ret < 0)
		return ret;
	meter_run();
	ret = wait_for_rest(name, verb, err);
	meter_end(ret);
	return ret;
}
