/* See source_args.h. */
#include "cli/source_args.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "format/foreign.h"
#include "vmm/machine.h"

#define DEFAULT_MEMORY MIB(256)
#define SECTOR	       512u

/* Open a file for its contents; directories and the like are refused, and a FIFO is not waited for.
 */
static int open_regular_file(const char *what, const char *path, uint64_t *size, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	off_t end;

	if (fd < 0)
		return err_sys(err, errno, "%s %s", what, path);
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s %s", what, path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, ERR_FAILED, "%s %s: not a file", what, path);
	end = lseek(fd, 0, SEEK_END);
	if (end < 0)
		return err_sys(err, errno, "%s %s", what, path);
	if (end == 0)
		return err_set(err, ERR_FAILED, "%s %s: the file is empty", what, path);
	*size = (uint64_t)end;
	return take_fd(&fd);
}

static int open_boot_file(const char *what, const char *path, int *fd, struct stat *st,
			  struct blob *blob, struct err *err)
{
	uint64_t size;

	*fd = open_regular_file(what, path, &size, err);
	if (*fd < 0)
		return *fd;
	if (fstat(*fd, st) < 0)
		return err_sys(err, errno, "%s %s", what, path);
	*blob = (struct blob){.fd = *fd, .len = size};
	return 0;
}

static int source_add_disk(struct source *s, const struct disk_arg *arg, struct err *err)
{
	struct appliance_disk *disk = &s->appliance.disk[s->appliance.ndisks];
	uint8_t head[FOREIGN_HEAD];
	const char *foreign;
	uint64_t size;
	ssize_t len;
	int fd = open_regular_file("disk", arg->path, &size, err);

	if (fd < 0)
		return fd;
	s->disk_path[s->appliance.ndisks] = arg->path;
	s->disk_fd[s->appliance.ndisks++] = fd;
	len = pread(fd, head, sizeof(head), 0);
	foreign = len > 0 ? foreign_format(head, (size_t)len) : NULL;
	if (foreign != NULL)
		return err_set(err, ERR_FAILED, "disk %s: not a raw disk, but %s", arg->path,
			       foreign);
	if (size % SECTOR != 0)
		return err_set(err, ERR_FAILED, "disk %s: %llu bytes are not a multiple of %u",
			       arg->path, (unsigned long long)size, SECTOR);
	if (size > IMAGE_MAX_BYTES)
		return err_set(err, ERR_FAILED, "disk %s: larger than 64 TiB", arg->path);
	disk->size = size;
	disk->readonly = arg->readonly;
	memcpy(disk->id, arg->id, sizeof(disk->id));
	return 0;
}

int source_override(struct source *s, const struct machine_args *args, struct err *err)
{
	int ret = machine_args_apply(args, &s->appliance, err);

	s->boot.cmdline = s->appliance.cmdline;
	return ret;
}

static int source_gather(struct source *s, const struct machine_args *args, struct err *err)
{
	struct appliance *a = &s->appliance;
	int ret;

	snprintf(a->machine, sizeof(a->machine), "%s", MACHINE_TYPE);
	snprintf(a->arch, sizeof(a->arch), "%s", ARCH_NAME);
	a->memory = DEFAULT_MEMORY;
	a->vcpus = 1;
	if (args->kernel == NULL)
		return err_set(err, ERR_USAGE, "--kernel is missing");
	s->origin = args->kernel;
	ret = open_boot_file("kernel", args->kernel, &s->kernel_fd, &s->kernel_stat,
			     &s->boot.kernel, err);
	if (ret < 0)
		return ret;
	if (args->initrd != NULL) {
		ret = open_boot_file("initrd", args->initrd, &s->initrd_fd, &s->initrd_stat,
				     &s->boot.initrd, err);
		if (ret < 0)
			return ret;
	}
	for (unsigned i = 0; i < args->ndisks; i++) {
		ret = source_add_disk(s, &args->disk[i], err);
		if (ret < 0)
			return ret;
	}
	return source_override(s, args, err);
}

int source_from_args(struct source *s, const struct machine_args *args, struct err *err)
{
	int ret;

	source_init(s);
	ret = source_gather(s, args, err);
	if (ret < 0)
		source_close(s);
	return ret;
}
