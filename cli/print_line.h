/* Printing lines that may hold what a stranger wrote: names of files, and what is in them. */
#ifndef TORPOR_CLI_PRINT_LINE_H
#define TORPOR_CLI_PRINT_LINE_H

#include <stdio.h>

/* One line, through printable_utf8(), and a newline behind it. */
void print_line(FILE *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
