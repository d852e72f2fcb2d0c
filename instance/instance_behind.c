/*
 * Saving a machine that goes on, behind a pause of milliseconds; see instance.h.
 *
 *     begin ─► PREPARES ─► (MERGES) ─► (SETTLES) ─► pause, fork ─► WRITES ─► (PUBLISHES) ─► it is saved
 *                 └───────────┴───────────┴───────────┴─────────────┴────────────┴───────► it is as it was
 *
 * A thread prepares what needs no pause, the loop takes the state in one, and a process of its own writes
 * the file from its copy of memory (snapshot/save_process.h). Disks are frozen meanwhile and merged behind
 * it, by a thread (instance_merge.c). The loop waits for each of these by a descriptor, so every request
 * is answered meanwhile; those that would change what is being saved are refused.
 *
 * All descriptors but those of the disks are watched by the control loop, which goes on for a save that is
 * under way when the machine ends.
 *
 * Loop thread, machine lock held, but for the preparing thread. That touches the job, the snapshot and the
 * parents that were given, which nobody else does in that phase.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/num.h"
#include "format/crypto/digest.h"
#include "format/crypto/lazy.h"
#include "instance/instance.h"

bool instance_behind_active(const struct instance *in)
{
	return in->behind.phase != BEHIND_NONE;
}

static unsigned behind_percent(const struct instance *in)
{
	const struct behind *b = &in->behind;

	if (b->phase == BEHIND_PUBLISHES)
		return 100;
	return b->phase == BEHIND_WRITES ? progress_percent(save_process_progress(&b->process)) : 0;
}

void instance_behind_tell(const struct instance *in, json_t *status)
{
	const struct behind *b = &in->behind;

	if (b->phase == BEHIND_WRITES)
		instance_tell_progress(status, save_process_progress(&b->process));
	else
		json_object_set_new(status, "percent", json_integer(behind_percent(in)));
}

int instance_refuse_busy(const struct instance *in, struct err *err)
{
	if (!instance_behind_active(in))
		return 0;
	return err_set(err, ERR_FAILED, "machine %s is busy: saving, %u %%", in->claim.name,
		       behind_percent(in));
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* It is over, however: the next one may begin. */
static void behind_close(struct instance *in)
{
	struct behind *b = &in->behind;

	snapshot_close(b->snapshot);
	b->snapshot = NULL;
	save_process_close(&b->process);
	save_job_free(&b->job);
	json_decref(b->words);
	b->words = NULL;
	close_fd(&b->fd);
	close_fd(&b->event_fd);
	close_fd(&b->client_fd);
	instance_forget_parents(in);
	if (in->pager != NULL)
		pager_release(in->pager);
	b->phase = BEHIND_NONE;
	/* Of a machine that has ended: instance_behind_finish() waits for this. */
	if (in->machine.end != MACHINE_END_NONE)
		loop_stop(&in->control_loop);
}

/* The machine is as it was. */
static void behind_fail(struct instance *in, struct err *err)
{
	struct behind *b = &in->behind;

	if (b->cancelled != NULL) {
		err_set(err, ERR_FAILED, "the save of %s was cancelled: %s", in->claim.name,
			b->cancelled);
		log_line(&in->machine.log, "a save was cancelled: %s", b->cancelled);
	}
	instance_events_saved(in, b->request.path, b->request.copy, err);
	behind_close(in);
	control_answer(&in->control, NULL, err);
}

/* --- disks --- */

static void behind_take(struct instance *in);

/* A save that waits for the end of it goes on then. */
static void on_merge_done(struct instance *in, int ret, const struct err *err)
{
	struct behind *b = &in->behind;
	struct err why;

	disk_merge_end(b->merge);
	b->merge = NULL;
	b->unmerged = ret < 0;
	if (ret < 0)
		log_line(&in->machine.log, "%s", err->text);
	if (b->phase != BEHIND_MERGES)
		return;
	if (ret < 0) {
		(void)err_copy(&why, ret, err);
		behind_fail(in, &why);
	} else {
		behind_take(in);
	}
}

/* Without it the disk is read from two files, and the next save begins with this. */
static int start_merging(struct instance *in, struct err *err)
{
	struct behind *b = &in->behind;
	int ret;

	if (b->merge != NULL || in->machine.end != MACHINE_END_NONE)
		return 0;
	ret = disk_merge_begin(&b->merge, in, on_merge_done, err);
	b->unmerged = ret < 0;
	if (ret < 0)
		instance_thaw_disks(in);
	return ret;
}

static int prepare_disks(struct instance *in, struct err *err)
{
	struct path scratch;
	int ret = path_state(&scratch, in->claim.name, "", err);

	for (uint32_t i = 0; ret == 0 && i < in->source->appliance.ndisks; i++)
		ret = disk_prepare_freeze(in->disk[i], scratch.text, err);
	return ret;
}

static void freeze_disks(struct instance *in)
{
	for (uint32_t i = 0; i < in->source->appliance.ndisks; i++)
		disk_freeze(in->disk[i]);
}

/* --- behind the pause --- */

/* The file has its name, or there was none to give; or it never will have. */
static void behind_saved(struct instance *in, bool published)
{
	struct behind *b = &in->behind;
	struct err cancelled;

	err_set(&cancelled, ERR_FAILED, "the save of %s was cancelled", in->claim.name);
	if (!published)
		snapshot_put_back(b->snapshot, &in->machine);
	else
		instance_note_saved(in, b->request.path, b->request.digest, !b->request.copy);
	instance_events_saved(in, b->request.path, b->request.copy, published ? NULL : &cancelled);
	behind_close(in);
}

static void on_publisher_gone(struct loop_watch *watch, uint32_t events)
{
	struct instance *in = container_of(watch, struct instance, behind.watch);

	(void)events;
	loop_del(&in->control_loop, watch);
	behind_saved(in, publication_done(&in->behind.publication, &in->machine.log));
}

bool instance_behind_published(struct instance *in, bool done)
{
	if (in->behind.phase != BEHIND_PUBLISHES)
		return false;
	loop_del(&in->control_loop, &in->behind.watch);
	behind_saved(in, done);
	return true;
}

static int await_publisher(struct instance *in, struct err *err)
{
	struct behind *b = &in->behind;
	int ret = publication_init(&b->publication, &b->request, err);

	if (ret < 0)
		return ret;
	ret = loop_add(&in->control_loop, &b->watch, b->client_fd, 0, on_publisher_gone, err);
	if (ret == 0)
		b->phase = BEHIND_PUBLISHES;
	return ret;
}

/* The process has ended. */
static void on_written(struct loop_watch *watch, uint32_t events)
{
	struct instance *in = container_of(watch, struct instance, behind.watch);
	struct behind *b = &in->behind;
	json_t *reply;
	struct err err;
	int ret;

	(void)events;
	loop_del(&in->control_loop, watch);
	ret = save_process_end(&b->process, &b->job.params, &err);
	(void)start_merging(in, NULL);
	if (b->cancelled != NULL)
		ret = -ECANCELED;
	if (ret == 0) {
		b->request.bytes = b->job.params.bytes;
		strcpy(b->request.digest, b->job.params.digest);
	}
	if (ret == 0 && b->request.path != NULL)
		ret = await_publisher(in, &err);
	if (ret < 0) {
		snapshot_put_back(b->snapshot, &in->machine);
		(void)machine_break_if_truncated(&in->machine);
		behind_fail(in, &err);
		return;
	}
	reply = instance_saved_reply(in, &b->request, save_process_progress(&b->process),
				     b->paused_ns);
	if (b->phase == BEHIND_WRITES)
		behind_saved(in, true);
	control_answer(&in->control, reply, NULL);
}

/* --- the pause --- */

/* In the copy. */
static void begin_copy(void *opaque)
{
	struct instance *in = opaque;

	/* The name is free when the machine has ended, not later. */
	close_fd(&in->claim.fd);
	close_fd(&in->claim.state_fd);
	/* Locked memory is not inherited. */
	if (in->source->keys != NULL)
		keyring_lock_keys(in->source->keys);
	chain_lock_keys(in->source->chain);
	chain_lock_keys(in->behind.job.parent);
}

static int take_paused(struct instance *in, struct err *err)
{
	struct behind *b = &in->behind;
	const struct save_copy copy = {
		.snapshot = b->snapshot,
		.machine = &in->machine,
		.params = &b->job.params,
		.begin = begin_copy,
		.opaque = in,
	};
	int ret;

	if (in->pager != NULL)
		pager_settle(in->pager);
	if (machine_is_broken(&in->machine))
		return err_set(err, ERR_FAILED, "machine %s has just broken", in->claim.name);
	save_job_describe(&b->job, in, &b->request);
	ret = snapshot_take(b->snapshot, &in->machine, err);
	if (ret == 0) {
		freeze_disks(in);
		ret = save_process_start(&b->process, &copy, err);
		if (ret < 0)
			instance_thaw_disks(in);
	}
	if (ret < 0)
		snapshot_put_back(b->snapshot, &in->machine);
	return ret;
}

/* What may have changed since the request. */
static int check_again(const struct instance *in, struct err *err)
{
	int ret = instance_refuse_held(in, err);

	if (ret < 0)
		return ret;
	if (in->machine.end != MACHINE_END_NONE)
		return err_set(err, ERR_FAILED, "machine %s has just ended", in->claim.name);
	if (in->machine.reset_requested)
		return err_set(err, ERR_FAILED, "machine %s is just being reset; try again",
			       in->claim.name);
	ret = instance_identity_check(in, err);
	return ret < 0 ? ret : instance_check_bases(in, err);
}

static int pause_and_take(struct instance *in, struct err *err)
{
	const bool was_running = in->machine.state == MACHINE_RUNNING;
	const uint64_t start = clock_monotonic_ns();
	int ret;

	machine_pause(&in->machine);
	if (in->machine.state != MACHINE_PAUSED)
		return err_set(err, ERR_FAILED, "machine %s has just %s", in->claim.name,
			       machine_is_broken(&in->machine) ? "broken" : "ended");
	ret = take_paused(in, err);
	if (was_running)
		machine_unpause(&in->machine);
	in->behind.paused_ns = clock_monotonic_ns() - start;
	return ret;
}

static void behind_take_settled(struct instance *in, bool settled)
{
	struct behind *b = &in->behind;
	struct err err;
	int ret = 0;

	if (b->cancelled != NULL)
		ret = -ECANCELED;
	else if (!settled)
		ret = machine_not_paused(&in->machine, &err);
	if (ret == 0)
		ret = check_again(in, &err);
	if (ret == 0)
		ret = prepare_disks(in, &err);
	if (ret == 0) {
		instance_events_step_begin(in);
		ret = pause_and_take(in, &err);
		instance_events_step_end(in);
	}
	if (in->pager != NULL)
		pager_release(in->pager);
	if (ret < 0) {
		if (in->machine.state == MACHINE_RUNNING)
			machine_unsettle(&in->machine);
		/* They were prepared for nothing. */
		(void)start_merging(in, NULL);
		behind_fail(in, &err);
		return;
	}
	b->phase = BEHIND_WRITES;
	/* Should it fail to be watched, its end is never seen: it is ended here. */
	if (loop_add(&in->control_loop, &b->watch, b->process.child.fd, 0, on_written, &err) < 0) {
		progress_cancel(save_process_progress(&b->process));
		on_written(&b->watch, 0);
	}
}

/* All is prepared. */
static void behind_take(struct instance *in)
{
	in->behind.phase = BEHIND_SETTLES;
	if (instance_settle(in, behind_take_settled))
		behind_take_settled(in, true);
}

/* --- before the pause --- */

/* Libraries that the copy will use: another thread may hold the loader's lock at the fork. */
static void load_libraries(const struct behind *b)
{
	uint8_t digest[DIGEST_SIZE];

	(void)digest_bytes("", 0, digest, NULL);
	(void)lazy_zstd(NULL);
	if (b->request.keys != NULL || b->job.parent != NULL)
		(void)lazy_cipher(NULL);
}

static int prepare(struct instance *in, struct err *err)
{
	struct behind *b = &in->behind;
	int ret = save_job_open_parent(&b->job, in, &b->request, err);

	if (ret < 0)
		return ret;
	load_libraries(b);
	ret = snapshot_open(&b->snapshot, &in->machine, &b->job.params, err);
	if (ret < 0)
		return ret;
	/* Where KVM has no log, the pause finds out what changed, and the next save takes all. */
	if (b->job.params.rebase)
		(void)dirty_arm(&in->machine.dirty, NULL);
	return 0;
}

static void *prepare_main(void *instance)
{
	struct instance *in = instance;

	in->behind.prepared = prepare(in, &in->behind.why);
	if (in->pager != NULL)
		pager_hold(in->pager);
	(void)eventfd_write(in->behind.event_fd, 1);
	return NULL;
}

static void on_prepared(struct loop_watch *watch, uint32_t events)
{
	struct instance *in = container_of(watch, struct instance, behind.watch);
	struct behind *b = &in->behind;
	struct err err;
	int ret;

	(void)events;
	loop_del(&in->control_loop, watch);
	pthread_join(b->preparer, NULL);
	instance_forget_parents(in);
	b->phase = BEHIND_MERGES;
	ret = b->prepared < 0 ? err_copy(&err, b->prepared, &b->why) : 0;
	if (ret == 0 && b->unmerged)
		ret = start_merging(in, &err);
	if (ret < 0)
		behind_fail(in, &err);
	else if (b->merge == NULL)
		behind_take(in);
}

static int open_descriptors(struct behind *b, const struct save_request *request, struct err *err)
{
	b->fd = fcntl(request->fd, F_DUPFD_CLOEXEC, 0);
	b->client_fd = fcntl(request->client_fd, F_DUPFD_CLOEXEC, 0);
	b->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return b->fd < 0 || b->client_fd < 0 || b->event_fd < 0
		       ? err_sys(err, errno, "open descriptors for a save")
		       : 0;
}

static int start_preparing(struct instance *in, const struct save_request *request, struct err *err)
{
	struct behind *b = &in->behind;
	int ret = open_descriptors(b, request, err);

	if (ret < 0)
		return ret;
	b->request.fd = b->fd;
	ret = save_process_open(&b->process, err);
	if (ret < 0)
		return ret;
	ret = save_job_init(&b->job, in, &b->request, save_process_progress(&b->process), err);
	if (ret < 0)
		return ret;
	b->job.params.rebase = !request->copy;
	ret = loop_add(&in->control_loop, &b->watch, b->event_fd, EPOLLIN, on_prepared, err);
	if (ret < 0)
		return ret;
	ret = pthread_create(&b->preparer, NULL, prepare_main, in);
	if (ret == 0)
		return 0;
	loop_del(&in->control_loop, &b->watch);
	return err_sys(err, ret, "start a thread that prepares a save");
}

int instance_behind_begin(struct instance *in, const struct save_request *request, json_t *words,
			  struct err *err)
{
	struct behind *b = &in->behind;
	int ret;

	b->request = *request;
	b->words = json_incref(words);
	b->cancelled = NULL;
	ret = start_preparing(in, request, err);
	if (ret < 0)
		behind_close(in);
	else
		b->phase = BEHIND_PREPARES;
	return ret;
}

/* --- the end --- */

static void cancel(struct instance *in, const char *why)
{
	struct behind *b = &in->behind;

	if (b->phase == BEHIND_NONE)
		return;
	b->cancelled = why;
	progress_cancel(save_process_progress(&b->process));
	if (b->phase == BEHIND_SETTLES)
		instance_settle_give_up(in);
}

void instance_behind_cancel(struct instance *in)
{
	cancel(in, "its client has gone away");
}

void instance_end_killed(struct instance *in)
{
	/* It has ended already: what is being completed is given up. */
	if (in->machine.end != MACHINE_END_NONE)
		cancel(in, "the machine was killed");
	machine_end(&in->machine, MACHINE_END_KILLED);
}

void instance_behind_finish(struct instance *in)
{
	struct behind *b = &in->behind;
	const bool killed = in->machine.end == MACHINE_END_KILLED;
	struct err err;

	disk_merge_end(b->merge);
	b->merge = NULL;
	if (killed)
		cancel(in, "the machine was killed");
	if (b->phase == BEHIND_MERGES)
		behind_take_settled(in, true);
	/* Its process ends with this one at the latest. */
	if (killed && (b->phase == BEHIND_WRITES || b->phase == BEHIND_PUBLISHES))
		loop_del(&in->control_loop, &b->watch);
	if (killed && b->phase == BEHIND_WRITES)
		behind_fail(in, &err);
	else if (killed && b->phase == BEHIND_PUBLISHES)
		behind_close(in);
	else if (b->phase != BEHIND_NONE)
		(void)loop_run(&in->control_loop, NULL);
}
