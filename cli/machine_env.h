/*
 * The environment of commands of this host that belong to a machine: ours, TORPOR_NAME, and for
 * each published port of the guest TORPOR_PORT_GUEST, its number here.
 *
 *     (zeroes) → machine_env_make → machine_env_set … → machine_env_free
 *
 * One thread.
 */
#ifndef TORPOR_CLI_MACHINE_ENV_H
#define TORPOR_CLI_MACHINE_ENV_H

#include "host/client.h"

struct machine_env {
	char **text; /* owned, as its elements; ends with NULL once it was made */
	size_t n;
};

/* Asks the machine for its ports. Returns 0, -ENOMEM, or what client_do() gives; behind an error it
 * is zero again. */
int machine_env_make(struct machine_env *env, struct client *client, struct err *err);
/* K=V, in place of any other value of K. Returns 0 or -ENOMEM. */
int machine_env_set(struct machine_env *env, const char *text, struct err *err);
/* Safe on zeroes. */
void machine_env_free(struct machine_env *env);

#endif
