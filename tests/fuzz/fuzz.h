/* What fuzz targets share. A target is one LLVMFuzzerTestOneInput(); an oracle that fails aborts,
 * as a sanitizer does. */
#ifndef TORPOR_TESTS_FUZZ_FUZZ_H
#define TORPOR_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An input that is taken piece by piece: what a target does next, and with what. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

/* A number of so many bytes, big-endian; behind the end they are zero. */
uint64_t fuzz_take(struct fuzz_input *in, unsigned bytes);
/* Copy `len` bytes, or what is left; returns how many. */
size_t fuzz_take_bytes(struct fuzz_input *in, uint8_t *to, size_t len);

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
