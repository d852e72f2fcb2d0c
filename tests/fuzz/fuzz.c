/* See fuzz.h. */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int fuzz_file(const uint8_t *data, size_t size)
{
	static int file = -1;

	if (file < 0)
		file = memfd_create("input", MFD_CLOEXEC);
	fuzz_require(pwrite(file, data, size, 0) == (ssize_t)size);
	fuzz_require(ftruncate(file, (off_t)size) == 0);
	return fcntl(file, F_DUPFD_CLOEXEC, 0);
}
