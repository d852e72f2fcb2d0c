/* Has a guest halted for good? See arch_halted_for_good() in vmm/arch.h. */
#include <linux/kvm.h>

#include "base/num.h"
#include "vmm/arch.h"

#define RFLAGS_IF (1u << 9)

#define LAPIC_LVT0 0x350u

/* The same bits in an LVT entry and in a redirection entry (SDM vol. 3 §11.5.1; 82093AA §3.2.4). */
#define ENTRY_MASKED	  (1u << 16)
#define ENTRY_DELIVERY(v) ((v) >> 8 & 7u)
#define DELIVERY_SMI	  2u
#define DELIVERY_NMI	  4u
#define DELIVERY_INIT	  5u

/* Does this entry deliver what interrupts that are off do not keep away? */
static bool passes_interrupts_off(uint64_t entry)
{
	unsigned delivery = ENTRY_DELIVERY(entry);

	return !(entry & ENTRY_MASKED) &&
	       (delivery == DELIVERY_SMI || delivery == DELIVERY_NMI || delivery == DELIVERY_INIT);
}

/* Halted with interrupts off and with nothing on its way, or not started. False also when KVM does
 * not tell. */
static bool vcpu_sleeps(struct kvm_vcpu *vcpu)
{
	struct kvm_mp_state mp;
	struct kvm_regs regs;
	struct kvm_vcpu_events events;
	struct kvm_lapic_state lapic;

	if (kvm_vcpu_call(vcpu, KVM_GET_MP_STATE, &mp, NULL) < 0)
		return false;
	if (mp.mp_state == KVM_MP_STATE_UNINITIALIZED || mp.mp_state == KVM_MP_STATE_INIT_RECEIVED)
		return true;
	if (mp.mp_state != KVM_MP_STATE_HALTED ||
	    kvm_vcpu_call(vcpu, KVM_GET_REGS, &regs, NULL) < 0 || (regs.rflags & RFLAGS_IF) ||
	    kvm_vcpu_call(vcpu, KVM_GET_VCPU_EVENTS, &events, NULL) < 0 ||
	    kvm_vcpu_call(vcpu, KVM_GET_LAPIC, &lapic, NULL) < 0)
		return false;
	/* KVM can deliver the timer's ticks through LVT0 as NMIs, and has no other source of a
	 * local NMI here. */
	return !events.exception.injected && !events.exception.pending &&
	       !events.interrupt.injected && !events.nmi.injected && !events.nmi.pending &&
	       !events.smi.pending && !events.smi.latched_init && !events.triple_fault.pending &&
	       !passes_interrupts_off(le_get32((const uint8_t *)lapic.regs + LAPIC_LVT0));
}

bool arch_halted_for_good(struct kvm *kvm, struct kvm_vcpu *const vcpus[], uint32_t nvcpus)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};

	for (uint32_t i = 0; i < nvcpus; i++) {
		if (!vcpu_sleeps(vcpus[i]))
			return false;
	}
	if (kvm_call(kvm, KVM_GET_IRQCHIP, &chip, NULL) < 0)
		return false;
	for (size_t i = 0; i < KVM_IOAPIC_NUM_PINS; i++) {
		if (passes_interrupts_off(chip.chip.ioapic.redirtbl[i].bits))
			return false;
	}
	return true;
}
