/*
 * What an arm64 machine boots from: a kernel's file, loaded into guest memory with an initrd, and the
 * device tree with a command line. Not of the architecture that this is built for.
 *
 * The input is: how much memory (one byte), vCPUs, slots of virtio (two) and the version of the GIC, the
 * size of the tree's buffer (two), the length of the command line (two), of the initrd (two), and the
 * kernel. The command line stands behind its length. The initrd is the first bytes of all that.
 */
#include <libfdt.h>
#include <sanitizer/asan_interface.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/frame.h"
#include "base/num.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/arm64/boot/fdt.h"
#include "vmm/arm64/boot/image.h"
#include "vmm/arm64/boot/platform.h"
#include "vmm/frameset.h"

#define MOST	 96u /* frames: 6 MiB */
#define GUARD	 FRAME_SIZE
#define MAX_LINE 4096u

static uint8_t *ram;
static uint64_t written[MOST / 64 + 1];

static void open_memory(struct mem *mem, uint8_t how)
{
	if (ram == NULL) {
		const size_t size = MOST * FRAME_SIZE + 2 * GUARD;
		uint8_t *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				    -1, 0);

		fuzz_require(all != MAP_FAILED);
		ASAN_POISON_MEMORY_REGION(all, size);
		ram = all + GUARD;
	}
	*mem = (struct mem){.nranges = 1, .size = (1 + how % MOST) * FRAME_SIZE};
	mem->range[0] = (struct mem_range){
		.gpa = ARM64_RAM_START, .size = mem->size, .host = ram, .written = written};
	ASAN_UNPOISON_MEMORY_REGION(ram, mem->size);
}

static void close_memory(struct mem *mem)
{
	memset(written, 0, sizeof(written));
	ASAN_POISON_MEMORY_REGION(ram, mem->size);
}

/* Nothing that a kernel finds lies in what is another's. */
static void check_layout(const struct mem *mem, const struct arm64_layout *at,
			 const struct boot_source *src, const uint8_t *data)
{
	const void *initrd = mem_at(mem, at->initrd, src->initrd.len);

	fuzz_require(at->entry >= ARM64_RESERVED_ADDR + ARM64_RESERVED_SIZE);
	fuzz_require(mem_at(mem, at->entry, src->kernel.len) != NULL);
	fuzz_require(at->tree >= at->entry + src->kernel.len && at->tree % ARM64_IMAGE_ALIGN == 0);
	fuzz_require(mem_at(mem, at->tree, ARM64_FDT_MAX) != NULL);
	if (src->initrd.len == 0)
		return;
	fuzz_require(at->initrd >= at->tree + ARM64_FDT_MAX && initrd != NULL);
	fuzz_require(memcmp(initrd, data, src->initrd.len) == 0);
}

static void check_tree(const struct arm64_tree *tree, size_t size)
{
	uint8_t *out = malloc(size);
	struct err err = {0};
	size_t len;
	int ret = arm64_fdt_write(tree, out, size, &len, &err);

	fuzz_require_reason(ret, &err);
	if (ret == 0) {
		int chosen = fdt_path_offset(out, "/chosen");

		fuzz_require(len <= size && fdt_check_full(out, len) == 0 && chosen >= 0);
		fuzz_require(strcmp(fdt_getprop(out, chosen, "bootargs", NULL), tree->cmdline) ==
			     0);
	} else {
		fuzz_require(size < ARM64_FDT_MAX || strlen(tree->cmdline) > ARM64_MAX_CMDLINE);
	}
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct arm64_tree tree = {0};
	struct boot_source src = {0};
	struct arm64_layout at;
	char line[MAX_LINE + 1];
	struct err err = {0};
	struct mem mem;
	size_t room;
	int ret;

	open_memory(&mem, (uint8_t)fuzz_take(&in, 1));
	tree.memory = mem.size;
	tree.nvcpus = 1 + (uint32_t)fuzz_take(&in, 1) % ARM64_GIC_REDIST_VCPUS;
	tree.virtio_slots = (uint32_t)fuzz_take(&in, 2);
	tree.gic = 2 + (uint32_t)fuzz_take(&in, 1) % 2;
	tree.pmu = tree.gic == 2;
	tree.kaslr_seed = tree.virtio_slots;
	room = 1 + fuzz_take(&in, 2);
	line[fuzz_take_bytes(&in, (uint8_t *)line, fuzz_take(&in, 2) % MAX_LINE)] = '\0';
	src.cmdline = tree.cmdline = line;
	src.initrd.len = u64_min(fuzz_take(&in, 2), size);
	src.initrd.fd = src.kernel.fd = fuzz_file(data, size);
	src.kernel.offset = size - in.left;
	src.kernel.len = in.left;
	ret = arm64_image_load(&mem, &src, &at, &err);
	fuzz_require_reason(ret, &err);
	if (ret == 0) {
		check_layout(&mem, &at, &src, data);
		tree.initrd = at.initrd;
		tree.initrd_len = src.initrd.len;
	}
	check_tree(&tree, room);
	close_memory(&mem);
	close(src.kernel.fd);
	return 0;
}
