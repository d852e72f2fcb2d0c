/*
 * A test's text, what its commands print, and the reports about both. What is accepted passes the
 * next time, what is rejected is what it was, and no report can be made to say something else.
 *
 * Two bytes are the length of the text; behind it come, for each command, a status, two bytes of
 * length and an output.
 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "golden/report_html.h"
#include "golden/report_json.h"
#include "golden/report_junit.h"
#include "golden/report_text.h"
#include "golden/review.h"
#include "tests/fuzz/fuzz.h"

/* The expressions of a test are its author's. Those that take glibc for ever are no findings. */
static int has_slow_expression(const char *text, size_t len)
{
	if (memmem(text, len, "(re)", 4) == NULL && memmem(text, len, "redact", 6) == NULL)
		return 0;
	return memchr(text, '{', len) != NULL || memchr(text, '\\', len) != NULL;
}

static void compare_all(struct edits *e, const struct transcript *t, struct fuzz_input in)
{
	static uint8_t output[65536];
	struct err err = {0};

	compare_begin(e, t);
	for (size_t i = 0; i < t->ncommands; i++) {
		int status = (int)fuzz_take(&in, 1);
		size_t len = fuzz_take_bytes(&in, output, fuzz_take(&in, 2));

		fuzz_require(compare_output(e, &t->command[i], (char *)output, len, status, &err) ==
			     0);
	}
	fuzz_require(compare_end(e, &err) == 0);
}

static void accept_all(const struct edits *e, struct fuzz_input outputs)
{
	struct transcript again;
	struct edits none;
	struct buf text = {0};
	struct err err = {0};

	edits_text(e, &text);
	buf_add(&text, "", 1);
	fuzz_require(!buf_failed(&text));
	/* Takes the text. */
	fuzz_require(transcript_parse(&again, (char *)text.data, text.len - 1, &err) == 0);
	compare_all(&none, &again, outputs);
	fuzz_require(!edits_differ(&none));
	edits_free(&none);
	transcript_free(&again);
}

static void reject_all(struct edits *e, const uint8_t *old, size_t len)
{
	struct review review;
	struct buf text = {0};

	review_begin(&review, e);
	while (review_hunk(&review))
		review_decide(&review, REVIEW_REJECT);
	fuzz_require(!edits_differ(e) && !review_accepted(&review));
	edits_text(e, &text);
	fuzz_require(text.len == len && (len == 0 || memcmp(text.data, old, len) == 0));
	buf_free(&text);
}

/* Every line of TAP is the result's, or a comment. */
static void check_tap(const struct buf *tap)
{
	const char *at = (const char *)tap->data, *end = at + tap->len;

	fuzz_require(strncmp(at, "not ok 1 - ", 11) == 0);
	while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL && ++at < end)
		fuzz_require(end - at > 1 && at[0] == '#' && at[1] == ' ');
}

/* Characters that XML forbids are not there, nor elements that a report has not. */
static void check_markup(const struct buf *text)
{
	for (size_t i = 0; i < text->len; i++)
		fuzz_require(text->data[i] >= ' ' || text->data[i] == '\n' ||
			     text->data[i] == '\t');
	fuzz_require(memmem(text->data, text->len, "<script", 7) == NULL);
	fuzz_require(memmem(text->data, text->len, "<img", 4) == NULL);
}

static void report_all(const struct edits *e, const char *bytes, size_t len)
{
	struct buf diff = {0}, tap = {0}, junit = {0}, html = {0};
	struct test_result result = {.round = 1, .worker = 1, .outcome = TEST_FAILED};
	const struct test_report report = {
		.result = &result, .n = 1, .workers = 1, .rounds = 1, .shard = 1, .shards = 1};
	json_t *json;

	result.path = result.saved = result.console = strndup(bytes, len);
	fuzz_require(result.path != NULL);
	edits_diff(e, result.path, result.path, &diff);
	result.diff_len = diff.len;
	buf_add(&diff, "", 1);
	result.diff = (char *)diff.data;
	report_tap_result(&report, &result, 1, &tap);
	report_junit(&report, &junit);
	report_html(&report, &html);
	json = report_json(&report);
	fuzz_require(json != NULL && !buf_failed(&tap));
	check_tap(&tap);
	check_markup(&junit);
	check_markup(&html);
	json_decref(json);
	buf_free(&diff);
	buf_free(&tap);
	buf_free(&junit);
	buf_free(&html);
	free(result.path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct transcript t;
	struct edits e;
	struct err err = {0};
	size_t len = fuzz_take(&in, 2);
	const uint8_t *text = in.at;
	int ret;

	if (len > in.left)
		len = in.left;
	in = (struct fuzz_input){in.at + len, in.left - len};
	if (has_slow_expression((const char *)text, len))
		return 0;
	{
		char *copy = malloc(len + 1);

		fuzz_require(copy != NULL);
		memcpy(copy, text, len);
		copy[len] = '\0';
		ret = transcript_parse(&t, copy, len, &err);
	}
	fuzz_require_reason(ret, &err);
	if (ret < 0)
		return 0;
	compare_all(&e, &t, in);
	accept_all(&e, in);
	if (edits_differ(&e))
		report_all(&e, (const char *)in.at, in.left);
	reject_all(&e, text, len);
	edits_free(&e);
	transcript_free(&t);
	return 0;
}
