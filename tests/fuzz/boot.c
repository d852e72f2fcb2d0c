/*
 * A kernel file, bzImage or ELF, loaded into guest memory with an initrd and a command line.
 *
 * The input is: how much memory (one byte), the length of the command line (one), of the initrd
 * (two; 0: none), and the kernel. The initrd is the first bytes of all that.
 *
 * Memory is ours: what lies outside of its ranges is poisoned, and a frame that the loader did not
 * note as written must have stayed as it was.
 */
#include <asm/bootparam.h>
#include <sanitizer/asan_interface.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/arch.h"
#include "vmm/frameset.h"
#include "vmm/x86_64/boot.h"
#include "vmm/x86_64/platform.h"

#define HEAD	   4u
#define LEAST	   15u /* frames: less than any kernel is loaded into */
#define MOST	   32u
#define GUARD	   FRAME_SIZE
#define LEFT	   0xa5 /* what memory holds before: a guest may have run in it */
#define MAX_LINE   2048u
#define HIGH_RANGE 0x80u /* of the first byte */

static uint8_t *low, *high;
static uint8_t untouched[FRAME_SIZE];
static uint64_t low_written[2], high_written[2];

/* One guard, the low range, another, the high range, another. */
static void make_memory(void)
{
	size_t size = (MOST + 1) * FRAME_SIZE + 3 * GUARD;
	uint8_t *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	fuzz_require(all != MAP_FAILED);
	low = all + GUARD;
	high = low + MOST * FRAME_SIZE + GUARD;
	memset(low, LEFT, MOST * FRAME_SIZE);
	memset(high, LEFT, FRAME_SIZE);
	memset(untouched, LEFT, sizeof(untouched));
	ASAN_POISON_MEMORY_REGION(all, size);
}

static void open_memory(struct mem *mem, uint8_t how)
{
	if (low == NULL)
		make_memory();
	*mem = (struct mem){.nranges = 1, .size = (LEAST + how % (MOST - LEAST + 1)) * FRAME_SIZE};
	mem->range[0] = (struct mem_range){.size = mem->size, .host = low, .written = low_written};
	if ((how & HIGH_RANGE) != 0) {
		mem->range[mem->nranges++] = (struct mem_range){
			.gpa = GIB(4), .size = FRAME_SIZE, .host = high, .written = high_written};
		mem->size += FRAME_SIZE;
	}
	for (unsigned i = 0; i < mem->nranges; i++)
		ASAN_UNPOISON_MEMORY_REGION(mem->range[i].host, mem->range[i].size);
}

/* Every frame is as it was, or noted as written and made so again. */
static void close_memory(struct mem *mem)
{
	for (unsigned i = 0; i < mem->nranges; i++) {
		struct mem_range *r = &mem->range[i];

		for (uint64_t frame = 0; frame < r->size / FRAME_SIZE; frame++) {
			uint8_t *at = r->host + frame * FRAME_SIZE;

			if (frameset_has(r->written, frame))
				memcpy(at, untouched, FRAME_SIZE);
			else
				fuzz_require(memcmp(at, untouched, FRAME_SIZE) == 0);
		}
		memset(r->written, 0, frameset_bytes(r->size / FRAME_SIZE));
		ASAN_POISON_MEMORY_REGION(r->host, r->size);
	}
}

static void check_initrd(const struct mem *mem, uint64_t gpa, uint64_t len, const uint8_t *data,
			 uint64_t expected)
{
	const void *at = mem_at(mem, gpa, len);

	fuzz_require(len == expected && gpa >= BOOT_KERNEL_START && at != NULL);
	fuzz_require(memcmp(at, data, len) == 0);
}

/* Nothing that a kernel finds for itself may have been written over by something else. */
static void check_bzimage(const struct mem *mem, const struct boot_entry *entry,
			  const struct boot_source *src, const uint8_t *data)
{
	struct boot_params p;
	uint64_t start = entry->entry - 0x200;

	fuzz_require(entry->params == BOOT_PARAMS && mem_read(mem, BOOT_PARAMS, &p, sizeof(p)));
	fuzz_require(mem_at(mem, start, p.hdr.init_size) != NULL);
	if (src->initrd.len == 0)
		return;
	check_initrd(mem, p.hdr.ramdisk_image, p.hdr.ramdisk_size, data, src->initrd.len);
	fuzz_require(p.hdr.ramdisk_image >= start + p.hdr.init_size);
	fuzz_require((uint64_t)p.hdr.ramdisk_image + p.hdr.ramdisk_size <=
		     (uint64_t)p.hdr.initrd_addr_max + 1);
}

static void check_pvh(const struct mem *mem, const struct boot_entry *entry,
		      const struct boot_source *src, const uint8_t *data)
{
	uint8_t info[56], module[32];

	fuzz_require(entry->params == BOOT_START_INFO && entry->entry <= UINT32_MAX);
	fuzz_require(mem_read(mem, BOOT_START_INFO, info, sizeof(info)));
	fuzz_require(le_get32(info + 12) == (src->initrd.len > 0));
	if (src->initrd.len == 0)
		return;
	fuzz_require(mem_read(mem, le_get64(info + 16), module, sizeof(module)));
	check_initrd(mem, le_get64(module), le_get64(module + 8), data, src->initrd.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct board_info board = {.nvcpus = 2, .virtio_slots = 7};
	struct boot_source src = {0};
	struct boot_entry entry;
	char line[MAX_LINE];
	struct err err = {0};
	struct mem mem;
	int fd, ret;

	if (size < HEAD)
		return 0;
	fd = fuzz_file(data, size);
	memset(line, 'c', sizeof(line));
	line[data[1] * 8u] = '\0';
	src.cmdline = line;
	src.kernel = (struct blob){.fd = fd, .offset = HEAD, .len = size - HEAD};
	src.initrd = (struct blob){.fd = fd, .len = u64_min(le_get16(data + 2), size)};
	open_memory(&mem, data[0]);
	ret = arch_boot_load(&mem, &src, &board, &entry, &err);
	fuzz_require_reason(ret, &err);
	if (ret == 0) {
		fuzz_require(entry.entry >= BOOT_KERNEL_START);
		fuzz_require(mem_at(&mem, entry.entry, 1) != NULL);
		fuzz_require(strcmp(mem_at(&mem, BOOT_CMDLINE, MAX_LINE), line) == 0);
		fuzz_require(memcmp(mem_at(&mem, X86_ACPI_START, 8), "RSD PTR ", 8) == 0);
		(entry.long_mode ? check_bzimage : check_pvh)(&mem, &entry, &src, data);
	}
	close_memory(&mem);
	close(fd);
	return 0;
}
