/* See tool.h. A domain is that of a thread and of what it starts: so a thread enters it, and ends. */
#include "volume/tool.h"

#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "host/landlock.h"

#define LOOK_MS 50

extern char **environ;

struct run {
	const struct tool *tool;
	int said; /* its standard output and error */
	int wstatus;
	int ret;
	struct err *err;
};

static int confine(const struct tool *tool, struct err *err)
{
	static const char *const programs[] = {
		"/usr", "/bin", "/sbin", "/lib", "/lib64", "/nix/store", "/gnu/store",
	};
	static const char *const readable[] = {"/etc/ld.so.cache", "/etc/mke2fs.conf", "/proc",
					       "/dev/urandom"};
	cleanup_landlock struct landlock l = {.fd = -1};
	char writes[32];
	int ret = landlock_begin(&l, LANDLOCK_KEEP_IN, err);

	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(programs); i++)
		ret = landlock_allow(&l, programs[i], LANDLOCK_RUN, err);
	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(readable); i++)
		ret = landlock_allow(&l, readable[i], LANDLOCK_READ, err);
	if (ret == 0)
		ret = landlock_allow(&l, "/dev/null", LANDLOCK_DEVICE, err);
	if (ret == 0 && tool->reads != NULL)
		ret = landlock_allow(&l, tool->reads, LANDLOCK_READ, err);
	snprintf(writes, sizeof(writes), "/proc/self/fd/%d", tool->writes);
	if (ret == 0)
		ret = landlock_allow(&l, writes, LANDLOCK_DEVICE, err);
	return ret < 0 ? ret : landlock_end(&l, err);
}

static int spawn(struct run *r, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	int ret = posix_spawn_file_actions_init(&files);

	if (ret != 0)
		return ret;
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", 0, 0);
	posix_spawn_file_actions_adddup2(&files, r->said, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, r->said, STDERR_FILENO);
	posix_spawn_file_actions_adddup2(&files, r->tool->writes, TOOL_FD);
	ret = posix_spawnp(pid, r->tool->argv[0], &files, NULL, (char *const *)r->tool->argv,
			   environ);
	posix_spawn_file_actions_destroy(&files);
	return ret;
}

/* The end of what it has said, as text. */
static size_t said_last(int said, char *text, size_t size)
{
	const off_t end = lseek(said, 0, SEEK_END);
	uint64_t len = u64_min((uint64_t)(end > 0 ? end : 0), size - 1);

	if (io_pread(said, text, len, (uint64_t)(end > 0 ? end : 0) - len) < 0)
		len = 0;
	text[len] = '\0';
	return len;
}

static void count_said(const struct run *r, uint64_t *counted)
{
	char text[64], *at;
	uint64_t done;
	double percent;

	(void)said_last(r->said, text, sizeof(text));
	at = strrchr(text, '(');
	if (at == NULL || sscanf(at, "(%lf/100%%)", &percent) != 1 ||
	    !(percent >= 0 && percent <= 100))
		return;
	done = (uint64_t)((double)r->tool->bytes / 100 * percent);
	if (done > *counted)
		progress_add(r->tool->progress, done - *counted);
	*counted = u64_max(done, *counted);
}

static void wait_for_end(struct run *r, pid_t pid)
{
	static const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000};
	const int flags = r->tool->progress != NULL ? WNOHANG : 0;
	uint64_t counted = 0;
	pid_t got;

	progress_expect(r->tool->progress, r->tool->bytes);
	while ((got = waitpid(pid, &r->wstatus, flags)) == 0 || (got < 0 && errno == EINTR)) {
		nanosleep(&pause, NULL);
		count_said(r, &counted);
	}
	count_said(r, &counted);
}

static void *run_thread(void *opaque)
{
	struct run *r = opaque;
	pid_t pid = 0;
	int ret;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		r->ret = err_sys(r->err, errno, "confine %s", r->tool->argv[0]);
		return NULL;
	}
	r->ret = confine(r->tool, r->err);
	if (r->ret < 0)
		return NULL;
	ret = spawn(r, &pid);
	if (ret != 0) {
		r->ret = err_sys(r->err, ret, "%s, which is in the package %s", r->tool->argv[0],
				 r->tool->package);
		return NULL;
	}
	wait_for_end(r, pid);
	return NULL;
}

/* The last line that it said. */
static int report(const struct run *r, struct err *err)
{
	char text[1024];
	size_t len = said_last(r->said, text, sizeof(text)), from;

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	text[len] = '\0';
	/* A line of progress ends with a carriage return. */
	for (from = len; from > 0 && text[from - 1] != '\n' && text[from - 1] != '\r'; from--)
		;
	return err_set(err, ERR_FAILED, "%s failed: %s", r->tool->argv[0], text + from);
}

int tool_run(const struct tool *tool, struct err *err)
{
	cleanup_fd int said = memfd_create("said", MFD_CLOEXEC);
	struct run r = {.tool = tool, .said = said, .err = err};
	pthread_t thread;
	int ret;

	if (said < 0)
		return err_sys(err, errno, "run %s", tool->argv[0]);
	ret = pthread_create(&thread, NULL, run_thread, &r);
	if (ret != 0)
		return err_sys(err, ret, "run %s", tool->argv[0]);
	pthread_join(thread, NULL);
	if (r.ret < 0)
		return r.ret;
	return WIFEXITED(r.wstatus) && WEXITSTATUS(r.wstatus) == 0 ? 0 : report(&r, err);
}
