/* What these tests want of an architecture: tests/kvm/ARCH/arch_guest.c. Everything fails the running test
 * with a message. */
#ifndef TORPOR_TESTS_KVM_ARCH_GUEST_H
#define TORPOR_TESTS_KVM_ARCH_GUEST_H

#include "vmm/machine.h"

/* Of the memory, from its start on: where the kernel is, and what only the VMM writes at a boot. */
extern const uint64_t arch_kernel_offset, arch_tables_offset;
/* A command of the tiny kernel that starts it anew, by other means than `reset` where there are some. */
extern const char arch_restart_command[];

/* The clock in the state of chips. */
uint64_t arch_state_clock(const void *vm_state);

/* Hands `add` the state of vCPUs and chips, part by part, without what runs on by itself. The machine is
 * paused. */
void arch_read_state(struct machine *m,
		     void (*add)(void *opaque, const char *name, const void *bytes, size_t len),
		     void *opaque);

/* Change every chip and register that KVM lets us set, timers that are about to fire among them; what no
 * guest of ours does. The machine is paused. */
void arch_scribble(struct machine *m, unsigned seed);

/* The counter that the guest of a paused machine sees. */
uint64_t arch_guest_ticks(struct machine *m);
/* False, after printing SKIP with the reason, when KVM shows the guest the host's instead. */
bool arch_can_set_ticks(struct machine *m);

/* vCPU 0 is to read a byte at `absent` and then write 0x1234 to the 16 bits at `mark`; vCPU 1 counts in the
 * 16 bits at `counter`. Offsets into memory, below 64 KiB but `absent`; the machine has not run. */
void arch_start_two(struct machine *m, uint32_t absent, uint32_t mark, uint32_t counter);

#endif
