/*
 * Saving and restoring vCPUs, chips and the clock.
 *
 * A vCPU is what KVM lists: MP_STATE, its registers, pending errors. What is not a vCPU's but the VM's is
 * restored once: the virtual counter, which KVM shows as a register of each vCPU.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "vmm/arm64/state.h"

#define SERROR_PENDING 1u
#define SERROR_HAS_ESR 2u
#define REGISTERS_MAX  (ARM64_REGS_MAX + ARM64_VREGS_MAX + ARM64_WIDE_MAX)

static bool is_counter(uint64_t id)
{
	return id == KVM_REG_ARM_TIMER_CNT || id == KVM_REG_ARM_PTIMER_CNT;
}

/* The names of all registers, as KVM lists them: `n` of them, to be freed. */
static int list_registers(struct kvm_vcpu *vcpu, struct kvm_reg_list **list, struct err *err)
{
	struct kvm_reg_list count = {.n = 0};
	int ret = kvm_vcpu_call(vcpu, KVM_GET_REG_LIST, &count, err);

	if (ret != -E2BIG)
		return ret < 0 ? ret : err_set(err, ERR_FAILED, "KVM lists no registers");
	if (count.n > REGISTERS_MAX)
		return err_set(err, ERR_FAILED, "this KVM has %llu registers, a state holds %u",
			       (unsigned long long)count.n, REGISTERS_MAX);
	*list = calloc(1, sizeof(**list) + count.n * sizeof((*list)->reg[0]));
	if (*list == NULL)
		return err_sys(err, ENOMEM, "list the registers");
	(*list)->n = count.n;
	ret = kvm_vcpu_call(vcpu, KVM_GET_REG_LIST, *list, err);
	return ret < 0 ? ret : 0;
}

static int save_register(struct kvm_vcpu *vcpu, uint64_t id, struct arm64_vcpu_state *s,
			 struct err *err)
{
	const size_t size = KVM_REG_SIZE(id);

	if (is_counter(id))
		return 0;
	if (size <= sizeof(uint64_t)) {
		if (s->nregs == ARM64_REGS_MAX)
			return err_set(err, ERR_FAILED, "this KVM has more than %u registers",
				       ARM64_REGS_MAX);
		s->reg[s->nregs] = (struct arm64_reg){.id = id};
		return arm64_get_reg(vcpu, id, &s->reg[s->nregs++].value, err);
	}
	if (size == sizeof(s->vreg[0].value) && s->nvregs < ARM64_VREGS_MAX) {
		s->vreg[s->nvregs] = (struct arm64_vreg){.id = id};
		return arm64_get_reg(vcpu, id, s->vreg[s->nvregs++].value, err);
	}
	if (size > sizeof(s->vreg[0].value) && size <= sizeof(s->wide[0].value) &&
	    s->nwide < ARM64_WIDE_MAX) {
		s->wide[s->nwide] = (struct arm64_wide_reg){.id = id};
		return arm64_get_reg(vcpu, id, s->wide[s->nwide++].value, err);
	}
	return err_set(err, ERR_FAILED, "register 0x%llx: a state has no room for it",
		       (unsigned long long)id);
}

static int save_registers(struct kvm_vcpu *vcpu, struct arm64_vcpu_state *s, struct err *err)
{
	cleanup_free struct kvm_reg_list *list = NULL;
	int ret = list_registers(vcpu, &list, err);

	if (ret < 0)
		return ret;
	for (uint64_t i = 0; i < list->n; i++) {
		ret = save_register(vcpu, list->reg[i], s, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int arch_vcpu_save(const struct kvm *kvm, struct kvm_vcpu *vcpu, void *state, struct err *err)
{
	struct arm64_vcpu_state *s = state;
	struct kvm_vcpu_events events = {0};
	struct kvm_mp_state mp = {0};
	int ret;

	memset(s, 0, sizeof(*s));
	s->features = kvm->vcpu_features;
	ret = kvm_vcpu_call(vcpu, KVM_GET_MP_STATE, &mp, err);
	if (ret < 0)
		return ret;
	s->mp_state = mp.mp_state;
	ret = kvm_vcpu_call(vcpu, KVM_GET_VCPU_EVENTS, &events, err);
	if (ret < 0)
		return ret;
	s->serror = (events.exception.serror_pending ? SERROR_PENDING : 0) |
		    (events.exception.serror_has_esr ? SERROR_HAS_ESR : 0);
	s->serror_esr = events.exception.serror_esr;
	return save_registers(vcpu, s, err);
}

static bool register_ok(uint64_t id, size_t least, size_t most)
{
	const size_t size = KVM_REG_SIZE(id);

	return (id & KVM_REG_ARCH_MASK) == KVM_REG_ARM64 && size >= least && size <= most &&
	       !is_counter(id);
}

#define FEATURES                                                                                   \
	(1u << KVM_ARM_VCPU_PSCI_0_2 | 1u << KVM_ARM_VCPU_PMU_V3 |                                 \
	 1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1u << KVM_ARM_VCPU_PTRAUTH_GENERIC |                 \
	 1u << KVM_ARM_VCPU_SVE)

int arch_vcpu_check(const struct kvm *kvm, const void *state, uint32_t id, struct err *err)
{
	const struct arm64_vcpu_state *s = state;

	(void)kvm;
	if (s->mp_state != KVM_MP_STATE_RUNNABLE && s->mp_state != KVM_MP_STATE_STOPPED)
		return err_set(err, ERR_INTEGRITY, "vCPU %u: its power state is malformed", id);
	if ((s->features & ~FEATURES) != 0 || !(s->features & 1u << KVM_ARM_VCPU_PSCI_0_2))
		return err_set(err, ERR_INTEGRITY, "vCPU %u: its features are malformed", id);
	if ((s->serror & ~(SERROR_PENDING | SERROR_HAS_ESR)) != 0)
		return err_set(err, ERR_INTEGRITY, "vCPU %u: its pending error is malformed", id);
	for (uint32_t i = 0; i < s->nregs; i++) {
		if (!register_ok(s->reg[i].id, 1, sizeof(uint64_t)))
			return err_set(err, ERR_INTEGRITY, "vCPU %u: register 0x%llx is malformed",
				       id, (unsigned long long)s->reg[i].id);
	}
	for (uint32_t i = 0; i < s->nvregs; i++) {
		if (!register_ok(s->vreg[i].id, 16, 16))
			return err_set(err, ERR_INTEGRITY, "vCPU %u: register 0x%llx is malformed",
				       id, (unsigned long long)s->vreg[i].id);
	}
	for (uint32_t i = 0; i < s->nwide; i++) {
		if (!register_ok(s->wide[i].id, 32, sizeof(s->wide[0].value)))
			return err_set(err, ERR_INTEGRITY, "vCPU %u: register 0x%llx is malformed",
				       id, (unsigned long long)s->wide[i].id);
	}
	return 0;
}

/* Some say what the CPU is, and KVM takes back only what it has; others are fixed once a vCPU has run.
 * What is as it should be already needs no writing. */
static int restore_register(struct kvm_vcpu *vcpu, uint64_t id, const void *value, struct err *err)
{
	uint64_t now[ARRAY_SIZE(((struct arm64_wide_reg *)0)->value)] = {0};

	if (arm64_set_reg(vcpu, id, value, err) >= 0)
		return 0;
	if (arm64_get_reg(vcpu, id, now, NULL) >= 0 && memcmp(now, value, KVM_REG_SIZE(id)) == 0)
		return 0;
	return err_set(err, ERR_INCOMPATIBLE,
		       "vCPU %u: this KVM refuses the value of register 0x%llx", vcpu->id,
		       (unsigned long long)id);
}

/* The vector lengths come before what depends on them, and are fixed by arm64_sve_init(). */
static int restore_vector_lengths(struct kvm_vcpu *vcpu, const struct arm64_vcpu_state *s,
				  struct err *err)
{
	int ret = 0;

	for (uint32_t i = 0; ret >= 0 && i < s->nwide; i++) {
		if (s->wide[i].id == KVM_REG_ARM64_SVE_VLS)
			ret = restore_register(vcpu, s->wide[i].id, s->wide[i].value, err);
	}
	return ret < 0 ? ret : arm64_sve_init(vcpu, s->features, err);
}

static int restore_registers(struct kvm_vcpu *vcpu, const struct arm64_vcpu_state *s,
			     struct err *err)
{
	int ret = 0;

	for (uint32_t i = 0; ret >= 0 && i < s->nregs; i++)
		ret = restore_register(vcpu, s->reg[i].id, &s->reg[i].value, err);
	for (uint32_t i = 0; ret >= 0 && i < s->nvregs; i++)
		ret = restore_register(vcpu, s->vreg[i].id, s->vreg[i].value, err);
	for (uint32_t i = 0; ret >= 0 && i < s->nwide; i++)
		ret = restore_register(vcpu, s->wide[i].id, s->wide[i].value, err);
	return ret;
}

/* As it was made, with what KVM knows of it before its registers. */
static int restore_features(struct kvm *kvm, struct kvm_vcpu *vcpu,
			    const struct arm64_vcpu_state *s, struct err *err)
{
	int ret = arm64_vcpu_power_on(kvm, vcpu, s->features, err);

	if (ret < 0)
		return ret;
	ret = arm64_pmu_init(vcpu, s->features, err);
	return ret < 0 ? ret : restore_vector_lengths(vcpu, s, err);
}

int arch_vcpu_restore(struct kvm *kvm, struct kvm_vcpu *vcpu, const void *state, struct err *err)
{
	const struct arm64_vcpu_state *s = state;
	struct kvm_mp_state mp = {.mp_state = s->mp_state};
	struct kvm_vcpu_events events = {0};
	int ret = restore_features(kvm, vcpu, s, err);

	if (ret < 0)
		return ret;
	ret = restore_registers(vcpu, s, err);
	if (ret < 0)
		return ret;
	if ((s->serror & SERROR_PENDING) != 0) {
		events.exception.serror_pending = 1;
		events.exception.serror_has_esr = (s->serror & SERROR_HAS_ESR) != 0;
		events.exception.serror_esr = s->serror_esr;
		ret = kvm_vcpu_call(vcpu, KVM_SET_VCPU_EVENTS, &events, err);
		if (ret < 0)
			return ret;
	}
	ret = kvm_vcpu_call(vcpu, KVM_SET_MP_STATE, &mp, err);
	return ret < 0 ? ret : 0;
}

int arch_vcpu_rewind(struct kvm *kvm, struct kvm_vcpu *vcpu, const void *state, struct err *err)
{
	return arch_vcpu_restore(kvm, vcpu, state, err);
}

int arch_vcpus_sync(struct kvm_vcpu *const vcpus[], uint32_t nvcpus, struct err *err)
{
	(void)vcpus, (void)nvcpus, (void)err;
	return 0; /* one counter is the VM's */
}

static int counter(const struct kvm *kvm, bool set, uint64_t *value, struct err *err)
{
	struct kvm_vcpu boot = {.fd = kvm->boot_vcpu_fd};

	return set ? arm64_set_reg(&boot, KVM_REG_ARM_TIMER_CNT, value, err)
		   : arm64_get_reg(&boot, KVM_REG_ARM_TIMER_CNT, value, err);
}

int arch_vm_save(struct kvm *kvm, const uint64_t *clock, void *state, struct err *err)
{
	struct arm64_vm_state *s = state;
	int ret;

	memset(s, 0, sizeof(*s));
	if (clock != NULL) {
		s->counter = *clock;
	} else {
		ret = counter(kvm, false, &s->counter, err);
		if (ret < 0)
			return ret;
	}
	return arm64_gic_save(kvm, s, err);
}

int arch_vm_check(const struct kvm *kvm, const void *state, struct err *err)
{
	const struct arm64_vm_state *s = state;

	if (s->gic != kvm->chip_version)
		return err_set(err, ERR_INCOMPATIBLE,
			       "it has a GICv%u, and machines of this host a GICv%u", s->gic,
			       kvm->chip_version);
	if (s->ncpus != kvm->chip_vcpus)
		return err_set(err, ERR_INTEGRITY, "its interrupt controller is one of %u vCPUs",
			       s->ncpus);
	return 0;
}

int arch_vm_restore(struct kvm *kvm, const void *state, struct err *err)
{
	const struct arm64_vm_state *s = state;
	uint64_t value = s->counter;
	int ret = arm64_gic_restore(kvm, s, err);

	return ret < 0 ? ret : counter(kvm, true, &value, err);
}

/* In ticks. */
int arch_clock_get(struct kvm *kvm, uint64_t *clock, struct err *err)
{
	return counter(kvm, false, clock, err);
}

int arch_clock_set(struct kvm *kvm, uint64_t clock, struct err *err)
{
	return counter(kvm, true, &clock, err);
}

void arch_vcpu_clock_stopped(struct kvm_vcpu *vcpu)
{
	(void)vcpu;
}

int arch_reset(struct kvm *kvm, struct kvm_vcpu *const vcpus[], uint32_t nvcpus, struct err *err)
{
	cleanup_free struct arm64_vm_state *s = calloc(1, sizeof(*s));
	int ret;

	if (s == NULL)
		return err_sys(err, ENOMEM, "allocate the chip's state");
	for (uint32_t i = 0; i < nvcpus; i++) {
		ret = arm64_vcpu_power_on(kvm, vcpus[i], kvm->vcpu_features, err);
		if (ret < 0)
			return ret;
	}
	return arm64_gic_reset(kvm, s, err);
}
