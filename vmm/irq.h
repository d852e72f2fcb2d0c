/*
 * Interrupt lines into the in-kernel chips.
 *
 *     irq_init_edge → irq_pulse … → irq_free
 *     irq_init_level → irq_level … → irq_free
 *
 * An edge line is an eventfd bound to a GSI (KVM_IRQFD, KVM API §4.75): irq_pulse() is one
 * write(2), and a worker of the kernel brings it to the chips soon. A machine that is taken back to
 * an earlier state must not find such an edge in it: with kvm.exact_edges an edge is two
 * KVM_IRQ_LINE instead (§4.25). A level line (the ACPI SCI, arm64's power key) always goes through KVM_IRQ_LINE.
 * The chips come first (arch_vm_init).
 *
 * irq_pulse() and irq_level(): any thread. The others: the thread that owns the machine.
 */
#ifndef TORPOR_VMM_IRQ_H
#define TORPOR_VMM_IRQ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct kvm;

struct irq {
	struct kvm *kvm;
	int fd; /* eventfd of an edge line, owned; -1 for a level line */
	uint32_t gsi;
};

/* Returns 0, or the errno of eventfd(2) or of KVM_IRQFD, named in *err; then nothing is open. */
int irq_init_edge(struct irq *irq, struct kvm *kvm, uint32_t gsi, struct err *err);

/* None of these can fail. A pulse that the eventfd's counter has no room for is pending already.
 * `gsi` is a line that the chips have. irq_free() may be called again. */
void irq_init_level(struct irq *irq, struct kvm *kvm, uint32_t gsi);
void irq_free(struct irq *irq);
void irq_pulse(const struct irq *irq);
void irq_level(const struct irq *irq, bool high);

#endif
