/* Saving and restoring what the vCPUs share: timer, clock and interrupt chips (KVM
 * API 4.27–4.33, 4.71). */
#include <string.h>

#include "base/num.h"
#include "vmm/x86_64/platform.h"
#include "vmm/x86_64/state.h"

static int save_chips(struct kvm *kvm, struct x86_vm_state *s, struct err *err)
{
	struct kvm_irqchip chip = {0};
	const struct kvm_ioapic_state *io = &chip.chip.ioapic;
	int ret;

	for (uint32_t i = 0; i < 2; i++) {
		chip.chip_id = i == 0 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
		ret = kvm_call(kvm, KVM_GET_IRQCHIP, &chip, err);
		if (ret < 0)
			return ret;
		s->pic[i] = chip.chip.pic;
	}
	chip.chip_id = KVM_IRQCHIP_IOAPIC;
	ret = kvm_call(kvm, KVM_GET_IRQCHIP, &chip, err);
	if (ret < 0)
		return ret;
	s->ioapic = (struct x86_ioapic){
		.base_address = io->base_address,
		.ioregsel = io->ioregsel,
		.id = io->id,
		.irr = io->irr,
	};
	for (size_t i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		s->ioapic.redirtbl[i] = io->redirtbl[i].bits;
	return 0;
}

int arch_vm_save(struct kvm *kvm, const uint64_t *clock_ns, void *state, struct err *err)
{
	struct x86_vm_state *s = state;
	struct kvm_pit_state2 pit = {0};
	int ret;

	memset(s, 0, sizeof(*s));
	ret = kvm_call(kvm, KVM_GET_PIT2, &pit, err);
	if (ret < 0)
		return ret;
	memcpy(s->pit, pit.channels, sizeof(s->pit));
	for (size_t i = 0; i < ARRAY_SIZE(s->pit); i++)
		s->pit[i].count_load_time = 0; /* the host's clock; KVM starts the count anew */
	s->pit_flags = pit.flags;
	if (clock_ns != NULL)
		s->clock_ns = *clock_ns;
	else
		ret = arch_clock_get(kvm, &s->clock_ns, err);
	return ret < 0 ? ret : save_chips(kvm, s, err);
}

int arch_vm_check(const struct kvm *kvm, const void *state, struct err *err)
{
	const struct x86_vm_state *s = state;

	(void)kvm;
	if (s->ioapic.base_address != X86_IOAPIC_ADDR)
		return err_set(err, ERR_INTEGRITY, "the I/O APIC lies at 0x%llx",
			       (unsigned long long)s->ioapic.base_address);
	return 0;
}

static int restore_chips(struct kvm *kvm, const struct x86_vm_state *s, struct err *err)
{
	struct kvm_irqchip chip = {0};
	struct kvm_ioapic_state *io = &chip.chip.ioapic;
	int ret;

	/* The slave first: what it has to say becomes a request of the master, each time one of the
	 * two is set. */
	for (uint32_t i = 2; i-- > 0;) {
		chip.chip_id = i == 0 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
		chip.chip.pic = s->pic[i];
		ret = kvm_call(kvm, KVM_SET_IRQCHIP, &chip, err);
		if (ret < 0)
			return ret;
	}
	chip = (struct kvm_irqchip){.chip_id = KVM_IRQCHIP_IOAPIC};
	io->base_address = s->ioapic.base_address;
	io->ioregsel = s->ioapic.ioregsel;
	io->id = s->ioapic.id;
	io->irr = s->ioapic.irr;
	for (size_t i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		io->redirtbl[i].bits = s->ioapic.redirtbl[i];
	ret = kvm_call(kvm, KVM_SET_IRQCHIP, &chip, err);
	return ret < 0 ? ret : 0;
}

/* The chips come last: setting the PIT or the clock may raise lines. */
int arch_vm_restore(struct kvm *kvm, const void *state, struct err *err)
{
	const struct x86_vm_state *s = state;
	struct kvm_pit_state2 pit = {.flags = s->pit_flags};
	int ret;

	memcpy(pit.channels, s->pit, sizeof(s->pit));
	ret = kvm_call(kvm, KVM_SET_PIT2, &pit, err);
	if (ret < 0)
		return ret;
	ret = arch_clock_set(kvm, s->clock_ns, err);
	return ret < 0 ? ret : restore_chips(kvm, s, err);
}
