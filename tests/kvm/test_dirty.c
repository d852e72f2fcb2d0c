/* Whatever changes guest memory, the machine knows: compared byte for byte with a copy. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/kvm/arch_guest.h"
#include "tests/kvm/harness.h"
#include "vmm/dirty.h"
#include "vmm/frameset.h"

#define MEMORY	   MIB(16)
#define FRAMES	   (MEMORY / FRAME_SIZE)
#define MIB_FRAMES (MIB(1) / FRAME_SIZE)

static uint8_t *ram(struct guest *g)
{
	return g->machine.mem.range[0].host;
}

/* A new base, and what memory holds then. */
static void rebase(struct guest *g, uint8_t *copy)
{
	struct err err;

	cr_assert(eq(int, dirty_rebase(&g->machine.dirty, &err), 0), "%s", err.text);
	memcpy(copy, ram(g), MEMORY);
}

static uint64_t *collect(struct guest *g, unsigned range)
{
	struct err err;
	uint64_t *set;

	cr_assert(eq(int, dirty_collect(&g->machine.dirty, range, &set, &err), 0), "%s", err.text);
	return set;
}

static unsigned count(const uint64_t *set, uint64_t first, uint64_t frames)
{
	unsigned n = 0;

	for (uint64_t i = first; i < first + frames; i++)
		n += frameset_has(set, i);
	return n;
}

/* Every frame that differs from `base` is in the set. Returns the set; freed by the caller. */
static uint64_t *expect_sound(struct guest *g, const uint8_t *base)
{
	uint64_t *set = collect(g, 0);
	unsigned differ = 0;

	for (uint64_t i = 0; i < FRAMES; i++) {
		bool same = memcmp(base + i * FRAME_SIZE, ram(g) + i * FRAME_SIZE, FRAME_SIZE) == 0;

		differ += !same;
		cr_assert(same || frameset_has(set, i), "frame %llu changed unnoticed",
			  (unsigned long long)i);
	}
	cr_assert(ge(uint, differ, 1), "a running guest changes something");
	return set;
}

static char *random_disk(void)
{
	char *path = strdup(scratch_path("random.img"));
	static uint8_t bytes[MIB(2)];
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	for (size_t at = 0; at < sizeof(bytes); at += 256)
		cr_assert(getrandom(bytes + at, 256, 0) == 256);
	cr_assert(fd >= 0 && write(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes));
	close(fd);
	return path;
}

Test(dirty, the_guest_and_its_devices_are_noticed)
{
	struct guest g;
	uint8_t *copy = malloc(MEMORY);
	uint64_t *set, *again;

	if (!can_log())
		return;
	guest_boot(&g, &(struct guest_spec){.memory = MEMORY, .disk = random_disk()});
	guest_say(&g, "fill 4 2 1");
	guest_pause(&g);
	rebase(&g, copy);
	guest_unpause(&g);
	guest_say(&g, "fill 8 1 5");
	cr_assert_str_eq(guest_say(&g, "dload 0 0 10 1"), "dload ok");
	guest_say(&g, "rngfill 12 1");
	guest_say(&g, "hvc hello");
	cr_assert_str_eq(guest_say(&g, "check 4 2 1"), "check ok");
	guest_pause(&g);
	set = expect_sound(&g, copy);
	cr_assert(eq(uint, count(set, 8 * MIB_FRAMES, MIB_FRAMES), MIB_FRAMES), "the guest");
	cr_assert(eq(uint, count(set, 10 * MIB_FRAMES, MIB_FRAMES), MIB_FRAMES), "its disk");
	cr_assert(eq(uint, count(set, 12 * MIB_FRAMES, MIB_FRAMES), MIB_FRAMES), "rng");
	cr_assert(eq(uint, count(set, 4 * MIB_FRAMES, 2 * MIB_FRAMES), 0), "reading is no write");
	cr_assert(lt(uint, count(set, 0, FRAMES), FRAMES / 4));
	again = collect(&g, 0);
	cr_assert(eq(int, memcmp(set, again, frameset_bytes(FRAMES)), 0), "asking changes nothing");
	free(set);
	free(again);
	guest_stop(&g);
	free(copy);
}

Test(dirty, a_new_base_forgets_and_notices_again)
{
	struct guest g;
	uint8_t *copy = malloc(MEMORY);
	uint64_t *set;

	if (!can_log())
		return;
	guest_boot(&g, &(struct guest_spec){.memory = MEMORY});
	guest_pause(&g);
	rebase(&g, copy);
	for (int generation = 0; generation < 3; generation++) {
		guest_unpause(&g);
		guest_say(&g, generation == 1 ? "fill 14 1 3" : "fill 8 1 4");
		guest_pause(&g);
		set = expect_sound(&g, copy);
		cr_assert(eq(uint, count(set, (generation == 1 ? 14 : 8) * MIB_FRAMES, MIB_FRAMES),
			     MIB_FRAMES));
		cr_assert(eq(uint, count(set, (generation == 1 ? 8 : 14) * MIB_FRAMES, MIB_FRAMES),
			     0));
		free(set);
		rebase(&g, copy);
		set = collect(&g, 0);
		cr_assert(eq(uint, count(set, 0, FRAMES), 0), "nothing since just now");
		free(set);
	}
	dirty_stop(&g.machine.dirty);
	set = collect(&g, 0);
	cr_assert(eq(uint, count(set, 0, FRAMES), FRAMES), "no base any more");
	free(set);
	rebase(&g, copy);
	guest_unpause(&g);
	guest_say(&g, "fill 8 1 9");
	guest_pause(&g);
	free(expect_sound(&g, copy));
	guest_stop(&g);
	free(copy);
}

/* A copy that is given up behind its pause: what it would have had is of the next one. */
Test(dirty, what_is_put_back_belongs_to_the_old_base)
{
	struct guest g;
	uint8_t *copy = malloc(MEMORY);
	uint64_t *given_up, *set;
	struct err err;

	if (!can_log())
		return;
	guest_boot(&g, &(struct guest_spec){.memory = MEMORY});
	/* While it runs. There was no base yet, and there is none now. */
	cr_assert(eq(int, dirty_arm(&g.machine.dirty, &err), 0), "%s", err.text);
	guest_pause(&g);
	set = collect(&g, 0);
	cr_assert(eq(uint, count(set, 0, FRAMES), FRAMES), "no base");
	free(set);
	rebase(&g, copy);
	guest_unpause(&g);
	guest_say(&g, "fill 4 1 1");
	cr_assert(eq(int, dirty_arm(&g.machine.dirty, &err), 0), "again: %s", err.text);
	guest_pause(&g);
	given_up = collect(&g, 0);
	cr_assert(eq(int, dirty_rebase(&g.machine.dirty, &err), 0), "%s", err.text);
	guest_unpause(&g);
	guest_say(&g, "fill 8 1 2");
	pthread_mutex_lock(&g.machine.lock);
	dirty_put_back(&g.machine.dirty, 0, given_up);
	pthread_mutex_unlock(&g.machine.lock);
	guest_say(&g, "fill 12 1 3");
	guest_pause(&g);
	set = expect_sound(&g, copy);
	for (uint64_t mib = 4; mib <= 12; mib += 4)
		cr_assert(eq(uint, count(set, mib * MIB_FRAMES, MIB_FRAMES), MIB_FRAMES));
	cr_assert(lt(uint, count(set, 0, FRAMES), FRAMES / 2));
	free(set);
	free(given_up);
	guest_stop(&g);
	free(copy);
}

Test(dirty, a_reset_is_noticed)
{
	struct guest g;
	uint8_t *copy = malloc(MEMORY);
	uint64_t *set;

	if (!can_log())
		return;
	guest_boot(&g, &(struct guest_spec){.memory = MEMORY});
	guest_pause(&g);
	/* The tables are ours alone to write: a reset writes them anew. */
	memset(ram(&g) + arch_tables_offset, 0x55, 16);
	rebase(&g, copy);
	guest_unpause(&g);
	guest_restart(&g, "reset");
	guest_pause(&g);
	set = expect_sound(&g, copy);
	cr_assert(frameset_has(set, arch_tables_offset / FRAME_SIZE));
	free(set);
	guest_stop(&g);
	free(copy);
}

Test(dirty, memory_above_4_gib)
{
	const struct mem_range *last;
	struct guest g;
	struct err err;
	uint64_t *set, first;

	if (!can_log())
		return;
	guest_boot(&g, &(struct guest_spec){.memory = GIB(5)});
	guest_pause(&g);
	cr_assert(eq(int, dirty_rebase(&g.machine.dirty, &err), 0), "%s", err.text);
	guest_unpause(&g);
	guest_say(&g, "fill 4100 1 3");
	guest_pause(&g);
	/* The last range has what is above, and where there is only one the kernel as well. */
	last = &g.machine.mem.range[g.machine.mem.nranges - 1];
	set = collect(&g, g.machine.mem.nranges - 1);
	first = (uint64_t)((uint8_t *)guest_memory(&g, MIB(4100), MIB(1)) - last->host) /
		FRAME_SIZE;
	cr_assert(eq(uint, count(set, first, MIB_FRAMES), MIB_FRAMES));
	cr_assert(le(uint, count(set, 0, last->size / FRAME_SIZE),
		     MIB_FRAMES * (g.machine.mem.nranges == 1 ? 2 : 1)));
	free(set);
	guest_stop(&g);
}

/* The file's contents are those of the machine that was saved and then left alone. */
Test(dirty, a_resumed_machine_knows_without_a_log)
{
	static struct guest saved, resumed;
	const char *file = strdup(scratch_path("base.torpor"));
	char *disk = random_disk();
	struct err err;
	uint64_t *set;

	if (!have_kvm())
		return;
	guest_boot(&saved, &(struct guest_spec){.memory = MEMORY, .disk = disk});
	guest_say(&saved, "fill 4 2 7");
	guest_pause(&saved);
	saved.flat = true; /* mapped, not copied in */
	cr_assert(guest_save(&saved, file, &err) == 0, "%s", err.text);
	guest_resume(&resumed, file);
	cr_assert_str_eq(guest_say(&resumed, "check 4 2 7"), "check ok");
	guest_say(&resumed, "fill 8 1 5");
	cr_assert_str_eq(guest_say(&resumed, "dload 0 0 10 1"), "dload ok");
	guest_pause(&resumed);
	set = expect_sound(&resumed, ram(&saved));
	cr_assert(eq(uint, count(set, 8 * MIB_FRAMES, MIB_FRAMES), MIB_FRAMES));
	cr_assert(eq(uint, count(set, 10 * MIB_FRAMES, MIB_FRAMES), MIB_FRAMES));
	cr_assert(eq(uint, count(set, 4 * MIB_FRAMES, 2 * MIB_FRAMES), 0), "the file's own");
	/* Where the file has zeros, a first write may bring 2 MiB at once. */
	cr_assert(le(uint, count(set, 0, FRAMES), FRAMES / 2));
	free(set);
	guest_stop(&resumed);
	guest_stop(&saved);
}
