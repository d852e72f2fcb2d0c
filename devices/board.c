/* The devices of torpor-1 and their places; see board.h. */
#include "devices/board.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/num.h"
#include "devices/serial.h"
#include "devices/virtio/types.h"
#include "devices/vmgenid.h"
#include "devices/x86/acpi_pm.h"
#include "devices/x86/cmos.h"
#include "devices/x86/i8042.h"

/* Where a guest's QEMU guest agent looks for its host. */
static const char *const named_ports[] = {"org.qemu.guest_agent.0"};

static int add_legacy(struct board *board, struct machine *m, struct err *err)
{
	struct device *dev = NULL;
	int ret = serial_create(m, &dev, &board->serial, err);

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
	ret = vmgenid_create(m, board->power, &board->vmgenid, err);
	if (ret == 0)
		machine_add_device(m, board->vmgenid);
	return ret;
}

/* The next free slot, in order of creation. */
static int add_virtio(struct machine *m, enum virtio_id type, const char *id, unsigned *slot,
		      const struct virtio_backend *backend, struct device **dev, struct err *err)
{
	int ret = virtio_create(dev, m, type, id, *slot, backend, err);

	if (ret < 0)
		return err_context(err, ret, "device %s", id);
	machine_add_device(m, *dev);
	m->board.virtio_slots |= 1u << (*slot)++;
	return 0;
}

static int add_disks(struct machine *m, const struct appliance *a, struct board_bindings *bindings,
		     unsigned *slot, struct err *err)
{
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < a->ndisks; i++) {
		struct virtio_backend backend = {.disk = bindings->disk[i]};
		struct device *dev;
		char id[16];

		bindings->disk[i] = NULL; /* the device's from here, even on failure */
		snprintf(id, sizeof(id), "disk%u", i);
		ret = add_virtio(m, VIRTIO_TYPE_BLK, id, slot, &backend, &dev, err);
	}
	return ret;
}

static int add_console(struct board *board, struct machine *m, unsigned *slot, struct err *err)
{
	const struct virtio_backend backend = {
		.ports = named_ports,
		.nports = ARRAY_SIZE(named_ports),
	};
	struct device *dev;
	int ret = add_virtio(m, VIRTIO_TYPE_CONSOLE, "console", slot, &backend, &dev, err);

	if (ret < 0)
		return ret;
	board->console = virtio_console_port(dev, 0);
	board->agent = virtio_console_port(dev, 1);
	return 0;
}

/* Behind everything else, so that a machine without one has the slots it always had. */
static int add_nets(struct board *board, struct machine *m, const struct appliance *a,
		    unsigned *slot, struct err *err)
{
	int ret = 0;

	static_assert(APPLIANCE_MAX_DISKS + 3 + APPLIANCE_MAX_NETS <= ARCH_VIRTIO_SLOTS,
		      "a slot for each");
	for (uint32_t i = 0; ret == 0 && i < a->nnets; i++) {
		const struct virtio_backend backend = {.net = &a->net[i]};
		struct device *dev;
		char id[16];

		snprintf(id, sizeof(id), "net%u", i);
		ret = add_virtio(m, VIRTIO_TYPE_NET, id, slot, &backend, &dev, err);
		if (ret == 0)
			board->net[i] = virtio_net_card(dev);
	}
	return ret;
}

int board_build(struct board *board, struct machine *m, const struct appliance *a,
		struct board_bindings *bindings, struct err *err)
{
	const struct virtio_backend nothing = {0};
	struct device *rng;
	unsigned slot = 0;
	int ret;

	*board = (struct board){0};
	m->board.nvcpus = m->nvcpus;
	ret = add_legacy(board, m, err);
	if (ret == 0)
		ret = add_disks(m, a, bindings, &slot, err);
	if (ret == 0)
		ret = add_console(board, m, &slot, err);
	if (ret == 0)
		ret = add_virtio(m, VIRTIO_TYPE_RNG, "rng", &slot, &nothing, &rng, err);
	if (ret == 0)
		ret = add_virtio(m, VIRTIO_TYPE_BALLOON, "balloon", &slot, &nothing,
				 &board->balloon, err);
	if (ret == 0)
		ret = add_nets(board, m, a, &slot, err);
	for (uint32_t i = 0; i < a->ndisks; i++) {
		disk_close(bindings->disk[i]);
		bindings->disk[i] = NULL;
	}
	return ret;
}

void board_power_button(struct board *board)
{
	acpi_pm_press_power(board->power);
}

int board_new_generation(struct board *board, struct err *err)
{
	return vmgenid_renew(board->vmgenid, err);
}
