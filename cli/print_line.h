/* Printing lines that may hold untrusted text: names of files, and what is in them. Cannot fail:
 * without memory the line is not printed. */
#ifndef TORPOR_CLI_PRINT_LINE_H
#define TORPOR_CLI_PRINT_LINE_H

#include <stdio.h>

/* One line, through printable_utf8(), and a newline behind it. */
void print_line(FILE *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
