/* See test_machine.h. */
#include "cli/test_machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "cli/guest_command.h"
#include "cli/remove_machine.h"
#include "golden/host_command.h"
#include "host/client.h"

#define PROGRAM	      "/proc/self/exe"
#define ARGUMENTS_MAX (10 + 2 * TEST_PUBLISH_MAX)
/* After a command's time is over: for its end to arrive. */
#define END_MS 5000

/* Run ourselves. What it prints on either stream, cut to the size of `said`, and its wait status.
 */
static int run_torpor(const char *const *argv, char *said, size_t size, int *wstatus,
		      struct err *err)
{
	cleanup_fd int in = -1;
	int ends[2], ret;
	int64_t got;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	in = ends[0];
	ret = host_command_spawn(PROGRAM, argv, environ, ends[1], &pid);
	close(ends[1]);
	if (ret != 0)
		return err_sys(err, ret, "run torpor %s", argv[1]);
	got = io_read_upto(in, said, size - 1);
	said[got > 0 ? got : 0] = '\0';
	while (waitpid(pid, wstatus, 0) < 0 && errno == EINTR)
		continue;
	return 0;
}

void test_machine_name(char name[64])
{
	snprintf(name, 64, "test-%d", (int)getpid());
}

static int resume_golden(struct test_machine *m, const char *golden, const char *const *publish,
			 unsigned npublish, struct err *err)
{
	char said[1024], name[sizeof(m->name)], port[TEST_PUBLISH_MAX][32];
	const char *argv[ARGUMENTS_MAX + 1] = {"torpor", "resume", "-d", "--name", name};
	int n = 5, wstatus, ret;

	test_machine_name(name);
	for (unsigned i = 0; i < npublish; i++) {
		snprintf(port[i], sizeof(port[i]), "127.0.0.1:0:%s", publish[i]);
		argv[n++] = "--publish";
		argv[n++] = port[i];
	}
	argv[n++] = "--";
	argv[n++] = golden;
	ret = run_torpor(argv, said, sizeof(said), &wstatus, err);
	if (ret < 0)
		return ret;
	if (wstatus != 0) {
		said[strcspn(said, "\n")] = '\0';
		return err_set(err, ERR_FAILED, "%s",
			       strncmp(said, "torpor: ", 8) == 0 ? said + 8 : said);
	}
	snprintf(m->name, sizeof(m->name), "%s", name);
	return 0;
}

/* Takes `text`; NULL: there was no memory for it. */
static int add_env(struct test_machine *m, char *text)
{
	char **grown = text != NULL ? array_grow(m->env, m->nenv, sizeof(*grown)) : NULL;

	if (grown == NULL) {
		free(text);
		return -ENOMEM;
	}
	m->env = grown;
	grown[m->nenv++] = text;
	return 0;
}

static int add_port_env(struct test_machine *m, const json_t *port)
{
	char *text;

	if (asprintf(&text, "TORPOR_PORT_%d=%d",
		     (int)json_integer_value(json_object_get(port, "guest")),
		     (int)json_integer_value(json_object_get(port, "host"))) < 0)
		return -ENOMEM;
	return add_env(m, text);
}

/* Ours, and what tells of the machine. */
static int make_env(struct test_machine *m, const json_t *ports)
{
	char *name, **grown;
	json_t *port;
	size_t i;

	for (char *const *at = environ; *at != NULL; at++) {
		if (add_env(m, strdup(*at)) < 0)
			return -ENOMEM;
	}
	if (asprintf(&name, "TORPOR_NAME=%s", m->name) < 0 || add_env(m, name) < 0)
		return -ENOMEM;
	json_array_foreach(ports, i, port)
	{
		if (add_port_env(m, port) < 0)
			return -ENOMEM;
	}
	grown = array_grow(m->env, m->nenv, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	m->env = grown;
	grown[m->nenv] = NULL;
	return 0;
}

static int find_ports(struct test_machine *m, struct err *err)
{
	json_t *reply;
	int ret = client_ask(m->name, "ports", &reply, err);

	if (ret < 0)
		return ret;
	ret = make_env(m, json_object_get(reply, "ports"));
	json_decref(reply);
	return ret < 0 ? err_sys(err, -ret, "environment of the test") : 0;
}

int test_machine_start(struct test_machine *m, const char *golden, const char *const *publish,
		       unsigned npublish, struct err *err)
{
	int ret;

	*m = (struct test_machine){.name = ""};
	ret = resume_golden(m, golden, publish, npublish, err);
	if (ret == 0)
		ret = find_ports(m, err);
	if (ret < 0)
		test_machine_end(m);
	return ret;
}

static void send_kill(struct guest_command *c)
{
	uint8_t data[4];

	exec_put32(data, SIGKILL);
	guest_command_send(c, EXEC_SIGNAL, data, sizeof(data));
}

/* Until the command has ended, or its time is over and it cannot be ended either. */
static int follow(struct guest_command *c, unsigned seconds, struct buf *output, int *status,
		  struct err *err)
{
	uint64_t deadline = clock_monotonic_ns() + seconds * NS_PER_SECOND, dropped = 0;
	bool timed_out = false;
	struct exec_frame f;
	const uint8_t *data;
	int ret;

	while ((ret = guest_command_frame(c, false, &f, &data, err)) >= 0 && !c->ended) {
		struct pollfd ready = {.fd = c->client.fd, .events = POLLIN};
		uint64_t now = clock_monotonic_ns();

		if (ret > 0) {
			if (f.type == EXEC_OUTPUT || f.type == EXEC_OUTPUT_ERR)
				golden_output_add(output, data, f.len, &dropped);
			continue;
		}
		if (now >= deadline && timed_out)
			return err_set(err, ERR_FAILED,
				       "the command does not end, and cannot be ended");
		if (now >= deadline) {
			timed_out = true;
			send_kill(c);
			deadline = now + END_MS * NS_PER_MS;
		}
		if (poll(&ready, 1, (int)u64_min((deadline - now) / NS_PER_MS + 1, 60000)) < 0 &&
		    errno != EINTR)
			return err_sys(err, errno, "poll");
	}
	if (ret < 0)
		return ret;
	golden_output_end(output, dropped);
	*status = timed_out ? GOLDEN_TIMED_OUT : guest_command_status(c, "sh", err);
	/* There is no shell, say: no command of the test will run. */
	if (c->how != EXEC_EXITED && c->how != EXEC_KILLED)
		return -EINVAL;
	return buf_failed(output) ? err_sys(err, ENOMEM, "keep the output of a command") : 0;
}

static int run_in_guest(void *opaque, const char *command, unsigned seconds, struct buf *output,
			int *status, struct err *err)
{
	const struct test_machine *m = opaque;
	cleanup_free char *script = NULL;
	cleanup_free struct guest_command *c = calloc(1, sizeof(*c));
	char *const none[] = {NULL};
	int ret;

	if (c == NULL || asprintf(&script, "exec 2>&1\n%s", command) < 0)
		return err_sys(err, ENOMEM, "run a command");
	{
		char sh[] = "sh", dash_c[] = "-c";
		char *const argv[] = {sh, dash_c, script, NULL};
		const struct guest_call call = {
			.folder = "", .user = "", .argv = argv, .env = none};

		ret = guest_command_start(c, m->name, &call, err);
	}
	if (ret < 0)
		return ret;
	ret = follow(c, seconds, output, status, err);
	guest_command_close(c);
	return ret;
}

struct test_guest test_machine_guest(struct test_machine *m)
{
	return (struct test_guest){.run = run_in_guest, .opaque = m};
}

void test_machine_end(struct test_machine *m)
{
	if (m->name[0] != '\0')
		(void)remove_machine(m->name, true, NULL);
	for (size_t i = 0; i < m->nenv; i++)
		free(m->env[i]);
	free(m->env);
	*m = (struct test_machine){.name = ""};
}
