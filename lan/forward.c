/*
 * Where frames go; see switch.h.
 *
 * A source's frames are taken one by one from its `in`. Neighbours for one destination are a *run*:
 * where both ends have the same framing it is sent as it lies there, by one call. What the socket
 * does not take stays with the source, which waits; only the rest of a frame that was cut goes into
 * the destination's queue, because the stream must go on with it.
 */
#include <string.h>

#include "base/assert.h"
#include "base/num.h"
#include "lan/switch_internal.h"
#include "lan/trunk.h"

/* Room for whatever one frame can become. */
#define QUEUE_BUSY (PORT_OUT_SIZE - 2 * LAN_WIRE_MAX - PORT_SHARE)

struct run {
	struct port *to; /* NULL: none */
	bool direct;	 /* to be sent from where it lies: [from, end) of the source's `in` */
	uint32_t from, end;
	uint32_t frames;
};

static void count_sent(struct port *to, uint64_t frames, uint64_t bytes)
{
	to->sent.frames += frames;
	to->sent.bytes += bytes;
}

static void has_progress(struct port *to)
{
	to->progress_ms = to->lan->now_ms;
	to->stalled = false;
}

static void wait_for(struct port *source, struct port *to)
{
	port_wait(source, to);
	lan_need_tick(source->lan);
}

/* Only `taken` bytes of a run went. The stream goes on with the rest of a frame that was cut; what
 * is behind that stays. */
static void cut_run(struct port *source, const struct run *run, uint32_t taken)
{
	uint32_t at = run->from, reached = run->from + taken, frames = 0;
	struct port *to = run->to;
	struct message message;
	int size;

	while (at < reached) {
		size = framing_next(port_framing(source), source->in + at, run->end - at, &message);
		assert(size > 0);
		at += (uint32_t)size;
		frames++;
	}
	count_sent(to, frames, at - run->from);
	if (at > reached && !port_queue(to, source->in + reached, at - reached))
		port_lose(to);
	source->in_at = at;
	source->received.frames -= run->frames - frames;
	source->received.bytes -= run->end - at;
	if (at < run->end && to->state == PORT_UP)
		wait_for(source, to);
	port_update(to);
}

static void send_run(struct port *source, const struct run *run)
{
	uint32_t len = run->end - run->from;
	uint32_t taken = (uint32_t)port_write(run->to, source->in + run->from, len);

	if (taken > 0)
		has_progress(run->to);
	if (taken == len)
		count_sent(run->to, run->frames, len);
	else if (run->to->state == PORT_UP)
		cut_run(source, run, taken);
}

static void end_run(struct port *source, struct run *run)
{
	struct port *to = run->to;

	if (to == NULL)
		return;
	if (run->direct) {
		send_run(source, run);
	} else {
		if (port_flush(to))
			has_progress(to);
		port_update(to);
	}
	run->to = NULL;
}

/* May a run to this destination begin? If not, the source waits, unless it is to be dropped. */
static bool is_free(struct port *source, struct port *to, const struct port *turn)
{
	if (port_queued(to) == 0 && (to->waiters == NULL || to == turn))
		return true;
	wait_for(source, to);
	port_update(to);
	return false;
}

static bool same_bytes(const struct port *source, const struct port *to)
{
	return source->kind != PORT_QEMU && to->kind != PORT_QEMU;
}

/* Into the queue in the destination's own form, to be sent when the run ends. False: the source
 * waits. */
static bool queue_in_run(struct port *source, struct run *run, const struct message *message)
{
	struct port *to = run->to;

	if (port_queued(to) > QUEUE_BUSY) {
		end_run(source, run);
		if (port_queued(to) > QUEUE_BUSY) {
			wait_for(source, to);
			port_update(to);
			return false;
		}
		run->to = to;
	}
	if (port_queue_frame(to, message))
		count_sent(to, 1, message->size);
	else
		to->drops.full++;
	return true;
}

/* To one station. False: the source waits, with this message first. */
static bool send_to(struct port *source, struct port *to, const struct message *message,
		    struct run *run, const struct port *turn)
{
	if (run->to != to) {
		end_run(source, run);
		if (source->waits_for != NULL)
			return false;
		if (to->stalled) {
			to->drops.full++;
			return true;
		}
		if (!is_free(source, to, turn))
			return false;
		*run = (struct run){
			.to = to,
			.direct = same_bytes(source, to),
			.from = source->in_at,
		};
	}
	if (!run->direct)
		return queue_in_run(source, run, message);
	run->end = source->in_at + (uint32_t)message->size;
	run->frames++;
	return true;
}

void lan_offer(struct port *to, unsigned source, const struct message *message)
{
	bool first = port_queued(to) == 0;
	uint32_t size = FRAMING_HEAD_MAX + (uint32_t)message->len;

	if (to->stalled || to->left_by[source] + size > PORT_SHARE ||
	    !port_queue_frame(to, message)) {
		to->drops.full++;
		return;
	}
	to->left_by[source] += size;
	count_sent(to, 1, size);
	if (!first)
		return;
	to->progress_ms = to->lan->now_ms;
	(void)port_flush(to);
	port_update(to);
}

static void flood(struct port *source, const struct message *message)
{
	struct lan_switch *lan = source->lan;

	for (unsigned i = 0; i < LAN_GATEWAY_PORT; i++) {
		struct port *to = lan->port[i];

		if (to != NULL && to != source && to->state == PORT_UP)
			lan_offer(to, source->index, message);
	}
}

/* What the machine with this MAC is called, if that is known for sure; or NULL. */
static const char *name_of(const struct port *source, const uint8_t *mac)
{
	if (source->kind == PORT_MACHINE)
		return memcmp(source->mac, mac, NET_MAC_SIZE) == 0 ? source->name : NULL;
	return trunk_machine(source, mac);
}

static void ask_gateway(struct port *source, const struct message *message)
{
	struct gateway_query query = {
		.frame = message->frame,
		.len = message->len,
		.port = source->index,
		.name = name_of(source, message->frame + NET_MAC_SIZE),
		.now = lan_seconds(source->lan),
	};
	uint8_t reply[GATEWAY_REPLY_MAX];
	struct message answer = {.frame = reply};

	answer.len = gateway_answer(source->lan->gateway, &query, reply);
	if (answer.len > 0)
		lan_offer(source, LAN_GATEWAY_PORT, &answer);
}

static bool is_group(const uint8_t *mac)
{
	return (mac[0] & 1) != 0;
}

enum judgement { WELCOME, BROKEN, FORGED };

static enum judgement judge(struct port *source, const struct message *message)
{
	const uint8_t *sender = message->frame + NET_MAC_SIZE;
	struct lan_switch *lan = source->lan;

	if (!message->sound || is_group(sender))
		return BROKEN;
	return mac_table_learn(&lan->table, sender, source->index, lan_seconds(lan)) ==
			       LEARNED_FORGED
		       ? FORGED
		       : WELCOME;
}

/* To whom it may concern, at once; nobody waits. */
static void send_around(struct port *source, const struct message *message, int to)
{
	struct lan_switch *lan = source->lan;
	bool group = is_group(message->frame);

	if (lan->gateway != NULL && (group || to == (int)LAN_GATEWAY_PORT))
		ask_gateway(source, message);
	if (group || to == MAC_TABLE_NOBODY)
		flood(source, message);
}

/* What is behind a run may not overtake it. False: the source waits. */
static bool run_is_over(struct port *source, struct run *run)
{
	end_run(source, run);
	return source->waits_for == NULL;
}

/* The one port that a frame is for; NULL: none, or not one alone. */
static struct port *find_port(const struct port *source, int station)
{
	struct port *to;

	if (station < 0 || station >= (int)LAN_GATEWAY_PORT || station == (int)source->index)
		return NULL;
	to = source->lan->port[station];
	return to != NULL && to->state == PORT_UP ? to : NULL;
}

/* False: the source waits, with this frame first. */
static bool take_frame(struct port *source, const struct message *message, struct run *run,
		       const struct port *turn)
{
	struct lan_switch *lan = source->lan;
	int station = MAC_TABLE_NOBODY;
	struct port *to;

	if (!is_group(message->frame))
		station = mac_table_find(&lan->table, message->frame, lan_seconds(lan));
	to = find_port(source, station);
	if (to != NULL ? !send_to(source, to, message, run, turn) : !run_is_over(source, run))
		return false;
	if (to == NULL)
		send_around(source, message, station);
	source->received.frames++;
	source->received.bytes += message->size;
	return true;
}

static bool take(struct port *source, const struct message *message, struct run *run,
		 const struct port *turn)
{
	enum judgement judgement = message->note ? WELCOME : judge(source, message);

	if (!message->note && judgement == WELCOME)
		return take_frame(source, message, run, turn);
	if (!run_is_over(source, run))
		return false;
	if (message->note)
		trunk_hear(source, (const char *)message->frame, message->len);
	source->drops.broken += judgement == BROKEN;
	source->drops.forged += judgement == FORGED;
	return true;
}

void lan_forward(struct port *source, const struct port *turn)
{
	struct run run = {0};
	struct message message;

	while (source->state == PORT_UP && source->waits_for == NULL) {
		int size = framing_next(port_framing(source), source->in + source->in_at,
					source->in_end - source->in_at, &message);

		if (size < 0)
			port_lose(source);
		if (size <= 0 || !take(source, &message, &run, turn))
			break;
		source->in_at += (uint32_t)size;
	}
	end_run(source, &run);
	port_update(source);
}

/* Those who wait go on in turn, until one of them has filled it again. */
static void release(struct port *to)
{
	struct port *source;

	while ((port_queued(to) == 0 || to->stalled || to->state == PORT_GONE) &&
	       (source = port_next_waiter(to)) != NULL) {
		lan_forward(source, to);
		if (source->waits_for == to)
			break;
	}
	port_update(to);
}

void lan_drain(struct port *to)
{
	(void)port_flush(to);
	has_progress(to);
	release(to);
}

bool lan_look_after(struct port *to)
{
	if (to->state != PORT_UP || to->waiters == NULL)
		return false;
	if (port_flush(to))
		has_progress(to);
	release(to);
	if (to->waiters == NULL)
		return false;
	if (to->lan->now_ms - to->progress_ms < LAN_STALL_MS)
		return true;
	to->stalled = true;
	log_guest(&to->lan->log, &to->lan->limit, "%s takes nothing: frames to it are dropped",
		  to->name);
	release(to);
	return false;
}
