/* Transcripts: parsing, what a line of output matches, diffs and new texts. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "golden/compare.h"
#include "golden/test_files.h"
#include "tests/unit/sample.h"

static int parse(struct transcript *t, const char *text, struct err *err)
{
	return transcript_parse(t, strdup(text), strlen(text), err);
}

Test(golden, a_transcript_is_head_prose_commands_and_output)
{
	cleanup_transcript struct transcript t = {0};
	struct err err;

	cr_assert(zero(i32, parse(&t,
				  "golden: web.torpor@sha256:0123\n"
				  "timeout: 5\n"
				  "publish: 80 53/udp\n"
				  "redact: uuid time\n"
				  "redact: port=:([0-9]+)\n"
				  "\n"
				  "Words.\n"
				  "golden: not the head any more\n"
				  "  $ echo a \\\n"
				  "  > b\n"
				  "  a b\n"
				  "  [1]\n"
				  "  % true\n"
				  "\n"
				  "  indented prose\n",
				  &err)),
		  "%s", err.text);
	cr_expect(eq(str, t.golden, (char *)"web.torpor@sha256:0123"));
	cr_expect(eq(u32, t.timeout, 5));
	cr_expect(eq(u32, t.redactions.n, 3));
	cr_assert(eq(u32, t.npublish, 2));
	cr_expect(eq(str, t.publish[1], (char *)"53/udp"));
	cr_assert(eq(sz, t.ncommands, 2));
	cr_expect(eq(str, t.command[0].text, (char *)"echo a \\\nb"));
	cr_expect(not(t.command[0].host));
	cr_expect(eq(sz, t.command[0].expected, 10));
	cr_expect(eq(sz, t.command[0].nexpected, 2));
	cr_expect(eq(str, t.command[1].text, (char *)"true"));
	cr_expect(t.command[1].host);
	cr_expect(eq(sz, t.command[1].nexpected, 0));
}

Test(golden, a_head_that_cannot_be_read_names_its_line)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"timeout: soon\n", "line 1: timeout: 'soon'"},
		{"golden: a\ntimeout: 0\n", "line 2: timeout: '0'"},
		{"redact: colour\n", "line 1: 'colour' is not"},
		{"redact: a=(\n", "line 1: '(': "},
		{"redact: =x\n", "line 1: '=x': a name"},
		{"golden: a\ntimeuot: 5\n  % true\n", "line 2: a test has no 'timeuot:'"},
		{"publish: 80 eighty\n", "line 1: publish: 'eighty' is not a port"},
		{"memory: 80\n", "line 1: a test has no 'memory:' in its head"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct transcript t;
		struct err err = {0};

		cr_expect(lt(i32, parse(&t, cases[i].text, &err), 0));
		cr_expect(eq(i32, err.kind, ERR_USAGE));
		cr_expect(ne(ptr, strstr(err.text, cases[i].says), NULL), "%s", err.text);
	}
}

/* The transcript as it would have to be after its only command has printed `output`. */
static char *renewed(const char *text, const char *output, size_t len, int status, char **diff)
{
	cleanup_transcript struct transcript t = {0};
	cleanup_edits struct edits e = {0};
	cleanup_buf struct buf out = {0};
	struct err err;

	cr_assert(zero(i32, parse(&t, text, &err)), "%s", err.text);
	compare_begin(&e, &t);
	for (size_t i = 0; i < t.ncommands; i++)
		cr_assert(zero(i32, compare_output(&e, &t.command[i], output, len, status, &err)));
	cr_assert(zero(i32, compare_end(&e, &err)));
	if (diff != NULL) {
		cleanup_buf struct buf printed = {0};

		edits_diff(&e, "a", "b", &printed);
		*diff = strndup(printed.data != NULL ? (char *)printed.data : "", printed.len);
	}
	edits_text(&e, &out);
	return strndup((char *)out.data, out.len);
}

Test(golden, lines_match_as_they_are_or_by_their_mark)
{
	static const struct {
		const char *expected, *output;
		size_t len;
		int status;
	} cases[] = {
		{"  a\n  b\n", "a\nb\n", 4, 0},
		{"  a [0-9]+ (re)\n", "a 17\n", 5, 0},
		{"  a* (glob)\n", "abcd\n", 5, 0},
		{"  a (re)\n", "a (re)\n", 7, 0},
		{"  a (no-eol)\n", "a", 1, 0},
		{"  a\\x00\\r\\t\\\\ (esc)\n", "a\0\r\t\\\n", 6, 0},
		{"  \\xff (esc)\n", "\xff\n", 2, 0},
		{"  \\x24 ls (esc)\n", "$ ls\n", 5, 0},
		{"  \\x5b1] (esc)\n", "[1]\n", 4, 0},
		{"  \\x24 (esc) (no-eol)\n", "$", 1, 0},
		{"  $\n", "$\n", 2, 0},
		{"  a\n  [3]\n", "a\n", 2, 3},
		{"  <<<<<<< HEAD\n", "<<<<<<< HEAD\n", 13, 0},
		{"  \n", "\n", 1, 0},
		{"", "", 0, 0},
		{"  gr\xc3\xbc\xc3\x9f\n", "gr\xc3\xbc\xc3\x9f\n", 7, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256], *diff;

		snprintf(text, sizeof(text), "  $ x\n%s", cases[i].expected);
		free(renewed(text, cases[i].output, cases[i].len, cases[i].status, &diff));
		cr_expect(eq(str, diff, (char *)""));
		free(diff);
	}
}

Test(golden, what_is_printed_becomes_a_text_that_matches)
{
	char all[512];
	size_t n = 0;

	for (int byte = 0; byte < 256; byte++) {
		all[n++] = (char)byte;
		all[n++] = byte % 7 == 0 ? '\n' : 'x';
	}
	{
		char *first = renewed("  $ x\n", all, n, 9, NULL), *second, *diff;

		cr_expect(eq(sz, strlen(first), strnlen(first, 100000)));
		second = renewed(first, all, n, 9, &diff);
		cr_expect(eq(str, diff, (char *)""));
		cr_expect(eq(str, second, first));
		free(first);
		free(second);
		free(diff);
	}
}

Test(golden, a_difference_is_a_unified_diff_and_keeps_what_matched)
{
	char *diff, *text = renewed(
			    "Words.\n\n  $ x\n  one\n  t[a-z]o (re)\n  three\n  four\n  [1]\n\nEnd",
			    "one\ntwo\n3\nfour\n", 15, 0, &diff);

	cr_expect(eq(str, text,
		     (char *)"Words.\n\n  $ x\n  one\n  t[a-z]o (re)\n  3\n  four\n\nEnd"));
	cr_expect(eq(str, diff,
		     (char *)"--- a\n+++ b\n"
			     "@@ -3,8 +3,7 @@\n"
			     "   $ x\n"
			     "   one\n"
			     "   t[a-z]o (re)\n"
			     "-  three\n"
			     "+  3\n"
			     "   four\n"
			     "-  [1]\n"
			     " \n"
			     " End\n"
			     "\\ No newline at end of file\n"));
	free(text);
	free(diff);
}

Test(golden, a_last_line_without_a_newline_is_said_so)
{
	static const struct {
		const char *text, *output, *diff;
	} cases[] = {
		{"  $ x\n  a\nEnd", "b\n",
		 "@@ -1,3 +1,3 @@\n   $ x\n-  a\n+  b\n End\n\\ No newline at end of file\n"},
		{"  $ x\n  a", "b\n",
		 "@@ -1,2 +1,2 @@\n   $ x\n-  a\n\\ No newline at end of file\n+  b\n"},
		{"  $ x\n  a", "a\nb\n",
		 "@@ -1,2 +1,3 @@\n   $ x\n-  a\n\\ No newline at end of file\n+  a\n+  b\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *diff, *text = renewed(cases[i].text, cases[i].output, strlen(cases[i].output),
					    0, &diff);

		cr_assert(ge(sz, strlen(diff), 12));
		cr_expect(eq(str, diff + 12, (char *)cases[i].diff));
		free(diff);
		free(text);
	}
}

Test(golden, names_in_a_diff_are_those_that_patch_takes)
{
	static const struct {
		const char *name, *line;
	} cases[] = {
		{"a/b.t", "--- a/b.t\n+++ x\n"},
		{"a b.t", "--- a b.t\t\n+++ x\n"},
		{"a\n\"b\\.t", "--- \"a\\012\\\"b\\\\.t\"\n+++ x\n"},
	};
	cleanup_transcript struct transcript t = {0};
	cleanup_edits struct edits e = {0};
	struct err err;

	cr_assert(zero(i32, parse(&t, "  $ x\n  a\n", &err)));
	compare_begin(&e, &t);
	cr_assert(zero(i32, compare_output(&e, &t.command[0], "", 0, 0, &err)));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_buf struct buf diff = {0};
		char *hunk;

		edits_diff(&e, cases[i].name, "x", &diff);
		buf_add(&diff, "", 1);
		hunk = strstr((char *)diff.data, "@@");
		cr_assert(ne(ptr, hunk, NULL));
		*hunk = '\0';
		cr_expect(eq(str, (char *)diff.data, (char *)cases[i].line));
	}
}

Test(golden, hunks_far_apart_are_two)
{
	char output[2000] = "", text[4000] = "  $ x\n", *diff, *again;

	for (int i = 0; i < 30; i++) {
		sprintf(output + strlen(output), "%d\n", i == 5 || i == 25 ? i + 1000 : i);
		sprintf(text + strlen(text), "  %d\n", i);
	}
	free(renewed(text, output, strlen(output), 0, &diff));
	again = strstr(diff, "@@ -4,7 +4,7 @@\n");
	cr_assert(ne(ptr, again, NULL), "%s", diff);
	cr_expect(ne(ptr, strstr(again, "@@ -24,7 +24,7 @@\n"), NULL), "%s", diff);
	free(diff);
}

Test(golden, an_output_too_large_to_align_is_replaced)
{
	size_t n = 3000, len = 0;
	char *output = malloc(n * 16), *text = malloc(n * 16), *again;

	strcpy(text, "  $ x\n  first\n");
	for (size_t i = 0; i < n; i++) {
		len += (size_t)sprintf(output + len, "new %zu\n", i);
		sprintf(text + strlen(text), "  old %zu\n", i);
	}
	again = renewed(text, output, len, 0, NULL);
	cr_expect(eq(ptr, strstr(again, "old"), NULL));
	cr_expect(ne(ptr, strstr(again, "  new 2999\n"), NULL));
	free(again);
	free(output);
	free(text);
}

Test(golden, redactions_replace_what_differs_from_run_to_run)
{
	static const struct {
		const char *redaction, *line, *wanted;
	} cases[] = {
		{"time", "at 2026-11-28 23:05:01.123 UTC", "at [TIME] UTC"},
		{"time", "[12:00:00] 2026-01-02T03:04:05Z", "[[TIME]] [TIME]"},
		{"duration", "took 1.5 ms, then 3s", "took [DURATION], then [DURATION]"},
		{"pid", "pid=4711 Pid 1 rapid 3", "pid=[PID] Pid [PID] rapid 3"},
		{"address", "at 0x7ffe12345678", "at [ADDRESS]"},
		{"uuid", "id 01234567-89ab-cdef-0123-456789abcdef.", "id [UUID]."},
		{"port=:([0-9]+)", "127.0.0.1:80 ::1", "127.0.0.1:[PORT] ::[PORT]"},
		{"empty=x*", "abc", "abc"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct redactions r = {0};
		cleanup_buf struct buf out = {0};
		struct err err;

		cr_assert(zero(i32, redact_add(&r, cases[i].redaction, &err)), "%s", err.text);
		redact_line(&r, cases[i].line, strlen(cases[i].line), &out);
		buf_add(&out, "", 1);
		cr_expect(eq(str, (char *)out.data, (char *)cases[i].wanted));
		redact_free(&r);
	}
}

/* As many as one output may have. Each search goes on behind the last, in the same line. */
Test(golden, redactions_of_a_long_line)
{
	static const char once[] = "1:12:00:00 ", wanted[] = "1:[TIME] ";
	const size_t n = (1u << 20) / (sizeof(once) - 1);
	struct redactions r = {0};
	cleanup_buf struct buf line = {0}, out = {0};
	struct err err;

	for (size_t i = 0; i < n; i++)
		buf_add(&line, once, sizeof(once) - 1);
	cr_assert(zero(i32, redact_add(&r, "time", &err)), "%s", err.text);
	cr_assert(zero(i32, redact_add(&r, "begin=^1", &err)), "%s", err.text);
	redact_line(&r, (char *)line.data, line.len, &out);
	redact_free(&r);
	cr_assert(eq(sz, out.len, n * (sizeof(wanted) - 1) + sizeof("[BEGIN]") - sizeof("1")));
	cr_assert(zero(i32, memcmp(out.data, "[BEGIN]:[TIME] 1:", 17)));
	for (size_t at = 15; at < out.len; at += sizeof(wanted) - 1)
		cr_assert(zero(i32, memcmp(out.data + at, wanted, sizeof(wanted) - 1)));
}

Test(golden, a_test_that_is_named_twice_is_in_the_list_once)
{
	struct err err = {0};
	struct test_list list = {0};

	sample_begin();
	cr_assert(zero(i32, sample_shell("mkdir -p t/sub; touch t/a.t t/b.t t/sub/c.t; ln -s a.t "
					 "t/link.t; ln -s t u")));
	cr_assert(zero(i32, test_list_add(&list, "t/b.t", &err)), "%s", err.text);
	cr_assert(zero(i32, test_list_add(&list, "u", &err)), "%s", err.text);
	cr_assert(zero(i32, test_list_add(&list, "./t/../t/a.t", &err)), "%s", err.text);
	cr_assert(zero(i32, test_list_add(&list, "t", &err)), "%s", err.text);
	cr_assert(eq(sz, list.n, 10));
	cr_assert(zero(i32, test_list_drop_repeats(&list, &err)), "%s", err.text);
	cr_assert(eq(sz, list.n, 4));
	cr_expect(eq(str, list.path[0], (char *)"t/b.t"));
	cr_expect(eq(str, list.path[1], (char *)"u/a.t"));
	/* A link has a name of its own, so a seed and a result of its own, too. */
	cr_expect(eq(str, list.path[2], (char *)"u/link.t"));
	cr_expect(eq(str, list.path[3], (char *)"u/sub/c.t"));
	test_list_free(&list);
	sample_end();
}
