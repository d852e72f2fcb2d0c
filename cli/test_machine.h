/*
 * The machine of a test, from the side of its runner: `torpor resume` in a process of its own, and
 * a client of that.
 *
 *     test_machine_start → test_machine_guest → … → test_machine_end
 */
#ifndef TORPOR_CLI_TEST_MACHINE_H
#define TORPOR_CLI_TEST_MACHINE_H

#include "golden/test_run.h"

#define TEST_PUBLISH_MAX 16u

struct test_machine {
	char name[64];
	/* Owned, as its elements; the last is NULL: ours, and TORPOR_NAME, TORPOR_PORT_N. */
	char **env;
	size_t nenv;
};

/* What the machines of this process are called, one at a time. */
void test_machine_name(char name[64]);
/* Resume `golden` under that name, with these ports of the guest published. Returns 0;
 * -EINVAL with what torpor resume said; the errno of posix_spawn(3) or pipe2(2); or what
 * client_open() and client_do() give. After an error nothing is left. */
int test_machine_start(struct test_machine *m, const char *golden, const char *const *publish,
		       unsigned npublish, struct err *err);
/* Its guest, for test_run(). Borrows `m`. */
struct test_guest test_machine_guest(struct test_machine *m);
/* Kill it, and leave no records behind. Safe on zeroes. */
void test_machine_end(struct test_machine *m);

#endif
