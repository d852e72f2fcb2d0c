/* See console_log.h. */
#include "instance/console_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void console_log_init(struct console_log *log, const char *name, bool fresh)
{
	*log = (struct console_log){.name = name, .fresh = fresh, .fd = -1};
}

void console_log_open(struct console_log *log)
{
	struct path path;
	struct stat st;
	int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (log->fresh ? O_TRUNC : 0);

	if (log->fd >= 0 || log->failed)
		return;
	if (path_state(&path, log->name, "console.log", NULL) == 0 &&
	    path_make_parents(&path, NULL) == 0)
		log->fd = open(path.text, flags, 0600);
	log->failed = log->fd < 0;
	if (!log->failed && fstat(log->fd, &st) == 0)
		log->size = (uint64_t)st.st_size;
}

static void rotate(struct console_log *log)
{
	struct path path, old;

	console_log_close(log);
	if (path_state(&path, log->name, "console.log", NULL) == 0 &&
	    path_state(&old, log->name, "console.log.1", NULL) == 0)
		(void)rename(path.text, old.text);
	log->fresh = true;
	log->size = 0;
	console_log_open(log);
}

void console_log_write(struct console_log *log, const uint8_t *data, size_t len)
{
	ssize_t wrote;

	console_log_open(log);
	if (log->size >= CONSOLE_LOG_MAX)
		rotate(log);
	if (log->fd < 0)
		return;
	wrote = write(log->fd, data, len);
	if (wrote > 0)
		log->size += (uint64_t)wrote;
}

void console_log_close(struct console_log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	log->fd = -1;
}
