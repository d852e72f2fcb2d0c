/*
 * A machine in this process with the tiny kernel in it, spoken to over its serial line.
 *
 *     guest_boot / guest_resume → guest_say … → guest_pause → guest_save → guest_stop
 *
 * Parents of increments are looked for among the files of scratch_path().
 *
 * The machine runs on a thread of its own; the calls here take its lock. A reply is one line that
 * the guest sent after the command. Everything fails the running test with a message.
 */
#ifndef TORPOR_TESTS_KVM_HARNESS_H
#define TORPOR_TESTS_KVM_HARNESS_H

#include <pthread.h>

#include "devices/board.h"
#include "format/chain.h"
#include "snapshot/pager.h"
#include "snapshot/reset.h"
#include "vmm/machine.h"

struct guest_spec {
	uint64_t memory; /* bytes; 0: 64 MiB */
	uint32_t vcpus;	 /* 0: 1 */
	const char *cmdline;
	const char *disk; /* raw file, NULL: none */
	bool disk_readonly;
};

struct guest {
	struct machine machine;
	struct board board;
	struct appliance appliance;
	struct chain *chain;	    /* that it was resumed from, or NULL */
	struct frame_cache *frames; /* of its disks */
	struct pager *pager;
	struct golden *golden;
	bool paused;	   /* it is not started */
	bool flat;	   /* how it is saved */
	struct disk *disk; /* owned by the machine */
	int kernel_fd;
	pthread_t thread;
	struct err run_err;

	pthread_mutex_t lock; /* protects the output, which grows on machine threads */
	pthread_cond_t grown; /* or it is over */
	bool over;	      /* the machine has ended */
	char output[65536];
	size_t length;
	size_t seen; /* lines up to here were consumed */
	char reply[1024];
};

/* False, after printing SKIP with the reason, when /dev/kvm cannot be used at all. */
bool have_kvm(void);
/* The same, and when KVM cannot log which pages the guest writes. */
bool can_log(void);

/* Boot the tiny kernel and wait for READY. */
void guest_boot(struct guest *g, const struct guest_spec *spec);
/* Resume from a file. */
void guest_resume(struct guest *g, const char *path);
int guest_try_resume(struct guest *g, const char *path, struct err *err);
/* The same with this fill instead of the idle one. */
void guest_resume_filled(struct guest *g, const char *path, enum pager_fill fill);
/* The same as a golden machine, paused, and with the generation id of the file. */
void guest_resume_golden(struct guest *g, const char *path, enum pager_fill fill);
/* Pause it and take it back to the state of its file. It stays paused. */
void guest_reset(struct guest *g, struct golden_reset *did);
/* Send a command; do not wait. */
void guest_send(struct guest *g, const char *command);
/* Send a command, wait for its one-line reply and return it; valid until the next call. */
const char *guest_say(struct guest *g, const char *command);
/* The number behind the first word of its reply, or 0. */
uint64_t guest_number(struct guest *g, const char *command);
/* Ask again and again until that number is greater. */
void guest_await_more(struct guest *g, const char *command, uint64_t than);
/* Send a command after which the kernel starts anew, and wait until it is ready. */
void guest_restart(struct guest *g, const char *command);
/* So many bytes of its memory, from there on behind its start, to be written, too. */
void *guest_memory(struct guest *g, uint64_t offset, uint64_t len);
void guest_pause(struct guest *g);
void guest_unpause(struct guest *g);
/* Save a paused guest. */
int guest_save(struct guest *g, const char *path, struct err *err);
/* Save what changed since `parent`, which it was resumed from or was last saved to, and go on from
 * there.
 */
void guest_save_increment(struct guest *g, const char *path, const char *parent);
/* End it, unless it has ended, wait for its thread and free everything. */
void guest_stop(struct guest *g);
/* Wait until it ends by itself. */
enum machine_end guest_wait_end(struct guest *g);

/* A folder for this test's files, made once a process; removed at exit. */
const char *scratch_path(const char *name);

#endif
