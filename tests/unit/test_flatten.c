/* Chains of increments merged: what comes out is what a full save would have written. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/convert.h"
#include "format/flatten.h"
#include "sample.h"

TestSuite(flatten, .init = sample_begin, .fini = sample_end);

#define FRAMES 24u
#define DEPTH  50u

/* A machine with one range of memory and one disk, as an array of numbers: the contents of frame n
 * follow from its number, and 0 is a frame of zeros. */
struct model {
	uint32_t memory[FRAMES];
	uint32_t base[FRAMES];
	uint32_t disk[FRAMES]; /* base and overlay */
	bool written[FRAMES];  /* in the overlay */
	uint32_t seed;
};

static uint32_t draw(struct model *m, uint32_t below)
{
	m->seed = m->seed * 1664525 + 1013904223;
	return (m->seed >> 8) % below;
}

static void fill(uint32_t number, uint8_t frame[FRAME_SIZE])
{
	memset(frame, (int)number, FRAME_SIZE);
	memcpy(frame, &number, sizeof(number));
}

static int number_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
			enum extent_kind *kind, struct err *err)
{
	(void)err;
	fill(((const uint32_t *)opaque)[index], scratch);
	*data = scratch;
	*kind = EXTENT_DATA;
	return 0;
}

static int overlay_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
			 enum extent_kind *kind, struct err *err)
{
	const struct model *m = opaque;

	if (m->written[index])
		return number_frame((void *)(uintptr_t)m->disk, index, scratch, data, kind, err);
	*kind = EXTENT_PARENT;
	return 0;
}

/* Some frames of memory and disk get other contents, or zeros, or the same again. */
static void live_on(struct model *m)
{
	for (unsigned i = 0; i < 5; i++) {
		uint32_t frame = draw(m, FRAMES);

		m->memory[draw(m, FRAMES)] = draw(m, 4) == 0 ? 0 : draw(m, 1000);
		/* A full save knows of writes that changed nothing, an increment does not. */
		if (m->disk[frame] != 0 || m->base[frame] != 0) {
			m->disk[frame] =
				draw(m, 4) == 0 && m->base[frame] != 0 ? 0 : 1000 + draw(m, 1000);
			m->written[frame] = true;
		}
	}
}

static void describe(struct appliance *a, uint32_t generation, const char *parent, bool increment)
{
	sample_appliance(a, true);
	a->memory = FRAMES * (uint64_t)FRAME_SIZE;
	a->ndisks = 1;
	a->disk[0].size = FRAMES * (uint64_t)FRAME_SIZE;
	a->generation = generation;
	strcpy(a->parent, parent);
	a->increment = increment;
}

static int write_kernel(struct archive_writer *w, struct err *err)
{
	struct blob blob = {.fd = memfd_create("kernel", MFD_CLOEXEC), .len = 10};
	int ret;

	cr_assert_eq(write(blob.fd, "the kernel", 10), 10);
	ret = archive_writer_blob(w, ROLE_KERNEL, &blob, err);
	close(blob.fd);
	return ret;
}

static int write_images(struct archive_writer *w, struct model *m,
			const struct layer_extents *memory, const struct layer_extents *disk,
			struct err *err)
{
	const uint64_t size = FRAMES * (uint64_t)FRAME_SIZE;
	const struct image_source base = {.size = size, .opaque = m->base, .frame = number_frame};
	const struct image_source overlay = {
		.size = size, .opaque = m, .frame = overlay_frame, .parent = disk};
	const struct image_source ram = {
		.size = size, .opaque = m->memory, .frame = number_frame, .parent = memory};
	int ret = archive_writer_bytes(w, ROLE_STATE, "the state", 9, err);

	if (ret == 0 && memory == NULL)
		ret = write_kernel(w, err);
	if (ret == 0 && memory == NULL)
		ret = archive_writer_image(w, "disk.0", &base, err);
	if (ret == 0)
		ret = archive_writer_image(w, "disk.0.overlay", &overlay, err);
	return ret < 0 ? ret : archive_writer_image(w, "memory.0", &ram, err);
}

/* As an increment when there is a chain to be relative to. */
static void save(struct model *m, const char *path, uint32_t generation, const char *parent,
		 const struct chain *l, char digest[DIGEST_TEXT_SIZE])
{
	struct layer_extents memory = {0}, disk = {0};
	struct archive_writer *w;
	struct image_layers layers;
	struct appliance a;
	struct err err = {0};

	describe(&a, generation, parent, l != NULL);
	if (l != NULL) {
		cr_assert(eq(int, chain_load_hashes(l, &err), 0), "%s", err.text);
		cr_assert(eq(int, chain_memory(l, 0, &layers, &err), 0), "%s", err.text);
		cr_assert(eq(int, image_layers_resolve(&layers, &memory, &err), 0), "%s", err.text);
		cr_assert(eq(int, chain_disk(l, 0, &layers, &err), 0), "%s", err.text);
		cr_assert(eq(int, image_layers_resolve(&layers, &disk, &err), 0), "%s", err.text);
	}
	cr_assert(eq(int, archive_writer_open(&w, path, &err), 0), "%s", err.text);
	archive_writer_pack(w, 3);
	cr_assert(eq(int,
		     write_images(w, m, l != NULL ? &memory : NULL, l != NULL ? &disk : NULL, &err),
		     0),
		  "%s", err.text);
	cr_assert(eq(int, archive_writer_publish(w, &a, digest, &err), 0), "%s", err.text);
	archive_writer_free(w);
	appliance_free(&a);
	layer_extents_free(&memory);
	layer_extents_free(&disk);
}

/* File n is n.torpor. */
static int find(void *opaque, const char *digest, const char *child, char *path, int *fd,
		struct err *err)
{
	int n = atoi(child) - 1;
	char has[DIGEST_TEXT_SIZE];

	(void)opaque;
	(void)fd;
	snprintf(path, 32, "%d.torpor", n);
	if (n >= 0 && archive_identify(path, has, NULL) == 0 && strcmp(has, digest) == 0)
		return 0;
	return err_set(err, ERR_NOT_FOUND, "%s is missing", digest);
}

static struct chain *open_chain(unsigned n)
{
	static const struct chain_finder finder = {.find = find};
	char path[32];
	struct chain *l;
	struct err err = {0};

	snprintf(path, sizeof(path), "%u.torpor", n);
	cr_assert(eq(int, chain_open(&l, path, NULL, &finder, &err), 0), "%s", err.text);
	return l;
}

/* 0.torpor is full, and `depth` increments stand on it; the last is also saved in full. */
static void make_chain(unsigned depth, char full[DIGEST_TEXT_SIZE])
{
	char digest[DIGEST_TEXT_SIZE] = "", path[32];
	struct model m = {.seed = 1};

	for (unsigned i = 0; i < FRAMES; i++) {
		m.base[i] = m.disk[i] = i % 3 == 0 ? 0 : 5000 + i;
		m.memory[i] = i % 2 == 0 ? 0 : i;
	}
	m.disk[1] = 1;
	m.written[1] = true;
	save(&m, "0.torpor", 1, "", NULL, digest);
	for (unsigned i = 1; i <= depth; i++) {
		struct chain *l = open_chain(i - 1);

		live_on(&m);
		if (i == depth)
			save(&m, "full.torpor", i + 1, digest, NULL, full);
		snprintf(path, sizeof(path), "%u.torpor", i);
		save(&m, path, i + 1, digest, l, digest);
		chain_close(l);
	}
}

static void check_flattened(unsigned depth)
{
	char full[DIGEST_TEXT_SIZE], merged[DIGEST_TEXT_SIZE];
	struct chain *l;
	struct err err = {0};

	make_chain(depth, full);
	l = open_chain(depth);
	cr_assert(eq(uint, l->n, depth + 1));
	cr_assert(eq(int, flatten_chain(l, "merged.torpor", 3, NULL, merged, &err), 0), "%s",
		  err.text);
	cr_assert_str_eq(merged, full);
	cr_assert(eq(int, flatten_chain(l, "flat.torpor", 0, NULL, merged, &err), 0), "%s",
		  err.text);
	cr_assert_str_eq(merged, full);
	chain_close(l);
	sample_shell("rm -rf torpor");
	cr_assert(eq(int, sample_check("merged.torpor", &err), 0), "%s", err.text);
	cr_assert(eq(int, sample_check("flat.torpor", &err), 0), "%s", err.text);
	cr_assert_eq(sample_shell("cmp merged.torpor full.torpor"), 0);
}

Test(flatten, three_files_are_one)
{
	check_flattened(3);
}

Test(flatten, fifty_files_equal_a_full_save)
{
	check_flattened(DEPTH);
}

/* Whoever names them as parents finds them still. */
Test(flatten, of_files_that_were_converted)
{
	const struct convert_params flat = {.encoding = CONVERT_FLAT};
	char full[DIGEST_TEXT_SIZE], merged[DIGEST_TEXT_SIZE];
	struct chain *l;
	struct err err = {0};

	make_chain(3, full);
	l = open_chain(3);
	for (unsigned i = 0; i < 3; i++)
		cr_assert(
			eq(int,
			   convert_archive(l->archive[i], archive_path(l->archive[i]), &flat, &err),
			   0),
			"%s", err.text);
	chain_close(l);
	l = open_chain(3);
	cr_assert(archive_appliance(chain_newest(l))->increment);
	cr_assert(eq(int, (int)archive_image(l->archive[0], "memory.0")->encoding, IMAGE_FLAT));
	cr_assert(eq(int, flatten_chain(l, "merged.torpor", 3, NULL, merged, &err), 0), "%s",
		  err.text);
	cr_assert_str_eq(merged, full);
	chain_close(l);
}

Test(flatten, a_full_file_stays_the_same_appliance)
{
	char full[DIGEST_TEXT_SIZE], merged[DIGEST_TEXT_SIZE];
	struct chain *l;
	struct err err = {0};

	make_chain(1, full);
	l = open_chain(0);
	cr_assert(eq(int, flatten_chain(l, "again.torpor", 3, NULL, merged, &err), 0), "%s",
		  err.text);
	cr_assert_str_eq(merged, archive_digest(chain_newest(l)));
	chain_close(l);
	cr_assert_eq(sample_shell("cmp 0.torpor again.torpor"), 0);
}

Test(flatten, it_may_replace_a_file_of_the_chain)
{
	char full[DIGEST_TEXT_SIZE], merged[DIGEST_TEXT_SIZE];
	struct chain *l;
	struct err err = {0};

	make_chain(2, full);
	l = open_chain(2);
	cr_assert(eq(int, flatten_chain(l, "0.torpor", 3, NULL, merged, &err), 0), "%s", err.text);
	chain_close(l);
	cr_assert_eq(sample_shell("cmp 0.torpor full.torpor"), 0);
}

Test(flatten, damage_anywhere_in_the_chain_is_refused)
{
	char full[DIGEST_TEXT_SIZE], merged[DIGEST_TEXT_SIZE];
	const struct image *image;
	struct chain *l;
	struct err err = {0};

	make_chain(2, full);
	l = open_chain(2);
	image = archive_image(l->archive[2], "disk.0");
	cr_assert_eq(sample_shell("printf XXXX | dd of=0.torpor bs=1 seek=%llu conv=notrunc "
				  "status=none",
				  (unsigned long long)image->part[0].offset + 20),
		     0);
	cr_assert(lt(int, flatten_chain(l, "merged.torpor", 3, NULL, merged, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY), "%s", err.text);
	chain_close(l);
	cr_assert_eq(sample_shell("test ! -e merged.torpor"), 0);
}
