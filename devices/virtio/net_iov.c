/* Bytes out of a list of buffers; see net_internal.h. Pure. */
#include "base/num.h"
#include "devices/virtio/net_internal.h"

size_t net_gather(const struct iovec *iov, unsigned niov, size_t offset, void *to, size_t len)
{
	size_t done = 0;

	for (; niov > 0 && done < len; iov++, niov--) {
		size_t part;

		if (offset >= iov->iov_len) {
			offset -= iov->iov_len;
			continue;
		}
		part = (size_t)u64_min(len - done, iov->iov_len - offset);
		memcpy((uint8_t *)to + done, (const uint8_t *)iov->iov_base + offset, part);
		done += part;
		offset = 0;
	}
	return done;
}
