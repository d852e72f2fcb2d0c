/*
 * `torpor stats` of several machines: a table, or JSON, once or again and again.
 */
#ifndef TORPOR_CLI_STATS_TABLE_H
#define TORPOR_CLI_STATS_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct stats_params {
	char *const *name;
	size_t nnames; /* 0: all that run */
	bool json;
	bool prometheus; /* once, not json */
	bool watch;
	unsigned interval_ms; /* of `watch` */
};

/* All machines are asked at once; one that does not answer within a second has a row all the same.
 * `watch` ends when nobody reads standard output any more, or when all machines that were named are
 * over. Returns 0, -ENOMEM, what machine_names_list() gives, or the errno of writing. */
int stats_table(const struct stats_params *params, struct err *err);

/* What the status of a machine adds to its stats: "name", "state", "pid", and "percent" during a save. */
void stats_add_status(json_t *stats, const json_t *status);

#endif
