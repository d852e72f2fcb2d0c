/* See agent_files.h. Whatever has just ended calls files_advance(), which does the next thing. */
#include "guest/agent_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/num.h"
#include "format/crypto/base64.h"
#include "guest/bring_helper.h"
#include "guest/exec_frame.h"

#define ABSENT_MS     10000u /* an agent that has not opened its port by then is not there */
#define ANSWER_MS     60000u
#define START_MS      60000u /* for the helper's files to appear */
#define READ_MAX      (128u << 10)
#define WRITE_MAX     (48u << 10)
#define ACK_EACH      (256u << 10)
#define PAUSE_LONGEST 64u
#define PAUSE_QUIET   250u
#define QUIET_MS      10000u
#define LOOK_EACH_MS  2000u
#define PORT_FIRST_MS 100u /* a helper that opens a port has no files */
#define PING_EACH_S   10u  /* the helper ends after a silence of two minutes */

/* As in bring_helper.c. Where programs may run differs: Debian lets none run in /run. */
static const char *const places[] = {"/dev/shm", "/run", "/tmp", "/var/tmp"};

static void files_advance(struct agent_files *f);
static void send_control(struct agent_files *f, uint8_t type, uint32_t number, uint32_t len);

static struct agent_files *from_transport(struct transport *t)
{
	return container_of(t, struct agent_files, transport);
}

static size_t files_unsent(const struct transport *t)
{
	const struct agent_files *f = container_of(t, const struct agent_files, transport);

	return f->unsent.len - f->unsent_at;
}

static void forget_unsent(struct agent_files *f)
{
	buf_free(&f->unsent);
	f->unsent_at = 0;
}

static void files_close_down(struct agent_files *f)
{
	f->state = FILES_CLOSING;
	timer_set(&f->timer, 0);
	files_advance(f);
}

/* Who uses it is told why, and it ends. */
static void files_end_with(struct agent_files *f, enum err_kind kind, const char *text)
{
	struct err why;

	err_set(&why, kind, "%s", text);
	forget_unsent(f);
	/* Whoever still listens there need not wait for two minutes. */
	if (f->state == FILES_UP)
		send_control(f, EXEC_BYE, 0, 0);
	files_close_down(f);
	f->transport.failed(f->transport.opaque, &why);
}

static void files_fail(struct agent_files *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void files_fail(struct agent_files *f, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	files_end_with(f, ERR_FAILED, text);
}

/* qemu-ga's words for a command that its configuration forbids: "The command X has been disabled for
 * this instance", since 6.1 "Command X has been disabled: the command is not allowed"; "has not been
 * found" when it was left out of the program. */
static bool is_forbidden(const struct err *why)
{
	return why != NULL && (strstr(why->text, "has been disabled") != NULL ||
			       strstr(why->text, "has not been found") != NULL);
}

/* A command of the agent failed. */
static void files_refused(struct agent_files *f, const char *command, const struct err *why)
{
	const char *text = why != NULL ? why->text : "the answer makes no sense";

	if (is_forbidden(why))
		files_fail(f,
			   "the guest agent forbids %s (%s): its configuration must allow "
			   "guest-exec, guest-exec-status, guest-file-open, -read, -write, -flush "
			   "and -close (qemu-ga --allow-rpcs, --block-rpcs; on EL "
			   "/etc/sysconfig/qemu-ga)",
			   command, text);
	else
		files_fail(f, "%s: %s", command, text);
}

/* --- what is sent --- */

static void on_written(void *opaque, const json_t *value, const struct err *why)
{
	struct agent_files *f = opaque;

	if (value == NULL && f->state == FILES_UP)
		files_refused(f, "guest-file-write", why);
}

static void on_flushed(void *opaque, const json_t *value, const struct err *why)
{
	struct agent_files *f = opaque;

	if (value == NULL && f->state == FILES_UP) {
		files_refused(f, "guest-file-flush", why);
		return;
	}
	/* The answer to what was written may be there soon. */
	f->pause_ms = 0;
	f->quiet_ms = f->look_ms = 0;
	files_advance(f);
	if (f->state == FILES_UP)
		f->transport.room(f->transport.opaque);
}

static void files_write(struct agent_files *f)
{
	char text[BASE64_LEN(WRITE_MAX) + 1];
	size_t len = u64_min(files_unsent(&f->transport), WRITE_MAX);

	if (len == 0 || f->write.waits || f->flush.waits || f->agent->state != AGENT_READY)
		return;
	f->written_ns = clock_monotonic_ns();
	base64_encode(f->unsent.data + f->unsent_at, len, text);
	f->unsent_at += len;
	if (f->unsent_at == f->unsent.len)
		forget_unsent(f);
	agent_ask(f->agent, &f->write, "guest-file-write",
		  json_pack("{s:I,s:s}", "handle", f->in, "buf-b64", text), ANSWER_MS, on_written,
		  f);
	agent_ask(f->agent, &f->flush, "guest-file-flush", json_pack("{s:I}", "handle", f->in),
		  ANSWER_MS, on_flushed, f);
}

static void files_send(struct transport *t, const void *frames, size_t len)
{
	struct agent_files *f = from_transport(t);

	if (f->state == FILES_IDLE || (f->state == FILES_CLOSING && !f->again))
		return;
	if (f->unsent_at > f->unsent.len / 2 && f->state == FILES_UP) {
		f->unsent.len -= f->unsent_at;
		memmove(f->unsent.data, f->unsent.data + f->unsent_at, f->unsent.len);
		f->unsent_at = 0;
	}
	buf_add(&f->unsent, frames, len);
	if (buf_failed(&f->unsent))
		timer_set(&f->timer, 1);
	else if (f->state == FILES_UP)
		files_write(f);
}

static void send_control(struct agent_files *f, uint8_t type, uint32_t number, uint32_t len)
{
	uint8_t frame[EXEC_HEADER + 4];

	exec_header(frame, 0, type, len);
	exec_put32(frame + EXEC_HEADER, number);
	files_send(&f->transport, frame, EXEC_HEADER + len);
}

/* --- what is read --- */

static void pause_longer(struct agent_files *f)
{
	unsigned longest = f->quiet_ms > QUIET_MS ? PAUSE_QUIET : PAUSE_LONGEST;

	f->pause_ms = f->pause_ms == 0 ? 1 : (unsigned)u64_min(2 * f->pause_ms, longest);
	f->quiet_ms += f->pause_ms;
	timer_set(&f->timer, f->pause_ms);
}

static void take_read(struct agent_files *f, const uint8_t *data, size_t len)
{
	f->pause_ms = 0;
	f->quiet_ms = f->look_ms = 0;
	f->unacked += (uint32_t)len;
	if (f->unacked >= ACK_EACH) {
		send_control(f, EXEC_ACK, f->unacked, 4);
		f->unacked = 0;
	}
	f->transport.received(f->transport.opaque, data, len);
}

static void on_read(void *opaque, const json_t *value, const struct err *why)
{
	const json_t *count = json_object_get(value, "count");
	const json_t *text = json_object_get(value, "buf-b64");
	struct agent_files *f = opaque;
	json_int_t len = json_integer_value(count);
	cleanup_free uint8_t *data = NULL;

	if (f->state != FILES_UP) {
		files_advance(f);
		return;
	}
	if (value == NULL) {
		files_refused(f, "guest-file-read", why);
		return;
	}
	if (!json_is_integer(count) || len < 0 || len > (json_int_t)READ_MAX) {
		files_fail(f, "guest-file-read: the answer makes no sense");
		return;
	}
	if (len == 0) {
		pause_longer(f);
		return;
	}
	data = malloc((size_t)len);
	if (data == NULL || !json_is_string(text) ||
	    !base64_decode(json_string_value(text), json_string_length(text), data, (size_t)len)) {
		files_fail(f, data == NULL ? "out of memory"
					   : "guest-file-read: the answer makes no sense");
		return;
	}
	take_read(f, data, (size_t)len);
	files_advance(f);
}

static void on_looked(void *opaque, const json_t *value, const struct err *why)
{
	struct agent_files *f = opaque;
	char text[AGENT_ERROR_TEXT];

	if (f->state != FILES_UP && f->state != FILES_OPENING) {
		files_advance(f);
	} else if (value == NULL) {
		files_refused(f, "guest-exec-status", why);
	} else if (json_is_true(json_object_get(value, "exited"))) {
		agent_error_text(value, text);
		files_fail(f, "torpor's helper in the guest %s%s%s",
			   f->state == FILES_UP ? "has ended" : "does not start",
			   text[0] != '\0' ? ": " : "", text);
	} else if (f->state == FILES_OPENING && f->quiet_ms > START_MS) {
		files_fail(
			f,
			"torpor's helper in the guest does not start in time: guest-file-open: %s",
			f->refusal);
	} else {
		f->tried = 0;
		pause_longer(f);
	}
}

static void look_at_process(struct agent_files *f)
{
	agent_ask(f->agent, &f->ask, "guest-exec-status", json_pack("{s:I}", "pid", f->pid),
		  ANSWER_MS, on_looked, f);
}

static void files_read(struct agent_files *f)
{
	if (clock_monotonic_ns() - f->written_ns > PING_EACH_S * NS_PER_SECOND)
		send_control(f, EXEC_PING, 0, 0);
	if (f->quiet_ms >= f->look_ms + LOOK_EACH_MS) {
		f->look_ms = f->quiet_ms;
		look_at_process(f);
		return;
	}
	agent_ask(f->agent, &f->ask, "guest-file-read",
		  json_pack("{s:I,s:i}", "handle", f->out, "count", (int)READ_MAX), ANSWER_MS,
		  on_read, f);
}

/* --- the start --- */

static void on_opened(void *opaque, const json_t *value, const struct err *why)
{
	struct agent_files *f = opaque;
	json_int_t handle = json_integer_value(value);

	if (f->state != FILES_OPENING) {
		/* Closed with the other one, if it came too late. */
		if (f->out == 0)
			f->out = handle;
		else if (f->in == 0)
			f->in = handle;
		files_advance(f);
		return;
	}
	if (f->agent->state != AGENT_READY || is_forbidden(why)) {
		files_refused(f, "guest-file-open", why);
	} else if (f->out == 0 && handle > 0) {
		f->out = handle;
		files_advance(f);
	} else if (f->out == 0) {
		f->place = (f->place + 1) % ARRAY_SIZE(places);
		f->tried++;
		snprintf(f->refusal, sizeof(f->refusal), "%.127s",
			 why != NULL ? why->text : "no handle");
		files_advance(f);
	} else if (handle > 0) {
		f->in = handle;
		f->state = FILES_UP;
		f->pause_ms = f->quiet_ms = f->look_ms = 0;
		files_advance(f);
	} else {
		files_refused(f, "guest-file-open", why);
	}
}

static void open_file(struct agent_files *f, const char *name, const char *mode)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/torpor-%s/%s", places[f->place], f->nonce, name);
	agent_ask(f->agent, &f->ask, "guest-file-open",
		  json_pack("{s:s,s:s}", "path", path, "mode", mode), ANSWER_MS, on_opened, f);
}

static void on_started(void *opaque, const json_t *value, const struct err *why)
{
	struct agent_files *f = opaque;

	if (f->state != FILES_STARTING) {
		files_advance(f);
		return;
	}
	f->pid = json_integer_value(json_object_get(value, "pid"));
	if (f->pid <= 0) {
		files_refused(f, "guest-exec", why);
		return;
	}
	f->state = FILES_OPENING;
	f->tried = 0;
	f->pause_ms = f->quiet_ms = 0;
	if (f->port_name != NULL)
		timer_set(&f->timer, PORT_FIRST_MS);
	else
		files_advance(f);
}

static void files_start(struct agent_files *f)
{
	const struct bring_helper errand = {
		.name = "torpor",
		.nonce = f->nonce,
		.argument = f->port_name,
		.run = "\"$to/helper\" -t \"$to\" 2>/dev/null && exec \"$to/helper\" \"$to\" "
		       "${2:+\"$2\"}",
		.sorry = "echo 'no program can be put into /dev/shm, /run, /tmp or /var/tmp and "
			 "run there' >&2\n",
	};
	json_t *arguments = bring_helper_nonce(f->nonce) ? bring_helper_arguments(&errand) : NULL;

	if (arguments == NULL) {
		files_fail(f, "out of memory");
		return;
	}
	f->state = FILES_STARTING;
	timer_set(&f->timer, 0);
	agent_ask(f->agent, &f->ask, "guest-exec", arguments, ANSWER_MS, on_started, f);
}

/* --- the order --- */

static void on_closed(void *opaque, const json_t *value, const struct err *why)
{
	(void)value;
	(void)why;
	files_advance(opaque);
}

static void close_handle(struct agent_files *f, json_int_t *handle)
{
	agent_ask(f->agent, &f->ask, "guest-file-close", json_pack("{s:I}", "handle", *handle),
		  ANSWER_MS, on_closed, f);
	*handle = 0;
}

static void files_wait(struct agent_files *f)
{
	f->state = FILES_WAITING;
	f->again = false;
	f->unacked = 0;
	timer_set(&f->timer, ABSENT_MS);
}

static void files_finish_closing(struct agent_files *f)
{
	if (f->ask.waits || f->write.waits || f->flush.waits)
		return;
	if (f->agent->state != AGENT_READY)
		f->in = f->out = 0;
	if (!f->again && f->in > 0 && files_unsent(&f->transport) > 0) {
		files_write(f);
	} else if (f->in > 0) {
		close_handle(f, &f->in);
	} else if (f->out > 0) {
		close_handle(f, &f->out);
	} else if (f->again) {
		files_wait(f);
		files_advance(f);
	} else {
		f->state = FILES_IDLE;
		forget_unsent(f);
	}
}

static void files_advance(struct agent_files *f)
{
	if (f->state == FILES_CLOSING) {
		files_finish_closing(f);
		return;
	}
	if (f->state == FILES_UP)
		files_write(f);
	if (f->ask.waits || f->agent->state != AGENT_READY)
		return;
	if (f->state == FILES_WAITING)
		files_start(f);
	else if (f->state == FILES_OPENING && f->tried == ARRAY_SIZE(places))
		look_at_process(f);
	else if (f->state == FILES_OPENING)
		open_file(f, f->out == 0 ? "out" : "in", f->out == 0 ? "r" : "a");
	else if (f->state == FILES_UP)
		files_read(f);
}

static void on_files_timer(void *opaque)
{
	struct agent_files *f = opaque;
	enum agent_state agent = f->agent->state;

	if (buf_failed(&f->unsent))
		files_fail(f, "out of memory");
	else if (f->state != FILES_WAITING || agent == AGENT_READY)
		files_advance(f);
	else if (f->agent->going && agent == AGENT_CLOSED)
		files_end_with(f, ERR_NOT_FOUND,
			       "no guest agent answers; is qemu-guest-agent installed in the "
			       "guest, and does it run?");
	else if (f->agent->going && agent == AGENT_SILENT)
		files_end_with(f, f->state == FILES_WAITING ? ERR_NOT_FOUND : ERR_FAILED,
			       "the guest agent does not answer");
	else
		timer_set(&f->timer, ABSENT_MS);
}

static void on_files_agent(void *opaque)
{
	struct agent_files *f = opaque;
	enum agent_state agent = f->agent->state;

	if (f->state == FILES_IDLE)
		return;
	if (agent == AGENT_READY || f->state == FILES_CLOSING)
		files_advance(f);
	else if (agent == AGENT_SILENT)
		files_end_with(f, f->state == FILES_WAITING ? ERR_NOT_FOUND : ERR_FAILED,
			       "the guest agent does not answer");
	else if (agent == AGENT_CLOSED && f->state != FILES_WAITING)
		files_fail(f, "the guest agent has ended");
}

static void files_begin(struct transport *t)
{
	struct agent_files *f = from_transport(t);

	if (f->state == FILES_CLOSING) {
		f->again = true;
		forget_unsent(f);
		return;
	}
	forget_unsent(f);
	files_wait(f);
	/* The first question may be asked at once, and then there is no answer before we return. */
	if (f->agent->state == AGENT_READY)
		timer_set(&f->timer, 1);
}

static void files_end(struct transport *t)
{
	struct agent_files *f = from_transport(t);

	f->again = false;
	if (f->state == FILES_IDLE || f->state == FILES_CLOSING)
		return;
	if (f->state == FILES_UP)
		send_control(f, EXEC_BYE, 0, 0);
	else
		forget_unsent(f);
	files_close_down(f);
}

static const struct transport_ops agent_files_ops = {
	.begin = files_begin,
	.send = files_send,
	.end = files_end,
	.unsent = files_unsent,
};

void agent_files_init(struct agent_files *f, struct agent *agent)
{
	*f = (struct agent_files){
		.transport.ops = &agent_files_ops, .agent = agent, .timer = TIMER_CLOSED};
	agent_observe(agent, &f->observer, on_files_agent, f);
}

int agent_files_open(struct agent_files *f, struct loop *loop, struct err *err)
{
	return timer_open(&f->timer, loop, on_files_timer, f, err);
}

void agent_files_close(struct agent_files *f)
{
	if (f->agent == NULL)
		return;
	timer_close(&f->timer);
	forget_unsent(f);
	f->state = FILES_IDLE;
}
