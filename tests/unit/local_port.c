/* See local_port.h. */
#include "tests/unit/local_port.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/num.h"

#define LOOK_MS 1
#define TURN	(1u << 20) /* bytes */

static size_t port_take(struct chardev *c, const uint8_t *data, size_t len)
{
	struct local_port *p = container_of(c, struct local_port, port);
	size_t done = 0;

	while (p->open && done < len) {
		ssize_t put = write(p->fd, data + done, len - done);

		if (put <= 0)
			break;
		done += (size_t)put;
	}
	return done;
}

static bool port_is_open(const struct chardev *c)
{
	return container_of(c, const struct local_port, port)->open;
}

/* A master whose other end nobody has open says so. */
static bool look(struct local_port *p)
{
	struct pollfd poll_fd = {.fd = p->fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) >= 0 && (poll_fd.revents & POLLHUP) == 0;
}

static void on_port_timer(void *opaque)
{
	struct local_port *p = opaque;
	uint8_t data[4096];
	ssize_t got = 0;

	timer_set(&p->timer, LOOK_MS);
	for (size_t done = 0; done < TURN; done += (size_t)got) {
		got = read(p->fd, data, sizeof(data));
		if (got <= 0)
			break;
		if (p->port.output != NULL)
			p->port.output(p->port.opaque, data, (size_t)got);
	}
	if (look(p) != p->open) {
		p->open = !p->open;
		if (p->port.opened != NULL)
			p->port.opened(p->port.opaque, p->open);
	}
	if (p->open && p->port.room != NULL)
		p->port.room(p->port.opaque);
}

void local_port_init(struct local_port *p, struct loop *loop)
{
	struct termios raw;
	struct err err;
	int fd;

	*p = (struct local_port){.port = {.input = port_take, .is_open = port_is_open},
				 .timer = TIMER_CLOSED};
	p->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	cr_assert(ge(int, p->fd, 0));
	cr_assert(eq(int, unlockpt(p->fd), 0));
	cr_assert(eq(int, ptsname_r(p->fd, p->name, sizeof(p->name)), 0));
	fd = open(p->name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	cr_assert(ge(int, fd, 0));
	cr_assert(eq(int, tcgetattr(fd, &raw), 0));
	cfmakeraw(&raw);
	cr_assert(eq(int, tcsetattr(fd, TCSANOW, &raw), 0));
	close(fd);
	cr_assert(eq(int, timer_open(&p->timer, loop, on_port_timer, p, &err), 0));
	timer_set(&p->timer, LOOK_MS);
}

void local_port_free(struct local_port *p)
{
	timer_close(&p->timer);
	close(p->fd);
}
