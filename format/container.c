/* Members of a tar or a folder; see container.h. */
#include "format/container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "format/foreign.h"

#define FOLDER_PREFIX "oci:"

/* c->fd is a tar, and closed on failure. */
static int take_tar(struct container *c, struct err *err)
{
	int ret = tar_read(&c->tar, c->fd, c->arrival, err);
	struct stat st;

	if (ret == -EINVAL && fstat(c->fd, &st) == 0 && S_ISREG(st.st_mode)) {
		uint8_t head[FOREIGN_HEAD];
		ssize_t len = pread(c->fd, head, sizeof(head), 0);
		const char *foreign = len > 0 ? foreign_format(head, (size_t)len) : NULL;

		if (foreign != NULL)
			err_set(err, ERR_INTEGRITY, "not a torpor file, but %s", foreign);
	}
	if (ret < 0)
		container_close(c);
	return ret;
}

int container_take(struct container *c, int fd, struct err *err)
{
	struct stat st;
	int ret;

	*c = (struct container){.fd = fd};
	if (fstat(c->fd, &st) < 0) {
		ret = err_sys(err, errno, "open");
		container_close(c);
		return ret;
	}
	c->folder = S_ISDIR(st.st_mode);
	return c->folder ? 0 : take_tar(c, err);
}

int container_give(struct container *c, const struct container_member *members, size_t n,
		   struct err *err)
{
	*c = (struct container){.fd = -1, .given = members, .ngiven = n};
	if (n != 1 || members[0].name != NULL)
		return 0;
	*c = (struct container){.fd = fcntl(members[0].blob.fd, F_DUPFD_CLOEXEC, 0),
				.arrival = members[0].blob.arrival};
	if (c->fd < 0)
		return err_sys(err, errno, "open");
	return take_tar(c, err);
}

const char *container_folder(const char *path)
{
	size_t len = sizeof(FOLDER_PREFIX) - 1;

	return strncmp(path, FOLDER_PREFIX, len) == 0 ? path + len : NULL;
}

int container_open(struct container *c, const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const char *folder = container_folder(path);

	if (fd < 0 && folder != NULL)
		fd = open(folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
	if (fd < 0) {
		*c = (struct container){.fd = -1};
		return err_sys(err, errno, "open");
	}
	return container_take(c, fd, err);
}

void container_close(struct container *c)
{
	for (size_t i = 0; i < c->nmembers; i++)
		close(c->members[i]);
	free(c->members);
	tar_free(&c->tar);
	if (c->fd >= 0)
		close(c->fd);
	*c = (struct container){.fd = -1};
}

static int member_missing(const char *name, struct err *err)
{
	err_set(err, ERR_INTEGRITY, "%s is missing", name);
	return -ENOENT;
}

/* Names come from files of the folder: they do not lead out of it. */
static bool leads_out(const char *name)
{
	if (name[0] == '/')
		return true;
	while (*name != '\0') {
		size_t len = strcspn(name, "/");

		if (len == 2 && strncmp(name, "..", 2) == 0)
			return true;
		name += len + (name[len] == '/');
	}
	return false;
}

static int find_file(struct container *c, const char *name, struct blob *blob, struct err *err)
{
	cleanup_fd int fd = -1;
	struct stat st;
	int *grown;

	if (leads_out(name))
		return err_set(err, ERR_INTEGRITY, "%s is not in the folder", name);
	fd = openat(c->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ELOOP)
		return err_set(err, ERR_INTEGRITY, "%s is a symbolic link", name);
	if (fd < 0 && errno == ENOENT)
		return member_missing(name, err);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "open %s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INTEGRITY, "%s is not a file", name);
	grown = array_grow(c->members, c->nmembers, sizeof(*grown));
	if (grown == NULL)
		return err_sys(err, ENOMEM, "open %s", name);
	c->members = grown;
	*blob = (struct blob){.fd = fd, .len = (uint64_t)st.st_size};
	c->members[c->nmembers++] = take_fd(&fd);
	return 0;
}

int container_find(struct container *c, const char *name, struct blob *blob, struct err *err)
{
	const struct tar_entry *entry;

	if (c->folder)
		return find_file(c, name, blob, err);
	for (size_t i = 0; i < c->ngiven; i++) {
		if (strcmp(c->given[i].name, name) != 0)
			continue;
		*blob = c->given[i].blob;
		return 0;
	}
	entry = tar_find(&c->tar, name);
	if (entry == NULL)
		return member_missing(name, err);
	*blob = (struct blob){
		.fd = c->fd, .offset = entry->offset, .len = entry->size, .arrival = c->arrival};
	return 0;
}
