/*
 * A run as JUnit XML, in the form of Jenkins' junit-10.xsd: one suite, a case for each result. What
 * differs is a failure; what could not be run is an error. The classname is the test's folder. Pure;
 * any thread. Without memory buf_failed() says so.
 */
#ifndef TORPOR_GOLDEN_REPORT_JUNIT_H
#define TORPOR_GOLDEN_REPORT_JUNIT_H

#include "golden/test_result.h"

void report_junit(const struct test_report *r, struct buf *out);

#endif
