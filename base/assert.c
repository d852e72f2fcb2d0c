/* See assert.h. The one place outside cli/ that prints: no caller could handle the error. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void assert_failed(const char *file, int line)
{
	dprintf(STDERR_FILENO, "torpor %s: a bug: the assertion at %s:%d does not hold\n",
		TORPOR_VERSION, file, line);
	abort();
}
