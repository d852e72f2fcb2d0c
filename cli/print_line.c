/* See print_line.h. */
#include "cli/print_line.h"

#include <stdarg.h>

#include "base/cleanup.h"
#include "base/printable.h"

void print_line(FILE *out, const char *fmt, ...)
{
	cleanup_free char *line = NULL;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&line, fmt, ap);
	va_end(ap);
	if (len < 0) {
		line = NULL;
		return;
	}
	printable_utf8(line);
	fprintf(out, "%s\n", line);
}
