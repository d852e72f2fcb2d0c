/* Processors and power by PSCI (ARM DEN 0022), the clock, and interrupts of the GICv3 (IHI 0069), which are
 * asked for and never taken: PSTATE.I stays set. */
#include "images/tiny/tiny.h"

#define PSCI_CPU_OFF	  0x84000002u
#define PSCI_CPU_ON	  0xc4000003u
#define PSCI_SYSTEM_OFF	  0x84000008u
#define PSCI_SYSTEM_RESET 0x84000009u

enum { GICD_CTLR = 0, GICD_CTLR_ENABLE_GRP1 = 2 };
enum { GICR_WAKER = 0x14, GICR_WAKER_SLEEP = 2, GICR_WAKER_ASLEEP = 4 };
enum { GICR_IGROUPR0 = 0x10080, GICR_ISENABLER0 = 0x10100 };
enum { TIMER_INTID = 16 + ARM64_TIMER_VIRT_PPI, NO_INTID = 1020, INTID_MASK = 0xffffff };
enum { CNTV_ENABLE = 1 };

void ap_entry(void);
_Noreturn void arch_exception(uint64_t esr, uint64_t elr, uint64_t far);

/* Linux's calling convention for KVM: the hypervisor answers (hvc). */
static int64_t psci(uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = a;
	register uint64_t x2 __asm__("x2") = b;
	register uint64_t x3 __asm__("x3") = c;

	__asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : "memory");
	return (int64_t)x0;
}

static _Noreturn void stop(void)
{
	for (;;)
		;
}

void arch_exception(uint64_t esr, uint64_t elr, uint64_t far)
{
	say("error exception %x at %x for %x", esr, elr, far);
	stop();
}

/* One after the other, until there is none of that number. */
void cmd_smp(const char *args)
{
	struct spin wait = {0};
	uint32_t n = 0;

	(void)args;
	if (!ap_count) {
		while (n < AP_MAX &&
		       psci(PSCI_CPU_ON, arm64_mpidr(n + 1), (uint64_t)ap_entry, n + 1) == 0)
			n++;
		while (ap_count < n && spin(&wait))
			;
	}
	say("smp %u", (uint64_t)ap_count);
}

void cmd_poweroff(const char *args)
{
	(void)args;
	say("poweroff");
	psci(PSCI_SYSTEM_OFF, 0, 0, 0);
	stop();
}

void cmd_reset(const char *args)
{
	(void)args;
	say("reset");
	psci(PSCI_SYSTEM_RESET, 0, 0, 0);
	stop();
}

/* Nobody is left who could wake it. */
void cmd_halt(const char *args)
{
	(void)args;
	say("halt");
	psci(PSCI_CPU_OFF, 0, 0, 0);
	stop();
}

/* A PL031's data register (ARM DDI 0224). */
static void cmd_rtc(const char *args)
{
	(void)args;
	say("rtc %u", (uint64_t)mmio_read(ARM64_RTC_ADDR));
}

/* The virtual timer's interrupt, let through to the CPU interface. */
static void enable_timer(void)
{
	const uint64_t redist = ARM64_GIC_REDIST_ADDR;
	struct spin wait = {0};

	WRITE_SYSREG(S3_0_C12_C12_5, READ_SYSREG(S3_0_C12_C12_5) | 1); /* ICC_SRE_EL1.SRE */
	isb();
	mmio_write(ARM64_GIC_DIST_ADDR + GICD_CTLR, GICD_CTLR_ENABLE_GRP1);
	mmio_write(redist + GICR_WAKER,
		   mmio_read(redist + GICR_WAKER) & ~(uint32_t)GICR_WAKER_SLEEP);
	while (mmio_read(redist + GICR_WAKER) & GICR_WAKER_ASLEEP && spin(&wait))
		;
	mmio_write(redist + GICR_IGROUPR0, 1u << TIMER_INTID);
	mmio_write(redist + GICR_ISENABLER0, 1u << TIMER_INTID);
	WRITE_SYSREG(S3_0_C4_C6_0, 0xff); /* ICC_PMR_EL1: any priority */
	WRITE_SYSREG(S3_0_C12_C12_7, 1);  /* ICC_IGRPEN1_EL1 */
	isb();
}

/* "MS": fires then. */
static void cmd_timer(const char *args)
{
	uint64_t ms;

	if (!args_get(args, 1, &ms))
		return;
	enable_timer();
	WRITE_SYSREG(cntv_cval_el0, ticks() + READ_SYSREG(cntfrq_el0) * ms / 1000);
	WRITE_SYSREG(cntv_ctl_el0, CNTV_ENABLE);
	isb();
	say("timer ok");
}

/* The pending interrupt, which is taken: acknowledged, its timer switched off, and ended. */
static void cmd_irq(const char *args)
{
	uint64_t intid = READ_SYSREG(S3_0_C12_C12_0) & INTID_MASK; /* ICC_IAR1_EL1 */

	(void)args;
	barrier();
	if (intid >= NO_INTID) {
		say("irq none");
		return;
	}
	if (intid == TIMER_INTID)
		WRITE_SYSREG(cntv_ctl_el0, 0);
	isb();
	WRITE_SYSREG(S3_0_C12_C12_1, intid); /* ICC_EOIR1_EL1 */
	isb();
	say("irq %u", intid);
}

/* Accesses nothing that is there. */
static void cmd_fault(const char *args)
{
	(void)args;
	(void)*(volatile uint64_t *)(1ull << 45);
}

const struct command arch_commands[] = {
	{"fault", cmd_fault}, {"irq", cmd_irq}, {"rtc", cmd_rtc},
	{"timer", cmd_timer}, {NULL, NULL},
};
