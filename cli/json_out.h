/* --json: data on standard output. Cannot fail; main() checks the stream at the end. */
#ifndef TORPOR_CLI_JSON_OUT_H
#define TORPOR_CLI_JSON_OUT_H

#include <jansson.h>
#include <stdio.h>

/* Print a value and drop the reference. */
static inline void json_out_to(FILE *out, json_t *value)
{
	json_dumpf(value, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	fputc('\n', out);
	json_decref(value);
}

static inline void json_out(json_t *value)
{
	json_out_to(stdout, value);
}

#endif
