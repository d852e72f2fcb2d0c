/* save --every: one save after the other, as long as the machine lives. */
#ifndef TORPOR_CLI_SAVE_EVERY_H
#define TORPOR_CLI_SAVE_EVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "series/series.h"

struct save_every {
	const char *name;   /* of the machine */
	const char *newest; /* the name that stays; absolute */
	uint64_t seconds;   /* from one beginning to the next; those that are missed are left out */
	unsigned keep;
	bool detach;
	/* One save into `path`, a new moment of the series. */
	int (*save)(void *opaque, const struct series *series, const char *path, struct err *err);
	void *opaque;
};

/* Returns 0 when the machine has ended, or, with `detach`, when the first file is in place and a process in the
 * background goes on. The first save that fails is an error: what `save` gave; ERR_USAGE for a machine that is saved
 * so already; what series_open(), client_open() and detach_fork() give. Each later one is told, on standard error or
 * in the machine's own log, and the next one is tried at its time. */
int save_every(const struct save_every *every, struct err *err);
/* End the process that does this for a machine, and wait for it. -ENOENT with ERR_NOT_FOUND: there is none. */
int save_every_stop(const char *name, struct err *err);

#endif
