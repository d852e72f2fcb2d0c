/* See guest_shell.h. */
#include "cli/guest_shell.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/num.h"
#include "cli/guest_command.h"
#include "golden/host_command.h"

/* After a command's time is over: for its end to arrive. */
#define END_MS 5000
/* A guest that has just woken is paged in, and its agent with it. */
#define AGENT_SECONDS 120u

static void send_kill(struct guest_command *c)
{
	uint8_t data[4];

	exec_put32(data, SIGKILL);
	guest_command_send(c, EXEC_SIGNAL, data, sizeof(data));
}

/* Until the command has ended, or its time is over and it cannot be ended either. */
static int follow(struct guest_command *c, int stop_fd, unsigned seconds, size_t most,
		  struct buf *output, int *status, struct err *err)
{
	uint64_t deadline = UINT64_MAX, dropped = 0;
	bool timed_out = false;
	struct exec_frame f;
	const uint8_t *data;
	int ret;

	while ((ret = guest_command_frame(c, false, &f, &data, err)) >= 0 && !c->ended) {
		struct pollfd ready[] = {{.fd = c->client.fd, .events = POLLIN},
					 {.fd = stop_fd, .events = POLLIN}};
		uint64_t now = clock_monotonic_ns();

		/* Its time begins when it has reached the guest. */
		if (c->ready && deadline == UINT64_MAX)
			deadline = now + seconds * NS_PER_SECOND;
		if (ret > 0) {
			if (f.type == EXEC_OUTPUT || f.type == EXEC_OUTPUT_ERR)
				golden_output_add(output, most, data, f.len, &dropped);
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
		if (poll(ready, 2, (int)u64_min((deadline - now) / NS_PER_MS + 1, 60000)) < 0 &&
		    errno != EINTR)
			return err_sys(err, errno, "poll");
		if (test_is_stopped(stop_fd))
			return err_sys(err, ECANCELED, "interrupted");
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

static int run_once(struct guest_command *c, const struct guest_shell *shell, char *script,
		    unsigned seconds, size_t most, struct buf *output, int *status, struct err *err)
{
	char sh[] = "sh", dash_c[] = "-c";
	char *const argv[] = {sh, dash_c, script, NULL};
	const struct guest_call call = {.folder = "", .user = "", .argv = argv, .env = shell->env};
	int ret = guest_command_start(c, shell->machine, &call, err);

	if (ret < 0)
		return ret;
	ret = follow(c, shell->stop_fd, seconds, most, output, status, err);
	guest_command_close(c);
	return ret;
}

int guest_shell_run(const struct guest_shell *shell, const char *command, unsigned seconds,
		    size_t most, struct buf *output, int *status, struct err *err)
{
	const uint64_t start = clock_monotonic_ns();
	const uint64_t patience = u64_min(seconds, AGENT_SECONDS) * NS_PER_SECOND;
	cleanup_free char *script = NULL;
	cleanup_free struct guest_command *c = calloc(1, sizeof(*c));
	int ret;

	if (c == NULL || asprintf(&script, "exec 2>&1\n%s", command) < 0)
		return err_sys(err, ENOMEM, "run a command");
	do {
		*c = (struct guest_command){.client = {.fd = -1}};
		ret = run_once(c, shell, script, seconds, most, output, status, err);
	} while (ret < 0 && c->may_retry && clock_monotonic_ns() - start < patience);
	return ret;
}
