/* See host_command.h. */
#include "golden/host_command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/num.h"

#define CHUNK KIB(64)
/* How often an end is looked for where the kernel does not tell it. */
#define LOOK_MS	       20
#define GENTLE_SECONDS 10

void golden_output_add(struct buf *output, size_t most, const void *data, size_t len,
		       uint64_t *dropped)
{
	size_t room = most - u64_min(output->len, most);
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

bool test_is_stopped(int stop_fd)
{
	struct pollfd ready = {.fd = stop_fd, .events = POLLIN};

	return poll(&ready, 1, 0) > 0;
}

int host_program_spawn(const struct host_program *program, pid_t *pid)
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
		posix_spawn_file_actions_adddup2(&files, program->out, STDOUT_FILENO);
		posix_spawn_file_actions_adddup2(&files, program->messages, STDERR_FILENO);
		/* Onto itself: it is not closed then (POSIX 2024, glibc 2.29). */
		for (unsigned i = 0; i < 2 && program->keep[i] >= 0; i++)
			posix_spawn_file_actions_adddup2(&files, program->keep[i],
							 program->keep[i]);
		ret = posix_spawn(pid, program->path, &files, &attr, (char *const *)program->argv,
				  program->env);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&files);
	return ret;
}

/* What a program prints, while it is followed. */
struct follow {
	struct pollfd ready[3]; /* its output, its end, and that all is to stop */
	uint64_t deadline;	/* CLOCK_MONOTONIC, ns */
	char *chunk;
	struct buf *output;
	uint64_t dropped;
	uint64_t late; /* bytes that came when it had ended */
	bool gently;
	bool ended;
};

static unsigned follow_ms(const struct follow *f)
{
	uint64_t now = clock_monotonic_ns(), left;

	if (f->ended || now >= f->deadline)
		return 0;
	left = (f->deadline - now) / NS_PER_MS + 1;
	return (unsigned)u64_min(left, f->ready[1].fd < 0 ? LOOK_MS : 60000);
}

/* Whether there may be more to read. */
static bool follow_read(struct follow *f)
{
	ssize_t got = 0;

	if (f->ready[0].revents != 0)
		got = read(f->ready[0].fd, f->chunk, CHUNK);
	if (got <= 0) {
		/* It has closed its output, and may live on. */
		if (f->ready[0].revents != 0)
			f->ready[0].fd = -1;
		return !f->ended;
	}
	golden_output_add(f->output, GOLDEN_OUTPUT_MAX, f->chunk, (size_t)got, &f->dropped);
	if (f->ended)
		f->late += (uint64_t)got;
	/* So much may have been in the pipe; what its background jobs print on is not followed. */
	return f->late <= GOLDEN_OUTPUT_MAX;
}

/* What it prints no longer matters; a pipe that is full would keep it. */
static int end_gently(struct follow *f, pid_t pid)
{
	const uint64_t deadline = clock_monotonic_ns() + GENTLE_SECONDS * NS_PER_SECOND;
	struct pollfd ready[2] = {f->ready[0], f->ready[1]};

	if (!f->gently || kill(-pid, SIGTERM) < 0)
		return -ECANCELED;
	while (!f->ended && clock_monotonic_ns() < deadline) {
		if (poll(ready, 2, 100) > 0 && ready[0].revents != 0 &&
		    read(ready[0].fd, f->chunk, CHUNK) <= 0)
			ready[0].fd = -1;
		f->ended = waitpid(pid, NULL, WNOHANG) == pid;
	}
	return -ECANCELED;
}

static int follow_to_end(struct follow *f, pid_t pid, int *wstatus, bool *timed_out)
{
	do {
		if (poll(f->ready, 3, (int)follow_ms(f)) < 0) {
			if (errno != EINTR)
				return -errno;
			f->ready[0].revents = f->ready[2].revents = 0;
		}
		if (!f->ended && f->ready[2].revents != 0)
			return end_gently(f, pid);
		if (!f->ended && clock_monotonic_ns() > f->deadline) {
			*timed_out = true;
			kill(-pid, SIGKILL);
			f->ended = waitpid(pid, wstatus, 0) == pid;
		}
		if (!follow_read(f))
			return 0;
		if (!f->ended)
			f->ended = waitpid(pid, wstatus, WNOHANG) == pid;
	} while (true);
}

int host_program_follow(pid_t pid, const struct host_follow *how, struct buf *output, int *wstatus,
			bool *timed_out)
{
	cleanup_free char *chunk = malloc(CHUNK);
	cleanup_fd int end = (int)syscall(SYS_pidfd_open, pid, 0); /* Linux 5.3 */
	struct follow f = {
		.ready = {{.fd = how->fd, .events = POLLIN},
			  {.fd = end, .events = POLLIN},
			  {.fd = how->stop_fd, .events = POLLIN}},
		.gently = how->gently,
		.deadline = clock_monotonic_ns() + how->seconds * NS_PER_SECOND,
		.chunk = chunk,
		.output = output,
	};
	int ret = chunk != NULL ? follow_to_end(&f, pid, wstatus, timed_out) : -ENOMEM;

	golden_output_end(output, f.dropped);
	if (ret == 0 && buf_failed(output))
		ret = -ENOMEM;
	if (ret < 0) {
		kill(-pid, SIGKILL);
		if (!f.ended)
			waitpid(pid, NULL, 0);
	}
	return ret;
}

int host_command_run(const char *command, const struct test_host *host, unsigned seconds,
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
	ret = host_program_spawn(&(struct host_program){.path = "/bin/sh",
							.argv = argv,
							.env = host->env,
							.out = ends[1],
							.messages = ends[1],
							.keep = {-1, -1}},
				 &pid);
	close(ends[1]);
	if (ret != 0)
		return err_sys(err, ret, "run /bin/sh");
	ret = host_program_follow(
		pid, &(struct host_follow){.fd = in, .stop_fd = host->stop_fd, .seconds = seconds},
		output, &wstatus, &timed_out);
	if (ret < 0)
		return err_sys(err, -ret, "read the output of a command");
	if (timed_out)
		*status = GOLDEN_TIMED_OUT;
	else
		*status = WIFEXITED(wstatus) ? WEXITSTATUS(wstatus) : 128 + WTERMSIG(wstatus);
	return 0;
}
