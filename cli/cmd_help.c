/* torpor help: the list of verbs, or one of them. */
#include "cli/command.h"

/* `torpor help receive --verify cached`: what stands behind the verb is explained with it. */
static void cut_options(struct options *opts)
{
	for (int i = 2; i < opts->argc; i++) {
		if (opts->argv[i][0] == '-')
			opts->argc = i;
	}
}

static int cmd_help_run(struct options *opts, struct err *err)
{
	const struct subcommand *subcommand;
	const struct command *command;
	const char *verb, *sub;
	int ret;

	cut_options(opts);
	ret = options_next(opts, err);
	if (ret < 0)
		return ret;
	verb = options_operand(opts);
	sub = options_operand(opts);
	ret = options_end(opts, err);
	if (ret < 0)
		return ret;
	if (verb == NULL) {
		command_print_list(stdout);
		return 0;
	}
	command = command_find(verb);
	if (command == NULL)
		return command_unknown(verb, err);
	if (sub == NULL) {
		command_print_help(command, stdout);
		return 0;
	}
	subcommand = command_find_subcommand(command, sub);
	if (subcommand == NULL)
		return err_set(err, ERR_USAGE, "torpor %s has no '%s' (see torpor help %s)",
			       command->name, sub, command->name);
	command_print_subcommand(command, subcommand, stdout);
	return 0;
}

const struct command cmd_help = {
	.name = "help",
	.args = "[VERB [SUBCOMMAND]]",
	.summary = "list the verbs, or explain one",
	.options = options_none,
	.run = cmd_help_run,
};
