/* See record.h. */
#include "instance/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/name.h"
#include "base/num.h"
#include "events/event_log.h"
#include "host/arriving.h"
#include "host/claim.h"
#include "host/client.h"
#include "host/parse.h"
#include "host/paths.h"

#define STATUS_TIMEOUT_MS 1000
/* Of a machine whose map says that it waits. */
#define WAITING_TIMEOUT_MS 300

/* JSON is UTF-8; what an error quotes need not be. */
static void make_ascii(char *text)
{
	for (; *text != '\0'; text++) {
		if ((*text & 0x80) != 0)
			*text = '?';
	}
}

/* Longer than any record: its texts grow sixfold at most as JSON. */
#define RECORD_SIZE 8192u

/* Spaces behind a JSON text mean nothing, so the file can have its size from the start. */
static int write_padded(const struct path *path, const char *text, struct err *err)
{
	char padded[RECORD_SIZE];
	cleanup_fd int fd = open(path->text, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	size_t len = strlen(text);
	int ret;

	if (fd < 0)
		return err_sys(err, errno, "open %s", path->text);
	assert(len <= sizeof(padded));
	memset(padded, ' ', sizeof(padded));
	memcpy(padded, text, len);
	ret = io_pwrite(fd, padded, sizeof(padded), 0);
	return ret < 0 ? err_sys(err, -ret, "write %s", path->text) : 0;
}

int record_begin(const char *name, struct err *err)
{
	struct path path, reserved;
	int ret = path_state(&path, name, "exit", err);

	if (ret < 0)
		return ret;
	(void)unlink(path.text);
	ret = path_state(&reserved, name, "exit.new", err);
	return ret < 0 ? ret : write_padded(&reserved, "", err);
}

int record_write(const char *name, const struct record *record, struct err *err)
{
	struct path path, reserved;
	char error[sizeof(record->error)], origin[sizeof(record->origin)];
	cleanup_free char *text = NULL;
	json_t *json;
	int ret = path_state(&path, name, "exit", err);

	if (ret < 0)
		return ret;
	ret = path_state(&reserved, name, "exit.new", err);
	if (ret < 0)
		return ret;
	ret = path_make_parents(&path, err);
	if (ret < 0)
		return ret;
	memcpy(error, record->error, sizeof(error));
	make_ascii(error);
	memcpy(origin, record->origin, sizeof(origin));
	make_ascii(origin);
	json = json_pack("{s:s,s:I,s:I,s:s,s:s,s:i}", "end", machine_end_name(record->end), "when",
			 (json_int_t)record->when, "started", (json_int_t)record->started, "error",
			 error, "origin", origin, "status", record->status);
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	if (text == NULL)
		return err_sys(err, ENOMEM, "write %s", path.text);
	ret = write_padded(&reserved, text, err);
	if (ret < 0)
		return ret;
	return rename(reserved.text, path.text) < 0 ? err_sys(err, errno, "write %s", path.text)
						    : 0;
}

enum machine_end record_end_by_name(const char *name)
{
	for (enum machine_end end = MACHINE_END_POWEROFF; end <= MACHINE_END_FAILED; end++) {
		if (strcmp(machine_end_name(end), name) == 0)
			return end;
	}
	return MACHINE_END_NONE;
}

int record_read(const char *name, struct record *record, struct err *err)
{
	const char *end, *error, *origin = "";
	json_int_t started = 0;
	int status = 0; /* a machine of an older version writes none of these */
	struct path path;
	json_int_t when;
	json_t *json;
	int ret = path_state(&path, name, "exit", err);

	if (ret < 0)
		return ret;
	json = json_load_file(path.text, 0, NULL);
	if (json == NULL ||
	    json_unpack(json, "{s:s,s:I,s:s,s?i,s?I,s?s}", "end", &end, "when", &when, "error",
			&error, "status", &status, "started", &started, "origin", &origin) < 0) {
		json_decref(json);
		return err_set(err, ERR_NOT_FOUND, "%s: no record of its end", name);
	}
	*record = (struct record){
		.end = record_end_by_name(end),
		.when = when,
		.started = started,
		.status = status & 0xff,
	};
	snprintf(record->error, sizeof(record->error), "%s", error);
	snprintf(record->origin, sizeof(record->origin), "%s", origin);
	json_decref(json);
	return 0;
}

void record_remove_all(const char *name)
{
	static const char *const files[] = {"exit",
					    "exit.new",
					    "console.log",
					    "console.log.1",
					    "console.log.times",
					    "console.log.times.1",
					    "torpor.log",
					    "torpor.log.1",
					    EVENT_LOG_FILE,
					    EVENT_LOG_OLD_FILE,
					    "every",
					    "restarts",
					    ""};
	struct path path;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (path_state(&path, name, files[i], NULL) == 0)
			(void)(files[i][0] != '\0' ? unlink(path.text) : rmdir(path.text));
	}
}

int record_exit_status(enum machine_end end, int status)
{
	switch (end) {
	case MACHINE_END_POWEROFF:
		return status;
	case MACHINE_END_SAVED:
	case MACHINE_END_MOVED:
		return 0;
	case MACHINE_END_KILLED:
		return 137;
	default:
		return 125;
	}
}

static int names_add(struct machine_names *names, const char *name, struct err *err)
{
	char **grown;

	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->name[i], name) == 0)
			return 0;
	}
	grown = array_grow(names->name, names->count, sizeof(grown[0]));
	if (grown == NULL)
		return err_sys(err, ENOMEM, "list machines");
	names->name = grown;
	grown[names->count] = strdup(name);
	if (grown[names->count] == NULL)
		return err_sys(err, ENOMEM, "list machines");
	names->count++;
	return 0;
}

static int names_add_folder(struct machine_names *names, const struct path *root, struct err *err)
{
	DIR *dir = opendir(root->text);
	const struct dirent *entry;
	int ret = 0;

	if (dir == NULL)
		/* One that this user may not enter (the home of root, in a user namespace) has none
		 * of its machines. */
		return errno == ENOENT || errno == EACCES
			       ? 0
			       : err_sys(err, errno, "list %s", root->text);
	while (ret == 0 && (entry = readdir(dir)) != NULL) {
		if (entry->d_type == DT_DIR && name_is_valid(entry->d_name))
			ret = names_add(names, entry->d_name, err);
	}
	closedir(dir);
	return ret;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int machine_names_list(struct machine_names *names, struct err *err)
{
	struct path runtime, state;
	int ret = path_runtime_root(&runtime, err);

	*names = (struct machine_names){0};
	if (ret < 0)
		return ret;
	ret = path_runtime_check(err);
	if (ret < 0)
		return ret;
	ret = path_state_root(&state, err);
	if (ret < 0)
		return ret;
	ret = names_add_folder(names, &runtime, err);
	if (ret == 0)
		ret = names_add_folder(names, &state, err);
	if (ret < 0) {
		machine_names_free(names);
		return ret;
	}
	if (names->count > 0)
		qsort(names->name, names->count, sizeof(names->name[0]), by_name);
	return 0;
}

void machine_names_free(struct machine_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->name[i]);
	free(names->name);
	*names = (struct machine_names){0};
}

bool machine_is_known(const char *name)
{
	struct path runtime, state;
	struct stat st;

	return path_runtime(&runtime, name, "", NULL) == 0 &&
	       path_state(&state, name, "", NULL) == 0 &&
	       (stat(runtime.text, &st) == 0 || stat(state.text, &st) == 0);
}

/* NULL when it does not answer. *timed_out: it is neither starting nor ending. */
static json_t *ask_status(const char *name, unsigned timeout_ms, bool *timed_out)
{
	struct client client;
	json_t *reply = NULL;
	int ret = client_open_within(&client, name, timeout_ms, NULL);

	if (ret >= 0) {
		ret = client_do(&client, "status", (int)timeout_ms, &reply, NULL);
		client_close(&client);
	}
	*timed_out = ret == -ETIMEDOUT;
	if (reply != NULL)
		json_object_del(reply, "ok");
	return reply;
}

static json_t *running_status(const char *name)
{
	struct arrivals_status arrivals;
	const bool arriving = arriving_look(name, &arrivals);
	const bool waiting = arriving && arrivals.state != ARRIVALS_GOING;
	bool timed_out;
	json_t *status =
		ask_status(name, waiting ? WAITING_TIMEOUT_MS : STATUS_TIMEOUT_MS, &timed_out);
	pid_t pid = claim_holder(CLAIM_MACHINE, name);

	if (status != NULL)
		return status;
	if (pid == 0 || (!timed_out && !waiting))
		return json_pack("{s:s,s:s}", "name", name, "state", "busy");
	if (arriving)
		return json_pack("{s:s,s:s,s:i,s:o*}", "name", name, "state", "waiting", "pid",
				 (int)pid, "arriving", arriving_json(&arrivals));
	return json_pack("{s:s,s:s,s:i}", "name", name, "state", "not-answering", "pid", (int)pid);
}

json_t *machine_status(const char *name)
{
	struct record record;
	json_t *status;

	if (claim_is_held(name))
		return running_status(name);
	if (record_read(name, &record, NULL) < 0)
		return json_pack("{s:s,s:s}", "name", name, "state", "dead");
	status = json_pack("{s:s,s:s,s:s,s:I,s:s,s:i,s:i}", "name", name, "state", "exited", "end",
			   machine_end_name(record.end), "ended", (json_int_t)record.when, "error",
			   record.error, "status", record.status, "exit-status",
			   record_exit_status(record.end, record.status));
	if (record.started > 0)
		json_object_set_new(status, "started", json_integer((json_int_t)record.started));
	if (record.origin[0] != '\0')
		json_object_set_new(status, "origin", json_string(record.origin));
	return status;
}
