/*
 * ACPI fixed hardware (ACPI 6.5 §4.8.3, §4.8.4): PM1a event and control blocks, PM timer and
 * GPE0.
 *
 * The SCI is a level: high while any status bit is set whose enable bit is set too. ACPI mode is
 * the only mode (the FADT has no SMI command), so SCI_EN always reads as set. The timer counts the
 * guest's clock, so it has no state of its own and stands still while the machine is paused; guests
 * calibrate the APIC timer with it, which without one fails on a busy host. Runs with the machine
 * lock held.
 */
#include "devices/x86/acpi_pm.h"

#include <errno.h>
#include <stdlib.h>

#include "base/num.h"
#include "vmm/x86_64/platform.h"

#define PM1_POWER_BUTTON 0x0100u
#define PM1_STATUS_MASK	 0x0521u /* timer, global, power button, RTC: those with an enable bit */
#define PM1_ENABLE_MASK	 0x0521u
#define CNT_SCI_EN	 0x0001u
#define CNT_SLP_TYP(v)	 ((v) >> 10 & 7u)
#define CNT_SLP_EN	 0x2000u
#define CNT_KEPT	 0x1c02u /* sleep type and BM_RLD stay as written */

#define PM_TIMER_HZ 3579545u /* §4.8.2.1 */

struct acpi_pm_state {
	uint16_t pm1_status;
	uint16_t pm1_enable;
	uint16_t pm1_control;
	uint8_t gpe_status;
	uint8_t gpe_enable;
};

static const struct state_field acpi_pm_fields[] = {
	STATE_SCALAR(struct acpi_pm_state, pm1_status, 1, 1, STATE_HEX),
	STATE_SCALAR(struct acpi_pm_state, pm1_enable, 2, 1, STATE_HEX),
	STATE_SCALAR(struct acpi_pm_state, pm1_control, 3, 1, STATE_HEX),
	STATE_SCALAR(struct acpi_pm_state, gpe_status, 4, 1, STATE_HEX),
	STATE_SCALAR(struct acpi_pm_state, gpe_enable, 5, 1, STATE_HEX),
};
static const struct state_table acpi_pm_table =
	STATE_TABLE("acpi-pm", 1, struct acpi_pm_state, acpi_pm_fields);

struct acpi_pm {
	struct device dev;
	struct machine *machine;
	struct acpi_pm_state s;
	struct irq sci;
};

static void update_sci(struct acpi_pm *pm)
{
	irq_level(&pm->sci, (pm->s.pm1_status & pm->s.pm1_enable) != 0 ||
				    (pm->s.gpe_status & pm->s.gpe_enable) != 0);
}

/* Blocks may be accessed at any width: here they are numbers, and an access is a shift and a
 * mask. */
static uint64_t read_bytes(uint64_t value, uint64_t off)
{
	return value >> (off * 8);
}

/* The mask of the bits an access touches, in register position. */
static uint64_t access_mask(uint64_t off, unsigned size)
{
	return ((UINT64_C(1) << (size * 8)) - 1) << (off * 8);
}

static uint64_t event_read(void *opaque, uint64_t off, unsigned size)
{
	const struct acpi_pm *pm = opaque;

	(void)size;
	return read_bytes(pm->s.pm1_status | (uint64_t)pm->s.pm1_enable << 16, off);
}

static void event_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct acpi_pm *pm = opaque;
	uint64_t mask = access_mask(off, size);
	uint64_t enable = (uint64_t)pm->s.pm1_enable << 16;

	value = value << (off * 8) & mask;
	pm->s.pm1_status &= (uint16_t)~value; /* write one to clear */
	pm->s.pm1_enable = (uint16_t)((((enable & ~mask) | value) >> 16) & PM1_ENABLE_MASK);
	update_sci(pm);
}

static uint64_t control_read(void *opaque, uint64_t off, unsigned size)
{
	const struct acpi_pm *pm = opaque;

	(void)size;
	return read_bytes(pm->s.pm1_control | CNT_SCI_EN, off);
}

static void control_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct acpi_pm *pm = opaque;
	uint64_t mask = access_mask(off, size);

	value = (pm->s.pm1_control & ~mask) | (value << (off * 8) & mask);
	pm->s.pm1_control = (uint16_t)value & CNT_KEPT;
	if ((value & CNT_SLP_EN) && CNT_SLP_TYP(value) == X86_SLP_TYP_S5)
		machine_end(pm->machine, MACHINE_END_POWEROFF);
}

static uint64_t gpe_read(void *opaque, uint64_t off, unsigned size)
{
	const struct acpi_pm *pm = opaque;

	(void)size;
	return read_bytes(pm->s.gpe_status | (uint64_t)pm->s.gpe_enable << 8, off);
}

static void gpe_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct acpi_pm *pm = opaque;
	uint64_t mask = access_mask(off, size);
	uint64_t enable = (uint64_t)pm->s.gpe_enable << 8;

	value = value << (off * 8) & mask;
	pm->s.gpe_status &= (uint8_t)~value;
	pm->s.gpe_enable = (uint8_t)(((enable & ~mask) | value) >> 8);
	update_sci(pm);
}

static uint64_t timer_read(void *opaque, uint64_t off, unsigned size)
{
	const uint64_t second = 1000000000;
	struct acpi_pm *pm = opaque;
	uint64_t ns = 0, ticks;

	(void)size;
	if (arch_clock_get(&pm->machine->kvm, &ns, NULL) < 0)
		return 0; /* KVM_GET_CLOCK does not fail on a VM that runs */
	ticks = ns / second * PM_TIMER_HZ + ns % second * PM_TIMER_HZ / second;
	return read_bytes((uint32_t)ticks, off);
}

/* The timer is read-only. */
static void timer_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	(void)opaque, (void)off, (void)value, (void)size;
}

bool acpi_pm_press_power(struct device *dev)
{
	struct acpi_pm *pm = container_of(dev, struct acpi_pm, dev);

	pm->s.pm1_status |= PM1_POWER_BUTTON;
	update_sci(pm);
	return (pm->s.pm1_enable & PM1_POWER_BUTTON) != 0;
}

void acpi_pm_raise_gpe(struct device *dev, unsigned bit)
{
	struct acpi_pm *pm = container_of(dev, struct acpi_pm, dev);

	pm->s.gpe_status |= (uint8_t)(1u << bit);
	update_sci(pm);
}

static void acpi_pm_reset(struct device *dev)
{
	struct acpi_pm *pm = container_of(dev, struct acpi_pm, dev);

	pm->s = (struct acpi_pm_state){0};
	update_sci(pm);
}

static void acpi_pm_start(struct device *dev)
{
	update_sci(container_of(dev, struct acpi_pm, dev));
}

static int acpi_pm_check(struct device *dev, void *const staged[], struct err *err)
{
	const struct acpi_pm_state *s = staged[0];

	(void)dev;
	if ((s->pm1_status & ~PM1_STATUS_MASK) || (s->pm1_enable & ~PM1_ENABLE_MASK) ||
	    (s->pm1_control & ~CNT_KEPT))
		return err_set(err, ERR_INTEGRITY, "a register holds bits that it does not have");
	return 0;
}

static void acpi_pm_destroy(struct device *dev)
{
	free(container_of(dev, struct acpi_pm, dev));
}

static const struct device_ops acpi_pm_ops = {
	.reset = acpi_pm_reset,
	.start = acpi_pm_start,
	.check = acpi_pm_check,
	.destroy = acpi_pm_destroy,
};

static const struct bus_ops event_ops = {.read = event_read, .write = event_write};
static const struct bus_ops control_ops = {.read = control_read, .write = control_write};
static const struct bus_ops timer_ops = {.read = timer_read, .write = timer_write};
static const struct bus_ops gpe_ops = {.read = gpe_read, .write = gpe_write};

int acpi_pm_create(struct machine *m, struct device **dev, struct err *err)
{
	struct acpi_pm *pm = calloc(1, sizeof(*pm));

	if (pm == NULL)
		return err_sys(err, ENOMEM, "allocate the power management block");
	pm->machine = m;
	irq_init_level(&pm->sci, &m->kvm, X86_SCI_GSI);
	pm->dev = (struct device){
		.id = "acpi-pm",
		.ops = &acpi_pm_ops,
		.part = {{"", &acpi_pm_table, &pm->s}},
		.nparts = 1,
	};
	bus_add(&m->pio, X86_PM1A_EVT, 4, &event_ops, pm);
	bus_add(&m->pio, X86_PM1A_CNT, 2, &control_ops, pm);
	bus_add(&m->pio, X86_PM_TMR, 4, &timer_ops, pm);
	bus_add(&m->pio, X86_GPE0, 2, &gpe_ops, pm);
	*dev = &pm->dev;
	return 0;
}
