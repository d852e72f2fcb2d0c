/* CMOS clock, reset line, ACPI power block and generation counter, as a guest uses them; and the
 * board that puts every device in its place. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "devices/x86/acpi_pm.h"
#include "tests/unit/fake_board.h"
#include "vmm/x86_64/platform.h"

#define REG_B	  0x0b
#define B_SET	  0x80
#define B_BINARY  0x04
#define B_24H	  0x02
#define RESET_CMD 0xfe
#define PWRBTN	  0x0100
#define SCI	  9

static struct fake_board here, there;

static void teardown(void)
{
	fake_board_free(&here);
	fake_board_free(&there);
}

TestSuite(cmos, .fini = teardown);
TestSuite(i8042, .fini = teardown);
TestSuite(acpi_pm, .fini = teardown);
TestSuite(vmgenid, .fini = teardown);
TestSuite(board, .fini = teardown);

static uint8_t cmos_get(struct fake_board *b, uint8_t index)
{
	fake_out(b, 0x70, index, 1);
	return (uint8_t)fake_in(b, 0x71, 1);
}

static void cmos_set(struct fake_board *b, uint8_t index, uint8_t value)
{
	fake_out(b, 0x70, index, 1);
	fake_out(b, 0x71, value, 1);
}

static int from_bcd(uint8_t value)
{
	return (value >> 4) * 10 + (value & 0xf);
}

static uint8_t to_bcd(int value)
{
	return (uint8_t)((value / 10) << 4 | value % 10);
}

/* The clock as seconds, as Linux reads it: again when the second changed on the way. */
static time_t read_clock(struct fake_board *b)
{
	struct tm tm;
	uint8_t second;

	do {
		second = cmos_get(b, 0x00);
		tm = (struct tm){
			.tm_sec = from_bcd(second),
			.tm_min = from_bcd(cmos_get(b, 0x02)),
			.tm_hour = from_bcd(cmos_get(b, 0x04)),
			.tm_mday = from_bcd(cmos_get(b, 0x07)),
			.tm_mon = from_bcd(cmos_get(b, 0x08)) - 1,
			.tm_year = from_bcd(cmos_get(b, 0x32)) * 100 + from_bcd(cmos_get(b, 0x09)) -
				   1900,
		};
	} while (cmos_get(b, 0x00) != second);
	return timegm(&tm);
}

/* As rtc_cmos does: hold, write, let go. */
static void write_clock(struct fake_board *b, time_t when)
{
	struct tm tm;

	gmtime_r(&when, &tm);
	cmos_set(b, REG_B, B_SET | B_24H);
	cmos_set(b, 0x00, to_bcd(tm.tm_sec));
	cmos_set(b, 0x02, to_bcd(tm.tm_min));
	cmos_set(b, 0x04, to_bcd(tm.tm_hour));
	cmos_set(b, 0x07, to_bcd(tm.tm_mday));
	cmos_set(b, 0x08, to_bcd(tm.tm_mon + 1));
	cmos_set(b, 0x09, to_bcd(tm.tm_year % 100));
	cmos_set(b, 0x32, to_bcd((tm.tm_year + 1900) / 100));
	cmos_set(b, REG_B, B_24H);
}

static void near(time_t a, time_t b)
{
	cr_assert(a - b <= 2 && b - a <= 2, "%lld is not about %lld", (long long)a, (long long)b);
}

Test(cmos, tells_the_hosts_time)
{
	if (!fake_board_init(&here))
		return;
	near(read_clock(&here), time(NULL));
	cr_assert(zero(u8, cmos_get(&here, 0x0a) & 0x80));
	cr_assert(eq(u8, cmos_get(&here, REG_B), B_24H));
	cr_assert(eq(u8, cmos_get(&here, 0x0c), 0));
	cr_assert(eq(u8, cmos_get(&here, 0x0d), 0x80));
}

Test(cmos, the_guest_may_set_it)
{
	const time_t leap = 951782399; /* 2000-02-28 23:59:59 */

	if (!fake_board_init(&here))
		return;
	write_clock(&here, leap);
	near(read_clock(&here), leap);
	write_clock(&here, time(NULL) + 86400);
	near(read_clock(&here), time(NULL) + 86400);
}

Test(cmos, one_register_alone_may_be_set)
{
	uint8_t year;

	if (!fake_board_init(&here))
		return;
	/* Without a single read before: what is not written must still be the time of day. */
	cmos_set(&here, REG_B, B_SET | B_24H);
	cmos_set(&here, 0x09, 0x30);
	cmos_set(&here, REG_B, B_24H);
	year = cmos_get(&here, 0x09);
	cr_assert(eq(u8, year, 0x30));
	cr_assert(eq(u8, cmos_get(&here, 0x32), 0x20));
	cr_assert(ge(u8, cmos_get(&here, 0x07), 1));
}

Test(cmos, binary_and_twelve_hours)
{
	if (!fake_board_init(&here))
		return;
	write_clock(&here, 1700000000 - 1700000000 % 86400 + 15 * 3600 + 90); /* 15:01:30 */
	cr_assert(eq(u8, cmos_get(&here, 0x04), 0x15));
	cmos_set(&here, REG_B, B_24H | B_BINARY);
	cr_assert(eq(u8, cmos_get(&here, 0x04), 15));
	cmos_set(&here, REG_B, 0);
	cr_assert(eq(u8, cmos_get(&here, 0x04), 0x83));
	cmos_set(&here, REG_B, B_SET);
	cmos_set(&here, 0x04, 0x12); /* 12 am is midnight */
	cmos_set(&here, REG_B, 0);
	cmos_set(&here, REG_B, B_24H);
	cr_assert(eq(u8, cmos_get(&here, 0x04), 0x00));
}

Test(cmos, memory_keeps_bytes)
{
	if (!fake_board_init(&here))
		return;
	for (uint8_t i = 0x0e; i < 0x80; i++) {
		if (i != 0x32)
			cmos_set(&here, i, (uint8_t)(i ^ 0x5a));
	}
	for (uint8_t i = 0x0e; i < 0x80; i++) {
		if (i != 0x32)
			cr_assert(eq(u8, cmos_get(&here, i), (uint8_t)(i ^ 0x5a)));
	}
	cr_assert(eq(u8, cmos_get(&here, 0x8e), 0x0e ^ 0x5a)); /* bit 7 masks NMIs */
	cmos_set(&here, 0x0d, 0);
	cr_assert(eq(u8, cmos_get(&here, 0x0d), 0x80));
}

/* Nothing that a guest can write into the clock may make our arithmetic undefined. */
Test(cmos, absurd_times_are_survived)
{
	uint64_t seed = 88172645463325252u;

	if (!fake_board_init(&here))
		return;
	for (unsigned round = 0; round < 2000; round++) {
		for (unsigned i = 0; i < 10; i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			cmos_set(&here, (uint8_t)(seed % 11 == 10 ? 0x32 : seed % 11),
				 (uint8_t)(seed >> 20));
		}
		cmos_set(&here, REG_B, (uint8_t)(seed >> 30) & (B_SET | B_24H | B_BINARY));
		cmos_set(&here, 0x32, 0);
		cmos_set(&here, 0x09, round % 4 ? (uint8_t)(seed >> 40) : 0);
		read_clock(&here);
	}
}

Test(cmos, an_offset_wakes_and_today_is_today)
{
	struct err err = {0};

	if (!fake_board_init(&here) || !fake_board_init(&there))
		return;
	write_clock(&here, time(NULL) - 3600);
	cmos_set(&here, 0x40, 77);
	cr_assert(eq(int, fake_board_move(&here, &there, "cmos", NULL, &err), 0), "%s", err.text);
	near(read_clock(&there), time(NULL) - 3600);
	cr_assert(eq(u8, cmos_get(&there, 0x40), 77));
}

static void spoil_index(void *const staged[])
{
	((uint8_t *)staged[0])[8] = 0x80;
}

/* "Update in progress" for ever: the guest would wait for its end. */
static void spoil_update(void *const staged[])
{
	((uint8_t *)staged[0])[16 + 0x0a] |= 0x80;
}

static void spoil_offset(void *const staged[])
{
	uint64_t absurd = (uint64_t)INT64_MAX;

	memcpy(staged[0], &absurd, sizeof(absurd));
}

Test(cmos, refuses_state_that_cannot_be)
{
	void (*const spoil[])(void *const staged[]) = {spoil_index, spoil_update, spoil_offset};

	if (!fake_board_init(&here) || !fake_board_init(&there))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(spoil); i++) {
		struct err err = {0};

		cr_assert(lt(int, fake_board_move(&here, &there, "cmos", spoil[i], &err), 0), "%zu",
			  i);
		cr_assert(eq(int, err.kind, ERR_INTEGRITY));
	}
}

Test(i8042, only_its_reset_command_does_something)
{
	if (!fake_board_init(&here))
		return;
	cr_assert(eq(u32, fake_in(&here, 0x64, 1), 0));
	cr_assert(eq(u32, fake_in(&here, 0x60, 1), 0));
	fake_out(&here, 0x60, RESET_CMD, 1);
	for (uint32_t command = 0; command < 0x100; command++) {
		if (command != RESET_CMD)
			fake_out(&here, 0x64, command, 1);
	}
	cr_assert_not(here.m.reset_requested);
	fake_out(&here, 0x64, RESET_CMD, 1);
	cr_assert(here.m.reset_requested);
}

Test(acpi_pm, the_power_button_is_an_event)
{
	if (!fake_board_init(&here))
		return;
	board_power_button(&here.board);
	cr_assert(eq(u32, fake_in(&here, X86_PM1A_EVT, 2), PWRBTN));
	cr_assert_not(fake_level(&here, SCI));
	fake_out(&here, X86_PM1A_EVT + 2, PWRBTN, 2);
	cr_assert(fake_level(&here, SCI));
	fake_out(&here, X86_PM1A_EVT, 0xfeff, 2); /* writing ones clears, zeros leave */
	cr_assert(fake_level(&here, SCI));
	fake_out(&here, X86_PM1A_EVT, PWRBTN, 2);
	cr_assert_not(fake_level(&here, SCI));
	cr_assert(eq(u32, fake_in(&here, X86_PM1A_EVT, 4), PWRBTN << 16));
}

Test(acpi_pm, registers_take_every_width)
{
	if (!fake_board_init(&here))
		return;
	fake_out(&here, X86_PM1A_EVT + 3, PWRBTN >> 8, 1);
	cr_assert(eq(u32, fake_in(&here, X86_PM1A_EVT + 2, 2), PWRBTN));
	board_power_button(&here.board);
	cr_assert(eq(u32, fake_in(&here, X86_PM1A_EVT + 1, 1), PWRBTN >> 8));
	fake_out(&here, X86_PM1A_EVT, 0xff, 1); /* the other byte */
	cr_assert(fake_level(&here, SCI));
	fake_out(&here, X86_PM1A_EVT + 1, PWRBTN >> 8, 1);
	cr_assert_not(fake_level(&here, SCI));
	fake_out(&here, X86_PM1A_EVT, 0xffffffff, 4);
	cr_assert(eq(u32, fake_in(&here, X86_PM1A_EVT, 4), 0x0521u << 16));
	fake_out(&here, X86_PM1A_EVT, 0, 4);
	cr_assert(eq(u32, fake_in(&here, X86_PM1A_EVT, 4), 0));
}

Test(acpi_pm, general_purpose_events)
{
	if (!fake_board_init(&here))
		return;
	acpi_pm_raise_gpe(here.board.power, 3);
	cr_assert(eq(u32, fake_in(&here, X86_GPE0, 1), 8));
	cr_assert_not(fake_level(&here, SCI));
	fake_out(&here, X86_GPE0 + 1, 0xff, 1);
	cr_assert(fake_level(&here, SCI));
	acpi_pm_raise_gpe(here.board.power, 0);
	fake_out(&here, X86_GPE0, 8, 1);
	cr_assert(fake_level(&here, SCI));
	cr_assert(eq(u32, fake_in(&here, X86_GPE0, 2), 0xff01));
	fake_out(&here, X86_GPE0, 1, 1);
	cr_assert_not(fake_level(&here, SCI));
}

/* 3.58 MHz of the guest's clock: where that is set, the timer goes on. */
Test(acpi_pm, timer_counts_the_guests_clock)
{
	const uint64_t seconds = 7200;
	uint32_t ticks, want = (uint32_t)(seconds * 3579545);
	struct err err;

	if (!fake_board_init(&here))
		return;
	cr_assert(eq(int, arch_clock_set(&here.m.kvm, seconds * 1000000000, &err), 0));
	fake_out(&here, X86_PM_TMR, 0, 4); /* read-only */
	ticks = fake_in(&here, X86_PM_TMR, 4);
	cr_assert(lt(u32, ticks - want, 60 * 3579545));
	cr_assert(lt(u32, fake_in(&here, X86_PM_TMR, 4) - ticks, 60 * 3579545));
}

Test(acpi_pm, soft_off_ends_the_machine)
{
	if (!fake_board_init(&here))
		return;
	cr_assert(eq(u32, fake_in(&here, X86_PM1A_CNT, 2), 1)); /* SCI_EN */
	fake_out(&here, X86_PM1A_CNT, X86_SLP_TYP_S5 << 10, 2);
	cr_assert(eq(int, here.m.end, MACHINE_END_NONE));
	fake_out(&here, X86_PM1A_CNT, 1 << 10 | 0x2000, 2); /* S1: there is none */
	cr_assert(eq(int, here.m.end, MACHINE_END_NONE));
	fake_out(&here, X86_PM1A_CNT, X86_SLP_TYP_S5 << 10 | 0x2000, 2);
	cr_assert(eq(int, here.m.end, MACHINE_END_POWEROFF));
	cr_assert(zero(u32, fake_in(&here, X86_PM1A_CNT, 2) & 0x2000)); /* SLP_EN is write-only */
}

Test(acpi_pm, wakes_with_its_line_high)
{
	struct err err = {0};

	if (!fake_board_init(&here) || !fake_board_init(&there))
		return;
	fake_out(&here, X86_PM1A_EVT + 2, PWRBTN, 2);
	board_power_button(&here.board);
	cr_assert(eq(int, fake_board_move(&here, &there, "acpi-pm", NULL, &err), 0), "%s",
		  err.text);
	cr_assert(fake_level(&there, SCI));
	cr_assert(eq(u32, fake_in(&there, X86_PM1A_EVT, 4), PWRBTN << 16 | PWRBTN));
}

static void spoil_control(void *const staged[])
{
	((uint8_t *)staged[0])[5] = 0x20; /* SLP_EN */
}

Test(acpi_pm, refuses_bits_that_cannot_be)
{
	struct err err = {0};

	if (!fake_board_init(&here) || !fake_board_init(&there))
		return;
	cr_assert(lt(int, fake_board_move(&here, &there, "acpi-pm", spoil_control, &err), 0));
	cr_assert(eq(int, err.kind, ERR_INTEGRITY));
}

Test(acpi_pm, reset_lowers_the_line)
{
	if (!fake_board_init(&here))
		return;
	fake_out(&here, X86_GPE0 + 1, 1, 1);
	acpi_pm_raise_gpe(here.board.power, 0);
	here.board.power->ops->reset(here.board.power);
	cr_assert_not(fake_level(&here, SCI));
	cr_assert(eq(u32, fake_in(&here, X86_GPE0, 2), 0));
}

static void generation(struct fake_board *b, uint8_t id[16])
{
	b->board.vmgenid->ops->start(b->board.vmgenid);
	cr_assert(mem_read(&b->m.mem, X86_VMGENID_ADDR, id, 16));
}

Test(vmgenid, two_machines_differ_and_one_stays)
{
	const uint8_t none[16] = {0};
	uint8_t first[16], second[16], again[16];

	if (!fake_board_init(&here) || !fake_board_init(&there))
		return;
	generation(&here, first);
	generation(&there, second);
	generation(&here, again);
	cr_assert_neq(memcmp(first, second, 16), 0);
	cr_assert_neq(memcmp(first, none, 16), 0);
	cr_assert_arr_eq(first, again, 16);
}

Test(vmgenid, post_resume_draws_a_new_one_and_tells)
{
	uint8_t before[16], loaded[16], after[16];
	struct err err = {0};

	if (!fake_board_init(&here) || !fake_board_init(&there))
		return;
	generation(&here, before);
	cr_assert(eq(int, fake_board_move(&here, &there, "vmgenid", NULL, &err), 0), "%s",
		  err.text);
	generation(&there, loaded);
	cr_assert_arr_eq(before, loaded, 16);
	fake_out(&there, X86_GPE0 + 1, 1, 1);
	cr_assert(eq(int, board_new_generation(&there.board, &err), 0), "%s", err.text);
	cr_assert(mem_read(&there.m.mem, X86_VMGENID_ADDR, after, 16));
	cr_assert_neq(memcmp(before, after, 16), 0);
	cr_assert(eq(u32, fake_in(&there, X86_GPE0, 1), 1));
	cr_assert(fake_level(&there, SCI));
}

/* The order of the devices is the order of the sections in every file: it may not change. */
Test(board, every_device_has_its_place)
{
	const char *const ids[] = {"serial0", "cmos", "i8042",	 "acpi-pm", "vmgenid", "disk0",
				   "console", "rng",  "balloon", "net0",    "share0",  "vsock"};
	const uint32_t virtio_ids[] = {2, 3,  4,  5,
				       1, 26, 19, UINT32_MAX}; /* by slot; nobody in the last */

	if (!fake_board_init(&here))
		return;
	cr_assert(eq(uint, here.m.ndevices, ARRAY_SIZE(ids)));
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		cr_assert(eq(str, here.m.devices[i]->id, (char *)ids[i]));
	for (size_t slot = 0; slot < ARRAY_SIZE(virtio_ids); slot++) {
		uint8_t id[4];

		bus_read(&here.m.mmio, X86_VIRTIO_BASE + slot * X86_VIRTIO_STRIDE + 8, id,
			 sizeof(id));
		cr_assert(eq(u32, le_get32(id), virtio_ids[slot]), "slot %zu", slot);
	}
	cr_assert(eq(u32, here.m.board.virtio_slots, 127));
	cr_assert(eq(u32, here.m.board.nvcpus, 1));
}

static int next_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static unsigned open_files(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Build a board while the process may open only `fds` more files. */
static int build_with(unsigned fds, struct err *err)
{
	struct machine_params params = {.memory = MIB(2), .nvcpus = 1, .log = {.fd = -1}};
	struct disk_params disk = {.id = "data", .size = 65536, .scratch_dir = "/tmp"};
	struct appliance a = {.ndisks = 1};
	struct board_bindings bindings = {0};
	struct rlimit before, less;
	static struct machine m;
	struct board board;
	unsigned files = open_files();
	int ret;

	disk.raw = (struct blob){.fd = memfd_create("base", MFD_CLOEXEC), .len = disk.size};
	cr_assert(eq(int, ftruncate(disk.raw.fd, (off_t)disk.size), 0));
	cr_assert(eq(int, disk_open(&bindings.disk[0], &disk, err), 0), "%s", err->text);
	cr_assert(eq(int, machine_init(&m, &params, err), 0), "%s", err->text);
	getrlimit(RLIMIT_NOFILE, &before);
	less = (struct rlimit){.rlim_cur = (rlim_t)next_fd() + fds, .rlim_max = before.rlim_max};
	setrlimit(RLIMIT_NOFILE, &less);
	ret = board_build(&board, &m, &a, &bindings, err);
	setrlimit(RLIMIT_NOFILE, &before);
	cr_assert(eq(ptr, bindings.disk[0], NULL)); /* taken over, also on failure */
	machine_free(&m);
	cr_assert(eq(uint, open_files(), files)); /* all are closed again */
	return ret;
}

/* Wherever it fails, it says why, and what was made is freed once (the sanitizers watch, too). */
Test(board, fails_cleanly_at_every_step)
{
	unsigned fds = 0;
	struct err err = {0};

	if (!fake_board_init(&here))
		return;
	while (build_with(fds, &err) < 0) {
		cr_assert(ne(str, err.text, (char *)""));
		err_clear(&err);
		fds++;
		cr_assert(lt(uint, fds, 64), "it never succeeds");
	}
	cr_assert(ge(uint, fds,
		     5)); /* a line a device at least: serial, disk, console, rng, balloon */
}
