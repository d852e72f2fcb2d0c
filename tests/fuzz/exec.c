/*
 * Commands in the guest (guest/exec_sessions.h): a helper that says anything, and clients that do,
 * in pieces of any size. Whatever they say, what is handed on is whole frames of the right kinds,
 * no client gets more than was granted, and nothing is left at the end.
 *
 * The input is steps: what (one byte), and what that needs.
 */
#include "guest/exec_sessions.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/num.h"
#include "tests/fuzz/fuzz.h"

#define CLIENTS 3u
#define MOST	4096u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;
static struct exec_sessions sessions;
static struct transport transport;
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
	struct exec_frame f;

	(void)t;
	fuzz_require(len >= EXEC_HEADER && exec_parse_header(frames, &f) == 0);
	fuzz_require(len == EXEC_HEADER + f.len && f.session != 0);
	fuzz_require(f.type >= EXEC_ARGS && f.type <= EXEC_CREDIT);
	unsent += len;
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

static void step(struct fuzz_input *in)
{
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
	case 5:
		unsent = 0;
		transport.room(transport.opaque);
		break;
	case 6:
		if (begun) {
			end(&transport);
			transport.failed(transport.opaque, &why);
		}
		break;
	case 7:
		unsent += fuzz_take(in, 4) % (8u << 20);
		break;
	case 8:
		exec_put32(words + EXEC_HEADER, EXEC_VERSION);
		exec_header(words, 0, EXEC_HELLO, 4);
		if (begun)
			transport.received(transport.opaque, words, EXEC_HEADER + 4);
		break;
	default:
		len = make_words(in, words, what % 16 > 9);
		if (begun)
			transport.received(transport.opaque, words, len);
	}
	loop_poll(&loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.at = data, .left = size};
	unsigned fds = fuzz_open_fds();

	transport = (struct transport){.ops = &ops};
	begun = false;
	unsent = 0;
	fuzz_require(loop_init(&loop, &lock, NULL) == 0);
	exec_sessions_init(&sessions, &transport, &loop);
	fuzz_require(exec_sessions_open(&sessions, NULL) == 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		client[i] = -1;
	while (in.left > 0)
		step(&in);
	for (unsigned i = 0; i < CLIENTS; i++)
		leave(i);
	exec_sessions_finish(&sessions, "over");
	fuzz_require(sessions.nclients == 0);
	loop_free(&loop);
	fuzz_require(fuzz_open_fds() == fds);
	return 0;
}
