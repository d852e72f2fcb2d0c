/*
 * Waiting for requests that the host's disks have yet, before a pause; see instance.h. The loop goes on
 * meanwhile: consoles, the control socket and vCPUs wait for nobody's disk.
 *
 * Loop thread, machine lock held.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "instance/instance.h"

/* A disk that has not answered for so long is not waited for. */
#define PATIENCE_MS 10000u

static void settle_end(struct instance *in, bool settled)
{
	struct settling *s = &in->settling;
	void (*then)(struct instance * in, bool settled) = s->then;

	s->then = NULL;
	timer_close(&s->timer);
	if (then != NULL)
		then(in, settled);
}

void instance_settled(struct machine *m, void *opaque)
{
	(void)m;
	settle_end(opaque, true);
}

static void on_patience_over(void *opaque)
{
	settle_end(opaque, false);
}

bool instance_settle(struct instance *in, void (*then)(struct instance *in, bool settled))
{
	struct settling *s = &in->settling;

	if (machine_settle(&in->machine))
		return true;
	s->then = then;
	/* Without a timer it is waited for as long as it takes. */
	if (timer_open(&s->timer, &in->machine.loop, on_patience_over, in, NULL) == 0)
		timer_set(&s->timer, PATIENCE_MS);
	return false;
}

bool instance_is_settling(const struct instance *in)
{
	return in->settling.then != NULL;
}

void instance_settle_give_up(struct instance *in)
{
	if (!instance_is_settling(in))
		return;
	machine_unsettle(&in->machine);
	settle_end(in, false);
}

void instance_tell_waits(const struct instance *in, json_t *status)
{
	char what[64];

	if (instance_is_settling(in) && !machine_at_rest(&in->machine, what, sizeof(what)))
		json_object_set_new(status, "waits", json_string(what));
}

/* --- a request that pauses --- */

static void forget_request(struct settling *s)
{
	json_decref(s->request);
	s->request = NULL;
	cleanup_fd_fn(&s->passed_fd);
	s->passed_fd = -1;
}

static void answer_settled(struct instance *in, bool settled)
{
	struct settling *s = &in->settling;
	json_t *request = json_incref(s->request);
	const int passed = s->passed_fd;
	struct err err;

	s->passed_fd = -1;
	forget_request(s);
	if (settled) {
		control_again(&in->control, json_string_value(json_object_get(request, "do")),
			      request, passed);
	} else {
		(void)machine_not_paused(&in->machine, &err);
		machine_unsettle(&in->machine);
		control_answer(&in->control, NULL, &err);
	}
	json_decref(request);
	if (passed >= 0)
		close(passed);
}

bool instance_defer_pause(struct instance *in, const json_t *request)
{
	struct settling *s = &in->settling;

	/* Another one waits already: machine_pause() will say what for. */
	if (in->control.deferred != NULL || instance_is_settling(in))
		return false;
	if (instance_settle(in, answer_settled))
		return false;
	s->request = json_incref((json_t *)(uintptr_t)request);
	s->passed_fd =
		in->control.passed_fd >= 0 ? fcntl(in->control.passed_fd, F_DUPFD_CLOEXEC, 0) : -1;
	control_defer(&in->control);
	return true;
}
