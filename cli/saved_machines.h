/*
 * The machines that are saved in the store: its files with the ending of appliances. One thread.
 */
#ifndef TORPOR_CLI_SAVED_MACHINES_H
#define TORPOR_CLI_SAVED_MACHINES_H

#include "format/archive.h"

/* Call `one` for each, in no order; the archive is open until it returns. Returns 0, what `one` returned when
 * that is not 0, what archive_open() gives, or the errno of opendir(3). */
int saved_machines_each(int (*one)(void *opaque, const char *path, const struct archive *a,
				   struct err *err),
			void *opaque, struct err *err);

#endif
