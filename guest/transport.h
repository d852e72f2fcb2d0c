/*
 * A way for frames (exec_frame.h) to the helper in the guest and back: two streams of bytes, in
 * order. The sessions (exec_sessions.h) know no more than this of how that is done: exec_port.h does
 * it by a console port, agent_files.h with what the stock guest agent offers.
 *
 *     begin → ready → send … → end, or failed; then begin again
 *
 * Machine lock held; callbacks on the loop's or a vCPU's thread, and none inside begin, send or end.
 */
#ifndef TORPOR_GUEST_TRANSPORT_H
#define TORPOR_GUEST_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct transport;

struct transport_ops {
	/* Have a helper start in the guest, and reach it. Its first bytes say that it is there. */
	void (*begin)(struct transport *t);
	/* Whole frames. What is not sent yet is kept; who sends bounds that. Without memory the
	 * transport fails. */
	void (*send)(struct transport *t, const void *frames, size_t len);
	/* Nothing is expected any more; what was sent before still arrives. */
	void (*end)(struct transport *t);
	/* Bytes that were sent and wait here. */
	size_t (*unsent)(const struct transport *t);
};

/* Embedded in what implements it. */
struct transport {
	const struct transport_ops *ops;
	/* Filled by who uses it. */
	void (*received)(void *opaque, const uint8_t *data, size_t len);
	/* unsent() has become less. */
	void (*room)(void *opaque);
	/* It is over, as after end(). ERR_NOT_FOUND: the guest does not answer yet, if it ever will. */
	void (*failed)(void *opaque, const struct err *why);
	void *opaque;
};

#endif
