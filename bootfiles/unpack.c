/* See unpack.h. */
#include "bootfiles/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/library.h"
#include "base/num.h"

static struct {
	__typeof__(archive_error_string) *error_string;
	__typeof__(archive_read_new) *read_new;
	__typeof__(archive_read_support_filter_all) *filter_all;
	__typeof__(archive_read_support_format_raw) *format_raw;
	__typeof__(archive_read_open_memory) *open_memory;
	__typeof__(archive_read_next_header) *next_header;
	__typeof__(archive_read_data) *read_data;
	__typeof__(archive_read_free) *read_free;
} api;

/* clang-format off */
#define SYMBOL(member, symbol) {#symbol, offsetof(__typeof__(api), member)}
/* clang-format on */

static const struct library_symbol symbols[] = {
	SYMBOL(error_string, archive_error_string),
	SYMBOL(read_new, archive_read_new),
	SYMBOL(filter_all, archive_read_support_filter_all),
	SYMBOL(format_raw, archive_read_support_format_raw),
	SYMBOL(open_memory, archive_read_open_memory),
	SYMBOL(next_header, archive_read_next_header),
	SYMBOL(read_data, archive_read_data),
	SYMBOL(read_free, archive_read_free),
};

_Static_assert(ARRAY_SIZE(symbols) == sizeof(api) / sizeof(void *), "libarchive");

static struct library library = {
	.soname = "libarchive.so.13",
	.symbols = symbols,
	.nsymbols = ARRAY_SIZE(symbols),
	.table = &api,
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load_library(void)
{
	library_load(&library);
}

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

static int read_unpacked(struct archive *a, const char *path, size_t max, uint8_t **data,
			 size_t *len, struct err *err)
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
		got = api.read_data(a, *data + *len, room - *len);
		if (got < 0)
			return err_set(err, ERR_FAILED, "unpack %s: %s", path, api.error_string(a));
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
	struct archive_entry *entry;
	struct archive *a;
	int ret;

	pthread_once(&once, load_library);
	ret = library_loaded(&library, err);
	if (ret < 0)
		return err_context(err, ret, "unpack %s", path);
	a = api.read_new();
	if (a == NULL)
		return err_sys(err, ENOMEM, "unpack %s", path);
	api.filter_all(a);
	api.format_raw(a);
	if (api.open_memory(a, packed, size) != ARCHIVE_OK ||
	    api.next_header(a, &entry) != ARCHIVE_OK)
		ret = err_set(err, ERR_FAILED, "unpack %s: %s", path, api.error_string(a));
	else
		ret = read_unpacked(a, path, max, data, len, err);
	api.read_free(a);
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
