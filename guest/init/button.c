/* The power button, an input device of Linux. See init.h. */
#include <fcntl.h>
#include <linux/input.h>

#include "guest/init/init.h"

unsigned button_open(int fds[BUTTONS_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < BUTTONS_MAX; i++) {
		struct text path = {.len = 0};
		long fd;

		text_add(&path, "/dev/input/event");
		text_add_number(&path, i);
		fd = SYS4(SYS_openat, AT_FDCWD, path.data, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
		if (fd >= 0)
			fds[n++] = (int)fd;
	}
	return n;
}

bool button_pressed(int fd)
{
	struct input_event event;
	bool pressed = false;

	while (SYS3(SYS_read, fd, &event, sizeof(event)) == (long)sizeof(event))
		pressed |= event.type == EV_KEY && event.code == KEY_POWER && event.value == 1;
	return pressed;
}
