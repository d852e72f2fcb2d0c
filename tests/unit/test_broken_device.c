/* A driver that breaks the rules breaks its own device, never a save: the state of a device that
 * waits for its reset is accepted by the resume, and the reset there makes it work again. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <criterion/parameterized.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_console.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/unit/net_driver.h"

#define DISK_BYTES 65536u

static const char *const ports[] = {"org.qemu.guest_agent.0"};

static void plug_device(struct fake *f, enum virtio_id type)
{
	struct virtio_backend backend = {.ports = ports, .nports = 1};
	struct disk_params params = {.id = "data", .size = DISK_BYTES, .scratch_dir = "/tmp"};
	struct err err;

	if (type == VIRTIO_TYPE_NET) {
		fake_net_plug(f, 1);
		return;
	}
	if (type == VIRTIO_TYPE_BLK) {
		params.raw.fd = memfd_create("base", MFD_CLOEXEC);
		params.raw.len = DISK_BYTES;
		cr_assert(eq(int, ftruncate(params.raw.fd, DISK_BYTES), 0));
		cr_assert(eq(int, disk_open(&backend.disk, &params, &err), 0), "%s", err.text);
	}
	fake_init(f);
	fake_plug(f, type, "device", &backend);
}

/* What a driver may do wrong. */
struct wrong {
	enum virtio_id type;
	const char *what;
	uint64_t features;
	unsigned nqueues, queue;
	unsigned nseg;
	struct fake_seg seg[3];
	uint8_t bytes[20]; /* at FAKE_BUFFERS */
};

static struct wrong wrongs[] = {
	{VIRTIO_TYPE_BLK, "no status byte", 0, 1, 0, 1, {{FAKE_BUFFERS, 16, false}}, {0}},
	{VIRTIO_TYPE_BLK,
	 "an empty status",
	 0,
	 1,
	 0,
	 2,
	 {{FAKE_BUFFERS, 16, false}, {FAKE_BUFFERS + 64, 0, true}},
	 {0}},
	{VIRTIO_TYPE_BLK,
	 "half a header",
	 0,
	 1,
	 0,
	 2,
	 {{FAKE_BUFFERS, 8, false}, {FAKE_BUFFERS + 64, 1, true}},
	 {0}},
	{VIRTIO_TYPE_BLK, "a buffer outside memory", 0, 1, 0, 1, {{GIB(1), 16, false}}, {0}},
	{VIRTIO_TYPE_CONSOLE, "a buffer outside memory", 0, 2, 1, 1, {{GIB(1), 16, false}}, {0}},
	{VIRTIO_TYPE_CONSOLE,
	 "a control buffer too small",
	 VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT),
	 6,
	 3,
	 1,
	 {{FAKE_BUFFERS, 8, false}},
	 {0, 0, 0, 0, VIRTIO_CONSOLE_DEVICE_READY, 0, 1, 0}},
	{VIRTIO_TYPE_RNG, "a buffer outside memory", 0, 1, 0, 1, {{GIB(1), 16, true}}, {0}},
	{VIRTIO_TYPE_BALLOON, "a list outside memory", 0, 2, 0, 1, {{GIB(1), 16, false}}, {0}},
	{VIRTIO_TYPE_NET, "half a header", ALL, 3, TX, 1, {{FAKE_BUFFERS, 5, false}}, {0}},
	{VIRTIO_TYPE_NET,
	 "an offload that is none",
	 ALL,
	 3,
	 TX,
	 1,
	 {{FAKE_BUFFERS, 80, false}},
	 {0, 0xee}},
	{VIRTIO_TYPE_NET,
	 "no room for the answer",
	 ALL,
	 3,
	 CTRL,
	 1,
	 {{FAKE_BUFFERS, 3, false}},
	 {0}},
	{VIRTIO_TYPE_NET,
	 "a buffer to receive into of no bytes",
	 ALL,
	 3,
	 RX,
	 1,
	 {{FAKE_BUFFERS, 0, true}},
	 {0}},
	{VIRTIO_TYPE_NET,
	 "a buffer to receive into too small for a header",
	 ALL,
	 3,
	 RX,
	 1,
	 {{FAKE_BUFFERS, 5, true}},
	 {0}},
};

ParameterizedTestParameters(broken_device, is_saved_and_reset)
{
	return cr_make_param_array(struct wrong, wrongs, ARRAY_SIZE(wrongs), NULL);
}

ParameterizedTest(struct wrong *w, broken_device, is_saved_and_reset)
{
	struct err err = {0};

	plug_device(&fake, w->type);
	if (w->type == VIRTIO_TYPE_NET)
		fake_net_connect(&net, &fake);
	fake_bring_up(&fake, w->features, w->nqueues, 16);
	memcpy(fake_ram(&fake, FAKE_BUFFERS, sizeof(w->bytes)), w->bytes, sizeof(w->bytes));
	if (w->type == VIRTIO_TYPE_CONSOLE && w->features != 0)
		fake_post(&fake, 2, &(struct fake_seg){FAKE_BUFFERS + 64, 2, true}, 1);
	fake_post(&fake, w->queue, w->seg, w->nseg);
	fake_kick(&fake, w->queue);
	if (w->type == VIRTIO_TYPE_NET && w->queue == RX)
		(void)fake_net_give(&net, fake_net_mac, 100, 1);
	cr_assert(card_broken(&fake), "%s", w->what);

	plug_device(&other, w->type);
	cr_assert(eq(int, fake_move(&fake, &other, &err), 0), "%s: %s", w->what, err.text);
	cr_assert(card_broken(&other), "%s", w->what);
	fake_bring_up(&other, w->features, w->nqueues, 16);
	cr_assert_not(card_broken(&other), "%s", w->what);
	fake_free(&fake);
	fake_free(&other);
}
