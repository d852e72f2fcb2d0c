/*
 * The server of the control protocol, and clients that say anything, in pieces of any size, with
 * descriptors beside them.
 *
 * The input is whether to compare (one byte), and a list of: who and how (one byte), how much
 * (two), and the bytes. Each piece is one read of the server's. Whatever it is: an answer is a JSON
 * object in a line of its own, there are no more of them than lines were sent, and nothing stays
 * open. To compare, what the first client has said is said again in large pieces: the answers are
 * the same.
 */
#include "host/control.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "base/unix_socket.h"
#include "format/crypto/encryption.h"
#include "host/protocol.h"
#include "tests/fuzz/fuzz.h"

#define CLIENTS	  3u
#define PASSED	  3u  /* descriptors with a piece, at most */
#define AT_ONCE	  64u /* lines whose answers find room in a socket nobody reads from meanwhile */
#define PATH_SIZE 512u

/* What somebody else may be asked to do: the second client to go, the machine to break, the first
 * client to say much that has no end. */
enum special { HANG_UP, BREAK, SAY_MUCH, SPECIALS };

struct text {
	uint8_t data[1 << 20];
	size_t len;
};

struct client {
	int fd; /* -1: has hung up, or was hung up on */
	size_t asked, answered;
	struct line_buffer lines;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;
static struct control control;
static char address[PATH_MAX];
static struct client client[CLIENTS];
static struct text said, heard; /* by and to the first client */
static bool comparable;

static void turn(void)
{
	for (int i = 0; i < 2; i++) {
		loop_stop(&loop);
		fuzz_require(loop_run(&loop, NULL) == 0);
	}
}

/* ---- the owner ---- */

static json_t *refuse(struct err *err, const char *why, const char *what)
{
	err_set(err, ERR_USAGE, why, what);
	return NULL;
}

/* As a machine does: an argument that is an object, one that is a path, a descriptor. */
static json_t *answer(void *opaque, const char *what, const json_t *request, struct err *err)
{
	const char *path = json_string_value(json_object_get(request, "path"));
	struct encryption_lock key;

	(void)opaque;
	fuzz_require(control.passed_fd < 0 || fcntl(control.passed_fd, F_GETFD) >= 0);
	if (strcmp(what, "key") == 0) {
		if (encryption_lock_decode(&key, json_object_get(request, "lock"), err) < 0)
			return NULL;
		return json_pack("{s:b,s:b}", "ok", 1, "passed", control.passed_fd >= 0);
	}
	if (strcmp(what, "save") != 0)
		return refuse(err, "unknown request '%s'", what);
	if ((path == NULL && control.passed_fd < 0) || (path != NULL && strlen(path) >= PATH_SIZE))
		return refuse(err, "%s needs an absolute \"path\"", what);
	return json_pack("{s:b,s:s*}", "ok", 1, "path", path);
}

static int hand_over(void *opaque, const char *what, int fd, const uint8_t *typed, size_t len,
		     struct err *err)
{
	(void)opaque;
	(void)what;
	(void)err;
	fuzz_require(len == 0 || __asan_region_is_poisoned((void *)typed, len) == NULL);
	close(fd);
	return 0;
}

/* ---- clients ---- */

static void check_answer(const char *line)
{
	json_t *reply = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	struct err err = {0};

	fuzz_require(json_is_object(reply) && json_is_boolean(json_object_get(reply, "ok")));
	fuzz_require_reason(protocol_check(reply, &err), &err);
	json_decref(reply);
}

static void keep(struct text *text, const void *data, size_t len)
{
	if (len > sizeof(text->data) - text->len)
		len = sizeof(text->data) - text->len;
	memcpy(text->data + text->len, data, len);
	text->len += len;
}

static void hang_up(struct client *c)
{
	close(c->fd);
	c->fd = -1;
	line_buffer_free(&c->lines);
}

/* All there is to hear. */
static void hear(struct client *c)
{
	const char *line;
	int got;

	while (c->fd >= 0 && (got = line_buffer_read(&c->lines, c->fd)) != -EAGAIN) {
		if (got <= 0) {
			hang_up(c);
			return;
		}
		while ((line = line_buffer_next(&c->lines)) != NULL) {
			check_answer(line);
			c->answered++;
			if (c == &client[0])
				keep(&heard, line, strlen(line) + 1);
		}
	}
}

static void call(struct client *c)
{
	*c = (struct client){.fd = unix_connect(address, UNIX_NO_WAIT)};
	fuzz_require(c->fd >= 0);
	turn();
}

static size_t count_lines(const uint8_t *data, size_t len)
{
	size_t n = 0;

	for (; len > 0; len--)
		n += *data++ == '\n';
	return n;
}

/* The length of the first AT_ONCE lines, or of all. */
static size_t first_lines(const uint8_t *data, size_t len)
{
	size_t lines = 0, at = 0;

	while (at < len && lines < AT_ONCE)
		lines += data[at++] == '\n';
	return at;
}

static void pass(struct msghdr *msg, void *buffer, size_t size, unsigned n)
{
	int fd[PASSED] = {0};
	struct cmsghdr *cmsg;

	memset(buffer, 0, size);
	msg->msg_control = buffer;
	msg->msg_controllen = CMSG_SPACE(n * sizeof(int));
	cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fd, n * sizeof(int)); /* standard input, so many times */
}

/* Returns how much was taken of it. */
static size_t say(struct client *c, const uint8_t *data, size_t len, unsigned passed)
{
	_Alignas(struct cmsghdr) char buffer[CMSG_SPACE(PASSED * sizeof(int))];
	struct iovec iov = {(void *)data, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	if (passed > 0)
		pass(&msg, buffer, sizeof(buffer), passed);
	sent = c->fd < 0 ? -1 : sendmsg(c->fd, &msg, MSG_NOSIGNAL);
	if (sent > 0) {
		c->asked += count_lines(data, (size_t)sent);
		if (c == &client[0])
			keep(&said, data, (size_t)sent);
	}
	/* As many bytes as a line may have are read at a time. */
	for (ssize_t n = sent; n > 0; n -= PROTOCOL_LINE_MAX)
		turn();
	hear(c);
	/* One more: a line that is too long, or the end. */
	fuzz_require(c->answered <= c->asked + 1);
	return sent > 0 ? (size_t)sent : 0;
}

static void be_special(enum special what)
{
	static uint8_t much[PROTOCOL_LINE_MAX / 2 + 1];

	if (what == HANG_UP && client[1].fd >= 0) {
		hang_up(&client[1]);
		turn();
	} else if (what == SAY_MUCH) {
		(void)say(&client[0], memset(much, 'x', sizeof(much)), sizeof(much), 0);
	} else if (what == BREAK && control.broken == NULL && !comparable) {
		control_broken(&control, json_pack("{s:b,s:s}", "ok", 1, "end", "broken"));
	}
}

static void speak(const uint8_t *data, size_t size)
{
	while (size >= 3) {
		unsigned who = data[0] % (CLIENTS + 1), how = data[0] / (CLIENTS + 1);
		size_t len = le_get16(data + 1);

		data += 3;
		size -= 3;
		if (who == CLIENTS) {
			be_special(how % SPECIALS);
			continue;
		}
		if (len > size)
			len = size;
		if (comparable && who == 0)
			len = first_lines(data, len);
		if (len > 0)
			(void)say(&client[who], data, len, comparable ? 0 : how % (PASSED + 1));
		data += len;
		size -= len;
	}
}

/* ---- all of it ---- */

static void open_all(void)
{
	fuzz_require(loop_init(&loop, &lock, NULL) == 0);
	control_init(&control, &loop);
	control.answer = answer;
	control.hand_over = hand_over;
	fuzz_require(control_listen_at(&control, address, NULL) == 0);
}

/* Who waits is told. */
static void close_all(void)
{
	control_close_listeners(&control);
	control_finish(&control, json_pack("{s:b,s:s}", "ok", 1, "end", "killed"));
	for (unsigned i = 0; i < CLIENTS; i++) {
		hear(&client[i]);
		fuzz_require(client[i].fd < 0);
	}
	loop_free(&loop);
}

static void say_again(void)
{
	static struct text before, again;

	before = heard;
	again = said;
	heard.len = said.len = 0;
	open_all();
	for (unsigned i = 0; i < CLIENTS; i++)
		call(&client[i]);
	for (size_t at = 0, sent = 1; at < again.len && sent > 0; at += sent)
		sent = say(&client[0], again.data + at,
			   first_lines(again.data + at, again.len - at), 0);
	close_all();
	fuzz_require(heard.len == before.len && memcmp(heard.data, before.data, heard.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned fds = fuzz_open_fds();

	if (size == 0)
		return 0;
	comparable = data[0] % 2 == 0;
	if (address[0] == '\0')
		snprintf(address, sizeof(address), "%s/control", fuzz_folder());
	heard.len = said.len = 0;
	open_all();
	for (unsigned i = 0; i < CLIENTS; i++)
		call(&client[i]);
	speak(data + 1, size - 1);
	close_all();
	if (comparable)
		say_again();
	fuzz_require(fuzz_open_fds() == fds);
	return 0;
}
