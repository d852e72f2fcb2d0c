/*
 * A process that answers on the agent's port as QEMU's guest agent does (interop/qemu-ga), as far
 * as torpor asks: time, commands, files. So the host needs no second way to reach guests of ours.
 *
 * Three of the host's commands are scripts for a shell, which the image may not have. They are known
 * by the name that the host gives the shell ($0), and done without one: "torpor" starts the helper
 * (guest/agent_files.c), "torpor-reseed" renews the kernel's random numbers (guest/reseed.c),
 * "torpor-wake" runs the wake hooks (instance/resume_hooks.c).
 *
 * One thread, one ppoll(2). See init.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>

#include "guest/helper/execute.h"
#include "guest/helper/random.h"
#include "guest/init/init.h"

#define LINE_SIZE     (512u << 10) /* of a question */
#define ANSWER_SIZE   (256u << 10)
#define READ_MAX      (128u << 10)
#define OUTPUT_MAX    (48u << 10) /* of a command, of each kind */
#define PROCESSES_MAX 16u
#define HANDLES_MAX   16u
#define WORDS_MAX     64u
#define DELIMITER     0xff
#define PORT_WAIT_MS  100u

struct process {
	long pid; /* 0: free */
	bool exited;
	int status, out, err;
};

static struct process processes[PROCESSES_MAX];
static int handles[HANDLES_MAX]; /* number and file; 0: free */
static long port;
static char line[LINE_SIZE];
static size_t line_len;
static char answer[ANSWER_SIZE];
static size_t answer_len;
static char texts[LINE_SIZE]; /* decoded words of a question */
static uint8_t data[READ_MAX];
static uint32_t end_signal; /* for process 1 */

static const char *const commands[] = {
	"guest-sync-delimited", "guest-sync",	    "guest-ping",      "guest-info",
	"guest-set-time",	"guest-get-time",   "guest-exec",      "guest-exec-status",
	"guest-file-open",	"guest-file-close", "guest-file-read", "guest-file-write",
	"guest-file-flush",	"guest-shutdown",
};

/* --- answers --- */

static void add(const char *part)
{
	size_t len = text_len(part);

	if (len > sizeof(answer) - answer_len)
		return;
	memcpy(answer + answer_len, part, len);
	answer_len += len;
}

static void add_number(int64_t number)
{
	struct text text = {.len = 0};

	text_add(&text, number < 0 ? "-" : "");
	text_add_number(&text, number < 0 ? -(uint64_t)number : (uint64_t)number);
	add(text.data);
}

static void add_base64(const uint8_t *from, size_t len)
{
	if ((len + 2) / 3 * 4 + 1 > sizeof(answer) - answer_len)
		return;
	answer_len += base64_to(from, len, answer + answer_len);
}

static void refuse(const char *why, long error)
{
	answer_len = 0;
	add("{\"error\":{\"class\":\"GenericError\",\"desc\":\"");
	add(why);
	if (error < 0) {
		add(": ");
		add(error == -ENOENT   ? "No such file or directory"
		    : error == -EACCES ? "Permission denied"
		    : error == -ENOSPC ? "No space left on device"
				       : "error ");
		if (error != -ENOENT && error != -EACCES && error != -ENOSPC)
			add_number(-error);
	}
	add("\"}}");
}

static void return_number(int64_t number)
{
	add("{\"return\":");
	add_number(number);
	add("}");
}

static void return_nothing(void)
{
	add("{\"return\":{}}");
}

static void send_answer(void)
{
	size_t at = 0;

	add("\n");
	while (at < answer_len) {
		long put = SYS3(SYS_write, port, answer + at, answer_len - at);

		if (put > 0)
			at += (size_t)put;
		else if (put != -EINTR)
			return;
	}
}

/* --- time --- */

static void set_time(const char *arguments)
{
	struct timespec now;
	int64_t ns;
	long ret;

	if (!json_number(json_member(arguments, "time"), &ns) || ns < 0) {
		refuse("the time is missing", 0);
		return;
	}
	now.tv_sec = ns / 1000000000;
	now.tv_nsec = (long)(ns % 1000000000);
	ret = SYS2(SYS_clock_settime, CLOCK_REALTIME, &now);
	if (ret < 0)
		refuse("clock_settime", ret);
	else
		return_nothing();
}

static void get_time(void)
{
	struct timespec now;

	SYS2(SYS_clock_gettime, CLOCK_REALTIME, &now);
	return_number((int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
}

/* --- files --- */

static void open_file(const char *arguments)
{
	char path[4096], mode[8] = "r";
	unsigned handle = 1;
	int flags = O_RDONLY;
	long fd;

	if (json_text(json_member(arguments, "path"), path, sizeof(path)) < 0) {
		refuse("the path is missing", 0);
		return;
	}
	(void)json_text(json_member(arguments, "mode"), mode, sizeof(mode));
	if (mode[0] == 'w')
		flags = O_WRONLY | O_CREAT | O_TRUNC;
	else if (mode[0] == 'a')
		flags = O_WRONLY | O_CREAT | O_APPEND;
	while (handle < HANDLES_MAX && handles[handle] != 0)
		handle++;
	if (handle == HANDLES_MAX) {
		refuse("too many open files", 0);
		return;
	}
	fd = SYS4(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC | O_NONBLOCK, 0644);
	if (fd < 0) {
		refuse("failed to open file", fd);
		return;
	}
	handles[handle] = (int)fd;
	return_number(handle);
}

/* NULL, and an error answered: there is none. */
static int *find_handle(const char *arguments)
{
	int64_t number;

	if (json_number(json_member(arguments, "handle"), &number) && number > 0 &&
	    number < HANDLES_MAX && handles[number] != 0)
		return &handles[number];
	refuse("there is no such handle", 0);
	return NULL;
}

static void close_file(const char *arguments)
{
	int *handle = find_handle(arguments);

	if (handle == NULL)
		return;
	SYS1(SYS_close, *handle);
	*handle = 0;
	return_nothing();
}

static void read_file(const char *arguments)
{
	int *handle = find_handle(arguments);
	int64_t count = 4096;
	long got;

	if (handle == NULL)
		return;
	(void)json_number(json_member(arguments, "count"), &count);
	if (count < 0 || count > (int64_t)sizeof(data))
		count = sizeof(data);
	got = SYS3(SYS_read, *handle, data, count);
	if (got < 0) {
		refuse("failed to read file", got);
		return;
	}
	add("{\"return\":{\"count\":");
	add_number(got);
	add(",\"buf-b64\":\"");
	add_base64(data, (size_t)got);
	add(got == 0 ? "\",\"eof\":true}}" : "\",\"eof\":false}}");
}

static void write_file(const char *arguments)
{
	int *handle = find_handle(arguments);
	long len, put = 0;
	size_t size, at = 0;

	if (handle == NULL)
		return;
	len = json_text(json_member(arguments, "buf-b64"), texts, sizeof(texts));
	if (len < 0 || len / 4 * 3 + 3 > (long)sizeof(data)) {
		refuse("the bytes are missing, or too many", 0);
		return;
	}
	size = base64_from(texts, (size_t)len, data);
	while (at < size && (put = SYS3(SYS_write, *handle, data + at, size - at)) > 0)
		at += (size_t)put;
	if (at < size) {
		refuse("failed to write to file", put);
		return;
	}
	add("{\"return\":{\"count\":");
	add_number((int64_t)size);
	add(",\"eof\":false}}");
}

/* --- commands --- */

/* What guest-exec asks for. Pointers into `texts`. */
struct question {
	char *argv[WORDS_MAX + 2], *env[WORDS_MAX + 4];
	long input; /* -1: none */
	int out, err;
};

static char *take_text(const char *at, size_t *used)
{
	char *text = texts + *used;
	long len = json_text(at, text, sizeof(texts) - *used);

	if (len < 0)
		return NULL;
	*used += (size_t)len + 1;
	return text;
}

static bool take_words(const char *array, char **words, unsigned first, size_t *used)
{
	const char *at = json_elements(array), *value;

	while ((value = json_next(&at)) != NULL) {
		if (first == WORDS_MAX || (words[first] = take_text(value, used)) == NULL)
			return false;
		first++;
	}
	words[first] = NULL;
	return true;
}

static long make_memory_file(void)
{
	return SYS2(SYS_memfd_create, "torpor", MFD_CLOEXEC);
}

/* In a file, so that nothing has to wait for the command to read it. */
static long input_file(const char *arguments, size_t used)
{
	const char *at = json_member(arguments, "input-data");
	char *text = texts + used;
	long len = json_text(at, text, sizeof(texts) - used), fd;
	size_t size;

	if (len < 0)
		return SYS4(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC, 0);
	size = base64_from(text, (size_t)len, (uint8_t *)text); /* never longer than the text */
	fd = make_memory_file();
	SYS3(SYS_write, fd, text, size);
	SYS3(SYS_lseek, fd, 0, 0);
	return fd;
}

static bool copy_file(long from, const char *path)
{
	long to = SYS4(SYS_openat, AT_FDCWD, path,
		       O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0700);
	long got = to < 0 ? -1 : SYS3(SYS_lseek, from, 0, 0);

	while (got >= 0 && (got = SYS3(SYS_read, from, data, sizeof(data))) > 0) {
		if (SYS3(SYS_write, to, data, got) != got)
			got = -1;
	}
	if (to >= 0)
		SYS1(SYS_close, to);
	return got == 0;
}

/* Whether the helper finds that files in the folder are as it needs them (`helper -t`). */
static bool test_helper(char *helper, char *folder, char **env)
{
	char option[] = "-t";
	char *argv[] = {helper, option, folder, NULL};
	int status = -1;
	long pid = fork_process();

	if (pid == 0) {
		SYS3(SYS_execve, helper, argv, env);
		leave(1);
	}
	return pid > 0 && SYS4(SYS_wait4, pid, &status, 0, NULL) == pid && status == 0;
}

/* In the child: what the script of guest/bring_helper.c does for guest/agent_files.c. */
static _Noreturn void start_helper(const char *nonce, char *console_port, char **env)
{
	static const char *const places[] = {"/dev/shm", "/run", "/tmp", "/var/tmp"};
	static const char sorry[] =
		"no program can be put into /dev/shm, /run, /tmp or /var/tmp and run there\n";

	SYS1(SYS_umask, 077);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct text folder = {.len = 0}, helper;
		char *argv[4] = {NULL};

		text_add(&folder, places[i]);
		text_add(&folder, "/torpor-");
		text_add(&folder, nonce);
		helper = folder;
		text_add(&helper, "/helper");
		argv[0] = helper.data;
		argv[1] = folder.data;
		argv[2] = console_port;
		if (SYS3(SYS_mkdirat, AT_FDCWD, folder.data, 0700) < 0)
			continue;
		if (copy_file(0, helper.data) && test_helper(helper.data, folder.data, env))
			SYS3(SYS_execve, helper.data, argv, env);
		SYS3(SYS_unlinkat, AT_FDCWD, helper.data, 0);
		SYS3(SYS_unlinkat, AT_FDCWD, folder.data, AT_REMOVEDIR);
	}
	SYS3(SYS_write, 2, sorry, sizeof(sorry) - 1);
	leave(1);
}

static bool is_script(char *const *argv, const char *name)
{
	return argv[1] != NULL && argv[2] != NULL && argv[3] != NULL &&
	       text_equal(argv[0], "/bin/sh") && text_equal(argv[1], "-c") &&
	       text_equal(argv[3], name);
}

static _Noreturn void become_command(struct question *q)
{
	SYS3(SYS_dup3, q->input, 0, 0);
	SYS3(SYS_dup3, q->out, 1, 0);
	SYS3(SYS_dup3, q->err, 2, 0);
	SYS0(SYS_setsid);
	reset_signals();
	environment_complete(q->env, "/root", false);
	if (is_script(q->argv, "torpor") && q->argv[4] != NULL)
		start_helper(q->argv[4], q->argv[5], q->env);
	if (is_script(q->argv, "torpor-reseed"))
		leave(random_renew(0) == 0 ? 0 : 1);
	/* Without hooks nothing is amiss, and nothing is said. */
	if (is_script(q->argv, "torpor-wake") &&
	    SYS3(SYS_faccessat, AT_FDCWD, "/etc/torpor/wake.d", 0) < 0)
		leave(0);
	(void)find_and_execute(q->argv, q->env);
	leave(127);
}

static const char *variable(char *const *env, const char *name)
{
	size_t len = text_len(name);

	for (; *env != NULL; env++) {
		size_t i = 0;

		while (i < len && (*env)[i] == name[i])
			i++;
		if (i == len)
			return *env + len;
	}
	return "";
}

static void new_machine_id(void)
{
	uint8_t random[16];
	char id[34];

	/* Images are made without one; a first boot or a service may have put it there. */
	if (file_read("/etc/machine-id", id, sizeof(id)) < 32 ||
	    SYS3(SYS_getrandom, random, sizeof(random), 1) != (long)sizeof(random))
		return;
	for (unsigned i = 0; i < 16; i++) {
		id[2 * i] = "0123456789abcdef"[random[i] >> 4];
		id[2 * i + 1] = "0123456789abcdef"[random[i] & 15];
	}
	id[32] = '\n';
	(void)file_write("/etc/machine-id", id, 33);
}

/* What every guest of ours does after it was woken; hooks of the image come behind it. */
static void wake(char *const *env)
{
	const char *name = variable(env, "TORPOR_NAME=");

	if (!text_equal(variable(env, "TORPOR_NEW_IDENTITY="), "1")) {
		net_again("");
		return;
	}
	SYS2(SYS_sethostname, name, text_len(name));
	new_machine_id();
	net_again(variable(env, "TORPOR_MACS="));
}

static struct process *free_process(void)
{
	for (unsigned i = 0; i < PROCESSES_MAX; i++) {
		if (processes[i].pid == 0)
			return &processes[i];
	}
	return NULL;
}

static void execute(const char *arguments)
{
	static struct question q;
	struct process *p = free_process();
	size_t used = 0;
	long pid;

	q.argv[0] = take_text(json_member(arguments, "path"), &used);
	if (p == NULL || q.argv[0] == NULL ||
	    !take_words(json_member(arguments, "arg"), q.argv, 1, &used) ||
	    !take_words(json_member(arguments, "env"), q.env, 0, &used)) {
		refuse(p == NULL ? "too many commands" : "the command makes no sense", 0);
		return;
	}
	if (is_script(q.argv, "torpor-wake"))
		wake(q.env);
	q.input = input_file(arguments, used);
	q.out = (int)make_memory_file();
	q.err = (int)make_memory_file();
	pid = fork_process();
	if (pid == 0)
		become_command(&q);
	SYS1(SYS_close, q.input);
	if (pid < 0) {
		SYS1(SYS_close, q.out);
		SYS1(SYS_close, q.err);
		refuse("no process can be made", pid);
		return;
	}
	*p = (struct process){.pid = pid, .out = q.out, .err = q.err};
	add("{\"return\":{\"pid\":");
	add_number(pid);
	add("}}");
}

static void add_output(const char *name, int fd)
{
	long got = SYS4(SYS_pread64, fd, data, OUTPUT_MAX, 0);

	SYS1(SYS_close, fd);
	if (got <= 0)
		return;
	add(",\"");
	add(name);
	add("\":\"");
	add_base64(data, (size_t)got);
	add("\"");
}

static void execute_status(const char *arguments)
{
	struct process *p = processes;
	int64_t pid = 0;

	(void)json_number(json_member(arguments, "pid"), &pid);
	while (p < processes + PROCESSES_MAX && (p->pid != pid || pid == 0))
		p++;
	if (p == processes + PROCESSES_MAX) {
		refuse("there is no such process", 0);
		return;
	}
	if (!p->exited) {
		add("{\"return\":{\"exited\":false}}");
		return;
	}
	add("{\"return\":{\"exited\":true");
	add(WIFSIGNALED(p->status) ? ",\"signal\":" : ",\"exitcode\":");
	add_number(WIFSIGNALED(p->status) ? WTERMSIG(p->status) : WEXITSTATUS(p->status));
	add_output("out-data", p->out);
	add_output("err-data", p->err);
	add("}}");
	p->pid = 0;
}

static void reap(void)
{
	int status;
	long pid;

	while ((pid = SYS4(SYS_wait4, -1, &status, WNOHANG, NULL)) > 0) {
		for (unsigned i = 0; i < PROCESSES_MAX; i++) {
			if (processes[i].pid != pid)
				continue;
			processes[i].exited = true;
			processes[i].status = status;
		}
	}
}

/* --- questions --- */

static void tell_commands(void)
{
	add("{\"return\":{\"version\":\"torpor\",\"supported_commands\":[");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		add(i > 0 ? "," : "");
		add("{\"enabled\":true,\"success-response\":true,\"name\":\"");
		add(commands[i]);
		add("\"}");
	}
	add("]}}");
}

static void synchronize(const char *arguments, bool delimited)
{
	static const char delimiter[] = {(char)DELIMITER, '\0'};
	int64_t id = 0;

	(void)json_number(json_member(arguments, "id"), &id);
	if (delimited)
		add(delimiter);
	return_number(id);
}

static void shut_down(void)
{
	SYS2(SYS_kill, 1, end_signal);
	return_nothing();
}

static void handle(const char *command, const char *arguments)
{
	if (text_equal(command, "guest-sync-delimited"))
		synchronize(arguments, true);
	else if (text_equal(command, "guest-sync"))
		synchronize(arguments, false);
	else if (text_equal(command, "guest-ping") || text_equal(command, "guest-file-flush"))
		return_nothing();
	else if (text_equal(command, "guest-info"))
		tell_commands();
	else if (text_equal(command, "guest-set-time"))
		set_time(arguments);
	else if (text_equal(command, "guest-get-time"))
		get_time();
	else if (text_equal(command, "guest-file-open"))
		open_file(arguments);
	else if (text_equal(command, "guest-file-close"))
		close_file(arguments);
	else if (text_equal(command, "guest-file-read"))
		read_file(arguments);
	else if (text_equal(command, "guest-file-write"))
		write_file(arguments);
	else if (text_equal(command, "guest-exec"))
		execute(arguments);
	else if (text_equal(command, "guest-exec-status"))
		execute_status(arguments);
	else if (text_equal(command, "guest-shutdown"))
		shut_down();
	else
		refuse("The command is not known", 0);
}

static void handle_line(void)
{
	const char *at = line;
	char command[64];

	line[line_len] = '\0';
	while (*at == ' ' || *at == '\r')
		at++;
	if (*at == '\0')
		return;
	answer_len = 0;
	if (json_text(json_member(at, "execute"), command, sizeof(command)) < 0)
		refuse("this is no question", 0);
	else
		handle(command, json_member(at, "arguments"));
	send_answer();
}

/* A line that is too long is cut off, and is no question then. */
static void take_bytes(const uint8_t *bytes, long len)
{
	for (long i = 0; i < len; i++) {
		if (bytes[i] == DELIMITER) {
			line_len = 0;
		} else if (bytes[i] == '\n') {
			handle_line();
			line_len = 0;
		} else if (line_len + 1 < sizeof(line)) {
			line[line_len++] = (char)bytes[i];
		}
	}
}

static void read_port(void)
{
	static uint8_t bytes[32768];
	long got = SYS3(SYS_read, port, bytes, sizeof(bytes));

	if (got > 0)
		take_bytes(bytes, got);
	else
		sleep_ms(PORT_WAIT_MS); /* nobody is at the other end */
}

/* --- the process --- */

/* The image's own agent, if there is one and process 1 may start it, has the port. */
static bool image_has_agent(void)
{
	return SYS3(SYS_faccessat, AT_FDCWD, "/usr/sbin/qemu-ga", 1) == 0 ||
	       SYS3(SYS_faccessat, AT_FDCWD, "/usr/bin/qemu-ga", 1) == 0;
}

static void serve(bool watch_buttons)
{
	struct pollfd fds[2 + BUTTONS_MAX] = {{.fd = (int)port, .events = POLLIN}};
	uint64_t mask = 1ull << (SIGCHLD - 1);
	unsigned n = 2, buttons = 0;
	int button[BUTTONS_MAX];
	struct signalfd_siginfo info;

	SYS4(SYS_rt_sigprocmask, 0 /* SIG_BLOCK */, &mask, NULL, sizeof(mask));
	fds[1].fd = (int)SYS4(SYS_signalfd4, -1, &mask, sizeof(mask), SFD_NONBLOCK | SFD_CLOEXEC);
	fds[1].events = POLLIN;
	if (watch_buttons)
		buttons = button_open(button);
	for (unsigned i = 0; i < buttons; i++)
		fds[n++] = (struct pollfd){.fd = button[i], .events = POLLIN};
	for (;;) {
		SYS5(SYS_ppoll, fds, n, NULL, NULL, 0);
		if (fds[1].revents != 0)
			SYS3(SYS_read, fds[1].fd, &info, sizeof(info));
		reap();
		if (fds[0].revents != 0)
			read_port();
		for (unsigned i = 2; i < n; i++) {
			if (fds[i].revents != 0 && button_pressed(fds[i].fd))
				SYS2(SYS_kill, 1, end_signal);
		}
	}
}

void agent_run(long ready, uint32_t power_signal, bool image_is_init)
{
	end_signal = power_signal;
	net_lease(ready);
	port = -1;
	/* Its name comes a moment after it. */
	if (!image_is_init || !image_has_agent()) {
		for (unsigned i = 0; i < 50 && (port = port_open()) < 0; i++)
			sleep_ms(PORT_WAIT_MS);
	}
	serve(image_is_init);
	leave(0);
}
