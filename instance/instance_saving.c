/*
 * A machine while it is saved; see instance.h.
 *
 * The loop's thread writes the file, and holds the machine lock, so that nothing changes what is
 * being saved. Writing may take as long as a disk or the reader of a stream likes. So the control
 * socket and the signals that end a machine are on a loop of their own (control_loop), which a
 * second thread runs meanwhile. It touches nothing of the machine: it says how far the save is, and
 * cancels it.
 */
#include <string.h>
#include <unistd.h>

#include "instance/instance.h"

json_t *instance_status(const struct instance *in, const char *state)
{
	json_int_t resident = instance_resident(NULL);
	json_t *status = json_pack(
		"{s:b,s:s,s:i,s:s,s:I,s:i,s:I,s:b,s:o*}", "ok", 1, "name", in->claim.name, "pid",
		(int)getpid(), "state", state, "memory", (json_int_t)in->machine.mem.size, "vcpus",
		(int)in->machine.nvcpus, "started", (json_int_t)in->started, "encrypted",
		(int)keyring_locks(in->source->keys), "arriving", instance_arrivals_json(in));
	if (resident > 0)
		json_object_set_new(status, "resident", json_integer(resident));
	/* What is not UTF-8 is left out. */
	if (in->origin.text[0] != '\0')
		json_object_set_new(status, "origin", json_string(in->origin.text));
	return status;
}

void instance_tell_progress(json_t *status, const struct progress *progress)
{
	json_object_set_new(status, "percent", json_integer(progress_percent(progress)));
	json_object_set_new(status, "saving",
			    json_pack("{s:I,s:I}", "done", (json_int_t)atomic_load(&progress->done),
				      "expected", (json_int_t)atomic_load(&progress->expected)));
}

static json_t *saving_status(const struct instance *in)
{
	json_t *status = instance_status(in, "saving");

	instance_tell_progress(status, &in->saving.progress);
	return status;
}

static json_t *saving_answer(void *instance, const char *what, const json_t *request,
			     struct err *err)
{
	struct instance *in = instance;

	(void)request;
	if (strcmp(what, "status") == 0)
		return saving_status(in);
	if (strcmp(what, "kill") == 0) {
		instance_saving_kill(in);
		return json_pack("{s:b}", "ok", 1);
	}
	err_set(err, ERR_FAILED, "machine %s is busy: saving, %u %%", in->claim.name,
		progress_percent(&in->saving.progress));
	return NULL;
}

static void on_saver_gone(void *instance)
{
	struct instance *in = instance;

	progress_cancel(&in->saving.progress);
}

static void *serve_control_loop(void *instance)
{
	struct instance *in = instance;

	(void)loop_run(&in->control_loop, NULL);
	return NULL;
}

int instance_saving_begin(struct instance *in, struct err *err)
{
	struct saving *saving = &in->saving;
	int ret = progress_init(&saving->progress, err);

	if (ret < 0)
		return ret;
	saving->killed = false;
	saving->active = true;
	in->control.answer = saving_answer;
	in->control.hand_over = NULL;
	in->control.gone = on_saver_gone;
	ret = pthread_create(&saving->thread, NULL, serve_control_loop, in);
	if (ret == 0)
		return 0;
	saving->active = false;
	instance_serve_requests(in);
	progress_free(&saving->progress);
	return err_sys(err, ret, "start a thread that answers during the save");
}

bool instance_saving_end(struct instance *in)
{
	struct saving *saving = &in->saving;

	loop_stop(&in->control_loop);
	pthread_join(saving->thread, NULL);
	saving->active = false;
	instance_serve_requests(in);
	progress_free(&saving->progress);
	return saving->killed;
}

void instance_saving_kill(struct instance *in)
{
	in->saving.killed = true;
	progress_cancel(&in->saving.progress);
}
