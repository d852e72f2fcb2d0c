/* A verb: one file, cli/cmd_VERB.c, exporting one of these. */
#ifndef TORPOR_CLI_COMMAND_H
#define TORPOR_CLI_COMMAND_H

#include "base/err.h"
#include "cli/options.h"

struct command {
	const char *name;
	const char *args;		   /* behind the options in the usage line; "" for none */
	const char *summary;		   /* one line, small letter, no full stop */
	const char *detail;		   /* paragraphs for `torpor help VERB`; NULL: none */
	const struct option_spec *options; /* never NULL; ends with {0} */
	/* Returns the exit status, or a negative errno with *err set. `opts` has been initialised.
	 */
	int (*run)(struct options *opts, struct err *err);
};

/* Every verb, in the order of `torpor help`; NULL ends it (commands.c). */
extern const struct command *const commands[];

const struct command *command_find(const char *name);

/* The exit status for an error (err.h). */
int command_exit_status(const struct err *err);

/* The line `torpor: VERB: …` on standard error. */
void command_print_error(const char *verb, const struct err *err);

/* `torpor help`, and `torpor help VERB`. */
void command_print_list(FILE *out);
void command_print_help(const struct command *command, FILE *out);

#endif
