/*
 * libarchive, loaded at first use: only `torpor cp`, what reads images of containers and what
 * unpacks modules of kernels need it, and it costs start-up time. Any thread; the first call loads.
 */
#ifndef TORPOR_CONTAINER_ARCHIVE_API_H
#define TORPOR_CONTAINER_ARCHIVE_API_H

#include <archive.h>
#include <archive_entry.h>

#include "base/err.h"

struct archive_api {
	__typeof__(archive_errno) *error_number;
	__typeof__(archive_error_string) *error_string;
	__typeof__(archive_read_new) *read_new;
	__typeof__(archive_read_support_format_tar) *read_tar;
	__typeof__(archive_read_support_format_raw) *read_raw;
	__typeof__(archive_read_support_format_empty) *read_empty;
	__typeof__(archive_read_append_filter) *read_filter;
	__typeof__(archive_read_support_filter_all) *read_filters;
	__typeof__(archive_read_open) *read_open;
	__typeof__(archive_read_open_memory) *read_memory;
	__typeof__(archive_read_next_header) *read_next;
	__typeof__(archive_read_data_block) *read_data;
	__typeof__(archive_read_data) *read_bytes;
	__typeof__(archive_read_free) *read_free;
	__typeof__(archive_write_disk_new) *disk_new;
	__typeof__(archive_write_disk_set_options) *disk_options;
	__typeof__(archive_write_data_block) *disk_data;
	__typeof__(archive_read_disk_new) *tree_new;
	__typeof__(archive_read_disk_set_symlink_physical) *tree_physical;
	__typeof__(archive_read_disk_open) *tree_open;
	__typeof__(archive_read_next_header2) *tree_next;
	__typeof__(archive_read_disk_descend) *tree_descend;
	__typeof__(archive_write_new) *write_new;
	__typeof__(archive_write_set_format_gnutar) *write_gnutar;
	__typeof__(archive_write_set_bytes_per_block) *write_block;
	__typeof__(archive_write_open) *write_open;
	__typeof__(archive_write_header) *write_header;
	__typeof__(archive_write_data) *write_data;
	__typeof__(archive_write_finish_entry) *write_finish;
	__typeof__(archive_write_close) *write_close;
	__typeof__(archive_write_free) *write_free;
	__typeof__(archive_entry_new) *entry_new;
	__typeof__(archive_entry_free) *entry_free;
	__typeof__(archive_entry_pathname) *entry_path;
	__typeof__(archive_entry_copy_pathname) *entry_set_path;
	__typeof__(archive_entry_hardlink) *entry_hardlink;
	__typeof__(archive_entry_copy_hardlink) *entry_set_hardlink;
	__typeof__(archive_entry_filetype) *entry_type;
	__typeof__(archive_entry_symlink) *entry_symlink;
	__typeof__(archive_entry_uid) *entry_uid;
	__typeof__(archive_entry_gid) *entry_gid;
	__typeof__(archive_entry_mtime) *entry_mtime;
	__typeof__(archive_entry_mtime_nsec) *entry_mtime_nsec;
	__typeof__(archive_entry_rdevmajor) *entry_major;
	__typeof__(archive_entry_rdevminor) *entry_minor;
	__typeof__(archive_entry_xattr_reset) *entry_xattr_reset;
	__typeof__(archive_entry_xattr_next) *entry_xattr_next;
	__typeof__(archive_entry_acl_reset) *entry_acl_reset;
	__typeof__(archive_entry_acl_next) *entry_acl_next;
	__typeof__(archive_entry_perm) *entry_perm;
	__typeof__(archive_entry_set_perm) *entry_set_perm;
	__typeof__(archive_entry_size) *entry_size;
	__typeof__(archive_entry_set_uid) *entry_set_uid;
	__typeof__(archive_entry_set_gid) *entry_set_gid;
	__typeof__(archive_entry_set_uname) *entry_set_uname;
	__typeof__(archive_entry_set_gname) *entry_set_gname;
};

/* NULL, with the reason, when it is not there. */
const struct archive_api *archive_api(struct err *err);

#endif
