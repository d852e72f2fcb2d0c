/* Commands in the guest, by the helper that torpor puts there, with this machine as the guest. What does
 * not ask for one way to it (guest/transport.h) is tested with each. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/unix_socket.h"
#include "cli/guest_command.h"
#include "guest/agent_files.h"
#include "guest/exec_port.h"
#include "guest/exec_sessions.h"
#include "host/control.h"
#include "tests/unit/local_agent.h"
#include "tests/unit/local_port.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t thread;
static struct loop loop;
static struct local_agent guest;
static struct agent agent;
static struct agent_files files;
static struct local_port console;
static struct exec_port exec_port;
static struct log host_log = {.fd = -1, .prefix = "test"};
static struct transport *way;
static struct exec_sessions commands;
static struct control control;
static char folder[] = "/tmp/torpor-exec.XXXXXX", address[64];

static json_t *answer(void *opaque, const char *what, const json_t *request, struct err *err)
{
	(void)opaque;
	(void)request;
	(void)err;
	return strcmp(what, "exec") == 0 ? json_pack("{s:b}", "ok", 1) : NULL;
}

static int attach(void *opaque, const char *what, int fd, const uint8_t *data, size_t len,
		  struct err *err)
{
	(void)opaque;
	(void)what;
	return exec_sessions_attach(&commands, fd, data, len, err);
}

static void *run_loop(void *none)
{
	struct err err;

	cr_assert(eq(int, loop_run(&loop, &err), 0));
	return none;
}

static void setup_way(bool port)
{
	struct err err;

	cr_assert_not_null(mkdtemp(folder));
	snprintf(address, sizeof(address), "%s/control", folder);
	cr_assert(eq(int, loop_init(&loop, &lock, &err), 0));
	pthread_mutex_lock(&lock);
	local_agent_init(&guest, &loop);
	agent_init(&agent, &guest.port);
	agent_files_init(&files, &agent);
	local_port_init(&console, &loop);
	if (port)
		exec_port_init(&exec_port, &console.port, console.name, &files, &host_log);
	way = port ? &exec_port.transport : &files.transport;
	exec_sessions_init(&commands, way, &loop);
	cr_assert(eq(int, agent_open(&agent, &loop, &err), 0));
	cr_assert(eq(int, agent_files_open(&files, &loop, &err), 0));
	if (port)
		cr_assert(eq(int, exec_port_open(&exec_port, &loop, &err), 0));
	cr_assert(eq(int, exec_sessions_open(&commands, &err), 0));
	control_init(&control, &loop);
	control.answer = answer;
	control.hand_over = attach;
	cr_assert(eq(int, control_listen_at(&control, address, &err), 0));
	agent_go(&agent);
	local_agent_open(&guest, true);
	pthread_mutex_unlock(&lock);
	cr_assert(eq(int, pthread_create(&thread, NULL, run_loop, NULL), 0));
}

static void setup(void)
{
	setup_way(false);
}

static void setup_port(void)
{
	setup_way(true);
}

static bool is_idle(void)
{
	bool idle;

	pthread_mutex_lock(&lock);
	idle = files.state == FILES_IDLE;
	pthread_mutex_unlock(&lock);
	return idle;
}

static const char *const places[] = {"/dev/shm", "/run", "/tmp", "/var/tmp"};

/* Whether the helper's folder is there. */
static bool left_over(void)
{
	char path[128];

	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/torpor-%s", places[i], files.nonce);
		if (files.nonce[0] != '\0' && access(path, F_OK) == 0)
			return true;
	}
	return false;
}

static void teardown(void)
{
	pthread_mutex_lock(&lock);
	guest.lie = NULL;
	guest.mute = false;
	control_close_listeners(&control);
	exec_sessions_finish(&commands, "the test is over");
	way->ops->end(way);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < 1000 && (!is_idle() || (agent.state == AGENT_READY && left_over()));
	     i++)
		usleep(10000);
	cr_assert(is_idle());
	loop_stop(&loop);
	pthread_join(thread, NULL);
	if (guest.pid > 0)
		kill(guest.pid, SIGKILL);
	control_finish(&control, json_object());
	exec_port_close(&exec_port);
	agent_files_close(&files);
	agent_close(&agent);
	local_agent_free(&guest);
	local_port_free(&console);
	loop_free(&loop);
	rmdir(folder);
}

TestSuite(exec, .init = setup, .fini = teardown, .timeout = 600);
TestSuite(exec_port, .init = setup_port, .fini = teardown, .timeout = 600);

#define BOTH_WAYS(name)                                                                            \
	static void name(void);                                                                    \
	Test(exec, name)                                                                           \
	{                                                                                          \
		name();                                                                            \
	}                                                                                          \
	Test(exec_port, name)                                                                      \
	{                                                                                          \
		name();                                                                            \
	}                                                                                          \
	static void name(void)

static char *no_env[] = {NULL};

static int begin(struct guest_command *c, const struct guest_call *call, struct err *err)
{
	*c = (struct guest_command){.client = {.fd = unix_connect(address, 1000), .name = "web"}};
	cr_assert(ge(int, c->client.fd, 0));
	return guest_command_begin(c, call, err);
}

#define CALL(flag, ...)                                                                            \
	(&(const struct guest_call){.flags = (flag),                                               \
				    .folder = "",                                                  \
				    .user = "",                                                    \
				    .argv = (char *[]){__VA_ARGS__, NULL},                         \
				    .env = no_env})
#define SHELL(flag, script) CALL(flag, (char[]){"/bin/sh"}, (char[]){"-c"}, (char[]){script})

/* What a command wrote, up to its end. */
struct written {
	struct buf out, err;
	char failure[1024]; /* instead of an end */
	int status;
};

static struct written written;

static void follow(struct guest_command *c)
{
	struct exec_frame f;
	const uint8_t *data;
	struct err err = {0};
	int ret;

	buf_free(&written.out);
	buf_free(&written.err);
	written = (struct written){0};
	while ((ret = guest_command_frame(c, true, &f, &data, &err)) > 0) {
		if (f.type == EXEC_OUTPUT)
			buf_add(&written.out, data, f.len);
		else if (f.type == EXEC_OUTPUT_ERR)
			buf_add(&written.err, data, f.len);
	}
	buf_add_u8(&written.out, 0);
	buf_add_u8(&written.err, 0);
	snprintf(written.failure, sizeof(written.failure), "%s", err.text);
	written.status = ret < 0 ? -1 : guest_command_status(c, "it", &err);
	guest_command_close(c);
}

static int run(const struct guest_call *call)
{
	struct guest_command c;
	struct err err;

	cr_assert(eq(int, begin(&c, call, &err), 0), "%s", err.text);
	follow(&c);
	return written.status;
}

static const char *out(void)
{
	return (const char *)written.out.data;
}

BOTH_WAYS(both_outputs_and_the_status)
{
	cr_assert(eq(int, run(SHELL(0, "echo a; echo b >&2; echo c; exit 7")), 7), "%s",
		  written.failure);
	cr_assert_str_eq(out(), "a\nc\n");
	cr_assert_str_eq((char *)written.err.data, "b\n");
	cr_assert(eq(int, run(SHELL(0, "read x || echo nothing")), 0));
	cr_assert_str_eq(out(), "nothing\n");
}

BOTH_WAYS(every_status)
{
	char script[32];

	for (int i = 0; i < 256; i++) {
		snprintf(script, sizeof(script), "exit %d", i);
		cr_assert(eq(int, run(CALL(0, (char[]){"/bin/sh"}, (char[]){"-c"}, script)), i));
	}
}

BOTH_WAYS(signals_and_what_cannot_run)
{
	char secret[] = "/etc/passwd", nothing[] = "/no/such", name[] = "torpor-no-such-program";

	cr_assert(eq(int, run(SHELL(0, "kill -9 $$")), 137));
	cr_assert(eq(int, run(SHELL(0, "kill -TERM $$")), 143));
	cr_assert(eq(int, run(CALL(0, nothing)), 127));
	cr_assert(eq(int, run(CALL(0, name)), 127));
	cr_assert(eq(int, run(CALL(0, secret)), 126));
	cr_assert(eq(int, run(CALL(EXEC_FLAG_DETACH, nothing)), 127));
}

BOTH_WAYS(folder_user_and_variables)
{
	char *env[] = {(char[]){"A=1 2"}, (char[]){"HOME=/else"}, NULL};
	struct guest_call call = *SHELL(0, "pwd; echo \"$A:$HOME:$PATH\"; id -u; umask");

	call.env = env;
	call.folder = "/tmp";
	cr_assert(eq(int, run(&call), 0));
	cr_assert_str_eq(out(), "/tmp\n1 2:/else:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
				"/sbin:/bin\n0\n0022\n");
	call = *SHELL(0, "id -u; id -g; id -G; echo $HOME; pwd");
	call.user = "nobody";
	cr_assert(eq(int, run(&call), 0));
	cr_assert_str_eq(out(), "65534\n65534\n65534\n/nonexistent\n/\n");
	call.user = "12345:54321";
	cr_assert(eq(int, run(&call), 0));
	cr_assert_str_eq(out(), "12345\n54321\n54321\n/\n/\n");
	call.user = "no-such-user";
	cr_assert(eq(int, run(&call), 126));
	call.user = "root:no-such-group";
	cr_assert(eq(int, run(&call), 126));
	call.user = "";
	call.folder = "/no/such";
	cr_assert(eq(int, run(&call), 126));
}

BOTH_WAYS(arguments_of_any_bytes)
{
	char bytes[256], *large = malloc(100001);
	char printf_[] = "printf", format[] = "%s|", empty[] = "";

	for (int i = 1; i < 256; i++)
		bytes[i - 1] = (char)i;
	bytes[255] = '\0';
	memset(large, 'x', 100000);
	large[100000] = '\0';
	cr_assert(eq(int, run(CALL(0, printf_, format, bytes, empty, large)), 0));
	cr_assert(eq(sz, written.out.len, 255 + 1 + 1 + 100001 + 1));
	cr_assert(eq(int, memcmp(written.out.data, bytes, 255), 0));
	cr_assert(eq(int, memcmp(out() + 255, "||x", 3), 0));
	free(large);
}

/* Send so much, of known bytes, and compare what comes back. */
static void echo(size_t total, const struct guest_call *call)
{
	uint8_t data[EXEC_FRAME_MAX];
	struct guest_command c;
	struct exec_frame f;
	const uint8_t *got;
	size_t sent = 0, back = 0;
	struct err err;
	int ret;

	cr_assert(eq(int, begin(&c, call, &err), 0), "%s", err.text);
	while (!c.ended) {
		while (sent < total && c.input_left > 0) {
			size_t len = total - sent;

			if (len > c.input_left)
				len = c.input_left;
			if (len > sizeof(data))
				len = sizeof(data);
			for (size_t i = 0; i < len; i++)
				data[i] = (uint8_t)((sent + i) * 2654435761u >> 13);
			guest_command_send(&c, EXEC_INPUT, data, (uint32_t)len);
			sent += len;
			if (sent == total)
				guest_command_send(&c, EXEC_INPUT_END, NULL, 0);
		}
		ret = guest_command_frame(&c, true, &f, &got, &err);
		cr_assert(eq(int, ret, 1), "%s", err.text);
		for (size_t i = 0; f.type == EXEC_OUTPUT && i < f.len; i++, back++)
			cr_assert(eq(u8, got[i], (uint8_t)(back * 2654435761u >> 13)));
	}
	cr_assert(eq(sz, back, total));
	cr_assert(eq(int, guest_command_status(&c, "it", &err), 0));
	guest_command_close(&c);
}

/* More than pipes, windows and the agent's own limit of 16 MiB hold. */
BOTH_WAYS(input_and_output_of_any_length)
{
	echo(1, CALL(EXEC_FLAG_INPUT, (char[]){"cat"}));
	echo(20 << 20, CALL(EXEC_FLAG_INPUT, (char[]){"cat"}));
}

/* The files between helper and host stay small. */
Test(exec, what_was_read_is_cut_out_of_the_files)
{
	char script[] = "yes | head -c 30000000; find -L /proc/$PPID/fd -type f -printf '%k\\n' | "
			"sort -n | tail -1";
	size_t len;

	cr_assert(eq(int, run(CALL(0, (char[]){"/bin/sh"}, (char[]){"-c"}, script)), 0));
	len = written.out.len;
	cr_assert(ge(sz, len, 30000001));
	cr_assert(lt(int, atoi(out() + 30000000), 8192), "%s", out() + 30000000);
}

BOTH_WAYS(input_that_nobody_reads)
{
	uint8_t data[EXEC_FRAME_MAX] = {0};
	struct guest_command c;
	struct exec_frame f;
	const uint8_t *got;
	struct err err;

	cr_assert(eq(int,
		     begin(&c,
			   CALL(EXEC_FLAG_INPUT, (char[]){"sh"}, (char[]){"-c"},
				(char[]){"exec <&-; sleep 1"}),
			   &err),
		     0));
	while (!c.ended) {
		if (c.input_left > 0)
			guest_command_send(&c, EXEC_INPUT, data,
					   c.input_left < sizeof(data) ? c.input_left
								       : sizeof(data));
		else
			cr_assert(eq(int, guest_command_frame(&c, true, &f, &got, &err), 1));
	}
	guest_command_close(&c);
}

/* A process that it leaves behind holds its output, and is not waited for. */
BOTH_WAYS(what_stays_behind_is_not_waited_for)
{
	cr_assert(eq(int, run(SHELL(0, "sleep 50 & echo $!")), 0));
	cr_assert(eq(int, kill(atoi(out()), SIGKILL), 0));
}

static bool lives(int pid)
{
	char path[64], state = 'Z';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (file == NULL)
		return false;
	cr_assert(eq(int, fscanf(file, "%*d (%*[^)]) %c", &state), 1));
	fclose(file);
	return state != 'Z';
}

/* The first frame of output. */
static int first_number(struct guest_command *c)
{
	struct exec_frame f;
	const uint8_t *data;
	struct err err;

	do {
		cr_assert(eq(int, guest_command_frame(c, true, &f, &data, &err), 1), "%s",
			  err.text);
	} while (f.type != EXEC_OUTPUT);
	return atoi((const char *)data);
}

BOTH_WAYS(a_signal_reaches_all_of_it)
{
	struct guest_command c;
	uint8_t number[4];
	struct err err;

	cr_assert(eq(int,
		     begin(&c, SHELL(0, "trap 'echo caught; exit 3' INT; echo $$; sleep 50"), &err),
		     0));
	(void)first_number(&c);
	exec_put32(number, SIGINT);
	guest_command_send(&c, EXEC_SIGNAL, number, sizeof(number));
	follow(&c);
	cr_assert(eq(int, written.status, 3));
	cr_assert_str_eq(out(), "caught\n");
}

static void is_over_soon(int pid)
{
	for (int i = 0; i < 1000 && lives(pid); i++)
		usleep(10000);
	cr_assert_not(lives(pid));
}

BOTH_WAYS(a_client_that_leaves_ends_its_command)
{
	struct guest_command c, stubborn;
	struct err err;
	int pid, other;

	cr_assert(eq(int, begin(&c, SHELL(0, "echo $$; exec sleep 50"), &err), 0));
	cr_assert(eq(int,
		     begin(&stubborn, SHELL(0, "trap '' HUP; echo $$; sleep 50; sleep 50"), &err),
		     0));
	pid = first_number(&c);
	other = first_number(&stubborn);
	cr_assert(lives(pid) && lives(other));
	guest_command_close(&c);
	guest_command_close(&stubborn);
	is_over_soon(pid);
	is_over_soon(other);
}

BOTH_WAYS(a_detached_command_stays)
{
	char path[64], script[256];
	FILE *file;
	int pid = 0;

	snprintf(path, sizeof(path), "%s/pid", folder);
	snprintf(script, sizeof(script), "echo $$ >%s.new; mv %s.new %s; exec sleep 50", path, path,
		 path);
	cr_assert(eq(int, run(CALL(EXEC_FLAG_DETACH, (char[]){"sh"}, (char[]){"-c"}, script)), 0));
	for (int i = 0; i < 1000 && access(path, F_OK) != 0; i++)
		usleep(10000);
	file = fopen(path, "r");
	cr_assert_not_null(file);
	cr_assert(eq(int, fscanf(file, "%d", &pid), 1));
	fclose(file);
	cr_assert(lives(pid));
	kill(pid, SIGKILL);
	unlink(path);
}

BOTH_WAYS(a_terminal)
{
	const uint32_t flags = EXEC_FLAG_INPUT | EXEC_FLAG_TTY;
	struct guest_call call = *SHELL(flags, "stty -echo; echo $TERM; stty size; read x; "
					       "stty size; echo $x; tty | tr 0-9 N; exit 9");
	uint8_t size[4] = {50, 0, 200, 0};
	struct guest_command c;
	struct exec_frame f;
	const uint8_t *data;
	struct err err;

	call.rows = 24;
	call.columns = 80;
	cr_assert(eq(int, begin(&c, &call, &err), 0));
	do {
		cr_assert(eq(int, guest_command_frame(&c, true, &f, &data, &err), 1), "%s",
			  err.text);
	} while (memmem(data, f.len, "24 80", 5) == NULL);
	guest_command_send(&c, EXEC_WINDOW, size, sizeof(size));
	guest_command_send(&c, EXEC_INPUT, "hello\n", 6);
	follow(&c);
	cr_assert(eq(int, written.status, 9));
	cr_assert_not_null(strstr(out(), "50 200\r\nhello\r\n/dev/pts/N"), "%s", out());
	/* ^C is a key there. */
	cr_assert(eq(int, begin(&c, SHELL(flags, "echo 1; sleep 50"), &err), 0));
	(void)first_number(&c);
	guest_command_send(&c, EXEC_INPUT, "\3", 1);
	follow(&c);
	cr_assert(eq(int, written.status, 130));
	/* The end of the input is ^D. */
	cr_assert(eq(int, begin(&c, SHELL(flags, "cat; echo end"), &err), 0));
	guest_command_send(&c, EXEC_INPUT_END, NULL, 0);
	follow(&c);
	cr_assert_not_null(strstr(out(), "end\r\n"));
}

BOTH_WAYS(two_hundred_at_once)
{
	struct guest_command *c = calloc(200, sizeof(*c));
	char script[64];
	struct err err;

	for (int i = 0; i < 200; i++) {
		snprintf(script, sizeof(script), "sleep 0.3; seq 1000; echo %d >&2; exit %d", i, i);
		cr_assert(eq(int,
			     begin(&c[i], CALL(0, (char[]){"sh"}, (char[]){"-c"}, script), &err),
			     0));
	}
	for (int i = 0; i < 200; i++) {
		follow(&c[i]);
		cr_assert(eq(int, written.status, i), "%s", written.failure);
		cr_assert(eq(sz, written.out.len, 3893 + 1));
		cr_assert(eq(int, atoi((char *)written.err.data), i));
	}
	free(c);
}

static void kill_helper(void)
{
	kill(guest.pid, SIGKILL);
}

static bool is_told_that_it_is_ready(struct guest_command *c)
{
	struct exec_frame f;
	const uint8_t *data;
	struct err err;

	cr_assert(eq(int, guest_command_frame(c, true, &f, &data, &err), 1), "%s", err.text);
	return f.type == EXEC_READY && f.len == 0;
}

/* So that it can say what it waits for before. */
BOTH_WAYS(a_client_is_told_when_the_helper_is_there)
{
	struct guest_command first, second;
	struct err err;

	cr_assert(eq(int, begin(&first, SHELL(0, "sleep 50"), &err), 0));
	cr_assert(is_told_that_it_is_ready(&first));
	cr_assert(eq(int, begin(&second, SHELL(0, "sleep 50"), &err), 0));
	cr_assert(is_told_that_it_is_ready(&second));
	guest_command_close(&first);
	guest_command_close(&second);
}

/* The guest is taken back: its agent knows of nothing, and the port stays open. */
BOTH_WAYS(a_reset_ends_commands_with_its_word)
{
	struct guest_command c;
	struct err err;

	cr_assert(eq(int, begin(&c, SHELL(0, "echo 1; sleep 50"), &err), 0));
	(void)first_number(&c);
	pthread_mutex_lock(&lock);
	agent_stop(&agent);
	exec_sessions_reset(&commands, "machine web was reset before the command ended");
	agent_forget(&agent);
	agent_go(&agent);
	pthread_mutex_unlock(&lock);
	follow(&c);
	cr_assert_str_eq(written.failure, "machine web was reset before the command ended");
	cr_assert(eq(int, run(SHELL(0, "exit 5")), 5), "%s", written.failure);
	kill_helper();
}

/* What one client does not read holds up no other. */
BOTH_WAYS(a_client_that_does_not_read)
{
	struct guest_command c;
	struct err err;

	cr_assert(eq(int, begin(&c, SHELL(0, "yes"), &err), 0));
	for (int i = 0; i < 20; i++)
		cr_assert(eq(int, run(SHELL(0, "head -c 100000 /dev/zero")), 0));
	guest_command_close(&c);
}

/* --- an agent that does not do what it should --- */

static const char *lies_about, *lie;

static char *tell_lie(const char *command)
{
	return strcmp(command, lies_about) == 0 ? strdup(lie) : NULL;
}

static void lie_about(const char *command, const char *text)
{
	pthread_mutex_lock(&lock);
	lies_about = command;
	lie = text;
	guest.lie = text != NULL ? tell_lie : NULL;
	pthread_mutex_unlock(&lock);
}

/* As after a time without commands. */
static void begin_anew(void)
{
	pthread_mutex_lock(&lock);
	commands.idle.fn(commands.idle.opaque);
	pthread_mutex_unlock(&lock);
	while (!is_idle())
		usleep(1000);
}

#define FORBIDDEN(text) "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"" text "\"}}"

/* As versions of qemu-ga say it, for each command that is needed. */
Test(exec, an_agent_that_forbids_it)
{
	static const struct {
		const char *command, *answer;
	} refusals[] = {
		{"guest-exec",
		 FORBIDDEN("The command guest-exec has been disabled for this instance")},
		{"guest-exec", FORBIDDEN("Command guest-exec has been disabled")},
		{"guest-exec", FORBIDDEN("Command guest-exec has been disabled: the command is not "
					 "allowed")},
		{"guest-exec", FORBIDDEN("The command guest-exec has not been found")},
		{"guest-file-open",
		 FORBIDDEN("Command guest-file-open has been disabled: the command "
			   "is not allowed")},
		{"guest-file-write", FORBIDDEN("The command guest-file-write has been disabled for "
					       "this instance")},
		{"guest-file-flush", FORBIDDEN("Command guest-file-flush has been disabled")},
		{"guest-file-read", FORBIDDEN("Command guest-file-read has been disabled")},
	};
	char want[64];

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		begin_anew();
		lie_about(refusals[i].command, refusals[i].answer);
		cr_assert(eq(int, run(SHELL(0, "true")), -1), "%zu", i);
		snprintf(want, sizeof(want), "the guest agent forbids %s (", refusals[i].command);
		cr_assert_not_null(strstr(written.failure, want), "%s", written.failure);
		cr_assert_not_null(strstr(written.failure, "must allow guest-exec, "), "%s",
				   written.failure);
		lie_about("", NULL);
		cr_assert(eq(int, run(SHELL(0, "true")), 0), "%zu: %s", i, written.failure);
	}
	/* Another error is no ban. */
	begin_anew();
	lie_about("guest-exec", FORBIDDEN("Failed to execute child process: No such file"));
	cr_assert(eq(int, run(SHELL(0, "true")), -1));
	cr_assert_str_eq(written.failure,
			 "guest-exec: Failed to execute child process: No such file");
}

Test(exec, a_helper_that_cannot_start)
{
	/* No place has its files, and its process is over. */
	lie_about("guest-exec", "{\"return\":{\"pid\":4194305}}");
	cr_assert(eq(int, run(SHELL(0, "true")), -1));
	cr_assert_not_null(strstr(written.failure, "helper in the guest does not start"), "%s",
			   written.failure);
}

Test(exec, an_agent_that_ends)
{
	struct guest_command c;
	struct err err;

	cr_assert(eq(int, begin(&c, SHELL(0, "echo 1; sleep 50"), &err), 0));
	(void)first_number(&c);
	pthread_mutex_lock(&lock);
	local_agent_open(&guest, false);
	pthread_mutex_unlock(&lock);
	follow(&c);
	cr_assert_not_null(strstr(written.failure, "the guest has closed the agent's port"), "%s",
			   written.failure);
	kill_helper();
	pthread_mutex_lock(&lock);
	local_agent_open(&guest, true);
	pthread_mutex_unlock(&lock);
	cr_assert(eq(int, run(SHELL(0, "exit 5")), 5), "%s", written.failure);
}

static void set_mute(bool mute)
{
	pthread_mutex_lock(&lock);
	guest.mute = mute;
	pthread_mutex_unlock(&lock);
}

/* The time of the agent's open question is over. */
static void agent_time_passes(void)
{
	bool passed = false;

	while (!passed) {
		pthread_mutex_lock(&lock);
		passed = agent.open || agent.state == AGENT_SYNCING;
		if (passed)
			agent.timer.fn(agent.timer.opaque);
		pthread_mutex_unlock(&lock);
		usleep(1000);
	}
}

/* In the middle of a command, and before one. */
Test(exec, an_agent_that_hangs)
{
	struct guest_command c;
	struct err err;

	cr_assert(eq(int, begin(&c, SHELL(0, "echo 1; sleep 50"), &err), 0));
	(void)first_number(&c);
	set_mute(true);
	agent_time_passes();
	follow(&c);
	cr_assert_not_null(strstr(written.failure, "no answer in time"), "%s", written.failure);
	cr_assert_not(c.may_retry);
	cr_assert(eq(int, begin(&c, SHELL(0, "true"), &err), 0));
	agent_time_passes();
	follow(&c);
	cr_assert_str_eq(written.failure, "the guest agent does not answer");
	cr_assert(c.may_retry);
	kill_helper();
	set_mute(false);
	pthread_mutex_lock(&lock);
	local_agent_open(&guest, false);
	local_agent_open(&guest, true);
	pthread_mutex_unlock(&lock);
	cr_assert(eq(int, run(SHELL(0, "exit 5")), 5), "%s", written.failure);
}

BOTH_WAYS(a_helper_that_is_killed)
{
	struct guest_command c;
	struct err err;

	cr_assert(eq(int, begin(&c, SHELL(0, "echo 1; exec sleep 5"), &err), 0));
	(void)first_number(&c);
	cr_assert_not(left_over());
	kill_helper();
	follow(&c);
	cr_assert_not_null(strstr(written.failure, "helper in the guest has ended"), "%s",
			   written.failure);
	cr_assert(eq(int, run(SHELL(0, "exit 5")), 5), "%s", written.failure);
}

Test(exec, answers_that_make_no_sense)
{
	static const char *const reads[] = {
		"{\"return\":{}}",
		"{\"return\":7}",
		"{\"return\":{\"count\":-1,\"buf-b64\":\"\"}}",
		"{\"return\":{\"count\":131073,\"buf-b64\":\"\"}}",
		"{\"return\":{\"count\":3,\"buf-b64\":\"AAAAAAAA\"}}",
		"{\"return\":{\"count\":3,\"buf-b64\":\"!!!!\"}}",
		"{\"return\":{\"count\":3,\"buf-b64\":7}}",
		"{\"return\":{\"count\":\"3\",\"buf-b64\":\"AAAA\"}}",
		"{\"error\":{\"desc\":\"Input/output error\"}}",
		"nonsense",
		/* Frames: too long, of no session before the first one, of a wrong version. */
		"{\"return\":{\"count\":12,\"buf-b64\":\"/////wAAAAAAAAAA\"}}",
		"{\"return\":{\"count\":12,\"buf-b64\":\"AAAAAAEAAAAJAAAA\"}}",
		"{\"return\":{\"count\":12,\"buf-b64\":\"AAAAAAAAAAANAP8A\"}}",
	};

	for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
		begin_anew();
		lie_about("guest-file-read", reads[i]);
		cr_assert(eq(int, run(SHELL(0, "true")), -1), "%zu", i);
		cr_assert_str_not_empty(written.failure);
		lie_about("", NULL);
		cr_assert(eq(int, run(SHELL(0, "true")), 0), "%zu: %s", i, written.failure);
	}
}

/* The helper's own words, as the transport brings them. */
static void helper_says(uint32_t session, uint8_t type, const void *data, uint32_t len)
{
	uint8_t frame[EXEC_HEADER + EXEC_FRAME_MAX];

	exec_header(frame, session, type, len);
	memcpy(frame + EXEC_HEADER, data, len);
	pthread_mutex_lock(&lock);
	way->received(way->opaque, frame, EXEC_HEADER + len);
	pthread_mutex_unlock(&lock);
}

BOTH_WAYS(a_helper_that_breaks_the_rules)
{
	static const uint8_t zeroes[EXEC_FRAME_MAX];
	struct guest_command c;
	struct err err;

	/* More than was granted. */
	cr_assert(eq(int, begin(&c, SHELL(0, "echo 1; sleep 50"), &err), 0));
	(void)first_number(&c);
	/* Not for a session that is there. */
	helper_says(77, EXEC_OUTPUT, zeroes, 1);
	helper_says(1, EXEC_CREDIT, zeroes, 4);
	helper_says(1, EXEC_CREDIT, "\1\0\0\0", 4);
	follow(&c);
	cr_assert_not_null(strstr(written.failure, "breaks the rules"), "%s", written.failure);
	cr_assert(eq(int, begin(&c, SHELL(0, "echo 1; sleep 50"), &err), 0));
	(void)first_number(&c);
	helper_says(2, EXEC_EXIT, zeroes, 4);
	follow(&c);
	cr_assert_not_null(strstr(written.failure, "breaks the rules"), "%s", written.failure);
	cr_assert(eq(int, begin(&c, SHELL(0, "echo 1; sleep 50"), &err), 0));
	(void)first_number(&c);
	for (int i = 0; i < 40; i++) /* more than the socket holds, too */
		helper_says(3, EXEC_OUTPUT, zeroes, EXEC_FRAME_MAX);
	follow(&c);
	cr_assert_not_null(strstr(written.failure, "breaks the rules"), "%s", written.failure);
	/* The others live. */
	cr_assert(eq(int, run(SHELL(0, "exit 5")), 5), "%s", written.failure);
	cr_assert(eq(int, begin(&c, SHELL(0, "echo 1; sleep 50"), &err), 0));
	(void)first_number(&c);
	helper_says(0, EXEC_OUTPUT, zeroes, 1);
	follow(&c);
	cr_assert_not_null(strstr(written.failure, "makes no sense"), "%s", written.failure);
	cr_assert(eq(int, run(SHELL(0, "exit 5")), 5), "%s", written.failure);
}

/* A client is held to the rules as well. */
BOTH_WAYS(a_client_that_breaks_the_rules)
{
	static const uint8_t zeroes[EXEC_FRAME_MAX];
	struct guest_command c;
	struct err err;

	for (int i = 0; i < 4; i++) {
		cr_assert(eq(int, begin(&c, SHELL(EXEC_FLAG_INPUT, "sleep 50"), &err), 0));
		if (i == 0)
			guest_command_send(&c, EXEC_CREDIT, zeroes, 4);
		if (i == 1)
			guest_command_send(&c, EXEC_SIGNAL, zeroes, 3);
		if (i == 2)
			guest_command_send(&c, 99, zeroes, 3);
		for (int n = 0; i == 3 && n < 20; n++)
			guest_command_send(&c, EXEC_INPUT, zeroes, EXEC_FRAME_MAX);
		follow(&c);
		cr_assert_str_not_empty(written.failure);
	}
	cr_assert(eq(int, run(SHELL(0, "exit 5")), 5), "%s", written.failure);
}

/* --- the port alone --- */

static unsigned asked(void)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = guest.asked;
	pthread_mutex_unlock(&lock);
	return n;
}

static enum exec_port_state port_state(void)
{
	enum exec_port_state state;

	pthread_mutex_lock(&lock);
	state = exec_port.state;
	pthread_mutex_unlock(&lock);
	return state;
}

static void until_idle(void)
{
	while (!is_idle())
		usleep(1000);
}

/* The helper stays, and no agent is needed any more. */
Test(exec_port, a_helper_that_is_there_is_greeted)
{
	unsigned before;

	cr_assert(eq(int, run(SHELL(0, "exit 5")), 5), "%s", written.failure);
	cr_assert(eq(int, (int)port_state(), PORT_UP));
	until_idle();
	before = asked();
	for (int i = 0; i < 3; i++) {
		begin_anew();
		cr_assert(eq(int, run(SHELL(0, "exit 6")), 6), "%s", written.failure);
	}
	pthread_mutex_lock(&lock);
	local_agent_open(&guest, false);
	pthread_mutex_unlock(&lock);
	begin_anew();
	cr_assert(eq(int, run(SHELL(0, "exit 7")), 7), "%s", written.failure);
	cr_assert(eq(uint, asked(), before));
}

/* What a host that is gone leaves on its way: the first bytes of a frame, so many of them. */
static void say_to_helper(const void *data, size_t len)
{
	pthread_mutex_lock(&lock);
	cr_assert(eq(sz, console.port.input(&console.port, data, len), len));
	pthread_mutex_unlock(&lock);
}

static void say_again(void)
{
	pthread_mutex_lock(&lock);
	exec_sessions_reset(&commands, "the machine was reset");
	pthread_mutex_unlock(&lock);
}

/* Its commands end with it, and what it has begun to say is not done. */
Test(exec_port, a_new_host_ends_what_the_old_one_left)
{
	static const size_t cuts[] = {1,
				      8,
				      EXEC_HEADER,
				      EXEC_HEADER + 1,
				      EXEC_HEADER + 399,
				      EXEC_HEADER + 400,
				      EXEC_HEADER + 400 + EXEC_TRAILER};
	uint8_t frame[EXEC_HEADER + 400 + EXEC_TRAILER];
	struct guest_command c;
	unsigned before;
	struct err err;
	int pid;

	cr_assert(eq(int, run(SHELL(0, "exit 5")), 5), "%s", written.failure);
	until_idle();
	before = asked();
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		cr_assert(eq(
			int,
			begin(&c, SHELL(EXEC_FLAG_INPUT, "echo $$; read x; exec sleep 50"), &err),
			0));
		pid = first_number(&c);
		/* Input, with a greeting in it, and with what is no trailer. */
		memset(frame, '\n', sizeof(frame));
		exec_header(frame, commands.last_id, EXEC_INPUT, 400);
		memcpy(frame + EXEC_HEADER + 100, exec_port.greeting, EXEC_GREETING);
		say_to_helper(frame, cuts[i]);
		say_again();
		follow(&c);
		cr_assert_str_eq(written.failure, "the machine was reset");
		cr_assert(eq(int, run(SHELL(0, "exit 5")), 5), "%zu: %s", i, written.failure);
		is_over_soon(pid);
	}
	/* Each greeting was answered: there was no other helper. */
	cr_assert(eq(uint, asked(), before));
}

/* Anything may come before the answer to the greeting, and be half of one. */
Test(exec_port, what_is_no_answer_is_dropped)
{
	uint8_t noise[5000];

	cr_assert(eq(int, run(SHELL(0, "true")), 0));
	begin_anew();
	pthread_mutex_lock(&lock);
	exec_port.transport.ops->begin(&exec_port.transport);
	commands.begun = true;
	commands.helped = false;
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = exec_port.greeting[i * i % 15];
	console.port.output(console.port.opaque, noise, sizeof(noise));
	cr_assert(eq(int, (int)exec_port.state, PORT_GREETING));
	pthread_mutex_unlock(&lock);
	cr_assert(eq(int, run(SHELL(0, "exit 5")), 5), "%s", written.failure);
	cr_assert(eq(int, (int)port_state(), PORT_UP));
}

/* Before anything was said to it, the guest can answer nothing: not with what it knows of before. */
Test(exec_port, an_answer_to_no_greeting)
{
	uint8_t answer[EXEC_GREETING];
	struct guest_command c;
	struct err err;

	cr_assert(eq(int, run(SHELL(0, "true")), 0));
	begin_anew();
	kill_helper();
	for (bool gone = false; !gone; usleep(1000)) {
		pthread_mutex_lock(&lock);
		gone = !console.open;
		pthread_mutex_unlock(&lock);
	}
	set_mute(true);
	cr_assert(eq(int, begin(&c, SHELL(0, "exit 5"), &err), 0));
	while (port_state() != PORT_STARTING)
		usleep(1000);
	pthread_mutex_lock(&lock);
	memcpy(answer, exec_port.greeting, sizeof(answer));
	console.port.output(console.port.opaque, answer, sizeof(answer));
	cr_assert(eq(int, (int)exec_port.state, PORT_STARTING));
	guest.mute = false;
	timer_set(&guest.timer, 1);
	pthread_mutex_unlock(&lock);
	follow(&c);
	cr_assert(eq(int, written.status, 5), "%s", written.failure);
}

/* The guest has no such port: it is done by files. */
Test(exec_port, a_guest_that_cannot_open_it)
{
	static const char *const names[] = {"org.torpor.no-such-port", "/no/such/file"};

	for (int i = 0; i < 2; i++) {
		begin_anew();
		files.port_name = names[i];
		cr_assert(eq(int, run(SHELL(0, "echo out; exit 5")), 5), "%s", written.failure);
		cr_assert_str_eq(out(), "out\n");
		cr_assert(eq(int, (int)port_state(), PORT_FILES));
		echo(1 << 20, CALL(EXEC_FLAG_INPUT, (char[]){"cat"}));
	}
}

static void until_port_is(bool open)
{
	for (bool there = !open; there != open; usleep(1000)) {
		pthread_mutex_lock(&lock);
		there = console.open;
		pthread_mutex_unlock(&lock);
	}
}

/* Whoever has it says nothing, or nothing that answers: that takes time once, and is logged. */
Test(exec_port, a_port_that_somebody_else_has)
{
	int fd = open(console.name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	enum exec_port_state state = PORT_IDLE;
	char said[512] = "";
	struct guest_command c;
	struct err err;

	cr_assert(ge(int, fd, 0));
	until_port_is(true);
	host_log.fd = memfd_create("log", MFD_CLOEXEC);
	files.port_name = "org.torpor.no-such-port";
	cr_assert(eq(int, begin(&c, SHELL(0, "exit 5"), &err), 0));
	for (bool greeted = false; !greeted; usleep(1000)) {
		pthread_mutex_lock(&lock);
		greeted = exec_port.state == PORT_GREETING;
		if (greeted)
			exec_port.timer.fn(exec_port.timer.opaque); /* its time is over */
		pthread_mutex_unlock(&lock);
	}
	follow(&c);
	cr_assert(eq(int, written.status, 5), "%s", written.failure);
	cr_assert(eq(int, (int)port_state(), PORT_FILES));
	cr_assert(ge(long, pread(host_log.fd, said, sizeof(said) - 1, 0), 1));
	cr_assert_not_null(strstr(said, "has the port org.torpor.no-such-port open"), "%s", said);
	begin_anew();
	cr_assert(eq(int, begin(&c, SHELL(0, "exit 6"), &err), 0));
	for (; state == PORT_IDLE; usleep(1000))
		state = port_state();
	cr_assert(ne(int, (int)state, PORT_GREETING));
	follow(&c);
	cr_assert(eq(int, written.status, 6), "%s", written.failure);
	begin_anew();
	/* Behind it, a helper has the port. */
	close(fd);
	until_port_is(false);
	files.port_name = console.name;
	cr_assert(eq(int, run(SHELL(0, "exit 7")), 7), "%s", written.failure);
	cr_assert(eq(int, (int)port_state(), PORT_UP));
}

/* Neither is asked once the helper is there. */
Test(exec_port, an_agent_that_ends_or_hangs)
{
	struct guest_command c;
	struct err err;

	cr_assert(eq(int, begin(&c, SHELL(0, "echo 1; sleep 0.2; exit 3"), &err), 0));
	(void)first_number(&c);
	set_mute(true);
	cr_assert(eq(int, run(SHELL(0, "exit 5")), 5), "%s", written.failure);
	pthread_mutex_lock(&lock);
	local_agent_open(&guest, false);
	pthread_mutex_unlock(&lock);
	follow(&c);
	cr_assert(eq(int, written.status, 3), "%s", written.failure);
}

/* A host that has commands is heard of. */
Test(exec_port, silence_is_broken_by_pings)
{
	struct guest_command c;
	struct err err;
	size_t ping = EXEC_HEADER + EXEC_TRAILER;

	cr_assert(eq(int, begin(&c, SHELL(0, "echo 1; sleep 50"), &err), 0));
	(void)first_number(&c);
	pthread_mutex_lock(&lock);
	console.open = false; /* so that it is seen */
	exec_port.pinged = false;
	for (size_t i = 0; i < 4; i++) {
		exec_port.timer.fn(exec_port.timer.opaque);
		cr_assert(eq(sz, exec_port.unsent.len, i == 0 ? 0 : ping));
	}
	console.open = true;
	pthread_mutex_unlock(&lock);
	guest_command_close(&c);
}

/* A transport that keeps what it is sent, and what it says of that. */
struct deaf {
	struct transport transport;
	size_t unsent;
	uint64_t credit;
};

static void deaf_begin(struct transport *t)
{
	(void)t;
}

static void deaf_send(struct transport *t, const void *frames, size_t len)
{
	struct deaf *d = container_of(t, struct deaf, transport);
	const uint8_t *at = frames, *end = at + len;
	struct exec_frame f;

	for (; at < end; at += EXEC_HEADER + f.len) {
		cr_assert(eq(int, exec_parse_header(at, &f), 0));
		if (f.type == EXEC_CREDIT)
			d->credit += exec_get32(at + EXEC_HEADER);
	}
}

static size_t deaf_unsent(const struct transport *t)
{
	return container_of(t, const struct deaf, transport)->unsent;
}

/* As much as it may; the client gets all of it. */
static uint64_t print_all(struct deaf *d, int client)
{
	static uint8_t frame[EXEC_HEADER + EXEC_FRAME_MAX], got[sizeof(frame)];
	uint64_t printed = 0;

	exec_header(frame, 1, EXEC_OUTPUT, EXEC_FRAME_MAX);
	for (; printed < EXEC_OUTPUT_WINDOW; printed += EXEC_FRAME_MAX) {
		d->transport.received(d->transport.opaque, frame, sizeof(frame));
		cr_assert(eq(sz, (size_t)recv(client, got, sizeof(got), MSG_WAITALL), sizeof(got)));
		cr_assert(eq(u8, got[8], EXEC_OUTPUT));
	}
	return printed;
}

/* What it would read does not pile up here. */
Test(exec_credit, a_guest_that_prints_and_reads_nothing)
{
	static const struct transport_ops ops = {deaf_begin, deaf_send, deaf_begin, deaf_unsent};
	struct deaf deaf = {.transport.ops = &ops, .unsent = MIB(5)};
	uint8_t args[EXEC_HEADER + 1] = {0}, hello[EXEC_HEADER + 4], ready[EXEC_HEADER];
	int ends[2];

	cr_assert(eq(int, loop_init(&loop, &lock, NULL), 0));
	exec_sessions_init(&commands, &deaf.transport, &loop);
	cr_assert(eq(int, exec_sessions_open(&commands, NULL), 0));
	cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0));
	exec_header(args, 0, EXEC_ARGS, 1);
	cr_assert(eq(int, exec_sessions_attach(&commands, ends[0], args, sizeof(args), NULL), 0));
	exec_header(hello, 0, EXEC_HELLO, 4);
	exec_put32(hello + EXEC_HEADER, EXEC_VERSION);
	deaf.transport.received(deaf.transport.opaque, hello, sizeof(hello));
	cr_assert(eq(sz, (size_t)recv(ends[1], ready, sizeof(ready), MSG_WAITALL), sizeof(ready)));
	cr_expect(eq(u64, print_all(&deaf, ends[1]), EXEC_OUTPUT_WINDOW));
	cr_expect(eq(u64, deaf.credit, 0));
	/* Once it reads it may go on. */
	deaf.unsent = 0;
	deaf.transport.room(deaf.transport.opaque);
	cr_expect(eq(u64, deaf.credit, EXEC_OUTPUT_WINDOW));
	(void)print_all(&deaf, ends[1]);
	exec_sessions_finish(&commands, "the test is over");
	close(ends[1]);
	loop_free(&loop);
}
