/* See meter_text.h. */
#include "meter/meter_text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

#define RATE_SECONDS 3.0

double meter_rate(double old, uint64_t bytes, double seconds)
{
	double now = seconds > 0 ? (double)bytes / seconds : 0;
	double weight = seconds < RATE_SECONDS ? seconds / RATE_SECONDS : 1;

	return old < 0 ? now : old + (now - old) * weight;
}

struct unit {
	const char *name;
	double bytes;
};

static struct unit unit_of(double bytes)
{
	if (bytes >= 10.0 * (double)GIB(1))
		return (struct unit){"GiB", (double)GIB(1)};
	if (bytes >= 0.1 * (double)MIB(1) || bytes < 1)
		return (struct unit){"MiB", (double)MIB(1)};
	return (struct unit){"KiB", (double)KIB(1)};
}

static bool seconds_left(const struct meter_sample *s, double *left)
{
	if (s->rate <= 0 || s->expected == 0)
		return false;
	*left = s->expected > s->done ? (double)(s->expected - s->done) / s->rate : 0;
	return true;
}

static void duration_text(char out[32], double seconds)
{
	const uint64_t s = seconds < 1e9 ? (uint64_t)(seconds + 0.5) : 1000000000;

	if (s < 60)
		snprintf(out, 32, "%" PRIu64 " s", s);
	else if (s < 3600)
		snprintf(out, 32, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else
		snprintf(out, 32, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
}

/* False when it does not fit, and then nothing is added. */
static bool add_part(char text[METER_TEXT], unsigned columns, const char *part)
{
	const size_t len = strlen(text) + strlen(part);

	if (len >= METER_TEXT || (columns > 0 && len >= columns))
		return false;
	strcat(text, part);
	return true;
}

void meter_line(char text[METER_TEXT], const char *verb, const struct meter_sample *s,
		unsigned columns)
{
	const uint64_t done = s->expected > 0 ? u64_min(s->done, s->expected) : s->done;
	const struct unit unit = unit_of((double)(s->expected > 0 ? s->expected : done));
	const struct unit fast = unit_of(s->rate);
	char part[128], time[32];
	double left;

	text[0] = '\0';
	if (s->waits_for != NULL && s->done == 0) {
		snprintf(text, columns > 0 ? u64_min(METER_TEXT, columns) : METER_TEXT,
			 "torpor: %s: waiting for %s: nothing has come in %.0f s", verb,
			 s->waits_for, s->seconds);
		return;
	}
	if (s->expected > 0)
		snprintf(part, sizeof(part), "torpor: %s: %u %%", verb,
			 (unsigned)((double)done * 100 / (double)s->expected));
	else
		snprintf(part, sizeof(part), "torpor: %s: %.1f %s", verb, (double)done / unit.bytes,
			 unit.name);
	if (!add_part(text, columns, part))
		return;
	if (s->expected > 0) {
		snprintf(part, sizeof(part), ", %.1f of %.1f %s", (double)done / unit.bytes,
			 (double)s->expected / unit.bytes, unit.name);
		if (!add_part(text, columns, part))
			return;
	}
	snprintf(part, sizeof(part), ", %.1f %s/s", s->rate / fast.bytes, fast.name);
	if (!add_part(text, columns, part) || !seconds_left(s, &left))
		return;
	duration_text(time, left);
	snprintf(part, sizeof(part), ", %s left", time);
	(void)add_part(text, columns, part);
}

void meter_last_line(char text[METER_TEXT], const char *verb, const char *state,
		     const struct meter_sample *s)
{
	const struct unit unit = unit_of((double)s->done);

	snprintf(text, METER_TEXT, "torpor: %s: %s, %.1f %s in %.1f s", verb, state,
		 (double)s->done / unit.bytes, unit.name, s->seconds);
}

void meter_json(char text[METER_TEXT], const char *verb, const char *state,
		const struct meter_sample *s)
{
	char expected[32] = "null", time[32] = "null";
	double left;

	if (s->expected > 0)
		snprintf(expected, sizeof(expected), "%" PRIu64, s->expected);
	if (seconds_left(s, &left))
		snprintf(time, sizeof(time), "%.1f", left);
	snprintf(text, METER_TEXT,
		 "{\"progress\":\"%s\",\"state\":\"%s\",\"done\":%" PRIu64
		 ",\"expected\":%s,\"rate\":%.0f,\"left\":%s,\"seconds\":%.1f}",
		 verb, state, s->done, expected, s->rate > 0 ? s->rate : 0, time, s->seconds);
}
