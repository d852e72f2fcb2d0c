/* See record.h. */
#include "share/record.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/num.h"

#define ENTRY_HEAD 8u

static const struct state_field identity_fields[] = {
	STATE_SCALAR(struct share_identity, device, 1, 1, 0),
	STATE_SCALAR(struct share_identity, inode, 2, 1, 0),
	STATE_SCALAR(struct share_identity, born, 3, 1, 0),
};

static const struct state_table identity_table =
	STATE_TABLE("share-identity", 1, struct share_identity, identity_fields);

static const struct state_field folder_fields[] = {
	STATE_STRUCT(struct share_folder_state, self, 1, 1, &identity_table),
	STATE_SCALAR(struct share_folder_state, started, 2, 1, 0),
	STATE_PAD(struct share_folder_state, pad),
};

const struct state_table share_folder_table =
	STATE_TABLE("share-folder", 1, struct share_folder_state, folder_fields);

static const struct state_field file_fields[] = {
	STATE_SCALAR(struct share_file_state, id, 1, 1, 0),
	STATE_SCALAR(struct share_file_state, lookups, 2, 1, 0),
	STATE_STRUCT(struct share_file_state, self, 3, 1, &identity_table),
	STATE_SCALAR(struct share_file_state, type, 4, 1, STATE_HEX),
	STATE_SCALAR(struct share_file_state, flags, 5, 1, STATE_HEX),
	STATE_SCALAR(struct share_file_state, gone, 6, 1, 0),
	STATE_SCALAR(struct share_file_state, npath, 7, 1, 0),
	STATE_VARRAY(struct share_file_state, path, npath, 8, 1, 0),
};

const struct state_table share_file_table =
	STATE_TABLE("share-file", 1, struct share_file_state, file_fields);

static const struct state_table *table_of(enum share_entry kind)
{
	return kind == SHARE_ENTRY_FOLDER ? &share_folder_table : &share_file_table;
}

void share_record_add(struct buf *out, enum share_entry kind, const void *entry)
{
	const struct state_table *table = table_of(kind);
	size_t head;

	buf_add_le16(out, (uint16_t)kind);
	buf_add_le16(out, table->version);
	head = out->len;
	buf_add_le32(out, 0);
	state_encode(table, entry, out);
	if (!buf_failed(out))
		le_put32(out->data + head, (uint32_t)(out->len - head - 4));
}

static int record_damaged(struct err *err, const char *what)
{
	return err_set(err, ERR_INTEGRITY, "what is known of a shared folder: %s", what);
}

int share_record_next(struct share_entries *e, enum share_entry *kind,
		      struct share_folder_state *folder, struct share_file_state *file,
		      struct err *err)
{
	uint16_t version;
	uint32_t len;
	int ret;

	if (e->left == 0)
		return 0;
	if (e->left < ENTRY_HEAD)
		return record_damaged(err, "truncated");
	*kind = (enum share_entry)le_get16(e->at);
	version = le_get16(e->at + 2);
	len = le_get32(e->at + 4);
	if (*kind < SHARE_ENTRY_FOLDER || *kind > SHARE_ENTRY_HANDLE)
		return record_damaged(err, "an entry of an unknown kind");
	if (len > e->left - ENTRY_HEAD)
		return record_damaged(err, "an entry is longer than the data");
	ret = state_decode(table_of(*kind), version, e->at + ENTRY_HEAD, len,
			   *kind == SHARE_ENTRY_FOLDER ? (void *)folder : (void *)file, err);
	if (ret < 0)
		return ret;
	e->at += ENTRY_HEAD + len;
	e->left -= ENTRY_HEAD + len;
	return 1;
}

/* "a/b", without empty parts, "." and "..". */
static bool path_is_inside(const uint8_t *path, uint32_t len)
{
	uint32_t start = 0;

	if (len == 0)
		return true;
	for (uint32_t i = 0; i <= len; i++) {
		uint32_t part = i - start;

		if (i < len && path[i] == '\0')
			return false;
		if (i < len && path[i] != '/')
			continue;
		if (part == 0 || (part == 1 && path[start] == '.') ||
		    (part == 2 && memcmp(path + start, "..", 2) == 0))
			return false;
		start = i + 1;
	}
	return true;
}

static bool type_is_known(enum share_entry kind, uint32_t type)
{
	if (kind == SHARE_ENTRY_HANDLE)
		return type == S_IFREG || type == S_IFDIR;
	switch (type) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return true;
	default:
		return false;
	}
}

static int check_file(enum share_entry kind, const struct share_file_state *file, struct err *err)
{
	if (!type_is_known(kind, file->type))
		return record_damaged(err, "a file of an unknown type");
	/* With a NUL behind it, it is a path of its length. */
	if (file->npath >= SHARE_PATH_MAX || !path_is_inside(file->path, file->npath))
		return record_damaged(err, "a path that leads out of the folder");
	if (file->gone > 1 || file->id == 0 || file->id > SHARE_ID_MAX)
		return record_damaged(err, "an impossible entry");
	return 0;
}

int share_record_check(const uint8_t *data, size_t len, struct err *err)
{
	struct share_entries e = {data, len};
	enum share_entry kind, last = 0;
	struct share_folder_state folder;
	struct share_file_state file;
	uint64_t id = 0;
	int ret;

	while ((ret = share_record_next(&e, &kind, &folder, &file, err)) > 0) {
		if (kind < last || (last == 0) != (kind == SHARE_ENTRY_FOLDER))
			return record_damaged(err, "its entries are out of order");
		if (kind == SHARE_ENTRY_FOLDER && folder.started > 1)
			return record_damaged(err, "an impossible entry");
		if (kind != SHARE_ENTRY_FOLDER) {
			ret = check_file(kind, &file, err);
			if (ret < 0)
				return ret;
			if (kind == last && file.id <= id)
				return record_damaged(err, "its entries are out of order");
			id = file.id;
		}
		last = kind;
	}
	return ret;
}
