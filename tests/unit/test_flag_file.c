/* The words of a file of options. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/flag_file.h"

/* The words with | between them, or the error. */
static char *words_of(const char *text, size_t len)
{
	static char joined[256];
	struct flag_words words = {0};
	struct err err;

	joined[0] = '\0';
	if (flag_words_add(&words, "f", text, len, &err) < 0)
		strcpy(joined, err.text);
	else
		for (size_t i = 0; i < words.n; i++)
			strcat(strcat(joined, i > 0 ? "|" : ""), words.word[i]);
	for (size_t i = 0; i < words.n; i++)
		free(words.word[i]);
	free(words.word);
	return joined;
}

Test(flag_file, words)
{
	static struct {
		const char *text;
		char words[40];
	} cases[] = {
		{"", ""},
		{" \t\r\n", ""},
		{"--live\r\n-m 64M", "--live|-m|64M"},
		{"# one\na#b # two\n#", "a#b"},
		{"--append='a  b'\"c'\"'\"'", "--append=a  bc'\""},
		{"'' \"\"", "|"},
		{"a\\ b \\# '\\' \"\\\"\"", "a b|#|\\|\""},
		{"@x $HOME *", "@x|$HOME|*"},
		{"'a\nb'", "a\nb"},
		{"end\\", "end\\"},
		{"a\nb 'c\n\n", "f: line 2: a quote is not closed"},
		{"\"", "f: line 1: a quote is not closed"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		cr_expect(eq(str, words_of(cases[i].text, strlen(cases[i].text)), cases[i].words));
	cr_expect(eq(str, words_of("a\0b", 3), (char *)"f: is no text"));
}
