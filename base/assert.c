/* See assert.h. The one place outside cli/ that prints: nobody is left to hand an error to. */
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
