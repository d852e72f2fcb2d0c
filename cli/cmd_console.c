/* torpor console: sit down at a running machine. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/command.h"
#include "host/client.h"
#include "host/terminal.h"
#include "instance/escape.h"

#define CHUNK 4096u

struct session {
	int fd; /* of the machine */
	const char *name;
	bool escapes;
	bool typing; /* standard input is not at its end */
	bool left;   /* by the escape, or by the machine's end */
	enum escape_state escape;
};

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t wrote = write(fd, data, len);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return -errno;
		data += wrote;
		len -= (size_t)wrote;
	}
	return 0;
}

static void type(struct session *s)
{
	uint8_t typed[CHUNK], sent[CHUNK + 1];
	ssize_t got = read(STDIN_FILENO, typed, sizeof(typed));

	if (got <= 0) {
		s->typing = false;
		shutdown(s->fd, SHUT_WR);
		return;
	}
	if (!s->escapes) {
		s->left = write_all(s->fd, typed, (size_t)got) < 0;
		return;
	}
	for (size_t at = 0, used; at < (size_t)got && !s->left; at += used) {
		enum escape_action action;
		size_t n = escape_filter(&s->escape, typed + at, (size_t)got - at, sent, &used,
					 &action);
		struct err err;

		s->left = write_all(s->fd, sent, n) < 0 || action == ESCAPE_LEAVE;
		if (action == ESCAPE_HELP)
			fputs(ESCAPE_LIST("leaves; the machine runs on"), stderr);
		if (action == ESCAPE_BREAK && client_once(s->name, "break", &err) < 0)
			fprintf(stderr, "\r\ntorpor: %s\r\n", err.text);
	}
}

static int show(struct session *s, struct err *err)
{
	uint8_t data[CHUNK];
	ssize_t got = read(s->fd, data, sizeof(data));
	int ret = got > 0 ? write_all(STDOUT_FILENO, data, (size_t)got) : 0;

	s->left = s->left || got <= 0;
	return ret < 0 ? err_sys(err, -ret, "write to standard output") : 0;
}

static int console_serve(struct session *s, struct err *err)
{
	int ret = 0;

	while (ret == 0 && !s->left) {
		struct pollfd fds[] = {
			{.fd = s->fd, .events = POLLIN},
			{.fd = s->typing ? STDIN_FILENO : -1, .events = POLLIN},
		};

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return err_sys(err, errno, "poll");
		if (fds[1].revents != 0)
			type(s);
		if (fds[0].revents != 0)
			ret = show(s, err);
	}
	return ret;
}

static int cmd_console_run(struct options *opts, struct err *err)
{
	struct client client;
	struct session session = {.typing = true};
	const uint8_t *early;
	const char *name;
	size_t len;
	int ret = options_next(opts, err);

	if (ret < 0)
		return ret;
	ret = options_one_operand(opts, "NAME", &name, err);
	if (ret < 0)
		return ret;
	ret = client_open(&client, name, err);
	if (ret < 0)
		return ret;
	ret = client_do(&client, "console", CLIENT_FOREVER, NULL, err);
	if (ret == 0) {
		early = line_buffer_rest(&client.lines, &len);
		(void)write_all(STDOUT_FILENO, early, len);
		session.fd = client.fd;
		session.name = name;
		session.escapes = terminal_raw();
		if (session.escapes)
			fputs("torpor: Escape: ~. leaves, ~? shows all\r\n", stderr);
		ret = console_serve(&session, err);
		terminal_restore();
	}
	client_close(&client);
	return ret;
}

const struct command cmd_console = {
	.name = "console",
	.args = "NAME",
	.summary = "type at a running machine and see its output; ~. leaves",
	.detail = "Escapes count at the beginning of a line, and only on a terminal: ~. leaves, ~B "
		  "sends a\n"
		  "break (SysRq for Linux, on ttyS0), ~~ types one tilde, ~? shows these.\n"
		  "At the end of standard input the output goes on.",
	.options = options_none,
	.run = cmd_console_run,
};
