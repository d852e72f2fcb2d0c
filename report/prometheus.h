/*
 * What `torpor stats` knows, as metrics in Prometheus' text format, version 0.0.4. Pure; any thread.
 *
 * Names follow its rules: one prefix, base units (seconds, bytes, ratio), _total behind what only
 * grows. A machine is the label `machine`; what a machine did not say has no sample.
 */
#ifndef TORPOR_REPORT_PROMETHEUS_H
#define TORPOR_REPORT_PROMETHEUS_H

#include <jansson.h>

#include "base/buf.h"

/* `machines` is an array of objects, each as control request "stats" answers (host/protocol.h), with
 * "name", "state" and "percent" of "status". Without memory buf_failed() says so. */
void prometheus_add(struct buf *out, const json_t *machines);

#endif
