/* See reseed.h. */
#include "guest/reseed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "format/crypto/base64.h"
#include "guest/agent.h"
#include "guest/helper_bytes.h"
#include "guest/reseed_seed.h"

/* Where programs may run differs: see agent_files.c. */
static const char reseed_script[] =
	"umask 077\n"
	"from=\n"
	"for place in /dev/shm /run /tmp /var/tmp; do\n"
	"	to=$place/torpor-$1\n"
	"	mkdir \"$to\" 2>/dev/null || continue\n"
	"	if [ -z \"$from\" ]; then cat >\"$to/helper\" && chmod 700 \"$to/helper\"\n"
	"	else mv \"$from/helper\" \"$to\" && rmdir \"$from\"; fi\n"
	"	from=$to\n"
	"	\"$to/helper\" -r \"$to/helper\" && { rm -rf \"$to\"; exit 0; }\n"
	"done\n"
	"[ -z \"$from\" ] || rm -rf \"$from\"\n"
	"exit 1\n";

json_t *reseed_arguments(void)
{
	const size_t len = helper_bytes_len + RESEED_SEED_SIZE;
	cleanup_free uint8_t *program = malloc(len);
	cleanup_free char *text = malloc(BASE64_LEN(len) + 1);
	uint64_t number[2];
	char nonce[33];
	json_t *arguments;

	if (program == NULL || text == NULL ||
	    getrandom(number, sizeof(number), 0) != (ssize_t)sizeof(number) ||
	    getrandom(program + helper_bytes_len, RESEED_SEED_SIZE, 0) != RESEED_SEED_SIZE)
		return NULL;
	memcpy(program, helper_bytes, helper_bytes_len);
	base64_encode(program, len, text);
	snprintf(nonce, sizeof(nonce), "%016llx%016llx", (unsigned long long)number[0],
		 (unsigned long long)number[1]);
	arguments = json_pack("{s:s,s:[s,s,s,s],s:[s],s:s,s:b}", "path", "/bin/sh", "arg", "-c",
			      reseed_script, "torpor-reseed", nonce, "env",
			      "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "input-data", text,
			      "capture-output", 1);
	explicit_bzero(program, len);
	explicit_bzero(text, BASE64_LEN(len));
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
