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

/* Print a value and drop the reference. What has many parts has many lines, but for lists of numbers. */
void json_out_to(FILE *out, json_t *value);
/* To standard output. */
void json_out(json_t *value);

#endif
