/*
 * A program of another package that works on one file: qemu-img, mke2fs. It runs in a Landlock domain
 * (host/landlock.h) in which there are programs and libraries, the file that it reads and the file
 * that it writes, and nothing else: an image that names other files reaches none of them.
 */
#ifndef TORPOR_VOLUME_TOOL_H
#define TORPOR_VOLUME_TOOL_H

#include "base/progress.h"

#define TOOL_FD	  3
#define TOOL_FILE "/proc/self/fd/3"

struct tool {
	const char *const *argv; /* ends with NULL; the first is looked for in PATH */
	const char *package;	 /* that has it, for the error */
	const char *reads;	 /* path; NULL: nothing */
	int writes; /* the file that it writes: TOOL_FD there, TOOL_FILE in its arguments */
	/* NULL, or what is to count the `bytes` by what the program says, "(12.34/100%)" again and again. */
	struct progress *progress;
	uint64_t bytes;
};

/* Run it to its end. Returns 0; -ENOENT with ERR_NOT_FOUND when it is not installed; -EINVAL with
 * ERR_FAILED and the last line that it said when it fails; what the functions of landlock.h give; or the errno of
 * memfd_create(2), posix_spawnp(3) or pthread_create(3). SIGCHLD is not ignored. */
int tool_run(const struct tool *tool, struct err *err);

#endif
