/* The table of verbs and what is derived from it; see command.h. */
#include "cli/command.h"

#include <string.h>

extern const struct command cmd_build, cmd_run, cmd_resume, cmd_save, cmd_ps, cmd_pause, cmd_stats,
	cmd_unpause, cmd_stop, cmd_kill, cmd_rm, cmd_wait, cmd_logs, cmd_console, cmd_inspect,
	cmd_ls, cmd_extract, cmd_verify, cmd_convert, cmd_flatten, cmd_tree, cmd_keygen, cmd_sign,
	cmd_compat, cmd_doctor, cmd_version, cmd_warm, cmd_help, cmd_port, cmd_lan, cmd_move,
	cmd_receive, cmd_push, cmd_pull, cmd_login, cmd_logout, cmd_images, cmd_rmi, cmd_gc,
	cmd_exec, cmd_cp, cmd_clone, cmd_test, cmd_reset, cmd_events, cmd_golden, cmd_tag,
	cmd_serve, cmd_volume, cmd_disk, cmd_update, cmd_balloon;

const struct command *const commands[] = {
	&cmd_build,   &cmd_run,	   &cmd_resume,	 &cmd_clone,   &cmd_save,    &cmd_move,
	&cmd_receive, &cmd_ps,	   &cmd_events,	 &cmd_stats,   &cmd_update,  &cmd_balloon,
	&cmd_port,    &cmd_pause,  &cmd_unpause, &cmd_reset,   &cmd_stop,    &cmd_kill,
	&cmd_rm,      &cmd_wait,   &cmd_logs,	 &cmd_console, &cmd_exec,    &cmd_cp,
	&cmd_inspect, &cmd_ls,	   &cmd_extract, &cmd_verify,  &cmd_convert, &cmd_flatten,
	&cmd_tree,    &cmd_keygen, &cmd_sign,	 &cmd_push,    &cmd_pull,    &cmd_login,
	&cmd_logout,  &cmd_images, &cmd_tag,	 &cmd_serve,   &cmd_rmi,     &cmd_gc,
	&cmd_volume,  &cmd_disk,   &cmd_compat,	 &cmd_lan,     &cmd_warm,    &cmd_test,
	&cmd_golden,  &cmd_doctor, &cmd_version, &cmd_help,    NULL,
};

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = commands; *c != NULL; c++) {
		if (strcmp((*c)->name, name) == 0)
			return *c;
	}
	return NULL;
}

const struct subcommand *command_find_subcommand(const struct command *command, const char *name)
{
	for (const struct subcommand *sub = command->subcommands; sub != NULL && sub->name != NULL;
	     sub++) {
		if (strcmp(sub->name, name) == 0)
			return sub;
	}
	return NULL;
}

void subcommand_note_option(const struct option_spec *options, int id, bool *given)
{
	for (size_t i = 0; options[i].id != 0; i++)
		given[i] |= options[i].id == id;
}

int subcommand_check_options(const char *verb, const struct subcommand *sub,
			     const struct option_spec *options, const bool *given, struct err *err)
{
	for (size_t i = 0; options[i].id != 0; i++) {
		bool taken = false;

		for (size_t j = 0; j < SUBCOMMAND_OPTIONS; j++)
			taken |= sub->options[j] == options[i].id;
		if (given[i] && !taken)
			return err_set(err, ERR_USAGE, "torpor %s %s knows no --%s", verb,
				       sub->name, options[i].name);
	}
	return 0;
}

int command_exit_status(const struct err *err)
{
	switch (err->kind) {
	case ERR_INCOMPATIBLE:
		return 120;
	case ERR_INTEGRITY:
		return 121;
	case ERR_NOT_FOUND:
		return 122;
	case ERR_MISMATCH:
		return 123;
	default:
		return 125;
	}
}

void command_print_error(const char *verb, const struct err *err)
{
	fprintf(stderr, "torpor: %s: %s\n", verb, err->text);
}
