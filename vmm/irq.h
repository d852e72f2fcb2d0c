/*
 * Interrupt lines into the in-kernel chips.
 *
 * Edge lines are an eventfd bound to a GSI (KVM_IRQFD, KVM API §4.75): irq_pulse() is one write(2)
 * from any thread. Level lines (only the ACPI SCI) go through KVM_IRQ_LINE (§4.25).
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

/* Returns 0, or what eventfd(2) or KVM_IRQFD gave. */
int irq_init_edge(struct irq *irq, struct kvm *kvm, uint32_t gsi, struct err *err);
void irq_init_level(struct irq *irq, struct kvm *kvm, uint32_t gsi);
void irq_free(struct irq *irq);

void irq_pulse(const struct irq *irq);
void irq_level(const struct irq *irq, bool high);

#endif
