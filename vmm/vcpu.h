/*
 * vCPU threads: running, and a stop that leaves nothing half done.
 *
 * One thread a vCPU. It runs the guest without the machine lock and takes the lock to handle an
 * exit. Parking a vCPU is: set kvm_run.immediate_exit, signal the thread, and let it do **one more
 * KVM_RUN with immediate_exit set**, which completes a port or MMIO access whose result the kernel
 * has not taken over yet (KVM API §5, "immediate_exit"); only then is its register state complete.
 *
 * Except for vcpus_stop_now these are called by the loop thread with the machine lock held;
 * vcpus_park releases it while it waits (it is a condition wait), so exits in hand can finish.
 */
#ifndef TORPOR_VMM_VCPU_H
#define TORPOR_VMM_VCPU_H

#include <pthread.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/log.h"
#include "vmm/kvm.h"

struct machine;

enum vcpu_state {
	VCPU_CREATED, /* no thread yet; registers may be set by anyone */
	VCPU_RUNNING, /* in, or on its way into, the guest */
	VCPU_PARKED,  /* waiting; nothing pending; registers may be read and set by anyone */
};

struct vcpu {
	struct kvm_vcpu kvm;
	struct machine *machine;
	pthread_t thread;
	enum vcpu_state state; /* machine lock */
	bool has_thread;       /* the machine's break_lock */
	struct log_limit said; /* its thread */
};

/* Start the threads, parked. The signal used to interrupt KVM_RUN is SIGRTMIN; its handler does
 * nothing and is installed once for the process. On error no thread is left. */
int vcpus_start(struct machine *m, struct err *err);
/* End the threads and wait for them. Takes no lock; the caller must not hold it. */
void vcpus_join(struct machine *m);
void vcpus_park(struct machine *m);
void vcpus_unpark(struct machine *m);
/*
 * The machine has just been marked as broken: on return no vCPU executes another instruction of the
 * guest, though some may still be in KVM_RUN, waiting for memory. Called by machine_break, any
 * thread, break_lock held.
 *
 * A signal is enough for those that wait: with interrupts off, just before it enters the guest, KVM
 * looks once more whether a signal is pending, and returns to us instead (kvm_vcpu_exit_request()
 * in arch/x86/kvm/x86.c, xfer_to_guest_mode_work_pending() there and on arm64). A fault resolved
 * after the signal was sent is resolved for nobody. A vCPU that is inside the guest leaves it a
 * moment after the signal; membarrier(2) makes that moment pass, for it interrupts every processor
 * that runs a thread of ours and waits until all have been.
 */
void vcpus_stop_now(struct machine *m);

#endif
