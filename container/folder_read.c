/* See folder_read.h. */
#include "container/folder_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/num.h"

#define PIECE (1u << 20)

/* A file with several names. */
struct linked {
	dev_t dev;
	ino_t ino;
	char *path; /* the first of them */
};

/* A folder that is being read. Of all that lie in one another three are open at most: the one above the last two is
 * closed, and opened anew as the `..` of the one below it. */
struct level {
	int fd; /* -1: closed meanwhile */
	dev_t dev;
	ino_t ino;
	struct level *above; /* NULL: none */
};

struct folder_reader {
	struct layer_tree *tree;
	struct ext4_image *img;
	struct digest *sum;
	uint8_t *piece; /* owned */
	void *links;	/* struct linked (tsearch(3)); owned */
	dev_t dev;
	char path[TREE_MAX_PATH]; /* from the root, without a slash in front */
	struct err *err;
};

static int problem(struct folder_reader *r, const char *what)
{
	return err_sys(r->err, errno, "%s %s", what, r->path[0] != '\0' ? r->path : ".");
}

static int by_inode(const void *a, const void *b)
{
	const struct linked *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static void free_linked(void *opaque)
{
	struct linked *l = opaque;

	free(l->path);
	free(l);
}

/* The path that this inode had before, or NULL; then it has this one from now on. */
static int note_link(struct folder_reader *r, const struct stat *st, const char **before)
{
	struct linked *l = malloc(sizeof(*l)), **found;

	*before = NULL;
	if (l == NULL)
		return err_sys(r->err, ENOMEM, "read a folder");
	*l = (struct linked){st->st_dev, st->st_ino, strdup(r->path)};
	found = l->path != NULL ? tsearch(l, &r->links, by_inode) : NULL;
	if (found == NULL || *found != l)
		free_linked(l);
	if (found == NULL)
		return err_sys(r->err, ENOMEM, "read a folder");
	if (*found != l)
		*before = (*found)->path;
	return 0;
}

/* --- what is taken counts for the digest --- */

static void add_number(struct folder_reader *r, uint64_t value)
{
	uint8_t text[8];

	le_put64(text, value);
	digest_add(r->sum, text, sizeof(text));
}

static void add_bytes(struct folder_reader *r, const void *data, size_t len)
{
	add_number(r, len);
	digest_add(r->sum, data, len);
}

static void add_attributes(struct folder_reader *r, const struct tree_attr *attr)
{
	const uint64_t all[] = {attr->mode, attr->uid,	 attr->gid,  (uint64_t)attr->mtime,
				attr->nsec, attr->major, attr->minor};

	add_bytes(r, r->path, strlen(r->path));
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		add_number(r, all[i]);
	if (attr->target != NULL)
		add_bytes(r, attr->target, strlen(attr->target));
}

/* --- files --- */

static void take_attributes(struct tree_attr *attr, const struct stat *st)
{
	*attr = (struct tree_attr){.mode = st->st_mode,
				   .uid = st->st_uid == geteuid() ? 0 : st->st_uid,
				   .gid = st->st_gid == getegid() ? 0 : st->st_gid,
				   .mtime = st->st_mtim.tv_sec,
				   .nsec = (uint32_t)st->st_mtim.tv_nsec};
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		attr->major = major(st->st_rdev);
		attr->minor = minor(st->st_rdev);
	}
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int put_xattr(struct folder_reader *r, int fd, struct tree_inode *inode, const char *name)
{
	uint8_t value[UINT16_MAX];
	ssize_t len = fgetxattr(fd, name, value, sizeof(value));

	if (len < 0)
		return problem(r, "read an attribute of");
	add_bytes(r, name, strlen(name));
	add_bytes(r, value, (size_t)len);
	return layer_tree_xattr(r->tree, inode, name, value, (size_t)len, r->err);
}

static int put_xattrs(struct folder_reader *r, int fd, struct tree_inode *inode)
{
	cleanup_free char **name = NULL;
	char names[UINT16_MAX + 1];
	ssize_t len = flistxattr(fd, names, sizeof(names) - 1);
	size_t count = 0;
	int ret = 0;

	if (len < 0)
		return errno == ENOTSUP ? 0 : problem(r, "read the attributes of");
	for (char *at = names; at < names + len; at += strlen(at) + 1) {
		char **grown = array_grow(name, count, sizeof(*name));

		if (grown == NULL)
			return err_sys(r->err, ENOMEM, "read a folder");
		name = grown;
		if (strncmp(at, "trusted.", 8) != 0 && strcmp(at, "security.selinux") != 0)
			name[count++] = at;
	}
	if (count > 0)
		qsort(name, count, sizeof(*name), by_text);
	for (size_t i = 0; ret == 0 && i < count; i++)
		ret = put_xattr(r, fd, inode, name[i]);
	return ret;
}

static int put_range(struct folder_reader *r, int fd, uint64_t at, uint64_t end)
{
	while (at < end) {
		ssize_t got = pread(fd, r->piece, u64_min(PIECE, end - at), (off_t)at);
		int ret;

		if (got < 0)
			return problem(r, "read");
		if (got == 0)
			return err_set(r->err, ERR_FAILED, "%s changes while it is read", r->path);
		add_number(r, at);
		add_bytes(r, r->piece, (size_t)got);
		ret = ext4_file_write(r->img, r->piece, (uint64_t)got, at, r->err);
		if (ret < 0)
			return ret;
		at += (uint64_t)got;
	}
	return 0;
}

static int put_contents(struct folder_reader *r, int fd, struct tree_inode *inode, uint64_t size)
{
	off_t at = 0;
	int ret = ext4_file_begin(r->img, inode, r->path, size, r->err);

	while (ret == 0 && (uint64_t)at < size) {
		off_t data = lseek(fd, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			break;
		if (data < 0)
			return problem(r, "read");
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return problem(r, "read");
		ret = put_range(r, fd, (uint64_t)data, u64_min((uint64_t)hole, size));
		at = hole;
	}
	if (ret < 0)
		return ret;
	add_number(r, size);
	return ext4_file_end(r->img, size, r->err);
}

static int put_file(struct folder_reader *r, int folder, const char *name,
		    const struct tree_attr *attr)
{
	cleanup_fd int fd =
		openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct tree_inode *inode;
	struct stat st;
	int ret;

	if (fd < 0 || fstat(fd, &st) < 0)
		return problem(r, "open");
	if (!S_ISREG(st.st_mode))
		return err_set(r->err, ERR_FAILED, "%s changes while it is read", r->path);
	ret = layer_tree_add(r->tree, r->path, attr, &inode, r->err);
	if (ret < 0)
		return ret;
	ret = put_xattrs(r, fd, inode);
	return ret < 0 ? ret : put_contents(r, fd, inode, (uint64_t)st.st_size);
}

static int put_other(struct folder_reader *r, int folder, const char *name, struct tree_attr *attr)
{
	char target[PATH_MAX];
	struct tree_inode *inode;

	if (S_ISLNK(attr->mode)) {
		ssize_t len = readlinkat(folder, name, target, sizeof(target) - 1);

		if (len < 0)
			return problem(r, "read");
		target[len] = '\0';
		attr->target = target;
	}
	add_attributes(r, attr);
	return layer_tree_add(r->tree, r->path, attr, &inode, r->err);
}

static int level_open(struct folder_reader *r, struct level *level, int folder, const char *name)
{
	struct stat st;

	level->fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY);
	if (level->fd < 0 || fstat(level->fd, &st) < 0)
		return problem(r, "open");
	level->dev = st.st_dev;
	level->ino = st.st_ino;
	return 0;
}

static void level_close(struct level *level)
{
	if (level->fd >= 0)
		close(level->fd);
	level->fd = -1;
}

/* The way up is that down: something else there was moved in meanwhile. */
static int level_open_again(struct folder_reader *r, struct level *level, const struct level *below)
{
	struct level found;
	int ret = level_open(r, &found, below->fd, "..");

	level->fd = found.fd;
	if (ret == 0 && (found.dev != level->dev || found.ino != level->ino))
		return err_set(r->err, ERR_FAILED, "%s is moved while it is read", r->path);
	return ret;
}

static int put_folder(struct folder_reader *r, struct level *folder, const struct tree_attr *attr,
		      bool descend);

static int put_subfolder(struct folder_reader *r, struct level *folder, const char *name,
			 const struct tree_attr *attr)
{
	struct level below = {.above = folder};
	int ret = level_open(r, &below, folder->fd, name);

	if (ret == 0) {
		/* Each that has folders can be left upwards, too: to look into it takes the same right. */
		if (folder->above != NULL)
			level_close(folder->above);
		add_attributes(r, attr);
		ret = put_folder(r, &below, attr, below.dev == r->dev);
	}
	if (ret == 0 && folder->fd < 0)
		ret = level_open_again(r, folder, &below);
	level_close(&below);
	return ret;
}

static int put_entry(struct folder_reader *r, struct level *level, const char *name)
{
	const int folder = level->fd;
	struct tree_attr attr;
	const char *before = NULL;
	struct stat st;
	int ret;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return problem(r, "read");
	take_attributes(&attr, &st);
	if (S_ISDIR(st.st_mode))
		return put_subfolder(r, level, name, &attr);
	if (S_ISSOCK(st.st_mode))
		return 0;
	if (st.st_nlink > 1) {
		ret = note_link(r, &st, &before);
		if (ret < 0)
			return ret;
	}
	if (before != NULL) {
		add_bytes(r, r->path, strlen(r->path));
		add_bytes(r, before, strlen(before));
		return layer_tree_link(r->tree, r->path, before, r->err);
	}
	if (!S_ISREG(st.st_mode))
		return put_other(r, folder, name, &attr);
	add_attributes(r, &attr);
	return put_file(r, folder, name, &attr);
}

/* Names of a folder, sorted; in an array that ends with NULL. */
static int list_names(struct folder_reader *r, int fd, char ***names, size_t *count)
{
	int own = openat(fd, ".", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
	DIR *dir = own >= 0 ? fdopendir(own) : NULL;
	struct dirent *d;
	int ret = 0;

	if (dir == NULL) {
		ret = problem(r, "open");
		if (own >= 0)
			close(own);
		return ret;
	}
	while ((errno = 0, d = readdir(dir)) != NULL) {
		char **grown;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		grown = array_grow(*names, *count, sizeof(**names));
		if (grown != NULL)
			*names = grown;
		if (grown == NULL || (grown[*count] = strdup(d->d_name)) == NULL) {
			ret = err_sys(r->err, ENOMEM, "read a folder");
			break;
		}
		++*count;
	}
	if (ret == 0 && errno != 0)
		ret = problem(r, "read");
	closedir(dir);
	if (*count > 0)
		qsort(*names, *count, sizeof(**names), by_text);
	return ret;
}

static int put_names(struct folder_reader *r, struct level *folder, char *const *names,
		     size_t count)
{
	size_t len = strlen(r->path);
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < count; i++) {
		if (len + 1 + strlen(names[i]) >= sizeof(r->path))
			return err_set(r->err, ERR_INTEGRITY,
				       "%.256s…: a path of more than %u bytes", r->path,
				       TREE_MAX_PATH - 1);
		if (len > 0)
			r->path[len] = '/';
		strcpy(r->path + len + (len > 0), names[i]);
		ret = put_entry(r, folder, names[i]);
		if (ret == 0)
			r->path[len] = '\0';
	}
	return ret;
}

static int put_folder(struct folder_reader *r, struct level *folder, const struct tree_attr *attr,
		      bool descend)
{
	cleanup_free char **names = NULL;
	struct tree_inode *inode;
	size_t count = 0;
	int ret = layer_tree_add(r->tree, r->path, attr, &inode, r->err);

	if (ret < 0)
		return ret;
	ret = put_xattrs(r, folder->fd, inode);
	if (ret < 0 || !descend)
		return ret;
	ret = list_names(r, folder->fd, &names, &count);
	if (ret == 0)
		ret = put_names(r, folder, names, count);
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	return ret;
}

static int put_root(struct folder_reader *r, struct level *root)
{
	struct tree_attr attr;
	struct stat st;

	if (fstat(root->fd, &st) < 0)
		return problem(r, "read");
	r->dev = root->dev = st.st_dev;
	root->ino = st.st_ino;
	take_attributes(&attr, &st);
	add_attributes(r, &attr);
	layer_tree_begin_layer(r->tree, false);
	return put_folder(r, root, &attr, true);
}

int folder_read(const char *path, struct layer_tree *tree, struct ext4_image *img,
		uint8_t sum[DIGEST_SIZE], struct err *err)
{
	struct level root = {.fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY)};
	cleanup_free uint8_t *piece = malloc(PIECE);
	cleanup_digest struct digest *digest = NULL;
	struct folder_reader r = {.tree = tree, .img = img, .piece = piece, .err = err};
	int ret;

	if (root.fd < 0)
		return err_sys(err, errno, "open %s", path);
	ret = piece == NULL ? err_sys(err, ENOMEM, "read a folder") : digest_new(&digest, err);
	if (ret == 0) {
		r.sum = digest;
		ret = put_root(&r, &root);
		tdestroy(r.links, free_linked);
	}
	level_close(&root);
	if (ret < 0)
		return err_context(err, ret, "%s", path);
	return digest_end(digest, sum, err);
}
