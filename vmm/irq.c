/* Interrupt lines; see irq.h. Pulses may come from any thread. */
#include "vmm/irq.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/kvm.h"

int irq_init_edge(struct irq *irq, struct kvm *kvm, uint32_t gsi, struct err *err)
{
	int ret;

	*irq = (struct irq){.kvm = kvm, .gsi = gsi, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	if (irq->fd < 0)
		return err_sys(err, errno, "eventfd for interrupt line %u", gsi);
	ret = kvm_irqfd(kvm, irq->fd, gsi, true, err);
	if (ret < 0)
		irq_free(irq);
	return ret;
}

void irq_init_level(struct irq *irq, struct kvm *kvm, uint32_t gsi)
{
	*irq = (struct irq){.kvm = kvm, .gsi = gsi, .fd = -1};
}

void irq_free(struct irq *irq)
{
	if (irq->fd >= 0)
		close(irq->fd);
	irq->fd = -1;
}

void irq_pulse(const struct irq *irq)
{
	if (irq->kvm->exact_edges) {
		kvm_irq_line(irq->kvm, irq->gsi, true);
		kvm_irq_line(irq->kvm, irq->gsi, false);
		return;
	}
	/* Only a counter at its maximum makes this fail, and then the line is pending anyway. */
	(void)eventfd_write(irq->fd, 1);
}

void irq_level(const struct irq *irq, bool high)
{
	kvm_irq_line(irq->kvm, irq->gsi, high);
}
