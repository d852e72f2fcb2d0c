/*
 * Walking tar headers; see tar.h. Reads go through a small window: metadata stands together in
 * front, and behind that a header stands alone before each bulk payload.
 */
#include "format/tar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/arrival.h"
#include "base/blob.h"
#include "base/cleanup.h"
#include "base/num.h"

#define WINDOW	    16384u
#define MAX_PAX	    KIB(64) /* records of one pax header */
#define MAX_TRAILER MIB(1)  /* zeros behind the end: tar writers pad to their record size */

/* Offsets in a header block (POSIX.1-2017, pax, "ustar Interchange Format"). */
enum {
	AT_NAME = 0,
	NAME_LEN = 100,
	AT_SIZE = 124,
	SIZE_LEN = 12,
	AT_CHECKSUM = 148,
	CHECKSUM_LEN = 8,
	AT_TYPE = 156,
	AT_MAGIC = 257,
	AT_PREFIX = 345,
	PREFIX_LEN = 155,
};

struct walk {
	struct blob file;
	uint64_t at; /* of the next header */
	uint8_t window[WINDOW];
	uint64_t window_at;
	uint64_t window_len;
	/* From a pax header, for the next entry. */
	char *pax_path;
	bool pax_has_size;
	uint64_t pax_size;
};

static int tar_damaged(struct err *err, const char *what)
{
	return err_set(err, ERR_INTEGRITY, "%s", what);
}

/* The block at w->at, through the window. */
static int read_block(struct walk *w, const uint8_t **block, struct err *err)
{
	int ret;

	if (!range_within(w->at, TAR_BLOCK, w->file.len))
		return tar_damaged(err, "truncated: the tar has no end");
	if (w->at < w->window_at || w->at + TAR_BLOCK > w->window_at + w->window_len) {
		w->window_at = w->at;
		w->window_len = u64_min(WINDOW, w->file.len - w->at);
		/* Of what arrives no more is waited for than the block that the header is in. */
		if (w->file.arrival != NULL)
			w->window_len =
				u64_min(w->window_len, ARRIVAL_BLOCK - w->at % ARRIVAL_BLOCK);
		ret = blob_read(&w->file, w->at, w->window, w->window_len, err);
		if (ret < 0)
			return ret;
	}
	*block = w->window + (w->at - w->window_at);
	return 0;
}

/* A number: octal digits, ended by NUL or space; or base-256 with the top bit set. */
static bool parse_number(const uint8_t *field, size_t len, uint64_t *value)
{
	size_t i = 0;

	*value = 0;
	if (field[0] == 0x80) {
		for (i = 1; i < len; i++) {
			if (*value >> 56 != 0)
				return false;
			*value = *value << 8 | field[i];
		}
		return true;
	}
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		*value = *value << 3 | (uint64_t)(field[i] - '0');
	return i > 0 && (i == len || field[i] == '\0' || field[i] == ' ');
}

/* The sum is checked, and its field is in the one form every writer uses, so that no byte of a
 * header can change unnoticed. */
static bool checksum_ok(const uint8_t *block)
{
	uint64_t stored;
	unsigned sum = 0;

	for (unsigned i = 0; i < TAR_BLOCK; i++)
		sum += i >= AT_CHECKSUM && i < AT_CHECKSUM + CHECKSUM_LEN ? ' ' : block[i];
	for (unsigned i = 0; i < 6; i++) {
		if (block[AT_CHECKSUM + i] < '0' || block[AT_CHECKSUM + i] > '7')
			return false;
	}
	return block[AT_CHECKSUM + 6] == '\0' && block[AT_CHECKSUM + 7] == ' ' &&
	       parse_number(block + AT_CHECKSUM, CHECKSUM_LEN, &stored) && stored == sum;
}

/* One pax record, "LENGTH KEY=VALUE\n" where LENGTH counts all of it. Ends *text where it ends. */
static bool split_record(char **text, const char *end, char **key, char **value)
{
	char *at = *text, *record_end, *equals;
	uint64_t len = 0;

	for (; at < end && *at >= '0' && *at <= '9' && len < MAX_PAX; at++)
		len = len * 10 + (uint64_t)(*at - '0');
	if (at == *text || at >= end || *at != ' ' || len > (uint64_t)(end - *text) ||
	    len <= (uint64_t)(at - *text) + 1)
		return false;
	record_end = *text + len - 1;
	equals = memchr(at, '=', (size_t)(record_end - at));
	if (*record_end != '\n' || equals == NULL || memchr(at, '\0', (size_t)(record_end - at)))
		return false;
	*equals = '\0';
	*record_end = '\0';
	*key = at + 1;
	*value = equals + 1;
	*text = record_end + 1;
	return true;
}

/* Path and size replace the header's; times, owners and comments mean nothing here; what changes
 * the meaning of the payload (sparse maps, another charset) is refused. */
static int apply_record(struct walk *w, bool global, const char *key, const char *value,
			struct err *err)
{
	static const char *const harmless[] = {"comment", "linkpath", "mtime", "atime", "ctime",
					       "uid",	  "gid",      "uname", "gname"};
	char *end;

	if (!global && strcmp(key, "path") == 0) {
		free(w->pax_path);
		w->pax_path = strdup(value);
		return w->pax_path != NULL ? 0 : err_sys(err, ENOMEM, "read the tar");
	}
	if (!global && strcmp(key, "size") == 0) {
		errno = 0;
		w->pax_size = strtoull(value, &end, 10);
		w->pax_has_size = true;
		if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0)
			return tar_damaged(err, "a pax header has a malformed size");
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(harmless); i++) {
		if (strcmp(key, harmless[i]) == 0)
			return 0;
	}
	return err_set(err, ERR_INTEGRITY, "a pax header has the record %.40s", key);
}

static int read_pax(struct walk *w, uint64_t size, bool global, struct err *err)
{
	cleanup_free char *text = NULL;
	char *at, *end, *key, *value;
	int ret;

	if (size > MAX_PAX)
		return tar_damaged(err, "a pax header is too large");
	text = malloc(size + 1);
	if (text == NULL)
		return err_sys(err, ENOMEM, "read the tar");
	ret = blob_read(&w->file, w->at + TAR_BLOCK, text, size, err);
	if (ret < 0)
		return ret;
	at = text;
	end = text + size;
	while (at < end) {
		if (!split_record(&at, end, &key, &value))
			return tar_damaged(err, "a pax header is malformed");
		ret = apply_record(w, global, key, value, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* The name from the pax header if there was one, else prefix/name. */
static char *tar_entry_name(struct walk *w, const uint8_t *block)
{
	char name[PREFIX_LEN + 1 + NAME_LEN + 1];
	const char *from = name;
	size_t len = 0;

	if (w->pax_path != NULL) {
		from = w->pax_path;
	} else {
		/* GNU's variant of the magic, "ustar  ", has other fields where the prefix is. */
		if (memcmp(block + AT_MAGIC, "ustar", 6) == 0 && block[AT_PREFIX] != '\0') {
			len = strnlen((const char *)block + AT_PREFIX, PREFIX_LEN);
			memcpy(name, block + AT_PREFIX, len);
			name[len++] = '/';
		}
		memcpy(name + len, block + AT_NAME, NAME_LEN);
		name[len + NAME_LEN] = '\0';
	}
	while (from[0] == '.' && from[1] == '/')
		from += 2;
	return strdup(from);
}

static int add_entry(struct tar *tar, struct walk *w, const uint8_t *block, enum tar_type type,
		     uint64_t size, struct err *err)
{
	struct tar_entry *entry;

	if (tar->nentries == TAR_MAX_ENTRIES)
		return err_set(err, ERR_INTEGRITY, "more than %u entries", TAR_MAX_ENTRIES);
	entry = array_grow(tar->entries, tar->nentries, sizeof(*entry));
	if (entry == NULL)
		return err_sys(err, ENOMEM, "read the tar");
	tar->entries = entry;
	entry = &tar->entries[tar->nentries];
	*entry = (struct tar_entry){.type = type, .offset = w->at + TAR_BLOCK, .size = size};
	entry->name = tar_entry_name(w, block);
	if (entry->name == NULL)
		return err_sys(err, ENOMEM, "read the tar");
	tar->nentries++;
	free(take_ptr(w->pax_path));
	w->pax_has_size = false;
	return 0;
}

/* One header that is not zero; moves w->at behind its payload. */
static int walk_entry(struct tar *tar, struct walk *w, const uint8_t *block, struct err *err)
{
	char type = (char)block[AT_TYPE];
	uint64_t size;
	int ret;

	if (!checksum_ok(block))
		return tar_damaged(err, w->at == 0 ? "not a torpor file: no tar"
						   : "a tar header is damaged");
	if (!parse_number(block + AT_SIZE, SIZE_LEN, &size))
		return tar_damaged(err, "a tar header has a malformed size");
	if (w->pax_has_size && type != 'x' && type != 'g')
		size = w->pax_size;
	if (type == '2' || type == '5')
		size = 0;
	if (size > w->file.len ||
	    !range_within(w->at + TAR_BLOCK, align_up(size, TAR_BLOCK), w->file.len))
		return tar_damaged(err, "truncated: an entry reaches beyond the end of the file");
	if (type == 'x' || type == 'g')
		ret = read_pax(w, size, type == 'g', err);
	else if (type == '0' || type == '\0')
		ret = add_entry(tar, w, block, TAR_FILE, size, err);
	else if (type == '2')
		ret = add_entry(tar, w, block, TAR_SYMLINK, size, err);
	else if (type == '5')
		ret = add_entry(tar, w, block, TAR_FOLDER, size, err);
	else
		ret = err_set(err, ERR_INTEGRITY, "a tar entry of type %d", type);
	w->at += TAR_BLOCK + align_up(size, TAR_BLOCK);
	return ret;
}

/* Of the end of the tar. What begins with zeros, as an image of a disk may, is none. */
static int end_damaged(const struct walk *w, const char *what, struct err *err)
{
	return tar_damaged(err, w->at == 0 ? "not a torpor file: no tar" : what);
}

/* w->at is at a zero block: another one must follow, and only zeros behind. */
static int check_end(struct walk *w, struct err *err)
{
	cleanup_free uint8_t *rest = NULL;
	uint64_t len = w->file.len - w->at;
	int ret;

	if (len < 2 * TAR_BLOCK)
		return end_damaged(w, "truncated: the tar has no end", err);
	if (len > MAX_TRAILER)
		return end_damaged(w, "bytes behind the end of the tar", err);
	rest = malloc(len);
	if (rest == NULL)
		return err_sys(err, ENOMEM, "read the tar");
	ret = blob_read(&w->file, w->at, rest, len, err);
	if (ret < 0)
		return ret;
	if (!is_zero(rest, len))
		return end_damaged(w, "bytes behind the end of the tar", err);
	if (w->pax_path != NULL || w->pax_has_size)
		return tar_damaged(err, "a pax header without an entry");
	return 0;
}

static int compare_entry_names(const void *a, const void *b)
{
	const struct tar_entry *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* Two entries of one name would mean different things to different readers. */
static int check_duplicates(const struct tar *tar, struct err *err)
{
	cleanup_free const struct tar_entry **sorted = NULL;

	sorted = calloc(tar->nentries + 1, sizeof(sorted[0]));
	if (sorted == NULL)
		return err_sys(err, ENOMEM, "read the tar");
	for (size_t i = 0; i < tar->nentries; i++)
		sorted[i] = &tar->entries[i];
	qsort(sorted, tar->nentries, sizeof(sorted[0]), compare_entry_names);
	for (size_t i = 1; i < tar->nentries; i++) {
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0 &&
		    !(tar_is_filler(sorted[i - 1]) && tar_is_filler(sorted[i])))
			return err_set(err, ERR_INTEGRITY, "the entry %s is there twice",
				       sorted[i]->name);
	}
	return 0;
}

static int walk_all(struct tar *tar, struct walk *w, struct err *err)
{
	const uint8_t *block = NULL;
	int ret;

	for (;;) {
		ret = read_block(w, &block, err);
		if (ret < 0)
			return ret;
		if (is_zero(block, TAR_BLOCK))
			break;
		ret = walk_entry(tar, w, block, err);
		if (ret < 0)
			return ret;
	}
	ret = check_end(w, err);
	return ret < 0 ? ret : check_duplicates(tar, err);
}

int tar_read(struct tar *tar, int fd, struct arrival *arrival, struct err *err)
{
	struct walk w;
	struct stat st;
	int ret;

	*tar = (struct tar){0};
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "read the tar");
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)TAR_BLOCK)
		return tar_damaged(err, "not a torpor file: no tar");
	w.file = (struct blob){.fd = fd, .len = (uint64_t)st.st_size, .arrival = arrival};
	w.at = w.window_at = w.window_len = 0;
	w.pax_path = NULL;
	w.pax_has_size = false;
	ret = walk_all(tar, &w, err);
	free(w.pax_path);
	if (ret < 0)
		tar_free(tar);
	return ret;
}

int tar_read_front(struct tar *tar, int fd, uint64_t have, uint64_t *next, struct err *err)
{
	struct walk w;
	const uint8_t *block;
	struct stat st;
	int ret = 0;

	*tar = (struct tar){0};
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "read the tar");
	w.file = (struct blob){.fd = fd, .len = (uint64_t)st.st_size};
	w.at = w.window_at = w.window_len = 0;
	w.pax_path = NULL;
	w.pax_has_size = false;
	while (ret == 0 && range_within(w.at, TAR_BLOCK, have)) {
		ret = read_block(&w, &block, NULL);
		if (ret == 0 && is_zero(block, TAR_BLOCK))
			break;
		if (ret == 0)
			ret = walk_entry(tar, &w, block, NULL);
	}
	*next = w.at;
	free(w.pax_path);
	if (ret != -ENOMEM)
		return 0;
	tar_free(tar);
	return err_sys(err, ENOMEM, "read the tar");
}

void tar_free(struct tar *tar)
{
	for (size_t i = 0; i < tar->nentries; i++)
		free(tar->entries[i].name);
	free(tar->entries);
	*tar = (struct tar){0};
}

const struct tar_entry *tar_find(const struct tar *tar, const char *name)
{
	for (size_t i = 0; i < tar->nentries; i++) {
		if (tar->entries[i].type == TAR_FILE && strcmp(tar->entries[i].name, name) == 0)
			return &tar->entries[i];
	}
	return NULL;
}

bool tar_is_filler(const struct tar_entry *entry)
{
	return entry->type == TAR_FILE &&
	       strncmp(entry->name, TAR_FILLER, sizeof(TAR_FILLER) - 1) == 0;
}
