/* See resume_hooks.h. */
#include "instance/resume_hooks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/printable.h"
#include "format/crypto/base64.h"

/* The shell's $0: our init knows the hooks by it (guest/init/agent.c), and runs them without a shell
 * where there is none. */
#define HOOKS_NAME "torpor-wake"

/* ASCII has characters for it. */
#define RECORD_END "\036"
#define UNIT_END   "\037"
#define HOOKS_MAX  64u

/* One process for all of them, since each costs the guest one. A hook's output is held by the
 * shell, so that it can be cut before the agent has to hold it. */
static const char script[] = "cd /etc/torpor/wake.d 2>/dev/null || exit 0\n"
			     "for hook in *; do\n"
			     "	[ -f \"$hook\" ] && [ -x \"$hook\" ] || continue\n"
			     "	said=$(\"./$hook\" 2>&1 </dev/null)\n"
			     "	printf '%s\\037%d\\037%.1000s\\036' \"$hook\" $? \"$said\"\n"
			     "done\n";

static json_t *hook_environment(const struct resume_facts *facts, int64_t now)
{
	const char *macs = facts->macs;
	json_t *env = json_pack("[s,s+,o,o,o,s+,o]",
				/* What is given replaces the agent's own. */
				"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
				"TORPOR_NAME=", facts->name,
				json_sprintf("TORPOR_GENERATION=%" PRIu32, facts->generation),
				json_sprintf("TORPOR_SECONDS_ASLEEP=%" PRIu64, facts->asleep),
				json_sprintf("TORPOR_MAC=%.*s", (int)strcspn(macs, " "), macs),
				"TORPOR_MACS=", macs, json_sprintf("TORPOR_NOW=%" PRId64, now));

	if (facts->new_identity)
		json_array_append_new(env, json_string("TORPOR_NEW_IDENTITY=1"));
	return env;
}

json_t *resume_hooks_arguments(const struct resume_facts *facts, int64_t now)
{
	return json_pack("{s:s,s:[s,s,s],s:o,s:b}", "path", "/bin/sh", "arg", "-c", script,
			 HOOKS_NAME, "env", hook_environment(facts, now), "capture-output", 1);
}

/* The text that a Base64 member holds, to be freed; "" when there is none. */
static char *decode_output(const json_t *text64)
{
	const char *text = json_string_value(text64);
	size_t text_len = json_string_length(text64), len = base64_decoded_len(text, text_len);
	char *out = malloc(len + 1);

	if (out != NULL && (text == NULL || !base64_decode(text, text_len, out, len)))
		len = 0;
	if (out != NULL)
		out[len] = '\0';
	return out;
}

/* NAME unit STATUS unit OUTPUT; what does not look like it is left out. */
static void report_record(json_t *list, char *record)
{
	char *rest = record;
	char *name = strsep(&rest, UNIT_END);
	char *status = strsep(&rest, UNIT_END);

	if (rest == NULL || json_array_size(list) == HOOKS_MAX)
		return;
	printable(name);
	printable(rest);
	json_array_append_new(list, json_pack("{s:s,s:i,s:s}", "hook", name, "status",
					      atoi(status) & 0xff, "output", rest));
}

json_t *resume_hooks_report(const json_t *status, struct err *err)
{
	const json_t *exit = json_object_get(status, "exitcode");
	cleanup_free char *out = decode_output(json_object_get(status, "out-data"));
	cleanup_free char *said = decode_output(json_object_get(status, "err-data"));
	char *rest = out, *record;
	json_t *list;

	if (out == NULL || said == NULL || json_integer_value(exit) != 0 ||
	    !json_is_integer(exit)) {
		if (said != NULL)
			printable(said);
		err_set(err, ERR_FAILED, "the shell in the guest failed%s%.200s",
			said != NULL && said[0] != '\0' ? ": " : "", said != NULL ? said : "");
		return NULL;
	}
	list = json_array();
	if (list == NULL)
		err_sys(err, ENOMEM, "what the hooks did");
	while (rest != NULL && (record = strsep(&rest, RECORD_END)) != NULL)
		report_record(list, record);
	return list;
}
