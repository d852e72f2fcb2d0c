/* Machines with the tiny kernel on this machine's /dev/kvm: run, pause, save, resume. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "format/archive.h"
#include "snapshot/staged.h"
#include "tests/await.h"
#include "tests/kvm/arch_guest.h"
#include "tests/kvm/harness.h"

#define GUEST_MEMORY MIB(16)

static char *make_disk(const char *name, size_t size)
{
	char *path = strdup(scratch_path(name));
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	cr_assert(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	close(fd);
	return path;
}

static void save_or_fail(struct guest *g, const char *path)
{
	struct err err;

	cr_assert(guest_save(g, path, &err) == 0, "save: %s", err.text);
}

Test(machine, boots_and_powers_off)
{
	struct guest g;

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){0});
	cr_assert_str_eq(guest_say(&g, "ping hello"), "pong hello");
	guest_say(&g, "poweroff");
	cr_assert_eq(guest_wait_end(&g), MACHINE_END_POWEROFF);
	guest_stop(&g);
}

/* It counts in its memory, so that memory tells whether it runs. */
static void copy_memory(const struct guest *g, uint8_t *copy)
{
	memcpy(copy, g->machine.mem.range[0].host, GUEST_MEMORY);
}

static bool has_written(const struct guest *g, const uint8_t *copy)
{
	return memcmp(g->machine.mem.range[0].host, copy, GUEST_MEMORY) != 0;
}

Test(machine, stands_still_while_paused)
{
	static struct guest g, other;
	uint8_t *copy = malloc(GUEST_MEMORY);
	uint64_t count;

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){.memory = GUEST_MEMORY});
	guest_boot(&other, &(struct guest_spec){.memory = GUEST_MEMORY});
	copy_memory(&g, copy);
	AWAIT(has_written(&g, copy));
	cr_assert(has_written(&g, copy), "a running guest must be seen to count");

	count = guest_number(&g, "count");
	guest_pause(&g);
	copy_memory(&g, copy);
	/* While another one counts on, this one could do so as well. */
	guest_await_more(&other, "count", guest_number(&other, "count") + 20000);
	cr_assert_not(has_written(&g, copy), "a paused guest goes on");
	guest_unpause(&g);
	AWAIT(has_written(&g, copy));
	cr_assert(has_written(&g, copy), "it does not go on behind the pause");
	guest_await_more(&g, "count", count);
	guest_stop(&other);
	guest_stop(&g);
	free(copy);
}

Test(machine, resumes_where_it_was)
{
	struct guest g, h;
	char nonce[64];
	uint64_t count;
	const char *file = strdup(scratch_path("a.torpor"));

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){.memory = MIB(256)});
	snprintf(nonce, sizeof(nonce), "%s", guest_say(&g, "nonce"));
	guest_say(&g, "fill 16 32 7");
	count = guest_number(&g, "count");
	guest_pause(&g);
	save_or_fail(&g, file);
	guest_stop(&g);

	guest_resume(&h, file);
	cr_assert_str_eq(guest_say(&h, "nonce"), nonce);
	cr_assert_str_eq(guest_say(&h, "check 16 32 7"), "check ok");
	cr_assert_gt(guest_number(&h, "count"), count);
	guest_stop(&h);
}

/* However long it has been paused. */
Test(machine, the_clock_of_a_paused_machine_is_saved_where_it_stands)
{
	cleanup_staged struct staged staged = {0};
	cleanup_archive struct archive *a = NULL;
	const char *file = strdup(scratch_path("clock.torpor"));
	struct guest g;
	struct err err;

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){0});
	guest_pause(&g);
	usleep(50000);
	save_or_fail(&g, file);
	cr_assert(archive_open(&a, file, &err) == 0, "%s", err.text);
	cr_assert(staged_read(&staged, &g.machine, a, &err) == 0, "%s", err.text);
	cr_assert(eq(u64, arch_state_clock(staged.vm), g.machine.clock));
	guest_stop(&g);
}

Test(machine, goes_on_after_a_save_that_leaves_it_running)
{
	struct guest g;
	uint64_t count;

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){0});
	count = guest_number(&g, "count");
	guest_pause(&g);
	save_or_fail(&g, scratch_path("r.torpor"));
	guest_unpause(&g);
	cr_assert_gt(guest_number(&g, "count"), count);
	guest_stop(&g);
}

/* Whatever was written in generations 0 … `last` must read back. */
static void check_sectors(struct guest *g, int last)
{
	char command[64];

	for (int k = 0; k <= last; k++) {
		snprintf(command, sizeof(command), "dread 0 %d 64 %d", k * 1000, 100 + k);
		cr_assert_str_eq(guest_say(g, command), "dread ok", "generation %d", k);
	}
}

Test(machine, three_generations_with_a_disk)
{
	static struct guest g[4];
	char nonce[64], command[64], name[32];
	char sector[512], zero[512] = {0};
	char *disk = make_disk("base.img", MIB(8));
	int fd;

	if (!have_kvm())
		return;
	guest_boot(&g[0], &(struct guest_spec){.disk = disk});
	snprintf(nonce, sizeof(nonce), "%s", guest_say(&g[0], "nonce"));
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "gen%d.torpor", i);
		snprintf(command, sizeof(command), "dwrite 0 %d 64 %d", i * 1000, 100 + i);
		cr_assert_str_eq(guest_say(&g[i], command), "dwrite ok");
		guest_pause(&g[i]);
		save_or_fail(&g[i], scratch_path(name));
		guest_stop(&g[i]);
		guest_resume(&g[i + 1], scratch_path(name));
		cr_assert_str_eq(guest_say(&g[i + 1], "nonce"), nonce);
		check_sectors(&g[i + 1], i);
	}
	guest_stop(&g[3]);
	fd = open(disk, O_RDONLY);
	cr_assert_eq(pread(fd, sector, sizeof(sector), 0), 512);
	cr_assert_eq(memcmp(sector, zero, sizeof(zero)), 0, "the base was written");
	close(fd);
}

Test(machine, eight_resume_at_once_from_one_file)
{
	static struct guest g[8];
	char nonce[64], genid[8][64];
	const char *file = strdup(scratch_path("eight.torpor"));

	if (!have_kvm())
		return;
	guest_boot(&g[0], &(struct guest_spec){0});
	snprintf(nonce, sizeof(nonce), "%s", guest_say(&g[0], "nonce"));
	guest_pause(&g[0]);
	save_or_fail(&g[0], file);
	guest_stop(&g[0]);
	for (int i = 0; i < 8; i++)
		guest_resume(&g[i], file);
	for (int i = 0; i < 8; i++) {
		cr_assert_str_eq(guest_say(&g[i], "nonce"), nonce);
		snprintf(genid[i], sizeof(genid[i]), "%s", guest_say(&g[i], "genid"));
	}
	for (int i = 0; i < 8; i++) {
		for (int k = 0; k < i; k++)
			cr_assert_str_neq(genid[i], genid[k], "twins with one generation id");
		guest_stop(&g[i]);
	}
}

/* What no resume would take is refused while the machine is still there, which goes on. */
Test(machine, a_save_that_could_not_be_resumed_is_refused)
{
	const char *file = strdup(scratch_path("refused.torpor"));
	struct guest g, h;
	uint8_t *first_register, good;
	struct err err;

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){0});
	guest_pause(&g);
	first_register = machine_device(&g.machine, "serial0")->part[0].state;
	good = *first_register;
	*first_register = 0xff;
	cr_assert(guest_save(&g, file, &err) < 0);
	cr_assert(eq(int, err.kind, ERR_INTEGRITY));
	cr_assert(strstr(err.text, "could not be resumed: device serial0: a register holds") !=
			  NULL,
		  "%s", err.text);
	cr_assert(access(file, F_OK) < 0, "something was published");
	*first_register = good;
	guest_unpause(&g);
	cr_assert_str_eq(guest_say(&g, "ping still"), "pong still");
	guest_pause(&g);
	save_or_fail(&g, file);
	guest_stop(&g);
	guest_resume(&h, file);
	cr_assert_str_eq(guest_say(&h, "ping here"), "pong here");
	guest_stop(&h);
}

Test(machine, reset_starts_anew)
{
	struct guest g;
	char nonce[64];

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){.vcpus = 2});
	cr_assert_str_eq(guest_say(&g, "smp"), "smp 1");
	snprintf(nonce, sizeof(nonce), "%s", guest_say(&g, "nonce"));
	guest_restart(&g, "reset");
	cr_assert_str_neq(guest_say(&g, "nonce"), nonce);
	cr_assert_str_eq(guest_say(&g, "smp"), "smp 1");
	guest_stop(&g);
}

Test(machine, resumes_with_two_vcpus_and_resets_afterwards)
{
	struct guest g, h;
	uint64_t count;
	const char *file = strdup(scratch_path("smp.torpor"));

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){.vcpus = 2});
	cr_assert_str_eq(guest_say(&g, "smp"), "smp 1");
	count = guest_number(&g, "count2");
	guest_pause(&g);
	save_or_fail(&g, file);
	guest_stop(&g);
	guest_resume(&h, file);
	/* The second vCPU's thread may get a core later than the first one answers. */
	guest_await_more(&h, "count2", count);
	guest_restart(&h, arch_restart_command);
	cr_assert_str_eq(guest_say(&h, "ping again"), "pong again");
	guest_stop(&h);
}

Test(machine, memory_above_4_gib_is_resumed)
{
	struct guest g, h;
	const char *file = strdup(scratch_path("big.torpor"));

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){.memory = GIB(5)});
	guest_say(&g, "fill 4100 8 3");
	guest_say(&g, "fill 3000 8 4");
	guest_pause(&g);
	save_or_fail(&g, file);
	guest_stop(&g);
	guest_resume(&h, file);
	cr_assert_str_eq(guest_say(&h, "check 4100 8 3"), "check ok");
	cr_assert_str_eq(guest_say(&h, "check 3000 8 4"), "check ok");
	guest_stop(&h);
}

Test(machine, hostile_rings_need_a_reset)
{
	struct guest g;
	char *disk = make_disk("hostile.img", MIB(1));
	char command[32];

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){.disk = disk, .cmdline = "indirect"});
	for (int n = 1; n <= 9; n++) {
		snprintf(command, sizeof(command), "badqueue %d", n);
		cr_assert_str_eq(guest_say(&g, command), "badqueue status 4f", "attack %d", n);
	}
	cr_assert_str_eq(guest_say(&g, "dwrite 0 0 8 1"), "dwrite ok");
	guest_stop(&g);
}
