/* See host_command.h. */
#include "golden/host_command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/num.h"

#define CHUNK KIB(64)
/* How often an ended shell is noticed whose background jobs keep its output open. */
#define LOOK_MS 20

void golden_output_add(struct buf *output, const void *data, size_t len, uint64_t *dropped)
{
	size_t room = GOLDEN_OUTPUT_MAX - u64_min(output->len, GOLDEN_OUTPUT_MAX);
	size_t taken = u64_min(len, room);

	buf_add(output, data, taken);
	*dropped += len - taken;
}

void golden_output_end(struct buf *output, uint64_t dropped)
{
	if (dropped > 0)
		buf_printf(output, "\n(torpor: %llu bytes more, which are not compared)\n",
			   (unsigned long long)dropped);
}

int host_command_spawn(const char *program, const char *const *argv, char *const *env, int out,
		       pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t defaults, none;
	int ret = posix_spawn_file_actions_init(&files);

	if (ret != 0)
		return ret;
	ret = posix_spawnattr_init(&attr);
	if (ret == 0) {
		sigemptyset(&defaults);
		sigaddset(&defaults, SIGPIPE);
		sigaddset(&defaults, SIGXFSZ);
		posix_spawnattr_setsigdefault(&attr, &defaults);
		sigemptyset(&none);
		posix_spawnattr_setsigmask(&attr, &none);
		posix_spawnattr_setpgroup(&attr, 0);
		posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
							POSIX_SPAWN_SETSIGMASK);
		posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
		posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
		posix_spawn_file_actions_adddup2(&files, out, STDERR_FILENO);
		ret = posix_spawn(pid, program, &files, &attr, (char *const *)argv, env);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&files);
	return ret;
}

/* Until the shell has ended and its output is read, or the time is over. */
static int host_command_read(pid_t pid, int fd, unsigned seconds, struct buf *output, int *wstatus,
			     bool *timed_out)
{
	uint64_t deadline = clock_monotonic_ns() + seconds * NS_PER_SECOND, dropped = 0;
	cleanup_free char *chunk = malloc(CHUNK);
	bool ended = false;

	if (chunk == NULL)
		return -ENOMEM;
	for (;;) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		ssize_t got = 0;

		if (poll(&ready, 1, ended ? 0 : LOOK_MS) < 0 && errno != EINTR)
			return -errno;
		if (ready.revents != 0)
			got = read(fd, chunk, CHUNK);
		if (got > 0)
			golden_output_add(output, chunk, (size_t)got, &dropped);
		else if (ended)
			break;
		if (!ended && ready.revents != 0 && got == 0) {
			/* It has closed its output, and may live on. */
			usleep(LOOK_MS * 1000);
		}
		if (!ended)
			ended = waitpid(pid, wstatus, WNOHANG) == pid;
		if (!ended && clock_monotonic_ns() > deadline) {
			*timed_out = true;
			kill(-pid, SIGKILL);
			ended = waitpid(pid, wstatus, 0) == pid;
		}
	}
	golden_output_end(output, dropped);
	return buf_failed(output) ? -ENOMEM : 0;
}

int host_command_run(const char *command, struct test_host *host, unsigned seconds,
		     struct buf *output, int *status, struct err *err)
{
	const char *const argv[] = {"sh", "-c", command, NULL};
	bool timed_out = false;
	int ends[2], wstatus = 0, ret;
	cleanup_fd int in = -1;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	in = ends[0];
	ret = host_command_spawn("/bin/sh", argv, host->env, ends[1], &pid);
	close(ends[1]);
	if (ret != 0)
		return err_sys(err, ret, "run /bin/sh");
	host->group = pid;
	ret = host_command_read(pid, in, seconds, output, &wstatus, &timed_out);
	host->group = 0;
	if (ret < 0) {
		kill(-pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return err_sys(err, -ret, "read the output of a command");
	}
	if (timed_out)
		*status = GOLDEN_TIMED_OUT;
	else
		*status = WIFEXITED(wstatus) ? WEXITSTATUS(wstatus) : 128 + WTERMSIG(wstatus);
	return 0;
}
