/* See console_port.h. */
#include "guest/helper/console_port.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "guest/helper/base.h"
#include "guest/helper/sys.h"

/* Linux numbers consoles as the virtio devices that they are: disks come before ours. */
#define CONSOLES_MAX 32u
#define PORTS_MAX    8u
#define NAME_SIZE    64u

/* vportNpM, at the end of a text. */
static void add_device(char *to, unsigned console, unsigned port)
{
	memcpy(to, "vport", 5);
	to += 5;
	if (console >= 10)
		*to++ = (char)('0' + console / 10);
	*to++ = (char)('0' + console % 10);
	*to++ = 'p';
	*to++ = (char)('0' + port);
	*to = '\0';
}

static bool has_name(unsigned console, unsigned port, const char *name)
{
	char path[64] = "/sys/class/virtio-ports/", found[NAME_SIZE];
	long fd, got;

	add_device(path + text_len(path), console, port);
	memcpy(path + text_len(path), "/name", 6);
	fd = SYS4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	got = SYS3(SYS_read, fd, found, sizeof(found) - 1);
	SYS1(SYS_close, fd);
	if (got <= 0)
		return false;
	found[found[got - 1] == '\n' ? got - 1 : got] = '\0';
	return text_equal(found, name);
}

long console_port_open(const char *name, int flags)
{
	char path[32] = "/dev/";

	if (name[0] == '/')
		return SYS4(SYS_openat, AT_FDCWD, name, flags, 0);
	for (unsigned console = 0; console < CONSOLES_MAX; console++) {
		for (unsigned port = 0; port < PORTS_MAX; port++) {
			if (!has_name(console, port, name))
				continue;
			add_device(path + text_len(path), console, port);
			return SYS4(SYS_openat, AT_FDCWD, path, flags, 0);
		}
	}
	return -ENODEV;
}
