/* See lease.h. */
#include "cli/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int lease_open(const char *path, int *fd, struct err *err)
{
	struct stat st;
	char byte;

	*fd = 0;
	if (path == NULL)
		return 0;
	*fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (*fd < 0 || fstat(*fd, &st) < 0)
		return err_sys(err, errno, "--until-closed %s", path);
	if (!S_ISFIFO(st.st_mode))
		return err_set(err, ERR_USAGE, "--until-closed %s: not a pipe", path);
	if (read(*fd, &byte, 1) == 0)
		return err_set(err, ERR_FAILED, "--until-closed %s: nobody has the other end open",
			       path);
	return 0;
}
