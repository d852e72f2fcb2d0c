/*
 * What a process gets from its parent, put in order: called first in main(), before anything is
 * opened and before there are threads.
 *
 *   Descriptors  0 to 2 are open, on /dev/null if need be. Higher ones are closed, except those
 *                that the command line names (/dev/fd/N, /proc/self/fd/N), and sockets that are
 *                passed (LISTEN_FDS) when an argument has "listen" in it.
 *   Limits       The size of files (RLIMIT_FSIZE) is as large as it may be. A file that grows
 *                beyond it is an error (EFBIG), not the end of the process.
 *   Signals      None is blocked. None is ignored but SIGPIPE and SIGXFSZ, and SIGHUP if it
 *                was (nohup).
 *   umask        It never takes rights from the owner, and always takes the right to write
 *                from others.
 *
 * Nothing here fails: what cannot be put in order is left as it is.
 */
#ifndef TORPOR_HOST_START_H
#define TORPOR_HOST_START_H

#include <stdbool.h>

void start_clean(int argc, char **argv);

/* Standard output was closed: what is written there is lost. */
bool start_had_no_stdout(void);

/* Close the descriptors that the command line names: when they were read, and this process
 * stays. */
void start_close_named(void);

#endif
