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
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "host/landlock.h"

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
	int ret = landlock_begin(&l, LANDLOCK_KEEP_IN, err);

	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(programs); i++)
		ret = landlock_allow(&l, programs[i], LANDLOCK_RUN, err);
	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(readable); i++)
		ret = landlock_allow(&l, readable[i], LANDLOCK_READ, err);
	if (ret == 0)
		ret = landlock_allow(&l, "/dev/null", LANDLOCK_DEVICE, err);
	if (ret == 0 && tool->reads != NULL)
		ret = landlock_allow(&l, tool->reads, LANDLOCK_READ, err);
	if (ret == 0)
		ret = landlock_allow(&l, tool->writes, LANDLOCK_DEVICE, err);
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
	ret = posix_spawnp(pid, r->tool->argv[0], &files, NULL, (char *const *)r->tool->argv,
			   environ);
	posix_spawn_file_actions_destroy(&files);
	return ret;
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
	while (waitpid(pid, &r->wstatus, 0) < 0 && errno == EINTR)
		;
	return NULL;
}

/* The last line that it said. */
static int report(const struct run *r, struct err *err)
{
	char text[1024], *line;
	off_t end = lseek(r->said, 0, SEEK_END);
	uint64_t len = u64_min((uint64_t)(end > 0 ? end : 0), sizeof(text) - 1);

	if (io_pread(r->said, text, len, (uint64_t)(end > 0 ? end : 0) - len) < 0)
		len = 0;
	while (len > 0 && text[len - 1] == '\n')
		len--;
	text[len] = '\0';
	line = strrchr(text, '\n');
	return err_set(err, ERR_FAILED, "%s failed: %s", r->tool->argv[0],
		       line != NULL ? line + 1 : text);
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
