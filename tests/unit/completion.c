/* See completion.h. What an operand or a value can be is told from its name in the tables. */
#include "tests/unit/completion.h"

#include <stdbool.h>
#include <string.h>

#include "cli/command.h"

static const char head[] =
	"# bash completion for torpor; generated from its table of verbs\n"
	"_torpor()\n"
	"{\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	"\tlocal verb=${COMP_WORDS[1]} options='' operands=''\n"
	"\n"
	"\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
	"\t\tCOMPREPLY=($(compgen -W \"$(_torpor_verbs)\" -- \"$cur\"))\n"
	"\t\treturn\n"
	"\tfi\n";

static const char tail[] =
	"\tcase $prev in\n"
	"\t--cpu) COMPREPLY=($(compgen -W 'v1 v2 v3 host' -- \"$cur\")); return ;;\n"
	"\t--console) COMPREPLY=($(compgen -W 'ttyS0 hvc0' -- \"$cur\")); return ;;\n"
	"\t--kernel|--initrd|--disk|--output|-o|--public|-p|--secret|-s|--key-file|--passphrase-"
	"file)\n"
	"\t\tcompopt -o filenames\n"
	"\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n"
	"\t\treturn ;;\n"
	"\tesac\n"
	"\tCOMPREPLY=()\n"
	"\tcase $operands in\n"
	"\t*running*) COMPREPLY+=($(compgen -W \"$(torpor ps -q 2>/dev/null)\" -- \"$cur\")) ;;\n"
	"\t*known*) COMPREPLY+=($(compgen -W \"$(torpor ps -aq 2>/dev/null)\" -- \"$cur\")) ;;\n"
	"\t*verbs*) COMPREPLY+=($(compgen -W \"$(_torpor_verbs)\" -- \"$cur\")) ;;\n"
	"\tesac\n"
	"\tcase $operands in\n"
	"\t*files*)\n"
	"\t\tcompopt -o filenames\n"
	"\t\tCOMPREPLY+=($(compgen -f -- \"$cur\")) ;;\n"
	"\tesac\n"
	"\tcase $cur in\n"
	"\t-*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
	"\tesac\n"
	"}\n"
	"complete -F _torpor torpor\n";

/* Verbs that also speak of machines that are over. */
static bool takes_ended(const char *verb)
{
	return strcmp(verb, "rm") == 0 || strcmp(verb, "wait") == 0 || strcmp(verb, "logs") == 0 ||
	       strcmp(verb, "events") == 0;
}

static void print_verb(const struct command *command, FILE *out)
{
	fprintf(out, "\t%s)\n\t\toptions='", command->name);
	for (const struct option_spec *spec = command->options; spec->id != 0; spec++) {
		if (spec->id < OPTION_LONG_ONLY)
			fprintf(out, "-%c ", spec->id);
		fprintf(out, "--%s ", spec->name);
	}
	fputs("--help' operands='", out);
	if (strstr(command->args, "NAME") != NULL)
		fputs(takes_ended(command->name) ? "known" : "running", out);
	if (strstr(command->args, "FILE") != NULL)
		fputs(" files", out);
	if (strstr(command->args, "VERB") != NULL)
		fputs("verbs", out);
	fputs("' ;;\n", out);
}

void completion_print(FILE *out)
{
	fputs(head, out);
	fputs("\tcase $verb in\n", out);
	for (const struct command *const *c = commands; *c != NULL; c++)
		print_verb(*c, out);
	fputs("\tesac\n", out);
	fputs(tail, out);
	fputs("_torpor_verbs()\n{\n\techo '", out);
	for (const struct command *const *c = commands; *c != NULL; c++)
		fprintf(out, "%s%s", c != commands ? " " : "", (*c)->name);
	fputs("'\n}\n", out);
}
