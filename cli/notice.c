/* See notice.h. That it was told is an empty file below the state folder. */
#include "cli/notice.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/paths.h"

/* No machine is called that. */
#define MARK "/.told-memory"

/* True once. Without a state folder the notice is repeated. */
static bool is_news(void)
{
	struct path path;
	char name[sizeof(path.text) + sizeof(MARK)];
	cleanup_fd int fd = -1;

	if (path_state_root(&path, NULL) < 0)
		return true;
	snprintf(name, sizeof(name), "%s%s", path.text, MARK);
	if (access(name, F_OK) == 0)
		return false;
	if (path_make_dirs(&path, NULL) == 0)
		fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return true;
}

void notice_memory(void)
{
	if (isatty(STDERR_FILENO) && is_news())
		fputs("torpor: the file holds all of the guest's memory, keys and passwords too: "
		      "--encrypt protects it (this is said once)\n",
		      stderr);
}
