/* torpor wait: until a machine is over. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "host/claim.h"
#include "host/client.h"
#include "host/parse.h"
#include "instance/record.h"

/* Until it is over, or broken: then *broken is the answer, else NULL. */
static int await_end(const char *name, json_t **broken, struct err *err)
{
	struct client client;
	json_t *reply = NULL;
	int ret = client_open(&client, name, err);

	*broken = NULL;
	if (ret < 0)
		return ret;
	ret = client_call(&client, json_pack("{s:s,s:b}", "do", "wait", "or-broken", 1),
			  CLIENT_FOREVER, &reply, err);
	client_close(&client);
	if (ret == 0 && strcmp(protocol_text(reply, "end"), "broken") == 0)
		*broken = reply;
	else
		json_decref(reply);
	return ret == -EPIPE ? 0 : ret;
}

static int print_broken(json_t *broken)
{
	printf("broken: %s\n", protocol_text(broken, "error"));
	json_decref(broken);
	return record_exit_status(MACHINE_END_FAILED);
}

static int cmd_wait_run(struct options *opts, struct err *err)
{
	struct record record;
	json_t *broken = NULL;
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
		ret = await_end(name, &broken, err);
	if (ret < 0 && err->kind != ERR_NOT_FOUND)
		return ret;
	if (broken != NULL)
		return print_broken(broken);
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
	.detail = "The exit status is what torpor run in the foreground would have returned. A "
		  "machine that is\n"
		  "broken (its memory could not be brought from its file) counts as failed, though "
		  "it stays to be\n"
		  "inspected.",
	.options = options_none,
	.run = cmd_wait_run,
};
