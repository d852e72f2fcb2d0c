/* virtio-rng (virtio 1.2 §5.4). */
#include "images/tiny/tiny.h"

static struct vdev rng;

void rng_probe(uint64_t base)
{
	rng.base = base;
	if (virtio_negotiate(&rng, F_INDIRECT) && virtio_queue(&rng, 0))
		virtio_start(&rng);
	else
		rng.base = 0;
}

bool rng_read(uint64_t addr, uint64_t len)
{
	const uint64_t most = MIB;

	if (!rng.base)
		return false;
	while (len) {
		struct seg s = {addr, (uint32_t)(len < most ? len : most), true};
		int64_t got = queue_request(&rng.queue[0], &s, 1);

		if (got <= 0 || got > s.len) {
			rng_probe(rng.base);
			return false;
		}
		addr += (uint64_t)got;
		len -= (uint64_t)got;
	}
	return true;
}

void cmd_rng(const char *args)
{
	static uint8_t bytes[64];
	static char hex[2 * sizeof(bytes) + 1];
	uint64_t n;

	if (!args_get(args, 1, &n))
		return;
	if (n > sizeof(bytes))
		n = sizeof(bytes);
	if (!rng_read((uint64_t)bytes, n)) {
		say("error rng");
		return;
	}
	for (uint64_t i = 0; i < n; i++) {
		hex[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
	}
	hex[2 * n] = 0;
	say("rng %s", hex);
}

/* Incompressible RAM without computing it here. */
void cmd_rngfill(const char *args)
{
	uint64_t v[2];

	if (!args_get(args, 2, v))
		return;
	if (!mem_usable(ram_at(v[0]), v[1] * MIB))
		say("error range");
	else if (!rng_read(ram_at(v[0]), v[1] * MIB))
		say("error rng");
	else
		say("filled %u", v[1] * MIB / PAGE);
}
