/*
 * The runner: tests on some workers, each of which has one machine at a time.
 *
 *     test_list_add … → runner_run → (reports) → test_report_free
 *
 * The machines are the caller's (struct test_machines). Each test begins with a machine that is as
 * its golden; how that is done, by a reset in place or by a new machine, is not seen here.
 */
#ifndef TORPOR_GOLDEN_RUNNER_H
#define TORPOR_GOLDEN_RUNNER_H

#include "golden/test_files.h"
#include "golden/test_run.h"

#define RUNNER_MAX_WORKERS 1024u

/* What a test runs in. */
struct test_world {
	struct test_guest guest;
	char *const *env; /* of commands of the host; borrowed until the worker's next begin */
	char *golden;	  /* FILE@sha256:DIGEST; owned */
	/* Behind an error: this host has no room for one machine more. */
	bool no_room;
};

/* A worker, counted from 1, is one thread; several workers call at once. */
struct test_machines {
	/* The worker's machine is as the golden that the test at `path` names. Behind an error the
	 * worker has no machine. *world is zero before. */
	int (*begin)(void *opaque, unsigned worker, const char *path, const struct transcript *t,
		     struct test_world *world, struct err *err);
	/* Save it as an increment of its golden, to `file`; it goes on. *bytes: of the file. */
	int (*save)(void *opaque, unsigned worker, const char *file, uint64_t *bytes,
		    struct err *err);
	/* The test is over: what the machine can tell about it. */
	void (*look)(void *opaque, unsigned worker, struct test_result *result);
	/* End the worker's machine, if it has one. */
	void (*end)(void *opaque, unsigned worker);
	void *opaque;
};

/* How far a run is. */
struct runner_state {
	const struct test_report *report; /* whose results are not all there yet */
	size_t tests;			  /* that will have run, each round counted */
	size_t done, failed, broken;
	const char *path; /* of the test that began last; NULL: none did */
};

struct runner_params {
	const struct test_list *tests;
	unsigned workers, rounds;
	unsigned shard, shards; /* for the report; the list is of that shard */
	bool update;		/* rewrite what differs */
	const char *failed;	/* folder for machines of tests that fail; NULL: none is saved */
	/* Folder of accepted listings of the guest's files behind each test, NAME.files, NAME being
	 * as in the folder of those machines (tree_check.h); NULL: they are not compared. */
	const char *check_fs;
	int stop_fd; /* readable once all is to end; -1: never */
	const struct test_machines *machines;
	/* Told of each result, in their order; and whenever something has changed. One at a time, on
	 * a worker's thread. Either may be NULL. */
	void (*result)(void *opaque, const struct runner_state *state,
		       const struct test_result *result);
	void (*progress)(void *opaque, const struct runner_state *state);
	/* A worker ends because there is no room for its machine, or none any more; others go on. */
	void (*retired)(void *opaque, unsigned worker, const struct err *why);
	void *opaque;
};

/*
 * Run them all. A test that fails, or cannot be run, is a result and not an error. When it was
 * stopped, the tests that were running are TEST_BROKEN, and those that had not begun are not in the
 * report. Returns 0, -ENOMEM, or the error of pthread_create(3); *report is for test_report_free()
 * in each case.
 */
int runner_run(const struct runner_params *params, struct test_report *report, struct err *err);

#endif
