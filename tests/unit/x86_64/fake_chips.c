/* The lines of a PC's chips; see fake_board.h. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <unistd.h>

#include "tests/await.h"
#include "tests/unit/fake_board.h"

static struct kvm_irqchip chip_of(struct fake_board *b, uint32_t id)
{
	struct kvm_irqchip chip = {.chip_id = id};
	struct err err;

	cr_assert(ge(int, kvm_call(&b->m.kvm, KVM_GET_IRQCHIP, &chip, &err), 0), "%s", err.text);
	return chip;
}

/* The 8259 keeps an edge as a request until it is acknowledged, which nobody does here. */
static bool take_request(struct fake_board *b, unsigned irq)
{
	struct kvm_irqchip chip =
		chip_of(b, irq < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE);
	uint8_t bit = (uint8_t)(1u << irq % 8);
	struct err err;

	if (!(chip.chip.pic.irr & bit))
		return false;
	chip.chip.pic.irr &= (uint8_t)~bit;
	cr_assert(ge(int, kvm_call(&b->m.kvm, KVM_SET_IRQCHIP, &chip, &err), 0), "%s", err.text);
	return true;
}

bool fake_edge(struct fake_board *b, unsigned irq, bool expected)
{
	for (unsigned ms = 0; ms < (expected ? AWAIT_S * 1000 : 5); ms++) {
		if (take_request(b, irq))
			return true;
		usleep(1000);
	}
	return false;
}

bool fake_level(struct fake_board *b, unsigned gsi)
{
	return chip_of(b, KVM_IRQCHIP_IOAPIC).chip.ioapic.irr >> gsi & 1;
}
