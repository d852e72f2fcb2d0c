/* The connections of a vsock without its device: who does not answer, by a clock that the test has, and who waits. */
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
	if (dialer >= 0)
		close(dialer);
	unlink(path);
	rmdir(folder);
}

TestSuite(vsock_hub, .init = setup, .fini = teardown);

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

static void say(uint16_t op, uint32_t guest, uint32_t host)
{
	const struct virtio_vsock_hdr hdr = {
		.src_cid = htole64(VSOCK_GUEST_CID),
		.dst_cid = htole64(VSOCK_HOST_CID),
		.src_port = htole32(guest),
		.dst_port = htole32(host),
		.type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
		.op = htole16(op),
		.buf_alloc = htole32(65536),
	};

	vsock_hub_receive(hub, &hdr, NULL);
}

/* The guest accepts. */
static void accept_it(const struct virtio_vsock_hdr *request)
{
	say(VIRTIO_VSOCK_OP_RESPONSE, le32toh(request->dst_port), le32toh(request->src_port));
}

/* A client whom the guest has accepted. */
static int connected(struct virtio_vsock_hdr *request)
{
	char ok[32];
	int fd = client("CONNECT 52\n");

	cr_assert(eq(uint, hear(request), VIRTIO_VSOCK_OP_REQUEST));
	accept_it(request);
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

Test(vsock_hub, who_does_not_answer_in_ten_seconds_is_closed)
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
Test(vsock_hub, each_answer_has_ten_seconds_of_its_own)
{
	struct virtio_vsock_hdr request, hdr;
	int fd = client("CONN"), silent;

	pass(PATIENCE_NS - 1);
	cr_assert(eq(long, write(fd, "ECT 52\n", 7), 7L));
	loop_poll(&loop);
	cr_assert(eq(uint, hear(&request), VIRTIO_VSOCK_OP_REQUEST));
	pass(PATIENCE_NS - 1);
	cr_assert(is_open(fd));
	accept_it(&request);
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

/* The dialer's answer to what it was asked: a socket, whose other end is returned. */
static int dial(uint32_t port)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.head = {.cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS,
			      .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct vsock_dial ask;
	struct iovec iov = {&ask, sizeof(ask)};
	const struct msghdr message = {.msg_iov = &iov,
				       .msg_iovlen = 1,
				       .msg_control = &control,
				       .msg_controllen = sizeof(control.space)};
	int pair[2];

	cr_assert(eq(long, recv(dialer, &ask, sizeof(ask), MSG_DONTWAIT), (long)sizeof(ask)));
	cr_assert(eq(u32, ask.port, port));
	cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0));
	memcpy(CMSG_DATA(&control.head), &pair[0], sizeof(int));
	cr_assert(eq(long, sendmsg(dialer, &message, 0), (long)sizeof(ask)));
	close(pair[0]);
	return pair[1];
}

/* What a guest asks for before it has reset its connections has its answer behind that, with all that followed. */
Test(vsock_hub, a_connection_of_the_guest_waits_while_held)
{
	const unsigned wanted[] = {VIRTIO_VSOCK_OP_RESPONSE, VIRTIO_VSOCK_OP_RW,
				   VIRTIO_VSOCK_OP_SHUTDOWN, 0};
	struct virtio_vsock_hdr hdr;
	int fd;

	vsock_hub_hold(hub, true);
	say(VIRTIO_VSOCK_OP_REQUEST, 1000, 80);
	fd = dial(80);
	cr_assert(eq(long, write(fd, "hello", 5), 5L));
	close(fd);
	for (unsigned i = 0; i < 3; i++)
		loop_poll(&loop);
	cr_assert(eq(uint, hear(&hdr), 0));
	cr_assert(not(vsock_hub_pending(hub)));
	vsock_hub_hold(hub, false);
	for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++)
		cr_assert(eq(uint, hear(&hdr), wanted[i]), "packet %u", i);
	/* One that fails meanwhile is told at once: the guest waits for that. */
	vsock_hub_hold(hub, true);
	say(VIRTIO_VSOCK_OP_REQUEST, 1001, 80);
	close(dialer);
	loop_poll(&loop);
	cr_assert(eq(uint, hear(&hdr), VIRTIO_VSOCK_OP_RST));
	dialer = -1;
}
