/* The legacy devices of torpor-1 on x86-64 and their places; see devices/arch_board.h. */
#include "base/num.h"
#include "devices/arch_board.h"
#include "devices/serial.h"
#include "devices/vmgenid.h"
#include "devices/x86/acpi_pm.h"
#include "devices/x86/cmos.h"
#include "devices/x86/i8042.h"
#include "vmm/x86_64/platform.h"

static void notify_vmgenid(void *opaque)
{
	acpi_pm_raise_gpe(opaque, X86_GPE_VMGENID);
}

int arch_board_devices(struct board *board, struct machine *m, struct err *err)
{
	const struct serial_place com1 = {
		.bus = &m->pio,
		.base = X86_COM1_PORT,
		.gsi = X86_COM1_GSI,
	};
	struct vmgenid_params generation = {.gpa = X86_VMGENID_ADDR, .notify = notify_vmgenid};
	struct device *dev = NULL;
	int ret;

	ret = serial_create(m, &com1, &dev, &board->serial, err);
	if (ret < 0)
		return ret;
	machine_add_device(m, dev);
	ret = cmos_create(m, &dev, err);
	if (ret < 0)
		return ret;
	machine_add_device(m, dev);
	ret = i8042_create(m, &dev, err);
	if (ret < 0)
		return ret;
	machine_add_device(m, dev);
	ret = acpi_pm_create(m, &board->power, err);
	if (ret < 0)
		return ret;
	machine_add_device(m, board->power);
	generation.opaque = board->power;
	ret = vmgenid_create(m, &generation, &board->vmgenid, err);
	if (ret < 0)
		return ret;
	machine_add_device(m, board->vmgenid);
	return 0;
}

bool arch_board_power_button(struct board *board)
{
	return acpi_pm_press_power(board->power);
}

/* By ACPI. Whether its kernel has the driver (Linux since 5.18) does not show. */
bool arch_board_hears_generation(const struct machine *m)
{
	(void)m;
	return true;
}
