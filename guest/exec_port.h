/*
 * A transport (transport.h) over a console port of the machine's own (APPLIANCE_EXEC_PORT): frames as
 * they are, with neither JSON nor questions, and nobody looks again and again whether there is
 * something.
 *
 * The helper is brought by agent_files, which also is the way where the guest cannot open the port:
 *
 *     begin ─ open ─ GREETING ─ answer ────────────────────────┬─ UP
 *         │              └──── no answer ─┐                    │
 *         └─ closed ──────────────────── STARTING ── the helper has the port
 *                                         └───────── it has files ─ FILES
 *
 * Once it has the port the helper stays there, between the commands as well, and in a machine that
 * was saved: then no agent is needed. Each begin() greets it with a new number (exec_frame.h), so
 * that nothing of an older conversation is taken for one of this.
 *
 * Whoever has the port open in the guest may say anything: what comes before the greeting's answer is
 * dropped, and what follows is as hostile as any transport's. When it closes the port, the helper
 * has ended. A program that is no helper and has the port open costs the first conversation the time
 * for an answer: until it closes the port or answers, the others go through agent_files at once. The
 * log says so.
 *
 *     agent_files_init → exec_port_init → agent_files_open, exec_port_open → … → exec_port_close
 *     → agent_files_close
 */
#ifndef TORPOR_GUEST_EXEC_PORT_H
#define TORPOR_GUEST_EXEC_PORT_H

#include "base/buf.h"
#include "base/log.h"
#include "devices/chardev.h"
#include "guest/agent_files.h"
#include "guest/exec_frame.h"
#include "guest/transport.h"

enum exec_port_state {
	PORT_IDLE,
	PORT_GREETING, /* the guest has the port open: is it a helper? */
	PORT_STARTING, /* agent_files starts one */
	PORT_UP,
	PORT_FILES, /* the port is not to be had there */
};

struct exec_port {
	struct transport transport;
	struct chardev *port;
	struct agent_files *files;
	enum exec_port_state state;
	struct timer timer; /* until the greeting must be answered; of pings; 1: failed */
	bool pinged;	    /* there was no frame since the last ping was due */
	bool no_memory;	    /* it fails at once */
	bool deaf;	    /* who has the port open has not answered a greeting in time */
	struct buf frames;  /* to be sent once it is UP or FILES */
	struct buf unsent;  /* to the port, from unsent_at on */
	size_t unsent_at;
	uint8_t greeting[EXEC_GREETING];
	bool greeted;	  /* since the port was opened: an answer is waited for */
	uint32_t matched; /* of the greeting: so much of the answer has come */
	const struct log *log;
	struct log_limit log_limit;
};

/* Takes the port, and the files' transport. The helper looks for the port by `name`, which is kept, as
 * the log is. */
void exec_port_init(struct exec_port *p, struct chardev *port, const char *name,
		    struct agent_files *files, const struct log *log);
/* Returns 0, or what timer_open() gives. */
int exec_port_open(struct exec_port *p, struct loop *loop, struct err *err);
/* Safe after exec_port_init() and on zeroes. */
void exec_port_close(struct exec_port *p);

#endif
