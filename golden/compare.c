/* See compare.h. */
#include "golden/compare.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "base/printable.h"

#define CONTEXT 3u
/* Cells of the table that aligns two outputs; larger ones are replaced as a whole. */
#define MOST_CELLS (4u << 20)

/* ---- one line ---- */

/* Whether the line ends in the mark; *before is what comes before that. */
static bool has_mark(const struct text_line *line, const char *mark, struct text_line *before)
{
	size_t len = strlen(mark);

	if (line->len < len || memcmp(line->text + line->len - len, mark, len) != 0)
		return false;
	*before = (struct text_line){line->text, line->len - len};
	return true;
}

/* A line of the transcript, ready to be compared with many. */
struct pattern {
	enum { PATTERN_LITERAL, PATTERN_REGEX, PATTERN_GLOB } kind;
	struct text_line line;
	char *text; /* owned: the glob */
	regex_t regex;
};

/* An expression that cannot be compiled, and one for which there is no memory, is compared as it
 * stands: the difference shows it. */
static void pattern_init(struct pattern *p, const struct text_line *line)
{
	cleanup_free char *regex = NULL;
	struct text_line before;

	*p = (struct pattern){.line = *line};
	if (has_mark(line, " (glob)", &before)) {
		p->text = strndup(before.text, before.len);
		if (p->text != NULL)
			p->kind = PATTERN_GLOB;
	} else if (has_mark(line, " (re)", &before) &&
		   asprintf(&regex, "^(%.*s)$", (int)before.len, before.text) >= 0 &&
		   regcomp(&p->regex, regex, REG_EXTENDED | REG_NOSUB) == 0) {
		p->kind = PATTERN_REGEX;
	}
}

static void pattern_free(struct pattern *p)
{
	if (p->kind == PATTERN_REGEX)
		regfree(&p->regex);
	free(p->text);
}

/* `actual` is a line as output_line() writes it, with a NUL behind it. */
static bool pattern_matches(const struct pattern *p, const struct text_line *actual)
{
	if (p->line.len == actual->len && memcmp(p->line.text, actual->text, actual->len) == 0)
		return true;
	if (p->kind == PATTERN_REGEX)
		return regexec(&p->regex, actual->text, 0, NULL, 0) == 0;
	return p->kind == PATTERN_GLOB && fnmatch(p->text, actual->text, 0) == 0;
}

static bool line_matches(const struct text_line *expected, const struct text_line *actual)
{
	struct pattern pattern;
	bool matches;

	pattern_init(&pattern, expected);
	matches = pattern_matches(&pattern, actual);
	pattern_free(&pattern);
	return matches;
}

/* A line of output that reads as a command of the transcript, or as a status. What marks the end of
 * the output begins with a space, too. */
static bool is_ambiguous(const struct text_line *line, bool no_eol)
{
	if (line->len > 0 && strchr("$%>", line->text[0]) != NULL &&
	    (line->len > 1 ? line->text[1] == ' ' : no_eol))
		return true;
	return line->len >= 3 && line->text[0] == '[' && line->text[line->len - 1] == ']' &&
	       strspn(line->text + 1, "0123456789") == line->len - 2;
}

/* Printable UTF-8 and tabs. */
static bool is_plain(const struct text_line *line)
{
	cleanup_free char *checked = strndup(line->text, line->len);

	if (checked == NULL || strlen(checked) != line->len)
		return false;
	printable_utf8(checked);
	for (size_t i = 0; i < line->len; i++) {
		if (checked[i] != line->text[i] && line->text[i] != '\t')
			return false;
	}
	return true;
}

static void add_escaped(const struct text_line *line, struct buf *out)
{
	for (size_t i = 0; i < line->len; i++) {
		unsigned char byte = (unsigned char)line->text[i];

		if (byte == '\\')
			buf_printf(out, "\\\\");
		else if (byte == '\t')
			buf_printf(out, "\\t");
		else if (byte == '\r')
			buf_printf(out, "\\r");
		else if (byte < 0x20 || byte > 0x7e ||
			 (i == 0 && strchr("$%>[", (char)byte) != NULL))
			buf_printf(out, "\\x%02x", byte);
		else
			buf_add(out, &byte, 1);
	}
	buf_printf(out, " (esc)");
}

/* A line of output as a transcript has it, without the indent. */
static void output_line(const struct text_line *line, bool no_eol, struct buf *out)
{
	struct text_line ignored;

	if (!is_plain(line) || is_ambiguous(line, no_eol) || has_mark(line, " (esc)", &ignored))
		add_escaped(line, out);
	else
		buf_add(out, line->text, line->len);
	if (no_eol)
		buf_printf(out, " (no-eol)");
}

/* ---- the output of a command ---- */

struct output {
	struct buf text; /* what the lines lie in, each with a NUL behind it */
	size_t *start;	 /* of each line in it */
	size_t n;
};

static void output_free(struct output *o)
{
	buf_free(&o->text);
	free(o->start);
}

#define cleanup_output __attribute__((cleanup(output_free)))

static struct text_line output_at(const struct output *o, size_t i)
{
	const char *text = (const char *)o->text.data + o->start[i];

	return (struct text_line){text, strlen(text)};
}

static int output_begin_line(struct output *o)
{
	size_t *grown = array_grow(o->start, o->n, sizeof(*grown));

	if (grown == NULL)
		return -ENOMEM;
	o->start = grown;
	grown[o->n++] = o->text.len;
	return 0;
}

static int output_split(struct output *o, const struct redactions *redactions, const char *output,
			size_t len, int status)
{
	const char *at = output, *end = output + len;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		cleanup_buf struct buf redacted = {0};
		struct text_line line = {at, (size_t)((newline != NULL ? newline : end) - at)};

		if (output_begin_line(o) < 0)
			return -ENOMEM;
		if (redactions->n > 0 && memchr(line.text, '\0', line.len) == NULL) {
			redact_line(redactions, line.text, line.len, &redacted);
			if (buf_failed(&redacted))
				return -ENOMEM;
			line = (struct text_line){(const char *)redacted.data, redacted.len};
		}
		output_line(&line, newline == NULL, &o->text);
		buf_add(&o->text, "", 1);
		at += newline != NULL ? (size_t)(newline - at) + 1 : (size_t)(end - at);
	}
	if (status != 0) {
		if (output_begin_line(o) < 0)
			return -ENOMEM;
		buf_printf(&o->text, "[%d]", status);
		buf_add(&o->text, "", 1);
	}
	return buf_failed(&o->text) ? -ENOMEM : 0;
}

/* ---- the edit script ---- */

static int add_edit(struct edits *e, enum edit_kind kind, char *owned, struct text_line line)
{
	struct edit *grown = array_grow(e->edit, e->n, sizeof(*grown));

	if (grown == NULL) {
		free(owned);
		return -ENOMEM;
	}
	e->edit = grown;
	grown[e->n++] = (struct edit){kind, owned, line};
	return 0;
}

/* Lines of the transcript up to `end`. */
static int take_lines(struct edits *e, enum edit_kind kind, size_t end)
{
	while (e->next < end) {
		if (add_edit(e, kind, NULL, e->transcript->line[e->next]) < 0)
			return -ENOMEM;
		e->next++;
	}
	return 0;
}

static int add_line(struct edits *e, const struct text_line *line)
{
	char *text = malloc(line->len + 3);

	if (text == NULL)
		return -ENOMEM;
	memcpy(text, "  ", 2);
	memcpy(text + 2, line->text, line->len);
	text[line->len + 2] = '\0';
	return add_edit(e, EDIT_ADD, text, (struct text_line){text, line->len + 2});
}

static struct text_line expected_at(const struct edits *e, size_t i)
{
	const struct text_line *line = &e->transcript->line[i];

	return (struct text_line){line->text + 2, line->len - 2};
}

static bool pair_matches(const struct edits *e, size_t expected, const struct output *o,
			 size_t actual)
{
	struct text_line a = expected_at(e, expected), b = output_at(o, actual);

	return line_matches(&a, &b);
}

/* Of expected lines [from, from + n) and output lines [at, at + m): the length of the longest
 * common subsequence of what is behind each pair, a table of (n + 1) × (m + 1). NULL: it would be
 * too large, or there is no memory. */
static uint32_t *make_table(const struct edits *e, size_t from, size_t n, const struct output *o,
			    size_t at, size_t m)
{
	size_t width = m + 1;
	uint32_t *longest =
		n + 1 <= MOST_CELLS / width ? calloc((n + 1) * width, sizeof(*longest)) : NULL;

	for (size_t i = longest != NULL ? n : 0; i-- > 0;) {
		struct text_line expected = expected_at(e, from + i);
		struct pattern pattern;

		pattern_init(&pattern, &expected);
		for (size_t j = m; j-- > 0;) {
			struct text_line actual = output_at(o, at + j);
			uint32_t below = longest[(i + 1) * width + j];
			uint32_t beside = longest[i * width + j + 1];
			uint32_t best = below > beside ? below : beside;

			if (pattern_matches(&pattern, &actual))
				best = longest[(i + 1) * width + j + 1] + 1;
			longest[i * width + j] = best;
		}
		pattern_free(&pattern);
	}
	return longest;
}

/* The shortest edits from n expected lines to m lines of output, none of which begin or end alike.
 * Too many to be aligned are replaced as a whole. */
static int align(struct edits *e, size_t n, const struct output *o, size_t at, size_t m)
{
	size_t from = e->next, width = m + 1, i = 0, j = 0;
	cleanup_free uint32_t *longest = make_table(e, from, n, o, at, m);

	while (i < n || j < m) {
		struct text_line actual = j < m ? output_at(o, at + j) : (struct text_line){0};
		bool both = longest != NULL && i < n && j < m;
		int ret;

		if (both && pair_matches(e, from + i, o, at + j)) {
			ret = take_lines(e, EDIT_KEEP, from + ++i);
			j++;
		} else if (i < n &&
			   (!both || longest[(i + 1) * width + j] >= longest[i * width + j + 1])) {
			ret = take_lines(e, EDIT_DROP, from + ++i);
		} else {
			ret = add_line(e, &actual);
			j++;
		}
		if (ret < 0)
			return ret;
	}
	return 0;
}

void compare_begin(struct edits *e, const struct transcript *t)
{
	*e = (struct edits){.transcript = t};
}

int compare_output(struct edits *e, const struct transcript_command *command, const char *output,
		   size_t len, int status, struct err *err)
{
	size_t end = command->expected + command->nexpected, head = 0, tail = 0;
	cleanup_output struct output o = {0};
	size_t most;

	if (take_lines(e, EDIT_KEEP, command->expected) < 0 ||
	    output_split(&o, &e->transcript->redactions, output, len, status) < 0)
		return err_sys(err, ENOMEM, "compare an output");
	most = u64_min(command->nexpected, o.n);
	while (head < most && pair_matches(e, command->expected + head, &o, head))
		head++;
	while (tail < most - head && pair_matches(e, end - tail - 1, &o, o.n - tail - 1))
		tail++;
	if (take_lines(e, EDIT_KEEP, command->expected + head) < 0 ||
	    align(e, command->nexpected - head - tail, &o, head, o.n - head - tail) < 0 ||
	    take_lines(e, EDIT_KEEP, end) < 0)
		return err_sys(err, ENOMEM, "compare an output");
	return 0;
}

int compare_end(struct edits *e, struct err *err)
{
	return take_lines(e, EDIT_KEEP, e->transcript->nlines) < 0
		       ? err_sys(err, ENOMEM, "compare an output")
		       : 0;
}

bool edits_differ(const struct edits *e)
{
	for (size_t i = 0; i < e->n; i++) {
		if (e->edit[i].kind != EDIT_KEEP)
			return true;
	}
	return false;
}

/* ---- what is made of it ---- */

static size_t next_change(const struct edits *e, size_t from)
{
	while (from < e->n && e->edit[from].kind == EDIT_KEEP)
		from++;
	return from;
}

/* The end of the hunk that the change at `first` begins: less than two contexts of kept lines join
 * two changes. */
static size_t hunk_end(const struct edits *e, size_t first)
{
	size_t last = first, next;

	for (;;) {
		while (last < e->n && e->edit[last].kind != EDIT_KEEP)
			last++;
		next = next_change(e, last);
		if (next == e->n || next - last > 2 * (size_t)CONTEXT)
			break;
		last = next;
	}
	return u64_min(last + CONTEXT, e->n);
}

/* POSIX diff: a range is its first line and their number; of none, the line before. */
static void print_range(size_t line, size_t n, struct buf *out)
{
	buf_printf(out, "%zu,%zu", n == 0 ? line - 1 : line, n);
}

/* A file's name as patch(1) takes it: one with a space has a tab behind it, and one with stranger
 * characters is quoted as in C. */
static void print_name(const char *name, struct buf *out)
{
	bool quoted = false;

	for (const char *at = name; *at != '\0'; at++)
		quoted |= (unsigned char)*at < ' ' || *at == '"' || *at == '\\';
	if (!quoted) {
		buf_printf(out, "%s%s\n", name, strchr(name, ' ') != NULL ? "\t" : "");
		return;
	}
	buf_printf(out, "\"");
	for (; *name != '\0'; name++) {
		if ((unsigned char)*name < ' ')
			buf_printf(out, "\\%03o", (unsigned char)*name);
		else
			buf_printf(out, "%s%c", strchr("\"\\", *name) != NULL ? "\\" : "", *name);
	}
	buf_printf(out, "\"\n");
}

static void print_line_of(const struct edit *edit, char sign, bool newline, struct buf *out)
{
	buf_printf(out, "%c", sign);
	buf_add(out, edit->line.text, edit->line.len);
	buf_printf(out, newline ? "\n" : "\n\\ No newline at end of file\n");
}

/* Line i of the edits. The transcript's last line may have no newline, which it gets when another
 * one follows. */
static void print_edit(const struct edits *e, size_t i, struct buf *out)
{
	static const char sign[] = {[EDIT_KEEP] = ' ', [EDIT_DROP] = '-', [EDIT_ADD] = '+'};
	const struct edit *edit = &e->edit[i];
	const struct text_line *last = &e->transcript->line[e->transcript->nlines - 1];
	bool newline = !e->transcript->no_newline || edit->line.text != last->text;

	if (newline || edit->kind == EDIT_DROP || i + 1 == e->n) {
		print_line_of(edit, sign[edit->kind], newline, out);
	} else {
		print_line_of(edit, '-', false, out);
		print_line_of(edit, '+', true, out);
	}
}

bool edits_hunk(const struct edits *e, struct edit_hunk *hunk)
{
	size_t change = next_change(e, hunk->end), done = hunk->end, first;

	if (change == e->n)
		return false;
	first = change - done > CONTEXT ? change - CONTEXT : done;
	hunk->old_line += hunk->nold + first - done;
	hunk->new_line += hunk->nnew + first - done;
	hunk->first = first;
	hunk->end = hunk_end(e, change);
	hunk->nold = hunk->nnew = 0;
	for (size_t i = first; i < hunk->end; i++) {
		hunk->nold += e->edit[i].kind != EDIT_ADD;
		hunk->nnew += e->edit[i].kind != EDIT_DROP;
	}
	return true;
}

void edits_hunk_diff(const struct edits *e, const struct edit_hunk *hunk, struct buf *out)
{
	buf_printf(out, "@@ -");
	print_range(hunk->old_line + 1, hunk->nold, out);
	buf_printf(out, " +");
	print_range(hunk->new_line + 1, hunk->nnew, out);
	buf_printf(out, " @@\n");
	for (size_t i = hunk->first; i < hunk->end; i++)
		print_edit(e, i, out);
}

void edits_diff(const struct edits *e, const char *old, const char *new, struct buf *out)
{
	struct edit_hunk hunk = {0};

	if (!edits_differ(e))
		return;
	buf_printf(out, "--- ");
	print_name(old, out);
	buf_printf(out, "+++ ");
	print_name(new, out);
	while (edits_hunk(e, &hunk))
		edits_hunk_diff(e, &hunk, out);
}

void edits_undo(struct edits *e, struct edit_hunk *hunk)
{
	size_t to = hunk->first;

	for (size_t i = hunk->first; i < e->n; i++) {
		struct edit edit = e->edit[i];

		if (i < hunk->end && edit.kind == EDIT_ADD) {
			free(edit.owned);
			continue;
		}
		if (i < hunk->end)
			edit.kind = EDIT_KEEP;
		e->edit[to++] = edit;
	}
	hunk->end -= e->n - to;
	e->n = to;
	hunk->nnew = hunk->nold;
}

void edits_text(const struct edits *e, struct buf *out)
{
	for (size_t i = 0; i < e->n; i++) {
		if (e->edit[i].kind == EDIT_DROP)
			continue;
		buf_add(out, e->edit[i].line.text, e->edit[i].line.len);
		if (i + 1 < e->n || e->edit[i].kind == EDIT_ADD || !e->transcript->no_newline)
			buf_add(out, "\n", 1);
	}
}

void edits_free(struct edits *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->edit[i].owned);
	free(e->edit);
	*e = (struct edits){0};
}
