/* See server.h. Requests are taken apart here, and those about names and attributes answered. */
#include "share/server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "share/server_internal.h"

#define OUR_MINOR      31u /* structures and flags of Linux 5.4, the first with virtio-fs */
#define MAX_PAGES      (SHARE_WRITE_MAX >> 12)
#define MOST_READAHEAD (1u << 20)
#define NOBODY	       65534u
#define MODE_BITS      01777u /* of a file; no bits that change users */
#define FOLDER_BITS    03777u

/* --- answers --- */

int answer_with(struct share_answer *a, const void *data, size_t len)
{
	if (len > a->room)
		return -EIO;
	memcpy(a->at, data, len);
	return (int)len;
}

const char *request_name(const struct share_request *r, size_t *at)
{
	const char *name = (const char *)r->args + *at;
	size_t len = *at < r->nargs ? strnlen(name, r->nargs - *at) : 0;

	if (*at >= r->nargs || len == r->nargs - *at)
		return NULL;
	*at += len + 1;
	/* One that is too long is an error of the host's file system. */
	if (len == 0 || strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return NULL;
	return name;
}

struct node *request_node(const struct share_server *s, const struct share_request *r)
{
	struct node *node = nodes_find(&s->nodes, r->header.nodeid);

	return node != NULL && node->fd >= 0 ? node : NULL;
}

int request_folder(const struct share_server *s, const struct share_request *r, struct node **node)
{
	*node = request_node(s, r);
	if (*node == NULL)
		return -ESTALE;
	return (*node)->type == S_IFDIR ? 0 : -ENOTDIR;
}

int request_place(const struct share_server *s, const struct share_request *r, size_t *at,
		  struct node **folder, const char **name)
{
	int ret = request_folder(s, r, folder);

	if (ret < 0)
		return ret;
	*name = request_name(r, at);
	return *name != NULL ? 0 : -EINVAL;
}

/* --- files --- */

int file_status(int fd, struct statx *st)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME,
		     st) < 0
		       ? -errno
		       : 0;
}

void file_identity(const struct statx *st, struct share_identity *self)
{
	*self = (struct share_identity){
		.device = makedev(st->stx_dev_major, st->stx_dev_minor),
		.inode = st->stx_ino,
	};
	if ((st->stx_mask & STATX_BTIME) != 0)
		self->born = (uint64_t)st->stx_btime.tv_sec * UINT64_C(1000000000) +
			     st->stx_btime.tv_nsec;
}

bool file_is(const struct share_identity *a, const struct share_identity *b)
{
	return a->inode == b->inode && a->born == b->born &&
	       (a->born != 0 || a->device == b->device);
}

static uint32_t seen_owner(uint32_t owner, uint32_t own)
{
	return owner == own ? 0 : NOBODY;
}

void fill_attr(const struct share_server *s, const struct statx *st, struct fuse_attr *attr)
{
	*attr = (struct fuse_attr){
		.ino = st->stx_ino,
		.size = st->stx_size,
		.blocks = st->stx_blocks,
		.atime = (uint64_t)st->stx_atime.tv_sec,
		.mtime = (uint64_t)st->stx_mtime.tv_sec,
		.ctime = (uint64_t)st->stx_ctime.tv_sec,
		.atimensec = st->stx_atime.tv_nsec,
		.mtimensec = st->stx_mtime.tv_nsec,
		.ctimensec = st->stx_ctime.tv_nsec,
		.mode = st->stx_mode,
		.nlink = st->stx_nlink,
		.uid = seen_owner(st->stx_uid, s->uid),
		.gid = seen_owner(st->stx_gid, s->gid),
		.rdev = (uint32_t)makedev(st->stx_rdev_major, st->stx_rdev_minor),
		.blksize = st->stx_blksize,
	};
}

int file_open_named(int folder, const char *path)
{
	const struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	long fd = syscall(SYS_openat2, folder, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* The name of a descriptor in /proc/self/fd. */
struct fd_name {
	char text[16];
};

static struct fd_name fd_name(int fd)
{
	struct fd_name name;

	snprintf(name.text, sizeof(name.text), "%d", fd);
	return name;
}

static int open_again(const struct share_server *s, int fd, int flags)
{
	int again = openat(s->proc, fd_name(fd).text, flags | O_CLOEXEC | O_NOCTTY);

	return again < 0 ? -errno : again;
}

int file_reopen(const struct share_server *s, int fd, int flags)
{
	int again = open_again(s, fd, flags);
	struct statx st;

	if (again != -EACCES || file_status(fd, &st) < 0 || st.stx_uid != s->uid)
		return again;
	if (fchmodat(s->proc, fd_name(fd).text, (st.stx_mode & 07777) | S_IRWXU, 0) < 0)
		return again;
	again = open_again(s, fd, flags);
	(void)!fchmodat(s->proc, fd_name(fd).text, st.stx_mode & 07777, 0);
	return again;
}

/* --- names --- */

int share_enter(struct share_server *s, int fd, struct fuse_entry_out *out)
{
	struct share_identity self;
	struct node *node;
	struct statx status;
	const struct statx *st = &status;
	int ret = file_status(fd, &status);

	if (ret < 0) {
		close(fd);
		return ret;
	}
	file_identity(st, &self);
	node = nodes_find_file(&s->nodes, &self);
	if (node != NULL)
		close(fd);
	else
		node = nodes_add(&s->nodes, 0, fd, st->stx_mode & S_IFMT, &self);
	if (node == NULL)
		return -ENFILE;
	node->lookups++;
	*out = (struct fuse_entry_out){
		.nodeid = node->id, .entry_valid = ATTR_SECONDS, .attr_valid = ATTR_SECONDS};
	fill_attr(s, st, &out->attr);
	return 0;
}

int folder_lookup(struct share_server *s, int folder, const char *name, struct fuse_entry_out *out)
{
	int fd = file_open_named(folder, name);

	return fd < 0 ? fd : share_enter(s, fd, out);
}

static int answer_entry(struct share_server *s, const struct node *folder, const char *name,
			struct share_answer *a)
{
	struct fuse_entry_out out;
	int ret = folder_lookup(s, folder->fd, name, &out);

	return ret < 0 ? ret : answer_with(a, &out, sizeof(out));
}

static int share_lookup(struct share_server *s, const struct share_request *r,
			struct share_answer *a)
{
	struct node *folder;
	size_t at = 0;
	const char *name;
	int ret = request_place(s, r, &at, &folder, &name);

	return ret < 0 ? ret : answer_entry(s, folder, name, a);
}

static int share_forget(struct share_server *s, const struct share_request *r,
			struct share_answer *a)
{
	const struct fuse_forget_in *in = request_args(r);

	(void)a;
	nodes_forget(&s->nodes, r->header.nodeid, in->nlookup);
	return 0;
}

static int share_batch_forget(struct share_server *s, const struct share_request *r,
			      struct share_answer *a)
{
	const struct fuse_batch_forget_in *in = request_args(r);
	const uint8_t *at = r->args + sizeof(*in);
	size_t n = (r->nargs - sizeof(*in)) / sizeof(struct fuse_forget_one);

	(void)a;
	for (size_t i = 0; i < u64_min(n, in->count); i++) {
		struct fuse_forget_one one;

		memcpy(&one, at + i * sizeof(one), sizeof(one));
		nodes_forget(&s->nodes, one.nodeid, one.nlookup);
	}
	return 0;
}

static int share_mkdir(struct share_server *s, const struct share_request *r,
		       struct share_answer *a)
{
	const struct fuse_mkdir_in *in = request_args(r);
	size_t at = sizeof(*in);
	const char *name;
	struct node *folder;
	int ret = request_place(s, r, &at, &folder, &name);

	if (ret < 0)
		return ret;
	if (mkdirat(folder->fd, name, in->mode & FOLDER_BITS) < 0)
		return -errno;
	return answer_entry(s, folder, name, a);
}

static int share_mknod(struct share_server *s, const struct share_request *r,
		       struct share_answer *a)
{
	const struct fuse_mknod_in *in = request_args(r);
	const uint32_t type = in->mode & S_IFMT;
	size_t at = sizeof(*in);
	const char *name;
	struct node *folder;
	int ret = request_place(s, r, &at, &folder, &name);

	if (ret < 0)
		return ret;
	if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK)
		return -EPERM;
	if (mknodat(folder->fd, name, type | (in->mode & MODE_BITS), 0) < 0)
		return -errno;
	return answer_entry(s, folder, name, a);
}

static int share_symlink(struct share_server *s, const struct share_request *r,
			 struct share_answer *a)
{
	size_t at = 0;
	const char *name, *target;
	struct node *folder;
	int ret = request_place(s, r, &at, &folder, &name);

	if (ret < 0)
		return ret;
	target = (const char *)r->args + at;
	if (at >= r->nargs || strnlen(target, r->nargs - at) == r->nargs - at)
		return -EINVAL;
	if (symlinkat(target, folder->fd, name) < 0)
		return -errno;
	return answer_entry(s, folder, name, a);
}

static int share_link(struct share_server *s, const struct share_request *r, struct share_answer *a)
{
	const struct fuse_link_in *in = request_args(r);
	const struct node *node = nodes_find(&s->nodes, in->oldnodeid);
	size_t at = sizeof(*in);
	const char *name = request_name(r, &at);
	struct node *folder;
	int ret = request_folder(s, r, &folder);

	if (ret < 0)
		return ret;
	if (node == NULL || node->fd < 0)
		return -ESTALE;
	if (name == NULL)
		return -EINVAL;
	if (node->type == S_IFDIR)
		return -EPERM;
	if (linkat(s->proc, fd_name(node->fd).text, folder->fd, name, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	return answer_entry(s, folder, name, a);
}

static int remove_name(struct share_server *s, const struct share_request *r, int flags)
{
	size_t at = 0;
	const char *name;
	struct node *folder;
	int ret = request_place(s, r, &at, &folder, &name);

	if (ret < 0)
		return ret;
	return unlinkat(folder->fd, name, flags) < 0 ? -errno : 0;
}

static int share_unlink(struct share_server *s, const struct share_request *r,
			struct share_answer *a)
{
	(void)a;
	return remove_name(s, r, 0);
}

static int share_rmdir(struct share_server *s, const struct share_request *r,
		       struct share_answer *a)
{
	(void)a;
	return remove_name(s, r, AT_REMOVEDIR);
}

static int rename_to(struct share_server *s, const struct share_request *r, size_t at,
		     uint64_t newdir, uint32_t flags)
{
	const struct node *to = nodes_find(&s->nodes, newdir);
	const char *old_name = request_name(r, &at), *new_name = request_name(r, &at);
	struct node *folder;
	int ret = request_folder(s, r, &folder);

	if (ret < 0)
		return ret;
	if (to == NULL || to->fd < 0)
		return -ESTALE;
	if (to->type != S_IFDIR)
		return -ENOTDIR;
	if (old_name == NULL || new_name == NULL ||
	    (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0)
		return -EINVAL;
	return renameat2(folder->fd, old_name, to->fd, new_name, flags) < 0 ? -errno : 0;
}

static int share_rename(struct share_server *s, const struct share_request *r,
			struct share_answer *a)
{
	const struct fuse_rename_in *in = request_args(r);

	(void)a;
	return rename_to(s, r, sizeof(*in), in->newdir, 0);
}

static int share_rename2(struct share_server *s, const struct share_request *r,
			 struct share_answer *a)
{
	const struct fuse_rename2_in *in = request_args(r);

	(void)a;
	return rename_to(s, r, sizeof(*in), in->newdir, in->flags);
}

static int share_readlink(struct share_server *s, const struct share_request *r,
			  struct share_answer *a)
{
	const struct node *node = request_node(s, r);
	ssize_t len;

	if (node == NULL)
		return -ESTALE;
	if (node->type != S_IFLNK)
		return -EINVAL;
	len = readlinkat(node->fd, "", (char *)a->at, a->room);
	return len < 0 ? -errno : (int)len;
}

/* --- attributes --- */

static int answer_attr(const struct share_server *s, const struct node *node,
		       struct share_answer *a)
{
	struct fuse_attr_out out = {.attr_valid = ATTR_SECONDS};
	struct statx st;
	int ret = file_status(node->fd, &st);

	if (ret < 0)
		return ret;
	fill_attr(s, &st, &out.attr);
	return answer_with(a, &out, sizeof(out));
}

static int share_getattr(struct share_server *s, const struct share_request *r,
			 struct share_answer *a)
{
	const struct node *node = request_node(s, r);

	return node != NULL ? answer_attr(s, node, a) : -ESTALE;
}

/* Of what the user owns, owner and group are 0 for the guest and stay what they are. */
static int set_owner(const struct share_server *s, const struct node *node,
		     const struct fuse_setattr_in *in)
{
	struct statx st;
	int ret = file_status(node->fd, &st);

	if (ret < 0)
		return ret;
	if ((in->valid & FATTR_UID) != 0 && (in->uid != 0 || st.stx_uid != s->uid) &&
	    in->uid != seen_owner(st.stx_uid, s->uid))
		return -EPERM;
	if ((in->valid & FATTR_GID) == 0 || in->gid == seen_owner(st.stx_gid, s->gid))
		return 0;
	if (in->gid != 0)
		return -EPERM;
	return fchownat(s->proc, fd_name(node->fd).text, (uid_t)-1, s->gid, 0) < 0 ? -errno : 0;
}

static int set_size(const struct share_server *s, const struct node *node,
		    const struct fuse_setattr_in *in)
{
	const struct handle *handle =
		(in->valid & FATTR_FH) != 0 ? nodes_handle(&s->nodes, in->fh) : NULL;
	cleanup_fd int fd = -1;

	if (in->size > INT64_MAX)
		return -EFBIG;
	if (node->type != S_IFREG)
		return node->type == S_IFDIR ? -EISDIR : -EINVAL;
	if (handle != NULL && !handle->directory && handle->fd >= 0)
		return ftruncate(handle->fd, (off_t)in->size) < 0 ? -errno : 0;
	fd = file_reopen(s, node->fd, O_WRONLY);
	if (fd < 0)
		return fd;
	return ftruncate(fd, (off_t)in->size) < 0 ? -errno : 0;
}

static struct timespec wanted_time(const struct fuse_setattr_in *in, uint32_t given, uint32_t now,
				   uint64_t seconds, uint32_t ns)
{
	if ((in->valid & now) != 0)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	if ((in->valid & given) != 0)
		return (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = ns % 1000000000u};
	return (struct timespec){.tv_nsec = UTIME_OMIT};
}

static int set_times(const struct share_server *s, const struct node *node,
		     const struct fuse_setattr_in *in)
{
	const struct timespec times[2] = {
		wanted_time(in, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
		wanted_time(in, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec),
	};

	return utimensat(s->proc, fd_name(node->fd).text, times, 0) < 0 ? -errno : 0;
}

static int set_mode(const struct share_server *s, const struct node *node, uint32_t mode)
{
	mode &= node->type == S_IFDIR ? FOLDER_BITS : MODE_BITS;
	return fchmodat(s->proc, fd_name(node->fd).text, mode, 0) < 0 ? -errno : 0;
}

static int share_setattr(struct share_server *s, const struct share_request *r,
			 struct share_answer *a)
{
	const uint32_t times = FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW;
	const struct fuse_setattr_in *in = request_args(r);
	const struct node *node = request_node(s, r);
	int ret = 0;

	if (node == NULL)
		return -ESTALE;
	if ((in->valid & (FATTR_UID | FATTR_GID)) != 0)
		ret = set_owner(s, node, in);
	if (ret == 0 && (in->valid & FATTR_MODE) != 0)
		ret = set_mode(s, node, in->mode);
	if (ret == 0 && (in->valid & FATTR_SIZE) != 0)
		ret = set_size(s, node, in);
	if (ret == 0 && (in->valid & times) != 0)
		ret = set_times(s, node, in);
	return ret < 0 ? ret : answer_attr(s, node, a);
}

static int share_statfs(struct share_server *s, const struct share_request *r,
			struct share_answer *a)
{
	const struct node *node = request_node(s, r);
	struct fuse_statfs_out out = {.st = {.namelen = NAME_MAX}};
	struct statfs st;

	if (node == NULL)
		return -ESTALE;
	if (fstatfs(node->fd, &st) < 0)
		return -errno;
	out.st.blocks = st.f_blocks;
	out.st.bfree = st.f_bfree;
	out.st.bavail = st.f_bavail;
	out.st.files = st.f_files;
	out.st.ffree = st.f_ffree;
	out.st.bsize = (uint32_t)st.f_bsize;
	out.st.frsize = (uint32_t)st.f_frsize;
	return answer_with(a, &out, sizeof(out));
}

/* --- the file system --- */

static int share_init(struct share_server *s, const struct share_request *r, struct share_answer *a)
{
	const uint32_t wanted = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC |
				FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
				FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES;
	const struct fuse_init_in *in = request_args(r);
	struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = OUR_MINOR};

	/* A newer protocol is taken down to ours by the guest, which asks again. */
	if (in->major > FUSE_KERNEL_VERSION)
		return answer_with(a, &out, sizeof(out));
	if (in->major < FUSE_KERNEL_VERSION || in->minor < OUR_MINOR)
		return -EPROTO;
	share_server_reset(s);
	out.max_readahead = in->max_readahead < MOST_READAHEAD ? in->max_readahead : MOST_READAHEAD;
	out.flags = in->flags & wanted;
	out.max_background = 64;
	out.congestion_threshold = 48;
	out.max_write = SHARE_WRITE_MAX;
	out.time_gran = 1;
	out.max_pages = MAX_PAGES;
	s->started = true;
	return answer_with(a, &out, sizeof(out));
}

static int share_destroy(struct share_server *s, const struct share_request *r,
			 struct share_answer *a)
{
	(void)r;
	(void)a;
	share_server_reset(s);
	return 0;
}

static int share_syncfs(struct share_server *s, const struct share_request *r,
			struct share_answer *a)
{
	cleanup_fd int fd = file_reopen(s, s->nodes.node[NODE_ROOT]->fd, O_RDONLY | O_DIRECTORY);

	(void)r;
	(void)a;
	if (fd < 0)
		return fd;
	return syncfs(fd) < 0 ? -errno : 0;
}

/* --- dispatch --- */

enum {
	NO_ANSWER = 1, /* the guest does not expect one */
	CHANGES = 2,   /* not on a folder that is only read */
};

static const struct operation {
	share_operation *run;
	uint16_t least; /* bytes of arguments */
	uint8_t flags;
} operations[] = {
	[FUSE_LOOKUP] = {share_lookup, 1, 0},
	[FUSE_FORGET] = {share_forget, sizeof(struct fuse_forget_in), NO_ANSWER},
	[FUSE_BATCH_FORGET] = {share_batch_forget, sizeof(struct fuse_batch_forget_in), NO_ANSWER},
	[FUSE_GETATTR] = {share_getattr, 0, 0},
	[FUSE_SETATTR] = {share_setattr, sizeof(struct fuse_setattr_in), CHANGES},
	[FUSE_READLINK] = {share_readlink, 0, 0},
	[FUSE_SYMLINK] = {share_symlink, 1, CHANGES},
	[FUSE_MKNOD] = {share_mknod, sizeof(struct fuse_mknod_in), CHANGES},
	[FUSE_MKDIR] = {share_mkdir, sizeof(struct fuse_mkdir_in), CHANGES},
	[FUSE_UNLINK] = {share_unlink, 1, CHANGES},
	[FUSE_RMDIR] = {share_rmdir, 1, CHANGES},
	[FUSE_RENAME] = {share_rename, sizeof(struct fuse_rename_in), CHANGES},
	[FUSE_RENAME2] = {share_rename2, sizeof(struct fuse_rename2_in), CHANGES},
	[FUSE_LINK] = {share_link, sizeof(struct fuse_link_in), CHANGES},
	[FUSE_OPEN] = {share_open, sizeof(struct fuse_open_in), 0},
	[FUSE_READ] = {share_read, sizeof(struct fuse_read_in), 0},
	[FUSE_WRITE] = {share_write, sizeof(struct fuse_write_in), CHANGES},
	[FUSE_STATFS] = {share_statfs, 0, 0},
	[FUSE_RELEASE] = {share_release, sizeof(struct fuse_release_in), 0},
	[FUSE_FSYNC] = {share_fsync, sizeof(struct fuse_fsync_in), 0},
	[FUSE_INIT] = {share_init, 16, 0}, /* newer ones are longer */
	[FUSE_OPENDIR] = {share_opendir, sizeof(struct fuse_open_in), 0},
	[FUSE_READDIR] = {share_readdir, sizeof(struct fuse_read_in), 0},
	[FUSE_READDIRPLUS] = {share_readdirplus, sizeof(struct fuse_read_in), 0},
	[FUSE_RELEASEDIR] = {share_release, sizeof(struct fuse_release_in), 0},
	[FUSE_FSYNCDIR] = {share_fsync, sizeof(struct fuse_fsync_in), 0},
	[FUSE_CREATE] = {share_create, sizeof(struct fuse_create_in), CHANGES},
	[FUSE_DESTROY] = {share_destroy, 0, 0},
	[FUSE_FALLOCATE] = {share_fallocate, sizeof(struct fuse_fallocate_in), CHANGES},
	[FUSE_LSEEK] = {share_lseek, sizeof(struct fuse_lseek_in), 0},
	[FUSE_SYNCFS] = {share_syncfs, 0, 0},
	/* ENOSYS for all others, which Linux asks for once: access (it looks at the mode itself), flush (nothing
	 * is held back here), extended attributes, ioctl, poll, locks (which stay within the guest), copying. */
};

/* One that a guest sends to interrupt another is passed over: none waits for anything but the host's disk. */
static int run_operation(struct share_server *s, const struct share_request *r,
			 struct share_answer *a, bool *silent)
{
	const uint32_t code = r->header.opcode;
	const struct operation *op;

	*silent = code == FUSE_INTERRUPT;
	if (code >= ARRAY_SIZE(operations) || operations[code].run == NULL)
		return -ENOSYS;
	op = &operations[code];
	*silent = (op->flags & NO_ANSWER) != 0;
	if (r->nargs < op->least)
		return -EINVAL;
	if ((op->flags & CHANGES) != 0 && s->params.readonly)
		return -EROFS;
	return op->run(s, r, a);
}

/* Copy what is looked at. Only what is to be written stays where it is. */
static int take_apart(struct share_server *s, const uint8_t *request, size_t len,
		      struct share_request *r)
{
	size_t nargs;

	memcpy(&r->header, request, sizeof(r->header));
	nargs = len - sizeof(r->header);
	r->args = s->args;
	r->data = NULL;
	r->ndata = 0;
	if (r->header.opcode == FUSE_WRITE && nargs > sizeof(struct fuse_write_in)) {
		r->ndata = nargs - sizeof(struct fuse_write_in);
		r->data = request + len - r->ndata;
		nargs = sizeof(struct fuse_write_in);
	}
	if (nargs > sizeof(s->args))
		return -E2BIG;
	memcpy(s->args, request + sizeof(r->header), nargs);
	r->nargs = nargs;
	return 0;
}

size_t share_server_request(struct share_server *s, const uint8_t *request, size_t len,
			    uint8_t *answer, size_t room)
{
	struct fuse_out_header out = {.len = sizeof(out)};
	struct share_request r;
	bool silent = false;
	int ret;

	if (len < sizeof(r.header) || room < sizeof(out))
		room = 0;
	if (len < sizeof(r.header))
		return 0;
	ret = take_apart(s, request, len, &r);
	if (ret == 0) {
		struct share_answer a = {answer + sizeof(out),
					 room > sizeof(out) ? room - sizeof(out) : 0};

		ret = run_operation(s, &r, &a, &silent);
	}
	if (silent || room == 0)
		return 0;
	out.unique = r.header.unique;
	if (ret < 0)
		out.error = ret;
	else
		out.len += (uint32_t)ret;
	memcpy(answer, &out, sizeof(out));
	return out.len;
}

void share_server_reset(struct share_server *s)
{
	nodes_clear(&s->nodes);
	for (unsigned i = 0; i < LISTINGS; i++)
		s->listing[i].handle = 0;
	s->started = false;
}

int share_server_open(struct share_server **out, const struct share_server_params *params,
		      struct err *err)
{
	struct share_server *s = calloc(1, sizeof(*s));
	struct share_identity self;
	struct statx st;
	int root, ret;

	*out = NULL;
	if (s == NULL)
		return err_sys(err, ENOMEM, "share a folder");
	s->params = *params;
	s->uid = geteuid();
	s->gid = getegid();
	s->proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	root = openat(params->folder, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	ret = s->proc < 0 || root < 0 ? -errno : file_status(root, &st);
	if (ret < 0) {
		if (root >= 0)
			close(root);
		share_server_close(s);
		return err_sys(err, -ret, "share a folder");
	}
	file_identity(&st, &self);
	ret = nodes_open(&s->nodes, root, &self, params->files);
	if (ret < 0) {
		share_server_close(s);
		return err_sys(err, -ret, "share a folder");
	}
	/* What the guest says is the mode. */
	umask(0);
	*out = s;
	return 0;
}

void share_server_close(struct share_server *s)
{
	if (s == NULL)
		return;
	nodes_close(&s->nodes);
	if (s->proc >= 0)
		close(s->proc);
	free(s);
}
