/* The real thing: Debian's kernel and initrd, where `images/debian/build` has left them. */
#include <asm/bootparam.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/num.h"
#include "vmm/arch.h"
#include "vmm/x86_64/boot.h"

#define KERNEL "build/images/debian/vmlinuz"
#define INITRD "build/images/debian/initrd.img"

/* Say why not where there is none. */
static bool open_images(struct boot_source *src)
{
	int kernel = open(KERNEL, O_RDONLY | O_CLOEXEC), initrd = open(INITRD, O_RDONLY);

	if (kernel < 0 || initrd < 0) {
		fprintf(stderr, "SKIP: %s or %s is not built yet\n", KERNEL, INITRD);
		return false;
	}
	*src = (struct boot_source){
		.kernel = {.fd = kernel, .len = (uint64_t)lseek(kernel, 0, SEEK_END)},
		.initrd = {.fd = initrd, .len = (uint64_t)lseek(initrd, 0, SEEK_END)},
		.cmdline = "console=ttyS0",
	};
	return true;
}

Test(boot_debian, kernel_and_initrd_lie_whole_where_the_parameters_say)
{
	const struct board_info info = {.nvcpus = 2, .virtio_slots = 7};
	static uint8_t want[4096], have[4096];
	struct boot_params params;
	struct boot_source src;
	struct boot_entry entry;
	struct err err = {0};
	uint64_t setup;
	struct mem mem;

	if (!open_images(&src))
		return;
	cr_assert(eq(int, mem_init(&mem, MIB(256), &err), 0));
	cr_assert(eq(int, arch_boot_load(&mem, &src, &info, &entry, &err), 0), "%s", err.text);
	cr_assert(entry.long_mode);
	cr_assert(mem_read(&mem, entry.params, &params, sizeof(params)));
	cr_assert(ge(u16, params.hdr.version, 0x020c));

	setup = (params.hdr.setup_sects + 1u) * 512u;
	cr_assert(eq(int, blob_read(&src.kernel, setup, want, sizeof(want), &err), 0));
	cr_assert(mem_read(&mem, entry.entry - 0x200, have, sizeof(have)));
	cr_assert_arr_eq(have, want, sizeof(want));

	cr_assert(eq(u64, params.hdr.ramdisk_size, src.initrd.len));
	cr_assert(
		eq(int,
		   blob_read(&src.initrd, src.initrd.len - sizeof(want), want, sizeof(want), &err),
		   0));
	cr_assert(mem_read(&mem, params.hdr.ramdisk_image + src.initrd.len - sizeof(have), have,
			   sizeof(have)));
	cr_assert_arr_eq(have, want, sizeof(want));
	/* The unpacked kernel must not reach the initrd. */
	cr_assert(ge(u64, params.hdr.ramdisk_image, entry.entry - 0x200 + params.hdr.init_size));
	mem_free(&mem);
	close(src.kernel.fd);
	close(src.initrd.fd);
}

Test(boot_debian, too_little_memory_is_said_in_words)
{
	const struct board_info info = {.nvcpus = 1};
	struct boot_source src;
	struct boot_entry entry;
	struct err err = {0};
	struct mem mem;

	if (!open_images(&src))
		return;
	cr_assert(eq(int, mem_init(&mem, MIB(16), &err), 0));
	cr_assert(lt(int, arch_boot_load(&mem, &src, &info, &entry, &err), 0));
	cr_assert(ne(ptr, strstr(err.text, "does not fit into 16 MiB of memory"), NULL), "%s",
		  err.text);
	mem_free(&mem);
	close(src.kernel.fd);
	close(src.initrd.fd);
}
