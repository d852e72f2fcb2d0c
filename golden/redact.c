/* See redact.h. */
#include "golden/redact.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"

static const struct builtin {
	const char *name;
	bool group;
	const char *regex;
} builtins[] = {
	{"time", false,
	 "([0-9]{4}-[0-9]{2}-[0-9]{2}[T ])?[0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?"
	 "(Z|[ ]?[+-][0-9]{2}:?[0-9]{2})?"},
	{"duration", false, "\\b[0-9]+([.,][0-9]+)? ?(ns|us|µs|ms|s|sec|seconds?|min|minutes?)\\b"},
	{"pid", true, "\\b[Pp][Ii][Dd][ =:#]*([0-9]+)"},
	{"address", false, "\\b0x[0-9a-fA-F]{6,16}\\b"},
	{"uuid", false, "\\b[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\\b"},
};

static const struct builtin *find_builtin(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(builtins); i++) {
		if (strcmp(builtins[i].name, name) == 0)
			return &builtins[i];
	}
	return NULL;
}

/* "[NAME]". Returns whether it is a name at all. */
static bool make_word(char word[32], const char *name, size_t len)
{
	if (len == 0 || len > 29)
		return false;
	word[0] = '[';
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)name[i]) && name[i] != '-')
			return false;
		word[i + 1] = (char)toupper((unsigned char)name[i]);
	}
	word[len + 1] = ']';
	word[len + 2] = '\0';
	return true;
}

int redact_add(struct redactions *r, const char *text, struct err *err)
{
	const char *equals = strchr(text, '=');
	const struct builtin *builtin = equals == NULL ? find_builtin(text) : NULL;
	const char *regex = equals != NULL ? equals + 1 : NULL;
	struct redaction *item = &r->item[r->n];
	char why[128];
	int failed;

	if (r->n == REDACTIONS_MAX)
		return err_set(err, ERR_USAGE, "more than %u redactions", REDACTIONS_MAX);
	if (equals == NULL && builtin == NULL)
		return err_set(err, ERR_USAGE,
			       "'%s' is not time, duration, pid, address, uuid or NAME=REGEX",
			       text);
	if (!make_word(item->word, text, equals != NULL ? (size_t)(equals - text) : strlen(text)))
		return err_set(err, ERR_USAGE, "'%s': a name has letters, digits and -", text);
	if (builtin != NULL)
		regex = builtin->regex;
	failed = regcomp(&item->regex, regex, REG_EXTENDED);
	if (failed != 0) {
		regerror(failed, &item->regex, why, sizeof(why));
		return err_set(err, ERR_USAGE, "'%s': %s", regex, why);
	}
	item->group = builtin != NULL ? builtin->group : item->regex.re_nsub > 0;
	r->n++;
	return 0;
}

/* `text`, NUL-terminated and owned, with all that one redaction finds replaced; NULL: no memory. */
static char *redact_once(const struct redaction *item, char *text)
{
	const regoff_t len = (regoff_t)strlen(text);
	struct buf out = {0};
	regoff_t at = 0;
	regmatch_t match[2] = {{.rm_so = 0, .rm_eo = len}};

	/* REG_STARTEND: where it ends is not looked for again behind each match. */
	while (regexec(&item->regex, text, 2, match, REG_STARTEND) == 0) {
		const regmatch_t *found = &match[item->group ? 1 : 0];

		/* An expression that matches nothing would be found for ever. */
		if (match[0].rm_eo == at || found->rm_so < 0)
			break;
		buf_add(&out, text + at, (size_t)(found->rm_so - at));
		buf_add(&out, item->word, strlen(item->word));
		buf_add(&out, text + found->rm_eo, (size_t)(match[0].rm_eo - found->rm_eo));
		at = match[0].rm_eo;
		match[0] = (regmatch_t){.rm_so = at, .rm_eo = len};
	}
	buf_add(&out, text + at, (size_t)(len - at) + 1);
	free(text);
	if (buf_failed(&out)) {
		buf_free(&out);
		return NULL;
	}
	return (char *)out.data;
}

void redact_line(const struct redactions *r, const char *text, size_t len, struct buf *out)
{
	cleanup_free char *line = strndup(text, len);

	for (unsigned i = 0; i < r->n && line != NULL; i++)
		line = redact_once(&r->item[i], line);
	if (line == NULL)
		out->failed = true;
	else
		buf_add(out, line, strlen(line));
}

void redact_free(struct redactions *r)
{
	for (unsigned i = 0; i < r->n; i++)
		regfree(&r->item[i].regex);
	r->n = 0;
}
