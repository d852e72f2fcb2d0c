/* torpor receive: the other side of torpor move (move/move_stream.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "cli/command.h"
#include "cli/launch.h"
#include "cli/patience.h"
#include "cli/resume_args.h"
#include "host/claim.h"
#include "host/client.h"
#include "meter/meter.h"
#include "move/move_stream.h"

#define OPTION_PAUSED (OPTION_LONG_ONLY + 1)

static const struct option_spec options[] = {
	{OPTION_PAUSED, "paused", NULL, "do not let it go on before unpause"},
	RESUME_OPTIONS,
	OPTION_PROGRESS_SPEC,
	{0},
};

struct receive_args {
	struct resume_args resume;
	bool paused;
};

static void receive_args_close(struct receive_args *args)
{
	resume_args_close(&args->resume);
}

static int cmd_receive_parse(struct options *opts, struct receive_args *args, struct err *err)
{
	int id, ret;

	resume_args_init(&args->resume);
	args->resume.verb = "receive";
	while ((id = options_next(opts, err)) > 0) {
		ret = resume_args_take(&args->resume, id, opts->value, err);
		if (ret < 0)
			return ret;
		assert(ret > 0 || id == OPTION_PAUSED);
		args->paused |= ret == 0;
	}
	if (id < 0)
		return id;
	ret = resume_args_check(&args->resume, err);
	return ret < 0 ? ret : options_end(opts, err);
}

/* What a start would find out too, but only behind the transfer: it still does, for what changes
 * meanwhile. */
static int check_early(const struct receive_args *args, struct err *err)
{
	const struct connections *c = &args->resume.net.connections;
	const char *name = args->resume.instance.name;

	if (name != NULL && claim_is_held(name))
		return err_set(err, ERR_FAILED, "the name %s is in use by a running machine", name);
	for (unsigned i = 0; i < c->n; i++) {
		if (c->card[i].kind == NET_LAN && !claim_lan_is_held(c->card[i].name))
			return err_set(err, ERR_NOT_FOUND,
				       "there is no LAN %s: make it with torpor lan create %s",
				       c->card[i].name, c->card[i].name);
	}
	for (unsigned i = 0; i < c->nforwards; i++) {
		int ret = net_user_check_forward(&c->forward[i], err);

		if (ret < 0)
			return ret;
	}
	return vsock_args_check(&args->resume.vsock, err);
}

/* Until END, into a file of no name. */
static int take_messages(int memory, struct patience *patience, struct err *err)
{
	for (;;) {
		struct move_message message;
		int ret;

		patience_step(patience, "the other host to send more of the machine");
		ret = move_receive(STDIN_FILENO, &message, err);
		if (ret < 0)
			return ret;
		if (message.type == MOVE_END)
			return 0;
		if (message.type != MOVE_DATA)
			return err_set(err, ERR_INTEGRITY,
				       "the other side sent message %u where contents were due",
				       (unsigned)message.type);
		ret = move_receive_data(STDIN_FILENO, message.len, memory, err);
		if (ret < 0)
			return ret;
		progress_add(meter_progress(), message.len);
	}
}

/* *fd is the caller's. */
static int take_appliance(int *fd, struct err *err)
{
	static const struct meter_params shown = {.verb = "receive",
						  .cancelled = "the machine goes on where it was"};
	cleanup_fd int memory = memfd_create("torpor-receive", MFD_CLOEXEC);
	struct patience patience;
	int ret;

	if (memory < 0)
		return err_sys(err, errno, "keep what arrives");
	ret = meter_begin(&shown, err);
	if (ret < 0)
		return ret;
	meter_run();
	patience_begin(&patience, "receive", NULL);
	ret = take_messages(memory, &patience, err);
	patience_end(&patience);
	meter_end(ret);
	if (ret < 0)
		return ret;
	*fd = take_fd(&memory);
	return 0;
}

/* *paused: it is to stay so. */
static int await_go(bool *paused, struct err *err)
{
	struct move_message message;
	struct patience patience;
	int ret;

	patience_begin(&patience, "receive", "the other host to let go of the machine");
	ret = move_receive(STDIN_FILENO, &message, err);
	patience_end(&patience);
	if (ret < 0)
		return ret;
	*paused = message.type == MOVE_GO_PAUSED;
	if (message.type != MOVE_GO && !*paused)
		return err_set(err, ERR_INTEGRITY,
			       "the other side sent message %u where GO was due",
			       (unsigned)message.type);
	return 0;
}

/* Behind GO. */
static int receive_start(const char *name, bool paused, struct err *err)
{
	struct client client;
	int ret = client_open(&client, name, err);

	if (ret < 0)
		return ret;
	ret = client_call(&client, json_pack("{s:s,s:b}", "do", "release", "moved", 0),
			  CLIENT_FOREVER, NULL, err);
	if (ret >= 0 && !paused)
		ret = client_do(&client, "unpause", CLIENT_FOREVER, NULL, err);
	client_close(&client);
	return ret;
}

/* With the machine staged, in the parent. */
static int receive_finish(const char *name, bool paused, struct err *err)
{
	int ret = move_send(STDOUT_FILENO, MOVE_READY, NULL, 0, err);
	bool was_paused = false;

	if (ret < 0)
		return ret;
	ret = await_go(&was_paused, err);
	if (ret < 0)
		return ret;
	paused |= was_paused;
	ret = receive_start(name, paused, err);
	if (ret < 0)
		return ret;
	fprintf(stderr, "torpor: %s %s here\n", name, paused ? "is paused" : "runs");
	/* It runs: that the source does not hear of it is the source's to tell. */
	(void)move_send(STDOUT_FILENO, MOVE_RUNNING, name, (uint32_t)strlen(name), NULL);
	return 0;
}

/* In the child too, whose exit status is *status. */
static int receive(struct receive_args *args, int *status, struct err *err)
{
	char name[DETACH_NAME_SIZE];
	struct source source;
	int fd = -1, keeper = -1, ret = check_early(args, err);

	if (ret < 0)
		return ret;
	ret = take_appliance(&fd, err);
	if (ret < 0)
		return ret;
	ret = resume_args_open(&args->resume, "the machine that arrives", fd, NULL, &source, err);
	if (ret < 0)
		return ret;
	ret = launch_held(&source, &args->resume.instance, name, &keeper, status, err);
	if (ret <= 0)
		return ret;
	ret = receive_finish(name, args->paused, err);
	close(keeper);
	return ret < 0 ? ret : 1;
}

static int cmd_receive_run(struct options *opts, struct err *err)
{
	__attribute__((cleanup(receive_args_close))) struct receive_args args = {0};
	int status = 0, ret = cmd_receive_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	if (isatty(STDIN_FILENO) || isatty(STDOUT_FILENO))
		return err_set(err, ERR_USAGE,
			       "standard input and output are a terminal: torpor receive is run by "
			       "torpor move NAME -- ssh HOST torpor receive");
	ret = move_hello_target(STDIN_FILENO, STDOUT_FILENO, err);
	if (ret < 0)
		return ret;
	ret = receive(&args, &status, err);
	if (ret >= 0)
		return status;
	/* torpor move tells it: here it is told only if that has gone. */
	if (move_send(STDOUT_FILENO, MOVE_FAILED, err->text,
		      (uint32_t)strnlen(err->text, MOVE_TEXT_MAX), NULL) == 0)
		return command_exit_status(err);
	return ret;
}

const struct command cmd_receive = {
	.name = "receive",
	.args = "",
	.summary = "take a machine over from torpor move, on standard input and output",
	.detail =
		"It runs on the host that a machine moves to, as in torpor move NAME -- ssh HOST "
		"torpor receive. The machine is checked and staged, its ports are bound, and only "
		"then does the other host let it go.",
	.options = options,
	.run = cmd_receive_run,
};
