/*
 * What a run of tests came to. The runner fills it (runner.h); each report reads it. Plain data of
 * one owner; any thread once the run is over.
 */
#ifndef TORPOR_GOLDEN_TEST_RESULT_H
#define TORPOR_GOLDEN_TEST_RESULT_H

#include <sys/types.h>
#include <time.h>

#include "golden/compare.h"

enum test_outcome {
	TEST_PASSED,
	TEST_FAILED,  /* the output differs */
	TEST_BROKEN,  /* it could not be run, or not to its end */
	TEST_UPDATED, /* the output differed, and the transcript was rewritten */
};

/* A command that ran. Times are of CLOCK_MONOTONIC since the run began. */
struct test_step {
	size_t line; /* of the transcript, from 0 */
	bool host;
	uint64_t start_ns, end_ns;
	int status;
	bool differs;
};

/* One test in one round. The pointers are owned; NULL: there is none. */
struct test_result {
	char *path;	 /* of the transcript */
	unsigned round;	 /* of --repeat, from 1 */
	unsigned worker; /* of -j, from 1 */
	enum test_outcome outcome;
	uint64_t start_ns, end_ns; /* as of a step */
	struct test_step *step;
	size_t nsteps;
	char *diff; /* unified, of one that failed or was updated; bytes, and NUL */
	size_t diff_len;
	char *error; /* of TEST_BROKEN: why */
	char *saved; /* the file of its machine as it was behind the first command that differs */
	uint64_t saved_bytes;
	char *save_error; /* why there is no such file */
	char *console; /* the end of what the guest's console printed meanwhile: bytes, and NUL */
	char *golden;  /* what it started from: FILE@sha256:DIGEST */
	uint32_t *memory_changed; /* pages that changed, per 1/nmemory of memory */
	size_t nmemory;
	uint32_t *disk_changed; /* blocks of 4 KiB that were written, per 1/256 of each disk */
	size_t ndisk;		/* 256 for each disk */
	/* Of TEST_FAILED, for who reviews it: the edits borrow the transcript. */
	struct transcript transcript;
	struct edits edits;
	mode_t mode; /* of the transcript's file */
};

struct test_report {
	struct test_result *result; /* owned; by round, then in the order of the tests */
	size_t n;
	uint64_t end_ns; /* as of a step */
	time_t begun;
	unsigned workers, rounds;
	unsigned shard, shards; /* 1 of 1: all of it */
	bool interrupted;	/* a signal ended it; what had not begun is not among the results */
};

/* How many results have that outcome. */
size_t test_report_count(const struct test_report *r, enum test_outcome outcome);
/* Whether the result is the first of a test that both passed and failed. *failed, *rounds: of how
 * many results of that test so many are not TEST_PASSED. */
bool test_report_flaky(const struct test_report *r, size_t index, size_t *failed, size_t *rounds);

/* Append the command that wakes its saved machine, fit for a shell. */
void test_result_wake_line(const struct test_result *t, struct buf *out);

/* Safe on zeroes. */
void test_result_free(struct test_result *t);
void test_report_free(struct test_report *r);

#define cleanup_test_report __attribute__((cleanup(test_report_free)))

#endif
