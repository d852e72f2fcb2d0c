/* See test_machine.h. */
#include "cli/test_machine.h"

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
#include "cli/machine_env.h"
#include "cli/own_program.h"
#include "cli/remove_machine.h"
#include "cli/test_golden.h"
#include "cli/wake_name.h"
#include "format/archive.h"
#include "format/crypto/blake2b.h"
#include "host/client.h"
#include "host/oom.h"
#include "host/parent.h"

#define PORTS_MAX     (TEST_PUBLISH_MAX + TRANSCRIPT_PORTS_MAX)
#define ARGUMENTS_MAX (12 + 2 * PORTS_MAX)
#define SEED_SIZE     32u
/* An agent that is being paged in is slow. */
#define CLOCK_SECONDS 120u
#define CLOCK_LOOK_MS 2
#define CONSOLE_MAX   65536u /* bytes of what the guest printed during a test */
#define GONE_MS	      1000   /* until the end of a process that was killed is seen */

struct test_machine {
	struct test_fleet *fleet;
	char name[64];
	bool there;	      /* client is open */
	bool golden;	      /* it can be reset */
	struct client client; /* while it is there */
	struct path file;     /* of its golden, */
	char digest[DIGEST_TEXT_SIZE];
	char port[PORTS_MAX][16]; /* of the guest, which it publishes */
	unsigned nports;
	struct machine_env env; /* with TORPOR_SEED */
	char seed_text[32];	/* TORPOR_SEED=N, of the test that runs */
	uint64_t console_begin; /* bytes of console.log, as the test began */
	uint64_t oom_kills;	/* on this host, as it began */
};

/* ---- commands ---- */

/* The kernel has ended a process since the test began. */
static bool host_lacks_memory(const struct test_machine *m)
{
	return oom_kills() != m->oom_kills;
}

static bool is_gone(const struct test_machine *m)
{
	struct pollfd end = {.fd = m->client.fd, .events = POLLIN};

	return poll(&end, 1, GONE_MS) > 0 && client_hung_up(&m->client);
}

static int run_in_guest(void *opaque, const char *command, unsigned seconds, size_t most,
			struct buf *output, int *status, struct err *err)
{
	struct test_machine *m = opaque;
	char *const env[] = {m->seed_text, NULL};
	const struct guest_shell shell = {
		.machine = m->name, .env = env, .stop_fd = m->fleet->params->stop_fd};
	int ret = guest_shell_run(&shell, command, seconds, most, output, status, err);

	if (ret >= 0 || !host_lacks_memory(m) || !is_gone(m))
		return ret;
	err_set(err, ERR_FAILED,
		"machine %s is gone, and the kernel has ended processes of this host for lack of "
		"memory: run fewer tests at a time (--jobs), or guests with less memory",
		m->name);
	return -ENOMEM;
}

/* The ports are those of the machine as long as it lives. */
static int renew_env(struct test_machine *m, struct err *err)
{
	int ret = m->env.n == 0 ? machine_env_make(&m->env, &m->client, err) : 0;

	return ret < 0 ? ret : machine_env_set(&m->env, m->seed_text, err);
}

/* ---- its start and its end ---- */

static void end_machine(struct test_machine *m)
{
	if (!m->there)
		return;
	m->there = false;
	client_close(&m->client);
	(void)remove_machine(m->name, true, NULL);
	machine_env_free(&m->env);
}

/* torpor resume, paused. *wstatus is its own. */
static int resume_golden(struct test_machine *m, bool golden, struct buf *said, int *wstatus,
			 struct err *err)
{
	const struct test_fleet_params *params = m->fleet->params;
	char port[PORTS_MAX][32], lease[32];
	const char *argv[ARGUMENTS_MAX + 1] = {"torpor", "resume",	   "-d",
					       "--rm",	 "--paused",	   "--name",
					       m->name,	 "--until-closed", lease};
	int n = 9;

	snprintf(lease, sizeof(lease), "/dev/fd/%d", m->fleet->lease[0]);
	if (golden)
		argv[n++] = "--golden";
	for (unsigned i = 0; i < m->nports; i++) {
		snprintf(port[i], sizeof(port[i]), "127.0.0.1:0:%s", m->port[i]);
		argv[n++] = "--publish";
		argv[n++] = port[i];
	}
	argv[n++] = "--";
	argv[n++] = m->file.text;
	return own_program_run(&(struct own_program){.argv = argv,
						     .keep = {m->fleet->lease[0], -1},
						     .out = -1,
						     .stop_fd = params->stop_fd},
			       said, wstatus, err);
}

/* KVM may not be able to log writes: then it cannot be reset, and each test has a new one. */
static int start_machine(struct test_machine *m, bool *no_room, struct err *err)
{
	cleanup_buf struct buf said = {0};
	int wstatus, ret;

	m->golden = true;
	ret = resume_golden(m, true, &said, &wstatus, err);
	if (ret == 0 && wstatus != 0 && strstr((char *)said.data, "--golden: ") != NULL) {
		m->golden = false;
		buf_free(&said);
		said = (struct buf){0};
		ret = resume_golden(m, false, &said, &wstatus, err);
	}
	if (ret < 0)
		return ret;
	if (wstatus != 0) {
		*no_room = strstr((char *)said.data, strerror(ENOMEM)) != NULL;
		return own_program_failed(&said, wstatus, err);
	}
	ret = client_open(&m->client, m->name, err);
	if (ret < 0) {
		(void)remove_machine(m->name, true, NULL);
		return ret;
	}
	m->there = true;
	return 0;
}

/* ---- a test begins ---- */

/* A function of the name of the test's file, not of the folder that it lies in. */
static void make_seed(struct test_machine *m, const char *test, char hex[2 * SEED_SIZE + 1])
{
	const char *slash = strrchr(test, '/');
	const char *name = slash != NULL ? slash + 1 : test;
	uint8_t seed[SEED_SIZE];

	blake2b(seed, sizeof(seed), name, strlen(name));
	for (unsigned i = 0; i < SEED_SIZE; i++)
		snprintf(hex + (size_t)2 * i, 3, "%02x", seed[i]);
	/* Programs take a seed of 31 bits. */
	snprintf(m->seed_text, sizeof(m->seed_text), "TORPOR_SEED=%u",
		 le_get32(seed) & 0x7fffffffu);
}

static void add_port(struct test_machine *m, const char *port)
{
	for (unsigned i = 0; i < m->nports; i++) {
		if (strcmp(m->port[i], port) == 0)
			return;
	}
	snprintf(m->port[m->nports++], sizeof(m->port[0]), "%s", port);
}

/* Of the command line, then those of the test. */
static void list_ports(struct test_machine *m, const struct transcript *t)
{
	const struct test_fleet_params *params = m->fleet->params;

	m->nports = 0;
	for (unsigned i = 0; i < params->npublish; i++)
		add_port(m, params->publish[i]);
	for (unsigned i = 0; i < t->npublish; i++)
		add_port(m, t->publish[i]);
}

/* A test sees the ports that are meant for it, whatever was before it. */
static bool has_ports(const struct test_machine *m, const struct transcript *t)
{
	struct test_machine wanted = {.fleet = m->fleet};

	list_ports(&wanted, t);
	for (unsigned i = 0; i < m->nports && i < wanted.nports; i++) {
		if (strcmp(m->port[i], wanted.port[i]) != 0)
			return false;
	}
	return m->nports == wanted.nports;
}

static int reset_machine(struct test_machine *m, const struct path *file, const char *digest,
			 const struct transcript *t)
{
	int ret;

	if (!m->there || !m->golden || strcmp(m->file.text, file->text) != 0 ||
	    strcmp(m->digest, digest) != 0 || !has_ports(m, t))
		return -ENOENT;
	/* The first one unpacks what it puts back, which takes seconds on a slow host. */
	m->client.quiet = true;
	ret = client_do(&m->client, "reset", CLIENT_FOREVER, NULL, NULL);
	m->client.quiet = false;
	return ret;
}

/* Until the guest's agent has set its clock. */
static int await_clock(struct test_machine *m, struct err *err)
{
	const uint64_t deadline = clock_monotonic_ns() + CLOCK_SECONDS * NS_PER_SECOND;
	const int stop_fd = m->fleet->params->stop_fd;

	for (;;) {
		struct pollfd stop = {.fd = stop_fd, .events = POLLIN};
		cleanup_json json_t *reply = NULL;
		const char *clock;
		json_t *wake;
		int ret = client_do(&m->client, "inspect", CLIENT_FOREVER, &reply, err);

		if (ret < 0)
			return ret;
		wake = json_object_get(reply, "wake");
		clock = protocol_text(wake, "clock");
		if (strcmp(clock, "done") == 0 && json_object_get(wake, "clock-off") != NULL)
			return 0;
		if (strcmp(clock, "failed") == 0)
			return err_set(err, ERR_FAILED, "--clock: %s",
				       protocol_text(wake, "clock-error"));
		if (strcmp(protocol_text(wake, "agent"), "absent") == 0 ||
		    clock_monotonic_ns() > deadline)
			return err_set(err, ERR_FAILED,
				       "--clock: the guest has no agent that answers");
		if (poll(&stop, 1, CLOCK_LOOK_MS) > 0)
			return err_sys(err, ECANCELED, "interrupted");
	}
}

static int console_path(const struct test_machine *m, struct path *path)
{
	return path_state(path, m->name, "console.log", NULL);
}

/* Paused, and as its file: seed it, and let it go. */
static int let_go(struct test_machine *m, const char *seed, struct err *err)
{
	const struct test_fleet_params *params = m->fleet->params;
	json_t *request = json_pack("{s:s,s:s}", "do", "seed", "seed", seed);
	struct path path;
	struct stat st;
	int ret;

	if (request != NULL && params->fixed_clock)
		json_object_set_new(request, "clock", json_integer(params->clock_ns));
	ret = client_call(&m->client, request, CLIENT_FOREVER, NULL, err);
	if (ret < 0)
		return ret;
	ret = renew_env(m, err);
	if (ret < 0)
		return ret;
	m->console_begin = 0;
	if (console_path(m, &path) == 0 && stat(path.text, &st) == 0)
		m->console_begin = (uint64_t)st.st_size;
	ret = client_do(&m->client, "unpause", CLIENT_FOREVER, NULL, err);
	return ret == 0 && params->fixed_clock ? await_clock(m, err) : ret;
}

static int begin_test(void *opaque, unsigned worker, const char *path, const struct transcript *t,
		      struct test_world *world, struct err *err)
{
	struct test_fleet *fleet = opaque;
	struct test_machine *m = &fleet->machine[worker - 1];
	char digest[DIGEST_TEXT_SIZE], seed[2 * SEED_SIZE + 1];
	struct path file;
	int ret = test_golden_find(&file, digest, path, t, fleet->params->from, err);

	if (ret < 0)
		return ret;
	m->oom_kills = oom_kills();
	make_seed(m, path, seed);
	if (reset_machine(m, &file, digest, t) < 0) {
		end_machine(m);
		list_ports(m, t);
		m->file = file;
		strcpy(m->digest, digest);
		ret = start_machine(m, &world->no_room, err);
	}
	if (ret == 0)
		ret = let_go(m, seed, err);
	if (ret == 0 && asprintf(&world->golden, "%s@%s", file.text, digest) < 0)
		ret = err_sys(err, ENOMEM, "begin a test");
	if (ret < 0) {
		world->no_room |= host_lacks_memory(m);
		end_machine(m);
		return ret;
	}
	world->guest = (struct test_guest){.run = run_in_guest, .opaque = m};
	world->env = m->env.text;
	return 0;
}

/* ---- a test fails, and ends ---- */

/* An increment is woken by what it finds beside itself, or in the store. */
static int link_parent(const char *file, const char *parent, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE], found[PATH_MAX], link[PATH_MAX];
	cleanup_free char *real = NULL;
	const char *slash = strrchr(file, '/');
	int ret = archive_identify(parent, digest, err);

	if (ret < 0 || parent_find(digest, file, found, NULL) == 0)
		return ret;
	real = realpath(parent, NULL);
	if (real == NULL)
		return err_sys(err, errno, "%s", parent);
	if (snprintf(link, sizeof(link), "%.*sgolden-%.12s.torpor",
		     slash != NULL ? (int)(slash - file) + 1 : 0, file,
		     strchr(digest, ':') + 1) >= (int)sizeof(link))
		return err_sys(err, ENAMETOOLONG, "%s", file);
	if (symlink(real, link) == 0 || errno == EEXIST)
		return 0;
	return err_sys(err, errno, "link %s", link);
}

static int link_parents(const char *file, const char *golden, struct err *err)
{
	const struct archive_open_params params = {.fd = -1};
	struct chain *chain;
	int ret = parent_open(&chain, golden, &params, err);

	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < chain->n && ret == 0; i++)
		ret = link_parent(file, archive_path(chain->archive[i]), err);
	chain_close(chain);
	return ret;
}

static int save_test(void *opaque, unsigned worker, const char *file, uint64_t *bytes,
		     struct err *err)
{
	struct test_fleet *fleet = opaque;
	struct test_machine *m = &fleet->machine[worker - 1];
	char as[WAKE_NAME_OPTION] = "--leave-running"; /* what is there anyway */
	const char *const argv[] = {
		"torpor", "save", "--leave-running", "--parent", m->file.text, "--output", file,
		as,	  "--",	  m->name,	     NULL};
	struct stat st;
	int ret;

	(void)wake_name_option(file, as);
	ret = own_program_do(&(struct own_program){.argv = argv,
						   .keep = {-1, -1},
						   .out = -1,
						   .stop_fd = fleet->params->stop_fd},
			     err);
	if (ret < 0)
		return ret;
	if (stat(file, &st) < 0)
		return err_sys(err, errno, "%s", file);
	*bytes = (uint64_t)st.st_size;
	return link_parents(file, m->file.text, err);
}

/* What the guest printed since the test began, or the end of it. */
static char *read_console(const struct test_machine *m)
{
	cleanup_fd int fd = -1;
	struct path path;
	struct stat st;
	uint64_t from, len;
	char *text;

	if (console_path(m, &path) < 0)
		return NULL;
	fd = open(path.text, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	/* A shorter file was begun anew meanwhile. */
	from = m->console_begin <= (uint64_t)st.st_size ? m->console_begin : 0;
	if ((uint64_t)st.st_size - from > CONSOLE_MAX)
		from = (uint64_t)st.st_size - CONSOLE_MAX;
	len = (uint64_t)st.st_size - from;
	text = malloc(len + 1);
	if (text == NULL || io_pread(fd, text, len, from) < 0) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	for (char *at = text; (at = memchr(at, '\0', (size_t)(text + len - at))) != NULL;)
		*at = ' ';
	return text;
}

static void take_counts(const json_t *counts, uint32_t **to, size_t *n)
{
	*n = json_array_size(counts);
	*to = *n > 0 ? calloc(*n, sizeof(**to)) : NULL;
	if (*to == NULL)
		*n = 0;
	for (size_t i = 0; i < *n; i++)
		(*to)[i] = (uint32_t)json_integer_value(json_array_get(counts, i));
}

static void look_at_test(void *opaque, unsigned worker, struct test_result *result)
{
	const struct test_fleet *fleet = opaque;
	struct test_machine *m = &fleet->machine[worker - 1];
	cleanup_json json_t *reply = NULL;

	/* It is as the test left it until the next one begins. */
	if (!m->there || client_do(&m->client, "pause", CLIENT_FOREVER, NULL, NULL) < 0)
		return;
	result->console = read_console(m);
	if (!fleet->params->changes || !m->golden ||
	    client_do(&m->client, "changed", CLIENT_FOREVER, &reply, NULL) < 0)
		return;
	take_counts(json_object_get(reply, "memory"), &result->memory_changed, &result->nmemory);
	take_counts(json_object_get(reply, "disks"), &result->disk_changed, &result->ndisk);
}

static void end_worker(void *opaque, unsigned worker)
{
	const struct test_fleet *fleet = opaque;

	end_machine(&fleet->machine[worker - 1]);
}

/* ---- all of them ---- */

int test_fleet_open(struct test_fleet *fleet, const struct test_fleet_params *params,
		    struct err *err)
{
	*fleet = (struct test_fleet){.params = params};
	fleet->machine = calloc(params->workers, sizeof(*fleet->machine));
	if (fleet->machine == NULL)
		return err_sys(err, ENOMEM, "machines of the tests");
	if (pipe2(fleet->lease, O_CLOEXEC) < 0) {
		free(fleet->machine);
		return err_sys(err, errno, "pipe");
	}
	for (unsigned i = 0; i < params->workers; i++) {
		struct test_machine *m = &fleet->machine[i];

		m->fleet = fleet;
		snprintf(m->name, sizeof(m->name), "test-%d-%u", (int)getpid(), i + 1);
	}
	return 0;
}

struct test_machines test_fleet_machines(struct test_fleet *fleet)
{
	return (struct test_machines){
		.begin = begin_test,
		.save = save_test,
		.look = look_at_test,
		.end = end_worker,
		.opaque = fleet,
	};
}

void test_fleet_close(struct test_fleet *fleet)
{
	for (unsigned i = 0; i < fleet->params->workers; i++)
		end_machine(&fleet->machine[i]);
	free(fleet->machine);
	close(fleet->lease[0]);
	close(fleet->lease[1]);
}
