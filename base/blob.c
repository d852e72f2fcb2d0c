/* Reading a run of a file; see blob.h. pread(2) only: any thread. */
#include "base/blob.h"

#include <errno.h>

#include "base/io.h"
#include "base/num.h"

int blob_read(const struct blob *blob, uint64_t at, void *dst, uint64_t len, struct err *err)
{
	int ret;

	if (!range_within(at, len, blob->len))
		return err_set(err, ERR_INTEGRITY, "bytes %llu to %llu lie outside the blob",
			       (unsigned long long)at, (unsigned long long)(at + len));
	ret = io_pread(blob->fd, dst, len, blob->offset + at);
	if (ret == -ENODATA)
		return err_set(err, ERR_INTEGRITY, "the file ends early: it is truncated");
	return ret < 0 ? err_sys(err, -ret, "read") : 0;
}
