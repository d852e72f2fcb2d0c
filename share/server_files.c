/* Open files and folders of the guest; see server.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "share/server_internal.h"

/* The guest's file position and its cache are its own affair; bits that only say how to open are spent. */
#define KEPT_FLAGS (O_ACCMODE | O_SYNC | O_DSYNC)

int file_open_flags(uint32_t flags)
{
	return (int)(flags & (KEPT_FLAGS | O_TRUNC));
}

/* A handle of the kind that a request is about: 0, -ESTALE for one that is gone or was never there. */
static int find_handle(const struct share_server *s, uint64_t id, bool directory,
		       struct handle **handle)
{
	*handle = nodes_handle(&s->nodes, id);
	if (*handle == NULL || (*handle)->fd < 0)
		return -ESTALE;
	return (*handle)->directory == directory ? 0 : -EBADF;
}

static int open_handle(struct share_server *s, int fd, bool directory, uint32_t flags,
		       struct fuse_open_out *out)
{
	struct share_identity self;
	struct statx st;
	uint32_t id = 0;
	int ret = file_status(fd, &st);

	if (ret < 0) {
		close(fd);
		return ret;
	}
	file_identity(&st, &self);
	if (nodes_open_handle(&s->nodes, &id, fd, directory, flags & KEPT_FLAGS, &self) == NULL)
		return -ENFILE;
	*out = (struct fuse_open_out){.fh = id};
	return 0;
}

static bool only_reads(uint32_t flags)
{
	return (flags & O_ACCMODE) == O_RDONLY && (flags & O_TRUNC) == 0;
}

int share_open(struct share_server *s, const struct share_request *r, struct share_answer *a)
{
	const struct fuse_open_in *in = request_args(r);
	const struct node *node = request_node(s, r);
	struct fuse_open_out out;
	int fd, ret;

	if (node == NULL)
		return -ESTALE;
	/* To open a pipe or a device would wait, or do something. */
	if (node->type != S_IFREG)
		return node->type == S_IFDIR ? -EISDIR : -EINVAL;
	if (s->params.readonly && !only_reads(in->flags))
		return -EROFS;
	fd = file_reopen(s, node->fd, file_open_flags(in->flags));
	if (fd < 0)
		return fd;
	ret = open_handle(s, fd, false, in->flags, &out);
	return ret < 0 ? ret : answer_with(a, &out, sizeof(out));
}

int share_opendir(struct share_server *s, const struct share_request *r, struct share_answer *a)
{
	struct fuse_open_out out;
	struct node *node;
	int fd, ret = request_folder(s, r, &node);

	if (ret < 0)
		return ret;
	fd = file_reopen(s, node->fd, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	ret = open_handle(s, fd, true, 0, &out);
	return ret < 0 ? ret : answer_with(a, &out, sizeof(out));
}

/* A new file, open; -EEXIST: there is one, or something else. */
static int create_file(int folder, const char *name, const struct fuse_create_in *in)
{
	int fd = openat(folder, name,
			file_open_flags(in->flags) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC |
				O_NOCTTY,
			in->mode & 01777);

	return fd < 0 ? -errno : fd;
}

/* What the host has put there meanwhile is opened as any other file is. */
static int open_existing(struct share_server *s, int folder, const char *name,
			 const struct fuse_create_in *in, struct fuse_entry_out *entry)
{
	const struct node *node;
	int ret = folder_lookup(s, folder, name, entry), fd;

	if (ret < 0)
		return ret;
	node = nodes_find(&s->nodes, entry->nodeid);
	fd = node->type == S_IFREG ? file_reopen(s, node->fd, file_open_flags(in->flags)) : -EINVAL;
	if (fd < 0)
		nodes_forget(&s->nodes, entry->nodeid, 1);
	return fd;
}

static int open_new(struct share_server *s, int folder, const char *name,
		    const struct fuse_create_in *in, struct fuse_entry_out *entry)
{
	int fd = create_file(folder, name, in), named, ret;

	if (fd == -EEXIST && (in->flags & O_EXCL) == 0)
		return open_existing(s, folder, name, in, entry);
	if (fd < 0)
		return fd;
	named = file_reopen(s, fd, O_PATH);
	ret = named < 0 ? named : share_enter(s, named, entry);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	return fd;
}

int share_create(struct share_server *s, const struct share_request *r, struct share_answer *a)
{
	const struct fuse_create_in *in = request_args(r);
	size_t at = sizeof(*in);
	const char *name;
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out;
	struct node *folder;
	int fd, ret = request_place(s, r, &at, &folder, &name);

	if (ret < 0)
		return ret;
	if (a->room < sizeof(out))
		return -EIO;
	fd = open_new(s, folder->fd, name, in, &out.entry);
	if (fd < 0)
		return fd;
	ret = open_handle(s, fd, false, in->flags, &out.open);
	if (ret < 0) {
		nodes_forget(&s->nodes, out.entry.nodeid, 1);
		return ret;
	}
	return answer_with(a, &out, sizeof(out));
}

static void end_listing(struct share_server *s, uint64_t id)
{
	for (unsigned i = 0; i < LISTINGS; i++) {
		if (s->listing[i].handle == id)
			s->listing[i].handle = 0;
	}
}

int share_release(struct share_server *s, const struct share_request *r, struct share_answer *a)
{
	const struct fuse_release_in *in = request_args(r);

	(void)a;
	end_listing(s, in->fh);
	nodes_close_handle(&s->nodes, in->fh);
	return 0;
}

int share_read(struct share_server *s, const struct share_request *r, struct share_answer *a)
{
	const struct fuse_read_in *in = request_args(r);
	struct handle *handle;
	ssize_t got;
	int ret = find_handle(s, in->fh, false, &handle);

	if (ret < 0)
		return ret;
	if (in->offset > INT64_MAX)
		return -EINVAL;
	got = pread(handle->fd, a->at, u64_min(in->size, a->room), (off_t)in->offset);
	return got < 0 ? -errno : (int)got;
}

int share_write(struct share_server *s, const struct share_request *r, struct share_answer *a)
{
	const struct fuse_write_in *in = request_args(r);
	struct fuse_write_out out = {0};
	struct handle *handle;
	ssize_t put;
	int ret = find_handle(s, in->fh, false, &handle);

	if (ret < 0)
		return ret;
	if (in->offset > INT64_MAX || in->size > r->ndata)
		return -EINVAL;
	put = pwrite(handle->fd, r->data, in->size, (off_t)in->offset);
	if (put < 0)
		return -errno;
	out.size = (uint32_t)put;
	return answer_with(a, &out, sizeof(out));
}

int share_fsync(struct share_server *s, const struct share_request *r, struct share_answer *a)
{
	const struct fuse_fsync_in *in = request_args(r);
	struct handle *handle;
	int ret = find_handle(s, in->fh, r->header.opcode == FUSE_FSYNCDIR, &handle);

	(void)a;
	if (ret < 0)
		return ret;
	if ((in->fsync_flags & FUSE_FSYNC_FDATASYNC) != 0)
		return fdatasync(handle->fd) < 0 ? -errno : 0;
	return fsync(handle->fd) < 0 ? -errno : 0;
}

int share_fallocate(struct share_server *s, const struct share_request *r, struct share_answer *a)
{
	const struct fuse_fallocate_in *in = request_args(r);
	const uint32_t known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
	struct handle *handle;
	int ret = find_handle(s, in->fh, false, &handle);

	(void)a;
	if (ret < 0)
		return ret;
	if ((in->mode & ~known) != 0)
		return -EOPNOTSUPP;
	if (in->offset > INT64_MAX || in->length > INT64_MAX)
		return -EINVAL;
	return fallocate(handle->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0
		       ? -errno
		       : 0;
}

int share_lseek(struct share_server *s, const struct share_request *r, struct share_answer *a)
{
	const struct fuse_lseek_in *in = request_args(r);
	struct fuse_lseek_out out;
	struct handle *handle;
	off_t at;
	int ret = find_handle(s, in->fh, false, &handle);

	if (ret < 0)
		return ret;
	if ((in->whence != SEEK_DATA && in->whence != SEEK_HOLE) || in->offset > INT64_MAX)
		return -EINVAL;
	at = lseek(handle->fd, (off_t)in->offset, (int)in->whence);
	if (at < 0)
		return -errno;
	out.offset = (uint64_t)at;
	return answer_with(a, &out, sizeof(out));
}

/* --- folders --- */

/* As getdents64(2) has it. */
struct linux_dirent {
	uint64_t ino;
	int64_t next;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* Add an entry to a listing; `looked` NULL: without its attributes. Returns its length, or 0 without room. */
static size_t put_entry(struct share_answer *a, const struct linux_dirent *d,
			const struct fuse_entry_out *looked)
{
	const size_t head = looked != NULL ? sizeof(*looked) : 0, len = strlen(d->name);
	const struct fuse_dirent out = {
		.ino = d->ino,
		.off = (uint64_t)d->next,
		.namelen = (uint32_t)len,
		.type = d->type,
	};
	const size_t all = head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + len);

	if (all > a->room)
		return 0;
	memset(a->at, 0, all);
	if (looked != NULL)
		memcpy(a->at, looked, head);
	memcpy(a->at + head, &out, FUSE_NAME_OFFSET);
	memcpy(a->at + head + FUSE_NAME_OFFSET, d->name, len);
	a->at += all;
	a->room -= all;
	return all;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Above the root there is nothing for the guest; what cannot be looked up is listed all the same. */
static size_t list_entry(struct share_server *s, const struct handle *handle,
			 struct linux_dirent *d, bool plus, struct share_answer *a)
{
	struct fuse_entry_out looked = {0};
	size_t len;

	if (strcmp(d->name, "..") == 0)
		d->ino = handle->self.inode;
	if (!plus)
		return put_entry(a, d, NULL);
	if (a->room < sizeof(looked) + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + strlen(d->name)))
		return 0;
	if (!is_dots(d->name) && folder_lookup(s, handle->fd, d->name, &looked) < 0)
		looked = (struct fuse_entry_out){0};
	len = put_entry(a, d, &looked);
	return len;
}

/* Read the folder from there on; NULL with `error`: that is refused. */
static struct listing *begin_listing(struct share_server *s, uint32_t id, int fd, uint64_t offset,
				     int *error)
{
	struct listing *l = NULL;

	for (unsigned i = 0; i < LISTINGS; i++) {
		if (s->listing[i].handle != id)
			continue;
		l = &s->listing[i];
		if (offset != 0 && l->next == offset)
			return l;
	}
	if (l == NULL)
		l = &s->listing[s->oldest_listing++ % LISTINGS];
	l->handle = 0;
	if (lseek(fd, (off_t)offset, SEEK_SET) < 0) {
		*error = -errno;
		return NULL;
	}
	l->handle = id;
	l->next = offset;
	l->at = l->len = 0;
	return l;
}

static int list_folder(struct share_server *s, const struct share_request *r,
		       struct share_answer *a, bool plus)
{
	const struct fuse_read_in *in = request_args(r);
	struct share_answer to = *a;
	struct handle *handle;
	struct listing *l;
	size_t done = 0;
	int ret = find_handle(s, in->fh, true, &handle);

	if (ret < 0)
		return ret;
	if (in->offset > INT64_MAX)
		return -EINVAL;
	/* A position is a word of the file system that it was read from; who begins again gets new ones. */
	if (handle->moved && in->offset != 0)
		return -ESTALE;
	handle->moved = false;
	l = begin_listing(s, (uint32_t)in->fh, handle->fd, in->offset, &ret);
	if (l == NULL)
		return ret;
	if (l->at == l->len) {
		long got = syscall(SYS_getdents64, handle->fd, l->dents, sizeof(l->dents));

		if (got < 0)
			return -errno;
		l->at = 0;
		l->len = (size_t)got;
	}
	to.room = u64_min(to.room, in->size);
	while (l->at < l->len) {
		struct linux_dirent *d = (struct linux_dirent *)(l->dents + l->at);
		size_t len = list_entry(s, handle, d, plus, &to);

		if (len == 0)
			break;
		done += len;
		l->at += d->len;
		l->next = (uint64_t)d->next;
	}
	/* No room for one entry is not the end of the folder. */
	return done == 0 && l->len > 0 ? -EINVAL : (int)done;
}

int share_readdir(struct share_server *s, const struct share_request *r, struct share_answer *a)
{
	return list_folder(s, r, a, false);
}

int share_readdirplus(struct share_server *s, const struct share_request *r, struct share_answer *a)
{
	return list_folder(s, r, a, true);
}
