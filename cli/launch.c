/* See launch.h. */
#include "cli/launch.h"

#include <stdio.h>

#include "cli/command.h"
#include "host/detach.h"
#include "host/sandbox.h"
#include "instance/record.h"

int launch_guard(const struct connections *connections, struct err *err)
{
	unsigned nets = 0;

	if (connections_need(connections, NET_USER))
		nets |= SANDBOX_NET_USER;
	if (connections_need(connections, NET_TAP))
		nets |= SANDBOX_NET_TAP;
	return sandbox_enter_machine(nets, err);
}

void launch_notice(const char *line)
{
	fprintf(stderr, "torpor: %s\n", line);
}

static int in_background(struct source *source, struct instance_options *options, struct err *err)
{
	char name[DETACH_NAME_SIZE];
	struct instance_end end;
	int ret = detach_fork(&options->report_fd, name, err);

	if (ret != 0)
		source_close(source);
	if (ret < 0)
		return ret;
	if (ret > 0) {
		printf("%s\n", name);
		return 0;
	}
	ret = instance_run(source, options, &end, err);
	if (ret == 0)
		return record_exit_status(end.end);
	/* The parent speaks for us. */
	if (!end.reported)
		detach_failed(options->report_fd, err);
	return command_exit_status(err);
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
		fprintf(stderr, "torpor: %s was saved to %s\n", end.name, end.saved_to.text);
	else if (end.end == MACHINE_END_MOVED)
		fprintf(stderr, "torpor: %s was moved to another host\n", end.name);
	return record_exit_status(end.end);
}

int launch(struct source *source, struct instance_options *options, bool detach, struct err *err)
{
	options->notice = launch_notice;
	return detach ? in_background(source, options, err) : in_foreground(source, options, err);
}
