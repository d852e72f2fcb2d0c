/*
 * FILE on a command line where it may be `-`: an appliance that comes in on standard input.
 *
 * An appliance is read at any offset, so what comes down a pipe is first gathered in memory that
 * has no name (a memfd): as much as the file is long, for as long as it is open. A file that the
 * shell has opened is read in place.
 */
#ifndef TORPOR_CLI_SPOOL_H
#define TORPOR_CLI_SPOOL_H

#include "cli/target.h"

/* For `-`: *fd is the whole input, the caller's to close, and input->file becomes its name for
 * messages; standard input is then the terminal, if standard output is one, or empty. Else *fd is
 * -1 and `input` is what target_find_file() finds. Before sandbox_enter(): the bytes are not looked
 * at here. Returns 0; what target_find_file() gives; -ENOMEM; or the errno of memfd_create(2),
 * fcntl(2), read(2) or pwrite(2). */
int spool_input(struct target *input, const char *text, int *fd, struct err *err);

#endif
