/* See console_log.h. */
#include "instance/console_log.h"

#include "host/paths.h"

void console_log_init(struct console_log *log, const char *name, bool fresh)
{
	*log = (struct console_log){.name = name, .fresh = fresh, .file = LOG_FILE_CLOSED};
}

void console_log_open(struct console_log *log)
{
	unsigned flags = LOG_FILE_ROTATES | LOG_FILE_TIMES | (log->fresh ? LOG_FILE_FRESH : 0u);
	struct path path;

	if (log->opened)
		return;
	log->opened = true;
	if (path_state(&path, log->name, "console.log", NULL) == 0 &&
	    path_make_parents(&path, NULL) == 0)
		(void)log_file_open(&log->file, path.text, CONSOLE_LOG_MAX, flags, NULL);
}

void console_log_write(struct console_log *log, const uint8_t *data, size_t len)
{
	console_log_open(log);
	log_file_write(&log->file, data, len);
}

void console_log_close(struct console_log *log)
{
	log_file_close(&log->file);
}
