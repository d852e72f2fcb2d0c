/* What a machine is made from (instance/source.h), gathered from the command line. */
#ifndef TORPOR_CLI_SOURCE_ARGS_H
#define TORPOR_CLI_SOURCE_ARGS_H

#include "cli/key_args.h"
#include "cli/machine_args.h"
#include "instance/source.h"

/* Open kernel, initrd and the disks that are not open yet; `args` must outlive the source. Free with
 * source_close(), unless it fails. Returns 0; -EINVAL with ERR_USAGE for what cannot be, or
 * ERR_FAILED for a file that is empty or of the wrong kind; what open(2) and fstat(2) gave; or what
 * disk_args_open() and disk_args_add() give. */
int source_from_args(struct source *s, struct machine_args *args, struct err *err);
/* source_from_file() with the keys that `given` has become, in `params`. Errors are its own, or
 * those of keys_check_used(). */
int source_from_keyed_file(struct source *s, const char *path,
			   const struct archive_open_params *params, const struct key_args *given,
			   struct err *err);
/* What is given replaces what a cold file says. Returns 0, -EINVAL (ERR_USAGE) or -ENOMEM. */
int source_override(struct source *s, const struct machine_args *args, struct err *err);

#endif
