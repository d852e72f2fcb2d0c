/* The state tables of a vCPU and of the chips: what is in the file, under which tag. */
#include "vmm/x86_64/state.h"

#define REG(m, tag)	 STATE_SCALAR(struct kvm_regs, m, tag, 1, STATE_HEX)
#define SEG(m, tag)	 STATE_SCALAR(struct kvm_segment, m, tag, 1, STATE_HEX)
#define SREG(m, tag)	 STATE_SCALAR(struct kvm_sregs, m, tag, 1, STATE_HEX)
#define SREG_SEG(m, tag) STATE_STRUCT(struct kvm_sregs, m, tag, 1, &segment_table)
#define SREG_DT(m, tag)	 STATE_STRUCT(struct kvm_sregs, m, tag, 1, &dtable_table)
#define EVENT(m, tag)	 STATE_SCALAR(struct kvm_vcpu_events, m, tag, 1, 0)
#define CPUID(m, tag)	 STATE_SCALAR(struct kvm_cpuid_entry2, m, tag, 1, STATE_HEX)
#define VCPU(m, tag)	 STATE_SCALAR(struct x86_vcpu_state, m, tag, 1, 0)
#define PIT(m, tag)	 STATE_SCALAR(struct kvm_pit_channel_state, m, tag, 1, 0)
#define PIC(m, tag)	 STATE_SCALAR(struct kvm_pic_state, m, tag, 1, 0)

static const struct state_field regs_fields[] = {
	REG(rax, 1),  REG(rbx, 2),  REG(rcx, 3),  REG(rdx, 4),	REG(rsi, 5),  REG(rdi, 6),
	REG(rsp, 7),  REG(rbp, 8),  REG(r8, 9),	  REG(r9, 10),	REG(r10, 11), REG(r11, 12),
	REG(r12, 13), REG(r13, 14), REG(r14, 15), REG(r15, 16), REG(rip, 17), REG(rflags, 18),
};
static const struct state_table regs_table = STATE_TABLE("regs", 1, struct kvm_regs, regs_fields);

static const struct state_field segment_fields[] = {
	SEG(base, 1),
	SEG(limit, 2),
	SEG(selector, 3),
	SEG(type, 4),
	SEG(present, 5),
	SEG(dpl, 6),
	SEG(db, 7),
	SEG(s, 8),
	SEG(l, 9),
	SEG(g, 10),
	SEG(avl, 11),
	SEG(unusable, 12),
	STATE_PAD(struct kvm_segment, padding),
};
static const struct state_table segment_table =
	STATE_TABLE("segment", 1, struct kvm_segment, segment_fields);

static const struct state_field dtable_fields[] = {
	STATE_SCALAR(struct kvm_dtable, base, 1, 1, STATE_HEX),
	STATE_SCALAR(struct kvm_dtable, limit, 2, 1, STATE_HEX),
	STATE_PAD(struct kvm_dtable, padding),
};
static const struct state_table dtable_table =
	STATE_TABLE("dtable", 1, struct kvm_dtable, dtable_fields);

static const struct state_field sregs_fields[] = {
	SREG_SEG(cs, 1),     SREG_SEG(ds, 2),
	SREG_SEG(es, 3),     SREG_SEG(fs, 4),
	SREG_SEG(gs, 5),     SREG_SEG(ss, 6),
	SREG_SEG(tr, 7),     SREG_SEG(ldt, 8),
	SREG_DT(gdt, 9),     SREG_DT(idt, 10),
	SREG(cr0, 11),	     SREG(cr2, 12),
	SREG(cr3, 13),	     SREG(cr4, 14),
	SREG(cr8, 15),	     SREG(efer, 16),
	SREG(apic_base, 17), STATE_ARRAY(struct kvm_sregs, interrupt_bitmap, 18, 1, STATE_HEX),
};
static const struct state_table sregs_table =
	STATE_TABLE("sregs", 1, struct kvm_sregs, sregs_fields);

static const struct state_field debugregs_fields[] = {
	STATE_ARRAY(struct kvm_debugregs, db, 1, 1, STATE_HEX),
	STATE_SCALAR(struct kvm_debugregs, dr6, 2, 1, STATE_HEX),
	STATE_SCALAR(struct kvm_debugregs, dr7, 3, 1, STATE_HEX),
	STATE_SCALAR(struct kvm_debugregs, flags, 4, 1, STATE_HEX),
	STATE_PAD(struct kvm_debugregs, reserved),
};
static const struct state_table debugregs_table =
	STATE_TABLE("debugregs", 1, struct kvm_debugregs, debugregs_fields);

static const struct state_field events_fields[] = {
	EVENT(exception.injected, 1),
	EVENT(exception.nr, 2),
	EVENT(exception.has_error_code, 3),
	EVENT(exception.pending, 4),
	EVENT(exception.error_code, 5),
	EVENT(interrupt.injected, 6),
	EVENT(interrupt.nr, 7),
	EVENT(interrupt.soft, 8),
	EVENT(interrupt.shadow, 9),
	EVENT(nmi.injected, 10),
	EVENT(nmi.pending, 11),
	EVENT(nmi.masked, 12),
	STATE_PAD(struct kvm_vcpu_events, nmi.pad),
	EVENT(sipi_vector, 13),
	EVENT(flags, 14),
	EVENT(smi.smm, 15),
	EVENT(smi.pending, 16),
	EVENT(smi.smm_inside_nmi, 17),
	EVENT(smi.latched_init, 18),
	EVENT(triple_fault.pending, 19),
	STATE_PAD(struct kvm_vcpu_events, reserved),
	EVENT(exception_has_payload, 20),
	EVENT(exception_payload, 21),
};
static const struct state_table events_table =
	STATE_TABLE("events", 1, struct kvm_vcpu_events, events_fields);

static const struct state_field xcr_fields[] = {
	STATE_SCALAR(struct kvm_xcr, xcr, 1, 1, 0),
	STATE_PAD(struct kvm_xcr, reserved),
	STATE_SCALAR(struct kvm_xcr, value, 2, 1, STATE_HEX),
};
static const struct state_table xcr_table = STATE_TABLE("xcr", 1, struct kvm_xcr, xcr_fields);

static const struct state_field msr_fields[] = {
	STATE_SCALAR(struct x86_msr, index, 1, 1, STATE_HEX),
	STATE_PAD(struct x86_msr, padding),
	STATE_SCALAR(struct x86_msr, data, 2, 1, STATE_HEX),
};
static const struct state_table msr_table = STATE_TABLE("msr", 1, struct x86_msr, msr_fields);

static const struct state_field cpuid_fields[] = {
	CPUID(function, 1), CPUID(index, 2),
	CPUID(flags, 3),    CPUID(eax, 4),
	CPUID(ebx, 5),	    CPUID(ecx, 6),
	CPUID(edx, 7),	    STATE_PAD(struct kvm_cpuid_entry2, padding),
};
static const struct state_table cpuid_table =
	STATE_TABLE("cpuid", 1, struct kvm_cpuid_entry2, cpuid_fields);

static const struct state_field vcpu_fields[] = {
	VCPU(mp_state, 1),
	VCPU(tsc_khz, 2),
	STATE_STRUCT(struct x86_vcpu_state, regs, 3, 1, &regs_table),
	STATE_STRUCT(struct x86_vcpu_state, sregs, 4, 1, &sregs_table),
	STATE_STRUCT(struct x86_vcpu_state, debugregs, 5, 1, &debugregs_table),
	STATE_STRUCT(struct x86_vcpu_state, events, 6, 1, &events_table),
	VCPU(nxcrs, 7),
	VCPU(xsave_len, 8),
	STATE_VSTRUCT(struct x86_vcpu_state, xcr, nxcrs, 9, 1, &xcr_table),
	STATE_VARRAY(struct x86_vcpu_state, xsave, xsave_len, 10, 1, 0),
	STATE_ARRAY(struct x86_vcpu_state, lapic, 11, 1, 0),
	VCPU(nmsrs, 12),
	VCPU(ncpuid, 13),
	STATE_VSTRUCT(struct x86_vcpu_state, msr, nmsrs, 14, 1, &msr_table),
	STATE_VSTRUCT(struct x86_vcpu_state, cpuid, ncpuid, 15, 1, &cpuid_table),
};
const struct state_table arch_vcpu_table =
	STATE_TABLE("x86-vcpu", 1, struct x86_vcpu_state, vcpu_fields);

static const struct state_field pit_fields[] = {
	PIT(count, 1),
	PIT(latched_count, 2),
	PIT(count_latched, 3),
	PIT(status_latched, 4),
	PIT(status, 5),
	PIT(read_state, 6),
	PIT(write_state, 7),
	PIT(write_latch, 8),
	PIT(rw_mode, 9),
	PIT(mode, 10),
	PIT(bcd, 11),
	PIT(gate, 12),
	PIT(count_load_time, 13),
};
static const struct state_table pit_table =
	STATE_TABLE("pit", 1, struct kvm_pit_channel_state, pit_fields);

static const struct state_field pic_fields[] = {
	PIC(last_irr, 1),
	PIC(irr, 2),
	PIC(imr, 3),
	PIC(isr, 4),
	PIC(priority_add, 5),
	PIC(irq_base, 6),
	PIC(read_reg_select, 7),
	PIC(poll, 8),
	PIC(special_mask, 9),
	PIC(init_state, 10),
	PIC(auto_eoi, 11),
	PIC(rotate_on_auto_eoi, 12),
	PIC(special_fully_nested_mode, 13),
	PIC(init4, 14),
	PIC(elcr, 15),
	PIC(elcr_mask, 16),
};
static const struct state_table pic_table = STATE_TABLE("pic", 1, struct kvm_pic_state, pic_fields);

static const struct state_field ioapic_fields[] = {
	STATE_SCALAR(struct x86_ioapic, base_address, 1, 1, STATE_HEX),
	STATE_SCALAR(struct x86_ioapic, ioregsel, 2, 1, STATE_HEX),
	STATE_SCALAR(struct x86_ioapic, id, 3, 1, 0),
	STATE_SCALAR(struct x86_ioapic, irr, 4, 1, STATE_HEX),
	STATE_PAD(struct x86_ioapic, padding),
	STATE_ARRAY(struct x86_ioapic, redirtbl, 5, 1, STATE_HEX),
};
static const struct state_table ioapic_table =
	STATE_TABLE("ioapic", 1, struct x86_ioapic, ioapic_fields);

static const struct state_field vm_fields[] = {
	STATE_SCALAR(struct x86_vm_state, clock_ns, 1, 1, 0),
	STATE_STRUCT(struct x86_vm_state, pit, 2, 1, &pit_table),
	STATE_SCALAR(struct x86_vm_state, pit_flags, 3, 1, STATE_HEX),
	STATE_PAD(struct x86_vm_state, padding),
	STATE_STRUCT(struct x86_vm_state, pic, 4, 1, &pic_table),
	STATE_STRUCT(struct x86_vm_state, ioapic, 5, 1, &ioapic_table),
};
const struct state_table arch_vm_table = STATE_TABLE("x86-vm", 1, struct x86_vm_state, vm_fields);
