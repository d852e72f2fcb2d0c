/* See completion.h. What an operand or a value can be is told from its name in the tables. */
#include "tests/unit/completion.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/num.h"
#include "cli/command.h"

/* What the value of an option is. */
enum value { VALUE_NONE, VALUE_FILE, VALUE_FOLDER, VALUE_CHOICE, VALUE_OTHER };

/* A choice is a list with bars: `user|tap[=IF]|lan=NAME|none`. */
static enum value value_of(const struct option_spec *spec)
{
	static const char *const files[] = {"FILE", "KEY", "F[,rw|ro|scratch][,id=X][,share=no]",
					    "SOURCE"};
	static const char *const folders[] = {"DIR", "FOLDER"};

	if (spec->arg == NULL || option_value_optional(spec))
		return VALUE_NONE;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (strcmp(spec->arg, files[i]) == 0)
			return VALUE_FILE;
	}
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		if (strcmp(spec->arg, folders[i]) == 0)
			return VALUE_FOLDER;
	}
	return strchr(spec->arg, '|') != NULL ? VALUE_CHOICE : VALUE_OTHER;
}

/* NAME in `lan=NAME`, and not the S of `ttyS0`. */
static bool begins_placeholder(const char *arg, const char *at)
{
	return *at == '[' ||
	       (isupper((unsigned char)*at) && (at == arg || !isalnum((unsigned char)at[-1])));
}

/* Of each choice what is the same for all of its values, with blanks between them: `user tap lan= none`. Before
 * what is in `marked` stands a backslash. */
static void print_choices(const char *arg, const char *marked, FILE *out)
{
	for (const char *s = arg; *s != '\0'; s += strcspn(s, "|"), s += *s == '|') {
		if (s != arg)
			fputc(' ', out);
		for (const char *c = s; *c != '\0' && *c != '|' && !begins_placeholder(arg, c); c++)
			fputs(strchr(marked, *c) != NULL ? "\\" : "", out), fputc(*c, out);
	}
}

/* Verbs that speak of machines that are over, too. */
static bool takes_ended(const char *verb)
{
	return strcmp(verb, "rm") == 0 || strcmp(verb, "wait") == 0 || strcmp(verb, "logs") == 0 ||
	       strcmp(verb, "events") == 0;
}

/* FILE|NAME is a machine that runs for these alone. */
static bool takes_running(const char *verb)
{
	return strcmp(verb, "resume") == 0 || strcmp(verb, "inspect") == 0 ||
	       strcmp(verb, "clone") == 0;
}

static bool is_word(const char *args, const char *at, size_t len)
{
	return (at == args || !isalpha((unsigned char)at[-1])) && !isalpha((unsigned char)at[len]);
}

static bool has_word(const char *args, const char *word)
{
	for (const char *at = args; (at = strstr(at, word)) != NULL; at++) {
		if (is_word(args, at, strlen(word)))
			return true;
	}
	return false;
}

/* What the operands are, with blanks between them; the shells' functions know each of these words. */
static void print_operands(const struct command *command, FILE *out)
{
	const char *const verb = command->name, *const args = command->args;
	const bool either = strstr(args, "FILE|NAME") != NULL;
	const bool name = has_word(args, "NAME") && !either;
	const struct {
		const char *kind;
		bool is;
	} kinds[] = {
		{"lans", name && strcmp(verb, "lan") == 0},
		{"volumes", name && strcmp(verb, "volume") == 0},
		{"inside", strstr(args, "NAME:PATH") != NULL},
		{"known", name && takes_ended(verb)},
		{"running", (name && strcmp(verb, "lan") != 0 && strcmp(verb, "volume") != 0 &&
			     !takes_ended(verb) && strstr(args, "NAME:PATH") == NULL) ||
				    (either && takes_running(verb))},
		{"saved", either},
		/* Only what has a registry can be pulled. */
		{"remote", strcmp(verb, "pull") == 0},
		{"images", strcmp(verb, "pull") != 0 &&
				   (either || has_word(args, "REF") || has_word(args, "IMAGE"))},
		{"verbs", has_word(args, "VERB")},
		{"files", has_word(args, "FILE") || has_word(args, "PATH") ||
				  has_word(args, "RECIPE") || has_word(args, "SOURCE")},
	};
	const char *between = "";

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].is) {
			fprintf(out, "%s%s", between, kinds[i].kind);
			between = " ";
		}
	}
}

static void print_subcommands(const struct command *command, FILE *out)
{
	for (const struct subcommand *sub = command->subcommands; sub != NULL && sub->name != NULL;
	     sub++)
		fprintf(out, "%s%s", sub != command->subcommands ? " " : "", sub->name);
}

/* bash: assignments to the variables of _torpor. */

static void print_bash_options(const struct command *command, const char *variable,
			       enum value value, FILE *out)
{
	const char *between = "";

	fprintf(out, "%s='", variable);
	for (const struct option_spec *spec = command->options; spec->id != 0; spec++) {
		if (value_of(spec) != value)
			continue;
		if (spec->id < OPTION_LONG_ONLY)
			fprintf(out, "%s-%c", between, spec->id), between = " ";
		fprintf(out, "%s--%s", between, spec->name);
		between = " ";
	}
	if (value == VALUE_NONE)
		fprintf(out, "%s--help", between);
	fputc('\'', out);
}

static void print_bash_choices(const struct command *command, FILE *out)
{
	for (const struct option_spec *spec = command->options; spec->id != 0; spec++) {
		if (value_of(spec) != VALUE_CHOICE)
			continue;
		fprintf(out, "\t\tcase $prev in --%s", spec->name);
		if (spec->id < OPTION_LONG_ONLY)
			fprintf(out, "|-%c", spec->id);
		fputs(") words='", out);
		print_choices(spec->arg, "", out);
		fputs("' ;; esac\n", out);
	}
}

static void print_bash(FILE *out)
{
	fputs("_torpor_verbs='", out);
	for (const struct command *const *c = commands; *c != NULL; c++)
		fprintf(out, "%s%s", c != commands ? " " : "", (*c)->name);
	fputs("'\n_torpor_verb()\n{\n\tcase $verb in\n", out);
	for (const struct command *const *c = commands; *c != NULL; c++) {
		fprintf(out, "\t%s)\n\t\tsubcommands='", (*c)->name);
		print_subcommands(*c, out);
		fputs("' operands='", out);
		print_operands(*c, out);
		fputs("'\n\t\t", out);
		print_bash_options(*c, "flags", VALUE_NONE, out);
		print_bash_options(*c, " files", VALUE_FILE, out);
		print_bash_options(*c, " folders", VALUE_FOLDER, out);
		fputs("\n\t\t", out);
		print_bash_options(*c, "choices", VALUE_CHOICE, out);
		print_bash_options(*c, " others", VALUE_OTHER, out);
		fputc('\n', out);
		print_bash_choices(*c, out);
		fputs("\t\t;;\n", out);
	}
	fputs("\tesac\n}\n", out);
}

/* zsh: arguments of _arguments, in an array. */

/* Within single quotes; before what is in `marked` stands a backslash. */
static void print_quoted(const char *text, const char *marked, FILE *out)
{
	for (const char *c = text; *c != '\0'; c++) {
		if (*c == '\'')
			fputs("'\\'", out);
		else if (strchr(marked, *c) != NULL)
			fputc('\\', out);
		fputc(*c, out);
	}
}

static void print_zsh_value(const struct option_spec *spec, FILE *out)
{
	const enum value value = value_of(spec);

	if (value == VALUE_NONE)
		return;
	fputc(':', out);
	print_quoted(spec->arg, "[]:", out);
	fputc(':', out);
	if (value == VALUE_FILE)
		fputs("_files", out);
	else if (value == VALUE_FOLDER)
		fputs("_files -/", out);
	else if (value == VALUE_CHOICE) {
		fputs("_torpor_choices ", out);
		print_choices(spec->arg, ":", out);
	} else {
		fputc(' ', out);
	}
}

static void print_zsh_option(const struct option_spec *spec, FILE *out)
{
	const bool valued = value_of(spec) != VALUE_NONE;

	for (int letter = spec->id < OPTION_LONG_ONLY; letter >= 0; letter--) {
		if (letter)
			fprintf(out, "\t\t'*-%c%s[", spec->id, valued ? "+" : "");
		else
			fprintf(out, "\t\t'*--%s%s[", spec->name, valued ? "=" : "");
		print_quoted(spec->help, "[]:", out);
		fputc(']', out);
		print_zsh_value(spec, out);
		fputs("'\n", out);
	}
}

static void print_zsh(FILE *out)
{
	fputs("_torpor_verbs=(\n", out);
	for (const struct command *const *c = commands; *c != NULL; c++) {
		fprintf(out, "\t'%s:", (*c)->name);
		print_quoted((*c)->summary, ":", out);
		fputs("'\n", out);
	}
	fputs(")\n_torpor_verb()\n{\n\tcase $1 in\n", out);
	for (const struct command *const *c = commands; *c != NULL; c++) {
		fprintf(out, "\t%s) arguments=(\n\t\t'--help[explain it]'\n", (*c)->name);
		for (const struct option_spec *spec = (*c)->options; spec->id != 0; spec++)
			print_zsh_option(spec, out);
		if ((*c)->subcommands != NULL) {
			fputs("\t\t'1:subcommand:_torpor_choices ", out);
			print_subcommands(*c, out);
			fputs("'\n", out);
		}
		fputs("\t\t'*:operand:_torpor_operands ", out);
		print_operands(*c, out);
		fputs("'\n\t\t) ;;\n", out);
	}
	fputs("\tesac\n}\n", out);
}

/* fish: a line an option. */

static void print_fish_option(const char *verb, const struct option_spec *spec, FILE *out)
{
	fprintf(out, "complete -c torpor -n '__torpor_verb %s' -l %s", verb, spec->name);
	if (spec->id < OPTION_LONG_ONLY)
		fprintf(out, " -s %c", spec->id);
	switch (value_of(spec)) {
	case VALUE_NONE:
		break;
	case VALUE_FILE:
		fputs(" -r -F", out);
		break;
	case VALUE_FOLDER:
		fputs(" -x -a '(__fish_complete_directories)'", out);
		break;
	case VALUE_CHOICE:
		fputs(" -x -a '", out);
		print_choices(spec->arg, "", out);
		fputc('\'', out);
		break;
	case VALUE_OTHER:
		fputs(" -x", out);
		break;
	}
	fputs(" -d '", out);
	for (const char *c = spec->help; *c != '\0'; c++) {
		if (*c == '\'' || *c == '\\')
			fputc('\\', out);
		fputc(*c, out);
	}
	fputs("'\n", out);
}

static void print_fish_verb(const struct command *command, FILE *out)
{
	const char *const verb = command->name;

	fprintf(out, "complete -c torpor -n __torpor_no_verb -a %s -d '", verb);
	for (const char *c = command->summary; *c != '\0'; c++) {
		if (*c == '\'' || *c == '\\')
			fputc('\\', out);
		fputc(*c, out);
	}
	fprintf(out, "'\ncomplete -c torpor -n '__torpor_verb %s' -l help -d 'explain it'\n", verb);
	for (const struct option_spec *spec = command->options; spec->id != 0; spec++)
		print_fish_option(verb, spec, out);
	if (command->subcommands != NULL) {
		fprintf(out,
			"complete -c torpor -n '__torpor_verb %s; and __torpor_no_operand' -a '",
			verb);
		print_subcommands(command, out);
		fputs("'\n", out);
	}
	fprintf(out, "complete -c torpor -n '__torpor_verb %s%s' -a '(__torpor_operands ", verb,
		command->subcommands != NULL ? "; and not __torpor_no_operand" : "");
	print_operands(command, out);
	fputs(")'\n", out);
}

static void print_fish(FILE *out)
{
	for (const struct command *const *c = commands; *c != NULL; c++)
		print_fish_verb(*c, out);
}

const struct completion completions[3] = {
	{"cli/completion.bash", print_bash},
	{"cli/completion.zsh", print_zsh},
	{"cli/completion.fish", print_fish},
};
