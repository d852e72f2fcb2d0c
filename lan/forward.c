/*
 * See forward.h.
 *
 * A source's frames are taken one by one from its `in`. Successive frames for one destination are a
 * *burst*: where both ends have the same framing it is sent from `in` by one call. What the socket
 * does not take stays with the source, which waits. Only the rest of a frame that was cut goes into
 * the destination's queue, because the stream must go on with it.
 */
#include "lan/forward.h"

#include <string.h>

#include "base/assert.h"
#include "base/num.h"
#include "lan/switch_internal.h"
#include "lan/trunk.h"

/* Room for whatever one frame can become. */
#define QUEUE_BUSY (PORT_OUT_SIZE - 2 * LAN_WIRE_MAX - PORT_SHARE)

#define STALL_MS 200u

struct burst {
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
	port_wait(source, to, source->lan->now_ms);
	lan_need_tick(source->lan);
}

/* Only `taken` bytes of a burst went. The stream goes on with the rest of a frame that was cut;
 * what is behind that stays. */
static void cut_burst(struct port *source, const struct burst *burst, uint32_t taken)
{
	uint32_t at = burst->from, reached = burst->from + taken, frames = 0;
	struct port *to = burst->to;
	struct message message;
	int size;

	while (at < reached) {
		size = framing_next(port_framing(source), source->in + at, burst->end - at,
				    &message);
		assert(size > 0);
		at += (uint32_t)size;
		frames++;
	}
	count_sent(to, frames, at - burst->from);
	if (at > reached && !port_queue(to, source->in + reached, at - reached))
		port_lose(to);
	source->in_at = at;
	source->received.frames -= burst->frames - frames;
	source->received.bytes -= burst->end - at;
	if (at < burst->end && to->state == PORT_UP)
		wait_for(source, to);
	port_update(to);
}

static void send_burst(struct port *source, const struct burst *burst)
{
	uint32_t len = burst->end - burst->from;
	uint32_t taken = (uint32_t)port_write(burst->to, source->in + burst->from, len);

	if (taken > 0)
		has_progress(burst->to);
	if (taken == len)
		count_sent(burst->to, burst->frames, len);
	else if (burst->to->state == PORT_UP)
		cut_burst(source, burst, taken);
}

static void end_burst(struct port *source, struct burst *burst)
{
	struct port *to = burst->to;

	if (to == NULL)
		return;
	if (burst->direct) {
		send_burst(source, burst);
	} else {
		if (port_flush(to))
			has_progress(to);
		port_update(to);
	}
	burst->to = NULL;
}

/* May a burst to this destination begin? If not, the source waits, unless it is to be dropped. */
static bool may_send(struct port *source, struct port *to, const struct port *turn)
{
	if (port_queued(to) == 0 && (to->waiters == NULL || to == turn))
		return true;
	wait_for(source, to);
	port_update(to);
	return false;
}

/* Into the queue in the destination's own form, to be sent when the burst ends. False: the source
 * waits. */
static bool queue_in_burst(struct port *source, struct burst *burst, const struct message *message)
{
	struct port *to = burst->to;

	if (port_queued(to) > QUEUE_BUSY) {
		end_burst(source, burst);
		if (port_queued(to) > QUEUE_BUSY) {
			wait_for(source, to);
			port_update(to);
			return false;
		}
		burst->to = to;
	}
	if (port_queue_frame(to, message, to->lan->scratch))
		count_sent(to, 1, message->size);
	else
		to->drops.full++;
	return true;
}

/* To one station. False: the source waits, with this message first. */
static bool send_to(struct port *source, struct port *to, const struct message *message,
		    struct burst *burst, const struct port *turn)
{
	if (burst->to != to) {
		end_burst(source, burst);
		if (source->waits_for != NULL)
			return false;
		if (to->stalled) {
			to->drops.full++;
			return true;
		}
		if (!may_send(source, to, turn))
			return false;
		*burst = (struct burst){
			.to = to,
			/* Both have the same framing. */
			.direct = source->kind != PORT_QEMU && to->kind != PORT_QEMU,
			.from = source->in_at,
		};
	}
	if (!burst->direct)
		return queue_in_burst(source, burst, message);
	burst->end = source->in_at + (uint32_t)message->size;
	burst->frames++;
	return true;
}

/* A frame that no source waits for: dropped when the port is busy. */
static void offer(struct port *to, unsigned source, const struct message *message)
{
	bool first = port_queued(to) == 0;
	uint32_t size = FRAMING_HEAD_MAX + (uint32_t)message->len;

	if (to->stalled || to->left_by[source] + size > PORT_SHARE ||
	    !port_queue_frame(to, message, to->lan->scratch)) {
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
			offer(to, source->index, message);
	}
}

static void ask_gateway(struct port *source, const struct message *message)
{
	const uint8_t *sender = message->frame + NET_MAC_SIZE;
	struct gateway_query query = {
		.frame = message->frame,
		.len = message->len,
		.port = source->index,
		.now = lan_seconds(source->lan),
	};
	uint8_t reply[GATEWAY_REPLY_MAX];
	struct message answer = {.frame = reply};

	if (source->kind != PORT_MACHINE)
		query.name = trunk_machine_name(source, sender);
	else if (memcmp(source->mac, sender, NET_MAC_SIZE) == 0)
		query.name = source->name;
	answer.len = gateway_answer(source->lan->gateway, &query, reply);
	if (answer.len > 0)
		offer(source, LAN_GATEWAY_PORT, &answer);
}

static bool is_group(const uint8_t *mac)
{
	return (mac[0] & 1) != 0;
}

enum frame_check { FRAME_GOOD, FRAME_BROKEN, FRAME_FORGED };

static enum frame_check check_frame(struct port *source, const struct message *message)
{
	const uint8_t *sender = message->frame + NET_MAC_SIZE;
	struct lan_switch *lan = source->lan;

	if (!message->sound || is_group(sender))
		return FRAME_BROKEN;
	if (mac_table_learn(&lan->table, sender, source->index, lan_seconds(lan)) == LEARNED_FORGED)
		return FRAME_FORGED;
	return FRAME_GOOD;
}

/* A frame that is not for one port alone: to the gateway, and to all others. The source does not
 * wait. */
static void send_around(struct port *source, const struct message *message, int to)
{
	struct lan_switch *lan = source->lan;
	bool group = is_group(message->frame);

	if (lan->gateway != NULL && (group || to == (int)LAN_GATEWAY_PORT))
		ask_gateway(source, message);
	if (group || to == MAC_TABLE_NOBODY)
		flood(source, message);
}

/* What is behind a burst may not overtake it. False: the source waits. */
static bool burst_is_over(struct port *source, struct burst *burst)
{
	end_burst(source, burst);
	return source->waits_for == NULL;
}

/* False: the source waits, with this frame first. */
static bool forward_frame(struct port *source, const struct message *message, struct burst *burst,
			  const struct port *turn)
{
	struct lan_switch *lan = source->lan;
	int station = MAC_TABLE_NOBODY;
	struct port *to = NULL; /* the one port that the frame is for */

	if (!is_group(message->frame))
		station = mac_table_find(&lan->table, message->frame, lan_seconds(lan));
	if (station >= 0 && station < (int)LAN_GATEWAY_PORT && station != (int)source->index)
		to = lan->port[station];
	if (to != NULL && to->state != PORT_UP)
		to = NULL;
	if (to != NULL ? !send_to(source, to, message, burst, turn) : !burst_is_over(source, burst))
		return false;
	if (to == NULL)
		send_around(source, message, station);
	source->received.frames++;
	source->received.bytes += message->size;
	return true;
}

/* False: the source waits, with this message first. */
static bool forward_message(struct port *source, const struct message *message, struct burst *burst,
			    const struct port *turn)
{
	enum frame_check check = FRAME_GOOD;

	if (!message->note) {
		check = check_frame(source, message);
		if (check == FRAME_GOOD)
			return forward_frame(source, message, burst, turn);
	}
	if (!burst_is_over(source, burst))
		return false;
	if (message->note)
		trunk_handle_note(source, (const char *)message->frame, message->len);
	source->drops.broken += check == FRAME_BROKEN;
	source->drops.forged += check == FRAME_FORGED;
	return true;
}

void lan_forward(struct port *source, const struct port *turn)
{
	struct burst burst = {0};
	struct message message;

	while (source->state == PORT_UP && source->waits_for == NULL) {
		int size = framing_next(port_framing(source), source->in + source->in_at,
					source->in_end - source->in_at, &message);

		if (size < 0)
			port_lose(source);
		if (size <= 0 || !forward_message(source, &message, &burst, turn))
			break;
		source->in_at += (uint32_t)size;
	}
	end_burst(source, &burst);
	port_update(source);
}

/* Those who wait go on in turn, until one of them has filled it again. */
static void release_waiters(struct port *to)
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
	release_waiters(to);
}

bool lan_check_stall(struct port *to)
{
	if (to->state != PORT_UP || to->waiters == NULL)
		return false;
	if (port_flush(to))
		has_progress(to);
	release_waiters(to);
	if (to->waiters == NULL)
		return false;
	if (to->lan->now_ms - to->progress_ms < STALL_MS)
		return true;
	to->stalled = true;
	log_guest(&to->lan->log, &to->lan->limit, "%s takes nothing: frames to it are dropped",
		  to->name);
	release_waiters(to);
	return false;
}
