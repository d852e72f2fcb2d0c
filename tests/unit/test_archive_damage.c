/* Damaged files: every kind of damage is found, by opening or by verifying. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "format/archive.h"
#include "format/tar.h"
#include "sample.h"

static int file = -1;
static uint64_t size;

static void begin(void)
{
	struct stat st;
	struct err err = {0};

	sample_begin();
	cr_assert(eq(int, sample_write("web.torpor", &err), 0), "%s", err.text);
	file = open("web.torpor", O_RDWR | O_CLOEXEC);
	cr_assert(eq(int, fstat(file, &st), 0));
	size = (uint64_t)st.st_size;
}

static void end(void)
{
	close(file);
	sample_end();
}

TestSuite(damage, .init = begin, .fini = end);

/* Change one byte, check, change it back. */
static void flip(uint64_t at, unsigned bits)
{
	struct err err = {0};
	uint8_t byte, bad;
	int ret;

	cr_assert(eq(i64, pread(file, &byte, 1, (off_t)at), 1));
	bad = (uint8_t)(byte ^ bits);
	cr_assert(eq(i64, pwrite(file, &bad, 1, (off_t)at), 1));
	ret = sample_check("web.torpor", &err);
	cr_assert_lt(ret, 0, "byte %d changed unnoticed", (int)at);
	cr_assert(err.kind == ERR_INTEGRITY || err.kind == ERR_INCOMPATIBLE, "%s", err.text);
	cr_assert(eq(i64, pwrite(file, &byte, 1, (off_t)at), 1));
}

/* Metadata densely: the first entries, up to the filler. */
Test(damage, any_byte_of_the_metadata)
{
	struct tar tar;
	uint64_t at = 0, limit;
	struct err err = {0};
	size_t i = 0;

	cr_assert(eq(int, tar_read(&tar, file, NULL, &err), 0), "%s", err.text);
	while (!tar_is_filler(&tar.entries[i]))
		i++;
	limit = tar.entries[i].offset + 64;
	tar_free(&tar);
	for (; at < limit; at += at % 512 < 300 ? 3 : 7)
		flip(at, 1u << (at / 3 % 8));
	cr_assert(eq(int, sample_check("web.torpor", &err), 0), "%s", err.text);
}

/* Headers, payload ends and padding of everything else, and the end of the archive. */
Test(damage, around_every_entry)
{
	struct tar tar;
	struct err err = {0};

	cr_assert(eq(int, tar_read(&tar, file, NULL, &err), 0), "%s", err.text);
	for (size_t i = 0; i < tar.nentries; i++) {
		const struct tar_entry *e = &tar.entries[i];
		uint64_t last = align_up(e->offset + e->size, TAR_BLOCK) - 1;

		for (uint64_t at = e->offset - TAR_BLOCK; at < e->offset; at += 37)
			flip(at, 0x10);
		if (e->size > 0) {
			flip(e->offset, 1);
			flip(e->offset + e->size / 2, 0x80);
			flip(e->offset + e->size - 1, 0x40);
			flip(last, 2);
		}
	}
	flip(size - 1, 1);
	flip(size - 1024, 1);
	tar_free(&tar);
	cr_assert(eq(int, sample_check("web.torpor", &err), 0), "%s", err.text);
}

Test(damage, any_truncation)
{
	struct err err = {0};

	for (uint64_t len = size - 512; len > 0; len = len > 9000 ? len - 8704 : len - 512) {
		cr_assert(eq(int, ftruncate(file, (off_t)len), 0));
		cr_assert(lt(int, sample_check("web.torpor", &err), 0), "%d bytes pass", (int)len);
		cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY), "%s", err.text);
	}
	for (uint64_t len = 0; len < 2000; len += 97) {
		cr_assert(eq(int, ftruncate(file, (off_t)len), 0));
		cr_assert(lt(int, sample_check("web.torpor", &err), 0), "%d bytes pass", (int)len);
	}
}

Test(damage, bytes_behind_the_end)
{
	struct err err = {0};

	cr_assert(eq(i64, pwrite(file, "x", 1, (off_t)size), 1));
	cr_assert(lt(int, sample_check("web.torpor", &err), 0));
	cr_assert_not_null(strstr(err.text, "behind the end"), "%s", err.text);
}

Test(damage, a_second_index)
{
	struct err err = {0};

	cr_assert_eq(sample_shell("tar xf web.torpor index.json && tar rf web.torpor index.json"),
		     0);
	cr_assert(lt(int, sample_check("web.torpor", &err), 0));
	cr_assert_not_null(strstr(err.text, "index.json is there twice"), "%s", err.text);
}

Test(damage, a_member_that_does_not_belong)
{
	struct err err = {0};

	cr_assert_eq(sample_shell("echo hi > extra && tar rf web.torpor extra"), 0);
	cr_assert(lt(int, sample_check("web.torpor", &err), 0));
	cr_assert_not_null(strstr(err.text, "extra: not a part"), "%s", err.text);
}

static char told[2][200];
static unsigned findings;

static void note(void *opaque, const char *finding)
{
	(void)opaque;
	if (findings < 2)
		snprintf(told[findings], sizeof(told[0]), "%s", finding);
	findings++;
}

Test(damage, findings_name_the_frame)
{
	struct archive *a;
	struct err err = {0};
	uint64_t run, offset;

	cr_assert(eq(int, archive_open(&a, "web.torpor", &err), 0), "%s", err.text);
	/* Frame 4 is the fourth frame with data: frame 2 is zero. */
	offset = image_place(archive_image(a, "memory.0"), 3, 1, &run).offset;
	cr_assert(eq(i64, pwrite(file, "xyz", 3, (off_t)offset + 77), 3));
	offset = image_place(archive_image(a, "disk.0.overlay"), 0, 1, &run).offset;
	cr_assert(eq(i64, pwrite(file, "xyz", 3, (off_t)offset), 3));
	archive_close(a);
	cr_assert(eq(int, archive_open(&a, "web.torpor", &err), 0), "%s", err.text);
	cr_assert(lt(int, archive_verify(a, note, NULL, &err), 0));
	cr_assert(eq(uint, findings, 2));
	if (strstr(told[0], "memory") == NULL) {
		cr_assert_str_eq(told[1], "frame 4 of memory.0: SHA-256 differs");
		cr_assert_str_eq(told[0], "frame 0 of disk.0.overlay: SHA-256 differs");
	} else {
		cr_assert_str_eq(told[0], "frame 4 of memory.0: SHA-256 differs");
		cr_assert_str_eq(told[1], "frame 0 of disk.0.overlay: SHA-256 differs");
	}
	cr_assert_not_null(strstr(err.text, ", and 1 more"), "%s", err.text);
	cr_assert(lt(int, archive_ensure_verified(a, &err), 0));
	archive_close(a);
}

Test(damage, is_not_looked_for_again_in_a_file_known_to_be_good)
{
	struct archive *a;
	struct err err = {0};
	struct stat st;

	/* Known from the start because we wrote it: no cache file, no verdict. */
	cr_assert(eq(int, archive_open(&a, "web.torpor", &err), 0));
	cr_assert(eq(int, archive_ensure_verified(a, &err), 0), "%s", err.text);
	archive_close(a);
	/* Damage it; the change of the file is what gives it away. */
	flip(size - 1, 1);
	cr_assert(eq(int, fstat(file, &st), 0));
	cr_assert(eq(i64, pwrite(file, "x", 1, (off_t)KIB(256)), 1));
	cr_assert(eq(int, archive_open(&a, "web.torpor", &err), 0));
	cr_assert(lt(int, archive_ensure_verified(a, &err), 0));
	archive_close(a);
}

/* Random damage of any size anywhere: opening may fail or not, nothing may crash. */
Test(damage, noise)
{
	static uint8_t noise[4096];
	unsigned seed = 1;

	for (unsigned round = 0; round < 300; round++) {
		uint64_t at, len;

		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (uint8_t)rand_r(&seed);
		at = (uint64_t)rand_r(&seed) % (round % 2 == 0 ? 20000 : size);
		len = 1 + (uint64_t)rand_r(&seed) % (round % 3 == 0 ? 4 : sizeof(noise) - 1);
		cr_assert_eq(sample_shell("cp --sparse=always web.torpor noisy"), 0);
		file = open("noisy", O_WRONLY | O_CLOEXEC);
		cr_assert(eq(i64, pwrite(file, noise, len, (off_t)at), (int64_t)len));
		close(file);
		cr_assert(lt(int, sample_check("noisy", NULL), 0), "%d bytes at %d", (int)len,
			  (int)at);
	}
}
