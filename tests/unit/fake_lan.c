/* See fake_lan.h. */
#include "tests/unit/fake_lan.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"

void fake_lan_init(struct fake_lan *f, const char *name, const struct gateway_params *gateway)
{
	struct lan_params params = {.name = name, .gateway = gateway, .log = {.fd = -1}};
	struct err err;

	*f = (struct fake_lan){.lock = PTHREAD_MUTEX_INITIALIZER};
	cr_assert(eq(i32, loop_init(&f->loop, &f->lock, &err), 0), "%s", err.text);
	cr_assert(eq(i32, lan_switch_new(&f->lan, &f->loop, &params, &err), 0), "%s", err.text);
}

void fake_lan_free(struct fake_lan *f)
{
	lan_switch_free(f->lan);
	loop_free(&f->loop);
}

void fake_lan_turn(struct fake_lan *f)
{
	for (int i = 0; i < 4; i++) {
		loop_stop(&f->loop);
		cr_assert(eq(i32, loop_run(&f->loop, NULL), 0));
	}
}

void fake_lan_turn_for(struct fake_lan *f, unsigned ms)
{
	static const struct timespec pause = {.tv_nsec = 10000000};

	for (unsigned passed = 0; passed < ms; passed += 10) {
		fake_lan_turn(f);
		nanosleep(&pause, NULL);
	}
}

int fake_lan_plug(struct fake_lan *f, enum port_kind kind)
{
	struct err err;
	int ends[2];

	cr_assert(eq(i32, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0));
	cr_assert(eq(i32, lan_switch_plug(f->lan, ends[0], kind, &err), 0), "%s", err.text);
	return ends[1];
}

int fake_lan_ask(struct fake_lan *f, unsigned id, const char *name, char line[512])
{
	int fd = fake_lan_plug(f, PORT_MACHINE);
	ssize_t got;

	dprintf(fd, LAN_WIRE_GREETING "port 02:00:00:00:00:%02x %s\n", id, name);
	fake_lan_turn(f);
	got = recv(fd, line, 511, 0);
	cr_assert(ge(long, got, 1L));
	line[got] = '\0';
	return fd;
}

int fake_lan_machine(struct fake_lan *f, unsigned id, const char *name)
{
	char line[512];
	int fd = fake_lan_ask(f, id, name, line);

	cr_assert(eq(str, line, (char *)"ok\n"));
	return fd;
}

bool fake_lan_send(int fd, enum framing framing, unsigned to, unsigned from, size_t len)
{
	uint8_t data[LAN_WIRE_MAX] = {0};
	size_t head = framing_head(framing, NULL, len, data);
	uint8_t *frame = data + head;

	if (to == BROADCAST_ID)
		memset(frame, 0xff, NET_MAC_SIZE);
	else
		frame[0] = 2, frame[5] = (uint8_t)to;
	frame[6] = 2;
	frame[11] = (uint8_t)from;
	frame[12] = 0x88; /* local experimental */
	frame[13] = 0xb5;
	return send(fd, data, head + len, MSG_NOSIGNAL) == (ssize_t)(head + len);
}

size_t fake_lan_receive(int fd, enum framing framing, uint8_t *data, struct message *message)
{
	ssize_t got = recv(fd, data, LAN_WIRE_MAX, MSG_PEEK);
	int size = got > 0 ? framing_next(framing, data, (size_t)got, message) : 0;

	cr_assert(ge(int, size, 0));
	if (size > 0)
		cr_assert(eq(long, recv(fd, data, (size_t)size, 0), (long)size));
	return size > 0 ? message->len : 0;
}

unsigned fake_lan_drain(int fd, enum framing framing)
{
	static uint8_t data[LAN_WIRE_MAX];
	struct message message;
	unsigned n = 0;

	while (fake_lan_receive(fd, framing, data, &message) > 0)
		n += !message.note;
	return n;
}

struct search {
	const char *name;
	const struct port *found;
};

static void look(void *opaque, const struct port *port)
{
	struct search *search = opaque;

	if (strcmp(port->name, search->name) == 0)
		search->found = port;
}

const struct port *fake_lan_port(struct fake_lan *f, const char *name)
{
	struct search search = {name, NULL};

	lan_switch_each_port(f->lan, look, &search);
	return search.found;
}
