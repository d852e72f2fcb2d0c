/*
 * The machines of tests, from the side of their runner: `torpor resume --golden` in a process of
 * its own for each worker, and a client of that.
 *
 *     test_fleet_open → test_fleet_machines (for runner_run()) → test_fleet_close
 *
 * Between two tests with the same golden and the same ports a machine is reset in place; for others, and when
 * that fails, a new one is made. All end when this process does, however it does.
 */
#ifndef TORPOR_CLI_TEST_MACHINE_H
#define TORPOR_CLI_TEST_MACHINE_H

#include "golden/runner.h"

#define TEST_PUBLISH_MAX 16u /* of --publish; each test has its own besides */

struct test_machine;

struct test_fleet_params {
	const char *from; /* the golden of all tests; NULL: their heads name it */
	const char *publish[TEST_PUBLISH_MAX];
	unsigned npublish;
	unsigned workers;
	bool fixed_clock;
	int64_t clock_ns; /* what the guest's wall clock says as a test begins, since 1970 */
	bool changes;	  /* ask what each test has changed */
	int stop_fd;	  /* as runner_params.stop_fd */
};

struct test_fleet {
	const struct test_fleet_params *params; /* borrowed */
	struct test_machine *machine;		/* owned; one for each worker */
	int lease[2];				/* a pipe: each machine ends with its writing end */
};

/* Returns 0, -ENOMEM or the errno of pipe2(2); then nothing is left. */
int test_fleet_open(struct test_fleet *fleet, const struct test_fleet_params *params,
		    struct err *err);
/* What the runner asks. Errors of begin: ERR_USAGE when a test names no golden; ERR_INTEGRITY for
 * one of another digest; ERR_FAILED with what torpor resume said; those of target_find_file(),
 * archive_identify(), client_open() and client_call(); -ECANCELED when it was stopped. */
struct test_machines test_fleet_machines(struct test_fleet *fleet);
/* No machine is left. */
void test_fleet_close(struct test_fleet *fleet);

#endif
