/* See report_json.h. */
#include "golden/report_json.h"

#include <string.h>
#include <time.h>

#include "base/json.h"
#include "golden/markup.h"

/* NULL when there is no memory. */
static json_t *bytes_json(const char *text, size_t len)
{
	cleanup_buf struct buf utf8 = {0};

	markup_add_utf8(&utf8, text, len);
	buf_add(&utf8, "", 1);
	return buf_failed(&utf8) ? NULL : json_stringn((const char *)utf8.data, utf8.len - 1);
}

/* A member that is only there when the text is. Returns 0 or -1, as json_object_set_new(). */
static int set_text(json_t *to, const char *name, const char *text)
{
	return text == NULL ? 0 : json_object_set_new(to, name, bytes_json(text, strlen(text)));
}

static json_t *number_json(uint64_t number)
{
	return json_integer((json_int_t)number);
}

static json_t *counts_json(const uint32_t *count, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		if (json_array_append_new(list, number_json(count[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *steps_json(const struct test_result *t)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->nsteps; i++) {
		const struct test_step *s = &t->step[i];
		json_t *step = json_pack("{s:I,s:b,s:I,s:I,s:i,s:b}", "line",
					 (json_int_t)s->line + 1, "host", s->host, "start-ns",
					 (json_int_t)s->start_ns, "end-ns", (json_int_t)s->end_ns,
					 "status", s->status, "differs", s->differs);

		if (json_array_append_new(list, step) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static int set_texts(json_t *to, const struct test_result *t)
{
	int ret = json_object_set_new(to, "file", bytes_json(t->path, strlen(t->path)));

	ret |= set_text(to, "from", t->golden);
	ret |= set_text(to, "error", t->error);
	ret |= set_text(to, "saved", t->saved);
	ret |= set_text(to, "save-error", t->save_error);
	ret |= set_text(to, "console", t->console);
	if (t->diff != NULL)
		ret |= json_object_set_new(to, "diff", bytes_json(t->diff, t->diff_len));
	if (t->saved != NULL)
		ret |= json_object_set_new(to, "saved-bytes", number_json(t->saved_bytes));
	return ret;
}

static int set_changes(json_t *to, const struct test_result *t)
{
	int ret = 0;

	if (t->memory_changed != NULL)
		ret |= json_object_set_new(to, "memory-changed",
					   counts_json(t->memory_changed, t->nmemory));
	if (t->disk_changed != NULL)
		ret |= json_object_set_new(to, "disk-changed",
					   counts_json(t->disk_changed, t->ndisk));
	return ret;
}

static json_t *result_json(const struct test_result *t)
{
	json_t *result =
		json_pack("{s:i,s:i,s:s,s:I,s:I}", "round", (int)t->round, "worker", (int)t->worker,
			  "outcome", test_outcome_name(t->outcome), "start-ns",
			  (json_int_t)t->start_ns, "end-ns", (json_int_t)t->end_ns);

	if (set_texts(result, t) < 0 || set_changes(result, t) < 0 ||
	    json_object_set_new(result, "commands", steps_json(t)) < 0) {
		json_decref(result);
		return NULL;
	}
	return result;
}

static int append_results(json_t *list, const struct test_report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		if (json_array_append_new(list, result_json(&r->result[i])) < 0)
			return -1;
	}
	return 0;
}

static int append_flaky(json_t *list, const struct test_report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const char *path = r->result[i].path;
		size_t failed, rounds;

		if (!test_report_flaky(r, i, &failed, &rounds))
			continue;
		if (json_array_append_new(list, json_pack("{s:o,s:I,s:I}", "file",
							  bytes_json(path, strlen(path)), "failed",
							  (json_int_t)failed, "rounds",
							  (json_int_t)rounds)) < 0)
			return -1;
	}
	return 0;
}

const char *test_outcome_name(enum test_outcome outcome)
{
	static const char *const name[] = {
		[TEST_PASSED] = "passed",
		[TEST_FAILED] = "failed",
		[TEST_BROKEN] = "broken",
		[TEST_UPDATED] = "updated",
	};

	return name[outcome];
}

json_t *report_json(const struct test_report *r)
{
	cleanup_json json_t *tests = json_array(), *flaky = json_array();

	if (append_results(tests, r) < 0 || append_flaky(flaky, r) < 0)
		return NULL;
	return json_pack("{s:I,s:I,s:i,s:i,s:i,s:i,s:b,s:I,s:I,s:I,s:I,s:O,s:O}", "started",
			 (json_int_t)r->begun, "end-ns", (json_int_t)r->end_ns, "workers",
			 (int)r->workers, "rounds", (int)r->rounds, "shard", (int)r->shard,
			 "shards", (int)r->shards, "interrupted", r->interrupted, "passed",
			 (json_int_t)test_report_count(r, TEST_PASSED), "failed",
			 (json_int_t)test_report_count(r, TEST_FAILED), "broken",
			 (json_int_t)test_report_count(r, TEST_BROKEN), "updated",
			 (json_int_t)test_report_count(r, TEST_UPDATED), "flaky", flaky, "tests",
			 tests);
}
