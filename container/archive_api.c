/* libarchive's table of functions; see archive_api.h. */
#include "container/archive_api.h"

#include "base/library.h"
#include "base/num.h"

static struct archive_api table;

/* clang-format off */
#define SYMBOL(member, symbol) {#symbol, offsetof(struct archive_api, member)}
/* clang-format on */

static const struct library_symbol symbols[] = {
	SYMBOL(error_number, archive_errno),
	SYMBOL(error_string, archive_error_string),
	SYMBOL(read_new, archive_read_new),
	SYMBOL(read_tar, archive_read_support_format_tar),
	SYMBOL(read_raw, archive_read_support_format_raw),
	SYMBOL(read_empty, archive_read_support_format_empty),
	SYMBOL(read_filter, archive_read_append_filter),
	SYMBOL(read_filters, archive_read_support_filter_all),
	SYMBOL(read_open, archive_read_open),
	SYMBOL(read_memory, archive_read_open_memory),
	SYMBOL(read_next, archive_read_next_header),
	SYMBOL(read_data, archive_read_data_block),
	SYMBOL(read_bytes, archive_read_data),
	SYMBOL(read_free, archive_read_free),
	SYMBOL(disk_new, archive_write_disk_new),
	SYMBOL(disk_options, archive_write_disk_set_options),
	SYMBOL(disk_data, archive_write_data_block),
	SYMBOL(tree_new, archive_read_disk_new),
	SYMBOL(tree_physical, archive_read_disk_set_symlink_physical),
	SYMBOL(tree_open, archive_read_disk_open),
	SYMBOL(tree_next, archive_read_next_header2),
	SYMBOL(tree_descend, archive_read_disk_descend),
	SYMBOL(write_new, archive_write_new),
	SYMBOL(write_gnutar, archive_write_set_format_gnutar),
	SYMBOL(write_block, archive_write_set_bytes_per_block),
	SYMBOL(write_open, archive_write_open),
	SYMBOL(write_header, archive_write_header),
	SYMBOL(write_data, archive_write_data),
	SYMBOL(write_finish, archive_write_finish_entry),
	SYMBOL(write_close, archive_write_close),
	SYMBOL(write_free, archive_write_free),
	SYMBOL(entry_new, archive_entry_new),
	SYMBOL(entry_free, archive_entry_free),
	SYMBOL(entry_path, archive_entry_pathname),
	SYMBOL(entry_set_path, archive_entry_copy_pathname),
	SYMBOL(entry_hardlink, archive_entry_hardlink),
	SYMBOL(entry_set_hardlink, archive_entry_copy_hardlink),
	SYMBOL(entry_type, archive_entry_filetype),
	SYMBOL(entry_symlink, archive_entry_symlink),
	SYMBOL(entry_uid, archive_entry_uid),
	SYMBOL(entry_gid, archive_entry_gid),
	SYMBOL(entry_mtime, archive_entry_mtime),
	SYMBOL(entry_mtime_nsec, archive_entry_mtime_nsec),
	SYMBOL(entry_major, archive_entry_rdevmajor),
	SYMBOL(entry_minor, archive_entry_rdevminor),
	SYMBOL(entry_xattr_reset, archive_entry_xattr_reset),
	SYMBOL(entry_xattr_next, archive_entry_xattr_next),
	SYMBOL(entry_acl_reset, archive_entry_acl_reset),
	SYMBOL(entry_acl_next, archive_entry_acl_next),
	SYMBOL(entry_perm, archive_entry_perm),
	SYMBOL(entry_set_perm, archive_entry_set_perm),
	SYMBOL(entry_size, archive_entry_size),
	SYMBOL(entry_set_uid, archive_entry_set_uid),
	SYMBOL(entry_set_gid, archive_entry_set_gid),
	SYMBOL(entry_set_uname, archive_entry_set_uname),
	SYMBOL(entry_set_gname, archive_entry_set_gname),
};

_Static_assert(ARRAY_SIZE(symbols) == sizeof(struct archive_api) / sizeof(void *), "libarchive");

static struct library library = {
	.soname = "libarchive.so.13",
	.symbols = symbols,
	.nsymbols = ARRAY_SIZE(symbols),
	.table = &table,
};

const struct archive_api *archive_api(struct err *err)
{
	return library_table(&library, err);
}
