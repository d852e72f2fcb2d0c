/* Reading a run of a file; see blob.h. pread(2) only: any thread. */
#include "format/blob.h"

#include <errno.h>
#include <unistd.h>

#include "vmm/base/num.h"

int blob_read(const struct blob *blob, uint64_t at, void *dst, uint64_t len, struct err *err)
{
	uint64_t done = 0;

	if (!range_within(at, len, blob->len))
		return err_set(err, ERR_INTEGRITY, "bytes %llu to %llu lie outside the blob",
			       (unsigned long long)at, (unsigned long long)(at + len));
	while (done < len) {
		ssize_t got = pread(blob->fd, (uint8_t *)dst + done, len - done,
				    (off_t)(blob->offset + at + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(err, errno, "read");
		if (got == 0)
			return err_set(err, ERR_INTEGRITY, "the file ends early: it is truncated");
		done += (uint64_t)got;
	}
	return 0;
}
