/* Reading a run of a file; see blob.h. pread(2) only, behind a wait for what has not arrived:
 * any thread. */
#include "base/blob.h"

#include <errno.h>

#include "base/arrival.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"

int blob_read(const struct blob *blob, uint64_t at, void *dst, uint64_t len, struct err *err)
{
	int ret;

	if (!range_within(at, len, blob->len))
		return err_set(err, ERR_INTEGRITY, "bytes %llu to %llu lie outside the blob",
			       (unsigned long long)at, (unsigned long long)(at + len));
	ret = arrival_await(blob->arrival, blob->offset + at, len, err);
	if (ret < 0)
		return ret;
	ret = io_pread(blob->fd, dst, len, blob->offset + at);
	if (ret == -ENODATA)
		return err_set(err, ERR_INTEGRITY, "the file ends early: it is truncated");
	return ret < 0 ? err_sys(err, -ret, "read") : 0;
}

int blob_read_all(const struct blob *blob, uint64_t max, uint8_t **data, struct err *err)
{
	cleanup_free uint8_t *all = NULL;
	int ret;

	*data = NULL;
	if (blob->len > max)
		return err_set(err, ERR_INTEGRITY, "larger than %llu bytes",
			       (unsigned long long)max);
	all = malloc(blob->len + 1);
	if (all == NULL)
		return err_sys(err, ENOMEM, "read %llu bytes", (unsigned long long)blob->len);
	ret = blob_read(blob, 0, all, blob->len, err);
	if (ret < 0)
		return ret;
	all[blob->len] = 0;
	*data = take_ptr(all);
	return 0;
}
