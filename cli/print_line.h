/* Printing lines that may hold untrusted text: names of files, and what is in them. */
#ifndef TORPOR_CLI_PRINT_LINE_H
#define TORPOR_CLI_PRINT_LINE_H

#include <stdio.h>

#include "base/err.h"

/* One line, through printable_utf8(), and a newline behind it. Cannot fail: without memory it is not
 * printed. */
void print_line(FILE *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* After lines of a verb that goes on. Returns 0; 1 when nobody reads any more, which is an end like
 * ^C; or the errno of write(2). */
int flush_lines(struct err *err);

#endif
