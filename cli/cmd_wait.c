/* torpor wait: until a machine is over, or ready. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/readiness.h"
#include "host/claim.h"
#include "host/client.h"
#include "host/parse.h"
#include "instance/record.h"

#define WAIT_TIMED_OUT 124 /* as torpor exec */
#define UNTIL_MAX      16u
#define TIMEOUT_MAX    2000000u /* in milliseconds it is an int */

enum {
	OPTION_UNTIL = OPTION_LONG_ONLY + 1,
	OPTION_TIMEOUT,
};

static const struct option_spec options[] = {
	{OPTION_UNTIL, "until", "text:TEXT|port:N|exec:CMD", "wait for this instead of the end"},
	{OPTION_TIMEOUT, "timeout", "SECONDS", "wait no longer, and return 124"},
	{0},
};

struct wait_args {
	const char *name;
	struct readiness until[UNTIL_MAX];
	size_t nuntil;
	uint64_t timeout; /* seconds; 0: none */
};

static int cmd_wait_option(struct wait_args *args, int id, const char *value, struct err *err)
{
	if (id == OPTION_TIMEOUT)
		return parse_number(value, "--timeout", 1, TIMEOUT_MAX, &args->timeout, err);
	if (args->nuntil == UNTIL_MAX)
		return err_set(err, ERR_USAGE, "--until is given more than %u times", UNTIL_MAX);
	return readiness_parse("--until", value, &args->until[args->nuntil++], err);
}

static int cmd_wait_parse(struct options *opts, struct wait_args *args, struct err *err)
{
	int id, ret;

	while ((id = options_next(opts, err)) != 0) {
		ret = id < 0 ? id : cmd_wait_option(args, id, opts->value, err);
		if (ret < 0)
			return ret;
	}
	ret = options_one_operand(opts, "NAME", &args->name, err);
	return ret < 0 ? ret : parse_name(args->name, err);
}

/* Until it is over or broken. *reply is its own word for that; NULL: it died without one, or was
 * over before. */
static int wait_for_end(const char *name, uint64_t timeout, json_t **reply, struct err *err)
{
	struct client client;
	int ret = client_open(&client, name, err);

	*reply = NULL;
	if (ret < 0)
		return err->kind == ERR_NOT_FOUND ? 0 : ret;
	ret = client_call(&client, json_pack("{s:s,s:b}", "do", "wait", "or-broken", 1),
			  timeout != 0 ? (int)timeout * 1000 : CLIENT_FOREVER, reply, err);
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

static int wait_until_over(const char *name, uint64_t timeout, struct err *err)
{
	struct record record;
	json_t *reply = NULL;
	int ret;

	if (!claim_is_held(name) && !machine_is_known(name))
		return err_set(err, ERR_NOT_FOUND, "no machine is named %s", name);
	if (claim_is_held(name)) {
		ret = wait_for_end(name, timeout, &reply, err);
		if (ret == -ETIMEDOUT && timeout != 0)
			err_set(err, ERR_FAILED, "machine %s has not ended within %llu s", name,
				(unsigned long long)timeout);
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

static int cmd_wait_run(struct options *opts, struct err *err)
{
	struct wait_args args = {0};
	int ret = cmd_wait_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	if (args.nuntil > 0)
		ret = readiness_await(&(struct readiness_wait){.verb = opts->verb,
							       .option = "--until",
							       .machine = args.name,
							       .condition = args.until,
							       .n = args.nuntil,
							       .timeout_s = args.timeout,
							       .stop_fd = -1},
				      err);
	else
		ret = wait_until_over(args.name, args.timeout, err);
	if (ret != -ETIMEDOUT || args.timeout == 0)
		return ret;
	command_print_error(opts->verb, err);
	return WAIT_TIMED_OUT;
}

const struct command cmd_wait = {
	.name = "wait",
	.args = "NAME",
	.summary = "wait until a machine is over, print how it ended; or until it is ready",
	.detail = "The exit status is what torpor run in the foreground would have returned. A "
		  "machine that is broken (its memory could not be loaded from its file) counts as "
		  "failed, though it stays to be inspected. One whose guest has halted for good "
		  "(every processor in HLT with interrupts off) counts as powered off, and stays "
		  "too.\n"
		  "\n"
		  "With --until: until TEXT is on its console, or has been there before; until the "
		  "guest accepts a connection to its TCP port N, which is published; until "
		  "/bin/sh -c COMMAND succeeds in the guest. A number alone is a port, other words "
		  "alone are a text. Given several times, all have to come true. A machine that "
		  "ends, breaks or halts before is an error.",
	.options = options,
	.run = cmd_wait_run,
};
