/*
 * The frames that commands in the guest are served with: between the helper in the guest
 * (guest/helper), the machine's process and the client. No function here needs a library, because
 * the helper has none.
 *
 *     header: le32 length of what follows it, le32 session, u8 type, 3 bytes of zero
 *
 * A session is one command. Its number is the machine's choice; a client has one session, 0, but
 * that EXEC_ERROR has EXEC_MAY_RETRY there when no agent has answered yet, and nothing was run. A
 * session begins with EXEC_ARGS, in as many frames as that takes, and EXEC_START; it ends with
 * EXEC_EXIT or EXEC_ERROR. The sides read what the other sends only as far as they granted it:
 * EXEC_INPUT_WINDOW bytes of standard input, EXEC_OUTPUT_WINDOW of both outputs, plus what was
 * given back by EXEC_CREDIT, which may keep up to a quarter of a window until more has come.
 *
 * EXEC_ARGS: le32 flags (EXEC_FLAG_*), le16 rows, le16 columns, le32 number of arguments, le32 of
 * variables, then texts with NUL behind each: folder, user, the arguments, the variables as K=V. An
 * empty folder is "/"; an empty user is who the agent runs as.
 *
 * A console port (exec_port.h) is cut anywhere: by a save, a reset, a host that goes. What is on its
 * way then is of an old host. So a host begins with EXEC_PADDING zeros, which are more than what can
 * be missing of a frame, and a greeting: EXEC_MAGIC, then EXEC_NUMBER random bytes below 0x80, of
 * which the first is not 0. The helper ends the sessions that it has, and repeats the greeting; its
 * EXEC_HELLO follows. What came before that, either side drops. Behind each frame to the guest are
 * the first EXEC_TRAILER bytes of the number. So a frame that the padding completed is not acted
 * on: the helper drops it, and waits for the greeting.
 */
#ifndef TORPOR_GUEST_EXEC_FRAME_H
#define TORPOR_GUEST_EXEC_FRAME_H

#include <stdint.h>

#define EXEC_HEADER	   12u
#define EXEC_FRAME_MAX	   32768u /* bytes behind a header */
#define EXEC_INPUT_WINDOW  131072u
#define EXEC_OUTPUT_WINDOW 262144u
#define EXEC_ARGS_MAX	   (2u << 20)
#define EXEC_ARGS_FIXED	   16u
#define EXEC_SESSIONS_MAX  256u
#define EXEC_VERSION	   1u
#define EXEC_MAY_RETRY	   1u

/* Another version of the frames has another magic, which an older helper does not answer to. No byte
 * of a greeting is its first one again, so exec_match() finds it anywhere. */
#define EXEC_MAGIC	"\xfetorpor1"
#define EXEC_MAGIC_SIZE 8u
#define EXEC_NUMBER	8u
#define EXEC_GREETING	(EXEC_MAGIC_SIZE + EXEC_NUMBER)
#define EXEC_TRAILER	4u
#define EXEC_PADDING	(EXEC_HEADER + EXEC_FRAME_MAX + EXEC_TRAILER)

enum {
	EXEC_FLAG_INPUT = 1,  /* standard input is what the client sends, else /dev/null */
	EXEC_FLAG_TTY = 2,    /* all three are a new terminal */
	EXEC_FLAG_DETACH = 4, /* nobody waits for it */
	EXEC_FLAG_ALL = 7,
};

enum exec_type {
	/* to the guest */
	EXEC_ARGS = 1,
	EXEC_START,	/* all arguments are there */
	EXEC_INPUT,	/* data */
	EXEC_INPUT_END, /* nothing more */
	EXEC_SIGNAL,	/* le32: to the command and what it started */
	EXEC_WINDOW,	/* le16 rows, le16 columns */
	EXEC_HANGUP,	/* nobody waits any more: end it */
	/* both ways */
	EXEC_CREDIT, /* le32: so many bytes more */
	/* from the guest */
	EXEC_OUTPUT,
	EXEC_OUTPUT_ERR, /* of standard error */
	EXEC_EXIT,	 /* u8 enum exec_exit, le32 value */
	EXEC_ERROR,	 /* text: from the machine to its client, the last frame */
	/* session 0, machine and helper */
	EXEC_HELLO, /* le32 EXEC_VERSION: the helper's first */
	EXEC_ACK,   /* le32: so many bytes of the helper's stream were read */
	EXEC_PING,  /* the host is there */
	EXEC_BYE,   /* the helper is not needed any more */
	/* from the machine to its client */
	EXEC_READY, /* the helper is there: what was sent reaches the guest */
};

/* What became of a command, and what the value is. */
enum exec_exit {
	EXEC_EXITED,	 /* its status */
	EXEC_KILLED,	 /* the signal */
	EXEC_STARTED,	 /* detached: its process */
	EXEC_NO_COMMAND, /* errno of execve(2) */
	EXEC_NO_FOLDER,	 /* errno of chdir(2) */
	EXEC_NO_USER,	 /* errno, or 0: there is none of that name */
	EXEC_NO_TTY,	 /* errno */
	EXEC_NO_PROCESS, /* errno: out of something */
};

struct exec_frame {
	uint32_t len, session;
	uint8_t type;
};

static inline uint32_t exec_get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void exec_put32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static inline void exec_header(uint8_t *p, uint32_t session, uint8_t type, uint32_t len)
{
	exec_put32(p, len);
	exec_put32(p + 4, session);
	exec_put32(p + 8, type);
}

/* One byte more of a stream, of which the last `matched` ones, less than `len`, are how `pattern`
 * begins. Returns how many are so now. The pattern's first byte is nowhere else in it. */
static inline uint32_t exec_match(const uint8_t *pattern, uint32_t matched, uint8_t byte)
{
	return byte == pattern[matched] ? matched + 1 : byte == pattern[0];
}

/* Read a header. Returns 0, or -1 when it is none. */
static inline int exec_parse_header(const uint8_t *p, struct exec_frame *frame)
{
	frame->len = exec_get32(p);
	frame->session = exec_get32(p + 4);
	frame->type = p[8];
	return frame->len > EXEC_FRAME_MAX || (p[9] | p[10] | p[11]) != 0 ? -1 : 0;
}

#endif
