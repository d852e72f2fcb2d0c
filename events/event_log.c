/* See event_log.h. */
#include "events/event_log.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "host/paths.h"

int event_log_open(struct log_file *log, const char *name, struct err *err)
{
	struct path path;
	int ret = path_state(&path, name, EVENT_LOG_FILE, err);

	return ret < 0 ? ret : log_file_open(log, path.text, EVENT_LOG_MAX, LOG_FILE_ROTATES, err);
}

/* One write(2), newline included, so that a reader never sees half of it for long. */
static bool write_line(struct log_file *log, const json_t *line)
{
	cleanup_free char *text = json_dumps(line, JSON_COMPACT);
	size_t len = text != NULL ? strlen(text) : 0;

	if (text == NULL || len + 1 > EVENT_LINE_MAX)
		return false;
	text[len] = '\n'; /* over the NUL: it is bytes from here on */
	log_file_write(log, text, len + 1);
	return true;
}

void event_log_write(struct log_file *log, const char *event, json_t *details)
{
	cleanup_json json_t *more = details;
	cleanup_json json_t *line =
		json_pack("{s:I,s:s}", "time", (json_int_t)clock_realtime_ns(), "event", event);
	cleanup_json json_t *full = json_copy(line);

	if (log->fd < 0 || line == NULL)
		return;
	if (full == NULL || (more != NULL && json_object_update_missing(full, more) < 0) ||
	    !write_line(log, full))
		(void)write_line(log, line);
}

void event_log_close(struct log_file *log)
{
	log_file_close(log);
}
