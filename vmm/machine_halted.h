/*
 * Noticing a guest that has halted for good: every vCPU waits in HLT with interrupts off (arm64:
 * is switched off), and nothing that this machine has can wake one. For machine.c.
 *
 * KVM emulates HLT, so no exit tells. A timer looks, every few seconds, at the CPU time of the vCPU
 * threads. When none has used any since the last look, the vCPUs are stopped for a moment and their
 * state is read. A guest that does anything in that time, a timer tick say, pays nothing.
 */
#ifndef TORPOR_VMM_MACHINE_HALTED_H
#define TORPOR_VMM_MACHINE_HALTED_H

#include "vmm/machine.h"

/* The machine runs from now on: look now and then, and set m->halted. Loop thread, lock held.
 * Without memory or descriptors for a timer nothing is noticed. */
void halted_watch(struct machine *m);

#endif
