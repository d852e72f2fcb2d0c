/* See report_junit.h. */
#include "golden/report_junit.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "golden/markup.h"

static double seconds(uint64_t ns)
{
	return (double)ns / NS_PER_SECOND;
}

static void add_attribute(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, " %s=\"", name);
	markup_add_value(out, value);
	buf_printf(out, "\"");
}

/* Attributes that a suite and the whole have in common. */
static void add_counts(const struct test_report *r, struct buf *out)
{
	buf_printf(out, " name=\"torpor test\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\"", r->n,
		   test_report_count(r, TEST_FAILED), test_report_count(r, TEST_BROKEN));
	buf_printf(out, " time=\"%.3f\"", seconds(r->end_ns));
}

static void add_property(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "<property name=\"%s\"", name);
	add_attribute(out, "value", value);
	buf_printf(out, "/>\n");
}

static void add_properties(const struct test_report *r, struct buf *out)
{
	buf_printf(out, "<properties>\n");
	buf_printf(out, "<property name=\"workers\" value=\"%u\"/>\n", r->workers);
	buf_printf(out, "<property name=\"rounds\" value=\"%u\"/>\n", r->rounds);
	buf_printf(out, "<property name=\"shard\" value=\"%u/%u\"/>\n", r->shard, r->shards);
	add_property(out, "interrupted", r->interrupted ? "true" : "false");
	for (size_t i = 0; i < r->n; i++) {
		size_t failed, rounds;

		if (test_report_flaky(r, i, &failed, &rounds))
			add_property(out, "flaky", r->result[i].path);
	}
	buf_printf(out, "</properties>\n");
}

/* Its name is that of the file, and the round if there are several. */
static void add_name(const struct test_report *r, const struct test_result *t, struct buf *out)
{
	const char *slash = strrchr(t->path, '/');
	const char *name = slash != NULL ? slash + 1 : t->path;

	buf_printf(out, " classname=\"");
	if (slash == NULL)
		buf_printf(out, ".");
	else
		markup_add(out, t->path, slash > t->path ? (size_t)(slash - t->path) : 1);
	buf_printf(out, "\" name=\"");
	markup_add_value(out, name);
	if (r->rounds > 1)
		buf_printf(out, " (round %u)", t->round);
	buf_printf(out, "\"");
}

static void add_text(struct buf *out, const char *element, const char *text, size_t len)
{
	buf_printf(out, "<%s>", element);
	markup_add(out, text, len);
	buf_printf(out, "</%s>\n", element);
}

/* What happened to its machine is said behind the console, for there is no element for it. */
static void add_output(const struct test_result *t, struct buf *out)
{
	cleanup_buf struct buf text = {0};

	if (t->console != NULL)
		buf_add(&text, t->console, strlen(t->console));
	if (t->saved != NULL) {
		buf_printf(&text, "\n[");
		test_result_wake_line(t, &text);
		buf_printf(&text, "]\n");
	}
	if (t->save_error != NULL)
		buf_printf(&text, "\n[its machine is not saved: %s]\n", t->save_error);
	out->failed |= buf_failed(&text);
	if (text.len > 0)
		add_text(out, "system-out", (const char *)text.data, text.len);
}

static void add_case(const struct test_report *r, const struct test_result *t, struct buf *out)
{
	buf_printf(out, "<testcase");
	add_name(r, t, out);
	buf_printf(out, " time=\"%.3f\">\n", seconds(t->end_ns - t->start_ns));
	if (t->outcome == TEST_FAILED) {
		buf_printf(out, "<failure type=\"differs\" message=\"the output differs\">");
		if (t->diff != NULL)
			markup_add(out, t->diff, t->diff_len);
		buf_printf(out, "</failure>\n");
	}
	if (t->outcome == TEST_BROKEN) {
		buf_printf(out, "<error type=\"not run\"");
		add_attribute(out, "message", t->error != NULL ? t->error : "");
		buf_printf(out, "/>\n");
	}
	if (t->outcome != TEST_PASSED)
		add_output(t, out);
	buf_printf(out, "</testcase>\n");
}

void report_junit(const struct test_report *r, struct buf *out)
{
	char begun[32];
	struct tm tm;

	strftime(begun, sizeof(begun), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&r->begun, &tm));
	buf_printf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites");
	add_counts(r, out);
	buf_printf(out, ">\n<testsuite");
	add_counts(r, out);
	buf_printf(out, " skipped=\"0\" timestamp=\"%s\">\n", begun);
	add_properties(r, out);
	for (size_t i = 0; i < r->n; i++)
		add_case(r, &r->result[i], out);
	buf_printf(out, "</testsuite>\n</testsuites>\n");
}
