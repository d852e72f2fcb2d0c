/* See fuzz.h. */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_FDS 128

uint64_t fuzz_take(struct fuzz_input *in, unsigned bytes)
{
	uint64_t value = 0;

	for (; bytes > 0; bytes--) {
		value <<= 8;
		if (in->left > 0) {
			value |= *in->at++;
			in->left--;
		}
	}
	return value;
}

size_t fuzz_take_bytes(struct fuzz_input *in, uint8_t *to, size_t len)
{
	if (len > in->left)
		len = in->left;
	memcpy(to, in->at, len);
	in->at += len;
	in->left -= len;
	return len;
}

int fuzz_file(const uint8_t *data, size_t size)
{
	static int file = -1;

	if (file < 0)
		file = memfd_create("input", MFD_CLOEXEC);
	fuzz_require(pwrite(file, data, size, 0) == (ssize_t)size);
	fuzz_require(ftruncate(file, (off_t)size) == 0);
	return fcntl(file, F_DUPFD_CLOEXEC, 0);
}

static char folder[256];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_folder(void)
{
	(void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_folder(void)
{
	const char *root = getenv("TMPDIR");

	if (folder[0] != '\0')
		return folder;
	snprintf(folder, sizeof(folder), "%s/fuzz.XXXXXX", root != NULL ? root : "/tmp");
	fuzz_require(mkdtemp(folder) != NULL && atexit(remove_folder) == 0);
	return folder;
}

unsigned fuzz_open_fds(void)
{
	struct pollfd all[MAX_FDS] = {0};
	unsigned n = 0;

	for (int fd = 0; fd < MAX_FDS; fd++)
		all[fd].fd = fd;
	fuzz_require(poll(all, MAX_FDS, 0) >= 0);
	for (int fd = 0; fd < MAX_FDS; fd++)
		n += (all[fd].revents & POLLNVAL) == 0;
	return n;
}
