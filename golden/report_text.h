/*
 * Reports of a run for who reads along: a result at a time, in the order of the tests, then the end.
 *
 *     report_*_begin → report_*_result for each → report_*_end
 *
 * They append lines to `out`, which may hold untrusted bytes: who prints them makes them printable.
 * Pure; without memory buf_failed() says so.
 */
#ifndef TORPOR_GOLDEN_REPORT_TEXT_H
#define TORPOR_GOLDEN_REPORT_TEXT_H

#include "golden/test_result.h"

void report_text_result(const struct test_report *r, const struct test_result *t, struct buf *out);
void report_text_end(const struct test_report *r, struct buf *out);

/* TAP, the Test Anything Protocol, version 13. `n` is the number of results that will come; `number`
 * is that of the result, from 1. */
void report_tap_begin(size_t n, struct buf *out);
void report_tap_result(const struct test_report *r, const struct test_result *t, size_t number,
		       struct buf *out);
void report_tap_end(const struct test_report *r, struct buf *out);

#endif
