/* See child.h. */
#include "base/child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"

static int read_answer(int fd, size_t max, uint8_t **text, size_t *len, struct err *err)
{
	int64_t got;

	*text = malloc(max);
	got = *text != NULL ? io_read_upto(fd, *text, max) : -ENOMEM;
	if (got > 0) {
		*len = (size_t)got;
		return 0;
	}
	free(*text);
	*text = NULL;
	return got < 0 ? err_sys(err, (int)-got, "read what a child says")
		       : err_set(err, ERR_FAILED, "the process that was to read it died");
}

int child_ask(void (*answer)(void *opaque, int fd), void *opaque, size_t max, uint8_t **text,
	      size_t *len, struct err *err)
{
	const pid_t parent = getpid();
	int ends[2], ret;
	pid_t child;

	*text = NULL;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	fflush(NULL);
	child = fork();
	if (child == 0) {
		/* Nobody would hear the answer of one whose parent was killed. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(1);
		answer(opaque, ends[1]);
		_exit(0);
	}
	close(ends[1]);
	ret = child > 0 ? read_answer(ends[0], max, text, len, err) : err_sys(err, errno, "fork");
	close(ends[0]);
	if (child > 0)
		(void)waitpid(child, NULL, 0);
	return ret;
}

static bool is_kept(int fd, const int *keep, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (keep[i] == fd)
			return true;
	}
	return false;
}

static void close_others(const int *keep, size_t n)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		int fd = atoi(entry->d_name);

		if (fd > STDERR_FILENO && fd != dirfd(dir) && !is_kept(fd, keep, n))
			close(fd);
	}
	if (dir != NULL)
		closedir(dir);
}

static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
	(void)!chdir("/");
}

/* Files may be read by two processes at a time; the rest is one process's alone. */
static bool is_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
}

/* A number that no descriptor of this process reaches (proc_pid_status(5)). */
static int end_of_descriptors(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	struct rlimit limit;
	char line[256];
	int size = 0;

	while (size == 0 && file != NULL && fgets(line, sizeof(line), file) != NULL)
		(void)sscanf(line, "FDSize: %d", &size);
	if (file != NULL)
		fclose(file);
	if (size > 0)
		return size;
	return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT_MAX
		       ? (int)limit.rlim_cur
		       : INT_MAX;
}

static void close_all_but_files(const int *keep, size_t n, int end_fd)
{
	const int end = end_of_descriptors();

	for (int fd = STDERR_FILENO + 1; fd < end; fd++) {
		if (fd != end_fd && !is_kept(fd, keep, n) && !is_file(fd))
			close(fd);
	}
}

int child_start(struct child *c, void (*run)(void *opaque), void *opaque, const int *keep, size_t n,
		struct err *err)
{
	const pid_t parent = getpid();
	int ends[2];

	*c = (struct child){.fd = -1};
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	c->pid = fork();
	if (c->pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(1);
		/* ends[1] stays open until the process is gone. */
		close_all_but_files(keep, n, ends[1]);
		run(opaque);
		_exit(0);
	}
	close(ends[1]);
	if (c->pid < 0) {
		int ret = err_sys(err, errno, "start a process");

		close(ends[0]);
		*c = (struct child){.fd = -1};
		return ret;
	}
	c->fd = ends[0];
	return 0;
}

void child_forget(struct child *c)
{
	if (c->fd >= 0)
		close(c->fd);
	*c = (struct child){.fd = -1};
}

bool child_end(struct child *c)
{
	int status = 0;
	pid_t got;

	while ((got = waitpid(c->pid, &status, 0)) < 0 && errno == EINTR)
		;
	child_forget(c);
	return got > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int child_detach(void (*run)(void *opaque), void *opaque, const int *keep, size_t n,
		 struct err *err)
{
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		setsid();
		/* Its parent ends at once: it is nobody's child. */
		if (fork() != 0)
			_exit(0);
		leave_terminal();
		close_others(keep, n);
		run(opaque);
		_exit(0);
	}
	if (child < 0)
		return err_sys(err, errno, "fork");
	(void)waitpid(child, NULL, 0);
	return 0;
}
