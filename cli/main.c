/* The program: find the verb, run it, say what went wrong, choose the exit status. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>

#include "base/num.h"
#include "base/tempfile.h"
#include "cli/command.h"
#include "cli/target.h"
#include "host/client.h"
#include "host/start.h"
#include "meter/meter.h"

/* `torpor --help` and friends are verbs too. */
static const char *verb_of(const char *arg)
{
	if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
		return "help";
	if (strcmp(arg, "--version") == 0 || strcmp(arg, "-V") == 0)
		return "version";
	return arg;
}

/* `torpor VERB --help`, wherever it stands before `--`. */
static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0)
			return true;
	}
	return false;
}

/* As `torpor help VERB SUBCOMMAND` when one is named, before or behind --help. */
static void print_help(const struct command *command, int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		const struct subcommand *sub = command_find_subcommand(command, argv[i]);

		if (sub != NULL) {
			command_print_subcommand(command, sub, stdout);
			return;
		}
	}
	command_print_help(command, stdout);
}

static int run_command(const struct command *command, int argc, char **argv, struct err *err)
{
	struct options opts;
	int ret;

	if (wants_help(argc, argv)) {
		print_help(command, argc, argv);
		return 0;
	}
	options_init(&opts, command->options, argc, argv);
	ret = command->run(&opts, err);
	if (ret >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
		return err_sys(err, errno, "write to standard output");
	return ret;
}

/* What has no end of its own for it ends as by default, and leaves no big temporary behind. */
static void on_deadly_signal(int number)
{
	meter_on_signal();
	tempfile_unlink_all();
	(void)raise(number);
}

static void handle_end_signals(void)
{
	static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXCPU};
	struct sigaction action = {.sa_handler = on_deadly_signal, .sa_flags = (int)SA_RESETHAND};
	struct sigaction old;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		/* start_clean() leaves SIGHUP ignored for nohup(1). */
		if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			sigaction(numbers[i], &action, NULL);
	}
}

/* Of a machine's large buffers most pages are never used. Such a page takes no memory in a mapping
 * of its own, which is also given back when it is freed; on the heap calloc(3) clears it. glibc
 * makes a mapping of what has this size and does not fit into the heap as it is, which therefore
 * grows in small steps. */
static void keep_heap_small(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 64 << 10);
	(void)mallopt(M_TOP_PAD, 16 << 10);
}

static void tell_of_silence(const char *line)
{
	meter_hide();
	fprintf(stderr, "torpor: %s\n", line);
	meter_show();
}

int main(int argc, char **argv)
{
	const struct command *command;
	struct err err = {0};
	int ret;

	keep_heap_small();
	start_clean(argc, argv);
	handle_end_signals();
	client_on_silence(tell_of_silence);
	if (argc < 2) {
		command_print_list(stderr);
		return 125;
	}
	command = command_find(verb_of(argv[1]));
	if (command == NULL) {
		command_unknown(argv[1], &err);
		fprintf(stderr, "torpor: %s\n", err.text);
		return command_exit_status(&err);
	}
	ret = run_command(command, argc - 1, argv + 1, &err);
	if (ret >= 0)
		return ret;
	target_tell(&err);
	command_print_error(command->name, &err);
	return command_exit_status(&err);
}
