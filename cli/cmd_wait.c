/* torpor wait: until a machine is over. */
#include <stdio.h>

#include "cli/claim.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/parse.h"
#include "cli/record.h"

static int await_end(const char *name, struct err *err)
{
	struct client client;
	int ret = client_open(&client, name, err);

	if (ret < 0)
		return ret;
	ret = client_wait(&client, CLIENT_FOREVER, err);
	client_close(&client);
	return ret;
}

static int run(struct options *opts, struct err *err)
{
	struct record record;
	const char *name;
	int ret = options_next(opts, err);

	if (ret == 0)
		ret = options_one_operand(opts, "NAME", &name, err);
	if (ret == 0)
		ret = parse_name(name, err);
	if (ret < 0)
		return ret;
	if (!claim_is_held(name) && !machine_is_known(name))
		return err_set(err, ERR_NOT_FOUND, "no machine is named %s", name);
	if (claim_is_held(name))
		ret = await_end(name, err);
	if (ret < 0 && err->kind != ERR_NOT_FOUND)
		return ret;
	if (record_read(name, &record, NULL) < 0) {
		puts("dead");
		return record_exit_status(MACHINE_END_FAILED);
	}
	printf("%s%s%s\n", machine_end_name(record.end), record.error[0] != '\0' ? ": " : "",
	       record.error);
	return record_exit_status(record.end);
}

const struct command cmd_wait = {
	.name = "wait",
	.args = "NAME",
	.summary = "wait until a machine is over, print how it ended",
	.detail = "The exit status is what torpor run in the foreground would have returned.",
	.options = options_none,
	.run = run,
};
