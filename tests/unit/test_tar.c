/* The tar reader against headers of every kind, and against damage. */
#include <archive.h>
#include <archive_entry.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/num.h"
#include "format/foreign.h"
#include "format/tar.h"
#include "format/tar_header.h"

/* Make the sum right again. */
static void sign(uint8_t *header)
{
	unsigned sum = 0;

	memset(header + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += header[i];
	snprintf((char *)header + 148, 8, "%06o", sum);
	header[155] = ' ';
}

static uint8_t *add_header(struct buf *tar, const char *name, char type, unsigned size)
{
	uint8_t *header = buf_add(tar, NULL, 512);

	strncpy((char *)header, name, 100);
	snprintf((char *)header + 100, 8, "%07o", 0644);
	snprintf((char *)header + 124, 12, "%011o", size);
	header[156] = (uint8_t)type;
	memcpy(header + 257,
	       "ustar\0"
	       "00",
	       8);
	sign(header);
	return header;
}

static void add_data(struct buf *tar, const char *data, size_t len)
{
	buf_add(tar, data, len);
	buf_add(tar, NULL, align_up(len, 512) - len);
}

static void add_file(struct buf *tar, const char *name, const char *text)
{
	add_header(tar, name, '0', (unsigned)strlen(text));
	add_data(tar, text, strlen(text));
}

static void add_end(struct buf *tar)
{
	buf_add(tar, NULL, 1024);
}

/* Read what was built; frees it. */
static int read_back(struct buf *bytes, struct tar *tar, struct err *err)
{
	int fd = memfd_create("tar", MFD_CLOEXEC), ret;

	cr_assert(eq(int, (int)write(fd, bytes->data, bytes->len), (int)bytes->len));
	ret = tar_read(tar, fd, NULL, err);
	close(fd);
	buf_free(bytes);
	return ret;
}

static void refused(struct buf *bytes, const char *why)
{
	struct err err = {0};
	struct tar tar;

	cr_assert(lt(int, read_back(bytes, &tar, &err), 0));
	cr_assert(eq(int, err.kind, ERR_INTEGRITY));
	cr_assert_not_null(strstr(err.text, why), "%s", err.text);
}

Test(tar, entries_of_all_kinds)
{
	struct buf b = {0};
	struct tar tar;
	struct err err = {0};

	add_header(&b, "blobs/", '5', 0);
	add_file(&b, "./index.json", "12345");
	add_header(&b, "link", '2', 0);
	add_file(&b, "empty", "");
	add_end(&b);
	cr_assert(eq(int, read_back(&b, &tar, &err), 0), "%s", err.text);
	cr_assert(eq(sz, tar.nentries, 4));
	cr_assert(eq(u64, tar_find(&tar, "index.json")->offset, 1024));
	cr_assert(eq(u64, tar_find(&tar, "index.json")->size, 5));
	cr_assert(eq(u64, tar_find(&tar, "empty")->size, 0));
	cr_assert_null(tar_find(&tar, "link"), "a link is no file");
	cr_assert_null(tar_find(&tar, "index"), "nor is a prefix of a name");
	tar_free(&tar);
}

/* Of a file that arrives: what the first bytes say. */
Test(tar, the_front_alone_can_be_read)
{
	static const struct {
		uint64_t have;
		size_t entries;
		uint64_t next;
	} rows[] = {
		{0, 0, 0},	 {511, 0, 0},	  {512, 1, 1024},     {1535, 1, 1024},
		{1536, 2, 2048}, {4096, 2, 2048}, {1 << 20, 2, 2048}, /* what is wrong ends it */
	};
	int fd = memfd_create("tar", MFD_CLOEXEC);
	struct buf b = {0};

	add_file(&b, "one", "1");
	add_file(&b, "two", "22");
	add_file(&b, "three", "333");
	b.data[2 * 1024 + 10] ^= 1;
	b.data[2 * 1024 + 148] ^= 1;
	add_end(&b);
	cr_assert(eq(int, (int)write(fd, b.data, b.len), (int)b.len));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t next = UINT64_MAX;
		struct tar tar;

		cr_assert(eq(int, tar_read_front(&tar, fd, rows[i].have, &next, NULL), 0));
		cr_expect(eq(sz, tar.nentries, rows[i].entries), "row %zu", i);
		cr_expect(eq(u64, next, rows[i].next), "row %zu", i);
		tar_free(&tar);
	}
	close(fd);
	buf_free(&b);
}

Test(tar, pax_path_and_size_replace_the_header_s)
{
	struct buf b = {0};
	struct tar tar;
	struct err err = {0};
	uint8_t *header;

	add_header(&b, "global", 'g', 14);
	add_data(&b, "14 comment=hi\n", 14);
	add_header(&b, "pax", 'x', 12 + 10 + 16);
	add_data(&b, "12 path=a/b\n10 size=3\n16 mtime=1.2345\n", 12 + 10 + 16);
	add_header(&b, "short", '0', 0);
	add_data(&b, "xyz", 3);
	add_file(&b, "next", "1");
	header = add_header(&b, "big", '0', 0);
	memset(header + 124, 0, 12);
	header[124] = 0x80;
	header[135] = 4; /* base 256 */
	sign(header);
	add_data(&b, "four", 4);
	header = add_header(&b, "name", '0', 0);
	strcpy((char *)header + 345, "prefix");
	sign(header);
	add_end(&b);
	cr_assert(eq(int, read_back(&b, &tar, &err), 0), "%s", err.text);
	cr_assert(eq(u64, tar_find(&tar, "a/b")->size, 3));
	cr_assert(eq(u64, tar_find(&tar, "next")->size, 1));
	cr_assert(eq(u64, tar_find(&tar, "big")->size, 4));
	cr_assert_not_null(tar_find(&tar, "prefix/name"));
	tar_free(&tar);
}

Test(tar, pax_nonsense_is_refused)
{
	static const char records[][32] = {
		"12 path=a/b",	"99 path=a\n",	"0 path=a\n",	       "path=a\n", "9 path a\n",
		"12 size=-1\n", "11 size=9x\n", "18 GNU.sparse=1.0\n", " 8 a=b\n", "13 size=\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		struct buf b = {0};

		add_header(&b, "pax", 'x', (unsigned)strlen(records[i]));
		add_data(&b, records[i], strlen(records[i]));
		add_file(&b, "short", "xyz");
		add_end(&b);
		refused(&b, "pax");
	}
}

Test(tar, a_pax_header_needs_an_entry)
{
	struct buf b = {0};

	add_header(&b, "pax", 'x', 12);
	add_data(&b, "12 path=a/b\n", 12);
	add_end(&b);
	refused(&b, "pax header without");
}

Test(tar, entries_we_do_not_read_are_refused)
{
	static const char types[] = "13467SLKVDM";

	for (const char *type = types; *type != '\0'; type++) {
		struct buf b = {0};

		add_header(&b, "odd", *type, 0);
		add_end(&b);
		refused(&b, "type");
	}
}

Test(tar, a_name_twice_is_refused_but_for_fillers)
{
	struct buf b = {0};
	struct tar tar;
	struct err err = {0};

	add_file(&b, "a", "1");
	add_file(&b, ".align/0", "");
	add_file(&b, ".align/0", "");
	add_end(&b);
	cr_assert(eq(int, read_back(&b, &tar, &err), 0), "%s", err.text);
	cr_assert(tar_is_filler(&tar.entries[1]));
	cr_assert_not(tar_is_filler(&tar.entries[0]));
	tar_free(&tar);

	add_file(&b, "a", "1");
	add_file(&b, "b", "1");
	add_file(&b, "./a", "1");
	add_end(&b);
	refused(&b, "twice");
}

Test(tar, every_truncation_is_refused)
{
	struct buf whole = {0};

	add_file(&whole, "a", "some text");
	add_file(&whole, "b", "more");
	add_end(&whole);
	for (size_t len = 0; len < whole.len; len++) {
		struct buf b = {0};

		buf_add(&b, whole.data, len);
		refused(&b, len < 512 ? "not a torpor file" : "truncated");
	}
	buf_free(&whole);
}

Test(tar, any_byte_of_a_header_that_changes_is_noticed)
{
	struct buf whole = {0};

	add_file(&whole, "a", "some text");
	add_file(&whole, "b", "more");
	add_end(&whole);
	for (size_t at = 0; at < whole.len; at++) {
		struct err err = {0};
		struct buf b = {0};
		struct tar tar;
		bool payload = (at >= 512 && at < 1024) || (at >= 1536 && at < 2048);

		buf_add(&b, whole.data, whole.len);
		b.data[at] ^= 0x21;
		cr_assert_eq(read_back(&b, &tar, &err) < 0, !payload, "byte %zu", at);
		if (payload)
			tar_free(&tar);
	}
	buf_free(&whole);
}

Test(tar, bytes_behind_the_end_are_refused_zeros_are_not)
{
	struct buf b = {0};
	struct tar tar;

	add_file(&b, "a", "1");
	add_end(&b);
	buf_add(&b, NULL, 9 * 1024 + 1);
	cr_assert(eq(int, read_back(&b, &tar, NULL), 0));
	tar_free(&tar);
	add_file(&b, "a", "1");
	add_end(&b);
	buf_add(&b, "x", 1);
	refused(&b, "behind the end");
}

Test(tar, sizes_beyond_the_file_are_refused)
{
	struct buf b = {0};
	uint8_t *header;

	add_header(&b, "a", '0', 2048);
	add_end(&b);
	refused(&b, "truncated");
	header = add_header(&b, "a", '0', 0);
	memset(header + 124, 0xff, 12);
	header[124] = 0x80;
	sign(header);
	add_end(&b);
	refused(&b, "size");
	header = add_header(&b, "a", '0', 0);
	memcpy(header + 124, "00000000009\0", 12);
	sign(header);
	add_end(&b);
	refused(&b, "size");
}

Test(tar, more_entries_than_sane_are_refused)
{
	struct buf b = {0};
	char name[16];

	for (unsigned i = 0; i <= TAR_MAX_ENTRIES; i++) {
		snprintf(name, sizeof(name), "%u", i);
		add_file(&b, name, "");
	}
	add_end(&b);
	refused(&b, "more than 4096");
}

Test(tar, headers_made_are_headers_read)
{
	static const char path[] =
		"blobs/sha256/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	struct buf b = {0};
	struct tar tar;
	struct err err = {0};
	uint8_t header[512];

	tar_header_make(path, NULL, 5, header);
	buf_add(&b, header, 512);
	add_data(&b, "12345", 5);
	tar_header_make("memory.0", path, 0, header);
	buf_add(&b, header, 512);
	add_end(&b);
	cr_assert(eq(int, read_back(&b, &tar, &err), 0), "%s", err.text);
	cr_assert(eq(u64, tar_find(&tar, path)->size, 5));
	cr_assert(eq(int, tar.entries[1].type, TAR_SYMLINK));
	tar_free(&tar);
}

struct made {
	uint8_t header[512];
	size_t len;
};

static ssize_t take_header(struct archive *a, void *opaque, const void *data, size_t len)
{
	struct made *made = opaque;

	(void)a;
	/* What is missing of the payload would follow, as zeros. */
	if (made->len + len > sizeof(made->header))
		return -1;
	memcpy(made->header + made->len, data, len);
	made->len += len;
	return (ssize_t)len;
}

static void make_with_libarchive(const char *name, const char *link, uint64_t size,
				 struct made *made)
{
	struct archive *a = archive_write_new();
	struct archive_entry *entry = archive_entry_new();

	made->len = 0;
	archive_entry_set_pathname(entry, name);
	archive_entry_set_mtime(entry, 0, 0);
	archive_entry_set_perm(entry, link != NULL ? 0777 : 0644);
	archive_entry_set_filetype(entry, link != NULL ? AE_IFLNK : AE_IFREG);
	archive_entry_set_size(entry, (int64_t)size);
	if (link != NULL)
		archive_entry_set_symlink(entry, link);
	archive_write_set_format_pax_restricted(a);
	archive_write_set_bytes_per_block(a, 0);
	cr_assert(eq(int, archive_write_open(a, made, NULL, take_header, NULL), ARCHIVE_OK));
	cr_assert(eq(int, archive_write_header(a, entry), ARCHIVE_OK), "%s",
		  archive_error_string(a));
	archive_write_free(a);
	archive_entry_free(entry);
}

Test(tar, headers_are_those_of_libarchive)
{
	static const char blob[] =
		"blobs/sha256/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const char hundred[] =
		"0123456789012345678901234567890123456789012345678901234567890123456789"
		"012345678901234567890123456789";
	static const struct {
		const char *name, *link;
		uint64_t size;
	} cases[] = {
		{"oci-layout", NULL, 30},
		{blob, NULL, 0},
		{blob, NULL, 1},
		{blob, NULL, 512},
		{blob, NULL, MIB(512)},
		{blob, NULL, GIB(8) - 1},
		{".align/0", NULL, GIB(1) - 512},
		{"disk.0.overlay.hashes", blob, 0},
		{"memory.0.15", "blobs/sha256", 0},
		{hundred, NULL, 12345},
		{"k", hundred, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t header[512];
		struct made made;

		make_with_libarchive(cases[i].name, cases[i].link, cases[i].size, &made);
		tar_header_make(cases[i].name, cases[i].link, cases[i].size, header);
		cr_assert(eq(sz, made.len, sizeof(header)));
		cr_expect(eq(int, memcmp(header, made.header, sizeof(header)), 0), "%s, %llu",
			  cases[i].name, (unsigned long long)cases[i].size);
	}
}

/* One part of a machine of 256 GiB. */
Test(tar, large_sizes_are_read_by_libarchive_too)
{
	static const uint64_t sizes[] = {GIB(8), GIB(16) + 512, UINT64_C(1) << 46};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct archive *a = archive_read_new();
		struct archive_entry *entry;
		uint8_t header[512];

		tar_header_make("big", NULL, sizes[i], header);
		archive_read_support_format_tar(a);
		cr_assert(eq(int, archive_read_open_memory(a, header, sizeof(header)), ARCHIVE_OK));
		cr_assert(eq(int, archive_read_next_header(a, &entry), ARCHIVE_OK), "%s",
			  archive_error_string(a));
		cr_expect(eq(u64, (uint64_t)archive_entry_size(entry), sizes[i]));
		archive_read_free(a);
	}
}

Test(tar, large_sizes_are_read_back)
{
	struct tar tar;
	struct err err = {0};
	int fd = memfd_create("tar", MFD_CLOEXEC);
	uint8_t header[512];

	tar_header_make("big", NULL, GIB(9), header);
	cr_assert(eq(int, (int)pwrite(fd, header, 512, 0), 512));
	cr_assert(eq(int, ftruncate(fd, (off_t)(512 + GIB(9) + 1024)), 0));
	cr_assert(eq(int, tar_read(&tar, fd, NULL, &err), 0), "%s", err.text);
	cr_assert(eq(u64, tar_find(&tar, "big")->size, GIB(9)));
	tar_free(&tar);
	close(fd);
}

Test(tar, what_it_is_instead_is_said)
{
	static const struct {
		const char *head, *said;
	} cases[] = {
		{"QFI\xfb....", "qcow2"},
		{"KDMV....", "VMDK"},
		{"# Disk DescriptorFile\n", "VMDK"},
		{"vhdxfile", "VHDX"},
		{"\x1f\x8b\x08....", "gzip -d"},
		{"\xfd\x37zXZ", "xz -d"},
		{"\x28\xb5\x2f\xfd", "zstd -d"},
		{"BZh9", "bzip2"},
		{"#!/bin/sh\necho\n", "text file"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *said =
			foreign_format((const uint8_t *)cases[i].head, strlen(cases[i].head));

		cr_expect(said != NULL && strstr(said, cases[i].said) != NULL, "%s: %s",
			  cases[i].said, said);
	}
	cr_expect(foreign_format((const uint8_t *)"\x7f"
						  "ELF",
				 4) == NULL);
	cr_expect(foreign_format(NULL, 0) == NULL);
}
