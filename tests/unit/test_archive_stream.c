/* Archives down a pipe: the same appliance as in a file, readable as it is; a pipe that breaks. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "base/num.h"
#include "format/archive.h"
#include "format/archive_writer.h"
#include "sample.h"

TestSuite(archive_stream, .init = sample_begin, .fini = sample_end);

/* Reads a pipe into a file, at most `max` bytes, some at a time. */
struct reader {
	pthread_t thread;
	int from;
	int to;
	uint64_t max;
};

static void *read_on(void *opaque)
{
	struct reader *r = opaque;
	static uint8_t chunk[10007];
	uint64_t at = 0;
	int64_t got = 1;

	while (got > 0 && at < r->max) {
		got = io_read_upto(r->from, chunk, u64_min(sizeof(chunk), r->max - at));
		if (got > 0 && io_pwrite(r->to, chunk, (uint64_t)got, at) < 0)
			break;
		at += (uint64_t)got;
	}
	close(r->from);
	return NULL;
}

/* Returns the end to write to. */
static int start(struct reader *r, const char *path, uint64_t max)
{
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	cr_assert(eq(int, pipe2(ends, O_CLOEXEC), 0));
	r->from = ends[0];
	r->to = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	r->max = max;
	cr_assert(eq(int, pthread_create(&r->thread, NULL, read_on, r), 0));
	return ends[1];
}

static void finish(struct reader *r, int fd)
{
	close(fd);
	pthread_join(r->thread, NULL);
	close(r->to);
}

/* Something down a pipe; level 0 is flat. */
static int stream_as(int (*fill)(struct archive_writer *w, struct err *err), const char *path,
		     int level, uint64_t max, struct err *err)
{
	struct archive_writer *w;
	struct reader r;
	int fd = start(&r, path, max), ret;

	cr_assert(eq(int, archive_writer_open_stream(&w, fd, err), 0));
	if (level > 0)
		archive_writer_pack(w, level);
	ret = fill(w, err);
	archive_writer_free(w);
	finish(&r, fd);
	return ret;
}

static int stream(const char *path, int level, uint64_t max, struct err *err)
{
	return stream_as(sample_fill, path, level, max, err);
}

static void check_same(const char *path, const char *other)
{
	static const char roles[][16] = {"memory.0", "disk.0", "disk.0.overlay", "disk.1"};
	struct archive *a, *b;
	struct err err = {0};

	cr_assert(eq(int, archive_open(&a, path, &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_open(&b, other, &err), 0), "%s", err.text);
	cr_assert_str_eq(archive_digest(a), archive_digest(b));
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		cr_assert(eq(u64, archive_image(a, roles[i])->map.data_frames,
			     archive_image(b, roles[i])->map.data_frames));
	cr_assert(eq(int, archive_verify(a, NULL, NULL, &err), 0), "%s", err.text);
	archive_close(a);
	archive_close(b);
}

Test(archive_stream, it_is_the_appliance_that_a_file_holds)
{
	struct err err = {0};

	cr_assert(eq(int, sample_write("file.torpor", &err), 0), "%s", err.text);
	cr_assert(eq(int, stream("flat.torpor", 0, UINT64_MAX, &err), 0), "%s", err.text);
	cr_assert(eq(int, stream("packed.torpor", 3, UINT64_MAX, &err), 0), "%s", err.text);
	check_same("flat.torpor", "file.torpor");
	check_same("packed.torpor", "file.torpor");
}

Test(archive_stream, flat_parts_can_be_mapped)
{
	struct archive *a;
	struct err err = {0};

	cr_assert(eq(int, stream("flat.torpor", 0, UINT64_MAX, &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_open(&a, "flat.torpor", &err), 0), "%s", err.text);
	cr_assert(archive_aligned(a));
	archive_close(a);
}

Test(archive_stream, others_read_it)
{
	struct err err = {0};

	cr_assert(eq(int, stream("a.torpor", 3, UINT64_MAX, &err), 0), "%s", err.text);
	cr_assert_eq(sample_shell("mkdir oci && tar xf a.torpor -C oci && "
				  "python3 -c 'import tarfile; tarfile.open(\"a.torpor\").list()' "
				  "> list && grep -q index.json list"),
		     0);
	cr_assert(eq(int, sample_check("oci", &err), 0), "%s", err.text);
}

/* Wherever it breaks: an error here, and no reader takes what came through. */
Test(archive_stream, a_pipe_that_breaks)
{
	static const uint64_t lengths[] = {0, 1, 511, 512, 70000, 200000, 1000000};

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct archive *a;
		struct err err = {0};

		cr_assert(lt(int, stream("half.torpor", 0, lengths[i], &err), 0), "%d",
			  (int)lengths[i]);
		cr_assert_not_null(strstr(err.text, "write standard output: Broken pipe"), "%s",
				   err.text);
		cr_assert(lt(int, archive_open(&a, "half.torpor", &err), 0));
		cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY), "%s", err.text);
	}
}

static int copy_file(struct archive_writer *w, struct err *err)
{
	static const char roles[][16] = {"memory.0", "disk.0", "disk.0.overlay", "disk.1"};
	struct archive *from;
	struct blob blob;
	int ret = archive_open(&from, "file.torpor", err);

	cr_assert(eq(int, ret, 0), "%s", err->text);
	ret = archive_writer_bytes(w, ROLE_STATE, "the state", 9, err);
	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(roles); i++)
		ret = archive_writer_copy_image(w, roles[i], archive_image(from, roles[i]), err);
	cr_assert(archive_blob(from, ROLE_KERNEL, &blob));
	if (ret == 0)
		ret = archive_writer_blob(w, ROLE_KERNEL, &blob, err);
	if (ret == 0)
		ret = archive_writer_publish(w, archive_appliance(from), NULL, err);
	archive_close(from);
	return ret;
}

Test(archive_stream, what_another_file_holds)
{
	struct err err = {0};

	cr_assert(eq(int, sample_write("file.torpor", &err), 0), "%s", err.text);
	cr_assert(eq(int, stream_as(copy_file, "as-it-is.torpor", 0, UINT64_MAX, &err), 0), "%s",
		  err.text);
	cr_assert(eq(int, stream_as(copy_file, "packed.torpor", 3, UINT64_MAX, &err), 0), "%s",
		  err.text);
	check_same("as-it-is.torpor", "file.torpor");
	check_same("packed.torpor", "file.torpor");
	sample_shell("printf x | dd of=file.torpor bs=1 seek=270000 conv=notrunc status=none");
	cr_assert(lt(int, stream_as(copy_file, "bad.torpor", 0, UINT64_MAX, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY), "%s", err.text);
}

#define LARGE_FRAMES 1100u /* more than two parts of a stream */

static int large_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
		       enum extent_kind *kind, struct err *err)
{
	(void)opaque;
	(void)err;
	memset(scratch, 0, FRAME_SIZE);
	le_put64(scratch + 8, index + 1);
	*data = scratch;
	*kind = EXTENT_DATA;
	return 0;
}

static int fill_large(struct archive_writer *w, struct err *err)
{
	struct image_source disk = {.size = LARGE_FRAMES * (uint64_t)FRAME_SIZE,
				    .frame = large_frame};
	struct blob kernel = {.fd = open("/bin/sh", O_RDONLY | O_CLOEXEC), .len = 4096};
	struct appliance a;
	int ret;

	sample_appliance(&a, false);
	a.ndisks = 1;
	a.disk[0].size = disk.size;
	strcpy(a.disk[0].id, "root");
	ret = archive_writer_blob(w, ROLE_KERNEL, &kernel, err);
	if (ret == 0)
		ret = archive_writer_image(w, "disk.0", &disk, err);
	if (ret == 0)
		ret = archive_writer_publish(w, &a, NULL, err);
	appliance_free(&a);
	close(kernel.fd);
	return ret;
}

Test(archive_stream, parts_are_small)
{
	for (int level = 0; level <= 1; level++) {
		const struct image *image;
		struct archive *a;
		struct err err = {0};
		uint8_t stamp[8];

		cr_assert(eq(int, stream_as(fill_large, "a.torpor", level, UINT64_MAX, &err), 0),
			  "%s", err.text);
		cr_assert(eq(int, archive_open(&a, "a.torpor", &err), 0), "%s", err.text);
		image = archive_image(a, "disk.0");
		cr_assert(eq(u32, image->nparts, 18));
		cr_assert(eq(u64, image->part_frames, 64));
		cr_assert(eq(int, archive_verify(a, NULL, NULL, &err), 0), "%s", err.text);
		if (level == 0) {
			cr_assert(eq(int, blob_read(&image->part[16], 8, stamp, 8, &err), 0));
			cr_assert(eq(u64, le_get64(stamp), 1025));
		}
		archive_close(a);
	}
}
