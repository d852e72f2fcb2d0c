/* A verb: one file, cli/cmd_VERB.c, exporting one of these. */
#ifndef TORPOR_CLI_COMMAND_H
#define TORPOR_CLI_COMMAND_H

#include <stdio.h>

#include "base/err.h"
#include "cli/options.h"

/* What a verb does by the word behind it, as `torpor lan create`. */
#define SUBCOMMAND_OPTIONS 4u

struct subcommand {
	const char *name; /* NULL ends a table */
	const char *args; /* as those of the verb */
	const char *summary;
	int options[SUBCOMMAND_OPTIONS]; /* ids of those that it takes; 0: none */
	const char *detail;		 /* as that of the verb; NULL: none */
};

struct command {
	const char *name;
	const char *args;    /* behind the options in the usage line; "" for none */
	const char *summary; /* one line, small letter, no full stop */
	/* For `torpor help VERB`, paragraphs with empty lines between them; NULL: none. They are
	 * filled, but for one with two spaces side by side, which is a table. */
	const char *detail;
	const struct subcommand *subcommands; /* NULL: none */
	const struct option_spec *options;    /* never NULL; ends with {0} */
	/* Returns the exit status, or a negative errno with *err set. `opts` has been
	 * initialised. */
	int (*run)(struct options *opts, struct err *err);
};

/* Every verb, in the order of `torpor help`; NULL ends it (commands.c). */
extern const struct command *const commands[];

/* NULL: there is none. */
const struct command *command_find(const char *name);
const struct subcommand *command_find_subcommand(const struct command *command, const char *name);

/* The options that a command line gives to a verb with subcommands: `given` has a place for each of
 * the verb's. Check returns 0, or -EINVAL with ERR_USAGE for one that the subcommand does not
 * take. */
void subcommand_note_option(const struct option_spec *options, int id, bool *given);
int subcommand_check_options(const char *verb, const struct subcommand *sub,
			     const struct option_spec *options, const bool *given, struct err *err);

/* The exit status for an error (err.h). */
int command_exit_status(const struct err *err);

/* The line `torpor: VERB: …` on standard error. */
void command_print_error(const char *verb, const struct err *err);

/* `torpor help`, `torpor help VERB` and `torpor help VERB SUBCOMMAND`: no line is longer than 80
 * columns. */
void command_print_list(FILE *out);
void command_print_help(const struct command *command, FILE *out);
void command_print_subcommand(const struct command *command, const struct subcommand *sub,
			      FILE *out);
/* Text that may be longer than a line, the first of which has so many columns already, and the others begin with so
 * many blanks. */
void command_print_filled(const char *text, unsigned at, unsigned indent, FILE *out);
/* The error for an unknown verb; the text names one that may have been meant. Returns -EINVAL with
 * ERR_USAGE. */
int command_unknown(const char *typed, struct err *err);

#endif
