/* torpor exec: run a command in the guest of a running machine. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/end_signals.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/guest_command.h"
#include "cli/patience.h"
#include "host/parse.h"
#include "host/terminal.h"

#define EXEC_WRITE_MAX	 4096u /* does not block when poll says there is room */
#define EXEC_TIMED_OUT	 124   /* as timeout(1) */
#define EXEC_KILL_AFTER	 5u    /* seconds from SIGTERM to SIGKILL to leaving */
#define EXEC_LEAVE_AFTER 3u    /* signals that did not end it */
#define EXEC_ENV_MAX	 256u

enum {
	OPTION_TIMEOUT = OPTION_LONG_ONLY + 1,
};

static const struct option_spec options[] = {
	{'i', "interactive", NULL, "hand standard input to the command"},
	{'t', "tty", NULL, "give it a terminal"},
	{'d', "detach", NULL, "do not wait for it; its output is lost"},
	{'e', "env", "K=V", "set a variable; K alone: as it is here"},
	{'w', "workdir", "DIR", "folder in the guest to run it in; default /"},
	{'u', "user", "USER[:GROUP]", "user in the guest to run it as; default root"},
	{OPTION_TIMEOUT, "timeout", "SECONDS", "end it after that, with exit status 124"},
	{0},
};

struct exec_args {
	struct guest_call call;
	const char *machine;
	uint64_t timeout; /* seconds; 0: none */
	size_t nenv;
	char *env[EXEC_ENV_MAX + 1]; /* owned */
};

struct exec_session {
	struct guest_command command;
	int signal_fd;
	bool reads;   /* standard input is not at its end */
	bool retries; /* while no agent answers: until it is there, input stays where it is */
	struct patience patience;
	bool is_patient;
	int out_fd;	    /* where `out` goes */
	const uint8_t *out; /* of the last frame: not yet written */
	size_t out_len;
	unsigned interrupted; /* signals that were handed on */
	uint64_t deadline;    /* CLOCK_MONOTONIC, ns; 0: none */
	unsigned ending;      /* steps taken since the deadline */
	int left;	      /* exit status; 0: it goes on */
};

static int exec_add_env(struct exec_args *args, const char *value, struct err *err)
{
	const char *here = strchr(value, '=') == NULL ? getenv(value) : NULL;
	char *text;

	if (value[0] == '\0' || value[0] == '=')
		return err_set(err, ERR_USAGE, "--env needs K=V, not '%s'", value);
	if (args->nenv == EXEC_ENV_MAX)
		return err_set(err, ERR_USAGE, "--env is given more than %u times", EXEC_ENV_MAX);
	if (strchr(value, '=') != NULL)
		text = strdup(value);
	else if (here == NULL)
		return 0;
	else if (asprintf(&text, "%s=%s", value, here) < 0)
		text = NULL;
	if (text == NULL)
		return err_sys(err, ENOMEM, "--env");
	args->env[args->nenv++] = text;
	return 0;
}

static int cmd_exec_option(struct exec_args *args, int id, const char *value, struct err *err)
{
	switch (id) {
	case 'i':
		args->call.flags |= EXEC_FLAG_INPUT;
		return 0;
	case 't':
		args->call.flags |= EXEC_FLAG_TTY;
		return 0;
	case 'd':
		args->call.flags |= EXEC_FLAG_DETACH;
		return 0;
	case 'e':
		return exec_add_env(args, value, err);
	case 'w':
		args->call.folder = value;
		return 0;
	case 'u':
		args->call.user = value;
		return 0;
	case OPTION_TIMEOUT:
		return parse_number(value, "--timeout", 1, 86400, &args->timeout, err);
	default:
		return option_unhandled(id, err);
	}
}

static int cmd_exec_parse(struct options *opts, struct exec_args *args, struct err *err)
{
	const uint32_t both = EXEC_FLAG_INPUT | EXEC_FLAG_TTY;
	int id;

	while ((id = options_next(opts, err)) != 0) {
		int ret = id < 0 ? id : cmd_exec_option(args, id, opts->value, err);

		if (ret < 0)
			return ret;
	}
	if ((args->call.flags & EXEC_FLAG_DETACH) != 0 &&
	    ((args->call.flags & both) != 0 || args->timeout > 0))
		return err_set(err, ERR_USAGE, "--detach excludes -i, -t and --timeout");
	if ((args->call.flags & both) == both && !isatty(STDIN_FILENO))
		return err_set(err, ERR_USAGE, "standard input is not a terminal: leave out -t");
	args->machine = options_operand(opts);
	if (args->machine == NULL)
		return options_missing(opts, "NAME", err);
	if (opts->operand == opts->argc)
		return options_missing(opts, "the command", err);
	args->call.argv = opts->argv + opts->operand;
	args->call.env = args->env;
	return 0;
}

/* From here on they are read, so that each reaches the command. */
static int exec_take_signals(struct exec_session *s, struct err *err)
{
	s->signal_fd = end_signals_open(SIGWINCH, err);
	return s->signal_fd < 0 ? s->signal_fd : 0;
}

static void exec_send_signal(struct exec_session *s, int number)
{
	uint8_t data[4];

	exec_put32(data, (uint32_t)number);
	guest_command_send(&s->command, EXEC_SIGNAL, data, sizeof(data));
}

static void exec_send_window(struct exec_session *s)
{
	uint16_t rows, columns;
	uint8_t data[4];

	if (!terminal_size(&rows, &columns))
		return;
	exec_put32(data, rows | (uint32_t)columns << 16);
	guest_command_send(&s->command, EXEC_WINDOW, data, sizeof(data));
}

static void exec_on_signal(struct exec_session *s)
{
	const int number = end_signals_take(s->signal_fd);

	if (number == 0)
		return;
	if (number == SIGWINCH) {
		exec_send_window(s);
		return;
	}
	exec_send_signal(s, number);
	/* The terminal is gone, or the guest does not listen, or not yet. */
	if (!s->command.ready || number == SIGHUP || ++s->interrupted == EXEC_LEAVE_AFTER)
		s->left = 128 + number;
}

static void exec_on_input(struct exec_session *s)
{
	uint8_t data[EXEC_FRAME_MAX];
	ssize_t got = read(STDIN_FILENO, data, u64_min(s->command.input_left, sizeof(data)));

	if (got > 0)
		guest_command_send(&s->command, EXEC_INPUT, data, (uint32_t)got);
	else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
		s->reads = false;
		guest_command_send(&s->command, EXEC_INPUT_END, NULL, 0);
	}
}

static int exec_write(struct exec_session *s, struct err *err)
{
	ssize_t put = write(s->out_fd, s->out, u64_min(s->out_len, EXEC_WRITE_MAX));

	if (put < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (put < 0)
		return err_sys(err, errno, "write to standard %s",
			       s->out_fd == STDOUT_FILENO ? "output" : "error");
	s->out += put;
	s->out_len -= (size_t)put;
	return 0;
}

/* The line of who waits is for a terminal: elsewhere standard error is the command's alone. */
static void exec_begin_patience(struct exec_session *s)
{
	s->is_patient = isatty(STDERR_FILENO);
	if (s->is_patient)
		patience_begin(&s->patience, "exec", "the guest agent");
}

static void exec_end_patience(struct exec_session *s)
{
	if (s->is_patient)
		patience_end(&s->patience);
	s->is_patient = false;
}

static int exec_on_frame(struct exec_session *s, struct err *err)
{
	struct exec_frame f;
	const uint8_t *data;
	int ret = guest_command_frame(&s->command, false, &f, &data, err);

	if (ret <= 0)
		return ret;
	if (f.type == EXEC_OUTPUT || f.type == EXEC_OUTPUT_ERR) {
		s->out_fd = f.type == EXEC_OUTPUT ? STDOUT_FILENO : STDERR_FILENO;
		s->out = data;
		s->out_len = f.len;
	}
	return 1;
}

/* SIGTERM, SIGKILL, and then it is not waited for any more. */
static void exec_on_deadline(struct exec_session *s)
{
	if (s->ending == 2 || (s->retries && !s->command.ready))
		s->left = EXEC_TIMED_OUT;
	else
		exec_send_signal(s, s->ending == 0 ? SIGTERM : SIGKILL);
	s->ending++;
	s->deadline += EXEC_KILL_AFTER * NS_PER_SECOND;
}

static bool exec_takes_input(const struct exec_session *s)
{
	return s->reads && s->command.input_left > 0 && (s->command.ready || !s->retries);
}

static int exec_wait(const struct exec_session *s, struct pollfd *fds)
{
	uint64_t now = clock_monotonic_ns();
	bool full = s->out_len > 0;
	int timeout = -1;

	if (s->deadline != 0)
		timeout = s->deadline <= now
				  ? 0
				  : (int)u64_min((s->deadline - now) / NS_PER_MS + 1, 1000000);
	fds[0] = (struct pollfd){.fd = full ? -1 : s->command.client.fd, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = full ? s->out_fd : -1, .events = POLLOUT};
	fds[2] = (struct pollfd){.fd = exec_takes_input(s) ? STDIN_FILENO : -1, .events = POLLIN};
	fds[3] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
	return poll(fds, 4, timeout) < 0 && errno != EINTR ? -errno : 0;
}

/* Until the command has ended and its output is written, or we leave. */
static int exec_serve(struct exec_session *s, struct err *err)
{
	struct pollfd fds[4];
	int ret;

	for (;;) {
		/* Frames that are here already are not announced. */
		while (s->out_len == 0 && (ret = exec_on_frame(s, err)) != 0) {
			if (ret < 0)
				return ret;
		}
		if (s->command.ready)
			exec_end_patience(s);
		if (s->left != 0 || (s->command.ended && s->out_len == 0))
			return 0;
		ret = exec_wait(s, fds);
		if (ret < 0)
			return err_sys(err, -ret, "poll");
		if (fds[1].revents != 0) {
			ret = exec_write(s, err);
			if (ret < 0)
				return ret;
		}
		if (fds[2].revents != 0)
			exec_on_input(s);
		if (fds[3].revents != 0)
			exec_on_signal(s);
		if (s->deadline != 0 && clock_monotonic_ns() >= s->deadline)
			exec_on_deadline(s);
	}
}

static int exec_status(const struct exec_session *s, const struct exec_args *args)
{
	struct err err = {0};
	int status;

	if (s->left == EXEC_TIMED_OUT && !s->command.ready) {
		err_set(&err, ERR_FAILED, "waited %llu s for the guest agent",
			(unsigned long long)args->timeout);
		command_print_error("exec", &err);
	}
	if (s->left != 0)
		return s->left;
	status = guest_command_status(&s->command, args->call.argv[0], &err);
	if (err.kind != ERR_NONE)
		command_print_error("exec", &err);
	return s->ending > 0 ? EXEC_TIMED_OUT : status;
}

/* Start it, and serve it to its end. */
static int exec_once(struct exec_session *s, const struct exec_args *args, struct err *err)
{
	bool raw = false;
	int ret = guest_command_start(&s->command, args->machine, &args->call, err);

	if (ret < 0)
		return ret;
	if (s->reads && (args->call.flags & EXEC_FLAG_TTY) != 0)
		raw = terminal_raw_both_ways();
	ret = exec_serve(s, err);
	if (raw)
		terminal_restore();
	guest_command_close(&s->command);
	return ret;
}

static int exec_command(struct exec_args *args, struct err *err)
{
	struct exec_session s = {.signal_fd = -1,
				 .reads = (args->call.flags & EXEC_FLAG_INPUT) != 0};
	int ret = exec_take_signals(&s, err);

	if (ret < 0)
		return ret;
	if ((args->call.flags & EXEC_FLAG_TTY) != 0)
		(void)terminal_size(&args->call.rows, &args->call.columns);
	if (args->timeout > 0)
		s.deadline = clock_monotonic_ns() + args->timeout * NS_PER_SECOND;
	s.retries = args->timeout > 0;
	exec_begin_patience(&s);
	do {
		ret = exec_once(&s, args, err);
	} while (ret < 0 && s.retries && s.command.may_retry && s.left == 0 &&
		 clock_monotonic_ns() < s.deadline);
	exec_end_patience(&s);
	close(s.signal_fd);
	if (ret < 0 && s.retries && s.command.may_retry) {
		command_print_error("exec", err);
		return EXEC_TIMED_OUT;
	}
	return ret < 0 ? ret : exec_status(&s, args);
}

static int cmd_exec_run(struct options *opts, struct err *err)
{
	struct exec_args args = {.call = {.folder = "", .user = ""}};
	int ret = cmd_exec_parse(opts, &args, err);

	if (ret == 0)
		ret = exec_command(&args, err);
	for (size_t i = 0; i < args.nenv; i++)
		free(args.env[i]);
	return ret;
}

const struct command cmd_exec = {
	.name = "exec",
	.args = "NAME -- COMMAND [ARGUMENT...]",
	.summary = "run a command in the guest of a running machine",
	.detail =
		"The guest needs QEMU's guest agent, which must be allowed to run programs.\n"
		"\n"
		"The exit status is the command's, 128 and the signal that ended it, 127 when "
		"there "
		"is no such\n"
		"command, 126 when it cannot be run, 125 when torpor failed.\n"
		"\n"
		"Interrupts (^C) and SIGTERM, SIGQUIT go to the command; the third ends the wait. "
		"A command whose\n"
		"client is gone gets SIGHUP, and SIGKILL three seconds later. With -d it stays.",
	.options = options,
	.run = cmd_exec_run,
};
