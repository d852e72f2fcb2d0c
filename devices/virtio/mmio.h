/*
 * virtio over MMIO, register layout version 2 (virtio 1.2 §4.2.2).
 *
 * A machine has ARCH_VIRTIO_SLOTS slots; each is a page of registers and an edge interrupt line
 * (arch_virtio_slot). Registers are accessed by exits, on vCPU threads, with the machine lock held.
 */
#ifndef TORPOR_DEVICES_VIRTIO_MMIO_H
#define TORPOR_DEVICES_VIRTIO_MMIO_H

#include "devices/virtio/virtio.h"
#include "vmm/irq.h"

/* Give the device this transport, plugged into the machine's slot. Returns 0, -ENOMEM, or what
 * eventfd(2) or KVM_IRQFD gave; then the device has no transport. */
int virtio_mmio_plug(struct virtio_device *v, unsigned slot, struct err *err);

/* The same without a VM, for tests and for other ways to deliver interrupts: registers at `base` of
 * v->m's MMIO bus, and `irq` is pulsed. Returns 0 and takes `irq` over, or -ENOMEM; then the device
 * has no transport and `irq` stays the caller's. */
int virtio_mmio_attach(struct virtio_device *v, uint64_t base, const struct irq *irq,
		       struct err *err);

extern const struct state_table virtio_mmio_table;

#endif
