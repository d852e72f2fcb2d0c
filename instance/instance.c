/* See instance.h. */
#include "instance/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/end_signals.h"
#include "base/io.h"
#include "base/num.h"
#include "host/detach.h"
#include "host/terminal.h"
#include "instance/record.h"
#include "instance/warmup.h"
#include "snapshot/resume.h"

/* A cold machine's CPU, from what this host has. */
static int make_cpu(struct instance *in, struct arch_cpu **cpu, struct err *err)
{
	const char *chosen;
	struct kvm kvm;
	int ret = kvm_open_device(&kvm, err);

	if (ret < 0)
		return ret;
	ret = arch_cpu_create(&kvm, in->source->appliance.cpu.profile, cpu, &chosen, err);
	kvm_close(&kvm);
	if (ret < 0)
		return ret;
	arch_cpu_needs(*cpu, &in->cpu);
	return 0;
}

/* The file of a live machine describes its CPU. */
static int make_machine(struct instance *in, struct err *err)
{
	const struct appliance *a = &in->source->appliance;
	struct machine_params params = {
		.memory = a->memory,
		.nvcpus = a->vcpus,
		.boot = in->source->boot,
		.group = in->limits_group.vcpus_fd >= 0 ? &in->vcpu_group : NULL,
		.log = {.fd = -1, .prefix = in->claim.name},
	};
	int ret;

	if (a->live) {
		in->cpu = a->cpu;
		params.cpu_needs = &a->cpu;
		params.host_needs = &a->needs;
	} else {
		ret = make_cpu(in, &params.cpu, err);
		if (ret < 0)
			return ret;
	}
	return machine_init(&in->machine, &params, err);
}

/* What whoever boots a cold appliance decides on. */
static void describe_cold(struct appliance *a)
{
	a->exec_port = true;
	for (uint32_t i = 0; i < a->ndisks; i++)
		a->disk[i].queues =
			a->vcpus < APPLIANCE_MAX_QUEUES ? a->vcpus : APPLIANCE_MAX_QUEUES;
}

static int make_devices(struct instance *in, struct err *err)
{
	struct board_bindings bindings = {0};
	int ret = instance_net_prepare(in, err);

	if (ret < 0)
		return ret;
	ret = source_open_disks(in->source, in->claim.name, bindings.disk, err);
	if (ret < 0)
		return ret;
	memcpy(in->disk, bindings.disk, sizeof(in->disk));
	for (unsigned i = 0; i < APPLIANCE_MAX_SHARES; i++)
		bindings.share[i] = &in->source->share[i].ends;
	bindings.vsock = &in->source->vsock;
	/* One that was saved has the ports and queues that it had. */
	if (!in->source->appliance.live)
		describe_cold(&in->source->appliance);
	return board_build(&in->board, &in->machine, &in->source->appliance, &bindings, err);
}

static double mebibytes(uint64_t bytes)
{
	return (double)bytes / (double)MIB(1);
}

static void notice(const struct instance *in, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void notice(const struct instance *in, const char *fmt, ...)
{
	char line[PATH_MAX + 512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	in->options->notice(line);
}

static void notice_memory_read(const struct instance *in, const struct load_report *report,
			       const char *path)
{
	if (report->unaligned > 0)
		notice(in,
		       "memory in %s is not page-aligned (repacked by another tool?); "
		       "it is read (%.1f MiB) instead of mapped",
		       path, mebibytes(report->unaligned));
	if (report->decoded > 0)
		notice(in, "memory was read before the start (%.1f MiB): %s",
		       mebibytes(report->decoded), report->why.text);
}

static int note_base(struct instance *in, const struct archive *newest, struct err *err)
{
	const struct source *source = in->source;
	const char *path = source->home != NULL ? source->home : archive_path(newest);

	strcpy(in->base, archive_digest(newest));
	/* What was never in a file has no path. */
	return source->unnamed ? 0 : path_absolute(&in->base_path, path, err);
}

static int restore_guest(struct instance *in, struct err *err)
{
	const struct warmup *warmup = in->options->warmup;
	struct load_params params = {
		.chain = in->source->chain,
		.fill = in->options->fill,
		.record = warmup != NULL && warmup->in_order,
	};
	const struct archive *newest = chain_newest(params.chain);
	struct load_report report;
	int ret = snapshot_resume(&in->machine, &params, &report, err);

	if (ret < 0)
		return ret;
	in->pager = report.pager;
	ret = note_base(in, newest, err);
	if (ret < 0)
		return ret;
	in->golden_path = in->base_path;
	if (in->options->golden) {
		ret = instance_golden_open(in, err);
		if (ret < 0)
			return ret;
	}
	ret = board_new_generation(&in->board, err);
	if (ret < 0)
		return ret;
	notice_memory_read(in, &report, archive_path(newest));
	return 0;
}

/* Guest in memory, devices in place, nothing running yet. */
static int load_guest(struct instance *in, struct err *err)
{
	int ret = make_devices(in, err);

	if (ret < 0)
		return ret;
	if (in->source->appliance.live)
		return restore_guest(in, err);
	ret = machine_boot(&in->machine, err);
	return ret < 0 ? source_boot_failed(in->source, ret, err) : 0;
}

static void end_by_request(struct instance *in)
{
	if (in->saving.active)
		instance_saving_kill(in);
	else
		instance_end_killed(in);
}

static void on_end_signal(struct loop_watch *watch, uint32_t events)
{
	struct instance *in = container_of(watch, struct instance, signal_watch);

	(void)events;
	if (end_signals_take(in->signal_fd) != 0)
		end_by_request(in);
}

static void on_lease_closed(struct loop_watch *watch, uint32_t events)
{
	struct instance *in = container_of(watch, struct instance, lease_watch);

	(void)events;
	loop_del(&in->control_loop, watch);
	end_by_request(in);
}

static void on_control_loop(struct loop_watch *watch, uint32_t events)
{
	struct instance *in = container_of(watch, struct instance, control_watch);

	(void)events;
	loop_poll(&in->control_loop);
}

static int open_control_loop(struct instance *in, struct err *err)
{
	int ret = loop_init(&in->control_loop, &in->control_lock, err);

	if (ret < 0)
		return ret;
	return loop_add(&in->machine.loop, &in->control_watch, in->control_loop.epoll_fd, EPOLLIN,
			on_control_loop, err);
}

/* What asks a program to end ends the machine, in order. */
static int watch_end_signals(struct instance *in, struct err *err)
{
	in->signal_fd = end_signals_open(0, err);
	if (in->signal_fd < 0)
		return in->signal_fd;
	return loop_add(&in->control_loop, &in->signal_watch, in->signal_fd, EPOLLIN, on_end_signal,
			err);
}

/* Only that the other end is closed. */
static int watch_lease(struct instance *in, struct err *err)
{
	const int fd = in->options->lease_fd;

	return fd <= 0 ? 0
		       : loop_add(&in->control_loop, &in->lease_watch, fd, 0, on_lease_closed, err);
}

static int write_pid(const char *name, struct err *err)
{
	struct path path;
	cleanup_fd int fd = -1;
	char text[16];
	int len, ret = path_runtime(&path, name, "pid", err);

	if (ret < 0)
		return ret;
	fd = open(path.text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "write %s", path.text);
	len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	ret = io_write(fd, text, (uint64_t)len);
	return ret < 0 ? err_sys(err, -ret, "write %s", path.text) : 0;
}

/* A machine without a log runs all the same. */
static void open_logs(struct instance *in)
{
	struct path path;

	console_log_open(&in->hub.log);
	if (path_state(&path, in->claim.name, "torpor.log", NULL) == 0)
		(void)log_file_open(&in->log, path.text, HOST_LOG_MAX, LOG_FILE_ROTATES, NULL);
	in->machine.log.file = &in->log;
	if (in->machine.state == MACHINE_BROKEN) /* before there was a log */
		log_line(&in->machine.log, "broken: %s", in->machine.failure.text);
	in->had_prior = record_read(in->claim.name, &in->prior, NULL) == 0;
	/* Without the reserved room the record is written at the end if there is room then. */
	(void)record_begin(in->claim.name, NULL);
}

static void tell_event_broken(struct instance *in)
{
	instance_event(in, "broken", json_pack("{s:s}", "error", in->machine.failure.text));
}

/* A broken machine stays until its user ends it. */
static void tell_broken(struct instance *in)
{
	const char *why = in->machine.failure.text;

	tell_event_broken(in);
	if (in->options->report_fd < 0) {
		notice(in, "machine %s is broken: %s", in->claim.name, why);
		notice(in, "it stays for torpor inspect and torpor logs, until torpor kill");
	}
	control_broken(&in->control,
		       json_pack("{s:b,s:s,s:s}", "ok", 1, "end", "broken", "error", why));
}

/* Like a broken one, it stays until its user ends it: it can still be looked at, and saved. */
static void tell_halted(struct instance *in)
{
	in->told_halted = true;
	instance_event(in, "halted", NULL);
	if (in->options->report_fd < 0)
		notice(in, "the guest of machine %s has halted for good", in->claim.name);
	control_broken(&in->control,
		       json_pack("{s:b,s:s,s:s}", "ok", 1, "end", "halted", "error", ""));
}

/* A guest that is reset, or goes on, reads its disks anew. */
static void look_at_bases(struct instance *in)
{
	struct err err;

	if (in->told_base || instance_check_bases(in, &err) == 0)
		return;
	in->told_base = true;
	log_line(&in->machine.log, "%s", err.text);
	if (in->options->report_fd < 0)
		notice(in, "%s", err.text);
}

static void on_change(struct machine *m, void *opaque)
{
	struct instance *in = opaque;

	post_resume_changed(&in->post_resume);
	instance_identity_changed(in);
	look_at_bases(in);
	instance_events_changed(in);
	if (m->state == MACHINE_BROKEN)
		tell_broken(in);
	else if (m->halted && !in->told_halted)
		tell_halted(in);
}

/* What has not arrived is waited for by vCPUs and by devices. */
static void on_ending(struct machine *m, void *opaque)
{
	struct instance *in = opaque;

	(void)m;
	if (in->pager != NULL)
		pager_give_up(in->pager);
	instance_settle_give_up(in);
}

static int open_host_side(struct instance *in, struct err *err)
{
	int ret = write_pid(in->claim.name, err);

	if (ret < 0)
		return ret;
	ret = control_listen(&in->control, in->claim.name, err);
	if (ret < 0)
		return ret;
	return instance_net_open(in, err);
}

static void *keep_boot_files(void *instance)
{
	struct instance *in = instance;
	struct err err;

	if (source_keep_boot_files(in->source, &err) == 0)
		return NULL;
	pthread_mutex_lock(&in->machine.lock);
	machine_fail(&in->machine, &err);
	pthread_mutex_unlock(&in->machine.lock);
	return NULL;
}

static int open_agent(struct instance *in, struct err *err)
{
	int ret = post_resume_open(&in->post_resume, err);

	if (ret < 0)
		return ret;
	ret = agent_files_open(&in->agent_files, &in->machine.loop, err);
	if (ret < 0)
		return ret;
	if (in->board.exec != NULL) {
		ret = exec_port_open(&in->exec_port, &in->machine.loop, err);
		if (ret < 0)
			return ret;
	}
	return exec_sessions_open(&in->commands, err);
}

/* The loop's first round: everything the guest did not have to wait for. */
static void on_deferred_start(struct loop_watch *watch, uint32_t events)
{
	struct instance *in = container_of(watch, struct instance, deferred_watch);
	struct err err;

	(void)events;
	loop_del(&in->machine.loop, &in->deferred_watch);
	limits_group_close(&in->limits_group);
	if (in->options->warmup == NULL)
		open_logs(in);
	if (open_host_side(in, &err) < 0) {
		in->refused = true;
		machine_fail(&in->machine, &err);
		return;
	}
	if (in->options->hold_fd > 0 &&
	    hold_begin(&in->hold, &in->machine, in->options->hold_fd, HOLD_ENDS, &err) < 0) {
		machine_fail(&in->machine, &err);
		return;
	}
	hub_start_input(&in->hub);
	/* A machine whose guest cannot be helped runs all the same. */
	if (in->options->warmup == NULL && open_agent(in, &err) < 0)
		log_line(&in->machine.log, "the guest agent is not asked for anything: %s",
			 err.text);
	instance_identity_changed(in);
	/* Tens of milliseconds for a large initrd: the guest does not wait for them. */
	if (in->source->chain == NULL) {
		in->has_keeper = pthread_create(&in->keeper, NULL, keep_boot_files, in) == 0;
		if (!in->has_keeper)
			log_line(&in->machine.log, "kernel and initrd are not kept: no thread");
	}
	if (in->options->warmup == NULL)
		instance_events_begin(in);
	instance_arrivals_begin(in);
	if (in->machine.state == MACHINE_BROKEN)
		tell_event_broken(in);
	if (in->options->report_fd >= 0) {
		instance_arrivals_told(in);
		/* Nobody has learned of it: a machine that is left would be one that nobody knows. */
		if (!detach_ready(in->options->report_fd, in->claim.name)) {
			in->refused = true;
			end_by_request(in);
		}
		in->reported = true;
	}
	if (instance_confine(in, &err) < 0)
		machine_fail(&in->machine, &err);
}

static int schedule_deferred_start(struct instance *in, struct err *err)
{
	in->deferred_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (in->deferred_fd < 0)
		return err_sys(err, errno, "eventfd");
	return loop_add(&in->machine.loop, &in->deferred_watch, in->deferred_fd, EPOLLIN,
			on_deferred_start, err);
}

static int attach_client(void *opaque, const char *what, int fd, const uint8_t *data, size_t len,
			 struct err *err)
{
	struct instance *in = opaque;

	if (strcmp(what, "exec") == 0)
		return exec_sessions_attach(&in->commands, fd, data, len, err);
	return hub_attach_socket(&in->hub, fd, data, len, err);
}

static void on_asker_gone(void *opaque)
{
	instance_behind_cancel(opaque);
	instance_settle_give_up(opaque);
}

void instance_serve_requests(struct instance *in)
{
	in->control.answer = instance_answer;
	in->control.hand_over = attach_client;
	in->control.gone = on_asker_gone;
}

static int connect_host(struct instance *in, struct err *err)
{
	const struct appliance *a = &in->source->appliance;
	struct resume_facts facts;
	int ret;

	hub_init(&in->hub, &in->machine, &in->board, a->console, in->claim.name, !a->live);
	ret = open_control_loop(in, err);
	if (ret < 0)
		return ret;
	control_init(&in->control, &in->control_loop);
	in->control.opaque = in;
	instance_serve_requests(in);
	in->machine.changed = on_change;
	in->machine.ending = on_ending;
	in->machine.settled = instance_settled;
	in->machine.changed_opaque = in;
	instance_resume_facts(in, &facts);
	post_resume_init(&in->post_resume, &in->machine, in->board.agent, &facts,
			 a->live ? a->saved_ns : 0);
	post_resume_hears_generation(&in->post_resume, board_hears_generation(&in->machine));
	agent_shutdown_init(&in->shutdown, &in->post_resume.agent, &in->machine.log);
	agent_files_init(&in->agent_files, &in->post_resume.agent);
	if (in->board.exec != NULL)
		exec_port_init(&in->exec_port, in->board.exec, APPLIANCE_EXEC_PORT,
			       &in->agent_files, &in->machine.log);
	exec_sessions_init(&in->commands,
			   in->board.exec != NULL ? &in->exec_port.transport
						  : &in->agent_files.transport,
			   &in->machine.loop);
	ret = watch_end_signals(in, err);
	if (ret < 0)
		return ret;
	ret = watch_lease(in, err);
	if (ret < 0)
		return ret;
	ret = schedule_deferred_start(in, err);
	if (ret < 0)
		return ret;
	if (in->options->warmup != NULL)
		return warmup_watch(in->options->warmup, &in->machine, &in->hub, err);
	if (in->options->report_fd < 0)
		return hub_attach_terminal(&in->hub, terminal_raw_or_background(), err);
	return 0;
}

/* Everything but running. */
static int prepare(struct instance *in, struct err *err)
{
	int ret = load_guest(in, err);

	return ret < 0 ? ret : connect_host(in, err);
}

static int run_to_end(struct instance *in, struct err *err)
{
	const struct err *failure = &in->machine.failure;
	int ret = machine_run(&in->machine, in->options->paused, err);

	if (ret < 0)
		return ret;
	if (in->machine.end == MACHINE_END_FAILED)
		return err_set(err, failure->kind, "%s", failure->text);
	return 0;
}

static void finish_commands(struct instance *in)
{
	char why[128];

	snprintf(why, sizeof(why), "machine %s has ended (%s) before the command did",
		 in->claim.name, machine_end_name(in->machine.end));
	exec_sessions_finish(&in->commands, why);
}

/* Before it takes memory: what is charged to a group stays there. */
static int enter_limits(struct instance *in, struct err *err)
{
	struct limits_helper *helper = in->options->limits;
	int ret;

	if (helper == NULL)
		return 0;
	ret = limits_helper_ask(helper, in->claim.name, &in->limits_group, err);
	limits_helper_close(helper);
	in->vcpu_group = (struct vcpu_group){.vcpus_fd = in->limits_group.vcpus_fd,
					     .rest_fd = in->limits_group.rest_fd};
	return ret;
}

/* Build and run; *ran: it was built completely, so that its end is to be recorded. */
/* Before the process leaves its working directory. */
static void note_origin(struct instance *in)
{
	if (in->options->origin != NULL)
		snprintf(in->origin.text, sizeof(in->origin.text), "%s", in->options->origin);
	else if (!in->source->unnamed && path_absolute(&in->origin, in->source->origin, NULL) < 0)
		in->origin.text[0] = '\0';
}

static int build_and_run(struct instance *in, bool *ran, struct err *err)
{
	int ret = enter_limits(in, err);

	if (ret < 0)
		return ret;
	note_origin(in);
	ret = instance_net_open_captures(in, err);
	if (ret < 0)
		return ret;
	instance_arrivals_note(in);
	ret = instance_restrict(in, err);
	if (ret < 0)
		return ret;
	ret = make_machine(in, err);
	if (ret < 0)
		return ret;
	instance_arrivals_watch_parent(in);
	pthread_mutex_lock(&in->machine.lock);
	ret = prepare(in, err);
	pthread_mutex_unlock(&in->machine.lock);
	if (ret == 0) {
		in->started = time(NULL);
		*ran = true;
		ret = run_to_end(in, err);
	}
	/* The guest's last output reaches the readers before its end is reported. */
	hub_finish(&in->hub);
	finish_commands(in);
	terminal_restore();
	instance_behind_finish(in);
	if (ret == 0 && in->options->warmup != NULL)
		ret = warmup_end(in->options->warmup, in->pager, err);
	instance_arrivals_end(in);
	if (in->has_keeper)
		pthread_join(in->keeper, NULL);
	exec_port_close(&in->exec_port);
	agent_files_close(&in->agent_files);
	post_resume_close(&in->post_resume);
	instance_identity_close(in);
	instance_forget_parents(in);
	pager_stop(in->pager);
	golden_close(in->golden);
	machine_free(&in->machine);
	return ret;
}

/* Record how it ended, give the name back, and only then tell those who wait: they may use the
 * name. */
static void record_and_release(struct instance *in, const struct instance_end *end,
			       const struct err *err)
{
	struct record record = {
		.end = end->end, .when = time(NULL), .status = end->status, .started = in->started};

	snprintf(record.origin, sizeof(record.origin), "%.511s", in->origin.text);
	if (end->end == MACHINE_END_FAILED)
		snprintf(record.error, sizeof(record.error), "%.511s", err->text);
	/* Before --rm takes the log away. */
	instance_events_ended(in, end, err);
	if (in->refused && in->had_prior)
		(void)record_write(in->claim.name, &in->prior, NULL);
	else if (in->options->remove || in->refused)
		record_remove_all(in->claim.name);
	else
		(void)record_write(in->claim.name, &record, NULL);
	control_close_listeners(&in->control);
	claim_release(&in->claim);
	control_finish(&in->control, json_pack("{s:b,s:s,s:s,s:i,s:b}", "ok", 1, "end",
					       machine_end_name(end->end), "error", record.error,
					       "status", record.status, "asked", (int)in->asked));
}

int instance_run(struct source *source, const struct instance_options *options,
		 struct instance_end *end, struct err *err)
{
	/* Not on the stack: much of it is buffers that few machines use. */
	cleanup_free struct instance *in = calloc(1, sizeof(*in));
	bool ran = false;
	int ret;

	if (in == NULL) {
		*end = (struct instance_end){.end = MACHINE_END_FAILED};
		source_close(source);
		return err_sys(err, ENOMEM, "start a machine");
	}
	in->options = options;
	in->source = source;
	in->claim.fd = -1;
	in->claim.state_fd = -1;
	in->limits_group = (struct limits_group)LIMITS_GROUP_NONE;
	in->log = LOG_FILE_CLOSED;
	in->events = LOG_FILE_CLOSED;
	in->deferred_fd = -1;
	in->signal_fd = -1;
	in->parent_fd = -1;
	in->identity_timer = TIMER_CLOSED;
	in->control_loop.epoll_fd = -1;
	in->control_loop.stop_fd = -1;
	pthread_mutex_init(&in->control_lock, NULL);
	in->hold = (struct hold)HOLD_NONE;
	in->behind.process = SAVE_PROCESS_CLOSED;
	in->behind.fd = in->behind.event_fd = in->behind.client_fd = -1;
	in->settling.timer = TIMER_CLOSED;
	in->settling.passed_fd = -1;
	in->hub.log.file = LOG_FILE_CLOSED;
	/* This may be a child of the process that opened the file: locked memory is not
	 * inherited. */
	if (source->keys != NULL)
		keyring_lock_keys(source->keys);
	chain_lock_keys(source->chain);
	ret = options->name != NULL ? claim_name(&in->claim, options->name, err)
				    : claim_free_name(&in->claim, options->preferred_name, err);
	if (ret == 0)
		ret = build_and_run(in, &ran, err);
	end->end = ret < 0 ? MACHINE_END_FAILED : in->machine.end;
	end->status = end->end == MACHINE_END_POWEROFF ? in->post_resume.agent.exit_status : 0;
	end->saved_to = in->saved_to;
	end->reported = in->reported;
	memcpy(end->name, in->claim.name, sizeof(end->name));
	if (ran)
		record_and_release(in, end, err);
	else
		claim_release(&in->claim);
	loop_free(&in->control_loop);
	log_file_close(&in->log);
	cleanup_fd_fn(&in->deferred_fd);
	cleanup_fd_fn(&in->signal_fd);
	limits_group_close(&in->limits_group);
	/* A thread that waits for a dead disk reads from the source's files, and the process ends now. */
	if (!in->machine.mem.in_use)
		source_close(source);
	return ret;
}
