/* See report_text.h. */
#include "golden/report_text.h"

#include <string.h>

#include "base/clock.h"

static double seconds_of(const struct test_result *t)
{
	return (double)(t->end_ns - t->start_ns) / NS_PER_SECOND;
}

/* Text with a path in it: a line stays one, and in TAP (`escape`) # begins no directive. */
static void add_path(const char *path, bool escape, struct buf *out)
{
	for (; *path != '\0'; path++) {
		if (escape && (*path == '#' || *path == '\\'))
			buf_add(out, "\\", 1);
		buf_add(out, *path == '\n' ? "?" : path, 1);
	}
}

static void add_round(const struct test_report *r, const struct test_result *t, struct buf *out)
{
	if (r->rounds > 1)
		buf_printf(out, " (round %u)", t->round);
}

/* The lines of its diff, each behind `before`. */
static void add_diff(const struct test_result *t, const char *before, struct buf *out)
{
	const char *at = t->diff, *end = at != NULL ? at + t->diff_len : NULL;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((newline != NULL ? newline : end) - at);

		buf_printf(out, "%s", before);
		buf_add(out, at, len);
		buf_add(out, "\n", 1);
		at += len + (newline != NULL);
	}
}

static void add_saved(const struct test_result *t, const char *before, struct buf *out)
{
	cleanup_buf struct buf line = {0};

	if (t->saved != NULL) {
		buf_printf(out, "%sat its first difference (%.1f MiB): ", before,
			   (double)t->saved_bytes / 1048576.0);
		test_result_wake_line(t, &line);
		buf_add(&line, "", 1);
		out->failed |= buf_failed(&line);
		if (!buf_failed(&line))
			add_path((const char *)line.data, false, out);
		buf_printf(out, "\n");
	}
	if (t->save_error != NULL)
		buf_printf(out, "%sits machine is not saved: %s\n", before, t->save_error);
}

static void add_flaky(const struct test_report *r, const char *before, struct buf *out)
{
	for (size_t i = 0; i < r->n; i++) {
		size_t failed, rounds;

		if (!test_report_flaky(r, i, &failed, &rounds))
			continue;
		buf_printf(out, "%sflaky: ", before);
		add_path(r->result[i].path, false, out);
		buf_printf(out, " failed %zu of %zu times\n", failed, rounds);
	}
}

void report_text_result(const struct test_report *r, const struct test_result *t, struct buf *out)
{
	static const char *const word[] = {
		[TEST_PASSED] = "passed",
		[TEST_FAILED] = "failed",
		[TEST_BROKEN] = "not run",
		[TEST_UPDATED] = "passed",
	};

	add_path(t->path, false, out);
	add_round(r, t, out);
	buf_printf(out, ": %s (%.3f s)\n", word[t->outcome], seconds_of(t));
	if (t->outcome == TEST_UPDATED)
		return;
	add_diff(t, "", out);
	add_saved(t, "", out);
}

void report_text_end(const struct test_report *r, struct buf *out)
{
	size_t updated = test_report_count(r, TEST_UPDATED);

	add_flaky(r, "", out);
	buf_printf(out, "%zu passed, %zu failed, %zu not run%s%s\n",
		   test_report_count(r, TEST_PASSED) + updated, test_report_count(r, TEST_FAILED),
		   test_report_count(r, TEST_BROKEN), updated > 0 ? "; some were rewritten" : "",
		   r->interrupted ? "; interrupted" : "");
}

void report_tap_begin(size_t n, struct buf *out)
{
	buf_printf(out, "TAP version 13\n1..%zu\n", n);
}

void report_tap_result(const struct test_report *r, const struct test_result *t, size_t number,
		       struct buf *out)
{
	bool good = t->outcome == TEST_PASSED || t->outcome == TEST_UPDATED;

	buf_printf(out, "%s %zu - ", good ? "ok" : "not ok", number);
	add_path(t->path, true, out);
	add_round(r, t, out);
	buf_printf(out, " # %.3f s\n", seconds_of(t));
	if (t->error != NULL)
		buf_printf(out, "# %s\n", t->error);
	if (good)
		return;
	add_diff(t, "# ", out);
	add_saved(t, "# ", out);
}

void report_tap_end(const struct test_report *r, struct buf *out)
{
	add_flaky(r, "# ", out);
	if (r->interrupted)
		buf_printf(out, "Bail out! interrupted\n");
}
