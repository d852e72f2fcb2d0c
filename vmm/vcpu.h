/*
 * One vCPU, and the service of its exits.
 *
 * Parking a vCPU is: set kvm_run.immediate_exit, signal its thread, and let it go on **with
 * immediate_exit set** until KVM_RUN returns -EINTR. That completes a port or MMIO access whose
 * result the kernel has not taken over yet (KVM API §5, "immediate_exit"); only then is its
 * register state complete. The threads that do so: vmm/machine_vcpus.h.
 */
#ifndef TORPOR_VMM_VCPU_H
#define TORPOR_VMM_VCPU_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/bus.h"
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
};

/* What came of a step, for the machine to act on. */
enum vcpu_outcome {
	VCPU_SERVED,	   /* the kernel takes over the answer on the way back in */
	VCPU_INTERRUPTED,  /* by a signal or immediate_exit: nothing is pending in the kernel */
	VCPU_TRIPLE_FAULT, /* how a PC resets when nothing else works */
	VCPU_RESET,	   /* KVM_SYSTEM_EVENT_RESET */
	VCPU_POWEROFF,	   /* any other system event */
	VCPU_FAILED,	   /* the vCPU cannot go on; the error says why */
};

/* Serve the exit after kvm_vcpu_run() returned `ret`: port and MMIO accesses go to the devices on
 * the buses. The vCPU's own thread, machine lock held. *err is set for VCPU_FAILED alone, to
 * ERR_FAILED: the errno of KVM_RUN, the processor's reason for refusing the guest's state, KVM's
 * internal error, or an exit that is not known. */
enum vcpu_outcome vcpu_serve(struct vcpu *vcpu, int ret, const struct bus *pio,
			     const struct bus *mmio, struct err *err);

/* Have KVM_RUN return at once from now on (1), or not (0). Any thread. Sequentially consistent.
 * Cannot fail. */
void vcpu_set_immediate_exit(struct vcpu *vcpu, uint8_t value);

#endif
