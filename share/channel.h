/*
 * What a machine and the server of one of its folders (share/process.h) say to each other.
 *
 * Contents lie in memory that both have mapped: SHARE_SLOTS places of SHARE_SLOT_SIZE bytes, one for each
 * request that is under way, and behind them room for a record (share/record.h), which grows and is given
 * back by who has read it. Beside it goes a socket (SOCK_SEQPACKET), a struct share_message at a time. The
 * end of either process is the end of the socket.
 *
 *     machine                        server
 *     SHARE_REQUEST slot, len, room → SHARE_DONE slot, len    the answer is in the place of the request
 *     SHARE_RESET                   →                         what the guest has is void
 *     SHARE_SAVE                    → SHARE_SAVED bytes       a record lies behind the slots
 *     SHARE_LOAD bytes              → SHARE_LOADED            the same
 *                                     SHARE_READY | SHARE_FAILED text    first of all
 *                                     SHARE_SAID text         a line for the log
 *
 * The server takes one message after the other, so answers come in the order of the requests. Neither side
 * trusts the other: the server runs what a hostile guest wrote, and a guest may have taken over the machine.
 */
#ifndef TORPOR_SHARE_CHANNEL_H
#define TORPOR_SHARE_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/num.h"

#define SHARE_SLOTS	 16u
#define SHARE_SLOT_SIZE	 (512u << 10)
#define SHARE_RECORD_AT	 ((uint64_t)SHARE_SLOTS * SHARE_SLOT_SIZE)
#define SHARE_RECORD_MAX MIB(128)
#define SHARE_TEXT_MAX	 480u

enum share_kind {
	SHARE_REQUEST = 1,
	SHARE_RESET,
	SHARE_SAVE,
	SHARE_LOAD,
	SHARE_DONE,
	SHARE_SAVED,
	SHARE_LOADED,
	SHARE_READY,
	SHARE_FAILED,
	SHARE_SAID,
};

struct share_message {
	uint32_t kind;
	uint32_t slot;
	uint32_t len;  /* of the request or of the answer; of a text */
	uint32_t room; /* for the answer */
	uint64_t
		bytes; /* of a record; of SHARE_SAVED UINT64_MAX: there is none, and `text` says why */
	char text[SHARE_TEXT_MAX]; /* sent as far as it goes */
};

#define SHARE_MESSAGE_HEAD offsetof(struct share_message, text)

#endif
