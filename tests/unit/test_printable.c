/* Text of strangers, made fit for terminals: printable.h, and who uses it. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/num.h"
#include "base/printable.h"

static const struct {
	const char *text, *shown;
} cases[] = {
	{"plain", "plain"},
	{"", ""},
	{"Gr\303\266\303\237e \342\202\254 \360\237\230\200",
	 "Gr\303\266\303\237e \342\202\254 \360\237\230\200"},
	{"a\033[2Jb", "a?[2Jb"},
	{"one\ntwo\r\tthree\a\b\177", "one?two??three???"},
	{"C1 \302\233 2J \302\205", "C1 ?? 2J ??"},
	{"not UTF-8 \233\377\300\200", "not UTF-8 ????"},
	{"overlong \340\202\233 surrogate \355\240\200", "overlong ??? surrogate ???"},
	{"cut \342\202", "cut ??"},
	{"bidi \342\200\256gnp.exe \342\201\246 \342\200\217 \330\234",
	 "bidi ???gnp.exe ??? ??? ??"},
	{"lines \342\200\250 \342\200\251", "lines ??? ???"},
	/* Beside what is refused. */
	{"\302\240\341\232\200\342\200\257\342\201\245\342\201\252",
	 "\302\240\341\232\200\342\200\257\342\201\245\342\201\252"},
};

Test(printable, what_controls_a_terminal_does_not_stay)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[200];

		strcpy(text, cases[i].text);
		printable_utf8(text);
		cr_assert_str_eq(text, cases[i].shown);
	}
}

Test(printable, no_error_has_it)
{
	static const char evil[] = "a\033]0;title\a\302\233";
	struct err err = {0};

	err_set(&err, ERR_FAILED, "%s", evil);
	cr_assert_str_eq(err.text, "a?]0;title???");
	err_context(&err, -1, "%s", evil);
	cr_assert_str_eq(err.text, "a?]0;title???: a?]0;title???");
	err_sys(&err, 5, "%s", evil);
	cr_assert_str_eq(err.text, "a?]0;title???: Input/output error");
}

Test(printable, no_line_of_a_log_has_it)
{
	struct log_limit limit = {0};
	struct log log = {.prefix = "torpor"};
	char text[200];
	ssize_t len;
	int fd[2];

	cr_assert(eq(int, pipe(fd), 0));
	log.fd = fd[1];
	log_line(&log, "port %s", "a\033[2J\nb");
	log_guest(&log, &limit, "guest %s", "\302\233x");
	len = read(fd[0], text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = '\0';
	cr_assert_str_eq(text, "torpor: port a?[2J?b\ntorpor: guest ??x\n");
	close(fd[0]);
	close(fd[1]);
}
