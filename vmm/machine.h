/*
 * A machine: one VM with its memory, buses, vCPUs, devices and event loop. No globals; several may
 * live in one process.
 *
 * Threads and the lock. One thread owns the machine: it builds it, calls machine_run() and gets it
 * back afterwards. Each vCPU has a thread. `lock` is held while an exit is handled, while a loop
 * callback runs, and by everything below unless it says otherwise. Devices are therefore
 * single-threaded. `break_lock` is a leaf below it: what machine_break() needs of the vCPUs'
 * threads. Functions that return no int cannot fail.
 *
 * Cold start:  machine_init · (devices) · machine_boot · machine_run
 * Resume:      machine_init · (devices) · snapshot/resume applies the state · machine_run
 * End:         machine_run returns · machine_free
 */
#ifndef TORPOR_VMM_MACHINE_H
#define TORPOR_VMM_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/timer.h"
#include "vmm/arch.h"
#include "vmm/bus.h"
#include "vmm/device.h"
#include "vmm/dirty.h"
#include "vmm/irq.h"
#include "vmm/kvm.h"
#include "vmm/mem.h"
#include "vmm/vcpu.h"

#define MACHINE_TYPE	    "torpor-1"
#define MACHINE_MAX_VCPUS   64
#define MACHINE_MAX_DEVICES 32
#define MACHINE_MIN_MEMORY  MIB(1)
#define MACHINE_MAX_MEMORY  GIB(256) /* guests have 39 address bits */

enum machine_state {
	MACHINE_BUILT,	 /* nothing has run yet */
	MACHINE_RUNNING, /* vCPUs in the guest */
	MACHINE_PAUSED,	 /* vCPUs parked, devices quiet */
	MACHINE_BROKEN,	 /* the same for ever: memory was lost (machine_break); only to be ended */
	MACHINE_ENDED,	 /* over; see `end` */
};

/* Why a machine is over. */
enum machine_end {
	MACHINE_END_NONE,
	MACHINE_END_POWEROFF, /* the guest switched itself off */
	MACHINE_END_KILLED,   /* machine_end() by its owner */
	MACHINE_END_SAVED,    /* it lives in a file now */
	MACHINE_END_MOVED,    /* it runs on another host now */
	MACHINE_END_FAILED,   /* KVM or the host failed, or it was broken; `failure` says how */
};

/* Where the threads of vCPUs are to be, and where those that start them are: files of control groups that a thread
 * writes "0" to (cgroup.threads). */
struct vcpu_group {
	int vcpus_fd;
	int rest_fd;
};

struct machine {
	pthread_mutex_t lock;
	pthread_cond_t vcpu_cond; /* vCPU state, want_parked or want_exit changed */

	struct kvm kvm;
	struct mem mem;
	struct dirty dirty; /* what of `mem` changed since it was last in a file */
	struct bus pio;
	struct bus mmio;
	struct loop loop;
	struct log log;

	struct arch_cpu
		*cpu; /* owned; NULL for a machine that is resumed: its CPU is in the state */
	struct vcpu *vcpus;
	uint32_t nvcpus;
	bool want_parked;
	bool want_exit;
	const struct vcpu_group *group; /* borrowed; NULL: none */

	struct device *devices[MACHINE_MAX_DEVICES]; /* owned; destroyed in reverse order */
	unsigned ndevices;

	struct boot_source
		boot; /* borrows; must outlive the machine: it is read again at a reset */
	struct board_info board;

	enum machine_state state;
	enum machine_end end;
	atomic_bool broken; /* set once, by machine_break(); ask machine_is_broken() */
	pthread_mutex_t break_lock;
	struct err failure; /* break_lock, until the machine has ended or is MACHINE_BROKEN */

	pthread_cond_t rest_cond; /* a device has come to rest, or the machine is to end */
	bool settling;		  /* `settled` is to be called */
	bool told_reset_waits;

	struct loop_watch request_watch; /* eventfd: something below was requested */
	int request_fd;
	bool reset_requested;
	char reset_cause[192]; /* why, in words for the log */
	struct {
		uint64_t first_ns, last_ns; /* CLOCK_MONOTONIC */
		unsigned count;
	} resets; /* of the guest, each soon after the one before */

	struct timer halt_timer; /* machine_halted.c */
	uint64_t vcpu_ns;	 /* CPU time of all vCPU threads when it was looked at last */
	bool halted;		 /* every vCPU is in HLT and nothing can end that */

	uint64_t clock; /* the guest's (arch_clock_get) when it was paused */
	bool clock_stopped;

	/* Called with the lock held on every change of `state` or `halted` and after a guest
	 * reset. May be NULL. */
	void (*changed)(struct machine *m, void *opaque);
	/* The same once it is to end, before the vCPUs are stopped: let go what one of them may be
	 * waiting for. May be NULL. */
	void (*ending)(struct machine *m, void *opaque);
	/* machine_settle() said no, and now nothing is under way any more. Loop thread, lock held. */
	void (*settled)(struct machine *m, void *opaque);
	void *changed_opaque;
};

struct machine_params {
	uint64_t memory; /* bytes, multiple of FRAME_SIZE, within the limits above */
	uint32_t nvcpus;
	struct arch_cpu *cpu; /* taken over, also on failure; NULL when the state has it */
	const struct cpu_needs *cpu_needs;   /* to be compared with this host; NULL: nothing is */
	const struct host_needs *host_needs; /* with them; both borrowed */
	struct boot_source boot;	     /* borrowed */
	const struct vcpu_group *group;	     /* borrowed until machine_run() runs; NULL: none */
	struct log log;
};

/* Create VM, memory, irqchip and vCPUs, and compare the needs with this host meanwhile
 * (ERR_INCOMPATIBLE names what it lacks). The memory slots are made here too, so that a resume maps
 * file extents into ranges that KVM already knows (mapping inside a slot costs no slot operation).
 * Returns 0, ERR_USAGE (a parameter is out of its limits), ERR_INCOMPATIBLE, what kvm_open() gives,
 * -ENOMEM, or the errno of a failed call; then the machine is freed. */
int machine_init(struct machine *m, const struct machine_params *params, struct err *err);
/* Safe on a zeroed or half-initialised machine. The lock must not be held. */
void machine_free(struct machine *m);

/* Take ownership. Too many is our bug (assert). */
void machine_add_device(struct machine *m, struct device *dev);
/* The device with this id, or NULL. */
struct device *machine_device(const struct machine *m, const char *id);

/* Load the boot source and set vCPU 0 at its entry. Returns what arch_boot_load() and
 * arch_boot_vcpu() give. */
int machine_boot(struct machine *m, struct err *err);

/* Start the vCPU threads and serve the loop until the machine is over; `paused` leaves it paused at
 * first. Takes the lock itself. Returns 0 however the guest ended (see `end`); what
 * pthread_create(3) gave when it could not be started; what epoll_wait(2) gave. */
int machine_run(struct machine *m, bool paused, struct err *err);

/* Loop thread, lock held. Pausing parks the vCPUs and quiesces the devices; both are no-ops in the
 * state they lead to. A machine that ends on its way into the pause does not become
 * MACHINE_PAUSED, nor one with a request that a device does not finish within two seconds: look at
 * `state`, and ask machine_not_paused() why. */
void machine_pause(struct machine *m);
void machine_unpause(struct machine *m);
/* *err: why it is not MACHINE_PAUSED. Always negative. */
int machine_not_paused(const struct machine *m, struct err *err);

/*
 * Requests that threads of devices have cannot be taken back: before a pause they are waited for. So that
 * nobody waits in machine_pause(), which holds up the loop, ask first:
 *
 *     machine_settle → true → machine_pause
 *                    → false → (settled, or the caller gives up) → machine_pause or machine_unsettle
 *
 * Meanwhile the vCPUs run, and requests that the guest makes wait. Loop thread, lock held; machine_rested():
 * any thread, lock held.
 */
bool machine_settle(struct machine *m);
void machine_unsettle(struct machine *m);
/* Whether nothing is under way; else `what` names the first device that has something. */
bool machine_at_rest(const struct machine *m, char *what, size_t size);
/* A device has nothing under way any more. */
void machine_rested(struct machine *m);
/* Any thread but the loop's, lock held, which is released meanwhile: wait for that for a moment, in a loop.
 * False: the machine is to end, or is broken, and nothing is waited for any more. */
bool machine_await_rest(struct machine *m);

/* Loop thread, lock held, paused: the state of vCPUs and chips was replaced by an earlier one
 * (snapshot/reset.h). What the guest had asked for is void, and the clock goes on from what it is
 * now. */
void machine_replaced(struct machine *m);

/* Any thread, lock held. The loop ends or resets the machine in its next round; the calling vCPU
 * does not enter the guest before that. machine_fail() logs the reason, machine_request_reset() the
 * cause: what the guest did, "vCPU 0: triple fault" say. */
void machine_end(struct machine *m, enum machine_end why);
void machine_fail(struct machine *m, const struct err *why);
void machine_request_reset(struct machine *m, const char *cause);

/*
 * Memory of this machine is lost (a frame of its file is damaged, say). Any thread, no lock needed,
 * waits for nothing but another caller of this: the holder of the machine lock may be waiting for
 * that memory. When it returns, no vCPU executes another instruction of the guest, not even one
 * that is blocked inside KVM_RUN on the very memory; the caller may then release those that wait
 * for it. The loop parks the vCPUs, quiesces the devices and stays there, MACHINE_BROKEN, to be
 * looked at. The first reason stays.
 */
void machine_break(struct machine *m, const struct err *why);
/* Break the machine if a file whose contents are mapped as memory is shorter than that now. True if
 * so. For an error that this would explain. Threads and locks as above. */
bool machine_break_if_truncated(struct machine *m);
/* In a process that was forked from the machine's, where memory is to be read and nothing else: let go of
 * KVM. Memory that turns out to be lost only makes this copy broken. Only thread; cannot fail. */
void machine_copied(struct machine *m);
/* Any thread. True before `state` says so. */
bool machine_is_broken(const struct machine *m);

/* "running", "paused" …; "halted" for a running machine whose guest has halted for good. */
const char *machine_state_name(const struct machine *m);
const char *machine_end_name(enum machine_end end);

#endif
