/* See test_result.h. */
#include "golden/test_result.h"

#include <stdlib.h>
#include <string.h>

size_t test_report_count(const struct test_report *r, enum test_outcome outcome)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->result[i].outcome == outcome;
	return n;
}

bool test_report_flaky(const struct test_report *r, size_t index, size_t *failed, size_t *rounds)
{
	const char *path = r->result[index].path;

	*failed = *rounds = 0;
	for (size_t i = 0; i < r->n; i++) {
		if (strcmp(r->result[i].path, path) != 0)
			continue;
		if (i < index)
			return false;
		*failed += r->result[i].outcome == TEST_FAILED;
		++*rounds;
	}
	return *failed > 0 && *failed < *rounds;
}

void test_result_wake_line(const struct test_result *t, struct buf *out)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_./+=:,@-";

	buf_printf(out, "torpor resume %s", t->saved[0] == '-' ? "-- " : "");
	if (t->saved[strspn(t->saved, plain)] == '\0') {
		buf_printf(out, "%s", t->saved);
		return;
	}
	buf_printf(out, "'");
	for (const char *at = t->saved; *at != '\0'; at++) {
		if (*at == '\'')
			buf_printf(out, "'\\''");
		else
			buf_add(out, at, 1);
	}
	buf_printf(out, "'");
}

void test_result_free(struct test_result *t)
{
	free(t->path);
	free(t->step);
	free(t->diff);
	free(t->error);
	free(t->saved);
	free(t->save_error);
	free(t->console);
	free(t->golden);
	free(t->memory_changed);
	free(t->disk_changed);
	edits_free(&t->edits);
	transcript_free(&t->transcript);
	*t = (struct test_result){0};
}

void test_report_free(struct test_report *r)
{
	for (size_t i = 0; i < r->n; i++)
		test_result_free(&r->result[i]);
	free(r->result);
	*r = (struct test_report){0};
}
