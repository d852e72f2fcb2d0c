/* virtio-vsock (virtio 1.2 §5.10): a guest's driver, also one that lies, clients of the host, and the dialer that
 * the test is. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <linux/virtio_vsock.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/unix_socket.h"
#include "devices/virtio/vsock.h"
#include "tests/await.h"
#include "tests/unit/fake_driver.h"
#include "vsock/hub.h"

enum { RX, TX, EVENT, QUEUES };

#define RING	 64u
#define HEADER	 ((uint32_t)sizeof(struct virtio_vsock_hdr))
#define TX_AT	 FAKE_BUFFERS
#define RX_AT(n) (0x100000u + (n)*0x2000u)
#define ROOM	 4096u
#define EVENT_AT 0x1f0000u

static struct fake fake, woken;
static char folder[] = "/tmp/vsockXXXXXX", path[64];
static int dialer = -1; /* the test's end */
static unsigned given;	/* buffers to receive into */
static uint32_t given_room;
static uint32_t guest_alloc = 65536, guest_fwd;

static struct vsock_ends make_ends(void)
{
	struct vsock_ends ends;
	struct err err;
	int pair[2];

	if (dialer >= 0)
		close(dialer);
	ends.listener = unix_listen(path, &err);
	cr_assert(ge(int, ends.listener, 0), "%s", err.text);
	cr_assert(eq(int, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0));
	ends.dialer = pair[0];
	dialer = pair[1];
	return ends;
}

static void plug_into(struct fake *f, struct vsock_ends ends)
{
	const struct virtio_backend backend = {.vsock = &ends, .cid = VSOCK_GUEST_CID};

	fake_init(f);
	fake_plug(f, VIRTIO_TYPE_VSOCK, "vsock", &backend);
	cr_assert(eq(int, ends.listener, -1));
}

static void give(unsigned n, uint32_t room)
{
	given_room = room;
	for (; n > 0; n--) {
		const struct fake_seg seg = {RX_AT(given++ % RING), HEADER + room, true};

		(void)fake_post(&fake, RX, &seg, 1);
	}
	fake_kick(&fake, RX);
}

static void give_event(struct fake *f)
{
	const struct fake_seg seg = {EVENT_AT, 4, true};

	(void)fake_post(f, EVENT, &seg, 1);
	fake_kick(f, EVENT);
}

static void plug(uint64_t features)
{
	cr_assert(ne(ptr, mkdtemp(folder), NULL));
	snprintf(path, sizeof(path), "%s/s", folder);
	plug_into(&fake, make_ends());
	fake_bring_up(&fake, VIRTIO_FEATURE(0) | features, QUEUES, RING);
}

static void teardown(void)
{
	if (fake.v != NULL)
		fake_free(&fake);
	if (woken.v != NULL)
		fake_free(&woken);
	unlink(path);
	rmdir(folder);
}

TestSuite(vsock, .fini = teardown);

static struct virtio_vsock_hdr header(uint16_t op, uint32_t guest, uint32_t host, uint32_t len)
{
	return (struct virtio_vsock_hdr){
		.src_cid = htole64(VSOCK_GUEST_CID),
		.dst_cid = htole64(VSOCK_HOST_CID),
		.src_port = htole32(guest),
		.dst_port = htole32(host),
		.len = htole32(len),
		.type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
		.op = htole16(op),
		.buf_alloc = htole32(guest_alloc),
		.fwd_cnt = htole32(guest_fwd),
	};
}

static void tell(const struct virtio_vsock_hdr *hdr, uint32_t bytes)
{
	const struct fake_seg seg = {TX_AT, HEADER + bytes, false};

	memcpy(fake_ram(&fake, TX_AT, HEADER), hdr, HEADER);
	(void)fake_post(&fake, TX, &seg, 1);
	fake_kick(&fake, TX);
	fake_loop(&fake);
}

static void say(uint16_t op, uint32_t guest, uint32_t host)
{
	const struct virtio_vsock_hdr hdr = header(op, guest, host, 0);

	tell(&hdr, 0);
}

static void say_data(uint32_t guest, uint32_t host, const void *data, uint32_t len)
{
	const struct virtio_vsock_hdr hdr = header(VIRTIO_VSOCK_OP_RW, guest, host, len);

	memcpy(fake_ram(&fake, TX_AT + HEADER, len), data, len);
	tell(&hdr, len);
}

static void say_shutdown(uint32_t guest, uint32_t host, uint32_t flags)
{
	struct virtio_vsock_hdr hdr = header(VIRTIO_VSOCK_OP_SHUTDOWN, guest, host, 0);

	hdr.flags = htole32(flags);
	tell(&hdr, 0);
}

static const char *received; /* the data of the last packet */
static uint32_t host_fwd, host_alloc;

/* The next packet for the guest; its operation, or 0. Another buffer is given for it. *len of a shutdown are its
 * flags. */
static unsigned hear(uint32_t *guest, uint32_t *host, uint32_t *len)
{
	static unsigned next;
	struct virtio_vsock_hdr hdr;
	uint32_t id, bytes;
	uint64_t at;

	fake_loop(&fake);
	if (!fake_used(&fake, RX, &id, &bytes))
		return 0;
	at = RX_AT(next++ % RING);
	memcpy(&hdr, fake_ram(&fake, at, HEADER), HEADER);
	received = fake_ram(&fake, at + HEADER, ROOM);
	cr_assert(eq(u32, bytes, HEADER + le32toh(hdr.len)));
	cr_assert(eq(u64, le64toh(hdr.dst_cid), VSOCK_GUEST_CID));
	*guest = le32toh(hdr.dst_port);
	*host = le32toh(hdr.src_port);
	*len = le32toh(hdr.len);
	host_fwd = le32toh(hdr.fwd_cnt);
	host_alloc = le32toh(hdr.buf_alloc);
	if (le16toh(hdr.op) == VIRTIO_VSOCK_OP_SHUTDOWN)
		*len = le32toh(hdr.flags);
	give(1, given_room);
	return le16toh(hdr.op);
}

static bool hears(unsigned op, uint32_t guest, uint32_t host)
{
	uint32_t to, from, len;

	return hear(&to, &from, &len) == op && to == guest && from == host;
}

static bool hears_nothing(void)
{
	uint32_t to, from, len;

	return hear(&to, &from, &len) == 0;
}

static int client(const char *line)
{
	int fd = unix_connect(path, UNIX_NO_WAIT);

	cr_assert(ge(int, fd, 0));
	cr_assert(eq(long, write(fd, line, strlen(line)), (long)strlen(line)));
	for (unsigned i = 0; i < 3; i++)
		fake_loop(&fake);
	return fd;
}

static bool is_closed(int fd)
{
	char byte;

	for (unsigned i = 0; i < 3; i++)
		fake_loop(&fake);
	return read(fd, &byte, 1) == 0;
}

static bool reads(int fd, const char *text)
{
	char got[64] = "";

	fake_loop(&fake);
	return read(fd, got, strlen(text)) == (ssize_t)strlen(text) && strcmp(got, text) == 0;
}

/* A client that is connected to the guest's port 52. */
static int connected(uint32_t *host)
{
	char ok[32];
	uint32_t guest, len;
	int fd = client("CONNECT 52\n");

	cr_assert(eq(uint, hear(&guest, host, &len), VIRTIO_VSOCK_OP_REQUEST));
	cr_assert(eq(u32, guest, 52));
	say(VIRTIO_VSOCK_OP_RESPONSE, 52, *host);
	snprintf(ok, sizeof(ok), "OK %u\n", *host);
	cr_assert(reads(fd, ok));
	return fd;
}

/* The guest's port 1000 is connected to the host's 80; returns the host's end. */
static int accepted(void)
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

	say(VIRTIO_VSOCK_OP_REQUEST, 1000, 80);
	cr_assert(eq(long, recv(dialer, &ask, sizeof(ask), MSG_DONTWAIT), (long)sizeof(ask)));
	cr_assert(eq(u32, ask.port, 80));
	cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0));
	memcpy(CMSG_DATA(&control.head), &pair[0], sizeof(int));
	cr_assert(eq(long, sendmsg(dialer, &message, 0), (long)sizeof(ask)));
	close(pair[0]);
	cr_assert(hears(VIRTIO_VSOCK_OP_RESPONSE, 1000, 80));
	cr_assert(eq(u32, host_alloc, VSOCK_BUFFER));
	return pair[1];
}

Test(vsock, a_client_reaches_a_port_of_the_guest)
{
	uint32_t host, guest, from, len;
	int fd;

	plug(0);
	cr_assert(eq(u32, fake_read(&fake, R_CONFIG), VSOCK_GUEST_CID));
	cr_assert(eq(u32, fake_read(&fake, R_CONFIG + 4), 0));
	give(8, ROOM);
	fd = connected(&host);
	cr_assert(eq(long, write(fd, "hello", 5), 5));
	cr_assert(eq(uint, hear(&guest, &from, &len), VIRTIO_VSOCK_OP_RW));
	cr_assert(eq(u32, len, 5));
	cr_assert(eq(int, memcmp(received, "hello", 5), 0));
	say_data(52, host, "and back", 8);
	cr_assert(reads(fd, "and back"));
	cr_assert(hears_nothing());
	close(fd);
}

Test(vsock, what_is_written_behind_the_line_is_for_the_guest)
{
	uint32_t host, guest, len;
	int fd;

	plug(0);
	give(8, ROOM);
	fd = client("CONNECT 7\nGET /\n");
	cr_assert(eq(uint, hear(&guest, &host, &len), VIRTIO_VSOCK_OP_REQUEST));
	cr_assert(hears_nothing());
	say(VIRTIO_VSOCK_OP_RESPONSE, 7, host);
	cr_assert(eq(uint, hear(&guest, &host, &len), VIRTIO_VSOCK_OP_RW));
	cr_assert(eq(int, memcmp(received, "GET /\n", 6), 0));
	close(fd);
}

Test(vsock, a_line_may_come_in_pieces)
{
	uint32_t host, guest, len;
	int fd;

	plug(0);
	give(8, ROOM);
	fd = client("CONN");
	cr_assert(eq(long, write(fd, "ECT 9", 5), 5));
	cr_assert(hears_nothing());
	cr_assert(eq(long, write(fd, "9\n", 2), 2));
	cr_assert(eq(uint, hear(&guest, &host, &len), VIRTIO_VSOCK_OP_REQUEST));
	cr_assert(eq(u32, guest, 99));
	close(fd);
}

Test(vsock, what_is_no_line_is_closed)
{
	static const char *const lines[] = {"CONNECT \n",
					    "CONNECT x\n",
					    "connect 1\n",
					    "CONNECT 1 2\n",
					    "CONNECT -1\n",
					    "CONNECT 4294967295\n",
					    "CONNECT 99999999999999999999999999\n",
					    "\n",
					    "CONNECT 000000000000000000000000000000000001\n"};

	plug(0);
	give(8, ROOM);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		int fd = client(lines[i]);
		char byte;

		errno = 0;
		/* Unread data makes it an error. */
		cr_assert(le(long, read(fd, &byte, 1), 0L), "%s", lines[i]);
		cr_assert(ne(int, errno, EAGAIN), "%s", lines[i]);
		close(fd);
	}
	cr_assert(hears_nothing());
}

Test(vsock, a_guest_that_refuses_closes_the_client)
{
	uint32_t host, guest, len;
	int fd;

	plug(0);
	give(8, ROOM);
	fd = client("CONNECT 52\n");
	cr_assert(eq(uint, hear(&guest, &host, &len), VIRTIO_VSOCK_OP_REQUEST));
	say(VIRTIO_VSOCK_OP_RST, 52, host);
	cr_assert(is_closed(fd));
	cr_assert(hears_nothing());
}

Test(vsock, a_client_that_does_not_wait_is_taken_back)
{
	uint32_t host, guest, len;

	plug(0);
	give(8, ROOM);
	close(client("CONNECT 52\n"));
	/* It went away before or behind the request. */
	if (hear(&guest, &host, &len) == VIRTIO_VSOCK_OP_REQUEST)
		cr_assert(hears(VIRTIO_VSOCK_OP_RST, 52, host));
	cr_assert(hears_nothing());
	close(client("CONNECT "));
	cr_assert(hears_nothing());
}

Test(vsock, a_guest_reaches_the_socket_of_a_port)
{
	uint32_t host, guest, len;
	int fd;

	plug(VIRTIO_EVENT_IDX | VIRTIO_INDIRECT_DESC);
	give(8, ROOM);
	fd = accepted();
	say_data(1000, 80, "question", 8);
	cr_assert(reads(fd, "question"));
	cr_assert(eq(long, write(fd, "answer", 6), 6));
	cr_assert(eq(uint, hear(&guest, &host, &len), VIRTIO_VSOCK_OP_RW));
	cr_assert(eq(int, memcmp(received, "answer", 6), 0));
	close(fd);
}

Test(vsock, a_port_that_nobody_listens_at_is_reset)
{
	struct vsock_dial ask;

	plug(0);
	give(8, ROOM);
	say(VIRTIO_VSOCK_OP_REQUEST, 1000, 80);
	cr_assert(hears_nothing());
	cr_assert(eq(long, recv(dialer, &ask, sizeof(ask), MSG_DONTWAIT), (long)sizeof(ask)));
	ask.error = -ECONNREFUSED;
	cr_assert(eq(long, send(dialer, &ask, sizeof(ask), 0), (long)sizeof(ask)));
	cr_assert(hears(VIRTIO_VSOCK_OP_RST, 1000, 80));
	/* A dialer that ends, too. */
	say(VIRTIO_VSOCK_OP_REQUEST, 1001, 80);
	close(dialer);
	dialer = -1;
	cr_assert(hears(VIRTIO_VSOCK_OP_RST, 1001, 80));
	say(VIRTIO_VSOCK_OP_REQUEST, 1002, 80);
	cr_assert(hears(VIRTIO_VSOCK_OP_RST, 1002, 80));
}

Test(vsock, an_answer_of_the_dialer_that_nobody_waits_for_is_dropped)
{
	const struct vsock_dial lies[] = {{.slot = 0, .serial = 77, .error = -ENOENT},
					  {.slot = VSOCK_CONNECTIONS, .error = -ENOENT},
					  {.slot = UINT32_MAX, .error = -ENOENT}};

	plug(0);
	give(8, ROOM);
	say(VIRTIO_VSOCK_OP_REQUEST, 1000, 80);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++)
		cr_assert(ge(long, send(dialer, &lies[i], sizeof(lies[i]), 0), 1L));
	cr_assert(hears_nothing());
	say(VIRTIO_VSOCK_OP_RST, 1000, 80);
	cr_assert(hears_nothing());
}

Test(vsock, without_anybody_behind_it_all_is_reset)
{
	plug_into(&fake, (struct vsock_ends)VSOCK_ENDS_CLOSED);
	fake_bring_up(&fake, 0, QUEUES, RING);
	give(8, ROOM);
	say(VIRTIO_VSOCK_OP_REQUEST, 1000, 80);
	cr_assert(hears(VIRTIO_VSOCK_OP_RST, 1000, 80));
}

/* §5.10.6.3: what the guest has no room for stays here, and it is asked once. */
Test(vsock, no_more_is_sent_than_the_guest_has_room_for)
{
	static char data[300];
	uint32_t host, guest, len, total = 0;
	unsigned op;
	int fd;

	plug(0);
	give(16, 64);
	guest_alloc = 100;
	fd = accepted();
	cr_assert(eq(long, write(fd, data, sizeof(data)), 300));
	while ((op = hear(&guest, &host, &len)) == VIRTIO_VSOCK_OP_RW)
		total += len;
	cr_assert(eq(u32, total, 100));
	cr_assert(eq(uint, op, VIRTIO_VSOCK_OP_CREDIT_REQUEST));
	cr_assert(hears_nothing());
	/* Still nothing: no second question. */
	say(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, 80);
	cr_assert(hears_nothing());
	guest_fwd = 30;
	say(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, 80);
	cr_assert(eq(uint, hear(&guest, &host, &len), VIRTIO_VSOCK_OP_RW));
	cr_assert(eq(u32, len, 30));
	cr_assert(hears(VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1000, 80));
	/* An older count is no news, and no lie. */
	guest_fwd = 10;
	say(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, 80);
	cr_assert(hears_nothing());
	guest_fwd = 130;
	say(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, 80);
	cr_assert(eq(uint, hear(&guest, &host, &len), VIRTIO_VSOCK_OP_RW));
	cr_assert(eq(u32, len, 64));
	close(fd);
}

Test(vsock, a_guest_that_has_received_more_than_it_was_sent_is_reset)
{
	int fd;

	plug(0);
	give(8, ROOM);
	fd = accepted();
	guest_fwd = 1;
	say(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, 80);
	cr_assert(hears(VIRTIO_VSOCK_OP_RST, 1000, 80));
	cr_assert(is_closed(fd));
}

/* As a driver does it that keeps to its credit: all arrives, in order, whoever reads slowly. */
Test(vsock, credit_holds_a_guest_back_and_nothing_is_lost)
{
	static uint8_t data[16384], got[16384];
	uint32_t guest, host, len, sent = 0, read_bytes = 0, seed = 1;
	unsigned stalls = 0;
	int fd;

	plug(0);
	give(16, ROOM);
	fd = accepted();
	while (read_bytes < 4u << 20) {
		while (VSOCK_BUFFER - (sent - host_fwd) >= sizeof(data)) {
			for (size_t i = 0; i < sizeof(data); i++)
				data[i] = (uint8_t)((sent + i) * 2654435761u >> 24);
			say_data(1000, 80, data, sizeof(data));
			sent += (uint32_t)sizeof(data);
			while ((len = hear(&guest, &host, &len)) != 0)
				cr_assert(eq(u32, len, VIRTIO_VSOCK_OP_CREDIT_UPDATE));
		}
		stalls++;
		seed = seed * 1664525u + 1013904223u;
		for (ssize_t n; (n = read(fd, got, 1 + seed % sizeof(got))) > 0;) {
			for (ssize_t i = 0; i < n; i++, read_bytes++)
				cr_assert(
					eq(u8, got[i], (uint8_t)(read_bytes * 2654435761u >> 24)));
		}
		while ((len = hear(&guest, &host, &len)) != 0)
			cr_assert(eq(u32, len, VIRTIO_VSOCK_OP_CREDIT_UPDATE));
	}
	cr_assert(ge(uint, stalls, 2));
	close(fd);
}

Test(vsock, a_guest_that_sends_more_than_its_credit_is_reset)
{
	static uint8_t data[65536];
	uint32_t guest, host, len;
	unsigned packets = 0, op = 0;
	int fd;

	plug(0);
	give(16, ROOM);
	fd = accepted();
	for (; packets < 64 && op != VIRTIO_VSOCK_OP_RST; packets++) {
		say_data(1000, 80, data, sizeof(data));
		op = hear(&guest, &host, &len);
	}
	cr_assert(lt(uint, packets, 64));
	/* One packet that alone is more. */
	fd = accepted();
	{
		const struct virtio_vsock_hdr hdr =
			header(VIRTIO_VSOCK_OP_RW, 1000, 80, VSOCK_BUFFER + 1);

		tell(&hdr, VSOCK_BUFFER + 1);
	}
	cr_assert(hears(VIRTIO_VSOCK_OP_RST, 1000, 80));
	close(fd);
}

/* §5.10.6.4 */
Test(vsock, what_belongs_to_no_connection_is_reset)
{
	static const uint16_t ops[] = {VIRTIO_VSOCK_OP_INVALID,
				       VIRTIO_VSOCK_OP_RESPONSE,
				       VIRTIO_VSOCK_OP_SHUTDOWN,
				       VIRTIO_VSOCK_OP_RW,
				       VIRTIO_VSOCK_OP_CREDIT_REQUEST,
				       8,
				       0xffff};
	struct virtio_vsock_hdr hdr;

	plug(0);
	give(16, ROOM);
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		say(ops[i], 5, 6);
		cr_assert(hears(VIRTIO_VSOCK_OP_RST, 5, 6), "%u", ops[i]);
	}
	say(VIRTIO_VSOCK_OP_RST, 5, 6);
	cr_assert(hears_nothing());
	hdr = header(VIRTIO_VSOCK_OP_REQUEST, 5, 6, 0);
	hdr.type = htole16(VIRTIO_VSOCK_TYPE_SEQPACKET);
	tell(&hdr, 0);
	cr_assert(hears(VIRTIO_VSOCK_OP_RST, 5, 6));
	/* No other guest is reachable, and nobody else sends here. */
	hdr = header(VIRTIO_VSOCK_OP_REQUEST, 5, 6, 0);
	hdr.dst_cid = htole64(4);
	tell(&hdr, 0);
	cr_assert(hears(VIRTIO_VSOCK_OP_RST, 5, 6));
	hdr = header(VIRTIO_VSOCK_OP_REQUEST, 5, 6, 0);
	hdr.src_cid = htole64(4);
	tell(&hdr, 0);
	cr_assert(hears_nothing());
}

Test(vsock, what_no_connection_in_that_state_has_resets_it)
{
	static const uint16_t ops[] = {VIRTIO_VSOCK_OP_INVALID, VIRTIO_VSOCK_OP_REQUEST,
				       VIRTIO_VSOCK_OP_RESPONSE, 9};

	plug(0);
	give(16, ROOM);
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		int fd = accepted();

		say(ops[i], 1000, 80);
		cr_assert(hears(VIRTIO_VSOCK_OP_RST, 1000, 80), "%u", ops[i]);
		cr_assert(is_closed(fd));
		close(fd);
	}
	/* Data before the answer. */
	say(VIRTIO_VSOCK_OP_REQUEST, 1001, 80);
	say_data(1001, 80, "x", 1);
	cr_assert(hears(VIRTIO_VSOCK_OP_RST, 1001, 80));
	cr_assert(hears_nothing());
}

Test(vsock, a_flood_of_requests_is_held_back_by_its_answers)
{
	const struct fake_seg seg = {TX_AT, HEADER, false};
	unsigned sent = 0, taken = 0, answers = 0;
	uint32_t guest, host, len, id;

	plug(0);
	/* Nothing to receive into: connections and answers fill up, and then the queue stays as it is. */
	for (unsigned turn = 0; turn < 40; turn++) {
		for (; sent - taken < RING / 2; sent++) {
			struct virtio_vsock_hdr hdr = header(VIRTIO_VSOCK_OP_RW, sent, 80, 0);

			memcpy(fake_ram(&fake, TX_AT, HEADER), &hdr, HEADER);
			(void)fake_post(&fake, TX, &seg, 1);
			fake_kick(&fake, TX);
		}
		while (fake_used(&fake, TX, &id, &len))
			taken++;
	}
	cr_assert(eq(uint, taken, VSOCK_REPLIES));
	give(RING / 2, ROOM);
	for (unsigned turn = 0; turn < 40; turn++) {
		while (hear(&guest, &host, &len) == VIRTIO_VSOCK_OP_RST)
			answers++;
		while (fake_used(&fake, TX, &id, &len))
			taken++;
		if (answers == sent)
			break;
	}
	cr_assert(eq(uint, taken, sent));
	cr_assert(eq(uint, answers, sent));
}

Test(vsock, connections_of_a_guest_are_counted)
{
	uint32_t guest, host, len;
	unsigned refused = 0;

	plug(0);
	give(RING / 2, ROOM);
	for (unsigned i = 0; i < VSOCK_CONNECTIONS + 10; i++) {
		struct vsock_dial ask;

		say(VIRTIO_VSOCK_OP_REQUEST, i, 80);
		(void)recv(dialer, &ask, sizeof(ask), MSG_DONTWAIT);
		refused += hear(&guest, &host, &len) == VIRTIO_VSOCK_OP_RST;
	}
	cr_assert(eq(uint, refused, 10));
	/* A client finds no room either. */
	cr_assert(is_closed(client("")));
}

static bool broken(void)
{
	return (fake_read(&fake, R_STATUS) & VIRTIO_NEEDS_RESET) != 0;
}

Test(vsock, a_packet_shorter_than_its_header_needs_a_reset)
{
	const struct fake_seg seg = {TX_AT, HEADER - 1, false};

	plug(0);
	(void)fake_post(&fake, TX, &seg, 1);
	fake_kick(&fake, TX);
	cr_assert(broken());
}

Test(vsock, a_packet_shorter_than_it_says_needs_a_reset)
{
	const struct virtio_vsock_hdr hdr = header(VIRTIO_VSOCK_OP_RW, 1, 2, UINT32_MAX);

	plug(0);
	tell(&hdr, 100);
	cr_assert(broken());
}

Test(vsock, a_buffer_that_holds_no_packet_needs_a_reset)
{
	plug(0);
	give(1, 0);
	cr_assert(not(broken()));
	say(VIRTIO_VSOCK_OP_RW, 1, 2);
	cr_assert(broken());
}

Test(vsock, a_guest_that_ends_a_connection_gets_a_reset_for_it)
{
	int fd;

	plug(0);
	give(8, ROOM);
	fd = accepted();
	say_data(1000, 80, "last", 4);
	say_shutdown(1000, 80, VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
	cr_assert(hears(VIRTIO_VSOCK_OP_RST, 1000, 80));
	cr_assert(reads(fd, "last"));
	cr_assert(is_closed(fd));
	cr_assert(hears_nothing());
	close(fd);
}

/* As much as its socket does not take at once; returns how much. */
static uint32_t fill_client(void)
{
	static uint8_t data[16384];
	uint32_t guest, host, len, sent = 0;

	while (VSOCK_BUFFER - (sent - host_fwd) >= sizeof(data)) {
		say_data(1000, 80, data, sizeof(data));
		sent += (uint32_t)sizeof(data);
		while (hear(&guest, &host, &len) != 0)
			;
	}
	return sent;
}

static uint32_t read_to_the_end(int fd)
{
	static uint8_t got[65536];
	uint32_t total = 0;
	ssize_t n = 1;

	for (unsigned turn = 0; turn < 1000 && n != 0; turn++) {
		fake_loop(&fake);
		while ((n = read(fd, got, sizeof(got))) > 0)
			total += (uint32_t)n;
	}
	cr_assert(eq(long, n, 0L));
	return total;
}

Test(vsock, what_a_guest_has_sent_before_it_ended_reaches_a_slow_client)
{
	uint32_t sent;
	int fd, again;

	plug(0);
	give(16, ROOM);
	fd = accepted();
	sent = fill_client();
	say_shutdown(1000, 80, VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
	cr_assert(hears(VIRTIO_VSOCK_OP_RST, 1000, 80));
	/* The numbers are free for another connection. */
	again = accepted();
	cr_assert(eq(u32, read_to_the_end(fd), sent));
	say_data(1000, 80, "new", 3);
	cr_assert(reads(again, "new"));
	close(fd);
	/* One that is reset behind the end of its data, and one that is just reset. */
	(void)fill_client();
	say_shutdown(1000, 80, VIRTIO_VSOCK_SHUTDOWN_SEND);
	say(VIRTIO_VSOCK_OP_RST, 1000, 80);
	cr_assert(ge(u32, read_to_the_end(again), VSOCK_BUFFER));
	close(again);
	fd = accepted();
	sent = fill_client();
	say(VIRTIO_VSOCK_OP_RST, 1000, 80);
	cr_assert(lt(u32, read_to_the_end(fd), sent));
	close(fd);
}

Test(vsock, a_client_that_does_not_want_the_rest_ends_it)
{
	struct vsock_dial ask;
	int fd;

	plug(0);
	give(16, ROOM);
	fd = accepted();
	(void)fill_client();
	say_shutdown(1000, 80, VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
	cr_assert(hears(VIRTIO_VSOCK_OP_RST, 1000, 80));
	close(fd);
	cr_assert(hears_nothing());
	/* All places are free again. */
	for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) {
		say(VIRTIO_VSOCK_OP_REQUEST, i, 80);
		cr_assert(ge(long, recv(dialer, &ask, sizeof(ask), MSG_DONTWAIT), 1L), "%u", i);
	}
}

Test(vsock, each_direction_ends_by_itself)
{
	uint32_t guest, host, len;
	int fd;

	plug(0);
	give(16, ROOM);
	fd = accepted();
	say_shutdown(1000, 80, VIRTIO_VSOCK_SHUTDOWN_SEND);
	cr_assert(is_closed(fd));
	cr_assert(eq(long, write(fd, "still", 5), 5));
	cr_assert(eq(uint, hear(&guest, &host, &len), VIRTIO_VSOCK_OP_RW));
	close(fd);
	/* It may be told of the directions one by one. */
	do
		cr_assert(eq(uint, hear(&guest, &host, &len), VIRTIO_VSOCK_OP_SHUTDOWN));
	while (len != (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND));
	say(VIRTIO_VSOCK_OP_RST, 1000, 80);
	cr_assert(hears_nothing());
	/* The numbers are free again. */
	close(accepted());
}

Test(vsock, a_client_that_writes_no_more_still_reads)
{
	uint32_t guest, host, len;
	int fd;

	plug(0);
	give(16, ROOM);
	fd = accepted();
	cr_assert(eq(int, shutdown(fd, SHUT_WR), 0));
	cr_assert(eq(uint, hear(&guest, &host, &len), VIRTIO_VSOCK_OP_SHUTDOWN));
	cr_assert(eq(u32, len, VIRTIO_VSOCK_SHUTDOWN_SEND));
	say_data(1000, 80, "answer", 6);
	cr_assert(reads(fd, "answer"));
	close(fd);
	cr_assert(eq(uint, hear(&guest, &host, &len), VIRTIO_VSOCK_OP_SHUTDOWN));
	cr_assert(eq(u32, len, VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND));
}

/* What the client has sent before it went is delivered first. */
Test(vsock, a_client_that_goes_loses_nothing)
{
	static char data[3 * ROOM];
	uint32_t guest, host, len, total = 0;
	unsigned op;
	int fd;

	plug(0);
	give(16, ROOM);
	fd = accepted();
	cr_assert(eq(long, write(fd, data, sizeof(data)), (long)sizeof(data)));
	close(fd);
	while ((op = hear(&guest, &host, &len)) != 0) {
		if (op == VIRTIO_VSOCK_OP_RW)
			total += len;
		else
			cr_assert(eq(uint, op, VIRTIO_VSOCK_OP_SHUTDOWN));
	}
	cr_assert(eq(u32, total, (uint32_t)sizeof(data)));
}

Test(vsock, data_behind_the_end_of_it_is_reset)
{
	int fd;

	plug(0);
	give(16, ROOM);
	fd = accepted();
	say_shutdown(1000, 80, VIRTIO_VSOCK_SHUTDOWN_SEND);
	say_data(1000, 80, "more", 4);
	cr_assert(hears(VIRTIO_VSOCK_OP_RST, 1000, 80));
	close(fd);
}

Test(vsock, a_driver_that_starts_over_has_no_connections)
{
	int fd;

	plug(0);
	give(8, ROOM);
	fd = accepted();
	fake_write(&fake, R_STATUS, 0);
	cr_assert(is_closed(fd));
	close(fd);
}

/* §5.10.6.7, and what clients do meanwhile. */
static void wakes(uint64_t features)
{
	struct err err;
	uint32_t id, len, host;
	int fd, early;

	plug(features);
	give(4, ROOM);
	give_event(&fake);
	give_event(&fake);
	fd = connected(&host);
	cr_assert(not(fake_used(&fake, EVENT, &id, &len)));
	unlink(path);
	plug_into(&woken, make_ends());
	cr_assert(eq(int, fake_move(&fake, &woken, &err), 0), "%s", err.text);
	fake_free(&fake);
	fake.v = NULL;
	cr_assert(eq(long, read(fd, &id, 1), 0L)); /* closed with the old machine */
	close(fd);
	cr_assert(fake_used(&woken, EVENT, &id, &len));
	cr_assert(eq(u32, len, 4));
	cr_assert(eq(u32, le_get32(fake_ram(&woken, EVENT_AT, 4)),
		     VIRTIO_VSOCK_EVENT_TRANSPORT_RESET));
	cr_assert(not(fake_used(&woken, EVENT, &id, &len)));
	/* The driver will say when it gives another buffer, although there is one. */
	if (features != 0)
		cr_assert(eq(u16,
			     le_get16(fake_ram(
				     &woken, woken.q[EVENT].used + 4 + 8 * woken.q[EVENT].size, 2)),
			     woken.q[EVENT].avail_idx));
	/* A client waits until the driver has handled that. */
	early = unix_connect(path, UNIX_NO_WAIT);
	cr_assert(eq(long, write(early, "CONNECT 52\n", 11), 11));
	for (unsigned i = 0; i < 3; i++)
		fake_loop(&woken);
	cr_assert(not(fake_used(&woken, RX, &id, &len)));
	give_event(&woken);
	fake_loop(&woken);
	cr_assert(fake_used(&woken, RX, &id, &len));
	cr_assert(eq(u32, len, HEADER));
	close(early);
}

Test(vsock, a_guest_that_wakes_is_told_that_its_connections_are_gone)
{
	wakes(0);
}

Test(vsock, a_guest_with_event_indices_is_told_too)
{
	wakes(VIRTIO_EVENT_IDX);
}

/* It is a state like any other: the event is due until there is a buffer for it. */
Test(vsock, a_guest_without_a_buffer_for_events_is_told_later)
{
	struct err err;
	uint32_t id, len;

	plug(0);
	unlink(path);
	plug_into(&woken, make_ends());
	cr_assert(eq(int, fake_move(&fake, &woken, &err), 0), "%s", err.text);
	cr_assert(not(fake_used(&woken, EVENT, &id, &len)));
	(void)fake_interrupts(&woken);
	give_event(&woken);
	cr_assert(fake_used(&woken, EVENT, &id, &len));
	cr_assert(eq(u32, len, 4));
	cr_assert(eq(uint, fake_interrupts(&woken), 1));
}

Test(vsock, damaged_states_are_refused_or_harmless)
{
	uint64_t seed = 4711;
	struct err err;

	plug(0);
	give_event(&fake);
	for (unsigned i = 0; i < 50; i++) {
		plug_into(&woken, (struct vsock_ends)VSOCK_ENDS_CLOSED);
		(void)fake_move_damaged(&fake, &woken, &seed, &err);
		fake_free(&woken);
		woken.v = NULL;
		fake_start(&fake);
	}
}

/* A pause is no wake: connections go on. */
Test(vsock, a_pause_keeps_connections)
{
	uint32_t host, guest, from, len;
	int fd;

	plug(0);
	give(8, ROOM);
	fd = connected(&host);
	fake_stop(&fake);
	cr_assert(eq(long, write(fd, "hello", 5), 5));
	cr_assert(hears_nothing());
	fake_start(&fake);
	cr_assert(eq(uint, hear(&guest, &from, &len), VIRTIO_VSOCK_OP_RW));
	close(fd);
}

/* --- the process --- */

static bool await_gone(const char *name)
{
	for (unsigned ms = 0; ms < AWAIT_S * 1000; ms++) {
		if (access(name, F_OK) < 0)
			return true;
		usleep(1000);
	}
	return false;
}

static int await_answer(int channel, struct vsock_dial *answer, int *fd)
{
	struct pollfd poll_fd = {.fd = channel, .events = POLLIN};

	cr_assert(eq(int, poll(&poll_fd, 1, AWAIT_S * 1000), 1));
	return vsock_dial_take(channel, answer, fd);
}

Test(vsock, the_dialer_connects_and_cleans_up)
{
	const struct vsock_dial ask = {.slot = 3, .serial = 9, .port = 80};
	struct vsock_ends ends;
	struct vsock_dial answer;
	struct err err;
	char port[80];
	int listener, fd;

	cr_assert(ne(ptr, mkdtemp(folder), NULL));
	snprintf(path, sizeof(path), "%s/s", folder);
	snprintf(port, sizeof(port), "%s_80", path);
	cr_assert(eq(int, vsock_start(&ends, path, &err), 0), "%s", err.text);
	cr_assert(eq(int, vsock_dial_ask(ends.dialer, &ask), 0));
	cr_assert(eq(int, await_answer(ends.dialer, &answer, &fd), 1));
	cr_assert(eq(i32, answer.error, -ENOENT));
	cr_assert(eq(int, fd, -1));
	listener = unix_listen(port, &err);
	cr_assert(eq(int, vsock_dial_ask(ends.dialer, &ask), 0));
	cr_assert(eq(int, await_answer(ends.dialer, &answer, &fd), 1));
	cr_assert(eq(i32, answer.error, 0));
	cr_assert(eq(u32, answer.slot, 3));
	cr_assert(eq(u32, answer.serial, 9));
	cr_assert(eq(long, write(fd, "x", 1), 1));
	close(fd);
	close(listener);
	/* What is not this one's is not replaced. */
	{
		struct vsock_ends second;

		cr_assert(eq(int, vsock_start(&second, path, &err), -EEXIST));
		cr_assert(eq(int, second.listener, -1));
		cr_assert(eq(int, vsock_start(&second, folder, &err), -EEXIST));
		cr_assert(eq(int, vsock_start(&second, "/nowhere/at/all", &err), -ENOENT));
	}
	vsock_ends_close(&ends);
	cr_assert(await_gone(path));
	unlink(port);
}

Test(vsock, what_a_killed_process_left_is_replaced)
{
	struct vsock_ends ends;
	struct err err;

	cr_assert(ne(ptr, mkdtemp(folder), NULL));
	snprintf(path, sizeof(path), "%s/s", folder);
	close(unix_listen(path, &err));
	cr_assert(eq(int, access(path, F_OK), 0));
	cr_assert(eq(int, vsock_start(&ends, path, &err), 0), "%s", err.text);
	vsock_ends_close(&ends);
	cr_assert(await_gone(path));
}

/* Its machine is started again, or another one takes the place, before the old one's process has seen the end. */
Test(vsock, what_took_the_place_meanwhile_is_left)
{
	struct vsock_ends ends;
	struct pollfd end = {.events = 0};
	struct err err;
	int next;

	cr_assert(ne(ptr, mkdtemp(folder), NULL));
	snprintf(path, sizeof(path), "%s/s", folder);
	cr_assert(eq(int, vsock_start(&ends, path, &err), 0), "%s", err.text);
	close(ends.listener);
	ends.listener = -1;
	next = unix_listen(path, &err);
	cr_assert(ge(int, next, 0), "%s", err.text);
	cr_assert(eq(int, shutdown(ends.dialer, SHUT_WR), 0));
	end.fd = ends.dialer;
	/* It hangs up when it has ended. */
	cr_assert(eq(int, poll(&end, 1, AWAIT_S * 1000), 1));
	cr_assert(ne(int, end.revents &POLLHUP, 0));
	cr_assert(eq(int, access(path, F_OK), 0));
	close(next);
	vsock_ends_close(&ends);
}
