/* See protocol.h. */
#include "host/protocol.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/num.h"

static const char *const kind_names[] = {
	[ERR_NONE] = "none",	       [ERR_FAILED] = "failed",
	[ERR_USAGE] = "usage",	       [ERR_INCOMPATIBLE] = "incompatible",
	[ERR_INTEGRITY] = "integrity", [ERR_NOT_FOUND] = "not-found",
	[ERR_MISMATCH] = "mismatch",
};
static_assert(ARRAY_SIZE(kind_names) == ERR_MISMATCH + 1, "every kind has a name");

void line_buffer_free(struct line_buffer *lines)
{
	free(lines->data);
	*lines = (struct line_buffer){0};
}

/* Room for one descriptor beside a message; that it is rounded up to a word makes it room for
 * two. */
union passed_buffer {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};
#define PASSED_ROOM ((CMSG_SPACE(sizeof(int)) - CMSG_LEN(0)) / sizeof(int))

/* A lone descriptor becomes *passed. Of several that come at once all are closed. */
static void take_passed(struct msghdr *msg, int *passed)
{
	const struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	int fds[PASSED_ROOM];
	size_t n;

	if (cmsg == NULL || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
		return;
	n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(cmsg), n * sizeof(int));
	if (n == 1) {
		if (*passed >= 0)
			close(*passed);
		*passed = fds[0];
		return;
	}
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

static ssize_t receive_passed(int fd, void *data, size_t len, int *passed)
{
	struct iovec iov = {data, len};
	union passed_buffer buffer;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &buffer,
		.msg_controllen = sizeof(buffer),
	};
	ssize_t got;

	/* The kernel keeps descriptors away from a read. */
	if (passed == NULL)
		return read(fd, data, len);
	got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	if (got >= 0)
		take_passed(&msg, passed);
	return got;
}

int line_buffer_read(struct line_buffer *lines, int fd)
{
	return line_buffer_receive(lines, fd, NULL);
}

int line_buffer_receive(struct line_buffer *lines, int fd, int *passed)
{
	ssize_t got;

	if (lines->data == NULL) {
		lines->data = malloc(PROTOCOL_LINE_MAX);
		if (lines->data == NULL)
			return -ENOMEM;
	}
	lines->len -= lines->taken;
	memmove(lines->data, lines->data + lines->taken, lines->len);
	lines->taken = 0;
	if (lines->len == PROTOCOL_LINE_MAX)
		return -EMSGSIZE;
	got = receive_passed(fd, lines->data + lines->len, PROTOCOL_LINE_MAX - lines->len, passed);
	if (got < 0)
		return -errno;
	lines->len += (size_t)got;
	return (int)got;
}

char *line_buffer_next(struct line_buffer *lines)
{
	size_t rest;
	const uint8_t *start = line_buffer_rest(lines, &rest);
	char *line = (char *)start;
	char *end = rest > 0 ? memchr(line, '\n', rest) : NULL;

	if (end == NULL)
		return NULL;
	*end = '\0';
	lines->taken += (size_t)(end + 1 - line);
	return line;
}

const uint8_t *line_buffer_rest(const struct line_buffer *lines, size_t *len)
{
	*len = lines->len - lines->taken;
	return lines->data != NULL ? (uint8_t *)lines->data + lines->taken : NULL;
}

static void add_passed(struct msghdr *msg, union passed_buffer *buffer, int passed)
{
	struct cmsghdr *cmsg;

	*buffer = (union passed_buffer){0};
	msg->msg_control = buffer;
	msg->msg_controllen = sizeof(*buffer);
	cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &passed, sizeof(passed));
}

/* The descriptor goes with the first byte. */
static int send_all(int fd, char *data, size_t len, int passed)
{
	while (len > 0) {
		struct iovec iov = {data, len};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
		union passed_buffer buffer;
		ssize_t sent;

		if (passed >= 0)
			add_passed(&msg, &buffer, passed);
		sent = sendmsg(fd, &msg, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		passed = -1;
		data += sent;
		len -= (size_t)sent;
	}
	return 0;
}

int protocol_send(int fd, json_t *message)
{
	return protocol_send_with(fd, message, -1);
}

int protocol_send_with(int fd, json_t *message, int passed)
{
	cleanup_free char *text = json_dumps(message, JSON_COMPACT);
	size_t len;

	json_decref(message);
	if (text == NULL)
		return -ENOMEM;
	len = strlen(text);
	text[len] = '\n'; /* in place of the terminator, which is not needed any more */
	return send_all(fd, text, len + 1, passed);
}

json_t *protocol_error(const struct err *err)
{
	return json_pack("{s:b,s:s,s:s}", "ok", 0, "kind", kind_names[err->kind], "error",
			 err->text);
}

const char *protocol_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

int protocol_check(const json_t *reply, struct err *err)
{
	const char *text = protocol_text(reply, "error");
	enum err_kind kind = ERR_FAILED;

	if (json_is_true(json_object_get(reply, "ok")))
		return 0;
	for (unsigned i = ERR_FAILED; i < ARRAY_SIZE(kind_names); i++) {
		if (strcmp(protocol_text(reply, "kind"), kind_names[i]) == 0)
			kind = (enum err_kind)i;
	}
	return err_set(err, kind, "%s",
		       text[0] != '\0' ? text : "the machine answered without words");
}
