/* The member `needs` of the config; torpor(5). Pure. */
#ifndef TORPOR_FORMAT_HOSTNEEDS_JSON_H
#define TORPOR_FORMAT_HOSTNEEDS_JSON_H

#include "base/json.h"
#include "state/hostneeds.h"

/* A new reference, or NULL without memory. */
json_t *host_needs_encode(const struct host_needs *needs);
/* `newer`: written by a later minor version, so members unknown here are passed over.
 * Returns 0 or -EINVAL with ERR_INTEGRITY, which names the member. */
int host_needs_decode(struct host_needs *needs, json_t *config, bool newer, struct err *err);

#endif
