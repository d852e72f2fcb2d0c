/* The words of a meter. Pure. */
#ifndef TORPOR_METER_METER_TEXT_H
#define TORPOR_METER_METER_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define METER_TEXT 256u

struct meter_sample {
	uint64_t done;	       /* bytes */
	uint64_t expected;     /* bytes; 0: not known */
	double rate;	       /* bytes a second, of late */
	double seconds;	       /* since the beginning */
	const char *waits_for; /* who is to send, or NULL; said while nothing is done */
};

/* Have the rate follow the bytes that came in `seconds`: a mean of the last few seconds. `old` < 0:
 * there is none yet. */
double meter_rate(double old, uint64_t bytes, double seconds);

/* "torpor: convert: 45 %, 12.3 of 27.0 MiB, 5.2 MiB/s, 3 s left", as much of it as fits into
 * `columns` (0: all); or "torpor: resume: waiting for HOST: nothing has come in 3 s". */
void meter_line(char text[METER_TEXT], const char *verb, const struct meter_sample *sample,
		unsigned columns);
/* "torpor: convert: done, 27.0 MiB in 5.2 s". */
void meter_last_line(char text[METER_TEXT], const char *verb, const char *state,
		     const struct meter_sample *sample);
/* The object of METER_JSON, without a newline. */
void meter_json(char text[METER_TEXT], const char *verb, const char *state,
		const struct meter_sample *sample);

#endif
