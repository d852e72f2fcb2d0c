/*
 * The console hub: joins the guest's character devices with the terminal, the clients and the log.
 *
 *     serial ─┐          ┌─► console.log            terminal ─┐
 *             ├─ output ─┼─► the terminal                     ├─ input ─► keyboard device
 *     hvc0   ─┘          └─► every console client    clients ─┘
 *
 * Input is handed on with back-pressure: while the keyboard device has no room for what was read,
 * nothing more is read from any port. All calls with the machine lock held; ports are created and
 * freed on the loop thread. Functions that return no int cannot fail: output that a port or the log
 * does not take is lost there.
 */
#ifndef TORPOR_INSTANCE_CONSOLE_HUB_H
#define TORPOR_INSTANCE_CONSOLE_HUB_H

#include "devices/board.h"
#include "instance/console_log.h"

#define HUB_READ 4096u

struct console_port;

struct console_hub {
	struct machine *machine;
	struct chardev *keyboard;
	struct console_log log;
	struct console_port *ports; /* owned */
	/* NULL, or also called with what the guest prints. Set after hub_init(). */
	void (*heard)(void *opaque, const uint8_t *data, size_t len);
	void *heard_opaque;
	uint8_t pending[HUB_READ + 1]; /* read, and not yet taken by the keyboard device */
	size_t start, len;
	bool break_due;	     /* a break is to be sent, */
	size_t before_break; /* behind so many bytes of what is pending */
};

/* Connects both devices of the board; `name` must outlive the hub. */
void hub_init(struct console_hub *hub, struct machine *m, const struct board *board,
	      enum appliance_console keyboard, const char *name, bool fresh_log);

/* Standard input and output become a port. Returns 0 or -ENOMEM. On a terminal (`raw`) the escape
 * `~.` kills the machine, and `~B` sends a break. Nothing is read before hub_start_input(), which
 * belongs behind the start of the vCPUs. */
int hub_attach_terminal(struct console_hub *hub, bool raw, struct err *err);
void hub_start_input(struct console_hub *hub);
/* Attach a client's non-blocking socket, with what it has already sent. The socket is taken, also
 * on failure. Returns 0, -ENOMEM, or the errno of fcntl(2). */
int hub_attach_socket(struct console_hub *hub, int fd, const uint8_t *typed, size_t len,
		      struct err *err);

/* Send a break to the guest, behind what was typed. Returns 0, or -EOPNOTSUPP with ERR_FAILED when
 * the keyboard device has no breaks. */
int hub_send_break(struct console_hub *hub, struct err *err);

/* The guest is taken back to an earlier state: what was typed and not yet taken is dropped. Whoever
 * is attached stays so. */
void hub_forget_input(struct console_hub *hub);

/* After the loop has ended: give slow readers a moment, then free everything. */
void hub_finish(struct console_hub *hub);

#endif
