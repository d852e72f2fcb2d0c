/* torpor wait: until a machine is over. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "host/claim.h"
#include "host/client.h"
#include "host/parse.h"
#include "instance/record.h"

/* Until it is over or broken. *reply is its own word for that; NULL: it died without one, or was
 * over before. */
static int wait_for_end(const char *name, json_t **reply, struct err *err)
{
	struct client client;
	int ret = client_open(&client, name, err);

	*reply = NULL;
	if (ret < 0)
		return err->kind == ERR_NOT_FOUND ? 0 : ret;
	ret = client_call(&client, json_pack("{s:s,s:b}", "do", "wait", "or-broken", 1),
			  CLIENT_FOREVER, reply, err);
	client_close(&client);
	return ret == -EPIPE ? 0 : ret;
}

static void print_end(const char *end, const char *error, int status)
{
	if (status != 0)
		printf("%s: status %d\n", end, status);
	else
		printf("%s%s%s\n", end, error[0] != '\0' ? ": " : "", error);
}

/* The status for the machine's own word, which is `broken`, `halted` or the name of an end. A guest
 * that halts has ended itself, as one that powers off. */
static int end_status(const char *end, int status)
{
	if (strcmp(end, "halted") == 0)
		return record_exit_status(MACHINE_END_POWEROFF, 0);
	return record_exit_status(record_end_by_name(end), status);
}

static int cmd_wait_run(struct options *opts, struct err *err)
{
	struct record record;
	const char *name;
	json_t *reply = NULL;
	int ret = options_next(opts, err);

	if (ret < 0)
		return ret;
	ret = options_one_operand(opts, "NAME", &name, err);
	if (ret < 0)
		return ret;
	ret = parse_name(name, err);
	if (ret < 0)
		return ret;
	if (!claim_is_held(name) && !machine_is_known(name))
		return err_set(err, ERR_NOT_FOUND, "no machine is named %s", name);
	if (claim_is_held(name)) {
		ret = wait_for_end(name, &reply, err);
		if (ret < 0)
			return ret;
	}
	/* What it says itself holds without a record, too, as of one that was run with --rm. */
	if (reply != NULL) {
		const char *end = protocol_text(reply, "end");
		int status = (int)json_integer_value(json_object_get(reply, "status")) & 0xff;

		print_end(end, protocol_text(reply, "error"), status);
		ret = end_status(end, status);
		json_decref(reply);
		return ret;
	}
	if (record_read(name, &record, NULL) < 0) {
		puts("dead");
		return record_exit_status(MACHINE_END_FAILED, 0);
	}
	print_end(machine_end_name(record.end), record.error, record.status);
	return record_exit_status(record.end, record.status);
}

const struct command cmd_wait = {
	.name = "wait",
	.args = "NAME",
	.summary = "wait until a machine is over, print how it ended",
	.detail = "The exit status is what torpor run in the foreground would have returned. A "
		  "machine that is\n"
		  "broken (its memory could not be loaded from its file) counts as failed, though "
		  "it stays to be\n"
		  "inspected. One whose guest has halted for good (every processor in HLT with "
		  "interrupts off)\n"
		  "counts as powered off, and stays too.",
	.options = options_none,
	.run = cmd_wait_run,
};
