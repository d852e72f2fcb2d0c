/*
 * A run as one JSON object, which torpor(1) describes. Text of the guest is UTF-8 in it: other bytes
 * are U+FFFD. Pure; any thread.
 */
#ifndef TORPOR_GOLDEN_REPORT_JSON_H
#define TORPOR_GOLDEN_REPORT_JSON_H

#include <jansson.h>

#include "golden/test_result.h"

/* "passed", "failed", "broken" or "updated". */
const char *test_outcome_name(enum test_outcome outcome);

/* A new reference; NULL: no memory. */
json_t *report_json(const struct test_report *r);

#endif
