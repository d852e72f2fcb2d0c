/* Serving the exits of a vCPU; see vcpu.h. */
#include "vmm/vcpu.h"

#include <errno.h>
#include <stdatomic.h>

void vcpu_set_immediate_exit(struct vcpu *vcpu, uint8_t value)
{
	atomic_store((_Atomic uint8_t *)&vcpu->kvm.run->immediate_exit, value);
}

static void exit_io(const struct bus *pio, struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(pio, run->io.port, data, run->io.size);
		else
			bus_read(pio, run->io.port, data, run->io.size);
	}
}

static enum vcpu_outcome exit_failed(const struct vcpu *vcpu, struct err *err)
{
	const struct kvm_run *run = vcpu->kvm.run;

	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		err_set(err, ERR_FAILED,
			"vCPU %u: the processor refused the guest's state (0x%llx)", vcpu->kvm.id,
			(unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		err_set(err, ERR_FAILED, "vCPU %u: KVM internal error %u%s", vcpu->kvm.id,
			run->internal.suberror,
			run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
				? " (an instruction it cannot emulate)"
				: "");
	else
		err_set(err, ERR_FAILED, "vCPU %u: unexpected KVM exit %u", vcpu->kvm.id,
			run->exit_reason);
	return VCPU_FAILED;
}

enum vcpu_outcome vcpu_serve(struct vcpu *vcpu, int ret, const struct bus *pio,
			     const struct bus *mmio, struct err *err)
{
	struct kvm_run *run = vcpu->kvm.run;

	if (ret == -EINTR || ret == -EAGAIN)
		return VCPU_INTERRUPTED;
	if (ret < 0) {
		err_sys(err, -ret, "vCPU %u: KVM_RUN", vcpu->kvm.id);
		return VCPU_FAILED;
	}
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		exit_io(pio, run);
		return VCPU_SERVED;
	case KVM_EXIT_MMIO:
		if (run->mmio.is_write)
			bus_write(mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
		else
			bus_read(mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
		return VCPU_SERVED;
	case KVM_EXIT_INTR:
		return VCPU_SERVED;
	case KVM_EXIT_SHUTDOWN:
		return VCPU_TRIPLE_FAULT;
	case KVM_EXIT_SYSTEM_EVENT:
		return run->system_event.type == KVM_SYSTEM_EVENT_RESET ? VCPU_RESET
									: VCPU_POWEROFF;
	default:
		return exit_failed(vcpu, err);
	}
}
