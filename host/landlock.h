/*
 * Landlock (kernel: userspace-api/landlock), as far as the running kernel has it: what this process
 * may do with other processes, files and ports, whatever its user may.
 *
 * A domain holds for the calling thread and what it starts from then on, for good; of several each
 * takes something away. The process needs no_new_privs first. A domain of any kind keeps memory and
 * descriptors of processes outside of it out of reach (/proc/PID/mem, ptrace), even for root.
 * Descriptors that are open stay usable, and what has no rule of its own (stat(2), connect(2) to a
 * socket in a folder) is not restricted.
 *
 * Functions return 0, also where the kernel has less of it or nothing, or the errno of
 * landlock_create_ruleset(2), landlock_add_rule(2) or landlock_restrict_self(2).
 */
#ifndef TORPOR_HOST_LANDLOCK_H
#define TORPOR_HOST_LANDLOCK_H

#include <stdint.h>

#include "base/err.h"

/* Since this version a domain restricts TCP. */
#define LANDLOCK_TCP 4
/* Since this version a domain keeps signals and abstract sockets in. */
#define LANDLOCK_SCOPES 6

/* The version of the interface, 1 and up; 0: this kernel has none, or it is switched off. */
int landlock_version(void);

/* The version of the domains that this process has entered; 0: none. */
int landlock_entered(void);

/* Nothing can be executed, no device, pipe or symbolic link made; from version 6 on no process
 * outside can be sent a signal, nor an abstract socket of one be connected to. Also returns the
 * errno of opening /. */
int landlock_enter(struct err *err);

/*
 * A domain that allows nothing but what is listed:
 *
 *     landlock_begin → landlock_allow | landlock_allow_bind … → landlock_end → landlock_free
 */
struct landlock {
	int fd; /* owned; -1: there is no Landlock */
	int version;
	uint64_t files; /* kinds of access that it restricts */
};

enum landlock_access {
	LANDLOCK_READ,	 /* a file, or the files in a folder and below */
	LANDLOCK_TREE,	 /* the same, and list folders */
	LANDLOCK_RUN,	 /* read and execute files in a folder and below */
	LANDLOCK_DEVICE, /* read, write, ioctl(2) */
	LANDLOCK_OWN,	 /* a folder: files and sockets in it are made, read, written, removed */
	LANDLOCK_PARENT, /* a folder: empty ones in it may be removed */
	LANDLOCK_NAMES,	 /* a folder: what is no folder is removed in it */
	LANDLOCK_STORE,	 /* a folder and below: all but devices, sockets, pipes and programs */
	LANDLOCK_FOLDER, /* the same, with sockets and pipes */
};

/* TCP that is not restricted: connections to any port, listening at any port; and whether signals
 * and abstract sockets are kept in, as landlock_enter() does. Bits. */
enum landlock_how {
	LANDLOCK_TCP_CONNECT = 1,
	LANDLOCK_TCP_BIND = 2,
	LANDLOCK_KEEP_IN = 4,
};

int landlock_begin(struct landlock *l, unsigned how, struct err *err);
/* A path that is not there is left out. Symbolic links are followed, now. */
int landlock_allow(struct landlock *l, const char *path, enum landlock_access what,
		   struct err *err);
/* Listen at that TCP port. Not with LANDLOCK_TCP_BIND. */
int landlock_allow_bind(struct landlock *l, uint16_t port, struct err *err);
int landlock_end(struct landlock *l, struct err *err);
void landlock_free(struct landlock *l);

#define cleanup_landlock __attribute__((cleanup(landlock_free)))

#endif
