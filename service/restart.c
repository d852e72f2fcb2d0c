/* See restart.h. */
#include "service/restart.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define ON_FAILURE     "on-failure"
#define FIRST_DELAY_MS 100u
#define MOST_DELAY_MS  60000u
#define LIVED_NS       (10 * NS_PER_SECOND)
#define MOST_TIMES     1000000u

static bool parse_times(const char *text, unsigned *times)
{
	char *end;
	unsigned long number;

	if (!isdigit((unsigned char)text[0]))
		return false;
	number = strtoul(text, &end, 10);
	*times = (unsigned)number;
	return *end == '\0' && number >= 1 && number <= MOST_TIMES;
}

int restart_parse(struct restart *r, const char *text, struct err *err)
{
	const size_t len = strlen(ON_FAILURE);

	*r = (struct restart){.when = RESTART_NO};
	if (strcmp(text, "no") == 0)
		return 0;
	if (strcmp(text, "always") == 0) {
		r->when = RESTART_ALWAYS;
		return 0;
	}
	r->when = RESTART_ON_FAILURE;
	if (strcmp(text, ON_FAILURE) == 0)
		return 0;
	if (strncmp(text, ON_FAILURE ":", len + 1) == 0 && parse_times(text + len + 1, &r->most))
		return 0;
	return err_set(err, ERR_USAGE, "--restart=%s: it is no, on-failure, on-failure:N or always",
		       text);
}

int restart_after(struct restart *r, enum restart_ending ending, uint64_t lived_ns)
{
	if (r->when == RESTART_NO || ending == ENDED_ASKED ||
	    (r->when == RESTART_ON_FAILURE && ending == ENDED_WELL) ||
	    (r->most != 0 && r->count == r->most))
		return -1;
	if (r->delay_ms == 0 || lived_ns >= LIVED_NS)
		r->delay_ms = FIRST_DELAY_MS;
	else if (r->delay_ms < MOST_DELAY_MS)
		r->delay_ms = r->delay_ms * 2 < MOST_DELAY_MS ? r->delay_ms * 2 : MOST_DELAY_MS;
	r->count++;
	return (int)r->delay_ms;
}
