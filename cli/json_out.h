/* --json: data on standard output. Cannot fail; main() checks the stream at the end. */
#ifndef TORPOR_CLI_JSON_OUT_H
#define TORPOR_CLI_JSON_OUT_H

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

/* A terminal acts on some of the controls that JSON leaves as they are (U+009B). */
static inline size_t json_out_escapes(FILE *out)
{
	return isatty(fileno(out)) == 1 ? JSON_ENSURE_ASCII : 0;
}

/* Print a value and drop the reference. */
static inline void json_out_to(FILE *out, json_t *value)
{
	json_dumpf(value, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6) | json_out_escapes(out));
	fputc('\n', out);
	json_decref(value);
}

static inline void json_out(json_t *value)
{
	json_out_to(stdout, value);
}

#endif
