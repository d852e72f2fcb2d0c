/*
 * Options of a verb as data: parsing, `help`, completion and a test all read the same table.
 *
 *     options_init → options_next until 0 → options_operand for each operand
 *
 * Options and operands may be mixed; `--` ends the options. One parse at a time (getopt_long).
 * Functions without an `err` cannot fail.
 */
#ifndef TORPOR_CLI_OPTIONS_H
#define TORPOR_CLI_OPTIONS_H

#include <stdbool.h>

#include "base/err.h"
#include "meter/meter.h"

/* Ids above this have no letter. */
#define OPTION_LONG_ONLY 256

struct option_spec {
	int id;		  /* the letter, or a number above OPTION_LONG_ONLY; 0 ends a table */
	const char *name; /* without the dashes; never NULL */
	const char *arg;  /* what the value is called in help; "[=N]": it may be left out (of a long
			     name only); NULL: a flag */
	const char *help; /* one line */
};

#define OPTION_JSON (OPTION_LONG_ONLY + 200)
#define OPTION_JSON_SPEC                                                                           \
	{                                                                                          \
		OPTION_JSON, "json", NULL, "print JSON"                                            \
	}

/* Of verbs that may take long (meter/meter.h): options_next() takes it itself. */
#define OPTION_PROGRESS (OPTION_LONG_ONLY + 400)
#define OPTION_PROGRESS_SPEC                                                                       \
	{                                                                                          \
		OPTION_PROGRESS, "progress", METER_MODES,                                          \
			"how far it is, on standard error: lines, JSON lines, or nothing"          \
	}

/* The tables of verbs without options, and of those with --json alone. */
extern const struct option_spec options_none[];
extern const struct option_spec options_json[];

#define OPTIONS_MAX 48

struct options {
	const char *verb;
	const struct option_spec *specs;
	int argc;
	char **argv;
	const char *name;  /* of the option that options_next returned, without the dashes */
	const char *value; /* of that option; NULL: it has none */
	int operand;	   /* index of the next operand, valid when options_next has returned 0 */
};

/* Whether its value may be left out: `arg` says so. */
bool option_value_optional(const struct option_spec *spec);

/* argv[0] is the verb. The vector is permuted: operands end up last. */
void options_init(struct options *o, const struct option_spec *specs, int argc, char **argv);
/* The id of the next option, 0 when there is none left, or -EINVAL with ERR_USAGE. */
int options_next(struct options *o, struct err *err);
/* The next operand, or NULL. */
const char *options_operand(struct options *o);
/* Exactly one operand, called `what` in the error. Returns 0, or -EINVAL with ERR_USAGE. */
int options_one_operand(struct options *o, const char *what, const char **operand, struct err *err);
/* The error for an operand that is not there, called `what`: -EINVAL, ERR_USAGE. */
int options_missing(const struct options *o, const char *what, struct err *err);
/* No operands are left. Returns 0, or -EINVAL with ERR_USAGE. */
int options_end(struct options *o, struct err *err);
/* For a verb's `default:`: an option that its table has and its code does not handle. Returns
 * -EINVAL with ERR_FAILED. */
int option_unhandled(int id, struct err *err);

/* For verbs whose only option is --json or none. Returns as options_next(). */
int options_flags(struct options *o, int id, bool *set, struct err *err);

#endif
