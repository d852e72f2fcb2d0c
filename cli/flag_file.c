/* See flag_file.h. */
#include "cli/flag_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"

/* `word` is taken; NULL: there was no memory for it. */
static int append(struct flag_words *words, char *word, struct err *err)
{
	char **grown = word != NULL ? array_grow(words->word, words->n + 1, sizeof(*grown)) : NULL;

	if (grown == NULL) {
		free(word);
		return err_sys(err, ENOMEM, "read options");
	}
	words->word = grown;
	grown[words->n++] = word;
	grown[words->n] = NULL;
	return 0;
}

struct scan {
	const char *at, *end;
	unsigned line;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* To the next word; false: there is none. */
static bool skip_to_word(struct scan *s)
{
	for (; s->at < s->end; s->at++) {
		if (*s->at == '#') {
			while (s->at + 1 < s->end && s->at[1] != '\n')
				s->at++;
			continue;
		}
		if (!is_space(*s->at))
			return true;
		s->line += *s->at == '\n';
	}
	return false;
}

/* Its bytes without quotes, and a NUL. Returns 0, or -EINVAL when a quote is not closed. */
static int take_word(struct scan *s, struct buf *word)
{
	char quote = 0;

	for (; s->at < s->end && (quote != 0 || !is_space(*s->at)); s->at++) {
		char c = *s->at;

		s->line += c == '\n';
		if (c == quote) {
			quote = 0;
			continue;
		}
		if (quote == 0 && (c == '\'' || c == '"')) {
			quote = c;
			continue;
		}
		if (c == '\\' && quote != '\'' && s->at + 1 < s->end)
			c = *++s->at;
		buf_add_u8(word, (uint8_t)c);
	}
	buf_add_u8(word, 0);
	return quote != 0 ? -EINVAL : 0;
}

int flag_words_add(struct flag_words *words, const char *name, const char *text, size_t len,
		   struct err *err)
{
	struct scan s = {.at = text, .end = text + len, .line = 1};

	if (memchr(text, '\0', len) != NULL)
		return err_set(err, ERR_USAGE, "%s: is no text", name);
	while (skip_to_word(&s)) {
		cleanup_buf struct buf word = {0};
		unsigned line = s.line;
		int ret = take_word(&s, &word);

		if (ret < 0)
			return err_set(err, ERR_USAGE, "%s: line %u: a quote is not closed", name,
				       line);
		ret = append(words, buf_failed(&word) ? NULL : strdup((char *)word.data), err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int add_file(struct flag_words *words, const char *path, struct err *err)
{
	cleanup_free char *text = NULL;
	size_t len;
	int ret = io_read_file(path, FLAG_FILE_MAX, &text, &len);

	return ret < 0 ? err_sys(err, -ret, "%s", path)
		       : flag_words_add(words, path, text, len, err);
}

static bool names_file(const char *word)
{
	return word[0] == '@' && word[1] != '\0';
}

int flag_file_expand(struct options *opts, struct err *err)
{
	struct flag_words words = {0};
	bool any = false, over = false;
	int ret = 0;

	for (int i = 1; i < opts->argc && strcmp(opts->argv[i], "--") != 0; i++)
		any = any || names_file(opts->argv[i]);
	if (!any)
		return 0;
	for (int i = 0; ret == 0 && i < opts->argc; i++) {
		over = over || (i > 0 && strcmp(opts->argv[i], "--") == 0);
		ret = !over && i > 0 && names_file(opts->argv[i])
			      ? add_file(&words, opts->argv[i] + 1, err)
			      : append(&words, strdup(opts->argv[i]), err);
	}
	opts->argc = (int)words.n;
	opts->argv = words.word;
	return ret;
}
