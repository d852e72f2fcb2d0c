/*
 * The claim on the name of a machine or a LAN: a lock on the file `lock` in its runtime folder,
 * held by its process as long as it lives. The file holds the process's number. A machine holds a
 * second lock, on `running` in its state folder, if that can be written: it is found there by a
 * user whose runtime folder is another one now, or has vanished. Files of a killed process stay;
 * the next claim uses them.
 *
 * The locks belong to the open files (F_OFD_SETLK), so looking whether they are held takes none.
 *
 *     claim_name | claim_free_name | claim_lan → … → claim_release
 *
 * Any thread. Functions that return int return 0, ERR_USAGE for what is no name, ERR_FAILED when
 * the name is taken or the runtime folder is not private, -ENAMETOOLONG, or the errno of mkdir(2),
 * lstat(2), open(2), fcntl(2), getrandom(2) or of writing the lock file. After an error nothing is held. The
 * others cannot fail.
 */
#ifndef TORPOR_HOST_CLAIM_H
#define TORPOR_HOST_CLAIM_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

enum claim_kind { CLAIM_MACHINE, CLAIM_LAN };

struct claim {
	enum claim_kind kind;
	char name[64];
	int fd;	      /* of the lock; -1: none */
	int state_fd; /* of the lock in the state folder; -1: none */
};

/* Take the name, or fail with "the name X is in use by a running machine". */
int claim_name(struct claim *claim, const char *name, struct err *err);
int claim_lan(struct claim *claim, const char *name, struct err *err);
/* Take a free name for a machine, made from `preferred`: itself, or preferred-2, preferred-3 …, or,
 * of one that has such a number, those behind it: web-2, web-3, …; NULL: a random vm-xxxxxx. */
int claim_free_name(struct claim *claim, const char *preferred, struct err *err);
/* Remove the runtime folder and give the name back. */
void claim_release(struct claim *claim);

/*
 * A process that starts the machine of a name again whenever it ends says so by a lock on `restarts` in the state
 * folder. The name may be free for a moment between a machine and the next; who ends it then, or before that
 * process has seen the next one, leaves word in that file.
 *
 *     claim_restarts → { claim_restarts_asked, claim_restarts_forget } … → claim_restarts_release
 */
/* Returns the descriptor, or -1 when the folder cannot be written. */
int claim_restarts(const char *name);
/* -1: nothing is done. */
void claim_restarts_release(const char *name, int fd);
/* Somebody has asked that it is not started again, by claim_restarts_end(). -1: no. */
bool claim_restarts_asked(int fd);
/* What this process has asked itself. */
void claim_restarts_forget(int fd);
/* Of any other process: somebody starts it again. */
bool claim_is_restarted(const char *name);
/* Ask that process to leave that. False: there is none. */
bool claim_restarts_end(const char *name);

/* A process holds the claim. */
bool claim_is_held(const char *name);
bool claim_lan_is_held(const char *name);
/* The process that holds it: 0 when none does, or when it has just taken it and has not said so
 * yet. */
pid_t claim_holder(enum claim_kind kind, const char *name);

#endif
