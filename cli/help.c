/* The texts of `torpor help`, laid out within 80 columns; see command.h. */
#include <string.h>

#include "cli/command.h"

#define WIDTH	    80u
#define HELP_COLUMN 31u /* where the texts of options begin */
#define VERB_COLUMN 14u

/* Columns, as all our texts take one a character. */
static unsigned columns(const char *text, size_t len)
{
	unsigned n = 0;

	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)text[i] & 0xc0) != 0x80;
	return n;
}

/* `text` from column `at` on, its further lines from `indent` on. */
static void print_filled(const char *text, size_t len, unsigned at, unsigned indent, FILE *out)
{
	const char *const end = text + len;
	bool first = true;

	while (text < end) {
		size_t word = strcspn(text, " \n");
		unsigned wide;

		if (word > (size_t)(end - text))
			word = (size_t)(end - text);
		wide = columns(text, word);
		if (!first && at + 1 + wide > WIDTH) {
			fprintf(out, "\n%*s", (int)indent, "");
			at = indent;
		} else if (!first) {
			fputc(' ', out);
			at++;
		}
		fwrite(text, 1, word, out);
		at += wide;
		first = false;
		text += word;
		text += strspn(text, " \n");
	}
	fputc('\n', out);
}

void command_print_filled(const char *text, unsigned at, unsigned indent, FILE *out)
{
	print_filled(text, strlen(text), at, indent, out);
}

static bool is_table(const char *text, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++) {
		if (text[i] == ' ' && text[i + 1] == ' ')
			return true;
	}
	return false;
}

static void print_paragraphs(const char *text, FILE *out)
{
	for (;;) {
		const char *end = strstr(text, "\n\n");
		size_t len = end != NULL ? (size_t)(end - text) : strlen(text);

		if (is_table(text, len))
			fprintf(out, "%.*s\n", (int)len, text);
		else
			print_filled(text, len, 0, 0, out);
		if (end == NULL)
			return;
		fputc('\n', out);
		text = end + 2;
	}
}

static void print_option(const struct option_spec *spec, FILE *out)
{
	bool letter = spec->id < OPTION_LONG_ONLY;
	char left[80];
	unsigned wide;

	snprintf(left, sizeof(left), "  %c%c%c --%s%s%s", letter ? '-' : ' ',
		 letter ? spec->id : ' ', letter ? ',' : ' ', spec->name,
		 spec->arg != NULL && !option_value_optional(spec) ? " " : "",
		 spec->arg != NULL ? spec->arg : "");
	wide = columns(left, strlen(left));
	if (wide + 2 > HELP_COLUMN)
		fprintf(out, "%s\n%*s", left, (int)HELP_COLUMN, "");
	else
		fprintf(out, "%s%*s", left, (int)(HELP_COLUMN - wide), "");
	print_filled(spec->help, strlen(spec->help), HELP_COLUMN, HELP_COLUMN, out);
}

static bool takes(const struct subcommand *sub, int id)
{
	for (size_t i = 0; i < SUBCOMMAND_OPTIONS; i++) {
		if (sub->options[i] == id)
			return true;
	}
	return false;
}

static void help_entry(const char *name, const char *summary, FILE *out)
{
	fprintf(out, "  %-11s ", name);
	print_filled(summary, strlen(summary), VERB_COLUMN, VERB_COLUMN, out);
}

void command_print_list(FILE *out)
{
	fputs("usage: torpor VERB [OPTION]… [OPERAND]…\n\n", out);
	for (const struct command *const *c = commands; *c != NULL; c++)
		help_entry((*c)->name, (*c)->summary, out);
	fputs("\n`torpor help VERB` tells more; the manual is torpor(1).\n", out);
}

void command_print_help(const struct command *command, FILE *out)
{
	bool has_options = command->options->id != 0;

	fprintf(out, "usage: torpor %s%s%s%s\n\n", command->name, has_options ? " [OPTION]…" : "",
		command->args[0] != '\0' ? " " : "", command->args);
	print_filled(command->summary, strlen(command->summary), 0, 0, out);
	if (command->subcommands != NULL)
		fputc('\n', out);
	for (const struct subcommand *sub = command->subcommands; sub != NULL && sub->name != NULL;
	     sub++)
		help_entry(sub->name, sub->summary, out);
	if (has_options)
		fputc('\n', out);
	for (const struct option_spec *spec = command->options; spec->id != 0; spec++)
		print_option(spec, out);
	if (command->detail != NULL) {
		fputc('\n', out);
		print_paragraphs(command->detail, out);
	}
	if (command->subcommands != NULL)
		fprintf(out, "\n`torpor help %s %s` tells of one alone.\n", command->name,
			command->subcommands->name);
}

void command_print_subcommand(const struct command *command, const struct subcommand *sub,
			      FILE *out)
{
	bool has_options = sub->options[0] != 0;

	fprintf(out, "usage: torpor %s %s%s%s%s\n\n", command->name, sub->name,
		has_options ? " [OPTION]…" : "", sub->args[0] != '\0' ? " " : "", sub->args);
	print_filled(sub->summary, strlen(sub->summary), 0, 0, out);
	if (has_options)
		fputc('\n', out);
	for (const struct option_spec *spec = command->options; spec->id != 0; spec++) {
		if (takes(sub, spec->id))
			print_option(spec, out);
	}
	if (sub->detail != NULL) {
		fputc('\n', out);
		print_paragraphs(sub->detail, out);
	}
}

/* How many letters differ (Levenshtein); words of up to WORD_MAX letters. */
#define WORD_MAX 32u

static unsigned distance(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b);
	unsigned row[WORD_MAX + 1];

	if (na > WORD_MAX || nb > WORD_MAX)
		return WORD_MAX;
	for (unsigned j = 0; j <= nb; j++)
		row[j] = j;
	for (unsigned i = 0; i < na; i++) {
		unsigned diagonal = row[0];

		row[0] = i + 1;
		for (unsigned j = 0; j < nb; j++) {
			unsigned changed = diagonal + (a[i] != b[j]);
			unsigned shorter = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;

			diagonal = row[j + 1];
			row[j + 1] = changed < shorter ? changed : shorter;
		}
	}
	return row[nb];
}

static const char *suggest(const char *typed)
{
	/* What other tools of this kind call it. */
	static const char *const aliases[][2] = {
		{"list", "ps"},		{"start", "run"},     {"restore", "resume"},
		{"checkpoint", "save"}, {"snapshot", "save"}, {"attach", "console"},
		{"info", "inspect"},	{"network", "lan"},   {"delete", "rm"}};
	unsigned best = strlen(typed) > 3 ? 3 : 2;
	const char *name = NULL;

	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		if (strcmp(aliases[i][0], typed) == 0)
			return aliases[i][1];
	}
	for (const struct command *const *c = commands; *c != NULL; c++) {
		unsigned far = distance(typed, (*c)->name);

		if (far < best) {
			best = far;
			name = (*c)->name;
		}
	}
	return name;
}

int command_unknown(const char *typed, struct err *err)
{
	const char *meant = suggest(typed);

	if (meant != NULL)
		return err_set(err, ERR_USAGE,
			       "unknown verb '%s': did you mean %s? (see torpor help)", typed,
			       meant);
	return err_set(err, ERR_USAGE, "unknown verb '%s' (see torpor help)", typed);
}
