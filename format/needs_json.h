/* The members `cpu` and `needs` of the config. What they have in them depends on the appliance's
 * architecture, `arch` (ARCH_NAME); torpor(5). Pure.
 *
 * `newer`: written by a later minor version, so members unknown here are passed over. Decoding returns 0,
 * or -EINVAL with ERR_INTEGRITY, which names the member. */
#ifndef TORPOR_FORMAT_NEEDS_JSON_H
#define TORPOR_FORMAT_NEEDS_JSON_H

#include "base/json.h"
#include "state/cpuneeds.h"
#include "state/hostneeds.h"

/* A new reference, or NULL without memory. */
json_t *cpu_needs_encode(const struct cpu_needs *cpu, const char *arch);
int cpu_needs_decode(struct cpu_needs *cpu, const char *arch, json_t *config, bool newer,
		     struct err *err);

/* The same of `needs`. */
json_t *host_needs_encode(const struct host_needs *needs, const char *arch);
int host_needs_decode(struct host_needs *needs, const char *arch, json_t *config, bool newer,
		      struct err *err);

#endif
