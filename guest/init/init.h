/*
 * The init of guests that are made from container images: process 1 in the initramfs, a program
 * without a C library, because the image may have none. What it does, in this order:
 *
 *     main.c     mounts, modules, the root file system, names of the machine; then the application,
 *                orphans, signals, the power button and the end
 *     config.c   reads what it is told (guest/init_config.h)
 *     files.c    small files and folders
 *     net.c      cards and addresses; a process for each card keeps its lease (DHCP, RFC 2131)
 *     agent.c    a process that answers the host as QEMU's guest agent does, so that exec and the
 *                clock work in every image; json.c reads its questions
 *     button.c   the power button
 *     port.c     the agent's port, which also takes the application's exit status
 *
 * Processes other than 1 may fail: it starts them again.
 */
#ifndef TORPOR_GUEST_INIT_INIT_H
#define TORPOR_GUEST_INIT_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/helper/base.h"
#include "guest/helper/sys.h"

/* --- config.c --- */

#define INIT_WORDS_MAX 4096u

struct init_config {
	const char *modules[64];
	unsigned nmodules;
	const char *root, *root_type, *user, *folder, *hostname;
	char *argv[INIT_WORDS_MAX + 1];
	unsigned nargs;
	char *env[INIT_WORDS_MAX + 5]; /* with room for defaults */
	unsigned nenv;
	const char *volumes[64];
	unsigned nvolumes;
	const char *shares[8];
	unsigned nshares;
	uint32_t stop_signal;
	bool is_init;
};

/* The texts stay in `text`, which ends with NUL. What is unknown or too much is passed over. */
void config_parse(struct init_config *config, char *text, size_t len);

/* --- files.c --- */

/* All of a file, or the first size - 1 bytes, with NUL behind it. Returns the length or a negative
 * errno. */
long file_read(const char *path, char *text, size_t size);
/* Written anew; a link in its place is removed first. Returns 0 or a negative errno. */
long file_write(const char *path, const char *text, size_t len);
/* The folder and those above it. Returns 0 or a negative errno. */
long make_folders(const char *path, unsigned mode);
void sleep_ms(unsigned ms);
int64_t monotonic_ms(void);

/* A text that is put together. What does not fit is cut off. */
struct text {
	char data[1024];
	size_t len;
};

void text_add(struct text *t, const char *part);
void text_add_number(struct text *t, uint64_t number);
/* Four numbers with dots between them; in the order of the network. */
void text_add_address(struct text *t, uint32_t address);

/* A line on the console. */
void say(const char *what, const char *which, long error);

_Noreturn void leave(int status);
/* A child of this process: 0 in it. */
long fork_process(void);

/* --- net.c --- */

#define NET_CARDS 4u

/* lo and all cards are up. */
void net_begin(void);
/* Start to keep a lease for every card there is. `ready` is closed once the first one has an
 * address, or when there is none; -1: nobody waits. */
void net_lease(long ready);
/* Ask for new leases. With `macs`, text with spaces between them, the cards first give up their
 * addresses and get these. */
void net_again(const char *macs);

/* --- port.c --- */

/* Open the agent's port. Returns the file or a negative errno (console_port.h). */
long port_open(void);
/* Tell the host the application's exit status. */
void port_tell_status(int status);

/* --- button.c --- */

#define BUTTONS_MAX 8u

/* The input devices that there are; returns how many. */
unsigned button_open(int fds[BUTTONS_MAX]);
/* Read what has come; whether the power button was pressed. */
bool button_pressed(int fd);

/* --- agent.c --- */

/* Leases, then the host's questions. Process 1 is sent `power_signal` when the host wants it to end, and when the power
 * button is pressed, if it is the image's own; else it looks after that itself. */
_Noreturn void agent_run(long ready, uint32_t power_signal, bool image_is_init);

/* --- json.c --- */

/* The value of a member of the object at `at`; NULL: there is none. Both end with NUL somewhere
 * behind. */
const char *json_member(const char *at, const char *name);
/* The next element of the array that `*at` is in, which moves on; begin with json_elements(). NULL:
 * there is none. */
const char *json_elements(const char *array);
const char *json_next(const char **at);
/* A string, decoded, with NUL behind it. Returns its length or -1: no string, or it does not fit. */
long json_text(const char *at, char *text, size_t size);
bool json_number(const char *at, int64_t *number);

/* Base64 (RFC 4648). */
size_t base64_from(const char *text, size_t len, uint8_t *data);
size_t base64_to(const uint8_t *data, size_t len, char *text);

#endif
