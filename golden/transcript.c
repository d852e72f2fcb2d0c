/* See transcript.h. */
#include "golden/transcript.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "golden/guest_port.h"

#define INDENT 2u

static bool begins(const struct text_line *line, const char *prefix)
{
	size_t len = strlen(prefix);

	return line->len >= len && memcmp(line->text, prefix, len) == 0;
}

static int split_lines(struct transcript *t, size_t len, struct err *err)
{
	const char *at = t->text, *end = t->text + len;

	t->no_newline = len > 0 && end[-1] != '\n';
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		struct text_line *grown = array_grow(t->line, t->nlines, sizeof(*grown));

		if (grown == NULL)
			return err_sys(err, ENOMEM, "read a test");
		t->line = grown;
		if (newline == NULL)
			newline = end;
		grown[t->nlines++] = (struct text_line){at, (size_t)(newline - at)};
		at = newline + 1;
	}
	return 0;
}

static int parse_redact(struct transcript *t, char *value, struct err *err)
{
	char *rest = NULL;

	/* An expression may have spaces in it. */
	if (strchr(value, '=') != NULL)
		return redact_add(&t->redactions, value, err);
	for (char *word = strtok_r(value, " \t", &rest); word != NULL;
	     word = strtok_r(NULL, " \t", &rest)) {
		int ret = redact_add(&t->redactions, word, err);

		if (ret < 0)
			return ret;
	}
	return 0;
}

static int parse_timeout(struct transcript *t, const char *value, struct err *err)
{
	char *end;
	unsigned long seconds = strtoul(value, &end, 10);

	if (end == value || *end != '\0' || seconds < 1 || seconds > 86400)
		return err_set(err, ERR_USAGE, "timeout: '%s' is not 1 to 86400 seconds", value);
	t->timeout = (unsigned)seconds;
	return 0;
}

static int parse_publish(struct transcript *t, char *value, struct err *err)
{
	char *rest = NULL;

	for (char *word = strtok_r(value, " \t", &rest); word != NULL;
	     word = strtok_r(NULL, " \t", &rest)) {
		int ret = guest_port_check("publish", word, err);

		if (ret < 0)
			return ret;
		if (t->npublish == TRANSCRIPT_PORTS_MAX)
			return err_set(err, ERR_USAGE, "publish: more than %u ports",
				       TRANSCRIPT_PORTS_MAX);
		t->publish[t->npublish] = strdup(word);
		if (t->publish[t->npublish] == NULL)
			return err_sys(err, ENOMEM, "read a test");
		t->npublish++;
	}
	return 0;
}

/* A test has no other heads. One that is misspelt would have no effect. */
static int refuse_head(void *opaque, const char *key, char *value, struct err *err)
{
	(void)opaque, (void)value;
	return err_set(err, ERR_USAGE,
		       "a test has no '%s:' in its head, which ends at the first empty line", key);
}

/* A line `KEY: VALUE` for head->take(): 1. A line that is none: 0. */
static int parse_other_head(const struct transcript_head *head, const struct text_line *line,
			    struct err *err)
{
	cleanup_free char *key = strndup(line->text, line->len);
	size_t len;
	int ret;

	if (key == NULL)
		return err_sys(err, ENOMEM, "read a test");
	len = strspn(key, "abcdefghijklmnopqrstuvwxyz-");
	if (len == 0 || strncmp(key + len, ": ", 2) != 0)
		return 0;
	key[len] = '\0';
	ret = head->take(head->opaque, key, key + len + 2, err);
	return ret < 0 ? ret : 1;
}

/* A line of the head: 1. A line that is none: 0. */
static int parse_head_line(struct transcript *t, const struct text_line *line,
			   const struct transcript_head *head, struct err *err)
{
	static const char *const keys[] = {"golden: ", "timeout: ", "redact: ", "publish: "};
	unsigned key = 0;
	int ret = 0;

	while (key < ARRAY_SIZE(keys) && !begins(line, keys[key]))
		key++;
	if (key == ARRAY_SIZE(keys))
		return parse_other_head(head, line, err);
	{
		size_t skip = strlen(keys[key]);
		cleanup_free char *value = strndup(line->text + skip, line->len - skip);

		if (value == NULL)
			return err_sys(err, ENOMEM, "read a test");
		if (key == 1)
			ret = parse_timeout(t, value, err);
		else if (key == 2)
			ret = parse_redact(t, value, err);
		else if (key == 3)
			ret = parse_publish(t, value, err);
		else if (snprintf(t->golden, sizeof(t->golden), "%s", value) >=
			 (int)sizeof(t->golden))
			ret = err_set(err, ERR_USAGE, "golden: the name is too long");
	}
	return ret < 0 ? ret : 1;
}

/* Its first line, those that continue it, and the output. *at: behind all that. */
static int parse_command(struct transcript *t, size_t *at, struct err *err)
{
	struct transcript_command *grown = array_grow(t->command, t->ncommands, sizeof(*grown));
	struct transcript_command *c;
	struct buf text = {0};
	size_t i = *at;

	if (grown == NULL)
		return err_sys(err, ENOMEM, "read a test");
	t->command = grown;
	c = &grown[t->ncommands];
	*c = (struct transcript_command){.host = begins(&t->line[i], "  % "), .line = i};
	buf_add(&text, t->line[i].text + INDENT + 2, t->line[i].len - INDENT - 2);
	for (i++; i < t->nlines && (begins(&t->line[i], "  > ")); i++) {
		buf_add(&text, "\n", 1);
		buf_add(&text, t->line[i].text + INDENT + 2, t->line[i].len - INDENT - 2);
	}
	buf_add(&text, "", 1);
	if (buf_failed(&text)) {
		buf_free(&text);
		return err_sys(err, ENOMEM, "read a test");
	}
	c->text = (char *)text.data;
	t->ncommands++;
	if (strlen(c->text) + 1 != text.len)
		return err_set(err, ERR_USAGE, "line %zu: a NUL in a command", c->line + 1);
	c->expected = i;
	while (i < t->nlines && begins(&t->line[i], "  ") && !begins(&t->line[i], "  $ ") &&
	       !begins(&t->line[i], "  % "))
		i++;
	c->nexpected = i - c->expected;
	*at = i;
	return 0;
}

static int parse_lines(struct transcript *t, const struct transcript_head *more, struct err *err)
{
	bool head = true;
	size_t i = 0;

	while (i < t->nlines) {
		const struct text_line *line = &t->line[i];
		int ret;

		/* Output may have them, two spaces further in. */
		if (begins(line, "<<<<<<< ") || begins(line, ">>>>>>> "))
			return err_set(err, ERR_USAGE,
				       "line %zu: a conflict marker: choose one of the two sides",
				       i + 1);
		ret = head ? parse_head_line(t, line, more, err) : 0;
		if (ret < 0)
			return err_context(err, ret, "line %zu", i + 1);
		head = ret > 0;
		if (begins(line, "  $ ") || begins(line, "  % ")) {
			ret = parse_command(t, &i, err);
			if (ret < 0)
				return ret;
		} else {
			i++;
		}
	}
	return 0;
}

int transcript_parse(struct transcript *t, char *text, size_t len, struct err *err)
{
	static const struct transcript_head none = {refuse_head, NULL};

	return transcript_parse_with(t, text, len, &none, err);
}

int transcript_parse_with(struct transcript *t, char *text, size_t len,
			  const struct transcript_head *head, struct err *err)
{
	int ret;

	*t = (struct transcript){.text = text, .timeout = TRANSCRIPT_TIMEOUT};
	/* The last line may get its newline yet. */
	if (memmem(text, len, "\r\n", 2) != NULL || (len > 0 && text[len - 1] == '\r'))
		ret = err_set(
			err, ERR_USAGE,
			"lines end in CR LF, and those of a transcript in LF: sed -i 's/\\r$//'");
	else if (len > TRANSCRIPT_MAX)
		ret = err_set(err, ERR_USAGE, "longer than %u MiB", TRANSCRIPT_MAX >> 20);
	else
		ret = split_lines(t, len, err);
	if (ret == 0)
		ret = parse_lines(t, head, err);
	if (ret < 0)
		transcript_free(t);
	return ret;
}

bool transcript_same(const struct transcript *a, const struct transcript *b)
{
	if (a->nlines != b->nlines || a->no_newline != b->no_newline)
		return false;
	for (size_t i = 0; i < a->nlines; i++) {
		if (a->line[i].len != b->line[i].len ||
		    memcmp(a->line[i].text, b->line[i].text, a->line[i].len) != 0)
			return false;
	}
	return true;
}

void transcript_free(struct transcript *t)
{
	for (size_t i = 0; i < t->ncommands; i++)
		free(t->command[i].text);
	for (unsigned i = 0; i < t->npublish; i++)
		free(t->publish[i]);
	free(t->command);
	free(t->line);
	free(t->text);
	redact_free(&t->redactions);
	*t = (struct transcript){0};
}
