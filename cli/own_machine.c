/* See own_machine.h. */
#include "cli/own_machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/num.h"
#include "cli/guest_shell.h"
#include "cli/own_program.h"
#include "cli/remove_machine.h"
#include "host/paths.h"

#define ARGUMENTS_MAX  192u
#define LOOK_MS	       50
#define CONSOLE_CHUNK  KIB(64)
#define LINE_MAX_SHOWN 160

int own_machine_open(struct own_machine *m, const char *kind, int stop_fd, struct err *err)
{
	*m = (struct own_machine){.stop_fd = stop_fd, .lease = {-1, -1}, .log_fd = -1};
	snprintf(m->name, sizeof(m->name), "%s-%d", kind, (int)getpid());
	return pipe2(m->lease, O_CLOEXEC) < 0 ? err_sys(err, errno, "pipe") : 0;
}

/* ---- its start ---- */

/* The log goes when the machine ends; who has it open still reads it then. */
static void reopen_log(struct own_machine *m)
{
	struct path path;
	int fd = path_state(&path, m->name, "console.log", NULL) < 0
			 ? -1
			 : open(path.text, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	cleanup_fd_fn(&m->log_fd);
	m->log_fd = fd;
}

struct arguments {
	const char *word[ARGUMENTS_MAX + 1];
	unsigned n;
};

static void add_argument(struct arguments *a, const char *word)
{
	if (a->n < ARGUMENTS_MAX)
		a->word[a->n++] = word;
}

int own_machine_start(struct own_machine *m, const struct own_start *start, struct err *err)
{
	struct arguments a = {0};
	struct own_program own = {.argv = a.word,
				  .keep = {m->lease[0], start->file_fd},
				  .out = -1,
				  .stop_fd = m->stop_fd};
	cleanup_free char(*port)[64] = calloc(start->npublish + 1, sizeof(*port));
	char lease[32];
	int ret;

	if (port == NULL)
		return err_sys(err, ENOMEM, "start a machine");
	snprintf(lease, sizeof(lease), "--until-closed=/dev/fd/%d", m->lease[0]);
	for (unsigned i = 0; i < start->npublish; i++)
		snprintf(port[i], sizeof(port[i]), "127.0.0.1:0:%s", start->publish[i]);
	add_argument(&a, "torpor");
	add_argument(&a, start->verb);
	add_argument(&a, "-d");
	add_argument(&a, "--rm");
	add_argument(&a, "--name");
	add_argument(&a, m->name);
	add_argument(&a, lease);
	for (unsigned i = 0; i < start->noptions; i++)
		add_argument(&a, start->option[i]);
	for (unsigned i = 0; i < start->npublish; i++) {
		add_argument(&a, "--publish");
		add_argument(&a, port[i]);
	}
	add_argument(&a, "--");
	if (start->file != NULL)
		add_argument(&a, start->file);
	ret = own_program_do(&own, err);
	if (ret < 0)
		return ret;
	ret = client_open(&m->client, m->name, err);
	if (ret < 0) {
		(void)remove_machine(m->name, true, NULL);
		return err_context(err, ret, "the machine has ended at once");
	}
	m->there = true;
	reopen_log(m);
	ret = machine_env_make(&m->env, &m->client, err);
	if (ret < 0)
		own_machine_end(m);
	return ret;
}

/* ---- what it says ---- */

char *own_machine_console(struct own_machine *m)
{
	cleanup_free char *text = NULL;
	struct stat st;
	uint64_t from, len;

	reopen_log(m);
	if (m->log_fd < 0 || fstat(m->log_fd, &st) < 0)
		return NULL;
	len = u64_min((uint64_t)st.st_size, CONSOLE_CHUNK);
	from = (uint64_t)st.st_size - len;
	text = malloc(len + 1);
	if (text == NULL || io_pread(m->log_fd, text, len, from) < 0)
		return NULL;
	for (uint64_t i = 0; i < len; i++) {
		if (text[i] == '\0' || text[i] == '\r')
			text[i] = ' ';
	}
	text[len] = '\0';
	return take_ptr(text);
}

int own_machine_add_last_line(struct own_machine *m, int ret, struct err *err)
{
	cleanup_free char *text = own_machine_console(m);
	/* That is not empty. */
	size_t len = text != NULL ? strlen(text) : 0, start;
	struct err why = *err;

	while (len > 0 && strchr(" \n", text[len - 1]) != NULL)
		len--;
	for (start = len; start > 0 && text[start - 1] != '\n';)
		start--;
	if (len == 0)
		err_set(err, why.kind, "%.800s; its console said nothing", why.text);
	else
		err_set(err, why.kind, "%.800s; the last that its console said: '%.*s'", why.text,
			(int)u64_min(len - start, LINE_MAX_SHOWN), text + start);
	return ret;
}

int own_machine_await(struct own_machine *m, const struct own_wait *wait, struct err *err)
{
	const struct readiness_wait readiness = {.verb = wait->verb,
						 .option = wait->option,
						 .machine = m->name,
						 .condition = wait->condition,
						 .n = wait->n,
						 .timeout_s = wait->timeout_s,
						 .stop_fd = m->stop_fd};

	return readiness_await(&readiness, err);
}

static bool part_is_over(const json_t *wake, const char *part)
{
	const char *state = protocol_text(wake, part);

	return strcmp(state, "owed") != 0 && strcmp(state, "busy") != 0;
}

/* Its clock is set, and its hooks are through. */
int own_machine_await_wake(struct own_machine *m, uint64_t deadline, struct err *err)
{
	struct pollfd stop = {.fd = m->stop_fd, .events = POLLIN};

	for (;;) {
		cleanup_json json_t *reply = NULL;
		const json_t *wake;
		int ret = client_do(&m->client, "inspect", CLIENT_FOREVER, &reply, err);

		if (ret < 0)
			return own_machine_add_last_line(m, ret, err);
		wake = json_object_get(reply, "wake");
		if (part_is_over(wake, "random") && part_is_over(wake, "clock") &&
		    part_is_over(wake, "hooks"))
			return 0;
		if (strcmp(protocol_text(wake, "agent"), "absent") == 0)
			return err_set(err, ERR_FAILED, "the guest has no agent that answers");
		if (poll(&stop, 1, LOOK_MS) > 0)
			return err_sys(err, ECANCELED, "interrupted");
		if (clock_monotonic_ns() < deadline)
			continue;
		ret = err_set(err, ERR_FAILED,
			      "the time was over before its clock was set and its hooks had run");
		return own_machine_add_last_line(m, ret, err);
	}
}

/* ---- commands ---- */

static int run_in_guest(void *opaque, const char *command, unsigned seconds, size_t most,
			struct buf *output, int *status, struct err *err)
{
	const struct own_machine *m = opaque;
	char *const env[] = {NULL};
	const struct guest_shell shell = {.machine = m->name, .env = env, .stop_fd = m->stop_fd};

	return guest_shell_run(&shell, command, seconds, most, output, status, err);
}

struct test_guest own_machine_guest(struct own_machine *m)
{
	return (struct test_guest){.run = run_in_guest, .opaque = m};
}

/* ---- its end ---- */

void own_machine_end(struct own_machine *m)
{
	if (!m->there)
		return;
	m->there = false;
	client_close(&m->client);
	(void)remove_machine(m->name, true, NULL);
	cleanup_fd_fn(&m->log_fd);
	m->log_fd = -1;
	machine_env_free(&m->env);
}

void own_machine_close(struct own_machine *m)
{
	own_machine_end(m);
	for (unsigned i = 0; i < 2; i++) {
		if (m->lease[i] >= 0)
			close(m->lease[i]);
	}
}
