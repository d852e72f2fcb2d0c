/*
 * The helper's own process. One thread, one ppoll(2).
 *
 * With a console port that it can open, frames go through that, both ways. Its folder is removed at
 * once. It stays, also when it is saved and woken elsewhere: each host that comes begins by a
 * greeting (exec_frame.h), and then nothing is left of the hosts before it. The commands of a host
 * that is silent for HOST_SILENT_MS are ended, but for detached ones.
 *
 * Without one, frames from the host are in the file `in`, frames to the host in the file `out`, both
 * in its folder. Both are only appended to; what the other side has read is cut out of them
 * (FALLOC_FL_PUNCH_HOLE), so that they stay small. Once the host has both open, folder and files lose
 * their names: nothing is left, whoever is killed. It ends when the host says so or is silent for
 * HOST_SILENT_MS, and its commands with it, but for detached ones.
 *
 *     helper FOLDER [PORT]  serve
 *     helper -t FOLDER      exit status 0: files there can be cut, and programs run
 *     helper -r FILE        new random numbers (random.h)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>

#include "guest/helper/console_port.h"
#include "guest/helper/helper.h"
#include "guest/helper/random.h"
#include "guest/helper/sys.h"

#define HOST_SILENT_MS 120000
#define DYING_MS       3000	   /* from SIGHUP to SIGKILL */
#define TTY_LINGER_MS  200	   /* for a terminal's last words */
#define TTY_LAST_MAX   (128 << 10) /* more than a terminal holds */
#define OUT_AHEAD_MAX  (2u << 20)  /* bytes that the host has not read */
#define CUT_STEP       (256u << 10)
#define BLOCK	       4096u
#define NO_INOTIFY_MS  20
#define OUT_FULL_MS    50
#define FILES_PER_EACH 4u
#define IOV_SIZE       (EXEC_HEADER + EXEC_FRAME_MAX)
#define PORT_WRITE     32768u		       /* Linux takes no more in one go */
#define DUE_LEAST      (EXEC_INPUT_WINDOW / 4) /* each time that the host is told costs a frame */

struct session {
	bool used;
	uint32_t id;
	int pid;     /* 0: none yet, or it is over */
	bool exited; /* `status` says how */
	int status;
	bool hung; /* nobody waits for it: it is being ended */
	bool detach, tty, input_ended;
	int in, out, err, report; /* -1: closed; `err` of a terminal is none */
	uint8_t failed[5];	  /* of `report`; 0: it became the command */
	uint8_t *args;		  /* mapped */
	uint32_t args_len;
	uint8_t *input; /* mapped, a ring of EXEC_INPUT_WINDOW bytes */
	uint32_t input_start, input_len;
	uint32_t input_due; /* bytes to give back */
	uint32_t credit;    /* bytes of output that may be sent */
	int last[2];	    /* it has exited: bytes that are still to be read of out and err; -1: to
			       the end */
	int64_t deadline;   /* SIGKILL when hung, else the end of a terminal; 0: none */
};

static struct session sessions[EXEC_SESSIONS_MAX];
static struct pollfd fds[2 + FILES_PER_EACH * EXEC_SESSIONS_MAX];
static int in_file, out_file, notify = -1, signals;
static bool by_port; /* in_file and out_file are the console port */
static uint8_t heard[2 * IOV_SIZE];
static uint32_t heard_len;
static uint8_t greeting[EXEC_GREETING]; /* of the host that is there, or as far as it has come */
static uint32_t greeting_len;		/* less than all of it: nothing else is acted on */
static uint64_t in_read, in_cut, out_sent, out_acked, out_cut;
static uint8_t pending[IOV_SIZE]; /* a frame that `out` had no room for */
static uint32_t pending_start, pending_len;
static struct rlimit files_limit;
static int64_t last_heard;
static bool over;
static const char *own_folder; /* NULL: it has been removed */

static int64_t now_ms(void)
{
	struct timespec now;

	SYS2(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void close_file(int *fd)
{
	if (*fd >= 0)
		SYS1(SYS_close, *fd);
	*fd = -1;
}

static void *map(size_t size)
{
	long at =
		SYS6(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at < 0 && at > -4096 ? NULL : (void *)at;
}

static void unmap(uint8_t **at, size_t size)
{
	if (*at != NULL)
		SYS2(SYS_munmap, *at, size);
	*at = NULL;
}

/* --- to the host --- */

/* Files whose storage cannot be cut grow: -t has looked. */
static void cut(int fd, uint64_t *from, uint64_t to)
{
	to -= to % BLOCK;
	if (to < *from + CUT_STEP)
		return;
	SYS4(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, *from, to - *from);
	*from = to;
}

/* Whether nothing waits for room any more. */
static bool flush_pending(void)
{
	while (pending_len > 0) {
		long put = SYS3(SYS_write, out_file, pending + pending_start, pending_len);

		if (put == -EINTR)
			continue;
		if (put <= 0)
			return false;
		out_sent += (uint64_t)put;
		pending_start += (uint32_t)put;
		pending_len -= (uint32_t)put;
	}
	return true;
}

static bool out_has_room(void)
{
	return flush_pending() && (by_port || out_sent - out_acked < OUT_AHEAD_MAX);
}

/* Only after flush_pending(), and with the frame's bytes behind its header in `pending`. */
static void send_frame(uint32_t session, uint8_t type, uint32_t len)
{
	exec_header(pending, session, type, len);
	pending_start = 0;
	pending_len = EXEC_HEADER + len;
	(void)flush_pending();
}

static void send_number(uint32_t session, uint8_t type, uint32_t number)
{
	exec_put32(pending + EXEC_HEADER, number);
	send_frame(session, type, 4);
}

static void send_exit(const struct session *s, uint8_t kind, uint32_t value)
{
	pending[EXEC_HEADER] = kind;
	exec_put32(pending + EXEC_HEADER + 1, value);
	send_frame(s->id, EXEC_EXIT, 5);
}

/* --- sessions --- */

static struct session *find_session(uint32_t id)
{
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++) {
		if (sessions[i].used && !sessions[i].hung && sessions[i].id == id)
			return &sessions[i];
	}
	return NULL;
}

static struct session *new_session(uint32_t id)
{
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++) {
		if (sessions[i].used)
			continue;
		sessions[i] = (struct session){.used = true,
					       .id = id,
					       .in = -1,
					       .out = -1,
					       .err = -1,
					       .report = -1,
					       .credit = EXEC_OUTPUT_WINDOW,
					       .last = {-1, -1}};
		return &sessions[i];
	}
	return NULL;
}

static void free_session(struct session *s)
{
	close_file(&s->in);
	close_file(&s->out);
	close_file(&s->err);
	close_file(&s->report);
	unmap(&s->args, EXEC_ARGS_MAX);
	unmap(&s->input, EXEC_INPUT_WINDOW);
	s->used = false;
}

static void signal_session(const struct session *s, int number)
{
	/* Before it has a group of its own it is alone. */
	if (s->pid > 0 && SYS2(SYS_kill, -s->pid, number) < 0)
		SYS2(SYS_kill, s->pid, number);
}

/* Before it became a command. */
static void fail_session(struct session *s, uint8_t kind, long error)
{
	s->exited = true;
	s->failed[0] = kind;
	exec_put32(s->failed + 1, (uint32_t)error);
	close_file(&s->in);
	close_file(&s->out);
	close_file(&s->err);
}

static void hang_up(struct session *s)
{
	if (s->pid == 0) {
		free_session(s);
		return;
	}
	s->hung = true;
	s->deadline = now_ms() + DYING_MS;
	signal_session(s, SIGHUP);
	signal_session(s, SIGCONT);
	close_file(&s->in);
	close_file(&s->out);
	close_file(&s->err);
}

/* --- the start of a command --- */

/* The next text of the arguments; NULL: there is none. */
static char *take_text(const struct session *s, uint32_t *at)
{
	uint32_t start = *at, end = start;

	while (end < s->args_len && s->args[end] != '\0')
		end++;
	if (end >= s->args_len)
		return NULL;
	*at = end + 1;
	return (char *)s->args + start;
}

/* The lists of pointers are mapped, too, and live as long as this process: only in the child. */
static bool parse_args(const struct session *s, struct command *c)
{
	uint32_t nargs = exec_get32(s->args + 8), nenv = exec_get32(s->args + 12);
	uint32_t at = EXEC_ARGS_FIXED;

	c->flags = exec_get32(s->args);
	if ((c->flags & ~(uint32_t)EXEC_FLAG_ALL) != 0 || nargs == 0 || nargs > s->args_len ||
	    nenv > s->args_len)
		return false;
	c->folder = take_text(s, &at);
	c->user = take_text(s, &at);
	c->argv = map(((size_t)nargs + nenv + 8) * sizeof(char *));
	if (c->user == NULL || c->argv == NULL)
		return false;
	c->env = c->argv + nargs + 1;
	for (uint32_t i = 0; i < nargs; i++) {
		if ((c->argv[i] = take_text(s, &at)) == NULL)
			return false;
	}
	for (uint32_t i = 0; i < nenv; i++) {
		if ((c->env[i] = take_text(s, &at)) == NULL)
			return false;
	}
	return true;
}

static void set_window(int tty, const uint8_t *rows_columns)
{
	struct winsize size = {
		.ws_row = (uint16_t)(rows_columns[0] | rows_columns[1] << 8),
		.ws_col = (uint16_t)(rows_columns[2] | rows_columns[3] << 8),
	};

	SYS3(SYS_ioctl, tty, TIOCSWINSZ, &size);
}

/* Returns the child's end. */
static long open_terminal(struct session *s)
{
	int unlocked = 0;
	long child;

	s->out = (int)SYS4(SYS_openat, AT_FDCWD, "/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
	if (s->out < 0)
		return s->out;
	SYS3(SYS_ioctl, s->out, TIOCSPTLCK, &unlocked);
	child = SYS3(SYS_ioctl, s->out, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (child < 0)
		return child;
	set_window(s->out, s->args + 4);
	s->in = (int)SYS3(SYS_fcntl, s->out, F_DUPFD_CLOEXEC, 3);
	return s->in < 0 ? s->in : child;
}

/* A pipe, one end of it for us; returns the child's end. */
static long open_pipe(int *ours, unsigned child_end)
{
	int ends[2];
	long ret = SYS2(SYS_pipe2, ends, O_CLOEXEC);

	if (ret < 0)
		return ret;
	*ours = ends[!child_end];
	return ends[child_end];
}

static void never_wait(int fd)
{
	if (fd >= 0)
		SYS3(SYS_fcntl, fd, F_SETFL, O_RDWR | O_NONBLOCK);
}

static long open_null(void)
{
	return SYS4(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
}

/* Returns 0, or what went wrong. */
static long open_files(struct session *s, uint32_t flags, struct child_files *child)
{
	long ret;

	if (s->tty) {
		ret = open_terminal(s);
		if (ret < 0)
			return ret;
		child->in = child->out = child->err = (int)ret;
		if ((flags & EXEC_FLAG_INPUT) == 0)
			close_file(&s->in);
		return 0;
	}
	if (s->detach || (flags & EXEC_FLAG_INPUT) == 0)
		ret = open_null();
	else
		ret = open_pipe(&s->in, 0);
	if (ret < 0)
		return ret;
	child->in = (int)ret;
	ret = s->detach ? open_null() : open_pipe(&s->out, 1);
	if (ret < 0)
		return ret;
	child->out = (int)ret;
	ret = s->detach ? open_null() : open_pipe(&s->err, 1);
	if (ret < 0)
		return ret;
	child->err = (int)ret;
	return 0;
}

static long fork_child(struct session *s, struct child_files *child)
{
	struct command command = {0};
	long pid = SYS5(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0) {
		if (!parse_args(s, &command))
			SYS1(SYS_exit_group, 127);
		child_run(&command, child);
	}
	return pid;
}

static void start_session(struct session *s)
{
	struct child_files child = {-1, -1, -1, -1, files_limit.rlim_cur, files_limit.rlim_max};
	uint32_t flags = s->args_len >= EXEC_ARGS_FIXED ? exec_get32(s->args) : 0;
	long ret;

	s->tty = (flags & EXEC_FLAG_TTY) != 0;
	s->detach = (flags & EXEC_FLAG_DETACH) != 0;
	if (s->args_len < EXEC_ARGS_FIXED) {
		fail_session(s, EXEC_NO_PROCESS, EINVAL);
		return;
	}
	ret = open_files(s, flags, &child);
	if (ret < 0) {
		fail_session(s, s->tty ? EXEC_NO_TTY : EXEC_NO_PROCESS, -ret);
	} else if ((ret = open_pipe(&s->report, 1)) < 0) {
		fail_session(s, EXEC_NO_PROCESS, -ret);
	} else {
		child.report = (int)ret;
		ret = fork_child(s, &child);
		if (ret < 0)
			fail_session(s, EXEC_NO_PROCESS, -ret);
		else
			s->pid = (int)ret;
	}
	close_file(&child.in);
	if (!s->tty) {
		close_file(&child.out);
		close_file(&child.err);
	}
	close_file(&child.report);
	never_wait(s->in);
	never_wait(s->out);
	never_wait(s->err);
	never_wait(s->report);
	unmap(&s->args, EXEC_ARGS_MAX);
}

/* --- from the host --- */

static void add_args(struct session *s, const uint8_t *data, uint32_t len)
{
	if (s->args == NULL)
		s->args = map(EXEC_ARGS_MAX);
	if (s->args == NULL || len > EXEC_ARGS_MAX - s->args_len) {
		fail_session(s, EXEC_NO_COMMAND, E2BIG);
		return;
	}
	memcpy(s->args + s->args_len, data, len);
	s->args_len += len;
}

static void add_input(struct session *s, const uint8_t *data, uint32_t len)
{
	if (s->in >= 0 && s->input == NULL)
		s->input = map(EXEC_INPUT_WINDOW);
	if (s->in < 0 || s->input == NULL) { /* nobody reads it */
		s->input_due += len;
		return;
	}
	if (len > EXEC_INPUT_WINDOW - s->input_len)
		len = EXEC_INPUT_WINDOW - s->input_len;
	while (len > 0) {
		uint32_t end = (s->input_start + s->input_len) % EXEC_INPUT_WINDOW;
		uint32_t part = EXEC_INPUT_WINDOW - end < len ? EXEC_INPUT_WINDOW - end : len;

		memcpy(s->input + end, data, part);
		data += part;
		len -= part;
		s->input_len += part;
	}
}

static void handle_session_frame(const struct exec_frame *f, const uint8_t *data)
{
	struct session *s = find_session(f->session);

	if (s == NULL && f->type == EXEC_ARGS)
		s = new_session(f->session);
	if (s == NULL)
		return;
	switch (f->type) {
	case EXEC_ARGS:
		if (s->pid == 0 && !s->exited)
			add_args(s, data, f->len);
		break;
	case EXEC_START:
		if (s->pid == 0 && !s->exited)
			start_session(s);
		break;
	case EXEC_INPUT:
		add_input(s, data, f->len);
		break;
	case EXEC_INPUT_END:
		s->input_ended = true;
		break;
	case EXEC_SIGNAL:
		if (f->len == 4)
			signal_session(s, (int)exec_get32(data));
		break;
	case EXEC_WINDOW:
		if (f->len == 4 && s->tty && s->out >= 0)
			set_window(s->out, data);
		break;
	case EXEC_CREDIT:
		if (f->len == 4)
			s->credit += exec_get32(data);
		break;
	case EXEC_HANGUP:
		hang_up(s);
		break;
	default:
		break;
	}
}

static void handle_frame(const struct exec_frame *f, const uint8_t *data)
{
	if (f->session != 0)
		handle_session_frame(f, data);
	else if (f->type == EXEC_ACK && f->len == 4)
		out_acked += exec_get32(data);
	else if (f->type == EXEC_BYE && !by_port)
		over = true;
}

static char path[512];

static const char *file_in(const char *folder, const char *name)
{
	size_t len = text_len(folder);

	if (len + text_len(name) + 2 > sizeof(path))
		return "";
	memcpy(path, folder, len);
	path[len] = '/';
	memcpy(path + len + 1, name, text_len(name) + 1);
	return path;
}

static void remove_folder(void)
{
	static const char *const names[] = {"in", "out", "helper"};

	if (own_folder == NULL)
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		SYS3(SYS_unlinkat, AT_FDCWD, file_in(own_folder, names[i]), 0);
	SYS3(SYS_unlinkat, AT_FDCWD, own_folder, AT_REMOVEDIR);
	own_folder = NULL;
}

static void hang_up_all(void)
{
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++) {
		if (sessions[i].used && !sessions[i].hung)
			hang_up(&sessions[i]);
	}
}

/* A host is there, which knows nothing of what was before. */
static void welcome(void)
{
	hang_up_all();
	memcpy(pending, greeting, EXEC_GREETING);
	exec_header(pending + EXEC_GREETING, 0, EXEC_HELLO, 4);
	exec_put32(pending + EXEC_GREETING + EXEC_HEADER, EXEC_VERSION);
	pending_start = 0;
	pending_len = EXEC_GREETING + EXEC_HEADER + 4;
	(void)flush_pending();
}

/* Returns how much of it was used. */
static uint32_t await_greeting(const uint8_t *data, uint32_t len)
{
	static const uint8_t magic[] = EXEC_MAGIC;

	for (uint32_t at = 0; at < len; at++) {
		if (greeting_len < EXEC_MAGIC_SIZE)
			greeting_len = exec_match(magic, greeting_len, data[at]);
		else if (data[at] < 0x80)
			greeting_len++;
		else
			greeting_len = data[at] == magic[0];
		if (greeting_len > 0)
			greeting[greeting_len - 1] = data[at];
		if (greeting_len == EXEC_GREETING) {
			welcome();
			return at + 1;
		}
	}
	return len;
}

/* The whole frames in `heard`. Returns how much of it was used. */
static uint32_t take_frames(void)
{
	const uint32_t trailer = by_port ? EXEC_TRAILER : 0;
	uint32_t at = 0;
	struct exec_frame f;

	while (!over) {
		if (by_port && greeting_len < EXEC_GREETING)
			at += await_greeting(heard + at, heard_len - at);
		if (heard_len - at < EXEC_HEADER)
			break;
		if (exec_parse_header(heard + at, &f) < 0) {
			over = !by_port;
			greeting_len = 0;
			continue;
		}
		if (heard_len - at - EXEC_HEADER < f.len + trailer)
			break;
		at += EXEC_HEADER + f.len + trailer;
		if (trailer == 0 ||
		    exec_get32(heard + at - EXEC_TRAILER) == exec_get32(greeting + EXEC_MAGIC_SIZE))
			handle_frame(&f, heard + at - trailer - f.len);
		else
			greeting_len = 0;
	}
	return at;
}

/* All that has come. */
static void read_host(void)
{
	long got = -EAGAIN;

	while (!over &&
	       (got = SYS3(SYS_read, in_file, heard + heard_len, sizeof(heard) - heard_len)) > 0) {
		uint32_t used;

		/* The host writes once it has opened both files. */
		remove_folder();
		last_heard = now_ms();
		heard_len += (uint32_t)got;
		in_read += (uint64_t)got;
		used = take_frames();
		heard_len -= used;
		memmove(heard, heard + used, heard_len);
	}
	if (by_port) {
		over |= got != -EAGAIN && got != -EINTR;
		return;
	}
	cut(in_file, &in_cut, in_read);
	cut(out_file, &out_cut, out_acked);
}

/* --- what the commands do --- */

static int bytes_left(int fd)
{
	int n = 0;

	if (fd >= 0)
		SYS3(SYS_ioctl, fd, FIONREAD, &n);
	return n;
}

/* What it left in its pipes is its own; what others write there from then on is not waited for. */
static void reap(void)
{
	int status;
	long pid;

	while ((pid = SYS4(SYS_wait4, -1, &status, WNOHANG, NULL)) > 0) {
		for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++) {
			struct session *s = &sessions[i];

			if (!s->used || s->pid != pid)
				continue;
			s->pid = 0;
			s->exited = true;
			s->status = status;
			s->last[0] = s->tty ? TTY_LAST_MAX : bytes_left(s->out);
			s->last[1] = bytes_left(s->err);
			if (!s->hung)
				s->deadline = s->tty ? now_ms() + TTY_LINGER_MS : 0;
		}
	}
}

/* The child says why it did not become the command, or the pipe is closed: it did. */
static void serve_report(struct session *s)
{
	long got;

	if (s->report < 0)
		return;
	got = SYS3(SYS_read, s->report, s->failed, sizeof(s->failed));
	if (got == -EAGAIN || got == -EINTR)
		return;
	close_file(&s->report);
	if (got == (long)sizeof(s->failed) || !s->detach || s->hung)
		return;
	s->failed[0] = EXEC_STARTED;
	exec_put32(s->failed + 1, (uint32_t)s->pid);
	s->exited = true;
	s->pid = 0;
}

static void serve_input(struct session *s)
{
	while (s->in >= 0 && s->input_len > 0) {
		uint32_t part = EXEC_INPUT_WINDOW - s->input_start;
		long put = SYS3(SYS_write, s->in, s->input + s->input_start,
				part < s->input_len ? part : s->input_len);

		if (put == -EINTR)
			continue;
		if (put == -EAGAIN)
			return;
		if (put < 0) { /* nobody reads any more */
			s->input_due += s->input_len;
			s->input_len = 0;
			close_file(&s->in);
			return;
		}
		s->input_start = (s->input_start + (uint32_t)put) % EXEC_INPUT_WINDOW;
		s->input_len -= (uint32_t)put;
		s->input_due += (uint32_t)put;
	}
	if (!s->input_ended || s->in < 0)
		return;
	if (s->tty)
		SYS3(SYS_write, s->in, "\4", 1);
	close_file(&s->in);
}

/* One frame of output at most, for the sake of the others. */
static void serve_output(struct session *s, int *fd, unsigned which)
{
	uint32_t most = PORT_WRITE - EXEC_HEADER;
	long got;

	if (*fd < 0)
		return;
	if (s->credit < most)
		most = s->credit;
	if (s->exited) {
		if (s->last[which] < (int)most)
			most = (uint32_t)s->last[which];
		if (s->last[which] == 0)
			close_file(fd);
	}
	if (most == 0 || *fd < 0 || !out_has_room())
		return;
	got = SYS3(SYS_read, *fd, pending + EXEC_HEADER, most);
	if (got == -EINTR)
		return;
	if (got == -EAGAIN) {
		if (s->exited && (!s->tty || now_ms() >= s->deadline))
			close_file(fd);
		return;
	}
	if (got <= 0) {
		close_file(fd);
		return;
	}
	s->credit -= (uint32_t)got;
	s->last[which] -= (int)got;
	send_frame(s->id, which == 0 ? EXEC_OUTPUT : EXEC_OUTPUT_ERR, (uint32_t)got);
}

static void serve_end(struct session *s)
{
	if (s->hung) {
		free_session(s);
		return;
	}
	if (s->out >= 0 || s->err >= 0 || !flush_pending())
		return;
	if (s->failed[0] != 0)
		send_exit(s, s->failed[0], exec_get32(s->failed + 1));
	else if (WIFSIGNALED(s->status))
		send_exit(s, EXEC_KILLED, (uint32_t)WTERMSIG(s->status));
	else
		send_exit(s, EXEC_EXITED, (uint32_t)WEXITSTATUS(s->status));
	free_session(s);
}

static void serve_session(struct session *s)
{
	serve_report(s);
	serve_input(s);
	/* What it says after it was hung up would be said of another session. */
	if (s->input_due >= DUE_LEAST && !s->hung && flush_pending()) {
		uint32_t due = s->input_due;

		s->input_due = 0;
		send_number(s->id, EXEC_CREDIT, due);
	}
	serve_output(s, &s->out, 0);
	serve_output(s, &s->err, 1);
	if (s->hung && s->pid > 0 && now_ms() >= s->deadline) {
		signal_session(s, SIGKILL);
		s->deadline = now_ms() + DYING_MS;
	}
	if (s->exited && s->report < 0)
		serve_end(s);
}

/* --- the loop --- */

static size_t add_poll(size_t n, int fd, short events)
{
	fds[n] = (struct pollfd){.fd = fd, .events = events};
	return n + 1;
}

static int sooner(int timeout, int64_t ms)
{
	if (ms < 0)
		ms = 0;
	return timeout < 0 || ms < timeout ? (int)ms : timeout;
}

/* What can go on is waited for; what waits for credit or room is woken by the host's frame. */
static size_t collect(int *timeout)
{
	int64_t now = now_ms();
	bool room = out_has_room();
	short port_events = pending_len > 0 ? POLLIN | POLLOUT : POLLIN;
	size_t n = add_poll(0, signals, POLLIN);

	n = by_port ? add_poll(n, in_file, port_events) : add_poll(n, notify, POLLIN);
	*timeout = by_port ? -1 : sooner(-1, last_heard + HOST_SILENT_MS - now);
	if (notify < 0 && !by_port)
		*timeout = sooner(*timeout, NO_INOTIFY_MS);
	if (pending_len > 0 && !by_port)
		*timeout = sooner(*timeout, OUT_FULL_MS);
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++) {
		struct session *s = &sessions[i];

		if (!s->used)
			continue;
		if (!s->hung)
			*timeout = sooner(*timeout, last_heard + HOST_SILENT_MS - now);
		if (s->report >= 0)
			n = add_poll(n, s->report, POLLIN);
		if (s->in >= 0 && s->input_len > 0)
			n = add_poll(n, s->in, POLLOUT);
		if (s->out >= 0 && room && s->credit > 0)
			n = add_poll(n, s->out, POLLIN);
		if (s->err >= 0 && room && s->credit > 0)
			n = add_poll(n, s->err, POLLIN);
		if (s->deadline != 0 && (s->hung || (room && s->credit > 0)))
			*timeout = sooner(*timeout, s->deadline - now);
		if (s->exited && room && s->credit > 0 && !s->tty)
			*timeout = 0;
	}
	return n;
}

static void serve(void)
{
	static uint8_t dropped[4096];
	size_t first = 0;

	while (!over) {
		struct timespec wait;
		int timeout;
		size_t n = collect(&timeout);

		wait.tv_sec = timeout / 1000;
		wait.tv_nsec = (long)(timeout % 1000) * 1000000;
		SYS5(SYS_ppoll, fds, n, timeout < 0 ? NULL : &wait, NULL, 0);
		SYS3(SYS_read, signals, dropped, sizeof(dropped));
		if (notify >= 0)
			SYS3(SYS_read, notify, dropped, sizeof(dropped));
		read_host();
		reap();
		/* Another one is the first each time: room may not be for all. */
		first++;
		for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++) {
			struct session *s = &sessions[(first + i) % EXEC_SESSIONS_MAX];

			if (s->used)
				serve_session(s);
		}
		if (now_ms() - last_heard < HOST_SILENT_MS)
			continue;
		hang_up_all();
		over = !by_port;
	}
}

/* --- begin and end --- */

static int make_file(const char *folder, const char *name, int flags)
{
	return (int)SYS4(SYS_openat, AT_FDCWD, file_in(folder, name),
			 flags | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* Whether files in the folder can be cut. */
static int test_folder(const char *folder)
{
	int fd = make_file(folder, "test", O_RDWR);
	uint8_t byte = 0;
	long ret = fd < 0 ? fd : SYS3(SYS_write, fd, &byte, 1);

	if (ret == 1)
		ret = SYS4(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BLOCK);
	SYS3(SYS_unlinkat, AT_FDCWD, file_in(folder, "test"), 0);
	return ret < 0;
}

/* Whether the host has files to look for. */
static bool make_files(const char *folder)
{
	in_file = make_file(folder, "in", O_RDWR);
	notify = (int)SYS1(SYS_inotify_init1, IN_NONBLOCK | IN_CLOEXEC);
	if (notify >= 0 &&
	    SYS3(SYS_inotify_add_watch, notify, file_in(folder, "in"), IN_MODIFY) < 0)
		close_file(&notify);
	/* The last: the host looks for it. */
	out_file = make_file(folder, "out", O_RDWR | O_APPEND);
	return in_file >= 0 && out_file >= 0;
}

static bool begin(const char *folder, const char *port)
{
	struct rlimit all;
	uint64_t mask = 1ull << (SIGCHLD - 1) | 1ull << (SIGPIPE - 1) | 1ull << (SIGHUP - 1) |
			1ull << (SIGINT - 1) | 1ull << (SIGTERM - 1);
	long null = open_null();

	for (int i = 0; i < 3; i++)
		SYS3(SYS_dup3, null, i, 0);
	SYS0(SYS_setsid);
	SYS4(SYS_rt_sigprocmask, 0 /* SIG_BLOCK */, &mask, NULL, sizeof(mask));
	mask = 1ull << (SIGCHLD - 1);
	signals = (int)SYS4(SYS_signalfd4, -1, &mask, sizeof(mask), SFD_NONBLOCK | SFD_CLOEXEC);
	SYS4(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &files_limit);
	all = files_limit;
	all.rlim_cur = all.rlim_max;
	SYS4(SYS_prlimit64, 0, RLIMIT_NOFILE, &all, NULL);
	SYS1(SYS_chdir, "/");
	own_folder = folder;
	last_heard = now_ms();
	if (null < 0 || signals < 0)
		return false;
	if (port != NULL)
		in_file = out_file =
			(int)console_port_open(port, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	by_port = port != NULL && in_file >= 0;
	if (!by_port)
		return make_files(folder);
	remove_folder();
	return true;
}

/* Returns the exit status. */
static int renew_random(const char *from)
{
	static const char sorry[] = "the kernel does not renew its random numbers\n";
	long file = SYS4(SYS_openat, AT_FDCWD, from, O_RDONLY | O_CLOEXEC, 0);

	if (file >= 0 && random_renew((int)file) == 0)
		return 0;
	SYS3(SYS_write, 2, sorry, sizeof(sorry) - 1);
	return 1;
}

/* Called by the first instructions, with the stack as execve(2) leaves it. */
_Noreturn void helper_main(const long *stack);

__attribute__((used)) _Noreturn void helper_main(const long *stack)
{
	long argc = stack[0];
	char *const *argv = (char *const *)(stack + 1);
	int status = 2;

	if (argc == 3 && text_equal(argv[1], "-t")) {
		status = test_folder(argv[2]);
	} else if (argc == 3 && text_equal(argv[1], "-r")) {
		status = renew_random(argv[2]);
	} else if ((argc == 2 || argc == 3) && begin(argv[1], argv[2])) {
		if (!by_port)
			send_number(0, EXEC_HELLO, EXEC_VERSION);
		serve();
		for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++) {
			if (sessions[i].used)
				signal_session(&sessions[i], SIGKILL);
		}
		remove_folder();
		status = 0;
	}
	for (;;)
		SYS1(SYS_exit_group, status);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall "
	"helper_main\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl helper_main\n");
#endif
