/*
 * The agent's port: the console port with the name that QEMU's guest agent looks for. Only one
 * process can have it open. See init.h.
 */
#include <fcntl.h>
#include <poll.h>
#include <time.h>

#include "guest/helper/console_port.h"
#include "guest/init/init.h"

#define PORT_NAME "org.qemu.guest_agent.0"

long port_open(void)
{
	return console_port_open(PORT_NAME, O_RDWR | O_CLOEXEC);
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
