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

#define ARGUMENTS_MAX 192u
#define LOOK_MS	      50
#define CONSOLE_CHUNK KIB(256)

int own_machine_open(struct own_machine *m, const char *kind, int stop_fd, struct err *err)
{
	*m = (struct own_machine){.stop_fd = stop_fd, .lease = {-1, -1}};
	snprintf(m->name, sizeof(m->name), "%s-%d", kind, (int)getpid());
	return pipe2(m->lease, O_CLOEXEC) < 0 ? err_sys(err, errno, "pipe") : 0;
}

/* ---- its start ---- */

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
		return ret;
	}
	m->there = true;
	ret = machine_env_make(&m->env, &m->client, err);
	if (ret < 0)
		own_machine_end(m);
	return ret;
}

/* ---- what it says ---- */

/* The end of its console's log, also when it has ended since; NULL: there is none, or no memory. */
static char *read_console(const struct own_machine *m)
{
	cleanup_fd int fd = -1;
	cleanup_free char *text = NULL;
	struct path path;
	struct stat st;
	uint64_t from, len;

	if (path_state(&path, m->name, "console.log", NULL) < 0)
		return NULL;
	fd = open(path.text, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	len = u64_min((uint64_t)st.st_size, CONSOLE_CHUNK);
	from = (uint64_t)st.st_size - len;
	text = malloc(len + 1);
	if (text == NULL || io_pread(fd, text, len, from) < 0)
		return NULL;
	for (uint64_t i = 0; i < len; i++) {
		if (text[i] == '\0' || text[i] == '\r')
			text[i] = ' ';
	}
	text[len] = '\0';
	return take_ptr(text);
}

/* The last line that is not empty. The log goes when the machine ends. */
static void note_last_line(struct own_machine *m, const char *text)
{
	size_t len = strlen(text), start;

	while (len > 0 && strchr(" \n", text[len - 1]) != NULL)
		len--;
	for (start = len; start > 0 && text[start - 1] != '\n';)
		start--;
	if (len > 0)
		snprintf(m->said, sizeof(m->said), "%.*s", (int)(len - start), text + start);
}

/* Between two looks. */
static int pause_look(struct own_machine *m, uint64_t deadline, const char *awaited,
		      struct err *err)
{
	struct pollfd stop = {.fd = m->stop_fd, .events = POLLIN};
	bool over = client_hung_up(&m->client);
	cleanup_free char *console = read_console(m);

	if (console != NULL)
		note_last_line(m, console);
	if (poll(&stop, 1, LOOK_MS) > 0)
		return err_sys(err, ECANCELED, "interrupted");
	if (!over && clock_monotonic_ns() < deadline)
		return 0;
	return err_set(err, ERR_FAILED, "%s %s; the last that its console said: '%s'",
		       over ? "the machine ended before" : "the time was over before", awaited,
		       m->said);
}

int own_machine_await(struct own_machine *m, const char *text, uint64_t deadline, struct err *err)
{
	char awaited[256];

	snprintf(awaited, sizeof(awaited), "it said '%s'", text);
	for (;;) {
		cleanup_free char *console = read_console(m);
		int ret;

		if (console != NULL && strstr(console, text) != NULL)
			return 0;
		ret = pause_look(m, deadline, awaited, err);
		if (ret < 0)
			return ret;
	}
}

static bool part_is_over(const json_t *wake, const char *part)
{
	const char *state = protocol_text(wake, part);

	return strcmp(state, "owed") != 0 && strcmp(state, "busy") != 0;
}

/* Its clock is set, and its hooks are through. */
int own_machine_await_wake(struct own_machine *m, uint64_t deadline, struct err *err)
{
	for (;;) {
		cleanup_json json_t *reply = NULL;
		const json_t *wake;
		int ret = client_do(&m->client, "inspect", CLIENT_FOREVER, &reply, err);

		if (ret < 0)
			return ret;
		wake = json_object_get(reply, "wake");
		if (part_is_over(wake, "clock") && part_is_over(wake, "hooks"))
			return 0;
		if (strcmp(protocol_text(wake, "agent"), "absent") == 0)
			return err_set(err, ERR_FAILED, "the guest has no agent that answers");
		ret = pause_look(m, deadline, "its clock was set and its hooks had run", err);
		if (ret < 0)
			return ret;
	}
}

/* At least one. */
static unsigned seconds_until(uint64_t deadline)
{
	uint64_t now = clock_monotonic_ns();

	return now < deadline ? (unsigned)((deadline - now) / NS_PER_SECOND) + 1 : 1;
}

int own_machine_await_guest(struct own_machine *m, uint64_t deadline, struct err *err)
{
	const struct test_guest guest = own_machine_guest(m);

	for (;;) {
		cleanup_buf struct buf output = {0};
		char awaited[256];
		struct err why;
		int status = 0, ret;

		ret = guest.run(guest.opaque, ":", seconds_until(deadline), GOLDEN_OUTPUT_MAX,
				&output, &status, &why);
		if (ret == 0 && status == 0)
			return own_machine_await_wake(m, deadline, err);
		if (ret == -ECANCELED)
			return err_copy(err, ret, &why);
		snprintf(awaited, sizeof(awaited), "a command ran in the guest (%.160s)",
			 ret < 0 ? why.text : "its shell fails");
		ret = pause_look(m, deadline, awaited, err);
		if (ret < 0)
			return ret;
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
