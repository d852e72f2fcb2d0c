/* The cold appliance that a command line describes, as a file. One thread. */
#ifndef TORPOR_CLI_COLD_FILE_H
#define TORPOR_CLI_COLD_FILE_H

#include "format/crypto/keyring.h"
#include "instance/source.h"

struct cold_file {
	const char *output;	    /* the file that appears, - for standard output; NULL: */
	const char *verb;	    /* for the meter */
	int fd;			    /* an empty one that is open for reading and writing */
	const struct keyring *keys; /* NULL: it is not encrypted */
};

/* A kernel that cannot start is refused. Returns what source_boot_failed(), source_open_disks() and
 * the functions of archive_writer.h give; then `output` is as it was, unless it is standard output. */
int cold_file_write(const struct cold_file *f, struct source *source, struct err *err);

#endif
