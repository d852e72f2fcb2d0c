/* Reports of a run of tests, with text in them that is not meant for any of them. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "golden/markup.h"
#include "golden/report_html.h"
#include "golden/report_json.h"
#include "golden/report_junit.h"
#include "golden/report_text.h"

/* What a hostile guest prints: tags, quotes, controls, NUL, broken UTF-8, text that turns round. */
#define HOSTILE                                                                                    \
	"</failure></style><script>alert(1)</script>]]>&\"'\x1b[2J\xff\xc3\x28\xe2\x80\xae\r\n"

static char *text_of(struct buf *out)
{
	buf_add(out, "", 1);
	cr_assert(not(buf_failed(out)));
	return (char *)out->data;
}

Test(reports, text_for_markup_has_neither_tags_nor_what_xml_forbids)
{
	static const struct {
		const char *text, *wanted;
		size_t len;
	} cases[] = {
		{"<a href='b'>&\"", "&lt;a href=&#39;b&#39;&gt;&amp;&quot;", 14},
		{"one\n\ttwo", "one\n\ttwo", 8},
		{"\0\x1b\r\x1f\x7f", "␀␛␍␟␡", 5},
		{"gr\xc3\xbc\xc3\x9f", "grüß", 6},
		{"\xff\xc3(", "��(", 3},
		{"\xc2\x85|\xe2\x80\xae|\xef\xbf\xbf|\xf0\x9f\xbf\xbe|", "�|�|�|�|", 16},
		{"\xed\xa0\x80", "���", 3},
		{"\xe2\x82", "��", 2},
		{"\xf0\x9f\x98\x80", "😀", 4},
		{"", "", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_buf struct buf out = {0};

		markup_add(&out, cases[i].text, cases[i].len);
		cr_expect(eq(str, text_of(&out), (char *)cases[i].wanted));
	}
}

Test(reports, a_value_in_quotes_keeps_its_newlines)
{
	cleanup_buf struct buf out = {0};

	markup_add_value(&out, "a\n\"b\"\t\n");
	cr_expect(eq(str, text_of(&out), (char *)"a&#10;&quot;b&quot;&#9;&#10;"));
}

/* Two rounds of one test, the second of which failed, and one that could not be run. */
static void make_report(struct test_report *r)
{
	*r = (struct test_report){
		.result = calloc(3, sizeof(*r->result)),
		.n = 3,
		.end_ns = 1500000000,
		.begun = 1767225600,
		.workers = 2,
		.rounds = 2,
		.shard = 1,
		.shards = 1,
		.interrupted = true,
	};
	for (size_t i = 0; i < 3; i++)
		r->result[i] = (struct test_result){
			.path = strdup(i == 1 ? "b & <c>.t" : "below/a.t"),
			.round = i == 2 ? 2 : 1,
			.worker = 1,
			.outcome = (enum test_outcome[]){TEST_PASSED, TEST_BROKEN, TEST_FAILED}[i],
			.start_ns = i * 100000000,
			.end_ns = i * 100000000 + 50000000,
		};
	r->result[1].error = strdup("line 3: " HOSTILE);
	r->result[2].diff = strdup("-" HOSTILE "+\n");
	r->result[2].diff_len = strlen(r->result[2].diff);
	r->result[2].diff[3] = '\0';
	r->result[2].console = strdup(HOSTILE);
	r->result[2].saved = strdup("failed/a.torpor");
	r->result[2].saved_bytes = 12345;
	r->result[2].memory_changed = calloc(2, sizeof(uint32_t));
	r->result[2].memory_changed[1] = 7;
	r->result[2].nmemory = 2;
	r->result[2].step = calloc(1, sizeof(struct test_step));
	r->result[2].nsteps = 1;
	r->result[2].step[0] = (struct test_step){.line = 4, .host = true, .status = 3};
}

Test(reports, junit_is_a_suite_with_a_case_for_each_result)
{
	cleanup_test_report struct test_report r;
	cleanup_buf struct buf out = {0};
	const char *text;

	make_report(&r);
	report_junit(&r, &out);
	text = text_of(&out);
	cr_expect(eq(sz, strlen(text) + 1, out.len));
	for (size_t i = 0; text[i] != '\0'; i++)
		cr_expect(ne(u8, text[i] >= '\0' && text[i] < ' ' && text[i] != '\n', 1),
			  "byte %zu", i);
	cr_expect(ne(ptr, strstr(text, "tests=\"3\" failures=\"1\" errors=\"1\" time=\"1.500\""),
		     NULL));
	cr_expect(ne(ptr, strstr(text, "timestamp=\"2026-01-01T00:00:00Z\""), NULL));
	cr_expect(ne(ptr, strstr(text, "classname=\"below\" name=\"a.t (round 2)\" time=\"0.050\""),
		     NULL));
	cr_expect(ne(ptr, strstr(text, "classname=\".\" name=\"b &amp; &lt;c&gt;.t (round 1)\""),
		     NULL));
	cr_expect(ne(ptr, strstr(text, "name=\"flaky\" value=\"below/a.t\""), NULL));
	cr_expect(ne(ptr, strstr(text, "[torpor resume failed/a.torpor]"), NULL));
	cr_expect(eq(ptr, strstr(text, "<script"), NULL));
	cr_expect(eq(ptr, strstr(text, "]]>"), NULL));
}

Test(reports, the_page_has_no_element_of_a_guest)
{
	cleanup_test_report struct test_report r;
	cleanup_buf struct buf out = {0};
	const char *text;

	make_report(&r);
	free(r.result[2].diff);
	r.result[2].diff = strdup("--- a\n+++ a\n@@ -1 +1 @@\n+" HOSTILE);
	r.result[2].diff_len = strlen(r.result[2].diff);
	free(r.result[2].saved);
	r.result[2].saved = strdup("it's/<b>.torpor");
	report_html(&r, &out);
	text = text_of(&out);
	cr_expect(eq(sz, strlen(text) + 1, out.len));
	cr_expect(eq(ptr, strstr(text, "<script"), NULL));
	cr_expect(eq(ptr, strstr(text, "\x1b"), NULL));
	cr_expect(ne(ptr, strstr(text, "default-src 'none'"), NULL));
	cr_expect(ne(ptr, strstr(text, "<title>2 of 3 failed"), NULL));
	cr_expect(
		ne(ptr, strstr(text, "<ins>+&lt;/failure&gt;&lt;/style&gt;&lt;script&gt;"), NULL));
	cr_expect(ne(ptr,
		     strstr(text, "torpor resume &#39;it&#39;\\&#39;&#39;s/&lt;b&gt;.torpor&#39;"),
		     NULL));
	cr_expect(ne(ptr, strstr(text, "7 pages (28 KiB) in 1 of 2 parts"), NULL));
	/* One </style>: ours. */
	cr_expect(eq(ptr, strstr(strstr(text, "</style") + 1, "</style"), NULL));
}

Test(reports, json_keeps_every_character)
{
	cleanup_test_report struct test_report r;
	cleanup_json json_t *json = NULL;
	const json_t *test;

	make_report(&r);
	json = report_json(&r);
	cr_assert(ne(ptr, json, NULL));
	test = json_array_get(json_object_get(json, "tests"), 2);
	cr_expect(eq(str, (char *)json_string_value(json_object_get(test, "console")),
		     (char *)"</failure></style><script>alert(1)</"
			     "script>]]>&\"'\x1b[2J��(\xe2\x80\xae\r\n"));
	/* A NUL is one, too. */
	cr_expect(eq(sz, json_string_length(json_object_get(test, "diff")),
		     r.result[2].diff_len + 4));
	cr_expect(eq(str, (char *)json_string_value(json_object_get(test, "outcome")),
		     (char *)"failed"));
	cr_expect(eq(
		i32,
		(int)json_integer_value(json_array_get(json_object_get(test, "memory-changed"), 1)),
		7));
	test = json_array_get(json_object_get(json, "flaky"), 0);
	cr_expect(eq(i32, (int)json_integer_value(json_object_get(test, "rounds")), 2));
	cr_expect(eq(ptr, json_object_get(json, "interrupted"), json_true()));
}

Test(reports, tap_of_a_diff_with_a_nul_goes_on_behind_it)
{
	cleanup_test_report struct test_report r;
	cleanup_buf struct buf out = {0};

	make_report(&r);
	report_tap_result(&r, &r.result[2], 3, &out);
	cr_assert(not(buf_failed(&out)));
	buf_add(&out, "", 1);
	cr_expect(eq(sz, (size_t)(strstr((char *)out.data, "not ok 3 -") - (char *)out.data), 0));
	cr_expect(ne(ptr, memmem(out.data, out.len, "\n# +\n", 5), NULL));
}
