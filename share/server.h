/*
 * A FUSE server (Linux uapi fuse.h, protocol 7.31) of one folder of this host: what a request of the guest
 * becomes. No process, socket or guest memory here: bytes in, bytes out.
 *
 *     share_server_open → share_server_request | _reset | _save | _load … → share_server_close
 *
 * Names are single parts of paths, resolved from the descriptor of a folder that the guest has looked up, by
 * openat2(2) that leaves no folder and follows no link; all that is opened is opened through such a descriptor.
 * Whoever this process is owns what the guest makes: the guest sees its user and group as 0, and all others as
 * 65534. Bits that change the user of a program are never set. One thread.
 */
#ifndef TORPOR_SHARE_SERVER_H
#define TORPOR_SHARE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* What a request may have beside what is written, and what a record's folder is told of. */
#define SHARE_ARGS_MAX 65536u
#define SHARE_WRITE_MAX                                                                            \
	(124u << 12) /* bytes of a write, pages of 4 KiB: with two more it fits a queue of 128 */

struct share_server;

struct share_server_params {
	int folder; /* a directory; borrowed */
	bool readonly;
	unsigned files; /* descriptors that it may have open */
	/* A line for the log. */
	void (*say)(void *opaque, const char *text);
	void *opaque;
};

/* Returns 0, -ENOMEM, or the errno of openat(2) or statx(2). Sets the umask of the process to 0. */
int share_server_open(struct share_server **out, const struct share_server_params *params,
		      struct err *err);
void share_server_close(struct share_server *s);

/* Answer a request of `len` bytes: returns the length of the answer, at most `room`, in `answer`, which may be
 * where the request is; 0: there is none to be given. Both may be changed by others meanwhile: what is looked at
 * was copied before. */
size_t share_server_request(struct share_server *s, const uint8_t *request, size_t len,
			    uint8_t *answer, size_t room);
/* The guest has nothing any more. */
void share_server_reset(struct share_server *s);

/* Append the record of what the guest has (share/record.h). Returns 0, -ENOMEM, or -E2BIG when it would be
 * longer than `most`. */
int share_server_save(struct share_server *s, size_t most, struct buf *out, struct err *err);
/* Open again what a record says, in place of what there is; what is not there any more is gone for the guest,
 * and said. Returns 0, or what share_record_check() gives: then there is nothing. */
int share_server_load(struct share_server *s, const uint8_t *record, size_t len, struct err *err);

#endif
