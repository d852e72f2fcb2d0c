/* See source.h. */
#include "instance/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "format/image/frame_cache.h"
#include "format/verified.h"
#include "host/parent.h"
#include "host/paths.h"
#include "vmm/machine.h"

#define COPY_CHUNK KIB(256)

int source_init(struct source *s, struct err *err)
{
	*s = (struct source){.kernel_fd = -1, .initrd_fd = -1};
	for (unsigned i = 0; i < APPLIANCE_MAX_DISKS; i++)
		s->disk[i].fd = s->disk[i].direct_fd = -1;
	for (unsigned i = 0; i < APPLIANCE_MAX_SHARES; i++)
		s->share[i].ends = (struct share_ends)SHARE_ENDS_CLOSED;
	s->vsock = (struct vsock_ends)VSOCK_ENDS_CLOSED;
	return appliance_init(&s->appliance, err);
}

static int check_boot_files(void *chain, struct err *err)
{
	return chain_check_boot(chain, err);
}

int source_from_file(struct source *s, const char *path, const struct archive_open_params *params,
		     struct err *err)
{
	int ret = source_init(s, err);

	s->keys = params != NULL ? params->keys : NULL;
	s->unnamed = params != NULL && params->fd >= 0;
	if (ret < 0) {
		source_close(s);
		return ret;
	}
	ret = parent_open(&s->chain, path, params, err);
	if (ret < 0) {
		source_close(s);
		return ret;
	}
	appliance_free(&s->appliance);
	ret = appliance_copy(&s->appliance, archive_appliance(chain_newest(s->chain)), err);
	if (ret < 0) {
		source_close(s);
		return ret;
	}
	s->origin = archive_path(chain_newest(s->chain));
	(void)chain_blob(s->chain, ROLE_KERNEL, &s->boot.kernel);
	(void)chain_blob(s->chain, ROLE_INITRD, &s->boot.initrd);
	s->boot.cmdline = s->appliance.cmdline;
	s->boot.check = check_boot_files;
	s->boot.check_opaque = s->chain;
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

/* Of one appliance: 4 MiB, taken as far as packed frames are read. ARCHITECTURE.md has what more would save. */
#define CACHED_FRAMES 64u

static int source_open_disk(struct source *s, unsigned index, const char *scratch_dir,
			    struct disk **disk, struct err *err)
{
	const struct appliance_disk *d = &s->appliance.disk[index];
	struct disk_params params = {
		.id = d->id,
		.readonly = d->readonly,
		.size = d->size,
		.raw = {.fd = -1},
		.path = s->disk[index].path,
		.through = s->disk[index].through,
		.limits = s->disk[index].limits,
		.scratch_dir = scratch_dir,
	};

	struct image_layers layers;
	int ret;

	if (s->disk[index].path != NULL) {
		params.raw = (struct blob){.fd = take_fd(&s->disk[index].fd), .len = d->size};
		params.direct = s->disk[index].direct_fd >= 0;
		params.direct_fd = take_fd(&s->disk[index].direct_fd);
		return disk_open(disk, &params, err);
	}
	if (d->outside[0] != '\0')
		return err_set(err, ERR_USAGE,
			       "disk %s is outside of %s: only torpor resume --disk %s=F takes it",
			       d->id, s->origin, d->id);
	ret = chain_disk(s->chain, index, &layers, err);
	if (ret < 0)
		return ret;
	params.layers = &layers;
	params.cache = s->frames;
	return disk_open(disk, &params, err);
}

int source_open_disks(struct source *s, const char *name, struct disk *disk[APPLIANCE_MAX_DISKS],
		      struct err *err)
{
	struct path scratch;
	int ret;

	if (s->appliance.ndisks == 0)
		return 0;
	ret = name != NULL ? path_state(&scratch, name, "", err) : path_state_root(&scratch, err);
	if (ret < 0)
		return ret;
	ret = path_make_dirs(&scratch, err);
	if (ret < 0)
		return ret;
	ret = frame_cache_new(&s->frames, CACHED_FRAMES, err);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < s->appliance.ndisks; i++) {
		ret = source_open_disk(s, i, scratch.text, &disk[i], err);
		if (ret == 0)
			continue;
		/* The one that failed has opened nothing. */
		while (i-- > 0) {
			disk_close(disk[i]);
			disk[i] = NULL;
		}
		return ret;
	}
	return 0;
}

static int copy_contents(int from, int to, uint64_t size)
{
	cleanup_free uint8_t *chunk = malloc(COPY_CHUNK);

	if (chunk == NULL)
		return -ENOMEM;
	for (uint64_t at = 0; at < size; at += COPY_CHUNK) {
		uint64_t len = u64_min(COPY_CHUNK, size - at);
		int ret = io_pread(from, chunk, len, at);

		if (ret < 0)
			return ret;
		ret = io_pwrite(to, chunk, len, at);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int keep_boot_file(const char *what, int fd, const struct blob *blob,
			  const struct stat *before, struct err *err)
{
	cleanup_fd int copy = -1;
	struct stat now;
	int ret;

	if (fd < 0)
		return 0;
	copy = memfd_create(what, MFD_CLOEXEC);
	if (copy < 0)
		return err_sys(err, errno, "keep the %s", what);
	ret = copy_contents(fd, copy, blob->len);
	if (fstat(fd, &now) < 0)
		return err_sys(err, errno, "keep the %s", what);
	if (!verified_same(before, &now)) {
		err_set(err, ERR_FAILED, "the %s was changed while the machine started", what);
		return -ESTALE;
	}
	if (ret < 0)
		return err_sys(err, -ret, "keep the %s", what);
	/* Threads that read `fd` meanwhile read the same bytes from either file. */
	return dup3(copy, fd, O_CLOEXEC) < 0 ? err_sys(err, errno, "keep the %s", what) : 0;
}

int source_keep_boot_files(struct source *s, struct err *err)
{
	int ret = keep_boot_file("kernel", s->kernel_fd, &s->boot.kernel, &s->kernel_stat, err);

	if (ret < 0)
		return ret;
	return keep_boot_file("initrd", s->initrd_fd, &s->boot.initrd, &s->initrd_stat, err);
}

static void close_and_forget(int *fd)
{
	cleanup_fd_fn(fd);
	*fd = -1;
}

void source_close(struct source *s)
{
	close_and_forget(&s->kernel_fd);
	close_and_forget(&s->initrd_fd);
	for (unsigned i = 0; i < APPLIANCE_MAX_DISKS; i++) {
		close_and_forget(&s->disk[i].fd);
		close_and_forget(&s->disk[i].direct_fd);
	}
	for (unsigned i = 0; i < APPLIANCE_MAX_SHARES; i++)
		share_ends_close(&s->share[i].ends);
	vsock_ends_close(&s->vsock);
	frame_cache_free(s->frames);
	s->frames = NULL;
	chain_close(s->chain);
	s->chain = NULL;
	keyring_free(s->keys);
	s->keys = NULL;
	appliance_free(&s->appliance);
}
