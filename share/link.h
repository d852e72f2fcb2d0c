/*
 * The machine's end of the channel to the server of a folder (share/channel.h). Machine lock held. Nothing here
 * waits, but share_link_wait().
 */
#ifndef TORPOR_SHARE_LINK_H
#define TORPOR_SHARE_LINK_H

#include "share/channel.h"
#include "share/process.h"

struct share_link {
	struct share_ends ends; /* owned */
	uint8_t *slots;		/* mapped; NULL: there is no server */
};

/* Takes the ends, also on failure. Returns 0, or the errno of mmap(2) or fcntl(2). */
int share_link_open(struct share_link *link, struct share_ends *ends, struct err *err);
/* Nothing is done where there is none. */
void share_link_close(struct share_link *link);

static inline uint8_t *share_link_slot(const struct share_link *link, unsigned slot)
{
	return link->slots + (size_t)slot * SHARE_SLOT_SIZE;
}

/* Returns 0, or -EPIPE when the server is gone. */
int share_link_send(const struct share_link *link, const struct share_message *m);
/* Returns 1 with a message, its text with NUL behind it; 0: there is none now; -EPIPE: the server is gone, or
 * talks nonsense. */
int share_link_receive(const struct share_link *link, struct share_message *m);
/* Until there is a message or `ms` are over. */
void share_link_wait(const struct share_link *link, uint64_t ms);

/* A record for the server, or from it. Returns 0, -ENOMEM, or the errno of pwrite(2) or pread(2);
 * *record is the caller's. */
int share_link_put_record(const struct share_link *link, const uint8_t *record, size_t len);
int share_link_take_record(const struct share_link *link, uint8_t **record, uint64_t len);

#endif
