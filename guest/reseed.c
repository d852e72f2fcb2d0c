/* See reseed.h. */
#include "guest/reseed.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include "guest/agent.h"
#include "guest/bring_helper.h"
#include "guest/reseed_seed.h"

json_t *reseed_arguments(void)
{
	uint8_t seed[RESEED_SEED_SIZE];
	char nonce[BRING_HELPER_NONCE];
	const struct bring_helper errand = {
		.name = "torpor-reseed",
		.nonce = nonce,
		.run = "\"$to/helper\" -r \"$to/helper\" && { rm -rf \"$to\"; exit 0; }",
		.sorry = "",
		.behind = seed,
		.behind_len = sizeof(seed),
	};
	json_t *arguments;

	if (!bring_helper_nonce(nonce) || getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		return NULL;
	arguments = bring_helper_arguments(&errand);
	explicit_bzero(seed, sizeof(seed));
	return arguments;
}

int reseed_check(const json_t *status, struct err *err)
{
	const json_t *exit = json_object_get(status, "exitcode");
	char text[AGENT_ERROR_TEXT];

	if (json_is_integer(exit) && json_integer_value(exit) == 0)
		return 0;
	agent_error_text(status, text);
	err_set(err, ERR_FAILED, "%s",
		text[0] != '\0' ? text : "the program for it fails in the guest");
	return -EIO;
}
