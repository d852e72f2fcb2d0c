/* A golden machine that has changed all it can is, after a reset, what its file says: memory byte
 * for byte, disk, vCPUs, chips and devices. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "format/archive.h"
#include "snapshot/uffd.h"
#include "tests/kvm/arch_guest.h"
#include "tests/kvm/harness.h"

#define MEMORY	  MIB(16)
#define DISK	  MIB(2)
#define STATE_MAX MIB(1)
#define PAGE	  4096u
#define RESETS	  200u

/* $RESET_PERCENT of that, and two at least: more in the soak, less under an emulated CPU. */
static unsigned many(unsigned usual)
{
	const char *percent = getenv("RESET_PERCENT");
	const unsigned n =
		percent != NULL ? usual * (unsigned)strtoul(percent, NULL, 10) / 100 : usual;

	return n < 2 ? 2 : n;
}

static char *random_disk(void)
{
	char *path = strdup(scratch_path("random.img"));
	static uint8_t bytes[DISK];
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	for (size_t at = 0; at < sizeof(bytes); at += 256)
		cr_assert(getrandom(bytes + at, 256, 0) == 256);
	cr_assert(fd >= 0 && write(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes));
	close(fd);
	return path;
}

/* A machine and its file; it stays paused, to be compared with. */
static const char *make_golden(struct guest *origin, const struct guest_spec *spec, bool flat)
{
	const char *file = strdup(scratch_path("golden.torpor"));
	struct err err;

	guest_boot(origin, spec);
	guest_say(origin, "fill 4 2 7");
	if (spec->disk != NULL)
		guest_say(origin, "dwrite 0 100 64 3");
	guest_pause(origin);
	origin->flat = flat;
	cr_assert(guest_save(origin, file, &err) == 0, "%s", err.text);
	return file;
}

static uint8_t *ram(const struct guest *g, unsigned range)
{
	return g->machine.mem.range[range].host;
}

static void expect_same_memory(const struct guest *g, const struct guest *origin)
{
	for (unsigned r = 0; r < g->machine.mem.nranges; r++) {
		if (memcmp(ram(g, r), ram(origin, r), g->machine.mem.range[r].size) == 0)
			continue;
		for (uint64_t at = 0; at < g->machine.mem.range[r].size; at += PAGE)
			cr_assert(memcmp(ram(g, r) + at, ram(origin, r) + at, PAGE) == 0,
				  "page %#llx of range %u differs", (unsigned long long)at, r);
	}
}

static void expect_same_disk(const struct guest *g, const struct guest *origin)
{
	static uint8_t ours[DISK], theirs[DISK];

	cr_assert(eq(int, disk_read(g->disk, 0, ours, DISK), 0));
	cr_assert(eq(int, disk_read(origin->disk, 0, theirs, DISK), 0));
	cr_assert(memcmp(ours, theirs, DISK) == 0, "the disk differs");
}

struct whole_state {
	uint8_t bytes[STATE_MAX];
	size_t len;
	struct {
		const char *name;
		size_t end;
	} part[256];
	unsigned nparts;
};

static void add_part(void *opaque, const char *name, const void *bytes, size_t len)
{
	struct whole_state *s = opaque;

	cr_assert(s->len + len <= STATE_MAX && s->nparts < ARRAY_SIZE(s->part));
	memcpy(s->bytes + s->len, bytes, len);
	s->len += len;
	s->part[s->nparts].name = name;
	s->part[s->nparts++].end = s->len;
}

/* All that a save would write of vCPUs, chips and devices, but what runs on by itself. */
static void read_state(struct guest *g, struct whole_state *s)
{
	struct machine *m = &g->machine;

	s->len = 0;
	s->nparts = 0;
	arch_read_state(m, add_part, s);
	for (unsigned i = 0; i < m->ndevices; i++) {
		const struct device *dev = m->devices[i];

		for (unsigned p = 0; p < dev->nparts; p++)
			add_part(s, dev->id, dev->part[p].state, dev->part[p].table->size);
	}
}

static void expect_same_state(struct guest *g, const struct whole_state *before)
{
	static struct whole_state now;
	unsigned part = 0;

	read_state(g, &now);
	cr_assert(eq(sz, now.len, before->len));
	if (memcmp(now.bytes, before->bytes, now.len) == 0)
		return;
	for (size_t i = 0; i < now.len; i++) {
		while (i >= now.part[part].end)
			part++;
		cr_assert(now.bytes[i] == before->bytes[i],
			  "%s: byte %zu of it from the end is %#x, was %#x", now.part[part].name,
			  now.part[part].end - i, now.bytes[i], before->bytes[i]);
	}
}

static unsigned mib_of(const struct guest *g)
{
	return (unsigned)(g->machine.mem.range[0].size >> 20);
}

/* The guest does one thing that it can, in turn. */
static void scribble_guest(struct guest *g, unsigned seed)
{
	const unsigned mib = mib_of(g), low = mib / 2 - 2 + seed % (mib / 2);
	char command[8][64];
	const char *said;

	snprintf(command[0], sizeof(command[0]), "fill 4 %u %u", seed % 16 == 0 ? mib - 4 : 2,
		 seed);
	snprintf(command[1], sizeof(command[1]), "dwrite 0 %u 16 %u", seed * 37 % 4000, seed);
	snprintf(command[2], sizeof(command[2]), "dload 0 0 %u 1", low);
	snprintf(command[3], sizeof(command[3]), "rngfill %u 1", low);
	snprintf(command[4], sizeof(command[4]), "hvc hello");
	snprintf(command[5], sizeof(command[5]), "ddiscard 0 %u 64", seed % 4000);
	snprintf(command[6], sizeof(command[6]), "badqueue 1");
	snprintf(command[7], sizeof(command[7]), "touch 5 200 3 %u", seed);
	said = guest_say(g, command[seed % ARRAY_SIZE(command)]);
	cr_assert_null(strstr(said, "error"), "%s: %s", command[seed % ARRAY_SIZE(command)], said);
}

/* And so do its devices and its balloon, in our place: a write to every page at times, to some in
 * others; pages that are given up, some of them used again. */
static void scribble_host(struct guest *g, unsigned seed)
{
	struct mem *mem = &g->machine.mem;
	const uint64_t start = mem->range[0].gpa;
	const uint64_t step = seed % 16 == 0 ? 1 : 61;
	uint8_t block[3000];
	uint64_t at, size;

	for (uint64_t page = seed % step; page < mem->range[0].size / PAGE; page += step) {
		at = start + page * PAGE + page * 7 % 4000;
		cr_assert(mem_write(mem, at, &seed, sizeof(seed)));
	}
	at = start + seed % (mib_of(g) - 5) * MIB(1);
	size = seed % 8 == 0 ? MIB(5) : MIB(1);
	mem_discard(mem, mem_at_write(mem, at, size), size);
	cr_assert(mem_write(mem, at + size / 2, &seed, sizeof(seed)));
	mem_discard(mem, mem_at_write(mem, start + MIB(7) + seed % 64 * PAGE, 3 * PAGE), 3 * PAGE);
	memset(block, (int)seed, sizeof(block));
	cr_assert(
		eq(int,
		   disk_write(g->disk, seed * 5417 % (DISK - sizeof(block)), block, sizeof(block)),
		   0));
	cr_assert(eq(int, disk_zero(g->disk, seed * 4096 % MIB(1), KIB(64), seed % 2 == 0), 0));
}

/* A golden machine that has just been woken, and what it must be after each reset. One in a process:
 * a test has its own. */
static struct golden_guest {
	struct guest origin; /* as the file was saved; paused */
	struct guest g;
	struct whole_state before;
	char nonce[64];
} golden;

/* Afterwards the golden machine runs. */
static void golden_begin(const struct guest_spec *spec, bool flat, enum pager_fill fill)
{
	guest_resume_golden(&golden.g, make_golden(&golden.origin, spec, flat), fill);
	read_state(&golden.g, &golden.before);
	guest_unpause(&golden.g);
	snprintf(golden.nonce, sizeof(golden.nonce), "%s", guest_say(&golden.g, "nonce"));
}

/* The pages that were put back. */
static uint64_t golden_reset_whole(void)
{
	struct golden_reset did;

	guest_reset(&golden.g, &did);
	expect_same_state(&golden.g, &golden.before);
	expect_same_memory(&golden.g, &golden.origin);
	if (golden.g.disk != NULL)
		expect_same_disk(&golden.g, &golden.origin);
	return did.pages;
}

static void golden_end(void)
{
	guest_stop(&golden.g);
	guest_stop(&golden.origin);
}

static void says(struct guest *g, const char *command, const char *reply)
{
	cr_assert_str_eq(guest_say(g, command), reply, "%s", command);
}

/* Resets of a machine that changes everything, in another way in each life from `first` on; it is the
 * same machine after each. The guest itself does something in one life of `guest_every`: a KVM that
 * interprets it takes long. */
static void reset_lives(const struct guest_spec *spec, bool flat, unsigned first, unsigned resets,
			unsigned guest_every)
{
	struct guest *g = &golden.g;

	golden_begin(spec, flat, flat ? PAGER_FILL_IDLE : PAGER_FILL_FULL);
	for (unsigned i = first; i < first + resets; i++) {
		uint64_t pages;

		guest_unpause(g);
		if (i % guest_every == 0)
			scribble_guest(g, i / guest_every);
		guest_pause(g);
		scribble_host(g, i);
		arch_scribble(&g->machine, i);
		pages = golden_reset_whole();
		if (i % 16 != 0)
			continue;
		cr_assert(ge(u64, pages, spec->memory / PAGE), "all of it was written");
		if (i % guest_every != 0)
			continue;
		guest_unpause(g);
		says(g, "nonce", golden.nonce);
		says(g, "check 4 2 7", "check ok");
		says(g, "dread 0 100 64 3", "dread ok");
		(void)golden_reset_whole();
	}
	golden_end();
}

static void reset_many(const struct guest_spec *spec, bool flat, unsigned resets)
{
	reset_lives(spec, flat, 0, resets, 1);
}

static struct guest_spec with_disk(uint64_t memory, uint32_t vcpus)
{
	return (struct guest_spec){.memory = memory, .vcpus = vcpus, .disk = random_disk()};
}

Test(reset, takes_everything_back_from_a_packed_file)
{
	const struct guest_spec spec = with_disk(MEMORY, 1);

	if (can_log())
		reset_many(&spec, false, many(RESETS));
}

Test(reset, takes_everything_back_from_a_flat_file)
{
	const struct guest_spec spec = with_disk(MEMORY, 1);

	if (can_log())
		reset_many(&spec, true, many(RESETS / 4));
}

Test(reset, takes_several_vcpus_back)
{
	const struct guest_spec spec = with_disk(MEMORY, 3);

	if (can_log())
		reset_many(&spec, false, many(RESETS / 8));
}

/* With less memory, which is compared each time. A hundred times as often in the soak: by halves,
 * for two cores. */
static void reset_half_of_ten_thousand(unsigned half)
{
	const struct guest_spec spec = with_disk(MIB(8), 1);
	const unsigned resets = many(5000);

	if (can_log())
		reset_lives(&spec, false, half * resets, resets, 1600);
}

Test(reset, takes_everything_back_five_thousand_times)
{
	reset_half_of_ten_thousand(0);
}

Test(reset, takes_everything_back_five_thousand_times_more)
{
	reset_half_of_ten_thousand(1);
}

/* Nothing waits for the guest: requests are in its queues, bytes on their way to its console, vCPUs
 * in the middle of an exit. */
Test(reset, in_the_middle_of_anything)
{
	static const char *const commands[] = {
		"dload 0 0 6 2", "rngfill 6 8",	   "fillall 4 8 3", "dwrite 0 0 2000 5",
		"hvc words",	 "dzeroes 0 0 64", "smp",	    "dread 0 0 2000 5",
	};

	if (!can_log())
		return;
	golden_begin(&(struct guest_spec){.memory = MEMORY, .vcpus = 2, .disk = random_disk()},
		     false, PAGER_FILL_FULL);
	for (unsigned i = 0; i < many(RESETS / 2); i++) {
		guest_send(&golden.g, commands[i % ARRAY_SIZE(commands)]);
		usleep(i * 7919 % 5000);
		(void)golden_reset_whole();
		guest_unpause(&golden.g);
	}
	says(&golden.g, "nonce", golden.nonce);
	golden_end();
}

/* A save that goes on has a base of its own, and clears KVM's log. */
Test(reset, a_save_in_between_loses_no_page)
{
	static struct guest origin, g, h;
	static struct whole_state before;
	const char *file, *increment = strdup(scratch_path("increment.torpor"));
	struct golden_reset did;

	if (!can_log())
		return;
	file = make_golden(&origin, &(struct guest_spec){.memory = MEMORY, .disk = random_disk()},
			   false);
	guest_resume_golden(&g, file, PAGER_FILL_FULL);
	read_state(&g, &before);
	for (unsigned i = 0; i < 3; i++) {
		guest_unpause(&g);
		guest_say(&g, "fill 4 3 9");
		says(&g, "dwrite 0 200 16 8", "dwrite ok");
		guest_pause(&g);
		guest_save_increment(&g, increment, file);
		guest_unpause(&g);
		guest_say(&g, "fill 9 2 9");
		if (i == 1) {
			/* Again, so that the first one's pages are in no log any more. */
			guest_pause(&g);
			guest_save_increment(&g, strdup(scratch_path("second.torpor")), increment);
			guest_unpause(&g);
			guest_say(&g, "fill 12 1 9");
		}
		guest_pause(&g);
		if (i == 2)
			dirty_stop(&g.machine.dirty); /* as after a log that failed */
		guest_reset(&g, &did);
		cr_assert(ge(u64, did.pages, 5 * MIB(1) / PAGE));
		expect_same_state(&g, &before);
		expect_same_memory(&g, &origin);
		expect_same_disk(&g, &origin);
	}
	/* From here on it counts from the golden file again. */
	guest_unpause(&g);
	guest_say(&g, "fill 9 1 6");
	guest_pause(&g);
	guest_save_increment(&g, increment, file);
	guest_stop(&g);
	guest_stop(&origin);
	guest_resume(&h, increment);
	says(&h, "check 4 2 7", "check ok");
	says(&h, "check 9 1 6", "check ok");
	says(&h, "dread 0 100 64 3", "dread ok");
	guest_stop(&h);
}

/* Frames that are still in the file are left there, or come when they are needed. */
Test(reset, a_machine_that_is_not_all_there)
{
	static struct guest origin, g;
	const char *file;
	struct golden_reset did;
	struct pager_stats stats;
	struct err err;
	int fd = -1;

	if (!can_log())
		return;
	if (uffd_open(&fd, &err) < 0) {
		fprintf(stderr, "SKIP: %s\n", err.text);
		return;
	}
	close(fd);
	file = make_golden(&origin, &(struct guest_spec){.memory = MIB(64)}, false);
	guest_resume_golden(&g, file, PAGER_FILL_NONE);
	for (unsigned i = 0; i < 8; i++) {
		guest_unpause(&g);
		guest_say(&g, i % 2 == 0 ? "touch 4 3 16 5" : "touch 40 100 16 5");
		guest_pause(&g);
		mem_discard(&g.machine.mem, guest_memory(&g, MIB(5), FRAME_SIZE), FRAME_SIZE);
		guest_reset(&g, &did);
		cr_assert(lt(u64, did.pages, 300));
	}
	pager_stats(g.pager, &stats);
	cr_assert(lt(u64, stats.present, stats.frames), "resets load what they do not need");
	expect_same_memory(&g, &origin);
	guest_unpause(&g);
	says(&g, "check 4 2 7", "check ok");
	guest_stop(&g);
	guest_stop(&origin);
}

Test(reset, memory_above_4_gib)
{
	static struct guest origin, g;
	struct golden_reset did;
	const char *file;

	if (!can_log())
		return;
	file = make_golden(&origin, &(struct guest_spec){.memory = GIB(5)}, false);
	guest_resume_golden(&g, file, PAGER_FILL_FULL);
	guest_unpause(&g);
	guest_say(&g, "touch 4100 64 33 3");
	guest_reset(&g, &did);
	cr_assert(ge(u64, did.pages, 64));
	cr_assert(lt(u64, did.pages, 200), "%llu pages", (unsigned long long)did.pages);
	for (unsigned i = 0; i < 64; i++)
		cr_assert(eq(int, (int)*(uint64_t *)guest_memory(&g, MIB(4100) + i * 33 * PAGE, 8),
			     0));
	guest_stop(&g);
	guest_stop(&origin);
}

/* Also within a second of the last time it was set, when KVM takes a value for a correction. */
Test(reset, time_goes_back)
{
	static struct guest origin, g;
	struct golden_reset did;
	uint64_t ticks, clock, now;
	const char *file;
	struct err err;
	bool has_ticks;

	if (!can_log())
		return;
	file = make_golden(&origin, &(struct guest_spec){.memory = MEMORY}, false);
	guest_resume_golden(&g, file, PAGER_FILL_FULL);
	has_ticks = arch_can_set_ticks(&g.machine);
	guest_reset(&g, &did);
	for (unsigned i = 0; i < 3; i++) {
		guest_unpause(&g);
		guest_say(&g, "nonce");
		usleep(600000);
		guest_pause(&g);
		ticks = arch_guest_ticks(&g.machine);
		clock = g.machine.clock;
		guest_reset(&g, &did);
		cr_assert(lt(u64, g.machine.clock, clock));
		/* It stands until the machine goes on. */
		usleep(600000);
		guest_unpause(&g);
		cr_assert(eq(int, arch_clock_get(&g.machine.kvm, &now, &err), 0));
		cr_assert(lt(u64, now, clock));
		guest_reset(&g, &did);
		if (has_ticks)
			cr_assert(lt(u64, arch_guest_ticks(&g.machine), ticks));
	}
	guest_stop(&g);
	guest_stop(&origin);
}

/* Whatever became of the guest. */
Test(reset, of_a_guest_that_was_reset_or_has_halted)
{
	struct guest *g = &golden.g;

	if (!can_log())
		return;
	golden_begin(&(struct guest_spec){.memory = MEMORY, .disk = random_disk()}, false,
		     PAGER_FILL_FULL);
	guest_restart(g, "reset");
	cr_assert_str_neq(guest_say(g, "nonce"), golden.nonce);
	(void)golden_reset_whole();
	guest_unpause(g);
	says(g, "nonce", golden.nonce);
	guest_restart(g, arch_restart_command);
	(void)golden_reset_whole();
	guest_unpause(g);
	says(g, "nonce", golden.nonce);
	guest_send(g, "halt");
	usleep(50000);
	(void)golden_reset_whole();
	guest_unpause(g);
	says(g, "nonce", golden.nonce);
	golden_end();
}

/* The frame at 5 MiB. */
static void damage(const char *file)
{
	struct archive *a;
	const struct image *image;
	const struct extent *e;
	struct blob blob;
	struct err err;
	int fd = open(file, O_RDWR | O_CLOEXEC);

	cr_assert(archive_open(&a, file, &err) == 0, "%s", err.text);
	image = archive_image(a, "memory.0");
	e = image_map_find(&image->map, MIB(5) / FRAME_SIZE);
	cr_assert(eq(u32, e->kind, EXTENT_DATA));
	blob = image_packed_place(image, e->place + MIB(5) / FRAME_SIZE - e->frame);
	cr_assert(pwrite(fd, "damage", 6, (off_t)(blob.offset + blob.len / 2)) == 6);
	close(fd);
	archive_close(a);
}

Test(reset, a_frame_that_cannot_be_read_changes_nothing)
{
	static struct guest origin, g;
	static struct whole_state before;
	struct golden_reset did;
	struct err err = {0};
	const char *file;

	if (!can_log())
		return;
	file = make_golden(&origin, &(struct guest_spec){.memory = MEMORY, .disk = random_disk()},
			   false);
	guest_resume_golden(&g, file, PAGER_FILL_FULL);
	guest_unpause(&g);
	/* The pager is through with the file. */
	says(&g, "check 4 2 7", "check ok");
	guest_say(&g, "fill 4 2 8");
	says(&g, "dwrite 0 100 64 9", "dwrite ok");
	damage(file);
	guest_pause(&g);
	read_state(&g, &before);
	cr_assert(lt(int, golden_reset(g.golden, &did, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY));
	cr_assert_not_null(strstr(err.text, "memory.0"), "%s", err.text);
	expect_same_state(&g, &before);
	guest_unpause(&g);
	says(&g, "check 4 2 8", "check ok");
	says(&g, "dread 0 100 64 9", "dread ok");
	guest_stop(&g);
	guest_stop(&origin);
}
