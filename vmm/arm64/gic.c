/*
 * The state of a GICv3 or GICv2, read and written through KVM's device (KVM, devices/arm-vgic-v3 and
 * devices/arm-vgic). One list of its registers serves both ways, in the order in which they are written.
 *
 * What a register sets and another clears is written as "clear all, then set": KVM lets userspace set
 * bits by ISENABLER and ISACTIVER, of a GICv2 by ISPENDR, too, and not clear them.
 *
 * A GICv2 has no redistributors: the distributor shows each vCPU its own INTIDs 0 to 31. KVM does not say
 * what the lines are at, which devices and timers say again; what is pending by them is pending once.
 */
#include <errno.h>

#include "base/num.h"
#include "vmm/arm64/gic.h"
#include "vmm/arm64/state.h"

/* Distributor (IHI 0069 §12.9, IHI 0048 §4.3), offsets of INTID 32 on where there is one for each 32. */
#define GICD_CTLR	0x0000u
#define GICD_IIDR	0x0008u
#define GICD_IGROUPR	0x0084u
#define GICD_ISENABLER	0x0104u
#define GICD_ICENABLER	0x0184u
#define GICD_ISPENDR	0x0204u
#define GICD_ICPENDR	0x0284u
#define GICD_ISACTIVER	0x0304u
#define GICD_ICACTIVER	0x0384u
#define GICD_IPRIORITYR 0x0420u
#define GICD_ITARGETSR	0x0820u
#define GICD_ICFGR	0x0c08u
#define GICD_CPENDSGIR	0x0f10u
#define GICD_SPENDSGIR	0x0f20u
#define GICD_IROUTER	0x6100u

/* Those of the INTIDs 0 to 31 of a GICv2 lie before them. */
#define BANKED_BITS(offset)   ((offset)-4)
#define BANKED_CONFIG(offset) ((offset)-8)
#define BANKED_BYTES(offset)  ((offset)-32)
#define SGIS		      0xffffu

/* Redistributor (§12.11): the RD frame, and the SGI frame behind it. */
#define GICR_CTLR	0x00000u
#define GICR_WAKER	0x00014u
#define GICR_PROPBASER	0x00070u
#define GICR_PENDBASER	0x00078u
#define GICR_IGROUPR	0x10080u
#define GICR_ISENABLER	0x10100u
#define GICR_ICENABLER	0x10180u
#define GICR_ISPENDR	0x10200u
#define GICR_ISACTIVER	0x10300u
#define GICR_ICACTIVER	0x10380u
#define GICR_IPRIORITYR 0x10400u
#define GICR_ICFGR	0x10c00u

/* CPU interface of a GICv2 (IHI 0048 §4.4) */
#define GICC_CTLR 0x00u
#define GICC_PMR  0x04u
#define GICC_BPR  0x08u
#define GICC_ABPR 0x1cu
#define GICC_APR  0xd0u

/* CPU interface of a GICv3 (§12.2) */
#define ICC(op1, crn, crm, op2)                                                                    \
	(ARM64_SYS_REG(3, op1, crn, crm, op2) & KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK)
#define ICC_PMR	    ICC(0, 4, 6, 0)
#define ICC_BPR0    ICC(0, 12, 8, 3)
#define ICC_AP0R(n) ICC(0, 12, 8, 4 + (n))
#define ICC_AP1R(n) ICC(0, 12, 9, n)
#define ICC_BPR1    ICC(0, 12, 12, 3)
#define ICC_CTLR    ICC(0, 12, 12, 4)
#define ICC_SRE	    ICC(0, 12, 12, 5)
#define ICC_IGRPEN0 ICC(0, 12, 12, 6)
#define ICC_IGRPEN1 ICC(0, 12, 12, 7)

#define CTLR_PRIBITS(ctlr) (((ctlr) >> 8 & 7u) + 1)
#define CTLR_WRITABLE	   3u /* EOImode, CBPR */

/* A walk through the registers; the first error ends it. */
struct walk {
	const struct kvm *kvm;
	bool set;
	uint64_t cpu; /* as the device's groups name it: by affinity, a GICv2's by number */
	int ret;
	struct err *err;
};

static void attr(struct walk *w, uint32_t group, uint64_t attr, void *value)
{
	const struct kvm_device_attr a = {
		.group = group, .attr = attr, .addr = (uint64_t)(uintptr_t)value};

	if (w->ret < 0)
		return;
	w->ret = w->set ? kvm_chip_call(w->kvm, KVM_SET_DEVICE_ATTR, &a, w->err)
			: kvm_chip_call(w->kvm, KVM_GET_DEVICE_ATTR, &a, w->err);
	if (w->ret < 0)
		err_context(w->err, w->ret, "interrupt controller, register 0x%llx of group %u",
			    (unsigned long long)attr, group);
}

static void dist(struct walk *w, uint32_t offset, uint32_t *value)
{
	attr(w, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, offset, value);
}

static void banked(struct walk *w, uint32_t offset, uint32_t *value)
{
	attr(w, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, w->cpu | offset, value);
}

/* Its registers have 32 bits. */
static void gicc(struct walk *w, uint32_t offset, uint64_t *value)
{
	uint32_t word = (uint32_t)*value;

	attr(w, KVM_DEV_ARM_VGIC_GRP_CPU_REGS, w->cpu | offset, &word);
	*value = word;
}

static void redist(struct walk *w, uint32_t offset, uint32_t *value)
{
	attr(w, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, w->cpu | offset, value);
}

static void icc(struct walk *w, uint64_t reg, uint64_t *value)
{
	attr(w, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, w->cpu | reg, value);
}

static void level(struct walk *w, uint32_t first, uint32_t *value)
{
	attr(w, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO,
	     w->cpu |
		     (uint64_t)VGIC_LEVEL_INFO_LINE_LEVEL
			     << KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT |
		     first,
	     value);
}

/* Registers of 64 bits are two of 32. */
static void halves(struct walk *w, void (*access)(struct walk *, uint32_t, uint32_t *),
		   uint32_t offset, uint64_t *value)
{
	uint32_t half[2] = {(uint32_t)*value, (uint32_t)(*value >> 32)};

	access(w, offset, &half[0]);
	access(w, offset + 4, &half[1]);
	*value = (uint64_t)half[1] << 32 | half[0];
}

static void clear_all(struct walk *w, void (*access)(struct walk *, uint32_t, uint32_t *),
		      uint32_t offset)
{
	uint32_t all = UINT32_MAX;

	if (w->set)
		access(w, offset, &all);
}

static void walk_targets(struct walk *w, struct arm64_vm_state *s)
{
	for (unsigned i = 0; s->gic == 2 && i < ARRAY_SIZE(s->targets); i++)
		dist(w, GICD_ITARGETSR + 4 * i, &s->targets[i]);
	for (unsigned i = 0; s->gic == 3 && i < ARM64_SPIS; i++)
		halves(w, dist, GICD_IROUTER + 8 * i, &s->router[i]);
}

static void walk_dist(struct walk *w, struct arm64_vm_state *s)
{
	/* First: KVM then behaves as the revision that the guest has seen. */
	dist(w, GICD_IIDR, &s->iidr);
	if (w->set && w->ret == -EINVAL)
		w->ret = err_set(w->err, ERR_INCOMPATIBLE,
				 "this KVM's interrupt controller cannot be one of IIDR 0x%x",
				 s->iidr);
	dist(w, GICD_CTLR, &s->ctlr);
	dist(w, GICD_IGROUPR, &s->group);
	walk_targets(w, s);
	for (unsigned i = 0; i < 8; i++)
		dist(w, GICD_IPRIORITYR + 4 * i, &s->priority[i]);
	for (unsigned i = 0; i < 2; i++)
		dist(w, GICD_ICFGR + 4 * i, &s->config[i]);
	if (s->gic == 3)
		level(w, ARM64_FIRST_SPI, &s->level);
	clear_all(w, dist, GICD_ICPENDR);
	dist(w, GICD_ISPENDR, &s->pending);
	clear_all(w, dist, GICD_ICACTIVER);
	dist(w, GICD_ISACTIVER, &s->active);
	clear_all(w, dist, GICD_ICENABLER);
	dist(w, GICD_ISENABLER, &s->enabled);
}

static void walk_redist(struct walk *w, struct arm64_gic_cpu *c)
{
	/* The tables come before CTLR, which enables LPIs: KVM keeps them then. */
	halves(w, redist, GICR_PROPBASER, &c->propbaser);
	halves(w, redist, GICR_PENDBASER, &c->pendbaser);
	redist(w, GICR_CTLR, &c->ctlr);
	redist(w, GICR_WAKER, &c->waker);
	redist(w, GICR_IGROUPR, &c->group);
	for (unsigned i = 0; i < 8; i++)
		redist(w, GICR_IPRIORITYR + 4 * i, &c->priority[i]);
	for (unsigned i = 0; i < 2; i++)
		redist(w, GICR_ICFGR + 4 * i, &c->config[i]);
	level(w, 0, &c->level);
	redist(w, GICR_ISPENDR, &c->pending);
	clear_all(w, redist, GICR_ICACTIVER);
	redist(w, GICR_ISACTIVER, &c->active);
	clear_all(w, redist, GICR_ICENABLER);
	redist(w, GICR_ISENABLER, &c->enabled);
}

static void walk_interface(struct walk *w, struct arm64_gic_cpu *c)
{
	unsigned active;

	icc(w, ICC_SRE, &c->sre);
	icc(w, ICC_CTLR, &c->icc_ctlr);
	icc(w, ICC_IGRPEN0, &c->igrpen0);
	icc(w, ICC_IGRPEN1, &c->igrpen1);
	icc(w, ICC_PMR, &c->pmr);
	icc(w, ICC_BPR0, &c->bpr0);
	icc(w, ICC_BPR1, &c->bpr1);
	/* One of 32 levels of preemption each: as many as there are bits of priority for. */
	active = 1u << (CTLR_PRIBITS(c->icc_ctlr) > 5 ? CTLR_PRIBITS(c->icc_ctlr) - 5 : 0);
	for (unsigned i = 0; i < active && i < 4; i++) {
		icc(w, ICC_AP0R(i), &c->ap0r[i]);
		icc(w, ICC_AP1R(i), &c->ap1r[i]);
	}
}

/* Of an SGI that is pending a GICv2 knows who has sent it. */
static void walk_sgis(struct walk *w, struct arm64_gic_cpu *c)
{
	for (unsigned i = 0; i < ARRAY_SIZE(c->sgi_senders); i++) {
		clear_all(w, banked, GICD_CPENDSGIR + 4 * i);
		banked(w, GICD_SPENDSGIR + 4 * i, &c->sgi_senders[i]);
	}
}

static void walk_banked(struct walk *w, struct arm64_gic_cpu *c)
{
	uint32_t pending;

	banked(w, BANKED_BITS(GICD_IGROUPR), &c->group);
	for (unsigned i = 0; i < 8; i++)
		banked(w, BANKED_BYTES(GICD_IPRIORITYR) + 4 * i, &c->priority[i]);
	for (unsigned i = 0; i < 2; i++)
		banked(w, BANKED_CONFIG(GICD_ICFGR) + 4 * i, &c->config[i]);
	clear_all(w, banked, BANKED_BITS(GICD_ICPENDR));
	pending = c->pending & ~SGIS; /* those come with their senders */
	banked(w, BANKED_BITS(GICD_ISPENDR), &pending);
	if (!w->set)
		c->pending = pending & ~SGIS;
	walk_sgis(w, c);
	clear_all(w, banked, BANKED_BITS(GICD_ICACTIVER));
	banked(w, BANKED_BITS(GICD_ISACTIVER), &c->active);
	clear_all(w, banked, BANKED_BITS(GICD_ICENABLER));
	banked(w, BANKED_BITS(GICD_ISENABLER), &c->enabled);
}

static void walk_gicc(struct walk *w, struct arm64_gic_cpu *c)
{
	gicc(w, GICC_CTLR, &c->icc_ctlr);
	gicc(w, GICC_PMR, &c->pmr);
	gicc(w, GICC_BPR, &c->bpr0);
	gicc(w, GICC_ABPR, &c->bpr1);
	for (unsigned i = 0; i < ARRAY_SIZE(c->ap0r); i++)
		gicc(w, GICC_APR + 4 * i, &c->ap0r[i]);
}

static int walk_all(const struct kvm *kvm, bool set, struct arm64_vm_state *s, struct err *err)
{
	struct walk w = {.kvm = kvm, .set = set, .err = err};

	walk_dist(&w, s);
	for (uint32_t i = 0; i < s->ncpus; i++) {
		if (s->gic == 2) {
			w.cpu = (uint64_t)i << KVM_DEV_ARM_VGIC_CPUID_SHIFT;
			walk_banked(&w, &s->cpu[i]);
			walk_gicc(&w, &s->cpu[i]);
		} else {
			w.cpu = arm64_mpidr(i) << KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT;
			walk_redist(&w, &s->cpu[i]);
			walk_interface(&w, &s->cpu[i]);
		}
	}
	return w.ret < 0 ? w.ret : 0;
}

int arm64_gic_save(const struct kvm *kvm, struct arm64_vm_state *s, struct err *err)
{
	s->gic = kvm->chip_version;
	s->ncpus = kvm->chip_vcpus;
	return walk_all(kvm, false, s, err);
}

int arm64_gic_restore(const struct kvm *kvm, const struct arm64_vm_state *s, struct err *err)
{
	return walk_all(kvm, true, (struct arm64_vm_state *)(uintptr_t)s, err);
}

/* As KVM makes it (vgic_init): SGIs are enabled edges, and all of a GICv3's interrupts are of group 1. */
static void cpu_off(struct arm64_gic_cpu *off, const struct arm64_gic_cpu *now, uint32_t version)
{
	off->waker = now->waker;
	off->sre = now->sre;
	off->config[0] = now->config[0];
	off->enabled = SGIS;
	if (version == 2)
		return;
	off->group = UINT32_MAX;
	/* What it says of itself stays. */
	off->icc_ctlr = now->icc_ctlr & ~(uint64_t)CTLR_WRITABLE;
}

int arm64_gic_reset(const struct kvm *kvm, struct arm64_vm_state *s, struct err *err)
{
	int ret = arm64_gic_save(kvm, s, err);
	struct arm64_vm_state off = {.gic = s->gic, .iidr = s->iidr, .ncpus = s->ncpus};

	if (ret < 0)
		return ret;
	off.group = s->gic == 2 ? 0 : UINT32_MAX;
	for (uint32_t i = 0; i < s->ncpus; i++)
		cpu_off(&off.cpu[i], &s->cpu[i], s->gic);
	*s = off;
	return arm64_gic_restore(kvm, s, err);
}

bool arm64_spi_is_enabled(const struct kvm *kvm, uint32_t spi)
{
	struct walk w = {.kvm = kvm};
	uint32_t enabled = 0;

	dist(&w, GICD_ISENABLER, &enabled);
	return w.ret >= 0 && (enabled >> spi & 1) != 0;
}
