/*
 * Commands in the guest (guest/exec_sessions.h): a helper that says anything, and clients that do,
 * in pieces of any size. Whatever they say, what is handed on is whole frames of the right kinds,
 * no client gets more than was granted, and nothing is left at the end. With the same over a console
 * port (guest/exec_port.h), which takes as few bytes as it likes, opens and closes: what it is given
 * is padding, a greeting, and whole frames with their trailers.
 *
 * The input is whether there is a port (one byte), and steps: what (one byte), and what that needs.
 */
#include "guest/exec_port.h"
#include "guest/exec_sessions.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/num.h"
#include "tests/fuzz/fuzz.h"

#define CLIENTS 3u
#define MOST	4096u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;
static struct exec_sessions sessions;
static struct transport transport; /* used with no port */
static struct agent agent;	   /* says nothing */
static struct agent_files files;   /* its transport is ours, used with a port */
static const struct log host_log = {.fd = -1};
static struct exec_port port;
static struct chardev console; /* behind the port */
static bool console_open, with_port;
static size_t console_room;	    /* bytes that it takes */
static uint8_t last[EXEC_GREETING]; /* the greeting that what it was given began with */
static struct buf given;
static int client[CLIENTS]; /* -1: not there */
static struct buf heard[CLIENTS];
static bool begun;
static size_t unsent;

/* ---- the way to the guest ---- */

static void begin(struct transport *t)
{
	(void)t;
	fuzz_require(!begun);
	begun = true;
}

static void send_frames(struct transport *t, const void *frames, size_t len)
{
	const uint8_t *at = frames, *end = at + len;
	struct exec_frame f;

	(void)t;
	fuzz_require(len > 0);
	while (at < end) {
		fuzz_require((size_t)(end - at) >= EXEC_HEADER && exec_parse_header(at, &f) == 0);
		fuzz_require((size_t)(end - at) - EXEC_HEADER >= f.len && f.session != 0);
		fuzz_require(f.type >= EXEC_ARGS && f.type <= EXEC_CREDIT);
		at += EXEC_HEADER + f.len;
	}
	unsent += len;
}

/* Frames of sessions, and pings. */
static void check_given(void)
{
	size_t at = EXEC_PADDING + EXEC_GREETING;
	struct exec_frame f;

	for (size_t i = 0; i < given.len && i < EXEC_PADDING; i++)
		fuzz_require(given.data[i] == 0);
	if (given.len < at)
		return;
	fuzz_require(memcmp(given.data + EXEC_PADDING, last, EXEC_GREETING) == 0);
	while (given.len - at >= EXEC_HEADER) {
		fuzz_require(exec_parse_header(given.data + at, &f) == 0);
		fuzz_require(f.session != 0 ? f.type <= EXEC_CREDIT : f.type == EXEC_PING);
		if (given.len - at - EXEC_HEADER < f.len + EXEC_TRAILER)
			break;
		at += EXEC_HEADER + f.len;
		fuzz_require(memcmp(given.data + at, last + EXEC_MAGIC_SIZE, EXEC_TRAILER) == 0);
		at += EXEC_TRAILER;
	}
}

static size_t console_take(struct chardev *c, const uint8_t *data, size_t len)
{
	size_t part = console_open ? u64_min(len, console_room) : 0;

	(void)c;
	if (memcmp(last, port.greeting, sizeof(last)) != 0)
		buf_free(&given);
	memcpy(last, port.greeting, sizeof(last));
	console_room -= part;
	buf_add(&given, data, part);
	if (!buf_failed(&given))
		check_given();
	return part;
}

static bool console_is_open(const struct chardev *c)
{
	(void)c;
	return console_open;
}

static void end(struct transport *t)
{
	(void)t;
	begun = false;
	unsent = 0;
}

static size_t count_unsent(const struct transport *t)
{
	(void)t;
	return unsent;
}

static const struct transport_ops ops = {
	.begin = begin,
	.send = send_frames,
	.end = end,
	.unsent = count_unsent,
};

/* ---- clients ---- */

/* What has come is frames, and the last one is the last. */
static void check_heard(unsigned i)
{
	size_t at = 0;
	bool over = false;
	struct exec_frame f;

	while (heard[i].len - at >= EXEC_HEADER) {
		fuzz_require(exec_parse_header(heard[i].data + at, &f) == 0 && f.session == 0);
		fuzz_require((f.type >= EXEC_CREDIT && f.type <= EXEC_ERROR) ||
			     f.type == EXEC_READY);
		fuzz_require(!over);
		over = f.type == EXEC_EXIT || f.type == EXEC_ERROR;
		at += EXEC_HEADER + f.len;
		if (at > heard[i].len)
			break;
	}
}

static void hear(unsigned i)
{
	uint8_t data[MOST];
	ssize_t got;

	while (client[i] >= 0 && (got = recv(client[i], data, sizeof(data), MSG_DONTWAIT)) > 0)
		buf_add(&heard[i], data, (size_t)got);
	if (!buf_failed(&heard[i]))
		check_heard(i);
}

static void leave(unsigned i)
{
	if (client[i] >= 0)
		close(client[i]);
	client[i] = -1;
	buf_free(&heard[i]);
}

static void arrive(unsigned i, struct fuzz_input *in)
{
	uint8_t data[64];
	size_t len = fuzz_take_bytes(in, data, fuzz_take(in, 1) % sizeof(data));
	int ends[2];

	leave(i);
	fuzz_require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	client[i] = ends[0];
	(void)exec_sessions_attach(&sessions, ends[1], data, len, NULL);
}

/* ---- steps ---- */

/* A frame that is one, or bytes. */
static size_t make_words(struct fuzz_input *in, uint8_t *words, bool frame)
{
	size_t len = fuzz_take(in, 2) % MOST;

	if (!frame)
		return fuzz_take_bytes(in, words, len);
	exec_header(words, (uint32_t)fuzz_take(in, 1), (uint8_t)fuzz_take(in, 1), (uint32_t)len);
	memset(words + EXEC_HEADER, 0, len);
	fuzz_take_bytes(in, words + EXEC_HEADER, u64_min(len, 8));
	return EXEC_HEADER + len;
}

/* What only a port does. */
static void port_step(struct fuzz_input *in, unsigned what)
{
	uint8_t words[EXEC_GREETING + EXEC_HEADER + MOST];
	size_t len;

	switch (what % 8) {
	case 0:
		console_open = !console_open;
		console.opened(console.opaque, console_open);
		break;
	case 1:
		console_room = fuzz_take(in, 3);
		console.room(console.opaque);
		break;
	case 2:
		if (port.timer.fn != NULL && port.state != PORT_IDLE)
			port.timer.fn(port.timer.opaque);
		break;
	case 3: /* the answer, and then the helper's first frame */
		memcpy(words, port.greeting, EXEC_GREETING);
		exec_header(words + EXEC_GREETING, 0, EXEC_HELLO, 4);
		exec_put32(words + EXEC_GREETING + EXEC_HEADER, EXEC_VERSION);
		console.output(console.opaque, words, EXEC_GREETING + EXEC_HEADER + 4);
		break;
	case 4: /* half of it */
		console.output(console.opaque, port.greeting, fuzz_take(in, 1) % EXEC_GREETING);
		break;
	default:
		len = make_words(in, words, what % 8 > 5);
		if (console_open)
			console.output(console.opaque, words, len);
	}
}

static void step(struct fuzz_input *in)
{
	struct transport *way = with_port ? &files.transport : &transport;
	uint8_t words[EXEC_HEADER + MOST];
	unsigned what = (unsigned)fuzz_take(in, 1), i = what / 16 % CLIENTS;
	const struct err why = {.kind = ERR_FAILED, .text = "gone"};
	size_t len;

	switch (what % 16) {
	case 0:
		arrive(i, in);
		break;
	case 1:
		leave(i);
		break;
	case 2:
	case 3:
		len = make_words(in, words, what % 16 == 3);
		if (client[i] >= 0)
			(void)send(client[i], words, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 4:
		hear(i);
		break;
	case 15:
	case 14:
	case 13:
		if (with_port) {
			port_step(in, (unsigned)fuzz_take(in, 1));
			break;
		}
		goto words;
	case 5:
		unsent = 0;
		way->room(way->opaque);
		break;
	case 6:
		if (begun) {
			end(way);
			way->failed(way->opaque, &why);
		}
		break;
	case 7:
		unsent += fuzz_take(in, 4) % (8u << 20);
		break;
	case 8:
		exec_put32(words + EXEC_HEADER, EXEC_VERSION);
		exec_header(words, 0, EXEC_HELLO, 4);
		if (begun)
			way->received(way->opaque, words, EXEC_HEADER + 4);
		break;
	default:
	words:
		len = make_words(in, words, what % 16 > 9);
		if (begun)
			way->received(way->opaque, words, len);
	}
	loop_poll(&loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.at = data, .left = size};
	unsigned fds = fuzz_open_fds();

	transport = (struct transport){.ops = &ops};
	files = (struct agent_files){.transport.ops = &ops, .agent = &agent};
	agent = (struct agent){.going = true};
	console = (struct chardev){.input = console_take, .is_open = console_is_open};
	port = (struct exec_port){.port = NULL};
	console_open = false;
	console_room = 0;
	memset(last, 0, sizeof(last));
	with_port = fuzz_take(&in, 1) % 2 != 0;
	begun = false;
	unsent = 0;
	fuzz_require(loop_init(&loop, &lock, NULL) == 0);
	if (with_port) {
		exec_port_init(&port, &console, "port", &files, &host_log);
		fuzz_require(exec_port_open(&port, &loop, NULL) == 0);
	}
	exec_sessions_init(&sessions, with_port ? &port.transport : &transport, &loop);
	fuzz_require(exec_sessions_open(&sessions, NULL) == 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		client[i] = -1;
	while (in.left > 0)
		step(&in);
	for (unsigned i = 0; i < CLIENTS; i++)
		leave(i);
	exec_sessions_finish(&sessions, "over");
	fuzz_require(sessions.nclients == 0);
	exec_port_close(&port);
	buf_free(&given);
	loop_free(&loop);
	fuzz_require(fuzz_open_fds() == fds);
	return 0;
}
