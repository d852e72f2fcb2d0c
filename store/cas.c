/* Opening the store, its blobs; see cas.h. */
#include "store/cas.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "store/cas_internal.h"

#define CHUNK MIB(1)
/* The disk begins with so much while the rest still comes: the fsync at the end has less to do. */
#define WRITE_OUT MIB(8)

void cas_name(char name[CAS_NAME], const char *folder, const char *digest)
{
	snprintf(name, CAS_NAME, "%s/%s", folder, strchr(digest, ':') + 1);
}

bool cas_is_digest(const char *hex, char digest[DIGEST_TEXT_SIZE])
{
	uint8_t bytes[DIGEST_SIZE];

	if (strlen(hex) != 2 * (size_t)DIGEST_SIZE)
		return false;
	snprintf(digest, DIGEST_TEXT_SIZE, "sha256:%.64s", hex);
	return digest_parse(digest, bytes);
}

int cas_error(const struct cas *cas, int errnum, const char *what, struct err *err)
{
	return err_sys(err, errnum, "%s/%s", cas->root, what);
}

int cas_sync(const struct cas *cas, const char *folder, struct err *err)
{
	cleanup_fd int fd = openat(cas->folder, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return cas_error(cas, errno, folder, err);
	return 0;
}

static int cas_make_folders(const struct cas *cas, struct err *err)
{
	static const char *const folders[] = {"blobs",	  CAS_BLOBS,   CAS_PARTIAL, CAS_ARRIVING,
					      CAS_IMAGES, CAS_INDEXES, CAS_REFS};

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		if (mkdirat(cas->folder, folders[i], 0700) < 0 && errno != EEXIST)
			return cas_error(cas, errno, folders[i], err);
	}
	return 0;
}

/* The store's folder and those that it lies in. */
static int cas_make_root(const char *root, struct err *err)
{
	char path[PATH_MAX];

	strcpy(path, root);
	for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return err_sys(err, errno, "create %s", path);
		*slash = '/';
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "create %s", path);
	return 0;
}

static int cas_take_lock(struct cas *cas, enum cas_use use, struct err *err)
{
	cas->lock = openat(cas->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (cas->lock < 0)
		return cas_error(cas, errno, "lock", err);
	while (flock(cas->lock, use == CAS_SWEEP ? LOCK_EX : LOCK_SH) < 0) {
		if (errno != EINTR)
			return cas_error(cas, errno, "lock", err);
	}
	return use == CAS_ADD ? cas_make_folders(cas, err) : 0;
}

int cas_open(struct cas *cas, const char *root, enum cas_use use, struct err *err)
{
	int ret = 0;

	*cas = (struct cas){.folder = -1, .lock = -1};
	if (strlen(root) >= sizeof(cas->root))
		return err_sys(err, ENAMETOOLONG, "%.100s…", root);
	strcpy(cas->root, root);
	if (use == CAS_ADD)
		ret = cas_make_root(root, err);
	if (ret < 0)
		return ret;
	cas->folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cas->folder < 0 && errno == ENOENT && use == CAS_LOOK)
		return 0;
	if (cas->folder < 0)
		return err_sys(err, errno, "%s", root);
	if (use == CAS_LOOK)
		return 0;
	ret = cas_take_lock(cas, use, err);
	if (ret < 0)
		cas_close(cas);
	return ret;
}

void cas_close(struct cas *cas)
{
	if (cas->lock >= 0)
		close(cas->lock);
	if (cas->folder >= 0)
		close(cas->folder);
	cas->lock = cas->folder = -1;
}

bool cas_has(const struct cas *cas, const char *digest, uint64_t size)
{
	char name[CAS_NAME];
	struct stat st;

	cas_name(name, CAS_BLOBS, digest);
	return cas->folder >= 0 && fstatat(cas->folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

int cas_read(const struct cas *cas, const char *digest, uint64_t max, uint8_t **data, size_t *len,
	     struct err *err)
{
	cleanup_fd int fd = -1;
	char name[CAS_NAME];
	struct blob blob;
	struct stat st;
	int ret;

	*data = NULL;
	cas_name(name, CAS_BLOBS, digest);
	fd = openat(cas->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return cas_error(cas, errno, name, err);
	blob = (struct blob){.fd = fd, .len = (uint64_t)st.st_size};
	ret = blob_read_all(&blob, max, data, err);
	if (ret < 0)
		return err_context(err, ret, "%s/%s", cas->root, name);
	*len = blob.len;
	return 0;
}

int cas_open_blob(const struct cas *cas, const char *digest, struct err *err)
{
	char name[CAS_NAME];
	int fd;

	cas_name(name, CAS_BLOBS, digest);
	if (cas->folder < 0)
		return err_set(err, ERR_NOT_FOUND, "there is no store yet");
	fd = openat(cas->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? cas_error(cas, errno, name, err) : fd;
}

/* The file that is locked may be one that its last owner has moved into place or removed. */
static bool is_partial(const struct cas_blob *b, const char *name)
{
	struct stat st, open;

	return fstatat(b->cas->folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstat(b->fd, &open) == 0 && st.st_ino == open.st_ino && st.st_dev == open.st_dev;
}

static int open_partial(struct cas_blob *b, struct err *err)
{
	char name[CAS_NAME];

	cas_name(name, CAS_PARTIAL, b->digest);
	for (;;) {
		b->fd = openat(b->cas->folder, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			       0600);
		if (b->fd < 0)
			return cas_error(b->cas, errno, name, err);
		while (flock(b->fd, LOCK_EX) < 0) {
			if (errno != EINTR)
				return cas_error(b->cas, errno, name, err);
		}
		if (is_partial(b, name))
			return 0;
		close(b->fd);
		b->fd = -1;
		if (cas_has(b->cas, b->digest, b->size))
			return 1;
	}
}

/* Hash what an earlier attempt left. */
static int read_partial(struct cas_blob *b, struct err *err)
{
	cleanup_free uint8_t *chunk = malloc(CHUNK);
	struct stat st;

	if (chunk == NULL)
		return err_sys(err, ENOMEM, "read %s", b->digest);
	if (fstat(b->fd, &st) < 0)
		return cas_error(b->cas, errno, CAS_PARTIAL, err);
	if ((uint64_t)st.st_size > b->size)
		return cas_blob_restart(b, err);
	for (; b->have < (uint64_t)st.st_size;) {
		uint64_t len = u64_min(CHUNK, (uint64_t)st.st_size - b->have);
		int ret = io_pread(b->fd, chunk, len, b->have);

		if (ret < 0)
			return cas_error(b->cas, -ret, CAS_PARTIAL, err);
		digest_add(b->sum, chunk, len);
		b->have += len;
	}
	return 0;
}

int cas_blob_begin(struct cas_blob *b, const struct cas *cas, const char *digest, uint64_t size,
		   struct err *err)
{
	int ret;

	*b = (struct cas_blob){.cas = cas, .size = size, .fd = -1};
	strcpy(b->digest, digest);
	if (cas_has(cas, digest, size))
		return 1;
	ret = open_partial(b, err);
	if (ret == 0 && cas_has(cas, digest, size)) {
		char name[CAS_NAME];

		/* Made by open_partial(), behind one who has just moved theirs into place. */
		cas_name(name, CAS_PARTIAL, digest);
		(void)unlinkat(cas->folder, name, 0);
		ret = 1;
	}
	if (ret == 0)
		ret = digest_new(&b->sum, err);
	if (ret == 0)
		ret = read_partial(b, err);
	if (ret != 0)
		cas_blob_leave(b);
	return ret;
}

int cas_blob_add(struct cas_blob *b, const void *data, size_t len, struct err *err)
{
	int ret;

	if (len > b->size - b->have)
		return err_set(err, ERR_INTEGRITY, "%s is longer than its %llu bytes", b->digest,
			       (unsigned long long)b->size);
	ret = io_pwrite(b->fd, data, len, b->have);
	if (ret < 0)
		return cas_error(b->cas, -ret, CAS_PARTIAL, err);
	digest_add(b->sum, data, len);
	b->have += len;
	if (b->have - b->sent >= WRITE_OUT) {
		(void)sync_file_range(b->fd, (off_t)b->sent, (off_t)(b->have - b->sent),
				      SYNC_FILE_RANGE_WRITE);
		b->sent = b->have;
	}
	return 0;
}

int cas_blob_restart(struct cas_blob *b, struct err *err)
{
	uint8_t forgotten[DIGEST_SIZE];
	int ret = digest_end(b->sum, forgotten, err);

	if (ret < 0)
		return ret;
	b->have = b->sent = 0;
	return ftruncate(b->fd, 0) < 0 ? cas_error(b->cas, errno, CAS_PARTIAL, err) : 0;
}

int cas_blob_finish(struct cas_blob *b, struct err *err)
{
	char partial[CAS_NAME], name[CAS_NAME], text[DIGEST_TEXT_SIZE];
	uint8_t digest[DIGEST_SIZE];
	int ret;

	if (b->have != b->size)
		return err_set(err, ERR_INTEGRITY, "%s ends after %llu of its %llu bytes",
			       b->digest, (unsigned long long)b->have, (unsigned long long)b->size);
	ret = digest_end(b->sum, digest, err);
	if (ret < 0)
		return ret;
	digest_text(digest, text);
	if (strcmp(text, b->digest) != 0) {
		ret = cas_blob_restart(b, err);
		return ret < 0 ? ret
			       : err_set(err, ERR_INTEGRITY, "%s: what came has the digest %s",
					 b->digest, text);
	}
	cas_name(partial, CAS_PARTIAL, b->digest);
	cas_name(name, CAS_BLOBS, b->digest);
	/* It stays writable until it is in place: who is not root could not go on with it. */
	if (fsync(b->fd) < 0 || renameat(b->cas->folder, partial, b->cas->folder, name) < 0 ||
	    fchmod(b->fd, 0400) < 0)
		return cas_error(b->cas, errno, name, err);
	return 0;
}

void cas_blob_leave(struct cas_blob *b)
{
	digest_free(b->sum);
	b->sum = NULL;
	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
}

/* A blob whose size is right and whose bytes are not. */
static bool is_spoilt(const struct cas *cas, const char *digest, const void *data, size_t len)
{
	cleanup_free uint8_t *text = NULL;
	size_t has;

	return cas_has(cas, digest, len) && cas_read(cas, digest, len, &text, &has, NULL) == 0 &&
	       memcmp(text, data, len) != 0;
}

int cas_put_bytes(const struct cas *cas, const char *digest, const void *data, size_t len,
		  struct err *err)
{
	cleanup_cas_blob struct cas_blob b;
	char name[CAS_NAME];
	int ret;

	cas_name(name, CAS_BLOBS, digest);
	if (is_spoilt(cas, digest, data, len) && unlinkat(cas->folder, name, 0) < 0 &&
	    errno != ENOENT)
		return cas_error(cas, errno, name, err);
	ret = cas_blob_begin(&b, cas, digest, len, err);
	if (ret != 0)
		return ret < 0 ? ret : 0;
	ret = cas_blob_restart(&b, err);
	if (ret < 0)
		return ret;
	ret = cas_blob_add(&b, data, len, err);
	return ret < 0 ? ret : cas_blob_finish(&b, err);
}

int cas_put_blob(const struct cas *cas, const char *digest, const struct blob *blob,
		 struct progress *progress, struct err *err)
{
	cleanup_free uint8_t *chunk = malloc(CHUNK);
	cleanup_cas_blob struct cas_blob b;
	int ret = cas_blob_begin(&b, cas, digest, blob->len, err);

	if (ret > 0)
		progress_skip(progress, blob->len);
	if (ret != 0)
		return ret < 0 ? ret : 0;
	if (chunk == NULL)
		return err_sys(err, ENOMEM, "copy %s", digest);
	progress_skip(progress, b.have);
	while (b.have < blob->len) {
		uint64_t len = u64_min(CHUNK, blob->len - b.have);

		ret = blob_read(blob, b.have, chunk, len, err);
		if (ret < 0)
			return ret;
		ret = cas_blob_add(&b, chunk, len, err);
		if (ret < 0)
			return ret;
		progress_add(progress, len);
	}
	return cas_blob_finish(&b, err);
}

int cas_each(const struct cas *cas, const char *folder,
	     int (*each)(void *opaque, const char *name, struct err *err), void *opaque,
	     struct err *err)
{
	const struct dirent *entry;
	int fd, ret = 0;
	DIR *dir;

	if (cas->folder < 0)
		return 0;
	fd = openat(cas->folder, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : cas_error(cas, errno, folder, err);
	dir = fdopendir(fd);
	if (dir == NULL) {
		ret = cas_error(cas, errno, folder, err);
		close(fd);
		return ret;
	}
	while (ret == 0 && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			ret = each(opaque, entry->d_name, err);
	}
	closedir(dir);
	return ret;
}
