/* See source.h. */
#include "instance/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "host/parent.h"
#include "host/paths.h"
#include "vmm/machine.h"

#define DEFAULT_MEMORY MIB(256)
#define SECTOR	       512u

static void source_init(struct source *s)
{
	*s = (struct source){.kernel_fd = -1, .initrd_fd = -1};
	for (unsigned i = 0; i < APPLIANCE_MAX_DISKS; i++)
		s->disk_fd[i] = -1;
	appliance_init(&s->appliance);
}

/* Open a file for its contents; directories and the like are refused. */
static int open_contents(const char *what, const char *path, uint64_t *size, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
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

static int open_boot_file(const char *what, const char *path, int *fd, struct blob *blob,
			  struct err *err)
{
	uint64_t size;

	*fd = open_contents(what, path, &size, err);
	if (*fd < 0)
		return *fd;
	*blob = (struct blob){.fd = *fd, .len = size};
	return 0;
}

static int describe_disk(struct source *s, const struct disk_arg *arg, struct err *err)
{
	struct appliance_disk *disk = &s->appliance.disk[s->appliance.ndisks];
	uint64_t size;
	int fd = open_contents("disk", arg->path, &size, err);

	if (fd < 0)
		return fd;
	s->disk_fd[s->appliance.ndisks++] = fd;
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

static int gather(struct source *s, const struct machine_args *args, struct err *err)
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
	ret = open_boot_file("kernel", args->kernel, &s->kernel_fd, &s->boot.kernel, err);
	if (ret == 0 && args->initrd != NULL)
		ret = open_boot_file("initrd", args->initrd, &s->initrd_fd, &s->boot.initrd, err);
	for (unsigned i = 0; ret == 0 && i < args->ndisks; i++)
		ret = describe_disk(s, &args->disk[i], err);
	return ret < 0 ? ret : source_override(s, args, err);
}

int source_from_args(struct source *s, const struct machine_args *args, struct err *err)
{
	int ret;

	source_init(s);
	ret = gather(s, args, err);
	if (ret < 0)
		source_close(s);
	return ret;
}

int source_from_file(struct source *s, const char *path, const struct archive_open_params *params,
		     struct err *err)
{
	int ret;

	source_init(s);
	s->keys = params != NULL ? params->keys : NULL;
	ret = parent_open(&s->chain, path, params, err);
	if (ret == 0) {
		appliance_free(&s->appliance);
		ret = appliance_copy(&s->appliance, archive_appliance(chain_newest(s->chain)), err);
	}
	if (ret < 0) {
		source_close(s);
		return ret;
	}
	s->origin = archive_path(chain_newest(s->chain));
	(void)chain_blob(s->chain, ROLE_KERNEL, &s->boot.kernel);
	(void)chain_blob(s->chain, ROLE_INITRD, &s->boot.initrd);
	s->boot.cmdline = s->appliance.cmdline;
	return 0;
}

int source_boot_failed(const struct source *s, int ret, struct err *err)
{
	return err_context(err, ret, "%s", s->origin);
}

int source_check(const struct source *s, struct err *err)
{
	const struct appliance *a = &s->appliance;

	if (strcmp(a->arch, ARCH_NAME) != 0)
		return err_set(err, ERR_INCOMPATIBLE, "it is for %s; this is " ARCH_NAME, a->arch);
	if (strcmp(a->machine, MACHINE_TYPE) != 0)
		return err_set(
			err, ERR_INCOMPATIBLE,
			"machine type %s is unknown to this version, which has " MACHINE_TYPE,
			a->machine);
	return 0;
}

static int open_disk(struct source *s, unsigned index, const char *scratch_dir, struct disk **disk,
		     struct err *err)
{
	const struct appliance_disk *d = &s->appliance.disk[index];
	struct disk_params params = {
		.id = d->id,
		.readonly = d->readonly,
		.size = d->size,
		.raw = {.fd = -1},
		.scratch_dir = scratch_dir,
	};

	struct image_layers layers;
	int ret;

	if (s->chain == NULL) {
		params.raw = (struct blob){.fd = take_fd(&s->disk_fd[index]), .len = d->size};
		return disk_open(disk, &params, err);
	}
	ret = chain_disk(s->chain, index, &layers, err);
	if (ret < 0)
		return ret;
	params.layers = &layers;
	return disk_open(disk, &params, err);
}

int source_open_disks(struct source *s, struct disk *disk[APPLIANCE_MAX_DISKS], struct err *err)
{
	struct path scratch;
	unsigned i = 0;
	int ret = 0;

	if (s->appliance.ndisks == 0)
		return 0;
	ret = path_state_root(&scratch, err);
	if (ret == 0)
		ret = path_make_dirs(&scratch, err);
	for (; ret == 0 && i < s->appliance.ndisks; i++)
		ret = open_disk(s, i, scratch.text, &disk[i], err);
	if (ret == 0)
		return 0;
	/* The one that failed has opened nothing. */
	while (i-- > 1) {
		disk_close(disk[i - 1]);
		disk[i - 1] = NULL;
	}
	return ret;
}

void source_close(struct source *s)
{
	int *fds[] = {&s->kernel_fd, &s->initrd_fd};

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(take_fd(fds[i]));
	}
	for (unsigned i = 0; i < APPLIANCE_MAX_DISKS; i++) {
		if (s->disk_fd[i] >= 0)
			close(take_fd(&s->disk_fd[i]));
	}
	chain_close(s->chain);
	s->chain = NULL;
	keyring_free(s->keys);
	s->keys = NULL;
	appliance_free(&s->appliance);
}
