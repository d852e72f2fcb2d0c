/* The work on an image grows with its data, not with its size: what is known to be zero is not
 * read. A disk of 64 TiB has a thousand million frames; who looks at each needs many seconds of
 * CPU. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/num.h"
#include "devices/disk.h"
#include "format/chain.h"
#include "format/convert.h"
#include "format/flatten.h"
#include "format/image/image_write.h"
#include "format/image/layers.h"
#include "tests/unit/sample.h"

#define HUGE_DISK   IMAGE_MAX_BYTES
#define HUGE_FRAMES (HUGE_DISK / FRAME_SIZE)
#define DATA_AT	    (HUGE_FRAMES / 3)

static void sparse_begin(void)
{
	/* A tenth of what looking at each frame once takes. */
	const struct rlimit cpu = {.rlim_cur = 3, .rlim_max = 4};

	sample_begin();
	cr_assert(eq(int, setrlimit(RLIMIT_CPU, &cpu), 0));
}

TestSuite(sparse, .init = sparse_begin, .fini = sample_end);

static atomic_uint asked;

/* One frame of data in the middle. */
static uint64_t one_extent(void *opaque, uint64_t index, uint64_t most, enum extent_kind *kind)
{
	(void)opaque;
	*kind = index == DATA_AT ? EXTENT_DATA : EXTENT_ZERO;
	if (index == DATA_AT)
		return 1;
	return index < DATA_AT ? u64_min(most, DATA_AT - index) : most;
}

static int one_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
		     enum extent_kind *kind, struct err *err)
{
	(void)opaque;
	asked++;
	if (index != DATA_AT)
		return err_set(err, ERR_FAILED, "frame %llu was asked for",
			       (unsigned long long)index);
	memset(scratch, 0x5a, FRAME_SIZE);
	*data = scratch;
	*kind = EXTENT_DATA;
	return 0;
}

static void write_huge(const char *path)
{
	static const char kernel[] = "not much of a kernel";
	const struct image_source disk = {
		.size = HUGE_DISK,
		.frame = one_frame,
		.extent = one_extent,
	};
	struct blob blob = {.fd = memfd_create("kernel", 0), .len = sizeof(kernel)};
	struct archive_writer *w;
	struct appliance a;
	struct err err = {0};

	cr_assert(eq(int, (int)write(blob.fd, kernel, sizeof(kernel)), (int)sizeof(kernel)));
	sample_appliance(&a, false);
	a.ndisks = 1;
	strcpy(a.disk[0].id, "huge");
	a.disk[0].size = HUGE_DISK;
	cr_assert(eq(int, archive_writer_open(&w, path, &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_writer_blob(w, ROLE_KERNEL, &blob, &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_writer_image(w, "disk.0", &disk, &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_writer_publish(w, &a, NULL, &err), 0), "%s", err.text);
	archive_writer_free(w);
	appliance_free(&a);
	close(blob.fd);
}

static void check_huge(const char *path)
{
	struct archive *a;
	const struct image *image;
	struct err err = {0};

	cr_assert(eq(int, archive_open(&a, path, &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_verify(a, NULL, NULL, &err), 0), "%s", err.text);
	image = archive_image(a, "disk.0");
	cr_assert(eq(u64, image->map.size, HUGE_DISK));
	cr_assert(eq(u64, image->map.data_frames, 1));
	cr_assert(eq(u32, image->map.nextents, 3));
	cr_assert(eq(int, (int)image_map_find(&image->map, DATA_AT)->kind, EXTENT_DATA));
	archive_close(a);
}

Test(sparse, what_is_known_to_be_zero_is_not_asked_for)
{
	write_huge("huge.torpor");
	/* Once to be looked at, once to be written. */
	cr_assert(eq(u32, asked, 2));
	check_huge("huge.torpor");
}

Test(sparse, a_huge_disk_is_converted)
{
	const struct convert_params packed = {.encoding = CONVERT_PACK, .level = 1};
	const struct convert_params flat = {.encoding = CONVERT_FLAT};
	struct archive *a;
	struct err err = {0};

	write_huge("a.torpor");
	cr_assert(eq(int, archive_open(&a, "a.torpor", &err), 0), "%s", err.text);
	cr_assert(eq(int, convert_archive(a, "b.torpor", &packed, &err), 0), "%s", err.text);
	archive_close(a);
	check_huge("b.torpor");
	cr_assert(eq(int, archive_open(&a, "b.torpor", &err), 0), "%s", err.text);
	cr_assert(eq(int, convert_archive(a, "c.torpor", &flat, &err), 0), "%s", err.text);
	archive_close(a);
	check_huge("c.torpor");
}

Test(sparse, a_huge_disk_is_flattened)
{
	char digest[DIGEST_TEXT_SIZE];
	struct chain *c;
	struct err err = {0};

	write_huge("a.torpor");
	cr_assert(eq(int, chain_open(&c, "a.torpor", NULL, NULL, &err), 0), "%s", err.text);
	cr_assert(eq(int, flatten_chain(c, "b.torpor", 1, NULL, digest, &err), 0), "%s", err.text);
	chain_close(c);
	check_huge("b.torpor");
}

/* An overlay that holds one frame, over a base that holds another. */
Test(sparse, zeros_over_a_parent_are_as_the_parent)
{
	struct image_layers layers = {0};
	struct layer_extents parent;
	struct image_source source = {
		.size = HUGE_DISK,
		.frame = one_frame,
		.extent = one_extent,
		.parent = &parent,
	};
	struct image_plan plan;
	struct archive *a;
	struct err err = {0};

	write_huge("a.torpor");
	cr_assert(eq(int, archive_open(&a, "a.torpor", &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_load_hashes(a, &err), 0), "%s", err.text);
	cr_assert(eq(int, image_layers_push(&layers, archive_image(a, "disk.0"), &err), 0));
	cr_assert(eq(int, image_layers_resolve(&layers, &parent, &err), 0));
	cr_assert(eq(int, image_scan(&plan, &source, NULL, &err), 0), "%s", err.text);
	cr_assert(eq(u64, plan.map.data_frames, 0));
	cr_assert(eq(u32, plan.map.nextents, 1));
	cr_assert(eq(int, (int)plan.map.extents[0].kind, EXTENT_PARENT));
	image_plan_free(&plan);
	layer_extents_free(&parent);
	archive_close(a);
}

static uint64_t add_extents(const struct image_source *source, uint64_t first, uint64_t frames,
			    enum extent_kind wanted)
{
	uint64_t sum = 0;

	for (uint64_t at = first, n; at < first + frames; at += n) {
		enum extent_kind kind;

		n = source->extent(source->opaque, at, first + frames - at, &kind);
		cr_assert(ge(u64, n, 1));
		cr_assert(le(u64, n, first + frames - at));
		sum += kind == wanted ? n : 0;
	}
	return sum;
}

/* Of a raw file only what is there is read, at a save of its machine too. */
Test(sparse, holes_of_a_raw_disk_are_known)
{
	const uint64_t size = UINT64_C(1) << 40, frames = size / FRAME_SIZE;
	int fd = memfd_create("disk", MFD_CLOEXEC);
	struct disk_params params = {
		.id = "data",
		.size = size,
		.raw = {.fd = fd, .len = size},
		.scratch_dir = "/tmp",
	};
	struct image_source base, overlay, changes;
	const struct image *image;
	struct image_plan plan;
	struct disk *disk;
	struct err err = {0};
	uint8_t block[4096] = {1};

	cr_assert(eq(int, ftruncate(fd, (off_t)size), 0));
	for (unsigned i = 0; i < 3; i++)
		cr_assert(eq(int,
			     (int)pwrite(fd, block, sizeof(block),
					 (off_t)(GIB(100) * i + 2 * (uint64_t)FRAME_SIZE + 8192)),
			     sizeof(block)));
	cr_assert(eq(int, disk_open(&disk, &params, &err), 0), "%s", err.text);
	cr_assert(disk_base_source(disk, &base, &image));
	cr_assert(eq(u64, add_extents(&base, 0, frames, EXTENT_DATA), 3));
	cr_assert(eq(u64, add_extents(&base, 3, frames - 3, EXTENT_DATA), 2));
	cr_assert(eq(int, image_scan(&plan, &base, NULL, &err), 0), "%s", err.text);
	cr_assert(eq(u64, plan.map.data_frames, 3));
	cr_assert(eq(u64, plan.map.extents[1].frame, 2));
	image_plan_free(&plan);

	disk_overlay_source(disk, &overlay);
	disk_changes_source(disk, &changes);
	cr_assert(eq(u64, add_extents(&overlay, 0, frames, EXTENT_PARENT), frames));
	cr_assert(eq(int, disk_write(disk, GIB(300) + 512, block, 512), 0));
	cr_assert(eq(u64, add_extents(&overlay, 0, frames, EXTENT_DATA), 1));
	cr_assert(eq(u64, add_extents(&changes, 0, frames, EXTENT_DATA), 1));
	cr_assert(eq(int, image_scan(&plan, &changes, NULL, &err), 0), "%s", err.text);
	cr_assert(eq(u64, plan.map.data_frames, 1));
	cr_assert(eq(u32, plan.map.nextents, 3));
	image_plan_free(&plan);
	disk_close(disk);
}

/* A file that was cut is an error, not a hole. */
Test(sparse, a_raw_disk_that_shrank_is_an_error)
{
	const uint64_t size = 64 * (uint64_t)FRAME_SIZE;
	int fd = memfd_create("disk", MFD_CLOEXEC);
	struct disk_params params = {
		.id = "data",
		.size = size,
		.raw = {.fd = fd, .len = size},
		.scratch_dir = "/tmp",
	};
	struct image_source base;
	const struct image *image;
	struct image_plan plan;
	struct disk *disk;
	struct err err = {0};

	cr_assert(eq(int, ftruncate(fd, (off_t)size), 0));
	cr_assert(eq(int, disk_open(&disk, &params, &err), 0), "%s", err.text);
	cr_assert(eq(int, ftruncate(fd, FRAME_SIZE), 0));
	cr_assert(disk_base_source(disk, &base, &image));
	cr_assert(lt(int, image_scan(&plan, &base, NULL, &err), 0));
	image_plan_free(&plan);
	disk_close(disk);
}
