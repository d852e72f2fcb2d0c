/* The tar reader against headers of every kind, and against damage. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/num.h"
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
	ret = tar_read(tar, fd, err);
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

	cr_assert(eq(int, tar_header_make(path, NULL, 5, header, &err), 0), "%s", err.text);
	buf_add(&b, header, 512);
	add_data(&b, "12345", 5);
	cr_assert(eq(int, tar_header_make("memory.0", path, 0, header, &err), 0), "%s", err.text);
	buf_add(&b, header, 512);
	add_end(&b);
	cr_assert(eq(int, read_back(&b, &tar, &err), 0), "%s", err.text);
	cr_assert(eq(u64, tar_find(&tar, path)->size, 5));
	cr_assert(eq(int, tar.entries[1].type, TAR_SYMLINK));
	tar_free(&tar);
	cr_assert(lt(int, tar_header_make("big", NULL, GIB(8), header, &err), 0));
}
