/*
 * Bringing torpor's helper into a guest with what the stock guest agent offers: guest-exec gives a shell the helper's
 * bytes as input. It puts them into a new folder, torpor-NONCE, that only the agent's user can enter, on the first of
 * some file systems that lets programs run: /dev/shm, /run, /tmp, /var/tmp. Any thread.
 */
#ifndef TORPOR_GUEST_BRING_HELPER_H
#define TORPOR_GUEST_BRING_HELPER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define BRING_HELPER_NONCE 33 /* with its NUL */

struct bring_helper {
	const char *name; /* the shell's $0: our own init knows the errand by it */
	const char *
		nonce; /* in the name of the folder, so that nothing is trusted that was there before */
	const char *argument; /* $2; NULL: none */
	const char *
		run; /* a line of shell in each place, which ends the script when it has worked: $to/helper */
	const char *sorry;  /* lines of shell for when none has; "" */
	const void *behind; /* bytes behind the helper's */
	size_t behind_len;
};

/* False without random numbers of this host. */
bool bring_helper_nonce(char nonce[BRING_HELPER_NONCE]);

/* The arguments of guest-exec; NULL without memory. */
json_t *bring_helper_arguments(const struct bring_helper *b);

#endif
