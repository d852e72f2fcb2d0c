/*
 * virtio-vsock against a hostile driver, clients that write anything, and a dialer that answers anything: the
 * input is what they do, one after the other. Whatever that is, the state of the device must be one that a machine
 * may wake from, every buffer must be given back, and no descriptor may be left.
 */
#include <linux/virtio_vsock.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "base/unix_socket.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/fake_driver.h"
#include "vsock/hub.h"

enum { RX, TX, EVENT, QUEUES };

#define QUEUE_SIZE 16u
#define MAX_STEPS  400u
#define CLIENTS	   4u
#define RX_AT	   0x100000u

static struct fake guest, woken;
static int dialer, client[CLIENTS];
static char path[128];

static void plug(struct fake *f, struct vsock_ends ends)
{
	const struct virtio_backend backend = {.vsock = &ends, .cid = VSOCK_GUEST_CID};

	fake_init(f);
	fake_plug(f, VIRTIO_TYPE_VSOCK, "vsock", &backend);
}

/* Ports are few, so that packets meet connections. */
static void put_packet(struct fuzz_input *in)
{
	const uint8_t odd = (uint8_t)fuzz_take(in, 1);
	const uint32_t len = (uint32_t)fuzz_take(in, 2);
	const struct virtio_vsock_hdr hdr = {
		.src_cid = htole64((odd & 15) == 1 ? fuzz_take(in, 8) : VSOCK_GUEST_CID),
		.dst_cid = htole64((odd & 15) == 2 ? fuzz_take(in, 8) : VSOCK_HOST_CID),
		.src_port = htole32((uint32_t)fuzz_take(in, 1) % 4),
		.dst_port = htole32((uint32_t)fuzz_take(in, 1) % 4),
		.len = htole32((odd & 15) == 3 ? (uint32_t)fuzz_take(in, 4) : len),
		.type = htole16((odd & 15) == 4 ? (uint16_t)fuzz_take(in, 2) : 1),
		.op = htole16((uint16_t)(fuzz_take(in, 1) % 9)),
		.flags = htole32((uint32_t)fuzz_take(in, 1) % 4),
		.buf_alloc = htole32((uint32_t)fuzz_take(in, 3)),
		.fwd_cnt = htole32((uint32_t)fuzz_take(in, 1)),
	};
	const struct fake_seg seg = {FAKE_BUFFERS, (uint32_t)sizeof(hdr) + len - odd / 128, false};

	memcpy(fake_ram(&guest, FAKE_BUFFERS, sizeof(hdr)), &hdr, sizeof(hdr));
	(void)fake_post(&guest, TX, &seg, 1);
	fake_kick(&guest, TX);
}

static void put_buffer(struct fuzz_input *in, unsigned queue)
{
	const struct fake_seg seg = {RX_AT, (uint32_t)fuzz_take(in, 2), true};

	(void)fake_post(&guest, queue, &seg, 1);
	fake_kick(&guest, queue);
}

/* A port that the device has given out is another one each time: so it is taken from the last packet. */
static void answer_last(struct fuzz_input *in)
{
	const struct fake_seg seg = {FAKE_BUFFERS, sizeof(struct virtio_vsock_hdr), false};
	struct virtio_vsock_hdr hdr, last;

	memcpy(&last, fake_ram(&guest, RX_AT, sizeof(last)), sizeof(last));
	hdr = last;
	hdr.src_cid = last.dst_cid;
	hdr.dst_cid = last.src_cid;
	hdr.src_port = last.dst_port;
	hdr.dst_port = last.src_port;
	hdr.op = htole16((uint16_t)(fuzz_take(in, 1) % 9));
	hdr.len = 0;
	hdr.fwd_cnt = htole32((uint32_t)fuzz_take(in, 1));
	memcpy(fake_ram(&guest, FAKE_BUFFERS, sizeof(hdr)), &hdr, sizeof(hdr));
	(void)fake_post(&guest, TX, &seg, 1);
	fake_kick(&guest, TX);
}

static void use_client(struct fuzz_input *in, unsigned n)
{
	static const char line[] = "CONNECT 1\n";
	uint8_t bytes[64];
	size_t len;

	switch (fuzz_take(in, 1) % 5) {
	case 0:
		if (client[n] < 0)
			client[n] = unix_connect(path, UNIX_NO_WAIT);
		if (client[n] >= 0)
			(void)!send(client[n], line, sizeof(line) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 1:
		len = fuzz_take_bytes(in, bytes, fuzz_take(in, 1) % sizeof(bytes));
		if (client[n] < 0)
			client[n] = unix_connect(path, UNIX_NO_WAIT);
		if (client[n] >= 0)
			(void)!send(client[n], bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 2:
		if (client[n] >= 0)
			(void)!recv(client[n], bytes, sizeof(bytes), MSG_DONTWAIT);
		break;
	case 3:
		if (client[n] >= 0)
			(void)shutdown(client[n], (int)(fuzz_take(in, 1) % 3));
		break;
	default:
		if (client[n] >= 0)
			close(client[n]);
		client[n] = -1;
	}
}

/* Pass one end of a pair, which becomes a client's, or a lie. */
static void answer_dial(struct fuzz_input *in, unsigned n)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.head = {.cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS,
			      .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct vsock_dial answer;
	struct iovec iov = {&answer, sizeof(answer)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	int pair[2] = {-1, -1};

	if (recv(dialer, &answer, sizeof(answer), MSG_DONTWAIT) != (ssize_t)sizeof(answer))
		return;
	switch (fuzz_take(in, 1) % 4) {
	case 0:
		answer.error = -2;
		break;
	case 1:
		answer.slot = (uint32_t)fuzz_take(in, 4);
		answer.error = -2;
		break;
	default:
		fuzz_require(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
		memcpy(CMSG_DATA(&control.head), &pair[0], sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control.space);
	}
	(void)!sendmsg(dialer, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (pair[0] < 0)
		return;
	close(pair[0]);
	if (client[n] >= 0)
		close(client[n]);
	client[n] = pair[1];
}

static void step(struct fuzz_input *in)
{
	const unsigned what = (unsigned)fuzz_take(in, 1), n = what / 16 % CLIENTS;

	switch (what % 16) {
	case 0:
	case 1:
	case 2:
		put_packet(in);
		break;
	case 3:
	case 4:
		put_buffer(in, RX);
		break;
	case 5:
		put_buffer(in, EVENT);
		break;
	case 6:
	case 7:
		answer_last(in);
		break;
	case 8:
	case 9:
		use_client(in, n);
		break;
	case 10:
		answer_dial(in, n);
		break;
	case 11:
		fake_stop(&guest);
		fake_start(&guest);
		break;
	case 12:
		fake_write(&guest, fuzz_take(in, 2) % 0x140, (uint32_t)fuzz_take(in, 4));
		break;
	case 13:
		fake_bring_up(&guest, fuzz_take(in, 5) & guest.v->offered, QUEUES, QUEUE_SIZE);
		break;
	default:
		fake_loop(&guest);
	}
}

static void check_wake(void)
{
	struct err err = {0};

	plug(&woken, (struct vsock_ends)VSOCK_ENDS_CLOSED);
	fuzz_require(fake_move(&guest, &woken, &err) == 0);
	for (unsigned i = 0; i < QUEUES; i++)
		fake_kick(&woken, i);
	fake_loop(&woken);
	fake_free(&woken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.at = data, .left = size};
	struct vsock_ends ends;
	unsigned before;
	struct err err;
	int pair[2];

	snprintf(path, sizeof(path), "%s/s", fuzz_folder());
	before = fuzz_open_fds();
	ends.listener = unix_listen(path, &err);
	fuzz_require(ends.listener >= 0 &&
		     socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	ends.dialer = pair[0];
	dialer = pair[1];
	for (unsigned i = 0; i < CLIENTS; i++)
		client[i] = -1;
	plug(&guest, ends);
	fake_bring_up(&guest, guest.v->offered & ~fuzz_take(&in, 3), QUEUES, QUEUE_SIZE);
	for (unsigned i = 0; i < MAX_STEPS && in.left > 0; i++)
		step(&in);
	for (unsigned i = 0; i < QUEUES; i++)
		fuzz_require(!guest.v->s.queue[i].ready ||
			     guest.v->s.queue[i].next_used == guest.v->s.queue[i].next_avail);
	check_wake();
	fake_free(&guest);
	close(dialer);
	for (unsigned i = 0; i < CLIENTS; i++) {
		if (client[i] >= 0)
			close(client[i]);
	}
	fuzz_require(fuzz_open_fds() == before);
	return 0;
}
