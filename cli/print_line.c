/* See print_line.h. */
#include "cli/print_line.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio_ext.h>

#include "base/cleanup.h"
#include "base/printable.h"
#include "meter/meter.h"

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
	meter_hide();
	fprintf(out, "%s\n", line);
	meter_show();
}

int flush_lines(struct err *err)
{
	if (fflush(stdout) == 0)
		return 0;
	if (errno != EPIPE)
		return err_sys(err, errno, "write to standard output");
	/* What is left in the buffer is no error of the program's end. */
	__fpurge(stdout);
	clearerr(stdout);
	return 1;
}
