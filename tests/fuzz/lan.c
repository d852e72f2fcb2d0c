/*
 * A LAN with a machine, a QEMU and another switch on it that say anything, and two machines that
 * mind their business.
 *
 * The input is a list of: who speaks (one byte), how much (two), and the bytes. What is said to the
 * gateway is also given to it as it is.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "lan/switch.h"
#include "tests/fuzz/fuzz.h"

#define SPEAKERS 4u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;
static struct lan_switch *lan;

static void turn(void)
{
	for (int i = 0; i < 3; i++) {
		loop_stop(&loop);
		fuzz_require(loop_run(&loop, NULL) == 0);
	}
}

static int plug(enum port_kind kind, const char *greeting)
{
	char answer[512];
	int ends[2];

	fuzz_require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
	fuzz_require(lan_switch_plug(lan, ends[0], kind, NULL) == 0);
	if (greeting[0] == '\0')
		return ends[1];
	dprintf(ends[1], "%s", greeting);
	turn();
	fuzz_require(recv(ends[1], answer, sizeof(answer), 0) > 0);
	return ends[1];
}

static void look_at_port(void *opaque, const struct port *port)
{
	(void)opaque;
	fuzz_require(port->in_at <= port->in_end && port->in_end <= PORT_IN_SIZE);
	fuzz_require(port->out_at <= port->out_end && port->out_end <= PORT_OUT_SIZE);
}

static void empty(int fd)
{
	static char data[65536];

	while (recv(fd, data, sizeof(data), 0) > 0)
		continue;
}

/* Whatever has been said: a frame between two others arrives, and nothing else to who is no
 * group. */
static void mind_business(int from, int to)
{
	static const uint8_t addresses[] = {2, 0, 0, 0, 9, 2, 2, 2, 0, 0, 9, 1, 0x88, 0xb5};
	uint8_t out[50] = {46}, in[50];

	memcpy(out + 16, addresses, sizeof(addresses));
	for (int i = 0; i < 8; i++) {
		empty(from);
		empty(to);
		turn();
	}
	fuzz_require(send(from, out, sizeof(out), 0) == (ssize_t)sizeof(out));
	turn();
	fuzz_require(recv(to, in, sizeof(in), 0) == (ssize_t)sizeof(in));
	fuzz_require(memcmp(in, out, sizeof(in)) == 0);
}

static void ask_gateway(struct gateway *gateway, const uint8_t *data, size_t len)
{
	struct gateway_query query = {.frame = data, .len = len, .port = 1, .now = 100};
	uint8_t reply[GATEWAY_REPLY_MAX];

	if (len >= FRAMING_FRAME_MIN)
		fuzz_require(gateway_answer(gateway, &query, reply) <= sizeof(reply));
}

static void speak(const int fd[SPEAKERS], const uint8_t *data, size_t size)
{
	while (size >= 3) {
		unsigned who = data[0] % (SPEAKERS + 1);
		size_t len = le_get16(data + 1);

		data += 3;
		size -= 3;
		if (len > size)
			len = size;
		if (who == SPEAKERS)
			ask_gateway((struct gateway *)lan_switch_gateway(lan), data, len);
		else if (len > 0 && send(fd[who], data, len, MSG_NOSIGNAL) > 0)
			turn();
		data += len;
		size -= len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gateway_params gateway = {.network = 0x0a010200, .prefix = 24};
	struct lan_params params = {.name = "fuzz", .gateway = &gateway, .log = {.fd = -1}};
	int fd[SPEAKERS], quiet[2];

	fuzz_require(loop_init(&loop, &lock, NULL) == 0);
	fuzz_require(lan_switch_new(&lan, &loop, &params, NULL) == 0);
	quiet[0] = plug(PORT_MACHINE, "torpor-lan 1 port 02:02:00:00:09:01 a\n");
	quiet[1] = plug(PORT_MACHINE, "torpor-lan 1 port 02:00:00:00:09:02 b\n");
	fd[0] = plug(PORT_MACHINE, "torpor-lan 1 port 02:00:00:00:00:01 c\n");
	fd[1] = plug(PORT_QEMU, "");
	fd[2] = plug(PORT_TRUNK, "torpor-lan 1 trunk 0000000000000001 d\nok\n");
	fd[3] = plug(PORT_MACHINE, "");
	speak(fd, data, size);
	lan_switch_each_port(lan, look_at_port, NULL);
	mind_business(quiet[0], quiet[1]);
	for (unsigned i = 0; i < SPEAKERS; i++)
		close(fd[i]);
	close(quiet[0]);
	close(quiet[1]);
	turn();
	lan_switch_free(lan);
	loop_free(&loop);
	return 0;
}
