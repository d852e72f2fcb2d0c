/* What fuzz targets share. A target is one LLVMFuzzerTestOneInput(); an oracle that fails aborts,
 * as a sanitizer does. */
#ifndef TORPOR_TESTS_FUZZ_FUZZ_H
#define TORPOR_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A descriptor of a file with these bytes, to be closed; one at a time. */
int fuzz_file(const uint8_t *data, size_t size);

/* The path of an empty folder that goes when the target ends, unless it crashes. */
const char *fuzz_folder(void);

/* How many descriptors are open: the same before and after, none is left. */
unsigned fuzz_open_fds(void);

/* Also in builds without assertions. */
static inline void fuzz_require(int holds)
{
	if (!holds)
		abort();
}

/* A function that fails says why, with the kind that a user's exit status depends on. */
static inline void fuzz_require_reason(int ret, const struct err *err)
{
	fuzz_require(ret == 0 || (err->kind != ERR_NONE && err->text[0] != '\0'));
}

#endif
