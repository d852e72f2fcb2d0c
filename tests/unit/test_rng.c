/* virtio-rng (virtio 1.2 §5.4): what is asked for is drawn when it is given, never before. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "tests/unit/fake_driver.h"

#define BYTES 64u

static const struct virtio_backend none;

static void plug(struct fake *f)
{
	fake_init(f);
	fake_plug(f, VIRTIO_TYPE_RNG, "rng", &none);
}

static void take(struct fake *f, uint8_t bytes[BYTES])
{
	uint32_t id, len;

	cr_assert(fake_used(f, 0, &id, &len));
	cr_assert(eq(u32, len, BYTES));
	memcpy(bytes, fake_ram(f, FAKE_BUFFERS, BYTES), BYTES);
}

/* A request in the file is answered by each host that wakes it, with bytes of its own: the device
 * brings none along. */
Test(rng, a_request_that_was_saved)
{
	const struct fake_seg seg = {FAKE_BUFFERS, BYTES, true};
	static const uint8_t zero[BYTES];
	static struct fake from, twin[2];
	uint8_t bytes[2][BYTES];
	struct err err;

	plug(&from);
	fake_bring_up(&from, 0, 1, 8);
	from.v->dev.ops->quiesce(&from.v->dev);
	fake_post(&from, 0, &seg, 1);
	fake_kick(&from, 0);
	for (unsigned i = 0; i < 2; i++) {
		plug(&twin[i]);
		cr_assert(eq(int, fake_move(&from, &twin[i], &err), 0));
		take(&twin[i], bytes[i]);
		cr_assert(ne(int, memcmp(bytes[i], zero, BYTES), 0));
	}
	cr_assert(ne(int, memcmp(bytes[0], bytes[1], BYTES), 0));
	cr_assert_null(from.v->type->table, "nothing of its own is saved");
	for (unsigned i = 0; i < 2; i++)
		fake_free(&twin[i]);
	fake_free(&from);
}
