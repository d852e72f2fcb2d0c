/* See foreign_disk.h. */
#include "volume/foreign_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "base/tempfile.h"
#include "format/foreign.h"
#include "format/image/image.h"
#include "volume/disk_file.h"
#include "volume/tool.h"

#define SECTOR 512u
#define HEAD   512u
/* Of a VMDK image, the text about it inside of it. */
#define DESCRIPTOR_MAX 20u

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t be64(const uint8_t *p)
{
	return (uint64_t)be32(p) << 32 | be32(p + 4);
}

/* QEMU's docs/interop/qcow2.txt, "Header". */
static int look_at_qcow2(const uint8_t *head, struct foreign_disk *disk, struct err *err)
{
	const uint32_t version = be32(head + 4);
	const uint64_t incompatible = version >= 3 ? be64(head + 72) : 0;

	if (version != 2 && version != 3)
		return err_set(err, ERR_FAILED, "qcow2 of version %u is unknown", version);
	if (be64(head + 8) != 0)
		return err_set(err, ERR_FAILED,
			       "it has a backing file, which may be any file of this host: "
			       "`qemu-img rebase -b ''`, where you trust it, makes it whole");
	if (be32(head + 32) != 0)
		return err_set(err, ERR_FAILED, "it is encrypted");
	if ((incompatible & 4) != 0)
		return err_set(err, ERR_FAILED,
			       "its data is in another file, which may be any file of this host");
	if ((incompatible & 2) != 0)
		return err_set(err, ERR_FAILED,
			       "it is marked as corrupt: `qemu-img check -r` repairs it");
	*disk = (struct foreign_disk){"qcow2", be64(head + 24)};
	return 0;
}

/* Virtual Disk Format 5.0 (VMware), "Hosted Sparse Extent Header" and "The Descriptor". */
static int look_at_vmdk(int fd, const uint8_t *head, struct foreign_disk *disk, struct err *err)
{
	const uint64_t capacity = le_get64(head + 12), at = le_get64(head + 28);
	const uint64_t len = u64_min(le_get64(head + 36), DESCRIPTOR_MAX) * SECTOR;
	char text[DESCRIPTOR_MAX * SECTOR + 1] = {0};

	/* Without a capacity the text says where the data is. */
	if (capacity == 0 || capacity > IMAGE_MAX_BYTES / SECTOR)
		return err_set(err, ERR_FAILED, "its data is in other files");
	if (at > IMAGE_MAX_BYTES / SECTOR || io_pread(fd, text, len, at * SECTOR) < 0)
		return err_set(err, ERR_FAILED, "its description is not in it");
	if (strstr(text, "parentFileNameHint") != NULL)
		return err_set(err, ERR_FAILED,
			       "it has a parent, which may be any file of this host");
	*disk = (struct foreign_disk){"vmdk", capacity * SECTOR};
	return 0;
}

/* Virtual Hard Disk Image Format Specification 1.0 (Microsoft), "Hard Disk Footer Format". */
static int look_at_vhd(const uint8_t *footer, struct foreign_disk *disk, struct err *err)
{
	const uint32_t type = be32(footer + 60);

	if (type != 2 && type != 3)
		return err_set(err, ERR_FAILED,
			       type == 4 ? "it has a parent, which may be any file of this host"
					 : "it is no fixed and no dynamic VHD");
	*disk = (struct foreign_disk){"vpc", be64(footer + 48)};
	return 0;
}

static int look(int fd, struct foreign_disk *disk, struct err *err)
{
	uint8_t head[HEAD] = {0}, foot[HEAD] = {0};
	const off_t end = lseek(fd, 0, SEEK_END);
	const char *what;
	int ret;

	if (end < 0)
		return err_sys(err, errno, "find its end");
	ret = io_pread(fd, head, u64_min((uint64_t)end, HEAD), 0);
	if (ret == 0 && end >= HEAD)
		ret = io_pread(fd, foot, HEAD, (uint64_t)end - HEAD);
	if (ret < 0)
		return err_sys(err, -ret, "read it");
	if (memcmp(head, "QFI\xfb", 4) == 0)
		return look_at_qcow2(head, disk, err);
	if (memcmp(head, "KDMV", 4) == 0)
		return look_at_vmdk(fd, head, disk, err);
	if (memcmp(head, "conectix", 8) == 0)
		return look_at_vhd(head, disk, err);
	/* One of a fixed size has that at its end alone. */
	if (memcmp(foot, "conectix", 8) == 0)
		return look_at_vhd(foot, disk, err);
	what = foreign_format(head, (size_t)u64_min((uint64_t)end, FOREIGN_HEAD));
	if (what != NULL)
		return err_set(err, ERR_FAILED, "it is %s", what);
	*disk = (struct foreign_disk){"raw", (uint64_t)end};
	return 0;
}

int foreign_disk_look(int fd, struct foreign_disk *disk, struct err *err)
{
	int ret = look(fd, disk, err);

	if (ret < 0)
		return ret;
	if (disk->size == 0 || disk->size % SECTOR != 0 || disk->size > IMAGE_MAX_BYTES)
		return err_set(err, ERR_FAILED, "%llu bytes are no size for a disk",
			       (unsigned long long)disk->size);
	return 0;
}

static int convert(const char *from, const struct foreign_disk *disk, int to,
		   struct progress *progress, struct err *err)
{
	const char *const argv[] = {
		"qemu-img", "convert",		"-p", "-f",  disk->format, "-O",      "raw",
		"-n",	    "--target-is-zero", "-S", "64k", from,	   TOOL_FILE, NULL};
	const struct tool tool = {
		.argv = argv,
		.package = "qemu-utils",
		.reads = from,
		.writes = to,
		.progress = progress,
		.bytes = disk->size,
	};

	return tool_run(&tool, err);
}

int foreign_disk_import(const char *from, const char *to, struct progress *progress, uint64_t *size,
			struct err *err)
{
	cleanup_fd int fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	cleanup_tempfile struct tempfile file = TEMPFILE_CLOSED;
	char source[PATH_MAX];
	struct foreign_disk disk;
	int ret;

	if (fd < 0)
		return err_sys(err, errno, "%s", from);
	ret = foreign_disk_look(fd, &disk, err);
	if (ret < 0)
		return err_context(err, ret, "%s", from);
	/* A name with a colon would be a protocol's. */
	if (realpath(from, source) == NULL)
		return err_sys(err, errno, "%s", from);
	*size = disk.size;
	ret = disk_file_begin(&file, to, disk.size, err);
	if (ret < 0)
		return ret;
	ret = convert(source, &disk, file.fd, progress, err);
	return ret < 0 ? ret : tempfile_publish_new(&file, err);
}
