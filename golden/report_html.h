/*
 * A run as one HTML page, which needs nothing from elsewhere: no scripts, no images, no fonts; its
 * policy (CSP) forbids them, too. Everything that comes from a guest or a transcript goes through
 * markup.h. Pure; any thread. Without memory buf_failed() says so.
 */
#ifndef TORPOR_GOLDEN_REPORT_HTML_H
#define TORPOR_GOLDEN_REPORT_HTML_H

#include "golden/test_result.h"

/* Of a longer diff the rest is left out, and the page says so. */
#define REPORT_HTML_DIFF_MAX ((size_t)512 << 10)

void report_html(const struct test_report *r, struct buf *out);

#endif
