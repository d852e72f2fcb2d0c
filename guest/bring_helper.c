/* See bring_helper.h. */
#include "guest/bring_helper.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "format/crypto/base64.h"
#include "guest/helper_bytes.h"

static const char script_begin[] =
	"umask 077\n"
	"from=\n"
	"for place in /dev/shm /run /tmp /var/tmp; do\n"
	"	to=$place/torpor-$1\n"
	"	mkdir \"$to\" 2>/dev/null || continue\n"
	"	if [ -z \"$from\" ]; then cat >\"$to/helper\" && chmod 700 \"$to/helper\"\n"
	"	else mv \"$from/helper\" \"$to\" && rmdir \"$from\"; fi\n"
	"	from=$to\n"
	"	";
static const char script_middle[] = "\n"
				    "done\n"
				    "[ -z \"$from\" ] || rm -rf \"$from\"\n";
static const char script_end[] = "exit 1\n";

bool bring_helper_nonce(char nonce[BRING_HELPER_NONCE])
{
	uint64_t number[2];

	if (getrandom(number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return false;
	snprintf(nonce, BRING_HELPER_NONCE, "%016llx%016llx", (unsigned long long)number[0],
		 (unsigned long long)number[1]);
	return true;
}

json_t *bring_helper_arguments(const struct bring_helper *b)
{
	const size_t len = helper_bytes_len + b->behind_len;
	cleanup_free uint8_t *program = malloc(len);
	cleanup_free char *text = malloc(BASE64_LEN(len) + 1);
	json_t *arguments;

	if (program == NULL || text == NULL)
		return NULL;
	memcpy(program, helper_bytes, helper_bytes_len);
	if (b->behind_len > 0)
		memcpy(program + helper_bytes_len, b->behind, b->behind_len);
	base64_encode(program, len, text);
	arguments =
		json_pack("{s:s,s:[s,s++++,s,s,s*],s:[s],s:s,s:b}", "path", "/bin/sh", "arg", "-c",
			  script_begin, b->run, script_middle, b->sorry, script_end, b->name,
			  b->nonce, b->argument, "env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
			  "input-data", text, "capture-output", 1);
	/* What is behind may be a secret. */
	explicit_bzero(program, len);
	explicit_bzero(text, BASE64_LEN(len));
	return arguments;
}
