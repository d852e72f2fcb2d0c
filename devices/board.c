/* The devices of torpor-1 and their places; see board.h. */
#include "devices/board.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/num.h"
#include "devices/arch_board.h"
#include "devices/virtio/console.h"
#include "devices/virtio/net.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/types.h"
#include "devices/vmgenid.h"
#include "format/crypto/blake2b.h"

/* The first is where a guest's QEMU guest agent looks for its host. */
static const char *const named_ports[] = {"org.qemu.guest_agent.0", APPLIANCE_EXEC_PORT};

/* The next free slot, in order of creation. */
static int board_add_virtio(struct machine *m, enum virtio_id type, const char *id, unsigned *slot,
			    const struct virtio_backend *backend, struct device **dev,
			    struct err *err)
{
	int ret;

	if (*slot == ARCH_VIRTIO_SLOTS)
		return err_set(err, ERR_USAGE,
			       "device %s: a machine has room for %u disks, cards, shared "
			       "folders and a vsock with what every machine has",
			       id, ARCH_VIRTIO_SLOTS);
	ret = virtio_create(dev, m, type, id, *slot, backend, err);
	if (ret < 0)
		return err_context(err, ret, "device %s", id);
	machine_add_device(m, *dev);
	m->board.virtio_slots |= 1u << (*slot)++;
	return 0;
}

static int add_disks(struct machine *m, const struct appliance *a, struct board_bindings *bindings,
		     unsigned *slot, struct err *err)
{
	for (uint32_t i = 0; i < a->ndisks; i++) {
		struct virtio_backend backend = {.disk = bindings->disk[i],
						 .queues = a->disk[i].queues};
		struct device *dev;
		char id[16];
		int ret;

		bindings->disk[i] = NULL; /* the device's from here, even on failure */
		snprintf(id, sizeof(id), "disk%u", i);
		ret = board_add_virtio(m, VIRTIO_TYPE_BLK, id, slot, &backend, &dev, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int add_console(struct board *board, struct machine *m, const struct appliance *a,
		       unsigned *slot, struct err *err)
{
	const struct virtio_backend backend = {
		.ports = named_ports,
		.nports = a->exec_port ? 2 : 1,
	};
	struct device *dev;
	int ret = board_add_virtio(m, VIRTIO_TYPE_CONSOLE, "console", slot, &backend, &dev, err);

	if (ret < 0)
		return ret;
	board->console = virtio_console_port(dev, 0);
	board->agent = virtio_console_port(dev, 1);
	if (a->exec_port)
		board->exec = virtio_console_port(dev, 2);
	return 0;
}

/* Behind everything else, so that a machine without one has the slots it always had. */
static int add_nets(struct board *board, struct machine *m, const struct appliance *a,
		    unsigned *slot, struct err *err)
{
	static_assert(APPLIANCE_MAX_DISKS + 3 + APPLIANCE_MAX_NETS <= ARCH_VIRTIO_SLOTS,
		      "a slot for each");
	for (uint32_t i = 0; i < a->nnets; i++) {
		const struct virtio_backend backend = {.net = &a->net[i]};
		struct device *dev;
		char id[16];
		int ret;

		snprintf(id, sizeof(id), "net%u", i);
		ret = board_add_virtio(m, VIRTIO_TYPE_NET, id, slot, &backend, &dev, err);
		if (ret < 0)
			return ret;
		board->net[i] = virtio_net_card(dev);
	}
	return 0;
}

static int add_shares(struct machine *m, const struct appliance *a,
		      const struct board_bindings *bindings, unsigned *slot, struct err *err)
{
	for (uint32_t i = 0; i < a->nshares; i++) {
		const struct virtio_backend backend = {.share = bindings->share[i],
						       .tag = a->share[i].tag};
		struct device *dev;
		char id[16];
		int ret;

		snprintf(id, sizeof(id), "share%u", i);
		ret = board_add_virtio(m, VIRTIO_TYPE_FS, id, slot, &backend, &dev, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int add_vsock(struct machine *m, const struct appliance *a,
		     const struct board_bindings *bindings, unsigned *slot, struct err *err)
{
	const struct virtio_backend backend = {.vsock = bindings->vsock, .cid = a->vsock_cid};
	struct device *dev;

	if (a->vsock_cid == 0)
		return 0;
	return board_add_virtio(m, VIRTIO_TYPE_VSOCK, "vsock", slot, &backend, &dev, err);
}

static int add_devices(struct board *board, struct machine *m, const struct appliance *a,
		       struct board_bindings *bindings, struct err *err)
{
	const struct virtio_backend nothing = {0};
	unsigned slot = 0;
	int ret;

	ret = arch_board_devices(board, m, err);
	if (ret < 0)
		return ret;
	ret = add_disks(m, a, bindings, &slot, err);
	if (ret < 0)
		return ret;
	ret = add_console(board, m, a, &slot, err);
	if (ret < 0)
		return ret;
	ret = board_add_virtio(m, VIRTIO_TYPE_RNG, "rng", &slot, &nothing, &board->rng, err);
	if (ret < 0)
		return ret;
	ret = board_add_virtio(m, VIRTIO_TYPE_BALLOON, "balloon", &slot, &nothing, &board->balloon,
			       err);
	if (ret < 0)
		return ret;
	ret = add_nets(board, m, a, &slot, err);
	if (ret == 0)
		ret = add_shares(m, a, bindings, &slot, err);
	return ret < 0 ? ret : add_vsock(m, a, bindings, &slot, err);
}

int board_build(struct board *board, struct machine *m, const struct appliance *a,
		struct board_bindings *bindings, struct err *err)
{
	int ret;

	*board = (struct board){0};
	m->board.nvcpus = m->nvcpus;
	m->board.kvm = &m->kvm;
	ret = add_devices(board, m, a, bindings, err);
	for (uint32_t i = 0; i < a->ndisks; i++) {
		disk_close(bindings->disk[i]);
		bindings->disk[i] = NULL;
	}
	return ret;
}

bool board_power_button(struct board *board)
{
	return arch_board_power_button(board);
}

int board_new_generation(struct board *board, struct err *err)
{
	virtio_rng_seed(board->rng, NULL);
	return vmgenid_renew(board->vmgenid, err);
}

bool board_hears_generation(const struct machine *m)
{
	return arch_board_hears_generation(m);
}

/* The two must not tell of each other. */
void board_seeded_generation(struct board *board, const uint8_t seed[BOARD_SEED_SIZE])
{
	uint8_t drawn[VMGENID_SIZE + RNG_SEED_SIZE];

	static_assert(sizeof(drawn) <= BLAKE2B_MAX, "one digest is enough");
	blake2b(drawn, sizeof(drawn), seed, BOARD_SEED_SIZE);
	vmgenid_set(board->vmgenid, drawn);
	virtio_rng_seed(board->rng, drawn + VMGENID_SIZE);
}
