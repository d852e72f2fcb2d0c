/* See unpack.h. */
#include "bootfiles/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "container/archive_api.h"

static bool is_compressed(const uint8_t *data, size_t len)
{
	static const struct {
		const char *magic;
		size_t len;
	} forms[] = {{"\xfd"
		      "7zXZ",
		      5},
		     {"\x28\xb5\x2f\xfd", 4},
		     {"\x1f\x8b", 2}};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (len >= forms[i].len && memcmp(data, forms[i].magic, forms[i].len) == 0)
			return true;
	}
	return false;
}

static int read_unpacked(const struct archive_api *api, struct archive *a, const char *path,
			 size_t max, uint8_t **data, size_t *len, struct err *err)
{
	size_t room = 0;

	*len = 0;
	for (;;) {
		uint8_t *grown;
		ssize_t got;

		if (*len == room) {
			room = room == 0 ? 65536 : 2 * room;
			if (*len > max)
				return err_sys(err, EFBIG, "unpack %s", path);
			grown = realloc(*data, room + 1);
			if (grown == NULL)
				return err_sys(err, ENOMEM, "unpack %s", path);
			*data = grown;
		}
		got = api->read_bytes(a, *data + *len, room - *len);
		if (got < 0)
			return err_set(err, ERR_FAILED, "unpack %s: %s", path,
				       api->error_string(a));
		if (got == 0)
			break;
		*len += (size_t)got;
	}
	(*data)[*len] = '\0';
	return 0;
}

static int unpack(const char *path, const uint8_t *packed, size_t size, size_t max, uint8_t **data,
		  size_t *len, struct err *err)
{
	const struct archive_api *api = archive_api(err);
	struct archive_entry *entry;
	struct archive *a;
	int ret;

	if (api == NULL)
		return err_context(err, -EINVAL, "unpack %s", path);
	a = api->read_new();
	if (a == NULL)
		return err_sys(err, ENOMEM, "unpack %s", path);
	api->read_filters(a);
	api->read_raw(a);
	if (api->read_memory(a, packed, size) != ARCHIVE_OK ||
	    api->read_next(a, &entry) != ARCHIVE_OK)
		ret = err_set(err, ERR_FAILED, "unpack %s: %s", path, api->error_string(a));
	else
		ret = read_unpacked(api, a, path, max, data, len, err);
	api->read_free(a);
	return ret;
}

static int read_whole(const char *path, size_t max, uint8_t **data, size_t *len, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	int64_t got;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_FAILED, "%s: not a file", path);
	if ((uint64_t)st.st_size > max)
		return err_sys(err, EFBIG, "%s", path);
	*data = malloc((size_t)st.st_size + 1);
	if (*data == NULL)
		return err_sys(err, ENOMEM, "%s", path);
	got = io_read_upto(fd, *data, (uint64_t)st.st_size);
	if (got < 0) {
		free(take_ptr(*data));
		return err_sys(err, (int)-got, "read %s", path);
	}
	*len = (size_t)got;
	(*data)[*len] = '\0';
	return 0;
}

int unpack_file(const char *path, size_t max, uint8_t **data, size_t *len, struct err *err)
{
	cleanup_free uint8_t *packed = NULL;
	size_t size = 0;
	int ret;

	*data = NULL;
	ret = read_whole(path, max, &packed, &size, err);
	if (ret < 0)
		return ret;
	if (!is_compressed(packed, size)) {
		*data = take_ptr(packed);
		*len = size;
		return 0;
	}
	ret = unpack(path, packed, size, max, data, len, err);
	if (ret < 0)
		free(take_ptr(*data));
	return ret;
}
