/*
 * A shared library that is loaded when it is first needed: a table of pointers to its functions,
 * filled by name. What it owns stays loaded for the life of the process.
 */
#ifndef TORPOR_BASE_LIBRARY_H
#define TORPOR_BASE_LIBRARY_H

#include <stdatomic.h>
#include <stdbool.h>
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
	void (*loaded)(void); /* NULL, or called once, when the table is filled */
	atomic_bool tried;
	char problem[256]; /* why it is not loaded; "" when it is */
};

/* Its table, which is filled at the first call; any thread. NULL with ERR_FAILED, which says why it
 * was not loaded: that is not tried again. `loaded` calls nothing of this header. */
const void *library_table(struct library *lib, struct err *err);

#endif
