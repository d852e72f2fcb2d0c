/* What has arrived and is not in the store; see cas_arriving.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "store/cas_arriving.h"
#include "store/cas_internal.h"

#define CHUNK MIB(1)

void cas_left_open(struct cas_left *left, const struct cas_arriving *a)
{
	const size_t most = (size_t)ARRIVAL_MAX_FILES * DIGEST_TEXT_SIZE;
	cleanup_fd int list =
		openat(a->folder, CAS_ARRIVING_LIST, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	cleanup_fd int map = openat(a->folder, CAS_ARRIVING_MAP, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	*left = (struct cas_left){.set = NULL};
	if (list < 0 || map < 0 || arrivals_open(&left->set, map, -1, NULL) < 0)
		return;
	left->list = calloc(1, most + 1);
	if (left->list == NULL || io_read_upto(list, left->list, most) < 0)
		cas_left_close(left);
}

const struct arrival *cas_left_find(const struct cas_left *left, const char *digest, uint64_t size)
{
	const char *line = left->list;
	size_t len = strlen(digest);

	for (uint32_t i = 0; left->set != NULL && i < arrivals_files(left->set) && *line != '\0';
	     i++) {
		struct arrival *a = arrivals_file(left->set, i);
		size_t here = strcspn(line, "\n");

		if (here == len && len > 0 && strncmp(line, digest, len) == 0 &&
		    arrival_size(a) == size)
			return a;
		line += here + (line[here] == '\n');
	}
	return NULL;
}

void cas_left_close(struct cas_left *left)
{
	arrivals_free(left->set);
	free(left->list);
	*left = (struct cas_left){.set = NULL};
}

/* ---- another that fetches the same ---- */

struct beside_search {
	struct cas_beside *found;
	const struct cas *cas;
	const char *own; /* "HEX.N" */
};

static bool is_locked(int folder)
{
	cleanup_fd int lock = openat(folder, CAS_ARRIVING_LOCK, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	return lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* Returns 1 for one with a map, to end the search. */
static int look_beside(void *opaque, const char *name, struct err *err)
{
	const struct beside_search *s = opaque;
	struct cas_beside *b = s->found;
	struct cas_arriving other = {.folder = -1, .lock = -1};
	char path[PATH_MAX];

	(void)err;
	if (strcmp(name, s->own) == 0 || strncmp(name, s->own, strcspn(s->own, ".") + 1) != 0)
		return 0;
	snprintf(path, sizeof(path), CAS_ARRIVING "/%s", name);
	other.folder =
		openat(s->cas->folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (other.folder < 0 || !is_locked(other.folder)) {
		cas_arriving_close(&other);
		return 0;
	}
	cas_beside_close(b);
	b->folder = other.folder;
	cas_left_open(&b->left, &other);
	if (b->left.set == NULL)
		return 0;
	b->map_fd = openat(b->folder, CAS_ARRIVING_MAP, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return b->map_fd >= 0;
}

void cas_beside_find(struct cas_beside *b, const struct cas *cas, const struct cas_arriving *a)
{
	const struct beside_search search = {b, cas, strrchr(a->path, '/') + 1};

	*b = (struct cas_beside){.folder = -1, .map_fd = -1};
	(void)cas_each(cas, CAS_ARRIVING, look_beside, (void *)&search, NULL);
}

int cas_beside_open(const struct cas_beside *b, const char *digest, uint64_t size)
{
	cleanup_fd int fd = -1;
	struct stat st;

	if (b->folder >= 0)
		fd = openat(b->folder, strchr(digest, ':') + 1, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
		return -1;
	return take_fd(&fd);
}

/* 1: whole; 0: some of it; -1: it is not there. */
static int look_at_copy(const struct cas_beside *b, const char *digest, uint64_t size,
			struct stat *st)
{
	if (b->folder < 0 ||
	    fstatat(b->folder, strchr(digest, ':') + 1, st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st->st_mode) || (uint64_t)st->st_size != size)
		return -1;
	return (st->st_mode & 0200) == 0;
}

bool cas_beside_fetches(const struct cas_beside *b, const char *digest, uint64_t size,
			uint64_t *come)
{
	struct stat st;

	if (look_at_copy(b, digest, size, &st) != 0)
		return false;
	*come = (uint64_t)st.st_blocks * 512;
	return true;
}

void cas_beside_link(const struct cas_beside *b, const struct cas_arriving *a, const char *digest,
		     uint64_t size)
{
	const char *hex = strchr(digest, ':') + 1;
	struct stat st;

	if (look_at_copy(b, digest, size, &st) == 1 &&
	    (unlinkat(a->folder, hex, 0) == 0 || errno == ENOENT))
		(void)linkat(b->folder, hex, a->folder, hex, 0);
}

void cas_beside_close(struct cas_beside *b)
{
	cas_left_close(&b->left);
	if (b->map_fd >= 0)
		close(b->map_fd);
	if (b->folder >= 0)
		close(b->folder);
	b->folder = b->map_fd = -1;
}

/* ---- a pull ---- */

static int copy_front(struct cas_blob *b, int fd, uint64_t len, struct err *err)
{
	cleanup_free uint8_t *chunk = malloc(CHUNK);

	if (chunk == NULL)
		return err_sys(err, ENOMEM, "copy %s", b->digest);
	while (b->have < len) {
		uint64_t part = u64_min(CHUNK, len - b->have);
		int ret = io_pread(fd, chunk, part, b->have);

		/* Whoever has the blob checks it: less than there was is no error. */
		if (ret < 0)
			return 1;
		ret = cas_blob_add(b, chunk, part, err);
		if (ret < 0)
			return ret;
	}
	return 1;
}

/* Returns 1 when this folder had some of it. */
static int copy_from(void *opaque, const char *name, struct err *err)
{
	struct cas_blob *b = opaque;
	__attribute__((cleanup(cas_arriving_close))) struct cas_arriving a = {.folder = -1,
									      .lock = -1};
	cleanup_cas_left struct cas_left left = {.set = NULL};
	const struct arrival *has;
	cleanup_fd int fd = -1;
	char path[PATH_MAX];
	uint64_t start, len;

	snprintf(path, sizeof(path), CAS_ARRIVING "/%s", name);
	a.folder = openat(b->cas->folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	a.lock = openat(a.folder, CAS_ARRIVING_LOCK, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (a.lock < 0 || flock(a.lock, LOCK_EX | LOCK_NB) < 0)
		return 0;
	cas_left_open(&left, &a);
	has = cas_left_find(&left, b->digest, b->size);
	fd = openat(a.folder, strchr(b->digest, ':') + 1, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (has == NULL || fd < 0)
		return 0;
	if (!arrival_missing(has, 0, &start, &len))
		start = b->size;
	return start > 0 ? copy_front(b, fd, start, err) : 0;
}

int cas_arriving_copy(struct cas_blob *b, struct err *err)
{
	int ret = b->have == 0 ? cas_each(b->cas, CAS_ARRIVING, copy_from, b, err) : 0;

	return ret < 0 ? ret : 0;
}
