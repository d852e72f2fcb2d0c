/*
 * What is known of a machine from outside: running (and then its own answer), over (and then the
 * record it left), or dead: its process was killed and left no record.
 */
#ifndef TORPOR_INSTANCE_RECORD_H
#define TORPOR_INSTANCE_RECORD_H

#include <jansson.h>

#include "vmm/machine.h"

/* How a machine ended: the file `exit` in its state folder. */
struct record {
	enum machine_end end;
	int64_t when;	 /* seconds since 1970 */
	int64_t started; /* likewise; 0: not known */
	int status; /* of the guest's application, with MACHINE_END_POWEROFF; 0 when not told */
	char error[512];  /* of a failure, or "" */
	char origin[512]; /* the file or image it was made from, cut off there; or "" */
};

/* The machine of this name lives: forget how the one before ended, and take the room that its own
 * record will need, so that a file system that is full by then does not lose it. Returns 0, what
 * path_state() gives, or the errno of open(2) or pwrite(2). */
int record_begin(const char *name, struct err *err);
/* Written atomically; also without record_begin(). Returns 0, -ENOMEM, what path_state() and
 * path_make_parents() give, or the errno of open(2), pwrite(2) or rename(2). */
int record_write(const char *name, const struct record *record, struct err *err);
/* Returns 0, -ENOENT with ERR_NOT_FOUND when there is none that can be read, or what path_state()
 * gives. */
int record_read(const char *name, struct record *record, struct err *err);
/* Forget it, with the logs and the folder. Cannot fail: what cannot be removed stays. */
void record_remove_all(const char *name);

/* The reverse of machine_end_name(); MACHINE_END_NONE for any other word. */
enum machine_end record_end_by_name(const char *name);
/* The status `run` in the foreground, and `wait`, return for it. `status` is what the guest told. */
int record_exit_status(enum machine_end end, int status);

/* The names of all machines, running or not; sorted. Free with machine_names_free(). The list
 * returns 0, -ENOMEM, the errno of opendir(3), or what path_runtime_root(), path_runtime_check()
 * and path_state_root() give. */
struct machine_names {
	char **name;
	size_t count;
};

int machine_names_list(struct machine_names *names, struct err *err);
void machine_names_free(struct machine_names *names);
/* Some trace of this machine exists. */
bool machine_is_known(const char *name);

/* {"name", "state": what the machine itself says (protocol.h), or
 * busy|not-answering|exited|dead, and what belongs to it}: a new object, or NULL without memory.
 * Busy is one that is starting or ending. One that does not answer within two seconds is
 * "not-answering". */
json_t *machine_status(const char *name);

#endif
