/* See fake_board.h. One thread. */
#include "tests/unit/fake_board.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"

#define DISK_BYTES 65536u

static bool have_kvm(void)
{
	struct kvm kvm;
	struct err err;

	if (kvm_open_device(&kvm, &err) < 0) {
		fprintf(stderr, "SKIP: %s\n", err.text);
		return false;
	}
	kvm_close(&kvm);
	return true;
}

static struct disk *make_disk(void)
{
	struct disk_params params = {
		.id = "data",
		.size = DISK_BYTES,
		.raw = {.fd = memfd_create("base", MFD_CLOEXEC), .len = DISK_BYTES},
		.scratch_dir = "/tmp",
	};
	struct disk *disk = NULL;
	struct err err;

	cr_assert(eq(int, ftruncate(params.raw.fd, DISK_BYTES), 0));
	cr_assert(eq(int, disk_open(&disk, &params, &err), 0), "%s", err.text);
	return disk;
}

bool fake_board_init(struct fake_board *b)
{
	struct machine_params params = {.memory = MIB(2), .nvcpus = 1, .log = {.fd = -1}};
	struct share_ends unbound = SHARE_ENDS_CLOSED;
	struct vsock_ends nobody = VSOCK_ENDS_CLOSED;
	struct board_bindings bindings = {.share = {&unbound}, .vsock = &nobody};
	struct appliance a;
	struct err err;

	memset(b, 0, sizeof(*b));
	if (!have_kvm())
		return false;
	cr_assert(eq(int, machine_init(&b->m, &params, &err), 0), "%s", err.text);
	cr_assert(zero(i32, appliance_init(&a, &err)));
	a.ndisks = 1;
	a.nnets = 1;
	a.net[0] = (struct appliance_net){.mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500, .pairs = 1};
	a.nshares = 1;
	strcpy(a.share[0].tag, "share0");
	a.vsock_cid = 3;
	bindings.disk[0] = make_disk();
	cr_assert(eq(int, board_build(&b->board, &b->m, &a, &bindings, &err), 0), "%s", err.text);
	appliance_free(&a);
	b->built = true;
	return true;
}

void fake_board_free(struct fake_board *b)
{
	if (b->built)
		machine_free(&b->m);
	b->built = false;
}

uint32_t fake_in(struct fake_board *b, uint16_t port, unsigned size)
{
	uint8_t data[4] = {0};

	bus_read(&b->m.pio, port, data, size);
	return le_get32(data);
}

void fake_out(struct fake_board *b, uint16_t port, uint32_t value, unsigned size)
{
	uint8_t data[4];

	le_put32(data, value);
	bus_write(&b->m.pio, port, data, size);
}

static void stage(const struct device_part *from, const struct device_part *to, void **staged)
{
	cleanup_buf struct buf bytes = {0};
	struct err err;

	*staged = calloc(1, to->table->size);
	state_encode(from->table, from->state, &bytes);
	cr_assert(eq(int,
		     state_decode(to->table, to->table->version, bytes.data, bytes.len, *staged,
				  &err),
		     0),
		  "%s", err.text);
}

int fake_board_move(struct fake_board *from, struct fake_board *to, const char *id,
		    void (*spoil)(void *const staged[]), struct err *err)
{
	struct device *old = machine_device(&from->m, id), *dev = machine_device(&to->m, id);
	void *staged[DEVICE_MAX_PARTS] = {NULL};
	int ret;

	for (unsigned p = 0; p < dev->nparts; p++)
		stage(&old->part[p], &dev->part[p], &staged[p]);
	if (spoil != NULL)
		spoil(staged);
	ret = dev->ops->check(dev, staged, err);
	for (unsigned p = 0; p < dev->nparts; p++) {
		if (ret == 0)
			memcpy(dev->part[p].state, staged[p], dev->part[p].table->size);
		free(staged[p]);
	}
	if (ret == 0 && dev->ops->loaded != NULL)
		ret = dev->ops->loaded(dev, err);
	if (ret == 0 && dev->ops->start != NULL)
		dev->ops->start(dev);
	return ret;
}
