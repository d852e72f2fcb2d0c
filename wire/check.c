/* See check.h. */
#include "wire/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "base/tempfile.h"

#define CHUNK MIB(1)

static int check_failed(int ret, struct err *err)
{
	return err_sys(err, -ret, "read what has arrived");
}

int check_digest(int fd, uint64_t size, const char *digest, const bool *stop, struct err *err)
{
	cleanup_free uint8_t *chunk = malloc(CHUNK);
	cleanup_digest struct digest *sum = NULL;
	char text[DIGEST_TEXT_SIZE];
	uint8_t bytes[DIGEST_SIZE];
	int ret;

	if (chunk == NULL)
		return err_sys(err, ENOMEM, "check %s", digest);
	ret = digest_new(&sum, err);
	if (ret < 0)
		return ret;
	for (uint64_t at = 0; at < size && !__atomic_load_n(stop, __ATOMIC_RELAXED);) {
		uint64_t len = u64_min(CHUNK, size - at);

		ret = io_pread(fd, chunk, len, at);
		if (ret < 0)
			return check_failed(ret, err);
		digest_add(sum, chunk, len);
		at += len;
	}
	ret = digest_end(sum, bytes, err);
	if (ret < 0)
		return ret;
	digest_text(bytes, text);
	return strcmp(text, digest) == 0;
}

int check_copy_open(const struct cas_arriving *folder, uint64_t size, struct err *err)
{
	int fd = tempfile_unnamed(folder->path, err);

	if (fd >= 0 && ftruncate(fd, (off_t)size) < 0) {
		int ret = err_sys(err, errno, "%s", folder->path);

		close(fd);
		return ret;
	}
	return fd;
}

static int replace_block(int fd, struct arrival *a, const uint8_t *data, uint64_t at, uint64_t len,
			 struct err *err)
{
	int ret;

	arrival_drop(a, at, len);
	ret = io_pwrite(fd, data, len, at);
	if (ret < 0)
		return err_sys(err, -ret, "write what arrives");
	arrival_mark(a, at, len);
	return 0;
}

int check_replace(int fd, int copy, struct arrival *a, struct err *err)
{
	cleanup_free uint8_t *has = malloc(ARRIVAL_BLOCK), *comes = malloc(ARRIVAL_BLOCK);
	uint64_t size = arrival_size(a);
	int ret = 0;

	if (has == NULL || comes == NULL)
		return err_sys(err, ENOMEM, "replace what has arrived");
	for (uint64_t at = 0; ret == 0 && at < size; at += ARRIVAL_BLOCK) {
		uint64_t len = u64_min(ARRIVAL_BLOCK, size - at);

		ret = io_pread(fd, has, len, at);
		if (ret == 0)
			ret = io_pread(copy, comes, len, at);
		if (ret < 0)
			return check_failed(ret, err);
		if (memcmp(has, comes, len) != 0)
			ret = replace_block(fd, a, comes, at, len, err);
	}
	return ret;
}
