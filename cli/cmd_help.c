/* torpor help: the list of verbs, or one of them. */
#include "cli/command.h"

static int cmd_help_run(struct options *opts, struct err *err)
{
	int ret = options_next(opts, err);
	const char *verb = ret == 0 ? options_operand(opts) : NULL;
	const struct command *command;

	if (ret == 0)
		ret = options_end(opts, err);
	if (ret < 0)
		return ret;
	if (verb == NULL) {
		command_print_list(stdout);
		return 0;
	}
	command = command_find(verb);
	if (command == NULL)
		return err_set(err, ERR_USAGE, "unknown verb '%s'", verb);
	command_print_help(command, stdout);
	return 0;
}

const struct command cmd_help = {
	.name = "help",
	.args = "[VERB]",
	.summary = "list the verbs, or explain one",
	.options = options_none,
	.run = cmd_help_run,
};
