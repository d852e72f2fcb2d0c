/* What has arrived and is not in the store; see cas_arriving.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

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
