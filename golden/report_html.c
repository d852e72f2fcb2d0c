/* See report_html.h. */
#include "golden/report_html.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "golden/markup.h"
#include "golden/report_html_style.h"
#include "golden/report_json.h"

#define SCALE	  1000.0 /* units of a drawing from left to right */
#define PAGE_SIZE 4096.0
#define LEVELS	  5u /* of heat */

/* ---- words ---- */

static void add(struct buf *out, const char *text)
{
	buf_add(out, text, strlen(text));
}

static void add_text(struct buf *out, const char *text)
{
	markup_add(out, text, strlen(text));
}

static double seconds(uint64_t ns)
{
	return (double)ns / NS_PER_SECOND;
}

static const char *outcome_word(enum test_outcome outcome)
{
	return outcome == TEST_BROKEN ? "not run" : test_outcome_name(outcome);
}

static void add_size(struct buf *out, double bytes)
{
	if (bytes < 1048576.0)
		buf_printf(out, "%.0f KiB", bytes / 1024.0);
	else
		buf_printf(out, "%.1f MiB", bytes / 1048576.0);
}

/* Its file, and the round if there are several. */
static void add_name(const struct test_report *r, const struct test_result *t, struct buf *out)
{
	add_text(out, t->path);
	if (r->rounds > 1)
		buf_printf(out, " (round %u)", t->round);
}

/* ---- drawings ---- */

static void open_drawing(struct buf *out, const char *class, double height)
{
	buf_printf(out,
		   "<svg class=\"%s\" viewBox=\"0 0 %.0f %.0f\" preserveAspectRatio=\"none\" "
		   "role=\"img\" aria-label=\"",
		   class, SCALE, height);
}

/* One bar, divided by outcome. */
static void add_share(const struct test_report *r, struct buf *out)
{
	static const enum test_outcome order[] = {TEST_PASSED, TEST_UPDATED, TEST_FAILED,
						  TEST_BROKEN};
	double at = 0;

	if (r->n == 0)
		return;
	open_drawing(out, "share", 10);
	add(out, "How many tests passed and failed, as in the numbers above\">");
	for (size_t i = 0; i < 4; i++) {
		double width = SCALE * (double)test_report_count(r, order[i]) / (double)r->n;

		if (width > 0)
			buf_printf(out,
				   "<rect class=\"is %s\" x=\"%.2f\" width=\"%.2f\" "
				   "height=\"10\"/>",
				   test_outcome_name(order[i]), at, width);
		at += width;
	}
	add(out, "</svg>\n");
}

static void add_bar(const struct test_report *r, size_t i, struct buf *out)
{
	const struct test_result *t = &r->result[i];
	double unit = r->end_ns > 0 ? SCALE / (double)r->end_ns : 0;
	double width = (double)(t->end_ns - t->start_ns) * unit;

	buf_printf(out, "<a href=\"#t%zu\" tabindex=\"-1\"><rect class=\"is %s\" x=\"%.2f\" ", i,
		   test_outcome_name(t->outcome), (double)t->start_ns * unit);
	buf_printf(out, "width=\"%.2f\" height=\"10\"><title>", width > 1 ? width : 1);
	add_name(r, t, out);
	buf_printf(out, ": %s, %.3f s</title></rect></a>\n", outcome_word(t->outcome),
		   seconds(t->end_ns - t->start_ns));
}

static void add_worker(const struct test_report *r, unsigned worker, struct buf *out)
{
	size_t tests = 0;

	for (size_t i = 0; i < r->n; i++)
		tests += r->result[i].worker == worker;
	if (tests == 0)
		return;
	buf_printf(out, "<span>worker %u</span>", worker);
	open_drawing(out, "", 10);
	buf_printf(out, "Worker %u ran %zu tests\">\n", worker, tests);
	for (size_t i = 0; i < r->n; i++) {
		if (r->result[i].worker == worker)
			add_bar(r, i, out);
	}
	add(out, "</svg>\n");
}

static void add_timeline(const struct test_report *r, struct buf *out)
{
	if (r->n == 0)
		return;
	add(out, "<section aria-labelledby=\"when\"><h2 id=\"when\">Timeline</h2>\n"
		 "<div class=\"workers\">\n");
	for (unsigned worker = 1; worker <= r->workers; worker++)
		add_worker(r, worker, out);
	buf_printf(out,
		   "<span></span><div class=\"axis\"><span>0 s</span><span>%.3f s</span></div>\n"
		   "</div></section>\n",
		   seconds(r->end_ns));
}

/* From 1 to LEVELS: each is four times the one below. */
static unsigned heat_level(uint32_t count)
{
	unsigned level = 1;

	for (; count >= 4 && level < LEVELS; level++)
		count /= 4;
	return level;
}

/* Where in memory or on a disk something has changed: parts side by side, of which those that are
 * alike are one. */
static void add_heat(const char *what, const char *unit, const uint32_t *count, size_t n,
		     struct buf *out)
{
	uint64_t total = 0;
	size_t parts = 0;

	for (size_t i = 0; i < n; i++) {
		total += count[i];
		parts += count[i] > 0;
	}
	buf_printf(out, "<h3>%s</h3>\n", what);
	open_drawing(out, "heat", 10);
	buf_printf(out, "%s: changes in %zu of %zu parts\">", what, parts, n);
	for (size_t i = 0, next; i < n; i = next) {
		unsigned level = count[i] > 0 ? heat_level(count[i]) : 0;

		for (next = i + 1; next < n; next++) {
			if ((count[next] > 0 ? heat_level(count[next]) : 0) != level)
				break;
		}
		if (level > 0)
			buf_printf(out,
				   "<rect x=\"%.2f\" width=\"%.2f\" height=\"10\" "
				   "opacity=\"%.1f\"/>",
				   SCALE * (double)i / (double)n,
				   SCALE * (double)(next - i) / (double)n,
				   (level + 1) / (LEVELS + 1.0));
	}
	buf_printf(out, "</svg>\n<p class=\"soft\">%llu %s (", (unsigned long long)total, unit);
	add_size(out, (double)total * PAGE_SIZE);
	buf_printf(out, ") in %zu of %zu parts</p>\n", parts, n);
}

static void add_changes(const struct test_result *t, struct buf *out)
{
	size_t disks = t->ndisk / 256;

	if (t->nmemory > 0)
		add_heat("Memory written since the golden", "pages", t->memory_changed, t->nmemory,
			 out);
	for (size_t i = 0; i < disks; i++) {
		char what[64];

		snprintf(what, sizeof(what), "Disk %zu, written since the golden", i);
		add_heat(what, "blocks", t->disk_changed + i * 256, 256, out);
	}
}

/* ---- one test ---- */

/* A line of a diff: its element, whose look its first character gives. */
static void add_diff_line(const char *line, size_t len, struct buf *out)
{
	const char *element = line[0] == '+'			  ? "ins"
			      : line[0] == '-'			  ? "del"
			      : line[0] == '@' || line[0] == '\\' ? "i"
								  : "span";

	buf_printf(out, "<%s>", element);
	markup_add(out, line, len);
	buf_printf(out, "</%s>", element);
}

/* Without the names of its head. */
static void add_diff(const struct test_result *t, struct buf *out)
{
	const char *end = t->diff + t->diff_len, *at = memmem(t->diff, t->diff_len, "\n@@ ", 4);
	const char *most = at;

	if (at == NULL)
		return;
	at++;
	most = (size_t)(end - at) > REPORT_HTML_DIFF_MAX ? at + REPORT_HTML_DIFF_MAX : end;
	add(out, "<h3>Difference</h3>\n<pre class=\"diff\" tabindex=\"0\" role=\"region\" "
		 "aria-label=\"Difference\"><code>");
	while (at < most) {
		const char *newline = memchr(at, '\n', (size_t)(most - at));
		const char *stop = newline != NULL ? newline : most;

		add_diff_line(at, (size_t)(stop - at), out);
		at = stop + 1;
	}
	add(out, "</code></pre>\n");
	if (most < end)
		buf_printf(out, "<p class=\"soft\">%zu bytes more: torpor test --diff</p>\n",
			   (size_t)(end - most));
}

static void add_step(const struct test_result *t, size_t i, struct buf *out)
{
	const struct test_step *s = &t->step[i];

	buf_printf(out,
		   "<tr><td class=\"n\">%zu</td><td class=\"n\">%s</td><td class=\"n\">%.3f s</td>"
		   "<td class=\"n\">%d</td><td>",
		   s->line + 1, s->host ? "host" : "guest", seconds(s->end_ns - s->start_ns),
		   s->status);
	if (s->differs)
		add(out, "<strong class=\"is failed\">differs</strong> ");
	if (i < t->transcript.ncommands) {
		add(out, "<code>");
		add_text(out, t->transcript.command[i].text);
		add(out, "</code>");
	}
	add(out, "</td></tr>\n");
}

static void add_steps(const struct test_result *t, struct buf *out)
{
	if (t->nsteps == 0)
		return;
	add(out, "<h3>Commands</h3>\n<div class=\"scroll\"><table><thead><tr><th>line</th>"
		 "<th>in</th><th>time</th><th>status</th><th></th></tr></thead><tbody>\n");
	for (size_t i = 0; i < t->nsteps; i++)
		add_step(t, i, out);
	add(out, "</tbody></table></div>\n");
}

static void add_console(const struct test_result *t, struct buf *out)
{
	if (t->console == NULL || t->console[0] == '\0')
		return;
	add(out, "<h3>Console</h3>\n<pre tabindex=\"0\" role=\"region\" aria-label=\"Console\">");
	/* HTML drops a newline behind the tag. */
	add(out, "\n");
	add_text(out, t->console);
	add(out, "</pre>\n");
}

static void add_wake_line(const struct test_result *t, struct buf *out)
{
	cleanup_buf struct buf line = {0};

	if (t->saved != NULL) {
		test_result_wake_line(t, &line);
		add(out, "<h3>Its machine at the first difference</h3>\n<pre tabindex=\"0\" "
			 "role=\"region\" aria-label=\"Wake it\">");
		markup_add(out, (const char *)line.data, line.len);
		add(out, "</pre>\n<p class=\"soft\">");
		add_size(out, (double)t->saved_bytes);
		add(out, "</p>\n");
	}
	if (t->save_error != NULL) {
		add(out, "<p class=\"note broken\">Its machine is not saved: ");
		add_text(out, t->save_error);
		add(out, "</p>\n");
	}
	out->failed |= buf_failed(&line);
}

static void add_place(const struct test_result *t, struct buf *out)
{
	buf_printf(out, "<dl><dt>worker</dt><dd>%u, from %.3f s to %.3f s</dd>", t->worker,
		   seconds(t->start_ns), seconds(t->end_ns));
	if (t->golden != NULL) {
		add(out, "<dt>golden</dt><dd>");
		add_text(out, t->golden);
		add(out, "</dd>");
	}
	add(out, "</dl>\n");
}

static void add_test(const struct test_report *r, size_t i, struct buf *out)
{
	const struct test_result *t = &r->result[i];
	bool bad = t->outcome == TEST_FAILED || t->outcome == TEST_BROKEN;

	buf_printf(out, "<details class=\"test %s\" id=\"t%zu\"%s><summary><b>",
		   test_outcome_name(t->outcome), i, bad ? " open" : "");
	add_name(r, t, out);
	buf_printf(out,
		   "</b><strong class=\"is\">%s</strong><span class=\"time\">%.3f s</span>"
		   "</summary>\n<div class=\"body\">\n",
		   outcome_word(t->outcome), seconds(t->end_ns - t->start_ns));
	if (t->error != NULL) {
		add(out, "<p class=\"note broken\">");
		add_text(out, t->error);
		add(out, "</p>\n");
	}
	if (t->diff != NULL)
		add_diff(t, out);
	add_wake_line(t, out);
	if (bad)
		add_console(t, out);
	add_steps(t, out);
	add_changes(t, out);
	add_place(t, out);
	add(out, "</div></details>\n");
}

/* ---- the page ---- */

static void add_count(const struct test_report *r, enum test_outcome outcome, struct buf *out)
{
	size_t n = test_report_count(r, outcome);

	if (n > 0 || outcome == TEST_PASSED || outcome == TEST_FAILED)
		buf_printf(out, "<li class=\"%s\"><span class=\"is\">%zu %s</span></li>\n",
			   n > 0 ? test_outcome_name(outcome) : "", n, outcome_word(outcome));
}

static void add_flaky(const struct test_report *r, struct buf *out)
{
	for (size_t i = 0; i < r->n; i++) {
		size_t failed, rounds;

		if (!test_report_flaky(r, i, &failed, &rounds))
			continue;
		add(out, "<p class=\"note flaky\"><strong class=\"is\">flaky</strong>: ");
		add_text(out, r->result[i].path);
		buf_printf(out, " failed %zu of %zu times</p>\n", failed, rounds);
	}
}

static void add_summary(const struct test_report *r, struct buf *out)
{
	char begun[64];
	struct tm tm;

	strftime(begun, sizeof(begun), "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&r->begun, &tm));
	add(out, "<header><h1>torpor test</h1>\n<ul class=\"count\">\n");
	add_count(r, TEST_PASSED, out);
	add_count(r, TEST_UPDATED, out);
	add_count(r, TEST_FAILED, out);
	add_count(r, TEST_BROKEN, out);
	add(out, "</ul>\n");
	add_share(r, out);
	buf_printf(out, "<p class=\"soft\">%s · %.3f s · %u %s", begun, seconds(r->end_ns),
		   r->workers, r->workers == 1 ? "worker" : "workers");
	if (r->rounds > 1)
		buf_printf(out, " · %u rounds", r->rounds);
	if (r->shards > 1)
		buf_printf(out, " · part %u of %u", r->shard, r->shards);
	add(out, "</p>\n");
	if (r->interrupted)
		add(out,
		    "<p class=\"note broken\"><strong class=\"is\">interrupted</strong>: tests "
		    "that had not begun are not here</p>\n");
	add_flaky(r, out);
	add(out, "</header>\n");
}

static void add_head(const struct test_report *r, struct buf *out)
{
	size_t bad = test_report_count(r, TEST_FAILED) + test_report_count(r, TEST_BROKEN);

	add(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		 "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		 "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n"
		 "<meta name=\"referrer\" content=\"no-referrer\">\n"
		 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
	if (bad > 0)
		buf_printf(out, "<title>%zu of %zu failed - torpor test</title>\n", bad, r->n);
	else
		buf_printf(out, "<title>%zu passed - torpor test</title>\n", r->n);
	add(out, "<style>\n");
	add(out, report_html_style);
	add(out, "</style>\n</head>\n<body>\n");
}

void report_html(const struct test_report *r, struct buf *out)
{
	add_head(r, out);
	add_summary(r, out);
	add(out, "<main>\n");
	add_timeline(r, out);
	add(out, "<section aria-labelledby=\"what\"><h2 id=\"what\">Tests</h2>\n");
	for (size_t i = 0; i < r->n; i++)
		add_test(r, i, out);
	add(out, "</section>\n</main>\n</body>\n</html>\n");
}
