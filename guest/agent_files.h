/*
 * A transport (transport.h) with the stock QEMU guest agent alone. guest-exec gives a shell the
 * helper's bytes as input: it puts them into a new folder that only the agent's user can enter, on
 * the first of some file systems that lets programs run, and becomes the helper. That makes two
 * files there. What the host says is appended to `in` with guest-file-write, what the helper says
 * is read from `out` with guest-file-read: with short pauses while there is nothing to read.
 *
 * What guest-exec captures itself is no way: it is cut off at 16 MiB without a word, input is one
 * piece, and nothing is seen before the end. The agent reads FIFOs through stdio, which loses bytes
 * when there are none for a moment; so these are plain files.
 *
 * The folder has a new name each time (128 random bits), so that nothing is trusted that was there
 * before. Two files that grow without end would fill the guest's memory: each side cuts out of its
 * file what was read.
 *
 * With a `port_name` the helper is told to look for a console port of that name first. If it can open
 * that, it makes no files, and whoever has given the name (exec_port.h) ends this here.
 *
 * The shell is told that its name ($0) is `torpor`. The agent of our own init (guest/init/agent.c)
 * knows the request by it, and does what the script says without a shell.
 *
 *     agent_files_init → agent_files_open → … → agent_files_close
 */
#ifndef TORPOR_GUEST_AGENT_FILES_H
#define TORPOR_GUEST_AGENT_FILES_H

#include <jansson.h>

#include "base/buf.h"
#include "guest/agent.h"
#include "guest/bring_helper.h"
#include "guest/transport.h"

enum agent_files_state {
	FILES_IDLE,
	FILES_WAITING,	/* for the agent */
	FILES_STARTING, /* guest-exec is asked for */
	FILES_OPENING,	/* the helper's files are looked for */
	FILES_UP,
	FILES_CLOSING, /* end(): what waits is written, then both files are closed */
};

struct agent_files {
	struct transport transport;
	struct agent *agent;
	struct agent_observer observer;
	const char *port_name; /* NULL: none. Set before the first begin() */
	enum agent_files_state state;
	bool again; /* begin() came before an end() was through */

	struct agent_question ask;   /* one thing after the other: start, open, read, close */
	struct agent_question write; /* what is sent, */
	struct agent_question flush; /* and right behind it */

	struct timer timer;		/* until the agent must be there; until the next question */
	unsigned pause_ms;		/* before the next question */
	unsigned quiet_ms;		/* in pauses: nothing came for so long */
	uint64_t written_ns;		/* CLOCK_MONOTONIC of the last guest-file-write */
	unsigned look_ms;		/* of quiet_ms, when its process is looked at */
	char nonce[BRING_HELPER_NONCE]; /* in the name of the folder */
	unsigned place;			/* that the folder is looked for in, or is in */
	char refusal[128];		/* of the last file that was not opened */
	unsigned tried;			/* so many places since its process was looked at */
	json_int_t pid;			/* of the helper */
	json_int_t in, out;		/* handles; 0: not open */
	struct buf unsent;		/* from unsent_at on */
	size_t unsent_at;
	uint32_t unacked; /* bytes read that the helper was not told of */
};

void agent_files_init(struct agent_files *f, struct agent *agent);
/* Returns 0, or what timer_open() gives. */
int agent_files_open(struct agent_files *f, struct loop *loop, struct err *err);
/* Safe after agent_files_init() and on zeroes; before agent_close(). */
void agent_files_close(struct agent_files *f);

#endif
