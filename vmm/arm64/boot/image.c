/* See image.h. The header is the kernel's file's, which is read by reference: every number is checked. */
#include "vmm/arm64/boot/image.h"

#include <string.h>

#include "base/num.h"
#include "vmm/arm64/boot/fdt.h"
#include "vmm/arm64/boot/platform.h"
#include "vmm/boot_blob.h"

#define TEXT_OFFSET_AT 8u
#define SIZE_AT	       16u
#define FLAGS_AT       24u
#define MAGIC_AT       56u
#define MAGIC	       "ARM\x64"

#define FLAG_BIG_ENDIAN 1u

#define PAGE 4096u

/* EFI's zboot, a program that unpacks the Image (Linux, drivers/firmware/efi/libstub/zboot-header.S):
 * "MZ\0\0zimg", offset and size of the payload, 8 bytes, and the compression's name. */
#define ZBOOT_MAGIC	"MZ\0\0zimg"
#define ZBOOT_MAGIC_LEN 8u
#define ZBOOT_OFFSET_AT 8u
#define ZBOOT_SIZE_AT	12u
#define ZBOOT_TYPE_AT	24u
#define ZBOOT_TYPE_SIZE 16u

static const struct {
	const char *bytes;
	uint8_t len;
	const char *name;
	const char *tool;
} compressions[] = {
	{"\x1f\x8b", 2, "gzip", "gzip"},
	{"\xfd"
	 "7zXZ",
	 5, "xz", "xz"},
	{"\x28\xb5\x2f\xfd", 4, "zstd", "zstd"},
	{"\x02\x21\x4c\x18", 4, "LZ4", "lz4"},
	{"\x04\x22\x4d\x18", 4, "LZ4", "lz4"},
	{"BZh", 3, "bzip2", "bzip2"},
	{"\x89LZO", 4, "LZO", "lzop"},
	{"\x5d\0\0", 3, "LZMA", "xz"},
};

/* Letters and digits of a zboot header: "gzip", "zstd". */
static void zboot_compression(const uint8_t *header, char name[ZBOOT_TYPE_SIZE + 1])
{
	size_t n = 0;

	while (n < ZBOOT_TYPE_SIZE &&
	       ((header[ZBOOT_TYPE_AT + n] >= 'a' && header[ZBOOT_TYPE_AT + n] <= 'z') ||
		(header[ZBOOT_TYPE_AT + n] >= '0' && header[ZBOOT_TYPE_AT + n] <= '9'))) {
		name[n] = (char)header[ZBOOT_TYPE_AT + n];
		n++;
	}
	name[n] = '\0';
}

static int not_an_image(const uint8_t *header, struct err *err)
{
	char name[ZBOOT_TYPE_SIZE + 1];

	for (size_t i = 0; i < ARRAY_SIZE(compressions); i++) {
		if (memcmp(header, compressions[i].bytes, compressions[i].len) == 0)
			return err_set(err, ERR_FAILED,
				       "kernel: it is compressed with %s: unpack it first (%s -dc "
				       "FILE >Image)",
				       compressions[i].name, compressions[i].tool);
	}
	if (memcmp(header, ZBOOT_MAGIC, ZBOOT_MAGIC_LEN) == 0) {
		zboot_compression(header, name);
		return err_set(err, ERR_FAILED,
			       "kernel: it is an EFI program with an Image in it, compressed with "
			       "%s: take that out "
			       "first (tail -c +%u FILE | head -c %u | %s -dc >Image)",
			       name, le_get32(header + ZBOOT_OFFSET_AT) + 1,
			       le_get32(header + ZBOOT_SIZE_AT), name);
	}
	if (memcmp(header,
		   "\x7f"
		   "ELF",
		   4) == 0)
		return err_set(err, ERR_FAILED,
			       "kernel: it is an ELF file: an arm64 machine boots the Image "
			       "(objcopy -O binary vmlinux "
			       "Image)");
	return err_set(err, ERR_FAILED, "kernel: not a kernel: no Image of arm64");
}

int arm64_image_read(const uint8_t header[ARM64_IMAGE_HEADER], struct arm64_image *image,
		     struct err *err)
{
	if (memcmp(header + MAGIC_AT, MAGIC, 4) != 0)
		return not_an_image(header, err);
	*image = (struct arm64_image){
		.text_offset = le_get64(header + TEXT_OFFSET_AT),
		.image_size = le_get64(header + SIZE_AT),
		.flags = le_get64(header + FLAGS_AT),
	};
	if (image->image_size == 0)
		return err_set(
			err, ERR_FAILED,
			"kernel: it does not say how large it is, as those before Linux 3.17");
	if (image->text_offset >= ARM64_IMAGE_ALIGN || image->text_offset % PAGE != 0)
		return err_set(err, ERR_FAILED, "kernel: its text offset 0x%llx is malformed",
			       (unsigned long long)image->text_offset);
	if ((image->flags & FLAG_BIG_ENDIAN) != 0)
		return err_set(err, ERR_FAILED,
			       "kernel: it is a big-endian one, for which there is no machine");
	return 0;
}

static int no_room(const struct mem *mem, const char *what, uint64_t bytes, struct err *err)
{
	return err_set(err, ERR_FAILED, "%s: %llu bytes do not fit into %llu MiB of memory", what,
		       (unsigned long long)bytes, (unsigned long long)(mem->size >> 20));
}

int arm64_image_load(struct mem *mem, const struct boot_source *src, struct arm64_layout *layout,
		     struct err *err)
{
	const uint64_t ram_end = ARM64_RAM_START + mem->range[0].size;
	const uint64_t base = ARM64_RAM_START + ARM64_IMAGE_ALIGN;
	uint8_t header[ARM64_IMAGE_HEADER];
	struct arm64_image image;
	uint64_t size;
	int ret;

	*layout = (struct arm64_layout){0};
	if (src->kernel.len == 0)
		return err_set(err, ERR_FAILED, "there is no kernel to boot");
	if (src->kernel.len < sizeof(header))
		return err_set(err, ERR_FAILED, "kernel: truncated: shorter than a header");
	ret = blob_read(&src->kernel, 0, header, sizeof(header), err);
	if (ret < 0)
		return err_context(err, ret, "kernel");
	ret = arm64_image_read(header, &image, err);
	if (ret < 0)
		return ret;
	size = u64_max(image.image_size, src->kernel.len);
	layout->entry = base + image.text_offset;
	if (ram_end < layout->entry || size > ram_end - layout->entry)
		return no_room(mem, "kernel", size, err);
	layout->tree = align_up(layout->entry + size, ARM64_IMAGE_ALIGN);
	if (layout->tree > ram_end || ram_end - layout->tree < ARM64_FDT_MAX)
		return no_room(mem, "kernel with a device tree", size, err);
	ret = boot_load_blob(mem, &src->kernel, 0, src->kernel.len, layout->entry, "kernel", err);
	if (ret < 0 || src->initrd.len == 0)
		return ret;
	layout->initrd = layout->tree + ARM64_FDT_MAX;
	if (src->initrd.len > ram_end - layout->initrd)
		return no_room(mem, "initrd beside the kernel", src->initrd.len, err);
	return boot_load_blob(mem, &src->initrd, 0, src->initrd.len, layout->initrd, "initrd", err);
}
