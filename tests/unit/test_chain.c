/* Increments and the files they stand on: who may be whose parent, and what is found where. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "format/archive_writer.h"
#include "format/chain.h"
#include "format/crypto/digest.h"
#include "format/image/frame_reader.h"
#include "sample.h"

TestSuite(chain, .init = sample_begin, .fini = sample_end);

#define FRAMES 4u

/* Frames that are all one letter; '0' is zeros, '3' is as in the parent. */
static int letter_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
			enum extent_kind *kind, struct err *err)
{
	const char *letters = opaque;

	(void)err;
	*kind = letters[index] == '3' ? EXTENT_PARENT : EXTENT_DATA;
	memset(scratch, letters[index] == '0' ? 0 : letters[index], FRAME_SIZE);
	*data = scratch;
	return 0;
}

static int write_letters(struct archive_writer *w, const char *role, const char *letters,
			 struct err *err)
{
	struct image_source source = {
		.size = FRAMES * (uint64_t)FRAME_SIZE,
		.opaque = (void *)(uintptr_t)letters,
		.frame = letter_frame,
	};

	return letters != NULL ? archive_writer_image(w, role, &source, err) : 0;
}

/* A machine with a disk, or what changed since `parent` (a digest). */
struct spec {
	const char *parent; /* NULL: a full one */
	const char *memory;
	const char *disk;    /* a full one's base */
	const char *overlay; /* or NULL */
	uint32_t vcpus;
	bool cold;
	bool flat;
};

static void describe(struct appliance *a, const struct spec *spec)
{
	sample_appliance(a, true);
	a->memory = FRAMES * (uint64_t)FRAME_SIZE;
	a->vcpus = spec->vcpus;
	a->ndisks = 1;
	a->disk[0].size = FRAMES * (uint64_t)FRAME_SIZE;
	a->live = !spec->cold;
	a->increment = spec->parent != NULL;
	if (spec->parent != NULL)
		snprintf(a->parent, sizeof(a->parent), "%s", spec->parent);
}

static int write_file(const char *path, const struct spec *spec, char digest[DIGEST_TEXT_SIZE],
		      struct err *err)
{
	struct archive_writer *w;
	struct appliance a;
	int ret = archive_writer_open(&w, path, err);

	cr_assert(eq(int, ret, 0));
	describe(&a, spec);
	if (!spec->flat)
		archive_writer_pack(w, 1);
	if (!spec->cold)
		ret = archive_writer_bytes(w, ROLE_STATE, path, strlen(path), err);
	if (ret == 0)
		ret = write_letters(w, "memory.0", spec->memory, err);
	if (ret == 0)
		ret = write_letters(w, "disk.0", spec->disk, err);
	if (ret == 0)
		ret = write_letters(w, "disk.0.overlay", spec->overlay, err);
	if (ret == 0)
		ret = archive_writer_publish(w, &a, digest, err);
	archive_writer_free(w);
	appliance_free(&a);
	return ret;
}

static void write_ok(const char *path, const struct spec *spec, char digest[DIGEST_TEXT_SIZE])
{
	struct err err = {0};

	cr_assert(eq(int, write_file(path, spec, digest, &err), 0), "%s", err.text);
}

/* Files are named by what the finder is given: digest and path, in pairs, NULL behind them. */
static int find(void *opaque, const char *digest, const char *child, char *path, int *fd,
		struct err *err)
{
	const char *const *pair = opaque;

	(void)fd;
	cr_assert_not_null(child);
	for (; *pair != NULL; pair += 2) {
		if (strcmp(pair[0], digest) == 0) {
			snprintf(path, PATH_MAX, "%s", pair[1]);
			return 0;
		}
	}
	return err_set(err, ERR_NOT_FOUND, "%s: no parent %s", child, digest);
}

static int open_with(struct chain **l, const char *path, const char *const *pairs, struct err *err)
{
	const struct chain_finder finder = {find, (void *)(uintptr_t)pairs};

	return chain_open(l, path, NULL, &finder, err);
}

static void check_letters(const struct image_layers *layers, const char *letters)
{
	struct frame_reader *reader;
	struct err err = {0};
	struct layer_extents extents;

	cr_assert(eq(int, frame_reader_new(&reader, NULL), 0));
	cr_assert(eq(int, image_layers_resolve(layers, &extents, &err), 0), "%s", err.text);
	for (uint64_t i = 0; i < FRAMES; i++) {
		const struct layer_extent *extent = layer_extents_find(&extents, i);
		uint8_t frame[FRAME_SIZE] = {'0', [FRAME_SIZE - 1] = '0'};

		if (extent->image != NULL)
			cr_assert(eq(int,
				     frame_read(reader, extent->image,
						extent->place + i - extent->frame, frame, &err),
				     0),
				  "%s", err.text);
		cr_assert_eq((char)frame[FRAME_SIZE - 1], letters[i], "frame %d is %c", (int)i,
			     frame[0]);
	}
	layer_extents_free(&extents);
	frame_reader_free(reader);
}

static void check_contents(const struct chain *l, const char *memory, const char *disk)
{
	struct err err = {0};
	struct image_layers layers;

	cr_assert(eq(int, chain_memory(l, 0, &layers, &err), 0), "%s", err.text);
	check_letters(&layers, memory);
	cr_assert(eq(int, chain_disk(l, 0, &layers, &err), 0), "%s", err.text);
	check_letters(&layers, disk);
	cr_assert(lt(int, chain_memory(l, 1, &layers, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY));
	cr_assert(lt(int, chain_disk(l, 1, &layers, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY));
}

static const struct spec full = {.memory = "ab0c", .disk = "wxyz", .overlay = "3330", .vcpus = 2};

Test(chain, each_file_is_over_its_parent)
{
	char digest[3][DIGEST_TEXT_SIZE];
	const char *const pairs[] = {digest[0], "0", digest[1], "1", NULL};
	const struct spec first = {digest[0], "3B33", NULL, "3X33", 2, false, true};
	const struct spec second = {digest[1], "033C", NULL, NULL, 2, false, false};
	struct chain *l;
	struct err err = {0};
	struct blob blob;
	char text[8] = "";

	write_ok("0", &full, digest[0]);
	write_ok("1", &first, digest[1]);
	write_ok("2", &second, digest[2]);
	cr_assert(eq(int, open_with(&l, "2", pairs, &err), 0), "%s", err.text);
	cr_assert(eq(uint, l->n, 3));
	cr_assert_str_eq(archive_digest(chain_newest(l)), digest[2]);
	check_contents(l, "0B0C", "wXy0");
	cr_assert(eq(int, chain_ensure_verified(l, &err), 0), "%s", err.text);
	cr_assert(eq(int, chain_load_hashes(l, &err), 0), "%s", err.text);
	/* The newest that has it. */
	cr_assert(chain_blob(l, ROLE_STATE, &blob));
	cr_assert(eq(int, blob_read(&blob, 0, text, 1, NULL), 0));
	cr_assert_str_eq(text, "2");
	cr_assert_not(chain_blob(l, ROLE_KERNEL, &blob));
	chain_close(l);
	cr_assert(eq(int, open_with(&l, "1", pairs, &err), 0), "%s", err.text);
	check_contents(l, "aB0c", "wXy0");
	chain_close(l);
	chain_close(NULL);
}

static void refused(const char *path, const char *const *pairs, enum err_kind kind, const char *why)
{
	struct err err = {0};
	struct chain *l;

	cr_assert(lt(int, open_with(&l, path, pairs, &err), 0));
	cr_assert_null(l);
	cr_assert_not_null(strstr(err.text, why), "%s", err.text);
	cr_assert_eq(err.kind, kind, "%s", err.text);
}

Test(chain, without_its_parent_it_is_nothing)
{
	static const char *const none[] = {NULL};
	char digest[2][DIGEST_TEXT_SIZE], why[128];
	const struct spec child = {digest[0], "3333", NULL, NULL, 2, false, false};
	const char *const gone[] = {digest[0], "0", NULL};

	write_ok("0", &full, digest[0]);
	write_ok("1", &child, digest[1]);
	snprintf(why, sizeof(why), "1: no parent %s", digest[0]);
	refused("1", none, ERR_NOT_FOUND, why);
	cr_assert_eq(remove("0"), 0);
	refused("1", gone, ERR_NOT_FOUND, "0: ");
}

/* So nobody can be his own ancestor. */
Test(chain, a_parent_is_who_it_is_said_to_be)
{
	char digest[3][DIGEST_TEXT_SIZE];
	const struct spec child = {digest[0], "3333", NULL, NULL, 2, false, false};
	const struct spec other = {.memory = "aaaa", .disk = "bbbb", .vcpus = 2};
	const char *const wrong[] = {digest[0], "2", NULL};
	const char *const itself[] = {digest[0], "1", NULL};

	write_ok("0", &full, digest[0]);
	write_ok("1", &child, digest[1]);
	write_ok("2", &other, digest[2]);
	refused("1", wrong, ERR_INTEGRITY, "2 is not sha256:");
	refused("1", itself, ERR_INTEGRITY, "1 is not sha256:");
}

Test(chain, a_parent_is_the_same_machine)
{
	char digest[2][DIGEST_TEXT_SIZE];
	const char *const pairs[] = {digest[0], "0", NULL};
	struct spec child = {digest[0], "3333", NULL, NULL, 3, false, false};
	struct spec cold = {.disk = "wxyz", .vcpus = 2, .cold = true};

	write_ok("0", &full, digest[0]);
	write_ok("1", &child, digest[1]);
	refused("1", pairs, ERR_INTEGRITY, "0 cannot be the parent of 1");
	child.vcpus = 2;
	write_ok("0", &cold, digest[0]);
	write_ok("1", &child, digest[1]);
	refused("1", pairs, ERR_INTEGRITY, "0 cannot be the parent of 1");
}

/* Nobody has vouched for the file: what unchanged frames are told by is looked at itself. */
Test(chain, a_hash_list_is_not_believed)
{
	struct chain *l;
	struct err err = {0};
	struct spec spec = full;
	struct blob hashes;
	int fd;

	spec.flat = true;
	write_ok("0", &spec, NULL);
	cr_assert(eq(int, open_with(&l, "0", NULL, &err), 0), "%s", err.text);
	hashes = archive_image(chain_newest(l), "memory.0")->hashes;
	chain_close(l);
	fd = open("0", O_RDWR | O_CLOEXEC);
	cr_assert(pwrite(fd, "x", 1, (off_t)hashes.offset) == 1);
	close(fd);
	cr_assert(eq(int, open_with(&l, "0", NULL, &err), 0), "%s", err.text);
	cr_assert(lt(int, chain_load_hashes(l, &err), 0));
	cr_assert_str_eq(err.text, "0: memory.0.hashes: its SHA-256 is not what the file says");
	chain_close(l);
}

Test(chain, only_an_increment_refers_to_a_parent)
{
	struct spec spec = full;
	struct err err = {0};
	struct archive *a;

	spec.memory = "ab3c";
	write_ok("0", &spec, NULL);
	cr_assert(lt(int, archive_open(&a, "0", &err), 0));
	cr_assert_not_null(strstr(err.text, "memory.0: it refers to a parent it cannot have"), "%s",
			   err.text);
	spec = full;
	spec.disk = "wx3z";
	write_ok("0", &spec, NULL);
	cr_assert(lt(int, archive_open(&a, "0", &err), 0));
	cr_assert_not_null(strstr(err.text, "disk.0: it refers to a parent it cannot have"), "%s",
			   err.text);
}

Test(chain, an_increment_has_no_base_of_a_disk)
{
	char digest[DIGEST_TEXT_SIZE];
	const struct spec child = {digest, "3333", "wxyz", NULL, 2, false, false};
	struct err err = {0};
	struct archive *a;

	write_ok("0", &full, digest);
	write_ok("1", &child, NULL);
	cr_assert(lt(int, archive_open(&a, "1", &err), 0));
	cr_assert_not_null(strstr(err.text, "disk 0 is missing or not of the size"), "%s",
			   err.text);
}

Test(chain, there_is_a_depth_that_is_too_deep)
{
	static char digest[CHAIN_MAX + 1][DIGEST_TEXT_SIZE], name[CHAIN_MAX + 1][8];
	static const char *pairs[2 * CHAIN_MAX + 3];
	struct chain *l;
	struct err err = {0};

	write_ok("0", &full, digest[0]);
	for (unsigned i = 1; i <= CHAIN_MAX; i++) {
		const struct spec child = {digest[i - 1],
					   i == 40 ? "3z33" : "3333",
					   NULL,
					   i % 50 == 0 ? "y333" : NULL,
					   2,
					   false,
					   true};

		snprintf(name[i], sizeof(name[i]), "%u", i);
		write_ok(name[i], &child, digest[i]);
	}
	for (unsigned i = 0; i <= CHAIN_MAX; i++) {
		pairs[2 * i] = digest[i];
		pairs[2 * i + 1] = i == 0 ? "0" : name[i];
	}
	cr_assert(eq(int, open_with(&l, name[CHAIN_MAX - 1], pairs, &err), 0), "%s", err.text);
	cr_assert(eq(uint, l->n, CHAIN_MAX));
	check_contents(l, "az0c", "yxy0");
	chain_close(l);
	refused(name[CHAIN_MAX], pairs, ERR_INTEGRITY,
		"more than 128 increments on top of one another");
}
