/* torpor move: a machine goes on on another host (move/move_stream.h). */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/printable.h"
#include "cli/await_arrival.h"
#include "cli/command.h"
#include "cli/packing_args.h"
#include "cli/patience.h"
#include "cli/save_meter.h"
#include "cli/trim.h"
#include "host/client.h"
#include "host/protocol.h"
#include "move/move_stream.h"

#define CHUNK	    65536u
#define OPTION_TRIM (OPTION_LONG_ONLY + 1)

static const struct option_spec options[] = {
	{OPTION_TRIM, "trim", NULL, "have the guest drop its caches first"},
	PACKING_OPTIONS,
	OPTION_PROGRESS_SPEC,
	{0},
};

struct move_args {
	const char *name;
	char **command; /* ends with NULL */
	struct packing_args packing;
	bool trim;
};

/* The command that leads to torpor receive. */
struct peer {
	pid_t pid;
	int in, out; /* we write to `in`, and read from `out` */
};

static int cmd_move_parse(struct options *opts, struct move_args *args, struct err *err)
{
	int id, ret;

	packing_args_init(&args->packing);
	while ((id = options_next(opts, err)) > 0) {
		ret = packing_args_take(&args->packing, id, opts->value, err);
		if (ret < 0)
			return ret;
		assert(ret > 0 || id == OPTION_TRIM);
		args->trim |= ret == 0;
	}
	if (id < 0)
		return id;
	args->name = options_operand(opts);
	if (args->name == NULL)
		return options_missing(opts, "NAME", err);
	args->command = &opts->argv[opts->operand];
	if (options_operand(opts) == NULL)
		return err_set(err, ERR_USAGE,
			       "the command is missing: torpor move %s -- ssh HOST torpor receive",
			       args->name);
	return 0;
}

static void run_peer(char **command, int in, int out, int report)
{
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	signal(SIGPIPE, SIG_DFL);
	execvp(command[0], command);
	(void)!write(report, &errno, sizeof(errno));
	_exit(127);
}

static int start_peer(struct peer *peer, char **command, struct err *err)
{
	enum { IN, OUT, REPORT, PIPES };
	int ends[PIPES][2], errnum = 0;

	for (int i = 0; i < PIPES; i++) {
		if (pipe2(ends[i], O_CLOEXEC) == 0)
			continue;
		errnum = errno;
		while (i-- > 0) {
			close(ends[i][0]);
			close(ends[i][1]);
		}
		return err_sys(err, errnum, "pipe");
	}
	peer->pid = fork();
	if (peer->pid == 0)
		run_peer(command, ends[IN][0], ends[OUT][1], ends[REPORT][1]);
	if (peer->pid < 0)
		errnum = errno;
	close(ends[IN][0]);
	close(ends[OUT][1]);
	close(ends[REPORT][1]);
	peer->in = ends[IN][1];
	peer->out = ends[OUT][0];
	/* The end that it has is closed by exec. */
	(void)!read(ends[REPORT][0], &errnum, sizeof(errnum));
	close(ends[REPORT][0]);
	return errnum == 0 ? 0 : err_set(err, ERR_FAILED, "%s: %s", command[0], strerror(errnum));
}

/* It ends by itself once its streams are closed. */
static void end_peer(struct peer *peer)
{
	struct patience patience;

	close(peer->in);
	close(peer->out);
	if (peer->pid <= 0)
		return;
	patience_begin(&patience, "move", "the command to end");
	waitpid(peer->pid, NULL, 0);
	patience_end(&patience);
}

/* The thread that sends what the machine writes. */
struct copier {
	int from, to;
	int ret;
	struct err err;
};

static void *copy_thread(void *opaque)
{
	struct copier *c = opaque;
	static char chunk[CHUNK];
	struct patience patience;
	ssize_t got = 0;

	patience_begin(&patience, "move", NULL);
	while (c->ret == 0) {
		patience_step(&patience, NULL);
		got = read(c->from, chunk, sizeof(chunk));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		patience_step(&patience, "the other host to take more of the machine");
		c->ret = move_send(c->to, MOVE_DATA, chunk, (uint32_t)got, &c->err);
	}
	/* The machine's next write fails, and its save with it. */
	close(c->from);
	patience_end(&patience);
	return NULL;
}

static json_t *move_save_request(const struct move_args *args)
{
	return json_pack("{s:s,s:b,s:b,s:b,s:b,s:i}", "do", "save", "stream", 1, "full", 1,
			 "leave-running", 1, "flat", (int)args->packing.flat, "level",
			 args->packing.level);
}

/* *gone: it failed because the other side takes no more. A machine that ends meanwhile is -EPIPE as
 * well, but then the other side has nothing to say: it waits for more. */
static int send_appliance(struct client *client, const struct peer *peer,
			  const struct move_args *args, bool *gone, struct err *err)
{
	int ends[2], ret;
	struct copier copier = {.to = peer->in};
	cleanup_json json_t *reply = NULL;
	pthread_t thread;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	copier.from = ends[0];
	ret = pthread_create(&thread, NULL, copy_thread, &copier);
	if (ret != 0) {
		close(ends[0]);
		close(ends[1]);
		return err_sys(err, ret, "start a thread");
	}
	ret = client_call_with(client, move_save_request(args), ends[1], CLIENT_FOREVER, &reply,
			       err);
	save_meter_note(reply);
	close(ends[1]);
	pthread_join(thread, NULL);
	/* That the reader has gone is why the save failed. */
	if (copier.ret < 0) {
		*gone = copier.ret == -EPIPE;
		return err_copy(err, copier.ret, &copier.err);
	}
	if (ret < 0)
		return ret;
	ret = move_send(peer->in, MOVE_END, NULL, 0, err);
	*gone = ret == -EPIPE;
	return ret;
}

/* The next message, which is `type` or an error. Its text, if any, is made printable. */
static int await_message(const struct peer *peer, enum move_type type, struct move_message *message,
			 struct err *err)
{
	struct patience patience;
	int ret;

	patience_begin(&patience, "move",
		       type == MOVE_READY ? "the other host to check and stage the machine"
					  : "the other host to start the machine");
	ret = move_receive(peer->out, message, err);
	patience_end(&patience);
	if (ret < 0)
		return ret;
	printable(message->text);
	if (message->type == MOVE_FAILED)
		return err_set(err, ERR_FAILED, "the other host refused it: %s", message->text);
	if (message->type != type)
		return err_set(err, ERR_INTEGRITY,
			       "the other side sent message %u where %u was due",
			       (unsigned)message->type, (unsigned)type);
	return 0;
}

static int move_hold(struct client *client, int *keeper, bool *paused, struct err *err)
{
	json_t *reply;
	int ends[2], ret;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	ret = client_call_with(client, json_pack("{s:s}", "do", "hold"), ends[0], CLIENT_FOREVER,
			       &reply, err);
	close(ends[0]);
	if (ret < 0) {
		close(ends[1]);
		return ret;
	}
	*keeper = ends[1];
	*paused = json_is_true(json_object_get(reply, "paused"));
	json_decref(reply);
	return 0;
}

static int move_release(struct client *client, bool moved, struct err *err)
{
	return client_call(client, json_pack("{s:s,s:b}", "do", "release", "moved", (int)moved),
			   CLIENT_FOREVER, NULL, err);
}

/* Behind the commit: it runs there, or never will, or nobody knows. */
static int move_hand_over(struct client *client, const struct peer *peer, bool paused,
			  struct err *err)
{
	const char *name = client->name;
	struct move_message message = {0};
	struct err why = {0};
	int ret = move_send(peer->in, paused ? MOVE_GO_PAUSED : MOVE_GO, NULL, 0, &why);

	if (ret >= 0)
		ret = await_message(peer, MOVE_RUNNING, &message, &why);
	if (ret >= 0) {
		ret = move_release(client, true, err);
		if (ret < 0)
			return ret;
		ret = client_wait(client, CLIENT_FOREVER, err);
		if (ret < 0)
			return ret;
		/* The command may take its time to end, or not end at all. */
		printf("%s\n", message.text);
		fflush(stdout);
		return 0;
	}
	if (message.type == MOVE_FAILED) {
		(void)move_release(client, false, NULL);
		return err_copy(err, ret, &why);
	}
	return err_set(
		err, ERR_FAILED,
		"%s; whether %s runs there is not known, so it stays paused here: look there, "
		"then torpor kill %s if it does, torpor unpause %s if not",
		why.text, name, name, name);
}

/* Until the other side is ready to start it. */
static int move_stage(struct client *client, const struct peer *peer, const struct move_args *args,
		      struct err *err)
{
	struct move_message message = {0};
	struct err why = {0};
	bool gone = false;
	int ret = send_appliance(client, peer, args, &gone, err);

	if (ret >= 0)
		return await_message(peer, MOVE_READY, &message, err);
	/* What it has said tells more than that it has gone. */
	if (gone && await_message(peer, MOVE_READY, &message, &why) < 0 &&
	    message.type == MOVE_FAILED)
		return err_copy(err, ret, &why);
	return ret;
}

static int move_held(struct client *client, const struct peer *peer, const struct move_args *args,
		     bool paused, struct err *err)
{
	int ret = move_stage(client, peer, args, err);

	/* From the commit on it may run there. */
	meter_end(ret);
	if (ret >= 0)
		ret = client_do(client, "commit", CLIENT_FOREVER, NULL, err);
	if (ret >= 0)
		return move_hand_over(client, peer, paused, err);
	/* Closing the keeper does the same, but whoever asks next may come before that is seen. */
	(void)move_release(client, false, NULL);
	return ret;
}

static int move(struct client *client, const struct peer *peer, const struct move_args *args,
		struct err *err)
{
	struct patience patience;
	int keeper = -1, ret;
	bool paused = false;

	patience_begin(&patience, "move", "the command to answer as torpor receive");
	ret = move_hello_source(peer->out, peer->in, err);
	patience_end(&patience);
	if (ret < 0)
		return ret;
	if (args->trim) {
		ret = trim(client, err);
		if (ret < 0)
			return ret;
	}
	ret = move_hold(client, &keeper, &paused, err);
	if (ret < 0)
		return ret;
	ret = save_meter_begin("move", "the machine goes on here as it was", client, err);
	if (ret == 0)
		ret = move_held(client, peer, args, paused, err);
	meter_end(ret);
	/* Held no more: before the commit it goes on as it was. */
	close(keeper);
	return ret;
}

/* The machine refuses it, too, but only when the other host has been asked. */
static int refuse_through(struct client *client, struct err *err)
{
	cleanup_json json_t *about = NULL;
	const json_t *disk;
	size_t i;
	int ret = client_do(client, "inspect", CLIENT_FOREVER, &about, err);

	json_array_foreach(json_object_get(about, "disks"), i, disk)
	{
		if (strcmp(protocol_text(disk, "mode"), "rw") == 0)
			return err_set(
				err, ERR_USAGE,
				"machine %s cannot be moved: its disk %s is written through to "
				"%s",
				client->name, protocol_text(disk, "id"),
				protocol_text(disk, "file"));
	}
	return ret;
}

static int cmd_move_run(struct options *opts, struct err *err)
{
	struct move_args args = {0};
	struct client client;
	struct peer peer = {.in = -1, .out = -1};
	int ret = cmd_move_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = await_arrival(args.name, "move", err);
	if (ret < 0)
		return ret;
	ret = client_open(&client, args.name, err);
	if (ret < 0)
		return ret;
	ret = refuse_through(&client, err);
	if (ret == 0)
		ret = start_peer(&peer, args.command, err);
	if (ret >= 0)
		ret = move(&client, &peer, &args, err);
	end_peer(&peer);
	client_close(&client);
	return ret;
}

const struct command cmd_move = {
	.name = "move",
	.args = "NAME -- COMMAND…",
	.summary = "move a running machine to another host: -- ssh HOST torpor receive",
	.detail =
		"The machine is paused, and its contents go to the command's standard input. It "
		"ends here only when the other host has all of it, checked and staged with its "
		"ports bound, and it runs there. Whatever fails before leaves it running here. If "
		"the connection is cut at the very moment of the hand-over it stays paused here, "
		"and a line says so. The new name is printed.",
	.options = options,
	.run = cmd_move_run,
};
