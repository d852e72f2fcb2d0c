/* virtio-balloon (virtio 1.2 §5.5): free pages are reported, and nothing else. */
#include "images/tiny/tiny.h"

#define F_STATS                                                                                    \
	(1ull << 1) /* so that the queues have the numbers that QEMU gives them in any case */
#define F_REPORTING (1ull << 5)
#define REPORTS	    3 /* behind inflate, deflate and statistics */

static struct vdev balloon;
static bool started;

/* A guest that never gives anything has no driver for it. */
void balloon_probe(uint64_t base)
{
	balloon.base = base;
}

static bool start(void)
{
	if (started || !balloon.base)
		return started;
	started =
		virtio_negotiate(&balloon, F_STATS | F_REPORTING) && balloon.features & F_REPORTING;
	for (uint32_t i = 0; started && i <= REPORTS; i++)
		started = virtio_queue(&balloon, i);
	if (started)
		virtio_start(&balloon);
	return started;
}

/* So much RAM is the host's: whoever reads it next reads zeros. */
void cmd_give(const char *args)
{
	uint64_t v[2];

	if (!args_get(args, 2, v))
		return;
	if (!mem_usable(ram_at(v[0]), v[1] * MIB)) {
		say("error range");
		return;
	}
	if (!start()) {
		say("error give");
		return;
	}
	for (uint64_t i = 0; i < v[1]; i++) {
		struct seg s = {ram_at(v[0] + i), MIB, true};

		if (queue_request(&balloon.queue[REPORTS], &s, 1) < 0) {
			say("error give");
			return;
		}
	}
	say("given %u", v[1] * MIB / PAGE);
}
