/*
 * The vCPU threads of a machine: running, and a stop that leaves nothing half done. For machine.c.
 *
 *     vcpus_start → vcpus_unpark → (vcpus_park | vcpus_park_within → vcpus_unpark)* → vcpus_join
 *
 * One thread a vCPU. It runs the guest without the machine lock and takes the lock to serve an
 * exit. vcpus_join() is called without the machine lock, vcpus_stop_now() on any thread. The others
 * are called by the thread that owns the machine, with the lock held. vcpus_park() and
 * vcpus_park_within() release it while they wait (it is a condition wait), so exits in hand can
 * finish; vcpus_start() releases it when it fails.
 *
 * Only vcpus_start() can fail.
 */
#ifndef TORPOR_VMM_MACHINE_VCPUS_H
#define TORPOR_VMM_MACHINE_VCPUS_H

#include "vmm/machine.h"

/* Start the threads, parked, in the group of machine_params, and named vcpu0, vcpu1, …. The signal
 * used to interrupt KVM_RUN is SIGRTMIN; its handler does nothing and is installed once for the
 * process. Returns 0, or -errno of what pthread_create(3), or write(2) for a group, gave, with *err
 * set; then no thread is left. */
int vcpus_start(struct machine *m, struct err *err);
/* End the threads and wait for them. Takes the lock itself; the caller must not hold it. */
void vcpus_join(struct machine *m);
void vcpus_park(struct machine *m);
void vcpus_unpark(struct machine *m);
/* vcpus_park(), but give up waiting after a while: a vCPU may wait for memory. Returns whether all
 * are parked. Either way vcpus_unpark() comes next. */
bool vcpus_park_within(struct machine *m, unsigned milliseconds);
/* The CPU time that all vCPU threads have used so far, in ns. */
uint64_t vcpus_cpu_ns(const struct machine *m);
/*
 * The machine has just been marked as broken: on return no vCPU executes another instruction of the
 * guest, though some may still be in KVM_RUN, waiting for memory. Called by machine_break, any
 * thread, break_lock held.
 *
 * A signal is enough for those that wait: with interrupts off, just before it enters the guest, KVM
 * looks once more whether a signal is pending, and returns to us instead (kvm_vcpu_exit_request()
 * in arch/x86/kvm/x86.c, xfer_to_guest_mode_work_pending() there and on arm64). A vCPU whose fault
 * is resolved after the signal was sent therefore does not enter the guest. A vCPU that is inside
 * the guest leaves it a moment after the signal. membarrier(2) makes that moment pass: it
 * interrupts every processor that runs a thread of ours and waits until all have been interrupted.
 */
void vcpus_stop_now(struct machine *m);

#endif
