/* See guest_command.h. */
#include "cli/guest_command.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/num.h"

static int encode_args(const struct guest_call *call, struct buf *args)
{
	uint32_t nargs = 0, nenv = 0;

	while (call->argv[nargs] != NULL)
		nargs++;
	while (call->env[nenv] != NULL)
		nenv++;
	buf_add_le32(args, call->flags);
	buf_add_le16(args, call->rows);
	buf_add_le16(args, call->columns);
	buf_add_le32(args, nargs);
	buf_add_le32(args, nenv);
	buf_add(args, call->folder, strlen(call->folder) + 1);
	buf_add(args, call->user, strlen(call->user) + 1);
	for (uint32_t i = 0; i < nargs; i++)
		buf_add(args, call->argv[i], strlen(call->argv[i]) + 1);
	for (uint32_t i = 0; i < nenv; i++)
		buf_add(args, call->env[i], strlen(call->env[i]) + 1);
	if (buf_failed(args))
		return -ENOMEM;
	return args->len > EXEC_ARGS_MAX ? -E2BIG : 0;
}

int guest_command_begin(struct guest_command *c, const struct guest_call *call, struct err *err)
{
	cleanup_buf struct buf args = {0};
	const uint8_t *early;
	size_t len;
	int ret = encode_args(call, &args);

	c->input_left = EXEC_INPUT_WINDOW;
	c->ended = c->ready = c->may_retry = false;
	c->start = c->len = 0;
	if (ret == -E2BIG) {
		err_set(err, ERR_USAGE, "the command line is longer than %u bytes", EXEC_ARGS_MAX);
		return ret;
	}
	if (ret < 0)
		return err_sys(err, -ret, "run a command");
	ret = client_do(&c->client, "exec",
			call->take_ms != 0 ? (int)call->take_ms : CLIENT_FOREVER, NULL, err);
	if (ret < 0)
		return ret;
	early = line_buffer_rest(&c->client.lines, &len);
	c->len = u64_min(len, sizeof(c->in));
	memcpy(c->in, early, c->len);
	for (size_t at = 0; at < args.len; at += EXEC_FRAME_MAX)
		guest_command_send(c, EXEC_ARGS, args.data + at,
				   (uint32_t)u64_min(args.len - at, EXEC_FRAME_MAX));
	guest_command_send(c, EXEC_START, NULL, 0);
	return 0;
}

int guest_command_start(struct guest_command *c, const char *machine, const struct guest_call *call,
			struct err *err)
{
	int ret = client_open_within(&c->client, machine,
				     call->take_ms != 0 ? call->take_ms : CLIENT_CONNECT_MS, err);

	if (ret < 0)
		return ret;
	ret = guest_command_begin(c, call, err);
	if (ret < 0)
		guest_command_close(c);
	return ret;
}

void guest_command_close(struct guest_command *c)
{
	client_close(&c->client);
}

void guest_command_send(struct guest_command *c, uint8_t type, const void *data, uint32_t len)
{
	uint8_t frame[EXEC_HEADER + EXEC_FRAME_MAX];
	size_t at = 0, size = EXEC_HEADER + len;

	exec_header(frame, 0, type, len);
	if (len > 0)
		memcpy(frame + EXEC_HEADER, data, len);
	if (type == EXEC_INPUT)
		c->input_left -= len;
	while (at < size) {
		ssize_t put = send(c->client.fd, frame + at, size - at, MSG_NOSIGNAL);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return;
		at += (size_t)put;
	}
}

/* Whole and noted, or 0. */
static int take_buffered(struct guest_command *c, struct exec_frame *f, const uint8_t **data,
			 struct err *err)
{
	const uint8_t *at = c->in + c->start;

	if (c->len < EXEC_HEADER)
		return 0;
	if (exec_parse_header(at, f) < 0)
		return err_set(err, ERR_FAILED, "machine %s is of another version of torpor",
			       c->client.name);
	if (c->len < EXEC_HEADER + f->len)
		return 0;
	*data = at + EXEC_HEADER;
	c->start += EXEC_HEADER + f->len;
	c->len -= EXEC_HEADER + f->len;
	if (f->type == EXEC_ERROR)
		c->may_retry = f->session == EXEC_MAY_RETRY && !c->ready;
	if (f->type == EXEC_ERROR)
		return err_set(err, ERR_FAILED, "%.*s", (int)f->len, (const char *)*data);
	c->ready = true;
	if (f->type == EXEC_CREDIT && f->len == 4)
		c->input_left += exec_get32(*data);
	if (f->type == EXEC_EXIT && f->len == 5) {
		c->ended = true;
		c->how = (*data)[0];
		c->value = exec_get32(*data + 1);
	}
	return 1;
}

int guest_command_frame(struct guest_command *c, bool wait, struct exec_frame *frame,
			const uint8_t **data, struct err *err)
{
	int ret;

	if (c->ended)
		return 0;
	while ((ret = take_buffered(c, frame, data, err)) == 0) {
		ssize_t got;

		if (c->start > 0)
			memmove(c->in, c->in + c->start, c->len);
		c->start = 0;
		got = recv(c->client.fd, c->in + c->len, sizeof(c->in) - c->len,
			   wait ? 0 : MSG_DONTWAIT);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return 0;
		if (got <= 0)
			return err_set(err, ERR_FAILED,
				       "machine %s has ended before the command did",
				       c->client.name);
		c->len += (size_t)got;
	}
	return ret;
}

int guest_command_status(const struct guest_command *c, const char *name, struct err *err)
{
	int error = (int)c->value;

	switch (c->how) {
	case EXEC_EXITED:
		return (int)(c->value & 0xff);
	case EXEC_KILLED:
		return 128 + (int)(c->value & 0x7f);
	case EXEC_STARTED:
		return 0;
	case EXEC_NO_COMMAND:
		err_sys(err, error, "%s in the guest", name);
		return error == ENOENT || error == ENOTDIR ? 127 : 126;
	case EXEC_NO_FOLDER:
		err_sys(err, error, "enter the folder in the guest");
		return 126;
	case EXEC_NO_USER:
		if (error == 0)
			err_set(err, ERR_FAILED, "the guest has no such user or group");
		else
			err_sys(err, error, "become the user in the guest");
		return 126;
	case EXEC_NO_TTY:
		err_sys(err, error, "open a terminal in the guest");
		return 126;
	default:
		err_sys(err, error, "make a process in the guest");
		return 126;
	}
}
