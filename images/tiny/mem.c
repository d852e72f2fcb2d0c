/* RAM: its map, patterns written to it and checked. */
#include "images/tiny/tiny.h"

extern char image_end[];

static struct boot ours;
static uint64_t mapped_end;

void mem_init(const struct boot *boot)
{
	uint64_t end = 0;

	ours = *boot;
	for (unsigned i = 0; i < ours.nram; i++) {
		if (ours.ram[i].addr + ours.ram[i].size > end)
			end = ours.ram[i].addr + ours.ram[i].size;
	}
	mapped_end = arch_map(end);
}

bool mem_usable(uint64_t addr, uint64_t size)
{
	if (addr < (uint64_t)image_end || addr + size < addr || addr + size > mapped_end)
		return false;
	for (unsigned i = 0; i < ours.nram; i++) {
		if (addr >= ours.ram[i].addr && addr + size <= ours.ram[i].addr + ours.ram[i].size)
			return true;
	}
	return false;
}

void cmd_mem(const char *args)
{
	uint64_t total = 0;

	(void)args;
	for (unsigned i = 0; i < ours.nram; i++)
		total += ours.ram[i].size;
	say("mem %u", total);
}

/* "START_MiB MiB SEED" to addresses; answers an error itself. */
static bool range_get(const char *args, uint64_t *start, uint64_t *end, uint64_t *seed)
{
	uint64_t v[3];

	if (!args_get(args, 3, v))
		return false;
	*start = ram_at(v[0]);
	*end = *start + v[1] * MIB;
	*seed = mix(v[2]);
	if (!mem_usable(*start, *end - *start)) {
		say("error range");
		return false;
	}
	return true;
}

/* The pattern: each word tells its own address, and no two seeds agree. */
static void fill(const char *args, uint64_t step)
{
	uint64_t start, end, seed;

	if (!range_get(args, &start, &end, &seed))
		return;
	for (uint64_t a = start; a < end; a += step)
		*(uint64_t *)a = (a ^ seed) * 0x9e3779b97f4a7c15;
	say("filled %u", (end - start) / PAGE);
}

/* "START_MiB PAGES STEP SEED": a word in each of so many pages, that far from one another. */
void cmd_touch(const char *args)
{
	uint64_t v[4];

	if (!args_get(args, 4, v))
		return;
	if (v[1] == 0 || v[2] == 0 || v[1] > MIB || v[2] > MIB ||
	    !mem_usable(ram_at(v[0]), ((v[1] - 1) * v[2] + 1) * PAGE)) {
		say("error range");
		return;
	}
	for (uint64_t i = 0; i < v[1]; i++)
		*(volatile uint64_t *)(ram_at(v[0]) + i * v[2] * PAGE) = mix(v[3] + i);
	say("touch ok");
}

static void check(const char *args, uint64_t step)
{
	uint64_t start, end, seed;

	if (!range_get(args, &start, &end, &seed))
		return;
	for (uint64_t a = start; a < end; a += step) {
		if (*(volatile uint64_t *)a != (a ^ seed) * 0x9e3779b97f4a7c15) {
			say("check bad %x", a);
			return;
		}
	}
	say("check ok");
}

void cmd_fill(const char *args)
{
	fill(args, PAGE);
}

void cmd_fillall(const char *args)
{
	fill(args, sizeof(uint64_t));
}

void cmd_check(const char *args)
{
	check(args, PAGE);
}

void cmd_checkall(const char *args)
{
	check(args, sizeof(uint64_t));
}

/* FNV-1a over the first word of each page. */
void cmd_memsum(const char *args)
{
	uint64_t v[2], sum = 0xcbf29ce484222325;

	if (!args_get(args, 2, v))
		return;
	if (!mem_usable(ram_at(v[0]), v[1] * MIB)) {
		say("error range");
		return;
	}
	for (uint64_t a = ram_at(v[0]); a < ram_at(v[0] + v[1]); a += PAGE)
		sum = (sum ^ *(volatile uint64_t *)a) * 0x100000001b3;
	say("memsum %X", sum);
}

/* The bytes in the order they lie in memory. */
void cmd_genid(const char *args)
{
	const volatile uint64_t *id = (const volatile uint64_t *)GENID_ADDR;

	(void)args;
	say("genid %X%X", __builtin_bswap64(id[0]), __builtin_bswap64(id[1]));
}
