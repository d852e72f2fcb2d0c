/* See arriving.h. */
#include "host/arriving.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "host/paths.h"

int arriving_note(const char *name, const char *map_path, struct err *err)
{
	struct path path;
	cleanup_fd int fd = -1;
	int ret = path_state(&path, name, "arriving", err);

	if (ret < 0)
		return ret;
	fd = open(path.text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(err, errno, "write %s", path.text);
	ret = io_write(fd, map_path, strlen(map_path));
	return ret < 0 ? err_sys(err, -ret, "write %s", path.text) : 0;
}

bool arriving_look(const char *name, struct arrivals_status *status)
{
	cleanup_fd int note = -1, map = -1;
	char map_path[PATH_MAX];
	struct path path;
	int64_t len;

	if (path_state(&path, name, "arriving", NULL) < 0)
		return false;
	note = open(path.text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	len = note >= 0 ? io_read_upto(note, map_path, sizeof(map_path) - 1) : -1;
	if (len <= 0)
		return false;
	map_path[len] = '\0';
	map = open(map_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return map >= 0 && arrivals_status_read(map, status, NULL) == 0 &&
	       status->state != ARRIVALS_COMPLETE;
}

static const char *state_name(enum arrivals_state state)
{
	static const char *const names[] = {
		[ARRIVALS_GOING] = "going",
		[ARRIVALS_WAITING] = "waiting",
		[ARRIVALS_COMPLETE] = "complete",
		[ARRIVALS_FAILED] = "failed",
	};

	return names[state];
}

json_t *arriving_json(const struct arrivals_status *status)
{
	return json_pack("{s:s,s:s,s:I,s:I,s:I,s:i,s:s*}", "state", state_name(status->state),
			 "host", status->host, "since", (json_int_t)status->since, "bytes",
			 (json_int_t)status->bytes, "there", (json_int_t)status->there, "waiters",
			 (int)status->waiters, "failed",
			 status->failed[0] != '\0' ? status->failed : NULL);
}

void arriving_text(const struct arrivals_status *status, char text[ARRIVING_TEXT])
{
	const double mib = 1048576.0;
	const unsigned percent =
		status->bytes > 0 ? (unsigned)((double)status->there * 100 / (double)status->bytes)
				  : 100;
	time_t since = (time_t)status->since;
	struct tm tm;
	char when[32] = "?";
	int len = 0;

	if (localtime_r(&since, &tm) != NULL)
		strftime(when, sizeof(when), time(NULL) - since < 86400 ? "%H:%M:%S" : "%F %T",
			 &tm);
	if (status->state == ARRIVALS_FAILED)
		len = snprintf(text, ARRIVING_TEXT, "the rest will not arrive (%s), ",
			       status->failed);
	else if (arrivals_have_failed(status))
		len = snprintf(text, ARRIVING_TEXT, "one of its files will not arrive (%s), ",
			       status->failed);
	else if (status->state == ARRIVALS_WAITING)
		len = snprintf(text, ARRIVING_TEXT, "waiting for %s since %s, ", status->host,
			       when);
	snprintf(text + len, ARRIVING_TEXT - (size_t)len, "%u %% of %.1f MiB has arrived", percent,
		 (double)status->bytes / mib);
}
