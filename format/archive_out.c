/* See archive_out.h. */
#include "format/archive_out.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/num.h"

int out_open(struct archive_out *out, const char *target, struct err *err)
{
	int ret;

	*out = (struct archive_out){.stream = -1};
	ret = tempfile_open(&out->file, target, err);
	out->name = out->file.target;
	return ret;
}

int out_adopt(struct archive_out *out, int fd, const char *target, struct err *err)
{
	int ret;

	*out = (struct archive_out){.stream = -1};
	ret = tempfile_adopt(&out->file, fd, target, err);
	out->name = out->file.target;
	return ret;
}

void out_stream(struct archive_out *out, int fd)
{
	*out = (struct archive_out){
		.name = "standard output",
		.stream = fd,
		.file = {.fd = -1, .folder = -1},
	};
}

static int out_send(struct archive_out *out, const void *data, uint64_t len, struct err *err)
{
	int ret = progress_write(out->progress, out->stream, data, len);

	if (ret < 0)
		return err_sys(err, -ret, "write %s", out->name);
	out->sent += len;
	return 0;
}

static int send_zeros(struct archive_out *out, uint64_t to, struct err *err)
{
	static const uint8_t zeros[KIB(16)];

	assert(to >= out->sent);
	while (out->sent < to) {
		int ret = out_send(out, zeros, u64_min(sizeof(zeros), to - out->sent), err);

		if (ret < 0)
			return ret;
	}
	return 0;
}

int out_write(struct archive_out *out, const void *data, uint64_t len, uint64_t offset,
	      struct err *err)
{
	int ret = progress_check(out->progress, err);

	if (ret < 0)
		return ret;
	if (out->stream < 0)
		return tempfile_write(&out->file, data, len, offset, err);
	ret = send_zeros(out, offset, err);
	return ret < 0 ? ret : out_send(out, data, len, err);
}

/* A stream may be a file that the shell has opened: then it is to outlast a crash. */
static int end_stream(struct archive_out *out, uint64_t size, struct err *err)
{
	int ret = send_zeros(out, size, err);

	if (ret < 0)
		return ret;
	if (fsync(out->stream) < 0 && errno != EINVAL && errno != EROFS)
		return err_sys(err, errno, "write %s", out->name);
	return 0;
}

int out_end(struct archive_out *out, uint64_t size, struct err *err)
{
	if (out->stream >= 0)
		return end_stream(out, size, err);
	return ftruncate(out->file.fd, (off_t)size) < 0 ? tempfile_error(&out->file, errno, err)
							: 0;
}

void out_close(struct archive_out *out)
{
	tempfile_close(&out->file);
}
