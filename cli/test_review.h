/*
 * `torpor test -i`: failed tests are reviewed on the terminal, and rewritten. The terminal's settings
 * are not changed. One thread, which has both standard streams.
 */
#ifndef TORPOR_CLI_TEST_REVIEW_H
#define TORPOR_CLI_TEST_REVIEW_H

#include "golden/test_result.h"

/* Whether there is somebody to ask: 0, or -EINVAL with ERR_USAGE when CI is set, or standard input or
 * output is no terminal. */
int test_review_possible(struct err *err);
/* Whether somebody will look at what --update accepts: 0, or -EINVAL with ERR_USAGE when CI is set. */
int test_update_possible(struct err *err);
/* Ask about each hunk of each test that has failed. A test of which all was accepted is
 * TEST_UPDATED. One that cannot be rewritten is printed, and stays. Ends early when `stop_fd` is
 * readable, or the input ends. Returns whether all that was accepted is written. */
bool test_review(struct test_report *report, int stop_fd);

#endif
