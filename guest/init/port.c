/*
 * The agent's port: the console port with the name that QEMU's guest agent looks for. Only one
 * process can have it open. See init.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>

#include "guest/init/init.h"

#define PORT_NAME "org.qemu.guest_agent.0\n"
#define PORTS_MAX 8u

long port_open(void)
{
	char name[64];

	/* The second port of the first console; the others are looked at in case that changes. */
	for (unsigned console = 0; console < PORTS_MAX; console++) {
		for (unsigned port = 0; port < PORTS_MAX; port++) {
			struct text path = {.len = 0}, number = {.len = 0};

			text_add_number(&number, console);
			text_add(&number, "p");
			text_add_number(&number, port);
			text_add(&path, "/sys/class/virtio-ports/vport");
			text_add(&path, number.data);
			text_add(&path, "/name");
			if (file_read(path.data, name, sizeof(name)) < 0 ||
			    !text_equal(name, PORT_NAME))
				continue;
			path.len = 0;
			text_add(&path, "/dev/vport");
			text_add(&path, number.data);
			return SYS4(SYS_openat, AT_FDCWD, path.data, O_RDWR | O_CLOEXEC, 0);
		}
	}
	return -ENODEV;
}

/* The write waits until the host has the line. */
void port_tell_status(int status)
{
	const struct timespec wait = {.tv_sec = 1};
	struct text line = {.len = 0};
	long fd = port_open();
	struct pollfd poll = {.fd = (int)fd, .events = POLLOUT};

	if (fd < 0)
		return;
	/* Nobody may be at the other end. */
	if (SYS5(SYS_ppoll, &poll, 1, &wait, NULL, 0) <= 0 || (poll.revents & POLLOUT) == 0) {
		SYS1(SYS_close, fd);
		return;
	}
	/* What the agent may have left of a line is dropped at this byte. */
	text_add(&line, "\xff{\"event\":\"TORPOR_EXIT\",\"data\":{\"status\":");
	text_add_number(&line, (uint64_t)status);
	text_add(&line, "}}\n");
	SYS3(SYS_write, fd, line.data, line.len);
	SYS1(SYS_close, fd);
}
