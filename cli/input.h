/*
 * The appliance that a verb reads: FILE, NAME or `-` on the command line, opened behind the
 * sandbox. One thread. The archive or chain is the caller's to close. A meter that was begun runs from there
 * on, and what is done with the archive is told to it.
 */
#ifndef TORPOR_CLI_INPUT_H
#define TORPOR_CLI_INPUT_H

#include "cli/key_args.h"
#include "format/chain.h"
#include "host/sandbox.h"

/* spool_input(), sandbox_enter() and archive_open_with(), whose errors it returns. `params` without
 * a descriptor; NULL: no keys. */
int input_open_archive(struct archive **archive, const char *text,
		       const struct archive_open_params *params, enum sandbox sandbox,
		       struct err *err);
/* A file with the parents it stands on, in SANDBOX_CREATE, with the keys that were given: *keys is
 * the caller's to free behind the chain, also on failure. Errors are those of keys_to_open(),
 * spool_input(), sandbox_enter(), parent_open() and keys_check_used(). */
int input_open_chain(struct chain **chain, struct keyring **keys, const char *text,
		     const struct key_args *given, struct err *err);

#endif
