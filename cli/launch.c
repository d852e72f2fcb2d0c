/* See launch.h. */
#include "cli/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/end_signals.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/patience.h"
#include "cli/print_line.h"
#include "cli/target.h"
#include "host/detach.h"
#include "host/sandbox.h"
#include "instance/record.h"

/* More than cores: a start waits for the kernel now and then. */
#define MOST_AT_ONCE 8u

int launch_guard(const struct connections *connections, struct err *err)
{
	unsigned nets = 0;

	if (connections_need(connections, NET_USER))
		nets |= SANDBOX_NET_USER;
	if (connections_need(connections, NET_TAP))
		nets |= SANDBOX_NET_TAP;
	if (connections_need(connections, NET_LAN))
		nets |= SANDBOX_NET_LAN;
	return sandbox_enter_machine(nets, err);
}

void launch_notice(const char *line)
{
	print_line(stderr, "torpor: %s", line);
}

/* In the child: until the machine is over. Its exit status. */
static int run_detached(struct source *source, struct instance_options *options, struct err *err)
{
	struct instance_end end;
	int ret = instance_run(source, options, &end, err);

	if (ret == 0)
		return record_exit_status(end.end, end.status);
	/* The parent prints the error. */
	if (!end.reported)
		detach_failed(options->report_fd, err);
	return command_exit_status(err);
}

/* What a machine on this host takes to start is milliseconds; one that waits for a registry may take any time. */
#define LAST_ANSWERS_MS 2000u

/* Machines that have been started and have not answered yet, the oldest first. */
struct starting {
	int wait_fd[MOST_AT_ONCE];
	unsigned first, n;
	int signal_fd;
	sigset_t signals; /* that were blocked before */
};

static int begin_starting(struct starting *starting, struct err *err)
{
	*starting = (struct starting){0};
	pthread_sigmask(SIG_SETMASK, NULL, &starting->signals);
	starting->signal_fd = end_signals_open(0, err);
	return starting->signal_fd < 0 ? starting->signal_fd : 0;
}

static void end_starting(struct starting *starting)
{
	if (starting->signal_fd >= 0)
		close(starting->signal_fd);
	pthread_sigmask(SIG_SETMASK, &starting->signals, NULL);
}

/* In a machine: it must not hold what only its parent reads, or it would take the parent's death for a listener. */
static void leave_starting(struct starting *starting)
{
	for (; starting->n > 0; starting->n--) {
		close(starting->wait_fd[starting->first]);
		starting->first = (starting->first + 1) % MOST_AT_ONCE;
	}
	end_starting(starting);
}

/* A signal ends us: those that say that they run are named, and the others end when nobody hears them. Almost all are
 * waited for, or one would say so to a pipe that nobody reads any more. */
static void name_and_die(struct starting *starting, int number)
{
	const uint64_t end = clock_monotonic_ns() + LAST_ANSWERS_MS * NS_PER_MS;

	for (; starting->n > 0; starting->n--) {
		struct pollfd answer = {.fd = starting->wait_fd[starting->first], .events = POLLIN};
		const uint64_t now = clock_monotonic_ns();
		char name[DETACH_NAME_SIZE];

		if (poll(&answer, 1, now < end ? (int)((end - now) / NS_PER_MS) : 0) == 1 &&
		    detach_await(answer.fd, name, NULL) > 0)
			printf("%s\n", name);
		starting->first = (starting->first + 1) % MOST_AT_ONCE;
	}
	fflush(stdout);
	end_starting(starting);
	(void)raise(number);
}

/* Wait for the oldest. Returns what detach_await() does. */
static int await_oldest(struct starting *starting, char name[DETACH_NAME_SIZE], struct err *err)
{
	const int wait_fd = starting->wait_fd[starting->first];
	struct pollfd either[] = {{.fd = wait_fd, .events = POLLIN},
				  {.fd = starting->signal_fd, .events = POLLIN}};
	int number;

	while (poll(either, ARRAY_SIZE(either), -1) < 0 && errno == EINTR)
		;
	number = end_signals_take(starting->signal_fd);
	if (number != 0)
		name_and_die(starting, number);
	starting->first = (starting->first + 1) % MOST_AT_ONCE;
	starting->n--;
	return detach_await(wait_fd, name, err);
}

/* Its memory may be as far away as a registry: the machine runs when the first of it has come. */
static int await_start(const struct source *source, struct starting *starting,
		       char name[DETACH_NAME_SIZE], struct err *err)
{
	const bool speaks = source->arrivals != NULL && isatty(STDERR_FILENO);
	struct patience patience;
	int ret;

	if (speaks)
		patience_begin(&patience, "resume",
			       "the first of the machine's memory to arrive; torpor ps says how "
			       "far it is");
	ret = await_oldest(starting, name, err);
	if (speaks)
		patience_end(&patience);
	return ret;
}

static int in_background(struct source *source, struct instance_options *options, struct err *err)
{
	char name[DETACH_NAME_SIZE];
	struct starting starting;
	int ret = begin_starting(&starting, err);

	if (ret < 0) {
		source_close(source);
		return ret;
	}
	ret = detach_start(&options->report_fd, &starting.wait_fd[0], err);
	if (ret == 0) {
		leave_starting(&starting);
		return run_detached(source, options, err);
	}
	if (ret > 0) {
		starting.n = 1;
		ret = await_start(source, &starting, name, err);
	}
	source_close(source);
	if (ret >= 0)
		printf("%s\n", name);
	end_starting(&starting);
	return ret < 0 ? ret : 0;
}

static void warn_of_memory(const struct appliance *a)
{
	struct sysinfo host;
	uint64_t has;

	if (sysinfo(&host) < 0)
		return;
	has = (uint64_t)host.totalram * host.mem_unit;
	if (a->memory > has)
		fprintf(stderr,
			"torpor: the machine has %llu MiB of memory, this host %llu: it may be "
			"killed when it uses them\n",
			(unsigned long long)(a->memory >> 20), (unsigned long long)(has >> 20));
}

int launch_held(struct source *source, struct instance_options *options,
		char name[DETACH_NAME_SIZE], int *keeper, int *status, struct err *err)
{
	int ends[2], ret;

	options->notice = launch_notice;
	warn_of_memory(&source->appliance);
	options->paused = true;
	if (pipe2(ends, O_CLOEXEC) < 0) {
		source_close(source);
		return err_sys(err, errno, "pipe");
	}
	options->hold_fd = ends[0];
	ret = detach_fork(&options->report_fd, name, err);
	if (ret == 0) {
		close(ends[1]);
		*status = run_detached(source, options, err);
		return 0;
	}
	close(ends[0]);
	source_close(source);
	if (ret < 0)
		close(ends[1]);
	else
		*keeper = ends[1];
	return ret;
}

static int in_foreground(struct source *source, struct instance_options *options, struct err *err)
{
	struct instance_end end;
	int ret;

	options->report_fd = -1;
	ret = instance_run(source, options, &end, err);
	if (ret < 0)
		return ret;
	if (end.end == MACHINE_END_KILLED)
		fprintf(stderr, "torpor: %s was killed\n", end.name);
	else if (end.end == MACHINE_END_SAVED)
		print_line(stderr, "torpor: %s was saved to %s", end.name, end.saved_to.text);
	else if (end.end == MACHINE_END_MOVED)
		fprintf(stderr, "torpor: %s was moved to another host\n", end.name);
	return record_exit_status(end.end, end.status);
}

/* Wait for the oldest and print its name. Returns 0, or its error. */
static int await_clone(struct starting *starting, struct err *err)
{
	char name[DETACH_NAME_SIZE];
	int ret = await_oldest(starting, name, err);

	if (ret > 0)
		printf("%s\n", name);
	return ret > 0 ? 0 : ret;
}

static int await_clones(struct starting *starting, unsigned most, const char *verb)
{
	struct err err;
	int worst = 0;

	while (starting->n > most) {
		int status;

		if (await_clone(starting, &err) == 0)
			continue;
		command_print_error(verb, &err);
		status = command_exit_status(&err);
		worst = status > worst ? status : worst;
	}
	return worst;
}

/* An image is known by what was typed, not by its place in the store. */
static void name_origin(const struct source *source, struct instance_options *options)
{
	if (options->origin == NULL && !source->unnamed)
		options->origin = target_typed(source->origin);
}

int launch_clones(struct source *source, struct instance_options *options, const char *verb,
		  unsigned count, struct err *err)
{
	char base[DETACH_NAME_SIZE], name[2 * DETACH_NAME_SIZE];
	struct starting starting;
	int worst = 0, status, ret = begin_starting(&starting, err);

	snprintf(base, sizeof(base), "%s", options->preferred_name);
	options->notice = launch_notice;
	options->preferred_name = name;
	name_origin(source, options);
	warn_of_memory(&source->appliance);
	for (unsigned i = 0; i < count && ret >= 0; i++) {
		unsigned last = (starting.first + starting.n) % MOST_AT_ONCE;

		snprintf(name, sizeof(name), "%s-%u", base, i + 1);
		ret = detach_start(&options->report_fd, &starting.wait_fd[last], err);
		if (ret == 0) {
			leave_starting(&starting);
			return run_detached(source, options, err);
		}
		if (ret < 0)
			break;
		starting.n++;
		/* What is wrong with the source or the host is wrong with all. */
		if (i == 0)
			ret = await_clone(&starting, err);
		status = await_clones(&starting, MOST_AT_ONCE - 1, verb);
		worst = status > worst ? status : worst;
	}
	source_close(source);
	status = await_clones(&starting, 0, verb);
	worst = status > worst ? status : worst;
	end_starting(&starting);
	return ret < 0 ? ret : worst;
}

int launch(struct source *source, struct instance_options *options, bool detach, struct err *err)
{
	options->notice = launch_notice;
	name_origin(source, options);
	warn_of_memory(&source->appliance);
	return detach ? in_background(source, options, err) : in_foreground(source, options, err);
}
