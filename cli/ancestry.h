/* The saves an appliance descends from, as far as their files can be found (parent.h). */
#ifndef TORPOR_CLI_ANCESTRY_H
#define TORPOR_CLI_ANCESTRY_H

#include <jansson.h>

#include "format/appliance.h"

/* A list of {"digest","file","generation","saved":ns since 1970}, the parent of the file `child`
 * first; the last of them has its digest only when its file is not found. `parent` may be "". A new
 * list; NULL without memory. */
json_t *ancestry_json(const char *parent, const char *child);
/* As lines on standard output with `label` in front of the first. Cannot fail. */
void ancestry_print(const char *label, const json_t *list);

#define SAVE_TIME_SIZE 32
/* "2026-01-31 12:00:00 UTC"; returns `text`. */
const char *save_time(uint64_t saved_ns, char text[SAVE_TIME_SIZE]);

#endif
