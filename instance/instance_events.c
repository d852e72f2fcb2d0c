/* What the log of events says of a machine, and when. See instance.h and events/event_log.h. */
#include <unistd.h>

#include "events/event_log.h"
#include "instance/instance.h"

void instance_event(struct instance *in, const char *event, json_t *details)
{
	event_log_write(&in->events, event, details);
}

void instance_events_begin(struct instance *in)
{
	const bool live = in->source->appliance.live;
	const bool given = live && archive_is_given(chain_newest(in->source->chain));
	const char *file = live && !given ? in->base_path.text : in->source->origin;
	const bool paused = in->machine.state != MACHINE_RUNNING && in->options->hold_fd <= 0;

	if (event_log_open(&in->events, in->claim.name, NULL) < 0)
		return;
	in->told_state = paused ? MACHINE_PAUSED : MACHINE_RUNNING;
	instance_event(in, live ? EVENT_RESUMED : EVENT_STARTED,
		       json_pack("{s:i,s:s*,s:b}", "pid", (int)getpid(), "file",
				 in->source->unnamed ? NULL : file, "paused", (int)paused));
}

/* It may have broken before there was a log of events. */
void instance_events_changed(struct instance *in)
{
	const enum machine_state state = in->machine.state;

	if (hold_is_active(&in->hold) || in->saving.active || in->steps > 0)
		return;
	if (in->moving && in->machine.end == MACHINE_END_NONE)
		instance_event(in, "move-failed", NULL);
	in->moving = false;
	if (state == in->told_state || (state != MACHINE_RUNNING && state != MACHINE_PAUSED))
		return;
	in->told_state = state;
	instance_event(in, state == MACHINE_PAUSED ? "paused" : "unpaused", NULL);
}

void instance_events_step_begin(struct instance *in)
{
	in->steps++;
}

void instance_events_step_end(struct instance *in)
{
	in->steps--;
	instance_events_changed(in);
}

void instance_events_saving(struct instance *in, const struct save_request *request)
{
	if (!request->held && !request->copy)
		instance_event(in, "saving",
			       json_pack("{s:s*,s:b}", "file", request->path, "goes-on",
					 (int)request->going_on));
}

void instance_events_saved(struct instance *in, const char *path, bool copy, const struct err *err)
{
	const char *event = copy ? "cloned" : "saved";

	if (err != NULL)
		event = copy ? "clone-failed" : "save-failed";
	instance_event(
		in, event,
		json_pack("{s:s*,s:s*}", "file", path, "error", err != NULL ? err->text : NULL));
}

void instance_events_ended(struct instance *in, const struct instance_end *end,
			   const struct err *err)
{
	instance_event(in, EVENT_EXITED,
		       json_pack("{s:s,s:i,s:s*}", "end", machine_end_name(end->end), "exit-status",
				 record_exit_status(end->end, end->status), "error",
				 end->end == MACHINE_END_FAILED ? err->text : NULL));
	event_log_close(&in->events);
}
