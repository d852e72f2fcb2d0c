/*
 * See event_reader.h.
 *
 * Watched are the folder of all machines, for new ones; the folder of each, for a log that is made
 * or begun anew; each log, for new lines; and each process, for its end. A log that was begun anew
 * is read to its end first. When the kernel had to drop notifications, everything is looked at.
 */
#include "events/event_reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/name.h"
#include "base/num.h"
#include "base/timer.h"
#include "events/event_log.h"
#include "host/claim.h"
#include "host/paths.h"

#define ROOT_EVENTS   (IN_CREATE | IN_MOVED_TO | IN_ONLYDIR)
#define FOLDER_EVENTS (IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_ONLYDIR)
#define NAME_FREE_MS  1000u /* from the last line of a machine until its name is free */

struct followed {
	struct followed *next;
	struct event_reader *reader;
	char name[NAME_SIZE];
	int folder_wd, file_wd; /* -1: not watched */
	int fd;			/* owned, of the log; -1: there is none */
	uint64_t at;		/* read up to there */
	bool alive;		/* its process has not said yet that it ends */
	pid_t pid;		/* of that process */
	int pidfd;		/* owned; -1: none */
	struct loop_watch process_watch;
};

struct past_event {
	uint64_t time;
	size_t index; /* of those with the same time the first one read is the first */
	json_t *event;
};

struct event_reader {
	struct event_params params;
	pthread_mutex_t lock; /* the loop's */
	struct loop loop;
	struct timer timer; /* of `until` */
	struct loop_watch watch;
	int inotify_fd;
	int root_wd;
	struct path root;
	struct followed *followed;
	struct past_event *past; /* owned */
	size_t npast;
	int ret; /* what ended the run */
	struct err err;
	char buffer[EVENT_LINE_MAX];
};

static void end_run(struct event_reader *r, int ret, const struct err *err)
{
	if (ret < 0 && r->ret == 0) {
		r->ret = ret;
		r->err = *err;
	}
	loop_stop(&r->loop);
}

/* --- lines --- */

/* NULL when the line is none. */
static json_t *parse_event(const char *name, const char *line, size_t len)
{
	json_t *event = json_parse((const uint8_t *)line, len, NULL);

	if (event != NULL && json_is_integer(json_object_get(event, "time")) &&
	    json_integer_value(json_object_get(event, "time")) >= 0 &&
	    json_is_string(json_object_get(event, "event")) &&
	    json_object_set_new(event, "name", json_string(name)) == 0)
		return event;
	json_decref(event);
	return NULL;
}

static uint64_t event_time(const json_t *event)
{
	return (uint64_t)json_integer_value(json_object_get(event, "time"));
}

static bool event_is(const json_t *event, const char *what)
{
	return strcmp(json_string_value(json_object_get(event, "event")), what) == 0;
}

/* Each whole line of a log from *at on, with `take`. What is too long for a line is skipped. */
static void read_lines(struct event_reader *r, int fd, uint64_t *at,
		       void (*take)(void *opaque, json_t *event), void *opaque, const char *name)
{
	for (;;) {
		ssize_t got = pread(fd, r->buffer, sizeof(r->buffer), (off_t)*at);
		size_t len = got > 0 ? (size_t)got : 0, start = 0;
		const char *end;

		while ((end = memchr(r->buffer + start, '\n', len - start)) != NULL) {
			size_t line = (size_t)(end - r->buffer) - start;
			json_t *event = parse_event(name, r->buffer + start, line);

			if (event != NULL)
				take(opaque, event);
			json_decref(event);
			start += line + 1;
		}
		if (start == 0 && len == sizeof(r->buffer))
			start = len;
		if (start == 0)
			return;
		*at += start;
	}
}

/* --- what is told --- */

/* Whoever hears of the end may use the name at once. The process gives it back behind its last
 * line. */
static void await_free_name(const struct followed *f)
{
	static const struct timespec pause = {.tv_nsec = (long)NS_PER_MS};

	for (unsigned i = 0; i < NAME_FREE_MS && f->pid != 0; i++) {
		if (claim_holder(CLAIM_MACHINE, f->name) != f->pid)
			return;
		nanosleep(&pause, NULL);
	}
}

static void tell(struct event_reader *r, const json_t *event)
{
	struct err err;
	int ret;

	if (r->ret < 0 || event_time(event) > r->params.until)
		return;
	ret = r->params.fn(r->params.opaque, event, &err);
	if (ret < 0)
		end_run(r, ret, &err);
}

static void forget_process(struct followed *f)
{
	loop_del(&f->reader->loop, &f->process_watch);
	if (f->pidfd >= 0)
		close(take_fd(&f->pidfd));
	f->pid = 0;
	f->alive = false;
}

static void read_new_lines(struct followed *f);

static void drop_followed(struct followed *f)
{
	struct event_reader *r = f->reader;
	struct followed **at = &r->followed;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	forget_process(f);
	if (f->file_wd >= 0)
		inotify_rm_watch(r->inotify_fd, f->file_wd);
	if (f->folder_wd >= 0)
		inotify_rm_watch(r->inotify_fd, f->folder_wd);
	if (f->fd >= 0)
		close(f->fd);
	free(f);
}

static void on_process_end(struct loop_watch *watch, uint32_t events)
{
	struct followed *f = container_of(watch, struct followed, process_watch);

	(void)events;
	loop_del(&f->reader->loop, watch);
	read_new_lines(f);
	if (f->alive) {
		json_t *event =
			json_pack("{s:I,s:s,s:s,s:i}", "time", (json_int_t)clock_realtime_ns(),
				  "event", EVENT_DEAD, "name", f->name, "pid", (int)f->pid);

		if (event != NULL)
			tell(f->reader, event);
		json_decref(event);
	}
	forget_process(f);
	if (f->folder_wd < 0)
		drop_followed(f);
}

/* The process that has the name now. */
static void find_process(struct followed *f)
{
	struct loop *loop = &f->reader->loop;
	pid_t pid = claim_holder(CLAIM_MACHINE, f->name);

	if (pid == f->pid)
		return;
	forget_process(f);
	if (pid == 0)
		return;
	f->pid = pid;
	f->alive = true;
	f->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (f->pidfd >= 0 &&
	    loop_add(loop, &f->process_watch, f->pidfd, EPOLLIN, on_process_end, NULL) < 0)
		close(take_fd(&f->pidfd));
}

static void take_new_event(void *opaque, json_t *event)
{
	struct followed *f = opaque;

	if (event_is(event, EVENT_STARTED) || event_is(event, EVENT_RESUMED))
		find_process(f);
	if (event_is(event, EVENT_EXITED)) {
		await_free_name(f);
		forget_process(f);
	}
	tell(f->reader, event);
}

static void read_new_lines(struct followed *f)
{
	struct stat st;

	/* Somebody else has cut it. */
	if (f->fd >= 0 && fstat(f->fd, &st) == 0 && (uint64_t)st.st_size < f->at)
		f->at = 0;
	if (f->fd >= 0)
		read_lines(f->reader, f->fd, &f->at, take_new_event, f, f->name);
}

/* --- what is followed --- */

/* A log, or -1. That there is none is no error; that there are too many files open is one, or events
 * would be missing without a word. */
static int open_file(struct event_reader *r, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct err err;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		end_run(r, err_sys(&err, errno, "open %s", path), &err);
	return fd;
}

/* The log that the folder has now, from its beginning. */
static void open_log(struct followed *f)
{
	struct event_reader *r = f->reader;
	struct path path;
	struct stat old, now;
	cleanup_fd int fd = -1;

	if (path_state(&path, f->name, EVENT_LOG_FILE, NULL) < 0)
		return;
	fd = open_file(r, path.text);
	if (fd < 0 || fstat(fd, &now) < 0 || !S_ISREG(now.st_mode))
		return;
	if (f->fd >= 0 && fstat(f->fd, &old) == 0 && old.st_dev == now.st_dev &&
	    old.st_ino == now.st_ino)
		return;
	if (f->fd >= 0) {
		close(f->fd);
		inotify_rm_watch(r->inotify_fd, f->file_wd);
	}
	f->fd = take_fd(&fd);
	f->at = 0;
	f->file_wd = inotify_add_watch(r->inotify_fd, path.text, IN_MODIFY);
}

static void look_at(struct followed *f)
{
	read_new_lines(f);
	open_log(f);
	read_new_lines(f);
}

static struct followed *find_followed(struct event_reader *r, const char *name)
{
	struct followed *f = r->followed;

	while (f != NULL && strcmp(f->name, name) != 0)
		f = f->next;
	return f;
}

static bool is_wanted(const struct event_reader *r, const char *name)
{
	if (!name_is_valid(name))
		return false;
	for (size_t i = 0; i < r->params.nnames; i++) {
		if (strcmp(r->params.name[i], name) == 0)
			return true;
	}
	return r->params.nnames == 0;
}

/* NULL when it is not wanted, is no folder, or without memory or a watch: then *ret is an error. */
static struct followed *follow(struct event_reader *r, const char *name, int *ret, struct err *err)
{
	struct followed *f = find_followed(r, name);
	struct path folder;

	*ret = 0;
	if (!is_wanted(r, name) || path_state(&folder, name, "", NULL) < 0)
		return NULL;
	if (f == NULL) {
		f = calloc(1, sizeof(*f));
		if (f == NULL) {
			*ret = err_sys(err, ENOMEM, "follow machine %s", name);
			return NULL;
		}
		f->reader = r;
		f->folder_wd = f->file_wd = f->fd = f->pidfd = f->process_watch.fd = -1;
		memcpy(f->name, name, strlen(name));
		f->next = r->followed;
		r->followed = f;
	}
	f->folder_wd = inotify_add_watch(r->inotify_fd, folder.text, FOLDER_EVENTS);
	if (f->folder_wd >= 0)
		return f;
	if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
		*ret = err_sys(err, errno, "watch %s", folder.text);
	if (f->pidfd < 0)
		drop_followed(f);
	return NULL;
}

static void follow_new(struct event_reader *r, const char *name)
{
	struct err err;
	int ret;
	struct followed *f = follow(r, name, &ret, &err);

	if (ret < 0)
		end_run(r, ret, &err);
	if (f != NULL)
		look_at(f);
}

static int for_each_folder(struct event_reader *r,
			   int (*fn)(struct event_reader *r, const char *name, struct err *err),
			   struct err *err)
{
	DIR *dir = opendir(r->root.text);
	const struct dirent *entry;
	int ret = 0;

	if (dir == NULL)
		return err_sys(err, errno, "list %s", r->root.text);
	while (ret == 0 && (entry = readdir(dir)) != NULL)
		ret = fn(r, entry->d_name, err);
	closedir(dir);
	return ret;
}

static int look_at_folder(struct event_reader *r, const char *name, struct err *err)
{
	struct followed *f;
	int ret;

	if (find_followed(r, name) != NULL)
		return 0;
	f = follow(r, name, &ret, err);
	if (f != NULL)
		look_at(f);
	return ret;
}

/* Notifications were dropped: a folder may have been removed, and another may have its name. */
static void look_at_all(struct event_reader *r)
{
	struct followed *f = r->followed, *next;
	struct err err;
	int ret;

	for (; f != NULL; f = next) {
		next = f->next;
		read_new_lines(f);
		follow_new(r, f->name);
	}
	ret = for_each_folder(r, look_at_folder, &err);
	if (ret < 0)
		end_run(r, ret, &err);
}

/* --- notifications --- */

static void on_folder_gone(struct followed *f)
{
	read_new_lines(f);
	f->folder_wd = -1;
	if (!f->alive)
		drop_followed(f);
}

static void take_notification(struct event_reader *r, const struct inotify_event *n)
{
	struct followed *f = r->followed;

	if ((n->mask & IN_Q_OVERFLOW) != 0) {
		look_at_all(r);
		return;
	}
	if (n->wd == r->root_wd) {
		if (n->len > 0)
			follow_new(r, n->name);
		return;
	}
	while (f != NULL && f->folder_wd != n->wd && f->file_wd != n->wd)
		f = f->next;
	if (f == NULL)
		return;
	if (f->folder_wd == n->wd && (n->mask & (IN_DELETE_SELF | IN_IGNORED)) != 0)
		on_folder_gone(f);
	else if (f->file_wd == n->wd && (n->mask & IN_IGNORED) != 0)
		f->file_wd = -1;
	else if (f->file_wd == n->wd)
		read_new_lines(f);
	else if (n->len > 0 && strcmp(n->name, EVENT_LOG_FILE) == 0)
		look_at(f);
}

static void on_notifications(struct loop_watch *watch, uint32_t events)
{
	struct event_reader *r = container_of(watch, struct event_reader, watch);
	_Alignas(struct inotify_event) char buffer[4096];
	ssize_t got = read(r->inotify_fd, buffer, sizeof(buffer));

	(void)events;
	for (ssize_t at = 0; at < got;) {
		const struct inotify_event *n = (const void *)(buffer + at);

		take_notification(r, n);
		at += (ssize_t)(sizeof(*n) + n->len);
	}
}

/* --- the past --- */

static void take_past_event(void *opaque, json_t *event)
{
	struct event_reader *r = opaque;
	struct past_event *grown;

	if (event_time(event) < r->params.since)
		return;
	grown = array_grow(r->past, r->npast, sizeof(*grown));
	if (grown == NULL) {
		r->ret = err_sys(&r->err, ENOMEM, "read the events of the past");
		return;
	}
	r->past = grown;
	grown[r->npast] = (struct past_event){event_time(event), r->npast, json_incref(event)};
	r->npast++;
}

static void read_past(struct followed *f)
{
	struct event_reader *r = f->reader;
	cleanup_fd int old = -1;
	struct path path;
	uint64_t at = 0;

	if (path_state(&path, f->name, EVENT_LOG_OLD_FILE, NULL) == 0)
		old = open_file(r, path.text);
	if (old >= 0)
		read_lines(r, old, &at, take_past_event, r, f->name);
	if (f->fd >= 0)
		read_lines(r, f->fd, &f->at, take_past_event, r, f->name);
}

static int by_time(const void *a, const void *b)
{
	const struct past_event *x = a, *y = b;

	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

static void tell_past(struct event_reader *r)
{
	if (r->npast > 0)
		qsort(r->past, r->npast, sizeof(r->past[0]), by_time);
	for (size_t i = 0; i < r->npast; i++)
		tell(r, r->past[i].event);
}

/* A machine that is there already. */
static int follow_old(struct event_reader *r, const char *name, struct err *err)
{
	struct stat st;
	int ret;
	struct followed *f = follow(r, name, &ret, err);

	if (f == NULL)
		return ret;
	open_log(f);
	if (r->params.since != UINT64_MAX)
		read_past(f);
	else if (f->fd >= 0 && fstat(f->fd, &st) == 0)
		f->at = (uint64_t)st.st_size;
	find_process(f);
	return 0;
}

/* --- begin and end --- */

static void on_until(void *opaque)
{
	struct event_reader *r = opaque;
	uint64_t now = clock_realtime_ns();

	if (now >= r->params.until) {
		end_run(r, 0, NULL);
		return;
	}
	timer_set(&r->timer, (unsigned)u64_min((r->params.until - now) / NS_PER_MS + 1, INT_MAX));
}

/* A log and a process of each machine are open. */
static void allow_many_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int open_watches(struct event_reader *r, struct err *err)
{
	int ret = loop_init(&r->loop, &r->lock, err);

	if (ret < 0)
		return ret;
	ret = timer_open(&r->timer, &r->loop, on_until, r, err);
	if (ret < 0)
		return ret;
	r->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (r->inotify_fd < 0)
		return err_sys(err, errno, "inotify_init1");
	ret = loop_add(&r->loop, &r->watch, r->inotify_fd, EPOLLIN, on_notifications, err);
	if (ret < 0)
		return ret;
	ret = path_state_root(&r->root, err);
	if (ret < 0)
		return ret;
	ret = path_make_dirs(&r->root, err);
	if (ret < 0)
		return ret;
	r->root_wd = inotify_add_watch(r->inotify_fd, r->root.text, ROOT_EVENTS);
	return r->root_wd < 0 ? err_sys(err, errno, "watch %s", r->root.text) : 0;
}

int event_reader_open(struct event_reader **reader, const struct event_params *params,
		      struct err *err)
{
	struct event_reader *r = calloc(1, sizeof(*r));
	int ret;

	*reader = NULL;
	if (r == NULL)
		return err_sys(err, ENOMEM, "read events");
	r->params = *params;
	r->loop.epoll_fd = r->loop.stop_fd = r->inotify_fd = -1;
	r->watch.fd = -1;
	r->timer = TIMER_CLOSED;
	pthread_mutex_init(&r->lock, NULL);
	allow_many_files();
	ret = open_watches(r, err);
	if (ret == 0)
		ret = for_each_folder(r, follow_old, err);
	if (ret < 0) {
		event_reader_close(r);
		return ret;
	}
	*reader = r;
	return 0;
}

int event_reader_run(struct event_reader *r, struct err *err)
{
	int ret;

	tell_past(r);
	if (r->params.until != UINT64_MAX)
		on_until(r);
	ret = r->ret < 0 ? 0 : loop_run(&r->loop, err);
	if (r->ret < 0 && err != NULL)
		*err = r->err;
	return r->ret < 0 ? r->ret : ret;
}

void event_reader_stop(struct event_reader *r)
{
	end_run(r, 0, NULL);
}

struct loop *event_reader_loop(struct event_reader *r)
{
	return &r->loop;
}

void event_reader_close(struct event_reader *r)
{
	while (r->followed != NULL)
		drop_followed(r->followed);
	for (size_t i = 0; i < r->npast; i++)
		json_decref(r->past[i].event);
	free(r->past);
	timer_close(&r->timer);
	loop_free(&r->loop);
	cleanup_fd_fn(&r->inotify_fd);
	free(r);
}
