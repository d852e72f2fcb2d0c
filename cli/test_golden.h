/* The golden that a transcript names in its head. One thread. */
#ifndef TORPOR_CLI_TEST_GOLDEN_H
#define TORPOR_CLI_TEST_GOLDEN_H

#include "format/crypto/digest.h"
#include "golden/transcript.h"
#include "host/paths.h"

/* The file of `golden: FILE[@sha256:DIGEST]` of the transcript at `test`, relative to its folder, or
 * a name of the store; and the file's digest. `from`, if it is not NULL, comes in place of the head,
 * and is relative to the folder that we are in. Returns 0; ERR_USAGE when no golden is named;
 * ERR_INTEGRITY when it has another digest; -ENAMETOOLONG; or what target_find_file() and
 * archive_identify() give. */
int test_golden_find(struct path *golden, char digest[DIGEST_TEXT_SIZE], const char *test,
		     const struct transcript *t, const char *from, struct err *err);

#endif
