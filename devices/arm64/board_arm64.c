/* The devices of torpor-1 on arm64 that are not virtio's, and their places; see devices/arch_board.h. */
#include <errno.h>
#include <stdlib.h>

#include "devices/arch_board.h"
#include "devices/arm64/gpio.h"
#include "devices/arm64/rtc.h"
#include "devices/serial.h"
#include "devices/vmgenid.h"
#include "vmm/arm64/boot/platform.h"
#include "vmm/arm64/gic.h"

static void notify_vmgenid(void *opaque)
{
	const struct kvm *kvm = opaque;
	const struct irq line = {
		.kvm = (struct kvm *)(uintptr_t)kvm, .gsi = ARM64_VMGENID_SPI, .fd = -1};

	irq_level(&line, true);
	irq_level(&line, false);
}

int arch_board_devices(struct board *board, struct machine *m, struct err *err)
{
	const struct serial_place uart = {
		.bus = &m->mmio,
		.base = ARM64_SERIAL_ADDR,
		.gsi = ARM64_SERIAL_SPI,
	};
	const struct vmgenid_params generation = {
		.gpa = ARM64_VMGENID_ADDR,
		.notify = notify_vmgenid,
		.opaque = &m->kvm,
	};
	struct device *dev = NULL;
	int ret;

	ret = serial_create(m, &uart, &dev, &board->serial, err);
	if (ret < 0)
		return ret;
	machine_add_device(m, dev);
	ret = rtc_create(m, &dev, err);
	if (ret < 0)
		return ret;
	machine_add_device(m, dev);
	ret = gpio_create(m, &board->power, err);
	if (ret < 0)
		return ret;
	machine_add_device(m, board->power);
	ret = vmgenid_create(m, &generation, &board->vmgenid, err);
	if (ret < 0)
		return ret;
	machine_add_device(m, board->vmgenid);
	return 0;
}

bool arch_board_power_button(struct board *board)
{
	return gpio_press_power(board->power);
}

/* A driver has its interrupt enabled; Linux has had it since 6.10. */
bool arch_board_hears_generation(const struct machine *m)
{
	return arm64_spi_is_enabled(&m->kvm, ARM64_VMGENID_SPI);
}
