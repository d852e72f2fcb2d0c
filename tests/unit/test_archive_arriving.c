/* Appliances that are used while they arrive: as one file, and as the members of a layout. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arriving.h"
#include "base/num.h"
#include "format/archive.h"
#include "format/convert.h"
#include "format/hot.h"
#include "format/image/frame_reader.h"
#include "sample.h"

TestSuite(archive_arriving, .init = sample_begin, .fini = sample_end);

enum kind {
	FLAT,
	PACKED,
	HOT, /* packed, with a hot set */
};

static void write_kind(enum kind kind)
{
	static const uint64_t places[] = {9, 3, 4};
	cleanup_archive struct archive *a = NULL;
	struct err err = {0};
	struct hot_set hot = {.places = places, .n = ARRAY_SIZE(places)};
	const struct convert_params heat = {.hot = &hot, .nhot = 1};
	int ret = kind == FLAT ? sample_write("web.torpor", &err)
			       : sample_write_packed("web.torpor", 3, &err);

	cr_assert(eq(int, ret, 0), "%s", err.text);
	if (kind != HOT)
		return;
	cr_assert(eq(int, archive_open(&a, "web.torpor", &err), 0));
	hot.image = archive_image(a, "memory.0");
	cr_assert(eq(int, convert_archive(a, "web.torpor", &heat, &err), 0), "%s", err.text);
}

struct layout {
	struct container_member member[ARRIVING_MAX];
	int fd[ARRIVING_MAX];
	uint32_t n;
};

static void add_member(struct layout *l, const char *name, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert(fd >= 0 && l->n < ARRIVING_MAX);
	l->member[l->n].name = name != NULL ? strdup(name) : NULL;
	l->fd[l->n++] = fd;
}

static void add_folder(struct layout *l, const char *folder, const char *prefix)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;

	cr_assert_not_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		char name[300], path[400];

		snprintf(name, sizeof(name), "%s%s", prefix, entry->d_name);
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (entry->d_type == DT_REG)
			add_member(l, name, path);
	}
	closedir(dir);
}

static void make_layout(struct layout *l, bool whole)
{
	*l = (struct layout){.n = 0};
	if (whole) {
		add_member(l, NULL, "web.torpor");
		return;
	}
	cr_assert_eq(sample_shell("mkdir l && tar -xf web.torpor -C l"), 0);
	add_folder(l, "l", "");
	add_folder(l, "l/blobs/sha256", "blobs/sha256/");
}

static void free_layout(struct layout *l)
{
	for (uint32_t i = 0; i < l->n; i++)
		free(l->member[i].name);
	(void)sample_shell("rm -rf l");
}

static int open_arriving(struct archive **a, struct layout *l, struct arriving *w, struct err *err)
{
	struct archive_open_params params = {.fd = -1, .members = l->member, .nmembers = l->n};

	for (uint32_t i = 0; i < l->n; i++)
		l->member[i].blob = w->blob[i];
	return archive_open_with(a, "docker://registry/web:1", &params, err);
}

static uint64_t data_frame(uint64_t place)
{
	return place / 2 * 3 + place % 2;
}

static int read_memory(const struct archive *a, struct err *err)
{
	cleanup_frame_reader struct frame_reader *reader = NULL;
	const struct image *image = archive_image(a, "memory.0");
	uint8_t *got = malloc(FRAME_SIZE), *wanted = malloc(FRAME_SIZE);
	int ret = frame_reader_new(&reader, err);

	for (uint64_t place = 0; ret == 0 && place < image->map.data_frames; place++) {
		ret = frame_read(reader, image, place, got, err);
		sample_frame(1, data_frame(place), wanted);
		if (ret == 0)
			cr_expect(eq(int, memcmp(got, wanted, FRAME_SIZE), 0), "place %llu",
				  (unsigned long long)place);
	}
	free(got);
	free(wanted);
	return ret;
}

Test(archive_arriving, all_of_it_can_be_read)
{
	for (unsigned kind = FLAT; kind <= HOT; kind++) {
		write_kind(kind);
		for (unsigned i = 0; i < 4; i++) {
			cleanup_archive struct archive *a = NULL;
			struct arriving w = {.lazy = i % 2 != 0};
			struct err err = {0};
			struct layout l;

			make_layout(&l, i >= 2);
			arriving_begin(&w, l.fd, l.n);
			cr_assert(eq(int, open_arriving(&a, &l, &w, &err), 0), "%s", err.text);
			cr_expect(archive_is_given(a));
			cr_assert(eq(int, archive_ensure_verified(a, &err), 0), "%s", err.text);
			cr_assert(eq(int, read_memory(a, &err), 0), "%s", err.text);
			cr_assert(eq(int, archive_check_boot(a, &err), 0), "%s", err.text);
			cr_assert(eq(int, archive_verify(a, NULL, NULL, &err), 0), "%s", err.text);
			cr_expect(eq(u32, atomic_load(&w.again), 0));
			archive_close(a);
			a = NULL;
			arriving_end(&w);
			free_layout(&l);
		}
	}
}

/* Nothing of the bulk is asked for before it is used. */
Test(archive_arriving, opening_and_checking_it_takes_little)
{
	write_kind(FLAT);
	for (unsigned whole = 0; whole < 2; whole++) {
		cleanup_archive struct archive *a = NULL;
		struct arriving w = {.lazy = true};
		struct arrivals_status status;
		struct err err = {0};
		struct layout l;

		make_layout(&l, whole != 0);
		arriving_begin(&w, l.fd, l.n);
		cr_assert(eq(int, open_arriving(&a, &l, &w, &err), 0), "%s", err.text);
		cr_assert(eq(int, archive_ensure_verified(a, &err), 0), "%s", err.text);
		arrivals_status(w.reader, &status);
		/* Of one file the header before each payload is read, in a window of 16 KiB. */
		cr_expect(lt(u64, status.there, whole ? KIB(512) : KIB(64)), "%llu of %llu",
			  (unsigned long long)status.there, (unsigned long long)status.bytes);
		cr_expect(ge(u64, status.bytes, MIB(2)));
		archive_close(a);
		a = NULL;
		arriving_end(&w);
		free_layout(&l);
	}
}

/* Byte 5 of the blob of a role, in file or members. */
static void find_byte(struct arriving *w, const struct layout *l, const char *role)
{
	const struct archive_entry *entries;
	cleanup_archive struct archive *a = NULL;
	size_t n;

	cr_assert(eq(int, archive_open(&a, "web.torpor", NULL), 0));
	n = archive_entries(a, &entries);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(entries[i].role, role) != 0)
			continue;
		w->spoil_at = 5;
		if (l->n == 1)
			w->spoil_at += entries[i].blob.offset;
		for (uint32_t k = 0; l->n > 1 && k < l->n; k++) {
			if (strstr(l->member[k].name, strchr(entries[i].digest, ':') + 1) != NULL)
				w->spoil_file = k;
		}
		return;
	}
	cr_assert(false, "no %s", role);
}

static int use_all(struct layout *l, struct arriving *w, struct err *err)
{
	cleanup_archive struct archive *a = NULL;
	int ret;

	arriving_begin(w, l->fd, l->n);
	ret = open_arriving(&a, l, w, err);
	if (ret == 0)
		ret = archive_ensure_verified(a, err);
	if (ret == 0)
		ret = read_memory(a, err);
	if (ret == 0)
		ret = archive_check_boot(a, err);
	archive_close(a);
	a = NULL;
	arriving_end(w);
	return ret;
}

Test(archive_arriving, what_arrives_wrong_is_fetched_once_more)
{
	static const struct {
		enum kind kind;
		const char *role;
		const char *text; /* when it is wrong again */
	} rows[] = {
		{FLAT, "memory.0.0", "frame 0 of memory.0: SHA-256 differs"},
		{PACKED, "memory.0.0", "frame 0 of memory.0: "},
		{HOT, "memory.0.hot", "frame 13 of memory.0: SHA-256 differs"},
		{HOT, "memory.0.hotlist", "its SHA-256 is not what the file says"},
		{FLAT, "memory.0.hashes", "its SHA-256 is not what the file says"},
		{PACKED, "memory.0.map", "its SHA-256 is not what the file says"},
		{FLAT, "config", "its SHA-256 is not what the file says"},
		{FLAT, "manifest", "its SHA-256 is not what the file says"},
		{PACKED, "kernel", "kernel: SHA-256 differs"},
		{FLAT, "kernel", "kernel: SHA-256 differs"},
		{FLAT, "state", "state: SHA-256 differs"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		write_kind(rows[i].kind);
		for (unsigned whole = 0; whole < 2; whole++) {
			struct arriving w = {.spoil_times = 1};
			struct arriving lies = {.spoil_times = 1000};
			struct err err = {0};
			struct layout l;

			make_layout(&l, whole != 0);
			find_byte(&w, &l, rows[i].role);
			cr_expect(eq(int, use_all(&l, &w, &err), 0), "row %zu: %s", i, err.text);
			cr_expect(eq(u32, atomic_load(&w.spoiled), 1), "row %zu", i);
			cr_expect(ge(u32, atomic_load(&w.again), 1), "row %zu", i);
			free_layout(&l);

			make_layout(&l, whole != 0);
			find_byte(&lies, &l, rows[i].role);
			cr_expect(lt(int, use_all(&l, &lies, &err), 0), "row %zu", i);
			cr_expect(eq(int, err.kind, ERR_INTEGRITY), "row %zu: %s", i, err.text);
			cr_expect_not_null(strstr(err.text, rows[i].text), "row %zu: %s", i,
					   err.text);
			free_layout(&l);
		}
	}
}
