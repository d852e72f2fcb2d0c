/* See foreign.h. */
#include "format/foreign.h"

#include <stdbool.h>
#include <string.h>

#include "base/num.h"

#define TO_RAW ": `qemu-img convert -O raw` makes a raw disk of it"

static const struct {
	size_t at;
	const char *magic;
	size_t len;
	const char *what;
} formats[] = {
	{0, "QFI\xfb", 4, "a qcow2 image" TO_RAW},
	{0, "KDMV", 4, "a VMDK image" TO_RAW},
	{0, "# Disk DescriptorFile", 21, "a VMDK descriptor" TO_RAW},
	{0, "vhdxfile", 8, "a VHDX image" TO_RAW},
	{0, "conectix", 8, "a VHD image" TO_RAW},
	{64, "\x7f\x10\xda\xbe", 4, "a VDI image" TO_RAW},
	{0, "\x1f\x8b", 2, "compressed by gzip: `gzip -d` unpacks it"},
	{0,
	 "\xfd"
	 "7zXZ",
	 5, "compressed by xz: `xz -d` unpacks it"},
	{0, "\x28\xb5\x2f\xfd", 4, "compressed by zstd: `zstd -d` unpacks it"},
	{0, "BZh", 3, "compressed by bzip2: `bzip2 -d` unpacks it"},
	{0, "PK\x03\x04", 4, "a zip archive: `unzip` unpacks it"},
};

const char *foreign_format(const uint8_t *head, size_t len)
{
	bool text = len > 0;

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		if (range_within(formats[i].at, formats[i].len, len) &&
		    memcmp(head + formats[i].at, formats[i].magic, formats[i].len) == 0)
			return formats[i].what;
	}
	for (size_t i = 0; i < len && text; i++)
		text = (head[i] >= ' ' && head[i] <= '~') || (head[i] >= '\t' && head[i] <= '\r');
	return text ? "a text file" : NULL;
}
