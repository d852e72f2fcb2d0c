/* From a source to a machine, in the foreground or the background: the common end of `run` and
 * `resume`. */
#ifndef TORPOR_CLI_LAUNCH_H
#define TORPOR_CLI_LAUNCH_H

#include <stdbool.h>

#include "host/detach.h"
#include "instance/instance.h"

/* Guard this process, which becomes the machine: before its file is read. Returns 0, or
 * what sandbox_enter_machine() gives. */
int launch_guard(const struct connections *connections, struct err *err);
/* For instance_options.notice: the line on standard error. */
void launch_notice(const char *line);
/* The source is closed at the end. Foreground: returns when the machine is over, with the exit
 * status for it. Background: returns in the parent once the machine runs, and in the child at its
 * end, with its exit status; a signal that ends the parent leaves no machine whose name it has not
 * printed. Errors are those of detach_fork() and instance_run(). */
int launch(struct source *source, struct instance_options *options, bool detach, struct err *err);

/* As `launch` in the background, `count` times from one source, several at once. They are called
 * BASE-1, BASE-2 …, a name that is taken being passed over; each name is printed. When the first
 * does not start, none is; else those that do not are reported on standard error, for `verb`.
 * Returns the worst exit status in the parent; at its end a child's own exit status; the error of
 * the first; or what detach_start() gives. */
int launch_clones(struct source *source, struct instance_options *options, const char *verb,
		  unsigned count, struct err *err);

/* As `launch` in the background, paused and held (instance/hold.h). Returns 1 in the parent, with
 * its name and the writing end of the pipe in *keeper, whose close ends the machine until it is
 * released; 0 in the child at its end, with its exit status in *status; what
 * detach_fork() gives; or the errno of pipe2(2). The source is closed at the end. */
int launch_held(struct source *source, struct instance_options *options,
		char name[DETACH_NAME_SIZE], int *keeper, int *status, struct err *err);

#endif
