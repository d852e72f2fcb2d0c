/* See spool.h. */
#include "cli/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"

#define NAME  "standard input"
#define CHUNK MIB(1)

/* Whole, and not what somebody has left of it. */
static bool is_file(void)
{
	struct stat st;

	return fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode) &&
	       lseek(STDIN_FILENO, 0, SEEK_CUR) == 0;
}

/* POSIX pax, "ustar Interchange Format": the magic of the first header. Nothing else is looked at
 * outside the sandbox. */
static bool begins_a_tar(const uint8_t *data, uint64_t len)
{
	return len >= 512 && memcmp(data + 257, "ustar", 5) == 0;
}

static int spool_read(int fd, struct err *err)
{
	cleanup_free uint8_t *chunk = malloc(CHUNK);
	uint64_t at = 0;
	int64_t got;

	if (chunk == NULL)
		return err_sys(err, ENOMEM, "read " NAME);
	while ((got = io_read_upto(STDIN_FILENO, chunk, CHUNK)) > 0) {
		int ret;

		/* Before an endless stream of something else fills the memory. */
		if (at == 0 && !begins_a_tar(chunk, (uint64_t)got))
			return err_set(err, ERR_INTEGRITY,
				       NAME " is no appliance: it does not begin as a tar");
		ret = io_pwrite(fd, chunk, (uint64_t)got, at);

		if (ret < 0)
			return err_sys(err, -ret, "hold " NAME " in memory");
		at += (uint64_t)got;
	}
	return got < 0 ? err_sys(err, (int)-got, "read " NAME) : 0;
}

static int spool_to_memfd(struct err *err)
{
	cleanup_fd int fd = memfd_create("torpor-input", MFD_CLOEXEC);
	int ret = fd >= 0 ? spool_read(fd, err) : err_sys(err, errno, "memfd_create");

	return ret < 0 ? ret : take_fd(&fd);
}

/* What a machine in the foreground takes for its keyboard. */
static void replace_input(void)
{
	int fd = isatty(STDOUT_FILENO) ? open("/dev/tty", O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	dup2(fd, STDIN_FILENO);
	close(fd);
}

int spool_input(struct target *input, const char *text, int *fd, struct err *err)
{
	*fd = -1;
	if (strcmp(text, "-") != 0)
		return target_find_file(input, text, err);
	*input = (struct target){.kind = TARGET_FILE, .name = NAME, .file = NAME};
	if (!is_file())
		*fd = spool_to_memfd(err);
	else if ((*fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)) < 0)
		return err_sys(err, errno, NAME);
	if (*fd < 0)
		return *fd;
	replace_input();
	return 0;
}
