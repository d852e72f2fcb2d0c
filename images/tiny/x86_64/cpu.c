/* Processor, clock and power: CMOS, CPUID, MSRs, other processors, ways to end. */
#include "images/tiny/tiny.h"

enum { CMOS_INDEX = 0x70, CMOS_DATA = 0x71, CMOS_A_UIP = 0x80, CMOS_B_BINARY = 0x04 };
enum { PM1A_CNT = 0x604, DEBUG_EXIT = 0xf4, I8042_COMMAND = 0x64, I8042_RESET = 0xfe };
enum { SLP_TYP_S5 = 5 << 10, SLP_EN = 1 << 13 };
enum { MSR_APIC_BASE = 0x1b, APIC_X2 = 1 << 10, APIC_ON = 1 << 11 };
enum { ICR_LOW = 0x300 };
/* Interrupt commands to all but ourselves (Intel SDM 3A §11.6.1). */
#define ICR_INIT 0xc4500u
#define ICR_SIPI (0xc4600u | AP_PAGE >> 12)

extern char ap_start16[], ap_start16_end[], msr_fault[];
int msr_read(uint32_t msr, uint64_t *value);

static uint8_t cmos_read(uint8_t reg)
{
	outb(CMOS_INDEX, reg);
	return inb(CMOS_DATA);
}

static void cmd_cmos(const char *args)
{
	static const uint8_t regs[] = {9, 8, 7, 4, 2, 0};
	unsigned v[6];
	bool binary = cmos_read(0x0b) & CMOS_B_BINARY;
	int patience = 10000; /* an update takes 2 ms */

	(void)args;
	while (cmos_read(0x0a) & CMOS_A_UIP && --patience)
		;
	if (!patience) {
		say("error cmos"); /* a missing clock reads as ones */
		return;
	}
	for (unsigned i = 0; i < 6; i++) {
		unsigned raw = cmos_read(regs[i]);

		v[i] = binary ? raw / 10 << 4 | raw % 10 : raw; /* print as BCD */
	}
	say("cmos 20%b-%b-%b %b:%b:%b", v[0], v[1], v[2], v[3], v[4], v[5]);
}

static void cmd_cpuid(const char *args)
{
	uint64_t v[2];
	uint32_t a, b, c, d;

	if (!args_get(args, 2, v))
		return;
	a = (uint32_t)v[0];
	c = (uint32_t)v[1];
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	say("cpuid %x %x %x %x", (uint64_t)a, (uint64_t)b, (uint64_t)c, (uint64_t)d);
}

/* An interrupt table with nothing but #GP in it, for msr_read(). */
static void catch_gp(void)
{
	static uint64_t idt[14 * 2];
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} idtr = {sizeof(idt) - 1, (uint64_t)idt};
	uint64_t handler = (uint64_t)msr_fault;

	idt[26] = (handler & 0xffff) | SEL_CODE64 << 16 | 0x8e00ull << 32 |
		  (handler >> 16 & 0xffff) << 48;
	idt[27] = handler >> 32;
	__asm__ volatile("lidt %0" : : "m"(idtr));
}

static void cmd_msr(const char *args)
{
	uint64_t v;
	uint64_t value;

	if (!args_get(args, 1, &v))
		return;
	catch_gp();
	if (msr_read((uint32_t)v, &value))
		say("error gp");
	else
		say("msr %x", value);
}

static void apic_command(uint64_t apic_base, uint32_t command)
{
	mmio_write((apic_base & ~0xfffull) + ICR_LOW, command);
}

/* Starts all the others at once; nobody told us how many there are, so wait a little. */
void cmd_smp(const char *args)
{
	const uint64_t patience = 1000000000;
	uint64_t base, start;

	(void)args;
	if (msr_read(MSR_APIC_BASE, &base) || (base & (APIC_ON | APIC_X2)) != APIC_ON) {
		say("error apic");
		return;
	}
	if (!ap_count) {
		__builtin_memcpy((void *)AP_PAGE, ap_start16,
				 (size_t)(ap_start16_end - ap_start16));
		apic_command(base, ICR_INIT);
		for (start = ticks(); ticks() - start < patience / 50;)
			;
		apic_command(base, ICR_SIPI);
		for (start = ticks(); ticks() - start < patience;)
			;
	}
	say("smp %u", (uint64_t)ap_count);
}

static _Noreturn void stop(void)
{
	for (;;)
		;
}

void cmd_poweroff(const char *args)
{
	(void)args;
	say("poweroff");
	outw(PM1A_CNT, SLP_TYP_S5 | SLP_EN);
	outb(DEBUG_EXIT, 0);
	stop();
}

void cmd_reset(const char *args)
{
	(void)args;
	say("reset");
	outb(I8042_COMMAND, I8042_RESET);
	stop();
}

/* A fault without an interrupt table. */
static void cmd_triple(const char *args)
{
	static const uint8_t no_table[10];

	(void)args;
	say("triple");
	__asm__ volatile("lidt %0; ud2" : : "m"(no_table));
	stop();
}

void cmd_halt(const char *args)
{
	(void)args;
	say("halt");
	for (;;)
		__asm__ volatile("cli; hlt");
}

const struct command arch_commands[] = {
	{"cmos", cmd_cmos},	{"cpuid", cmd_cpuid}, {"msr", cmd_msr},
	{"triple", cmd_triple}, {NULL, NULL},
};
