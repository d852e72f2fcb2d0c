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
#include "vmm/machine.h"

#define DEFAULT_MEMORY MIB(256)

/* Open a file for its contents; directories and the like are refused, and a FIFO is not waited for.
 * The size of a block device is in `blob` and not in `st`. */
static int open_regular_file(const char *what, const char *path, struct stat *st, struct blob *blob,
			     struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	off_t end;

	if (fd < 0 || fstat(fd, st) < 0)
		return err_sys(err, errno, "%s %s", what, path);
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return err_set(err, ERR_FAILED, "%s %s: not a file", what, path);
	end = lseek(fd, 0, SEEK_END);
	if (end < 0)
		return err_sys(err, errno, "%s %s", what, path);
	if (end == 0)
		return err_set(err, ERR_FAILED, "%s %s: the file is empty", what, path);
	*blob = (struct blob){.fd = fd, .len = (uint64_t)end};
	return take_fd(&fd);
}

int source_override(struct source *s, const struct machine_args *args, struct err *err)
{
	int ret = machine_args_apply(args, &s->appliance, err);

	s->boot.cmdline = s->appliance.cmdline;
	return ret;
}

static int source_gather(struct source *s, struct machine_args *args, struct err *err)
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
	s->kernel_fd =
		open_regular_file("kernel", args->kernel, &s->kernel_stat, &s->boot.kernel, err);
	if (s->kernel_fd < 0)
		return s->kernel_fd;
	if (args->initrd != NULL) {
		s->initrd_fd = open_regular_file("initrd", args->initrd, &s->initrd_stat,
						 &s->boot.initrd, err);
		if (s->initrd_fd < 0)
			return s->initrd_fd;
	}
	ret = disk_args_open(&args->disks, err);
	if (ret < 0)
		return ret;
	ret = disk_args_add(&args->disks, s, err);
	if (ret == 0)
		ret = disk_args_limit(&args->disks, s, err);
	return ret < 0 ? ret : source_override(s, args, err);
}

int source_from_args(struct source *s, struct machine_args *args, struct err *err)
{
	int ret = source_init(s, err);

	if (ret < 0)
		return ret;
	ret = source_gather(s, args, err);
	if (ret < 0)
		source_close(s);
	return ret;
}

int source_from_keyed_file(struct source *s, const char *path,
			   const struct archive_open_params *params, const struct key_args *given,
			   struct err *err)
{
	int ret = source_from_file(s, path, params, err);

	if (ret < 0)
		return ret;
	ret = keys_check_used(given, s->chain->archive, s->chain->n, err);
	if (ret < 0)
		source_close(s);
	return ret;
}
