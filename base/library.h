/*
 * A shared library that is loaded when it is first needed: a table of pointers to its functions,
 * filled by name. What it owns stays loaded for the life of the process.
 */
#ifndef TORPOR_BASE_LIBRARY_H
#define TORPOR_BASE_LIBRARY_H

#include <stddef.h>

#include "base/err.h"

struct library_symbol {
	const char *name;
	size_t offset; /* of the pointer in the table */
};

struct library {
	const char *soname;
	const struct library_symbol *symbols;
	size_t nsymbols;
	void *table;
	char problem[256]; /* "" once loaded */
};

/* Load it and fill the table; lib->problem says why not. Once, under the caller's pthread_once. */
void library_load(struct library *lib);
/* After library_load(); any thread. Returns 0, or -EINVAL with ERR_FAILED, which says why it was
 * not loaded. */
int library_loaded(const struct library *lib, struct err *err);

#endif
