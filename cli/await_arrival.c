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

#define LOOK_MS 200

int await_arrival(const char *name, const char *verb, struct err *err)
{
	static const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000};
	const bool terminal = isatty(STDERR_FILENO);
	enum arrivals_state told = ARRIVALS_COMPLETE;
	struct arrivals_status status;
	char text[ARRIVING_TEXT];

	while (claim_is_held(name) && arriving_look(name, &status)) {
		arriving_text(&status, text);
		if (status.state == ARRIVALS_FAILED) {
			err_set(err, ERR_FAILED, "machine %s: %s", name, text);
			return -EIO;
		}
		if (terminal)
			fprintf(stderr, "\r\033[Ktorpor: %s: %s", verb, text);
		else if (status.state != told)
			print_line(stderr, "torpor: %s: waiting for the rest of %s: %s", verb, name,
				   text);
		told = status.state;
		nanosleep(&pause, NULL);
	}
	if (terminal && told != ARRIVALS_COMPLETE)
		fprintf(stderr, "\r\033[K");
	return 0;
}
