/*
 * vCPU and chip state: through the file's encoding and through a second VM, unchanged. Tests that
 * need /dev/kvm say so and are skipped without it.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/num.h"
#include "vmm/arch.h"
#include "vmm/x86_64/platform.h"
#include "vmm/x86_64/state.h"

#define NVCPUS	  2u
#define MSR_TSC	  0x10u
#define MSR_LSTAR 0xc0000082u
#define SECOND	  1000000000ull

/* A VM with vCPUs that never ran. */
struct vm {
	struct kvm kvm;
	struct kvm_vcpu vcpu[NVCPUS];
	struct kvm_vcpu *all[NVCPUS];
};

/* Its state as it would be in a file. */
struct saved {
	struct x86_vcpu_state vcpu[NVCPUS];
	struct x86_vm_state vm;
};

static void skip_without_kvm(void)
{
	if (access("/dev/kvm", R_OK | W_OK) != 0)
		cr_skip("no usable /dev/kvm");
}

/* Without CPUID: a VM that is to be restored into. */
static void open_bare(struct vm *vm)
{
	struct err err = {0};

	cr_assert(eq(int, kvm_open(&vm->kvm, &err), 0), "%s", err.text);
	cr_assert(eq(int, arch_vm_init(&vm->kvm, &err), 0), "%s", err.text);
	for (uint32_t i = 0; i < NVCPUS; i++) {
		cr_assert(eq(int, kvm_vcpu_open(&vm->kvm, i, &vm->vcpu[i], &err), 0), "%s",
			  err.text);
		vm->all[i] = &vm->vcpu[i];
	}
}

static void open_vm(struct vm *vm)
{
	struct arch_cpu *cpu;
	const char *chosen;
	struct err err = {0};

	open_bare(vm);
	cr_assert(eq(int, arch_cpu_create(&vm->kvm, "", &cpu, &chosen, &err), 0), "%s", err.text);
	for (uint32_t i = 0; i < NVCPUS; i++)
		cr_assert(eq(int, arch_vcpu_init(&vm->kvm, &vm->vcpu[i], cpu, NVCPUS, &err), 0),
			  "%s", err.text);
	arch_cpu_free(cpu);
}

static void close_vm(struct vm *vm)
{
	for (uint32_t i = 0; i < NVCPUS; i++)
		kvm_vcpu_close(&vm->vcpu[i]);
	kvm_close(&vm->kvm);
}

static void save(struct vm *vm, struct saved *s)
{
	struct err err = {0};

	for (uint32_t i = 0; i < NVCPUS; i++)
		cr_assert(eq(int, arch_vcpu_save(&vm->kvm, &vm->vcpu[i], &s->vcpu[i], &err), 0),
			  "%s", err.text);
	cr_assert(eq(int, arch_vm_save(&vm->kvm, NULL, &s->vm, &err), 0), "%s", err.text);
}

static void restore(struct vm *vm, const struct saved *s)
{
	struct err err = {0};

	for (uint32_t i = 0; i < NVCPUS; i++)
		cr_assert(eq(int, arch_vcpu_check(&vm->kvm, &s->vcpu[i], i, &err), 0), "%s",
			  err.text);
	cr_assert(eq(int, arch_vm_check(&vm->kvm, &s->vm, &err), 0), "%s", err.text);
	for (uint32_t i = 0; i < NVCPUS; i++)
		cr_assert(eq(int, arch_vcpu_restore(&vm->kvm, &vm->vcpu[i], &s->vcpu[i], &err), 0),
			  "%s", err.text);
	cr_assert(eq(int, arch_vcpus_sync(vm->all, NVCPUS, &err), 0), "%s", err.text);
	cr_assert(eq(int, arch_vm_restore(&vm->kvm, &s->vm, &err), 0), "%s", err.text);
}

static struct x86_msr *msr(struct x86_vcpu_state *s, uint32_t index)
{
	for (uint32_t i = 0; i < s->nmsrs; i++) {
		if (s->msr[i].index == index)
			return &s->msr[i];
	}
	cr_fatal("MSR 0x%x was not saved", index);
	return NULL;
}

static bool has_avx(const struct x86_vcpu_state *s)
{
	for (uint32_t i = 0; i < s->ncpuid; i++) {
		if (s->cpuid[i].function == LEAF_FEATURES)
			return s->cpuid[i].ecx & 1u << 28;
	}
	return false;
}

/* What ticks by itself cannot be compared. */
static void stop_clocks(struct saved *s)
{
	for (uint32_t i = 0; i < NVCPUS; i++)
		msr(&s->vcpu[i], MSR_TSC)->data = 0;
	s->vm.clock_ns = 0;
}

/* Field by field, so that a difference is told by name. */
static void expect_same(const struct state_table *table, const void *a, const void *b)
{
	struct buf ta = {0}, tb = {0};
	char *la, *lb, *sa = NULL, *sb = NULL;

	state_text(table, a, "", &ta);
	state_text(table, b, "", &tb);
	buf_add_u8(&ta, 0);
	buf_add_u8(&tb, 0);
	la = strtok_r((char *)ta.data, "\n", &sa);
	lb = strtok_r((char *)tb.data, "\n", &sb);
	while (la != NULL && lb != NULL) {
		cr_assert(strcmp(la, lb) == 0, "%s | %s", la, lb);
		la = strtok_r(NULL, "\n", &sa);
		lb = strtok_r(NULL, "\n", &sb);
	}
	cr_assert(la == NULL && lb == NULL);
	cr_assert(eq(int, memcmp(a, b, table->size), 0));
	buf_free(&ta);
	buf_free(&tb);
}

static void expect_same_vm(const struct saved *a, const struct saved *b)
{
	for (uint32_t i = 0; i < NVCPUS; i++)
		expect_same(&arch_vcpu_table, &a->vcpu[i], &b->vcpu[i]);
	expect_same(&arch_vm_table, &a->vm, &b->vm);
}

/* Give every kind of state something that no reset has. */
static void disturb(struct saved *s)
{
	struct x86_vcpu_state *v = &s->vcpu[0];

	v->regs.rax = 0x1122334455667788;
	v->regs.rip = 0x123456;
	v->sregs.cr2 = 0xabcdef;
	v->sregs.ds.base = 0x5000;
	v->debugregs.db[1] = 0x7777;
	v->xsave[32] = 0x3f; /* low byte of ST0 */
	v->xsave[512] |= 1;  /* and its component is in use */
	msr(v, MSR_LSTAR)->data = 0xffffffff81000000;
	msr(v, 0x200)->data = 0x80000006; /* an MTRR */
	le_put32(v->lapic + 0x3e0, 0xb);  /* timer divider: by 1 */
	le_put32(v->lapic + 0xf0, 0x1ff); /* software-enabled, spurious vector 255 */
	v->events.nmi.pending = 1;
	s->vcpu[1].mp_state = KVM_MP_STATE_HALTED;
	s->vm.pic[0].imr = 0xa5;
	s->vm.pic[1].irq_base = 0x28;
	s->vm.ioapic.redirtbl[9] = 0x8931;
	s->vm.pit[2].mode = 3;
	s->vm.pit[2].gate = 1;
}

Test(x86_state, tables_tile_their_structs)
{
	struct err err = {0};

	cr_assert(eq(int, state_check_table(&arch_vcpu_table, &err), 0), "%s", err.text);
	cr_assert(eq(int, state_check_table(&arch_vm_table, &err), 0), "%s", err.text);
}

Test(x86_state, encoding_keeps_every_bit)
{
	struct x86_vcpu_state *in = calloc(1, sizeof(*in)), *out = calloc(1, sizeof(*out));
	struct buf first = {0}, second = {0};
	struct err err = {0};

	in->regs.r15 = 1;
	in->sregs.gs.base = 0xffff888000000000;
	in->events.exception_payload = 3;
	in->nxcrs = 1;
	in->xcr[0] = (struct kvm_xcr){.value = 7};
	in->xsave_len = X86_XSAVE_MAX;
	in->xsave[X86_XSAVE_MAX - 1] = 4;
	in->lapic[KVM_APIC_REG_SIZE - 1] = 5;
	in->nmsrs = X86_MSR_MAX;
	in->msr[X86_MSR_MAX - 1] = (struct x86_msr){.index = 6, .data = 7};
	in->ncpuid = CPUID_MAX;
	in->cpuid[CPUID_MAX - 1].edx = 8;
	state_encode(&arch_vcpu_table, in, &first);
	cr_assert(eq(int, state_decode(&arch_vcpu_table, 1, first.data, first.len, out, &err), 0),
		  "%s", err.text);
	cr_assert(eq(int, memcmp(in, out, sizeof(*in)), 0));
	state_encode(&arch_vcpu_table, out, &second);
	cr_assert(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
	for (size_t len = 0; len < first.len; len += len < 4096 ? 1 : 257)
		cr_assert(state_decode(&arch_vcpu_table, 1, first.data, len, out, &err) < 0);
	buf_free(&first);
	buf_free(&second);
	free(in);
	free(out);
}

Test(x86_state, second_vm_has_the_same_state)
{
	struct saved *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
	struct vm from, to;

	skip_without_kvm();
	open_vm(&from);
	save(&from, a);
	disturb(a);
	open_bare(&to);
	restore(&to, a);
	save(&to, b);
	stop_clocks(a);
	stop_clocks(b);
	expect_same_vm(a, b);
	close_vm(&from);
	close_vm(&to);
	free(a);
	free(b);
}

Test(x86_state, third_generation_too)
{
	struct saved *s[4];
	struct vm vm;

	skip_without_kvm();
	for (size_t i = 0; i < ARRAY_SIZE(s); i++)
		s[i] = calloc(1, sizeof(*s[i]));
	open_vm(&vm);
	save(&vm, s[0]);
	disturb(s[0]);
	for (size_t i = 1; i < ARRAY_SIZE(s); i++) {
		close_vm(&vm);
		open_bare(&vm);
		restore(&vm, s[i - 1]);
		save(&vm, s[i]);
	}
	close_vm(&vm);
	stop_clocks(s[0]);
	stop_clocks(s[3]);
	expect_same_vm(s[0], s[3]);
	for (size_t i = 0; i < ARRAY_SIZE(s); i++)
		free(s[i]);
}

/* The upper halves of the AVX registers lie behind the legacy area (SDM vol. 1 §13.4.3). */
Test(x86_state, avx_registers_survive)
{
	struct saved *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
	struct x86_vcpu_state *v = &a->vcpu[0];
	struct vm vm;

	skip_without_kvm();
	open_vm(&vm);
	save(&vm, a);
	close_vm(&vm);
	if (!has_avx(v))
		cr_skip("this host's baseline has no AVX");
	v->xcr[0].value = 7;
	v->sregs.cr4 |= 1u << 18; /* OSXSAVE */
	le_put64(v->xsave + 512, 7);
	for (unsigned i = 0; i < 256; i++)
		v->xsave[576 + i] = (uint8_t)(i + 1);
	v->xsave[831] = 1;
	v->xsave_len = 832;
	open_bare(&vm);
	restore(&vm, a);
	save(&vm, b);
	cr_assert(eq(u64, b->vcpu[0].xcr[0].value, 7));
	cr_assert(eq(u32, b->vcpu[0].xsave_len, 832));
	cr_assert(eq(int, memcmp(v->xsave + 576, b->vcpu[0].xsave + 576, 256), 0));
	close_vm(&vm);
	free(a);
	free(b);
}

static uint64_t tsc_offset(struct kvm_vcpu *vcpu)
{
	uint64_t offset = 0;
	struct kvm_device_attr attr = {.group = KVM_VCPU_TSC_CTRL,
				       .attr = KVM_VCPU_TSC_OFFSET,
				       .addr = (uint64_t)(uintptr_t)&offset};

	cr_assert(eq(int, ioctl(vcpu->fd, KVM_GET_DEVICE_ATTR, &attr), 0));
	return offset;
}

/* Some KVMs without hardware below them accept an offset and forget it. */
static void skip_without_tsc_offsets(struct vm *vm)
{
	uint64_t offset = 1ull << 50;
	struct kvm_device_attr attr = {.group = KVM_VCPU_TSC_CTRL,
				       .attr = KVM_VCPU_TSC_OFFSET,
				       .addr = (uint64_t)(uintptr_t)&offset};

	if (ioctl(vm->vcpu[0].fd, KVM_SET_DEVICE_ATTR, &attr) != 0 ||
	    tsc_offset(&vm->vcpu[0]) < offset / 2)
		cr_skip("this KVM does not keep a TSC offset");
}

/* The TSC goes on from where it was, on all vCPUs alike. */
Test(x86_state, tsc_goes_on_where_it_stood)
{
	struct saved *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
	uint64_t khz, tsc = 1ull << 50;
	struct vm vm;

	skip_without_kvm();
	open_vm(&vm);
	skip_without_tsc_offsets(&vm);
	save(&vm, a);
	khz = a->vcpu[0].tsc_khz;
	close_vm(&vm);
	/* vCPU 1 was read a second later. */
	msr(&a->vcpu[0], MSR_TSC)->data = tsc;
	msr(&a->vcpu[1], MSR_TSC)->data = tsc + khz * 1000;
	open_bare(&vm);
	restore(&vm, a);
	save(&vm, b);
	for (uint32_t i = 0; i < NVCPUS; i++) {
		uint64_t now = msr(&b->vcpu[i], MSR_TSC)->data;

		cr_assert(now >= tsc && now - tsc < khz * 1000 * 60, "vCPU %u: %llu", i,
			  (unsigned long long)now);
	}
	close_vm(&vm);
	free(a);
	free(b);
}

/* kvmclock stands still while nobody runs, however long that was. */
Test(x86_state, kvmclock_goes_on_where_it_stood)
{
	static const uint64_t stood[] = {SECOND, 77777 * SECOND};
	struct saved *s = calloc(1, sizeof(*s));
	struct vm vm;

	skip_without_kvm();
	open_vm(&vm);
	for (size_t i = 0; i < ARRAY_SIZE(stood); i++) {
		save(&vm, s);
		s->vm.clock_ns = stood[i];
		restore(&vm, s);
		save(&vm, s);
		cr_assert(s->vm.clock_ns >= stood[i]);
		cr_assert(s->vm.clock_ns - stood[i] < 60 * SECOND);
	}
	close_vm(&vm);
	free(s);
}

/* Within a second, that is: where the host's TSC is unstable, KVM moves offsets at every load. */
Test(x86_state, all_vcpus_get_one_tsc_offset)
{
	struct saved *s = calloc(1, sizeof(*s));
	uint64_t second;
	int64_t apart;
	struct vm vm;

	skip_without_kvm();
	open_vm(&vm);
	skip_without_tsc_offsets(&vm);
	save(&vm, s);
	close_vm(&vm);
	second = s->vcpu[0].tsc_khz * 1000ull;
	msr(&s->vcpu[1], MSR_TSC)->data += 1000 * second;
	open_bare(&vm);
	restore(&vm, s);
	apart = (int64_t)(tsc_offset(&vm.vcpu[1]) - tsc_offset(&vm.vcpu[0]));
	cr_assert(llabs(apart) < (int64_t)second, "%lld cycles", (long long)apart);
	close_vm(&vm);
	free(s);
}

Test(x86_state, reset_gives_a_new_machine)
{
	struct saved *fresh = calloc(1, sizeof(*fresh)), *used = calloc(1, sizeof(*used));
	struct err err = {0};
	struct vm vm;

	skip_without_kvm();
	open_vm(&vm);
	save(&vm, fresh);
	*used = *fresh;
	disturb(used);
	restore(&vm, used);
	cr_assert(eq(int, arch_reset(&vm.kvm, vm.all, NVCPUS, &err), 0), "%s", err.text);
	save(&vm, used);
	stop_clocks(fresh);
	stop_clocks(used);
	expect_same_vm(fresh, used);
	close_vm(&vm);
	free(fresh);
	free(used);
}

/* A staged state that cannot be is refused before anything is applied. */
Test(x86_state, checks_refuse_what_cannot_be)
{
	struct saved *s = calloc(1, sizeof(*s)), *bad = calloc(1, sizeof(*bad));
	struct err err = {0};
	struct vm vm;

	skip_without_kvm();
	open_vm(&vm);
	save(&vm, s);

	*bad = *s;
	bad->vcpu[0].mp_state = 99;
	cr_assert(arch_vcpu_check(&vm.kvm, &bad->vcpu[0], 0, &err) < 0);
	cr_assert(strcmp(err.text, "vCPU 0: no such run state 99") == 0);
	*bad = *s;
	bad->vcpu[0].xsave_len = 100;
	cr_assert(arch_vcpu_check(&vm.kvm, &bad->vcpu[0], 0, &err) < 0);
	cr_assert(eq(int, err.kind, ERR_INTEGRITY));
	bad->vcpu[0].xsave_len = X86_XSAVE_MAX;
	cr_assert(arch_vcpu_check(&vm.kvm, &bad->vcpu[0], 0, &err) < 0);
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
	cr_assert(arch_vcpu_check(&vm.kvm, &s->vcpu[1], 0, &err) < 0);
	cr_assert(strcmp(err.text, "vCPU 0: has the APIC id 1") == 0);
	*bad = *s;
	bad->vm.ioapic.base_address = 0x1000;
	cr_assert(arch_vm_check(&vm.kvm, &bad->vm, &err) < 0);
	cr_assert(eq(int, err.kind, ERR_INTEGRITY));
	close_vm(&vm);
	free(s);
	free(bad);
}

/* The xAPIC id register can be written, the x2APIC id cannot. */
Test(x86_state, an_xapic_id_that_the_guest_wrote_is_saved_and_restored, .init = skip_without_kvm)
{
	struct x86_vcpu_state *s = calloc(1, sizeof(*s));
	struct kvm_lapic_state lapic;
	struct err err = {0};
	struct vm vm, to;

	open_vm(&vm);
	cr_assert(kvm_vcpu_call(&vm.vcpu[0], KVM_GET_LAPIC, &lapic, &err) >= 0, "%s", err.text);
	le_put32((uint8_t *)lapic.regs + 0x20, 0x55u << 24);
	cr_assert(kvm_vcpu_call(&vm.vcpu[0], KVM_SET_LAPIC, &lapic, &err) >= 0, "%s", err.text);
	cr_assert(eq(int, arch_vcpu_save(&vm.kvm, &vm.vcpu[0], s, &err), 0), "%s", err.text);
	cr_assert(eq(u32, le_get32(s->lapic + 0x20), 0x55u << 24));
	cr_assert(eq(int, arch_vcpu_check(&vm.kvm, s, 0, &err), 0), "%s", err.text);

	open_vm(&to);
	cr_assert(eq(int, arch_vcpu_restore(&to.kvm, &to.vcpu[0], s, &err), 0), "%s", err.text);
	cr_assert(kvm_vcpu_call(&to.vcpu[0], KVM_GET_LAPIC, &lapic, &err) >= 0, "%s", err.text);
	cr_assert(eq(u32, le_get32((uint8_t *)lapic.regs + 0x20), 0x55u << 24));

	s->sregs.apic_base |= 1u << 10;
	cr_assert(arch_vcpu_check(&vm.kvm, s, 0, &err) < 0);
	cr_assert(eq(str, err.text, (char *)"vCPU 0: has the x2APIC id 85"));
	close_vm(&vm);
	close_vm(&to);
	free(s);
}

/* What only KVM can judge fails the restore, by name. */
Test(x86_state, a_register_that_kvm_refuses_is_named)
{
	struct x86_vcpu_state *s = calloc(1, sizeof(*s));
	struct err err = {0};
	struct vm vm;

	skip_without_kvm();
	open_vm(&vm);
	cr_assert(eq(int, arch_vcpu_save(&vm.kvm, &vm.vcpu[0], s, &err), 0), "%s", err.text);
	s->msr[s->nmsrs++] = (struct x86_msr){.index = 0xdeadbee0};
	cr_assert(eq(int, arch_vcpu_restore(&vm.kvm, &vm.vcpu[0], s, &err), 0), "%s", err.text);
	s->msr[s->nmsrs - 1].data = 1;
	cr_assert(arch_vcpu_restore(&vm.kvm, &vm.vcpu[0], s, &err) < 0);
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
	cr_assert(strcmp(err.text, "this host's KVM refuses MSR 0xdeadbee0 = 0x1") == 0);
	close_vm(&vm);
	free(s);
}

/* Run vCPU 0 in 32-bit protected mode through a far jump into a code segment with these flags,
 * until it writes to a port. */
static void jump_to_segment(struct vm *vm, uint8_t *memory, uint8_t flags)
{
	/* ljmp 8:0x1007 · out 0xf4, al */
	static const uint8_t code[] = {0xea, 0x07, 0x10, 0x00, 0x00, 0x08, 0x00, 0xe6, 0xf4};
	const uint8_t segment[] = {0xff, 0xff, 0, 0, 0, 0x9b, (uint8_t)(flags << 4 | 0xf), 0};
	const struct kvm_segment flat = {.limit = 0xffffffff,
					 .selector = 0x10,
					 .type = 3,
					 .present = 1,
					 .db = 1,
					 .s = 1,
					 .g = 1};
	struct kvm_regs regs = {.rip = 0x1000, .rflags = 2};
	struct kvm_sregs sregs;
	struct err err = {0};

	memcpy(memory + 0x1000, code, sizeof(code));
	memcpy(memory + 0x508, segment, sizeof(segment));
	cr_assert(eq(int, kvm_set_memory(&vm->kvm, 0, 0, 0x10000, memory, 0, &err), 0), "%s",
		  err.text);
	cr_assert(kvm_vcpu_call(&vm->vcpu[0], KVM_GET_SREGS, &sregs, &err) >= 0, "%s", err.text);
	sregs.cs = sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
	sregs.cs.type = 0xb;
	sregs.cr0 = 0x11;
	sregs.gdt = (struct kvm_dtable){.base = 0x500, .limit = 15};
	cr_assert(kvm_vcpu_call(&vm->vcpu[0], KVM_SET_SREGS, &sregs, &err) >= 0, "%s", err.text);
	cr_assert(kvm_vcpu_call(&vm->vcpu[0], KVM_SET_REGS, &regs, &err) >= 0, "%s", err.text);
	cr_assert(eq(int, kvm_vcpu_run(&vm->vcpu[0]), 0));
	cr_assert(eq(u32, vm->vcpu[0].run->exit_reason, KVM_EXIT_IO));
	vm->vcpu[0].run->immediate_exit = 1;
	cr_assert(eq(int, kvm_vcpu_run(&vm->vcpu[0]), -EINTR));
}

/* Outside long mode the L bit of a code segment means nothing, but KVM refuses it in a state. */
Test(x86_state, a_long_mode_segment_outside_of_long_mode_is_restored, .init = skip_without_kvm)
{
	struct x86_vcpu_state *s = calloc(1, sizeof(*s));
	uint8_t *memory = aligned_alloc(4096, 0x10000);
	struct err err = {0};
	struct vm vm, to;

	memset(memory, 0, 0x10000);
	open_vm(&vm);
	jump_to_segment(&vm, memory, 0xe); /* G, D and L */
	cr_assert(eq(int, arch_vcpu_save(&vm.kvm, &vm.vcpu[0], s, &err), 0), "%s", err.text);
	cr_assert(eq(int, arch_vcpu_check(&vm.kvm, s, 0, &err), 0), "%s", err.text);
	cr_assert(eq(int, s->sregs.cs.selector, 8));
	cr_assert(eq(int, s->sregs.cs.db, 1));
	open_vm(&to);
	cr_assert(eq(int, arch_vcpu_restore(&to.kvm, &to.vcpu[0], s, &err), 0), "%s", err.text);
	close_vm(&vm);
	close_vm(&to);
	free(memory);
	free(s);
}

static void put_mp_state(struct vm *vm, unsigned i, uint32_t state)
{
	struct kvm_mp_state mp = {.mp_state = state};

	cr_assert(kvm_vcpu_call(&vm->vcpu[i], KVM_SET_MP_STATE, &mp, NULL) >= 0);
}

static void put_rflags(struct vm *vm, unsigned i, uint64_t rflags)
{
	struct kvm_regs regs = {.rip = 0x1000, .rflags = rflags};

	cr_assert(kvm_vcpu_call(&vm->vcpu[i], KVM_SET_REGS, &regs, NULL) >= 0);
}

static void put_lvt0(struct vm *vm, unsigned i, uint32_t entry)
{
	struct kvm_lapic_state lapic;

	cr_assert(kvm_vcpu_call(&vm->vcpu[i], KVM_GET_LAPIC, &lapic, NULL) >= 0);
	le_put32((uint8_t *)lapic.regs + 0xf0, 0x1ff); /* enabled by software: else all is masked */
	le_put32((uint8_t *)lapic.regs + 0x350, entry);
	cr_assert(kvm_vcpu_call(&vm->vcpu[i], KVM_SET_LAPIC, &lapic, NULL) >= 0);
}

static void put_redirection(struct vm *vm, unsigned pin, uint64_t entry)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};

	cr_assert(kvm_call(&vm->kvm, KVM_GET_IRQCHIP, &chip, NULL) >= 0);
	chip.chip.ioapic.redirtbl[pin].bits = entry;
	cr_assert(kvm_call(&vm->kvm, KVM_SET_IRQCHIP, &chip, NULL) >= 0);
}

static void pend_nmi(struct vm *vm, unsigned i, bool pending)
{
	struct kvm_vcpu_events events;

	cr_assert(kvm_vcpu_call(&vm->vcpu[i], KVM_GET_VCPU_EVENTS, &events, NULL) >= 0);
	events.nmi.pending = pending;
	events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
	cr_assert(kvm_vcpu_call(&vm->vcpu[i], KVM_SET_VCPU_EVENTS, &events, NULL) >= 0);
}

/* Nothing that can still wake a vCPU is overlooked. */
Test(x86_state, a_guest_has_halted_for_good_when_nothing_can_wake_it, .init = skip_without_kvm)
{
	struct vm vm;

	open_vm(&vm);
	for (unsigned i = 0; i < NVCPUS; i++) {
		put_rflags(&vm, i, 2);
		put_mp_state(&vm, i, KVM_MP_STATE_HALTED);
	}
	cr_assert(arch_halted_for_good(&vm.kvm, vm.all, NVCPUS));

	put_mp_state(&vm, 1, KVM_MP_STATE_UNINITIALIZED);
	cr_expect(arch_halted_for_good(&vm.kvm, vm.all, NVCPUS), "a processor never started");
	put_mp_state(&vm, 1, KVM_MP_STATE_RUNNABLE);
	cr_expect_not(arch_halted_for_good(&vm.kvm, vm.all, NVCPUS), "one runs");
	put_mp_state(&vm, 1, KVM_MP_STATE_HALTED);

	put_rflags(&vm, 0, 2 | 1u << 9);
	cr_expect_not(arch_halted_for_good(&vm.kvm, vm.all, NVCPUS), "interrupts are on");
	put_rflags(&vm, 0, 2);
	pend_nmi(&vm, 0, true);
	cr_expect_not(arch_halted_for_good(&vm.kvm, vm.all, NVCPUS), "an NMI is on its way");
	pend_nmi(&vm, 0, false);

	put_lvt0(&vm, 0, 4u << 8);
	cr_expect_not(arch_halted_for_good(&vm.kvm, vm.all, NVCPUS), "the timer's ticks are NMIs");
	put_lvt0(&vm, 0, 4u << 8 | 1u << 16);
	cr_expect(arch_halted_for_good(&vm.kvm, vm.all, NVCPUS), "they are masked");
	put_redirection(&vm, 5, 4u << 8 | 0x30);
	cr_expect_not(arch_halted_for_good(&vm.kvm, vm.all, NVCPUS), "a line delivers NMIs");
	put_redirection(&vm, 5, 0x30);
	cr_expect(arch_halted_for_good(&vm.kvm, vm.all, NVCPUS), "a line delivers interrupts");
	close_vm(&vm);
}

/* For the log after a triple fault. */
Test(x86_state, a_vcpu_says_where_it_stands, .init = skip_without_kvm)
{
	char where[] = " at 10:1234, rsp 5678, cr0 60000010, cr2 9abc, cr3 0, cr4 0";
	struct kvm_regs regs = {.rip = 0x1234, .rsp = 0x5678, .rflags = 2};
	struct kvm_sregs sregs;
	char text[160];
	struct vm vm;

	open_vm(&vm);
	arch_vcpu_describe(&vm.vcpu[0], text, sizeof(text));
	cr_expect(eq(str, text, (char *)""), "in reset state there is nothing to say");

	cr_assert(eq(int, kvm_vcpu_call(&vm.vcpu[0], KVM_SET_REGS, &regs, NULL), 0));
	cr_assert(eq(int, kvm_vcpu_call(&vm.vcpu[0], KVM_GET_SREGS, &sregs, NULL), 0));
	sregs.cs.selector = 0x10;
	sregs.cs.base = 0x100;
	sregs.cr2 = 0x9abc;
	cr_assert(eq(int, kvm_vcpu_call(&vm.vcpu[0], KVM_SET_SREGS, &sregs, NULL), 0));
	arch_vcpu_describe(&vm.vcpu[0], text, sizeof(text));
	cr_expect(eq(str, text, where));
	close_vm(&vm);
}
