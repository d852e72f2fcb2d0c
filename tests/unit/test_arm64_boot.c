/* arm64's boot: the device tree as libfdt and dtc read it, kernels as they lie in memory. On every host. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/frame.h"
#include "base/num.h"
#include "vmm/arm64/boot/fdt.h"
#include "vmm/arm64/boot/image.h"
#include "vmm/arm64/boot/platform.h"

static const struct arm64_tree boards[] = {
	{.memory = MIB(64), .nvcpus = 1, .gic = 3, .cmdline = ""},
	{.memory = GIB(2),
	 .nvcpus = 4,
	 .gic = 2,
	 .pmu = true,
	 .virtio_slots = 7,
	 .cmdline = "console=ttyS0 root=/dev/vda",
	 .initrd = 0x44000000,
	 .initrd_len = 12345},
	{.memory = GIB(256),
	 .nvcpus = 64,
	 .gic = 3,
	 .virtio_slots = 0xffff,
	 .cmdline = "x",
	 .kaslr_seed = 0x1122334455667788,
	 .rng_seed = {1, 2, 3}},
};

struct written {
	uint8_t fdt[ARM64_FDT_MAX];
	size_t len;
};

static struct written *write_tree(const struct arm64_tree *tree)
{
	struct written *w = calloc(1, sizeof(*w));
	struct err err;

	cr_assert(eq(int, arm64_fdt_write(tree, w->fdt, sizeof(w->fdt), &w->len, &err), 0), "%s",
		  err.text);
	cr_assert(eq(int, fdt_check_full(w->fdt, w->len), 0));
	return w;
}

static int node_at(const struct written *w, const char *path)
{
	int node = fdt_path_offset(w->fdt, path);

	cr_assert(ge(int, node, 0), "%s", path);
	return node;
}

/* Cell i of a property, which has `n`. */
static uint32_t cell(const struct written *w, const char *path, const char *name, int n, int i)
{
	int len;
	const fdt32_t *cells = fdt_getprop(w->fdt, node_at(w, path), name, &len);

	cr_assert(eq(int, len, 4 * n), "%s %s", path, name);
	return fdt32_to_cpu(cells[i]);
}

static uint64_t two_cells(const struct written *w, const char *path, const char *name, int n, int i)
{
	return (uint64_t)cell(w, path, name, n, i) << 32 | cell(w, path, name, n, i + 1);
}

static const char *string(const struct written *w, const char *path, const char *name)
{
	return fdt_getprop(w->fdt, node_at(w, path), name, NULL);
}

Test(arm64_fdt, memory_and_what_of_it_is_the_machines_own)
{
	for (size_t i = 0; i < ARRAY_SIZE(boards); i++) {
		struct written *w = write_tree(&boards[i]);

		cr_assert(eq(u64, two_cells(w, "/memory@40000000", "reg", 4, 0), 0x40000000));
		cr_assert(eq(u64, two_cells(w, "/memory@40000000", "reg", 4, 2), boards[i].memory));
		cr_assert(eq(u64, two_cells(w, "/reserved-memory/machine@40000000", "reg", 4, 2),
			     ARM64_RESERVED_SIZE));
		cr_assert(eq(u64, two_cells(w, "/rng@40001000", "reg", 4, 0), ARM64_VMGENID_ADDR));
		free(w);
	}
}

Test(arm64_fdt, every_cpu_has_its_affinity_and_starts_by_psci)
{
	struct written *w = write_tree(&boards[2]);
	int cpus = node_at(w, "/cpus"), node, n = 0;

	fdt_for_each_subnode(node, w->fdt, cpus)
	{
		const fdt32_t *reg = fdt_getprop(w->fdt, node, "reg", NULL);

		cr_assert(eq(u32, fdt32_to_cpu(*reg), (uint32_t)arm64_mpidr((uint32_t)n)));
		cr_assert(eq(str, (char *)fdt_getprop(w->fdt, node, "enable-method", NULL),
			     (char *)"psci"));
		n++;
	}
	cr_assert(eq(int, n, 64));
	/* 16 in a cluster. */
	cr_assert(ge(int, fdt_path_offset(w->fdt, "/cpus/cpu@10f"), 0));
	cr_assert(lt(int, fdt_path_offset(w->fdt, "/cpus/cpu@10"), 0));
	cr_assert(eq(str, (char *)string(w, "/psci", "method"), (char *)"hvc"));
	free(w);
}

Test(arm64_fdt, the_gic_of_the_host_is_told)
{
	static const char path[] = "/interrupt-controller@8000000";
	struct written *w = write_tree(&boards[2]);

	cr_assert(eq(str, (char *)string(w, path, "compatible"), (char *)"arm,gic-v3"));
	cr_assert(eq(u64, two_cells(w, path, "reg", 8, 6), 64ull * ARM64_GIC_REDIST_SIZE));
	cr_assert(eq(u32, cell(w, "/timer", "interrupts", 12, 8), 4));
	free(w);

	w = write_tree(&boards[1]);
	cr_assert(eq(str, (char *)string(w, path, "compatible"), (char *)"arm,cortex-a15-gic"));
	cr_assert(eq(u64, two_cells(w, path, "reg", 8, 4), ARM64_GICV2_CPU_ADDR));
	/* GICv2: for which of the four CPUs a PPI is. */
	cr_assert(eq(u32, cell(w, "/timer", "interrupts", 12, 8), 0xf04));
	cr_assert(eq(u32, cell(w, "/pmu", "interrupts", 3, 1), 7));
	free(w);
}

Test(arm64_fdt, populated_slots_alone_have_a_node)
{
	struct written *w = write_tree(&boards[1]);

	cr_assert(eq(u64, two_cells(w, "/virtio_mmio@a002000", "reg", 4, 2), ARM64_VIRTIO_SIZE));
	cr_assert(eq(u32, cell(w, "/virtio_mmio@a002000", "interrupts", 3, 1), 18));
	cr_assert(eq(u32, cell(w, "/virtio_mmio@a002000", "interrupts", 3, 2), 1));
	cr_assert(lt(int, fdt_path_offset(w->fdt, "/virtio_mmio@a003000"), 0));
	free(w);
}

Test(arm64_fdt, what_was_chosen)
{
	struct written *w = write_tree(&boards[1]);
	const uint8_t *seed;
	int len;

	cr_assert(eq(str, (char *)string(w, "/chosen", "bootargs"), (char *)boards[1].cmdline));
	cr_assert(eq(u64, two_cells(w, "/chosen", "linux,initrd-start", 2, 0), 0x44000000));
	cr_assert(eq(u64, two_cells(w, "/chosen", "linux,initrd-end", 2, 0), 0x44000000 + 12345));
	cr_assert(eq(ptr, (void *)string(w, "/chosen", "rng-seed"), NULL));
	cr_assert(eq(ptr, (void *)string(w, "/chosen", "kaslr-seed"), NULL));
	/* The path of the console leads somewhere. */
	cr_assert(eq(str, (char *)string(w, string(w, "/chosen", "stdout-path"), "compatible"),
		     (char *)"ns16550a"));
	free(w);

	w = write_tree(&boards[2]);
	cr_assert(eq(ptr, (void *)string(w, "/chosen", "linux,initrd-start"), NULL));
	cr_assert(eq(u64, two_cells(w, "/chosen", "kaslr-seed", 2, 0), 0x1122334455667788));
	seed = fdt_getprop(w->fdt, node_at(w, "/chosen"), "rng-seed", &len);
	cr_assert(eq(int, len, ARM64_FDT_SEED));
	cr_assert(eq(int, memcmp(seed, boards[2].rng_seed, ARM64_FDT_SEED), 0));
	free(w);
}

Test(arm64_fdt, references_lead_to_what_they_name)
{
	struct written *w = write_tree(&boards[0]);
	uint32_t gic = cell(w, "/", "interrupt-parent", 1, 0);

	cr_assert(eq(int, fdt_node_offset_by_phandle(w->fdt, gic),
		     node_at(w, "/interrupt-controller@8000000")));
	cr_assert(eq(int,
		     fdt_node_offset_by_phandle(w->fdt, cell(w, "/rtc@9010000", "clocks", 1, 0)),
		     node_at(w, "/apb-pclk")));
	cr_assert(eq(
		int,
		fdt_node_offset_by_phandle(w->fdt, cell(w, "/gpio-keys/key-power", "gpios", 3, 0)),
		node_at(w, "/gpio@9020000")));
	free(w);
}

Test(arm64_fdt, what_does_not_fit_is_refused)
{
	struct written *w = write_tree(&boards[1]);
	uint8_t *out = malloc(w->len);
	struct arm64_tree tree = boards[0];
	char line[ARM64_MAX_CMDLINE + 2];
	struct err err;
	size_t len;

	for (size_t size = 0; size < w->len; size++)
		cr_assert(eq(int, arm64_fdt_write(&boards[1], out, size, &len, &err), -ENOSPC));
	free(out);
	out = malloc(w->len + 8);
	cr_assert(eq(int, arm64_fdt_write(&boards[1], out, w->len + 8, &len, &err), 0));
	cr_assert(eq(sz, len, w->len));
	free(out);
	free(w);

	memset(line, 'a', sizeof(line));
	line[ARM64_MAX_CMDLINE] = '\0';
	tree.cmdline = line;
	free(write_tree(&tree));
	line[ARM64_MAX_CMDLINE] = 'a';
	line[ARM64_MAX_CMDLINE + 1] = '\0';
	out = malloc(ARM64_FDT_MAX);
	cr_assert(eq(int, arm64_fdt_write(&tree, out, ARM64_FDT_MAX, &len, &err), -EINVAL));
	cr_assert(ne(ptr, strstr(err.text, "2048 bytes"), NULL), "%s", err.text);
	free(out);
}

/* What dtc says of a tree, its errors and warnings; "" is what is wanted. */
static void dtc_says(const struct written *w, char *said, size_t size)
{
	char path[] = "/tmp/torpor-fdt.XXXXXX", command[128];
	int fd = mkstemp(path);
	FILE *pipe;
	size_t n;

	cr_assert(fd >= 0 && write(fd, w->fdt, w->len) == (ssize_t)w->len);
	close(fd);
	snprintf(command, sizeof(command), "dtc -I dtb -O dts -o /dev/null %s 2>&1", path);
	pipe = popen(command, "re");
	cr_assert(ne(ptr, pipe, NULL));
	n = fread(said, 1, size - 1, pipe);
	said[n] = '\0';
	cr_assert(eq(int, pclose(pipe), 0), "%s", said);
	unlink(path);
}

Test(arm64_fdt, dtc_takes_every_tree_without_a_warning)
{
	char said[4096];

	if (system("command -v dtc >/dev/null") != 0)
		cr_skip("dtc (device-tree-compiler) is not installed");
	for (size_t i = 0; i < ARRAY_SIZE(boards); i++) {
		struct written *w = write_tree(&boards[i]);

		dtc_says(w, said, sizeof(said));
		cr_assert(eq(str, said, (char *)""));
		free(w);
	}
}

/* dtc does find faults: a tree without the cells that its interrupts need. */
Test(arm64_fdt, dtc_would_warn)
{
	char said[4096];
	struct written *w;

	if (system("command -v dtc >/dev/null") != 0)
		cr_skip("dtc (device-tree-compiler) is not installed");
	w = write_tree(&boards[0]);
	fdt_nop_property(w->fdt, node_at(w, "/interrupt-controller@8000000"), "#interrupt-cells");
	dtc_says(w, said, sizeof(said));
	cr_assert(ne(ptr, strstr(said, "Warning"), NULL), "%s", said);
	free(w);
}

#define IMAGE_FILE 8192u

/* A kernel's file, and the memory it is loaded into. */
struct image {
	struct mem mem;
	struct boot_source src;
	struct arm64_layout at;
	struct err err;
	uint8_t file[IMAGE_FILE];
};

static struct image *new_image(uint64_t memory)
{
	struct image *b = calloc(1, sizeof(*b));
	struct mem_range *r = &b->mem.range[0];

	for (size_t i = 0; i < sizeof(b->file); i++)
		b->file[i] = (uint8_t)(i * 7);
	le_put64(b->file + 8, 0);
	le_put64(b->file + 16, MIB(1));
	le_put64(b->file + 24, 0xa);
	memcpy(b->file + 56, "ARM\x64", 4);
	b->src.cmdline = "";
	b->mem.size = memory;
	b->mem.nranges = 1;
	r->gpa = ARM64_RAM_START;
	r->size = memory;
	r->host = mmap(NULL, memory, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	r->written = calloc(memory / FRAME_SIZE / 64 + 1, sizeof(uint64_t));
	cr_assert(ne(ptr, r->host, MAP_FAILED));
	return b;
}

static void free_image(struct image *b)
{
	mem_free(&b->mem);
	free(b);
}

static struct blob file_of(const void *data, size_t len)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	cr_assert(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	return (struct blob){.fd = fd, .len = len};
}

static int load(struct image *b, size_t len, size_t initrd)
{
	int ret;

	b->src.kernel = file_of(b->file, len);
	if (initrd > 0)
		b->src.initrd = file_of(b->file, initrd);
	ret = arm64_image_load(&b->mem, &b->src, &b->at, &b->err);
	close(b->src.kernel.fd);
	if (initrd > 0)
		close(b->src.initrd.fd);
	return ret;
}

Test(arm64_image, kernel_tree_and_initrd_lie_one_behind_the_other)
{
	struct image *b = new_image(MIB(16));

	cr_assert(eq(int, load(b, sizeof(b->file), 5000), 0), "%s", b->err.text);
	cr_assert(eq(u64, b->at.entry, ARM64_RAM_START + MIB(2)));
	cr_assert(eq(u64, b->at.tree, ARM64_RAM_START + MIB(4)));
	cr_assert(eq(u64, b->at.initrd, ARM64_RAM_START + MIB(4) + ARM64_FDT_MAX));
	cr_assert(
		eq(int, memcmp(mem_at(&b->mem, b->at.entry, IMAGE_FILE), b->file, IMAGE_FILE), 0));
	cr_assert(eq(int, memcmp(mem_at(&b->mem, b->at.initrd, 5000), b->file, 5000), 0));
	free_image(b);
}

Test(arm64_image, text_offset_and_the_room_behind_the_file_count)
{
	struct image *b = new_image(MIB(16));

	le_put64(b->file + 8, 0x80000);
	le_put64(b->file + 16, MIB(2) - 0x80000 + 1);
	cr_assert(eq(int, load(b, sizeof(b->file), 0), 0), "%s", b->err.text);
	cr_assert(eq(u64, b->at.entry, ARM64_RAM_START + MIB(2) + 0x80000));
	cr_assert(eq(u64, b->at.tree, ARM64_RAM_START + MIB(6)));
	cr_assert(eq(u64, b->at.initrd, 0));
	free_image(b);
}

Test(arm64_image, what_does_not_fit_into_memory_is_refused)
{
	static const struct {
		uint64_t memory, size;
		const char *what;
		size_t initrd;
	} cases[] = {
		{MIB(1), MIB(1), "kernel:", 0},
		{MIB(16), MIB(14) + 1, "kernel:", 0},
		{MIB(16), UINT64_MAX, "kernel:", 0},
		{MIB(16), MIB(14), "kernel with a device tree:", 0},
		{MIB(4) + ARM64_FDT_MAX, MIB(2), "initrd beside the kernel:", 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct image *b = new_image(cases[i].memory);

		le_put64(b->file + 16, cases[i].size);
		cr_assert(lt(int, load(b, sizeof(b->file), cases[i].initrd), 0), "%zu", i);
		cr_assert(eq(int, strncmp(b->err.text, cases[i].what, strlen(cases[i].what)), 0),
			  "%s", b->err.text);
		free_image(b);
	}
}

/* The first bytes of a file, and what is said of it. */
static void refused(const void *head, size_t len, const char *words)
{
	struct image *b = new_image(MIB(16));

	memset(b->file, 0, ARM64_IMAGE_HEADER);
	memcpy(b->file, head, len);
	cr_assert(lt(int, load(b, sizeof(b->file), 0), 0));
	cr_assert(ne(ptr, strstr(b->err.text, words), NULL), "%s", b->err.text);
	cr_assert(eq(int, b->err.kind, ERR_FAILED));
	free_image(b);
}

Test(arm64_image, compressed_kernels_are_refused_by_name)
{
	static const uint8_t zboot[40] = "MZ\0\0zimg\0\x10\0\0\x40\0\0\0........zstd";

	refused("\x1f\x8b\x08", 3, "gzip -dc");
	refused("\xfd"
		"7zXZ",
		5, "xz -dc");
	refused("\x28\xb5\x2f\xfd", 4, "zstd -dc");
	refused("\x02\x21\x4c\x18", 4, "LZ4");
	refused(zboot, sizeof(zboot), "tail -c +4097 FILE | head -c 64 | zstd -dc");
	refused("\x7f"
		"ELF\2",
		5, "objcopy");
	refused("MZ", 2, "not a kernel");
}

Test(arm64_image, malformed_headers_are_refused)
{
	static const struct {
		size_t at;
		uint64_t value;
		const char *words;
	} cases[] = {
		{16, 0, "before Linux 3.17"}, {8, MIB(2), "text offset"},
		{8, 0x80001, "text offset"},  {8, UINT64_MAX, "text offset"},
		{24, 0xb, "big-endian"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct image *b = new_image(MIB(16));

		le_put64(b->file + cases[i].at, cases[i].value);
		cr_assert(lt(int, load(b, sizeof(b->file), 0), 0), "%zu", i);
		cr_assert(ne(ptr, strstr(b->err.text, cases[i].words), NULL), "%s", b->err.text);
		free_image(b);
	}
}

Test(arm64_image, a_file_that_ends_early_or_is_none_is_refused)
{
	struct image *b = new_image(MIB(16));

	cr_assert(lt(int, load(b, ARM64_IMAGE_HEADER - 1, 0), 0));
	cr_assert(ne(ptr, strstr(b->err.text, "truncated"), NULL), "%s", b->err.text);
	b->src = (struct boot_source){.cmdline = ""};
	cr_assert(lt(int, arm64_image_load(&b->mem, &b->src, &b->at, &b->err), 0));
	cr_assert(ne(ptr, strstr(b->err.text, "no kernel"), NULL), "%s", b->err.text);
	free_image(b);
}
