/* What control requests do to the instance: one function each, one table. See protocol.h for both
 * sides' words and instance.h for threads. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/name.h"
#include "base/num.h"
#include "devices/virtio/balloon.h"
#include "format/appliance.h"
#include "format/image/image_pack.h"
#include "host/sandbox.h"
#include "instance/instance.h"

static json_t *reply_ok(void)
{
	return json_pack("{s:b}", "ok", 1);
}

static int refuse_broken(const struct instance *in, struct err *err)
{
	const struct err *why = &in->machine.failure;

	if (!machine_is_broken(&in->machine))
		return 0;
	return err_set(err, why->kind, "machine %s is broken: %s", in->claim.name, why->text);
}

static json_t *do_status(struct instance *in, const json_t *request, struct err *err)
{
	/* Its file is written; the client gives it its name. */
	bool published = hold_is_active(&in->hold) && !hold_is_move(&in->hold);
	bool behind = instance_behind_active(in);
	json_t *ports;
	json_t *status = instance_status(
		in, published || behind ? "saving" : machine_state_name(&in->machine));

	instance_tell_waits(in, status);
	if (behind)
		instance_behind_tell(in, status);
	else if (published)
		json_object_set_new(status, "percent", json_integer(100));
	if (machine_is_broken(&in->machine))
		json_object_set_new(status, "error", json_string(in->machine.failure.text));
	ports = instance_ports(in, request, err);
	if (json_array_size(json_object_get(ports, "ports")) > 0)
		json_object_set(status, "ports", json_object_get(ports, "ports"));
	json_decref(ports);
	return status;
}

/* What confines this process (host/sandbox.h). */
static json_t *describe_sandbox(void)
{
	struct sandbox_layers layers;

	sandbox_layers(&layers);
	return json_pack("{s:i,s:i,s:b,s:b,s:I}", "seccomp", (int)layers.filters, "landlock",
			 layers.landlock, "own-files", (int)layers.files, "dumpable",
			 (int)layers.dumpable, "capabilities", (json_int_t)layers.capable);
}

static json_t *do_inspect(struct instance *in, const json_t *request, struct err *err)
{
	json_t *reply = do_status(in, request, err);
	cleanup_buf struct buf text = {0};

	if (appliance_encode(&in->source->appliance, &text, err) < 0) {
		json_decref(reply);
		return NULL;
	}
	json_object_set_new(reply, "sandbox", describe_sandbox());
	json_object_set_new(reply, "wake", post_resume_json(&in->post_resume));
	if (in->base[0] != '\0')
		json_object_set_new(
			reply, "base",
			json_pack("{s:s,s:s}", "digest", in->base, "file", in->base_path.text));
	if (in->golden != NULL)
		json_object_set_new(reply, "golden", instance_golden_json(in));
	json_object_set_new(reply, "appliance",
			    json_loadb((const char *)text.data, text.len, 0, NULL));
	if (in->source->appliance.ndisks > 0)
		json_object_set_new(reply, "disks", instance_disks_json(in));
	if (in->source->appliance.nshares > 0)
		json_object_set_new(reply, "shares", instance_shares_json(in));
	if (in->source->appliance.vsock_cid != 0)
		json_object_set_new(reply, "vsock",
				    json_pack("{s:I,s:s*}", "cid",
					      (json_int_t)in->source->appliance.vsock_cid, "path",
					      in->source->vsock_path));
	if (in->source->appliance.nnets > 0)
		json_object_set_new(reply, "network", instance_net_describe(in, false));
	return reply;
}

static json_t *do_pause(struct instance *in, const json_t *request, struct err *err)
{
	(void)request;
	machine_pause(&in->machine);
	if (in->machine.state == MACHINE_RUNNING) {
		(void)machine_not_paused(&in->machine, err);
		return NULL;
	}
	return reply_ok();
}

int instance_refuse_held(const struct instance *in, struct err *err)
{
	if (!hold_is_active(&in->hold))
		return 0;
	return err_set(err, ERR_FAILED, "machine %s is being %s%s", in->claim.name,
		       hold_reason(&in->hold), hold_is_move(&in->hold) ? " to another host" : "");
}

static json_t *do_unpause(struct instance *in, const json_t *request, struct err *err)
{
	(void)request;
	if (instance_refuse_held(in, err) < 0)
		return NULL;
	machine_unpause(&in->machine);
	return reply_ok();
}

static json_t *do_kill(struct instance *in, const json_t *request, struct err *err)
{
	(void)request;
	(void)err;
	instance_end_killed(in);
	return reply_ok();
}

/* A guest that is paused would never see the button, and one that is broken never will. */
static json_t *do_stop(struct instance *in, const json_t *request, struct err *err)
{
	if (machine_is_broken(&in->machine))
		return do_kill(in, request, err);
	if (instance_refuse_held(in, err) < 0)
		return NULL;
	machine_unpause(&in->machine);
	in->asked = true;
	if (!board_power_button(&in->board))
		agent_shutdown_begin(&in->shutdown);
	return reply_ok();
}

static json_t *do_trim(struct instance *in, const json_t *request, struct err *err)
{
	bool caches = json_is_true(json_object_get(request, "caches"));

	(void)err;
	return json_pack("{s:b,s:b}", "ok", 1, "able",
			 (int)balloon_trim(in->board.balloon, caches));
}

static json_t *do_trimming(struct instance *in, const json_t *request, struct err *err)
{
	(void)request;
	(void)err;
	return json_pack("{s:b,s:b,s:I}", "ok", 1, "busy", (int)balloon_trimming(in->board.balloon),
			 "bytes", (json_int_t)balloon_bytes(in->board.balloon));
}

json_t *instance_saved_reply(const struct instance *in, const struct save_request *request,
			     const struct progress *progress, uint64_t paused_ns)
{
	json_t *reply =
		json_pack("{s:b,s:s*,s:b,s:I,s:f,s:b,s:b}", "ok", 1, "path", request->path,
			  "publish", request->path != NULL, "bytes", (json_int_t)request->bytes,
			  "seconds", (double)paused_ns / NS_PER_SECOND, "encrypted",
			  request->keys != NULL, "increment", request->parent_digest[0] != '\0');

	if (request->parent_digest[0] != '\0')
		json_object_set_new(reply, "parent",
				    json_pack("{s:s,s:s}", "digest", request->parent_digest, "file",
					      request->parent_path.text));
	if (request->disks == SAVE_DISKS_OUTSIDE)
		json_object_set_new(reply, "outside", instance_outside_json(in, request));
	instance_tell_progress(reply, progress);
	return reply;
}

/* With the machine paused. A machine that could not be saved goes on as it was, unless it was
 * killed meanwhile; one that was saved to a file is held until that has its name. */
static int save_paused(struct instance *in, struct save_request *request, bool was_running,
		       struct err *err)
{
	bool killed = false;
	int ret = instance_saving_begin(in, err);

	if (ret == 0) {
		ret = instance_save(in, request, err);
		killed = instance_saving_end(in);
	}
	if (ret == 0 && killed && request->path != NULL)
		ret = -ECANCELED;
	if (ret == 0 && request->path != NULL) {
		ret = instance_publish_begin(in, request, was_running, err);
		if (ret == 0)
			return 0;
	}
	if (ret == -ECANCELED) {
		err_set(err, ERR_FAILED, "the save of %s was cancelled%s", in->claim.name,
			killed ? ": the machine was killed" : "");
		log_line(&in->machine.log, "a save was cancelled: %s",
			 killed ? "the machine was killed" : "its client has gone away");
	}
	if (ret == 0 && !request->going_on && !request->held) {
		strcpy(in->saved_to.text, "a stream");
		machine_end(&in->machine, MACHINE_END_SAVED);
	} else if (killed) {
		machine_end(&in->machine, MACHINE_END_KILLED);
	} else if (was_running && !request->held) {
		machine_unpause(&in->machine);
	}
	return ret;
}

static json_t *save_to(struct instance *in, struct save_request *request, struct err *err)
{
	bool was_running = in->machine.state == MACHINE_RUNNING;
	uint64_t start = clock_monotonic_ns();

	if (instance_arrivals_check(in, err) < 0)
		return NULL;
	machine_pause(&in->machine);
	if (in->machine.state != MACHINE_PAUSED) {
		if (refuse_broken(in, err) == 0)
			(void)machine_not_paused(&in->machine, err);
		return NULL;
	}
	if (save_paused(in, request, was_running, err) < 0)
		return NULL;
	return instance_saved_reply(in, request, &in->saving.progress,
				    clock_monotonic_ns() - start);
}

/* A descriptor that came along: of a stream, or of a temporary file for an absolute path. */
static int check_target(const struct instance *in, const struct save_request *save, bool stream,
			struct err *err)
{
	const char *path = save->path;

	if (save->fd < 0 || stream == (path != NULL))
		return err_set(err, ERR_USAGE, "save needs a descriptor, and a path or a stream");
	if (!stream &&
	    (path == NULL || path[0] != '/' || strlen(path) >= sizeof(in->saved_to.text)))
		return err_set(err, ERR_USAGE, "save needs an absolute \"path\"");
	/* A move takes a stream. */
	return stream && hold_is_move(&in->hold) ? 0 : instance_refuse_held(in, err);
}

static enum save_disks decode_disks(const json_t *request)
{
	const char *word = json_string_value(json_object_get(request, "disks"));

	if (word == NULL)
		return SAVE_DISKS_UNSAID;
	return strcmp(word, "outside") == 0 ? SAVE_DISKS_OUTSIDE : SAVE_DISKS_INSIDE;
}

/* Either now, in a pause that lasts as long as it takes, or later. */
static json_t *start_save(struct instance *in, struct save_request *save, const json_t *request,
			  struct err *err)
{
	json_t *reply = NULL;

	instance_events_saving(in, save);
	/* A copy would read of a disk that is written through what the machine writes meanwhile. */
	if (save->going_on && !save->held && !instance_writes_through(in)) {
		if (instance_behind_begin(in, save, (json_t *)(uintptr_t)request, err) == 0) {
			control_defer(&in->control);
			return NULL;
		}
	} else {
		instance_events_step_begin(in);
		reply = save_to(in, save, err);
		instance_events_step_end(in);
	}
	/* One to a file is over once that has its name. */
	if (!save->held && (reply == NULL || save->path == NULL))
		instance_events_saved(in, save->path, save->copy, reply == NULL ? err : NULL);
	return reply;
}

static json_t *answer_save(struct instance *in, const json_t *request, struct err *err)
{
	struct save_request save = {
		.disks = decode_disks(request),
		.path = json_string_value(json_object_get(request, "path")),
		.fd = in->control.passed_fd,
		.client_fd = in->control.client_fd,
		.as = json_string_value(json_object_get(request, "as")),
		.flat = json_is_true(json_object_get(request, "flat")),
		.level = (int)json_integer_value(json_object_get(request, "level")),
		.parent = json_string_value(json_object_get(request, "parent")),
		.full = json_is_true(json_object_get(request, "full")),
		.force = json_is_true(json_object_get(request, "force")),
		.replaced = json_string_value(json_object_get(request, "replaced")),
		.dependent = json_string_value(json_object_get(request, "dependent")),
		.going_on = json_is_true(json_object_get(request, "leave-running")),
		.held = hold_is_active(&in->hold),
		.copy = json_is_true(json_object_get(request, "copy")),
	};

	if (instance_choose_key(in, &save, json_is_true(json_object_get(request, "encrypt")),
				json_is_true(json_object_get(request, "decrypt")), err) < 0)
		return NULL;
	if (check_target(in, &save, json_is_true(json_object_get(request, "stream")), err) < 0)
		return NULL;
	if (in->machine.reset_requested) {
		err_set(err, ERR_FAILED, "machine %s is just being reset; try again",
			in->claim.name);
		return NULL;
	}
	if (instance_identity_check(in, err) < 0 || instance_check_save_disks(in, &save, err) < 0)
		return NULL;
	if (save.as != NULL && !name_is_valid(save.as)) {
		err_set(err, ERR_USAGE, "save: \"as\" is not a name");
		return NULL;
	}
	if (save.level < 1 || save.level > IMAGE_PACK_MAX_LEVEL)
		save.level = IMAGE_PACK_LEVEL;
	return start_save(in, &save, request, err);
}

static json_t *do_save(struct instance *in, const json_t *request, struct err *err)
{
	json_t *reply = answer_save(in, request, err);

	if (!instance_behind_active(in))
		instance_forget_parents(in);
	return reply;
}

/* The four steps of a move (move/move_stream.h); "save" comes between hold and commit. */
static json_t *do_hold(struct instance *in, const json_t *request, struct err *err)
{
	int fd, ret;

	(void)request;
	if (in->control.passed_fd < 0) {
		err_set(err, ERR_USAGE, "hold needs a descriptor");
		return NULL;
	}
	/* The other host does not have the file. */
	if (instance_refuse_through(in, "be moved", err) < 0)
		return NULL;
	fd = fcntl(in->control.passed_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0) {
		err_sys(err, errno, "hold");
		return NULL;
	}
	instance_events_step_begin(in);
	ret = hold_begin(&in->hold, &in->machine, fd, HOLD_GOES_ON, err);
	instance_events_step_end(in);
	if (ret < 0)
		return NULL;
	in->moving = true;
	instance_event(in, "moving", NULL);
	return json_pack("{s:b,s:b}", "ok", 1, "paused", (int)!in->hold.was_running);
}

static json_t *do_commit(struct instance *in, const json_t *request, struct err *err)
{
	(void)request;
	return hold_commit(&in->hold, err) < 0 ? NULL : reply_ok();
}

/* The target has it, or will never run it. */
static json_t *do_release(struct instance *in, const json_t *request, struct err *err)
{
	bool moved = json_is_true(json_object_get(request, "moved"));

	if (!hold_is_move(&in->hold)) {
		err_set(err, ERR_USAGE, "machine %s is not being moved", in->claim.name);
		return NULL;
	}
	hold_release(&in->hold);
	if (moved)
		machine_end(&in->machine, MACHINE_END_MOVED);
	else if (in->hold.loss != HOLD_ENDS)
		hold_give_up(&in->hold);
	return reply_ok();
}

/* The connection is handed over once this has allowed it. */
static json_t *do_exec(struct instance *in, const json_t *request, struct err *err)
{
	(void)request;
	if (in->machine.state == MACHINE_RUNNING)
		return reply_ok();
	err_set(err, ERR_FAILED, "machine %s is %s: nothing can run in it", in->claim.name,
		machine_state_name(&in->machine));
	return NULL;
}

/* The guest gets it behind what was typed so far. */
static json_t *do_break(struct instance *in, const json_t *request, struct err *err)
{
	(void)request;
	return hub_send_break(&in->hub, err) < 0 ? NULL : reply_ok();
}

/* What a request takes. */
enum {
	WANTS_GUEST = 1, /* a broken machine has none any more */
	WANTS_IDLE = 2,	 /* no save that is under way */
	WORKS_ENDED = 4, /* a save goes on when the machine has ended */
	PAUSES = 8,	 /* requests to disks are waited for first */
};

static const struct {
	const char *what;
	json_t *(*answer)(struct instance *in, const json_t *request, struct err *err);
	unsigned takes;
} requests[] = {
	{"status", do_status, WORKS_ENDED},
	{"inspect", do_inspect, 0},
	{"stats", instance_stats, 0},
	{"fill", instance_set_fill, WANTS_GUEST},
	{"pause", do_pause, WANTS_GUEST | PAUSES},
	{"unpause", do_unpause, WANTS_GUEST},
	{"save", do_save, WANTS_GUEST | WANTS_IDLE | PAUSES},
	{"balloon", instance_balloon, WANTS_GUEST | WANTS_IDLE},
	{"trim", do_trim, WANTS_GUEST},
	{"trimming", do_trimming, WANTS_GUEST},
	{"stop", do_stop, 0},
	{"kill", do_kill, WORKS_ENDED},
	{"key", instance_take_key, WANTS_GUEST | WANTS_IDLE},
	{"ports", instance_ports, 0},
	{"accepted", instance_accepted, WANTS_GUEST},
	{"hold", do_hold, WANTS_GUEST | WANTS_IDLE | PAUSES},
	{"commit", do_commit, WANTS_GUEST},
	{"release", do_release, WANTS_GUEST},
	{"break", do_break, WANTS_GUEST},
	{"exec", do_exec, WANTS_GUEST},
	{"reset", instance_reset, WANTS_GUEST | WANTS_IDLE | PAUSES},
	{"seed", instance_seed, WANTS_GUEST},
	{"changed", instance_changed, WANTS_GUEST},
	{"parent", instance_take_parent, WANTS_GUEST | WANTS_IDLE},
	{"member", instance_take_member, WANTS_GUEST | WANTS_IDLE},
	{"published", instance_published, WORKS_ENDED},
};

/* What was held for a pause that did not come goes on. */
static json_t *answer_with_pause(struct instance *in,
				 json_t *(*answer)(struct instance *in, const json_t *request,
						   struct err *err),
				 const json_t *request, struct err *err)
{
	json_t *reply;

	if (instance_defer_pause(in, request))
		return NULL;
	reply = answer(in, request, err);
	if (in->machine.state == MACHINE_RUNNING && !instance_is_settling(in))
		machine_unsettle(&in->machine);
	return reply;
}

json_t *instance_answer(void *instance, const char *what, const json_t *request, struct err *err)
{
	struct instance *in = instance;

	const bool ended = in->machine.end != MACHINE_END_NONE;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		const unsigned takes = requests[i].takes;

		if (strcmp(requests[i].what, what) != 0)
			continue;
		if (ended && ((takes & WORKS_ENDED) == 0 || !instance_behind_active(in)))
			break;
		if ((takes & WANTS_GUEST) != 0 && refuse_broken(in, err) < 0)
			return NULL;
		if ((takes & WANTS_IDLE) != 0 && instance_refuse_busy(in, err) < 0)
			return NULL;
		return (takes & PAUSES) != 0
			       ? answer_with_pause(in, requests[i].answer, request, err)
			       : requests[i].answer(in, request, err);
	}
	if (ended)
		err_set(err, ERR_FAILED, "machine %s is ending", in->claim.name);
	else
		err_set(err, ERR_USAGE, "unknown request '%s'", what);
	return NULL;
}
