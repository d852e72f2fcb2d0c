/* The connections of a vsock whose guest or client does not answer, by a clock that the test has. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/unix_socket.h"
#include "tests/await.h"
#include "vsock/hub.h"

#define PATIENCE_NS (VSOCK_PATIENCE_S * NS_PER_SECOND)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;
static struct vsock_hub *hub;
static char folder[] = "/tmp/vsockXXXXXX", path[64];
static int dialer;
static uint64_t now = NS_PER_SECOND;
static unsigned looks, readies;

static uint64_t look_at_clock(void)
{
	looks++;
	return now;
}

static void is_ready(void *opaque)
{
	(void)opaque;
	readies++;
}

static void setup(void)
{
	struct vsock_ends ends;
	const struct vsock_hub_params params = {
		.loop = &loop,
		.guest_cid = VSOCK_GUEST_CID,
		.ends = &ends,
		.ready = is_ready,
		.clock = look_at_clock,
	};
	struct err err;
	int pair[2];

	cr_assert(ne(ptr, mkdtemp(folder), NULL));
	snprintf(path, sizeof(path), "%s/s", folder);
	ends.listener = unix_listen(path, &err);
	cr_assert(ge(int, ends.listener, 0), "%s", err.text);
	cr_assert(eq(int, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0));
	ends.dialer = pair[0];
	dialer = pair[1];
	cr_assert(eq(int, loop_init(&loop, &lock, &err), 0), "%s", err.text);
	pthread_mutex_lock(&lock);
	cr_assert(eq(int, vsock_hub_open(&hub, &params, &err), 0), "%s", err.text);
}

static void teardown(void)
{
	vsock_hub_close(hub);
	pthread_mutex_unlock(&lock);
	loop_free(&loop);
	close(dialer);
	unlink(path);
	rmdir(folder);
}

TestSuite(vsock_patience, .init = setup, .fini = teardown);

static int client(const char *line)
{
	int fd = unix_connect(path, UNIX_NO_WAIT);

	cr_assert(ge(int, fd, 0));
	cr_assert(eq(long, write(fd, line, strlen(line)), (long)strlen(line)));
	for (unsigned i = 0; i < 3; i++)
		loop_poll(&loop);
	return fd;
}

static bool is_open(int fd)
{
	char byte;

	return read(fd, &byte, 1) < 0 && errno == EAGAIN;
}

/* The next packet for the guest; 0: there is none. Its ports go into *hdr. */
static unsigned hear(struct virtio_vsock_hdr *hdr)
{
	static uint8_t data[VSOCK_PACKET];

	return vsock_hub_next(hub, hdr, data, sizeof(data)) ? le16toh(hdr->op) : 0;
}

/* The guest's answer to a packet. */
static void answer(const struct virtio_vsock_hdr *heard, uint16_t op)
{
	const struct virtio_vsock_hdr hdr = {
		.src_cid = heard->dst_cid,
		.dst_cid = heard->src_cid,
		.src_port = heard->dst_port,
		.dst_port = heard->src_port,
		.type = heard->type,
		.op = htole16(op),
		.buf_alloc = htole32(65536),
	};

	vsock_hub_receive(hub, &hdr, NULL);
}

/* A client whom the guest has accepted. */
static int connected(struct virtio_vsock_hdr *request)
{
	char ok[32];
	int fd = client("CONNECT 52\n");

	cr_assert(eq(uint, hear(request), VIRTIO_VSOCK_OP_REQUEST));
	answer(request, VIRTIO_VSOCK_OP_RESPONSE);
	cr_assert(ge(long, read(fd, ok, sizeof(ok)), 4L));
	return fd;
}

/* The hub sees by itself, within a second, how late it is. */
static void pass(uint64_t ns)
{
	const unsigned before = looks;
	struct pollfd event = {.fd = loop.epoll_fd, .events = POLLIN};

	now += ns;
	while (looks == before && poll(&event, 1, AWAIT_S * 1000) > 0)
		loop_poll(&loop);
	cr_assert(ne(uint, looks, before));
}

static bool is_one_of(const struct virtio_vsock_hdr *hdr, const struct virtio_vsock_hdr *a,
		      const struct virtio_vsock_hdr *b)
{
	return hdr->src_port == a->src_port || hdr->src_port == b->src_port;
}

Test(vsock_patience, who_does_not_answer_in_ten_seconds_is_closed)
{
	struct virtio_vsock_hdr open, asked, ended, hdr, second;
	int talking = connected(&open), gone = connected(&ended);
	int late[3] = {client("CONN"), client("CONNECT 53\n")};

	cr_assert(eq(uint, hear(&asked), VIRTIO_VSOCK_OP_REQUEST));
	close(gone);
	loop_poll(&loop);
	while (hear(&hdr) != 0) /* both directions have ended */
		cr_assert(eq(u16, le16toh(hdr.op), VIRTIO_VSOCK_OP_SHUTDOWN));
	vsock_hub_hold(hub, true);
	late[2] = client("CONNECT 54\n");
	readies = 0;
	pass(PATIENCE_NS - 1);
	for (unsigned i = 0; i < ARRAY_SIZE(late); i++)
		cr_assert(is_open(late[i]));
	cr_assert(eq(uint, hear(&hdr), 0));
	cr_assert(eq(uint, readies, 0));
	pass(1);
	for (unsigned i = 0; i < ARRAY_SIZE(late); i++)
		cr_assert(not(is_open(late[i])));
	cr_assert(ne(uint, readies, 0));
	/* The guest is told of what it knows. */
	cr_assert(eq(uint, hear(&hdr), VIRTIO_VSOCK_OP_RST));
	cr_assert(eq(uint, hear(&second), VIRTIO_VSOCK_OP_RST));
	cr_assert(ne(u32, hdr.src_port, second.src_port));
	cr_assert(is_one_of(&hdr, &asked, &ended));
	cr_assert(is_one_of(&second, &asked, &ended));
	cr_assert(eq(uint, hear(&hdr), 0));
	cr_assert(is_open(talking));
	close(talking);
}

/* The guest has as long for its answer as the client had for its line, and an open connection has no limit. */
Test(vsock_patience, each_answer_has_ten_seconds_of_its_own)
{
	struct virtio_vsock_hdr request, hdr;
	int fd = client("CONN"), silent;

	pass(PATIENCE_NS - 1);
	cr_assert(eq(long, write(fd, "ECT 52\n", 7), 7L));
	loop_poll(&loop);
	cr_assert(eq(uint, hear(&request), VIRTIO_VSOCK_OP_REQUEST));
	pass(PATIENCE_NS - 1);
	cr_assert(is_open(fd));
	answer(&request, VIRTIO_VSOCK_OP_RESPONSE);
	silent = client("");
	pass(100 * PATIENCE_NS);
	cr_assert(not(is_open(silent)));
	cr_assert(eq(uint, hear(&hdr), 0));
	cr_assert(eq(long, write(fd, "x", 1), 1L));
	loop_poll(&loop);
	cr_assert(eq(uint, hear(&hdr), VIRTIO_VSOCK_OP_RW));
	close(fd);
	close(silent);
}
