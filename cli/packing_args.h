/* How images are written, on a command line: --flat and --level. One thread. */
#ifndef TORPOR_CLI_PACKING_ARGS_H
#define TORPOR_CLI_PACKING_ARGS_H

#include "cli/options.h"

enum {
	OPTION_FLAT = OPTION_LONG_ONLY + 210,
	OPTION_LEVEL,
};

/* clang-format off */
#define PACKING_OPTIONS                                                                            \
	{OPTION_FLAT, "flat", NULL, "do not pack: a larger file, whose memory is mapped at a resume"}, \
	{OPTION_LEVEL, "level", "N", "zstd level of packing, 1 to 19; default 3"}
/* clang-format on */

struct packing_args {
	bool flat;
	bool level_given;
	int level; /* never 0 behind packing_args_init() */
};

void packing_args_init(struct packing_args *args);
/* Take an option that is one of PACKING_OPTIONS: 1, 0 when it is not, or -EINVAL with
 * ERR_USAGE, also when the two are given together. */
int packing_args_take(struct packing_args *args, int id, const char *value, struct err *err);

#endif
