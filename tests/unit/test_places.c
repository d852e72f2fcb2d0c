/* Where that lies in a file of a web server which is read while a machine is made (wire/places.h). */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arrival.h"
#include "base/num.h"
#include "format/archive.h"
#include "sample.h"
#include "wire/places.h"

TestSuite(places, .init = sample_begin, .fini = sample_end);

/* What has come before: manifest and what is beside it, and not much of the payloads. */
#define HAVE	  KIB(64)
#define HAVE_MUCH KIB(256)

static uint64_t file_size(int fd)
{
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

/* Every place is of whole blocks behind the front, within the file, and of no other. Returns their bytes. */
static uint64_t check_places(const struct places *p)
{
	uint64_t sum = 0;

	cr_expect(le(sz, p->count, PLACES_MOST));
	for (size_t i = 0; i < p->count; i++) {
		const struct place *place = &p->item[i];

		cr_assert(lt(u64, place->from, place->to), "place %zu", i);
		cr_expect(ge(u64, place->from, p->have), "place %zu", i);
		cr_expect(le(u64, place->to, p->size), "place %zu", i);
		cr_expect(eq(u64, place->from % ARRIVAL_BLOCK, 0), "place %zu", i);
		cr_expect(place->to % ARRIVAL_BLOCK == 0 || place->to == p->size, "place %zu", i);
		for (size_t k = 0; k < i; k++)
			cr_assert(p->item[k].to <= place->from || p->item[k].from >= place->to,
				  "places %zu and %zu overlap", i, k);
		sum += place->to - place->from;
	}
	return sum;
}

/* Only what is in the front and in the places has come, and nobody fetches more. */
static int open_of_places(const char *path, const struct places *p, struct err *err)
{
	cleanup_archive struct archive *a = NULL;
	struct arrivals *writer, *reader;
	int fd = open(path, O_RDONLY | O_CLOEXEC), map = memfd_create("map", MFD_CLOEXEC), ret;
	const uint64_t size = file_size(fd);
	struct container_member member = {.blob = {.fd = fd, .len = size}};
	const struct archive_open_params params = {.fd = -1, .members = &member, .nmembers = 1};

	cr_assert(eq(int, arrivals_create(&writer, map, &size, 1, NULL), 0));
	arrival_mark(arrivals_file(writer, 0), 0, p->have);
	for (size_t i = 0; i < p->count; i++)
		arrival_mark(arrivals_file(writer, 0), p->item[i].from,
			     p->item[i].to - p->item[i].from);
	cr_assert(eq(int, arrivals_open(&reader, map, -1, NULL), 0));
	member.blob.arrival = arrivals_file(reader, 0);
	ret = archive_open_with(&a, "https://host/web.torpor", &params, err);
	archive_close(a);
	a = NULL;
	arrivals_free(reader);
	arrivals_free(writer);
	close(map);
	close(fd);
	return ret;
}

static void find(struct places *p, const char *path, uint64_t have, uint64_t size)
{
	struct err err = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert(fd >= 0);
	cr_assert(eq(int, places_find(p, fd, have, size > 0 ? size : file_size(fd), &err), 0), "%s",
		  err.text);
	close(fd);
}

Test(places, an_appliance_opens_with_them_and_little_else_is_among_them)
{
	for (int packed = 0; packed < 2; packed++) {
		cleanup_places struct places p = {.count = 0};
		struct err err = {0};
		uint64_t bytes;

		cr_assert(eq(int,
			     packed ? sample_write_packed("web.torpor", 3, &err)
				    : sample_write("web.torpor", &err),
			     0),
			  "%s", err.text);
		find(&p, "web.torpor", HAVE, 0);
		cr_expect(ge(sz, p.count, 1));
		bytes = check_places(&p);
		cr_expect(lt(u64, bytes, p.size / 2), "%llu of %llu", (unsigned long long)bytes,
			  (unsigned long long)p.size);
		cr_expect(eq(int, open_of_places("web.torpor", &p, &err), 0), "%s", err.text);
		/* They are needed. */
		p.count = 0;
		cr_expect(lt(int, open_of_places("web.torpor", &p, &err), 0));
	}
}

/* The file with another manifest, in the order of its folder: what the server says of its size is `size`. */
static void find_edited(struct places *p, const char *statements, uint64_t size)
{
	struct err err = {0};

	cr_assert(eq(int, sample_write("web.torpor", &err), 0), "%s", err.text);
	sample_edit("web.torpor", "l", statements);
	cr_assert_eq(
		sample_shell("cd l && tar --format=ustar -cf ../edited.torpor oci-layout "
			     "index.json $(ls -Sr blobs/sha256/* | head -n 5) "
			     "blobs/sha256/$(grep -o 'sha256:[0-9a-f]*' index.json | cut -d: -f2) "
			     "$(ls -Sr blobs/sha256/* | tail -n +6)"),
		0);
	find(p, "edited.torpor", HAVE_MUCH, size);
}

Test(places, a_blob_that_is_named_again_and_again_is_asked_for_once)
{
	cleanup_places struct places once = {.count = 0}, often = {.count = 0};

	find_edited(&once, "pass", 0);
	/* Two by turns, so that none follows itself. */
	find_edited(&often, "m['layers'] += [dict(l) for l in m['layers'][:10]] * 50", 0);
	check_places(&once);
	check_places(&often);
	cr_expect(le(sz, often.count, PLACES_MOST));
}

Test(places, what_a_manifest_names_has_a_bound)
{
	cleanup_places struct places p = {.count = 0};

	/* A thousand that nobody has, a MiB each, with a header before each. */
	find_edited(&p,
		    "m['layers'] = [{'mediaType': 'application/vnd.torpor.flat.v1', 'digest': "
		    "'sha256:%064x' % i, 'size': 1 << 20, 'annotations': {'org.torpor.role': "
		    "'memory.0.%d' % i}} for i in range(1000)]",
		    UINT64_C(1) << 40);
	cr_expect(eq(sz, p.count, PLACES_MOST));
	check_places(&p);
}

Test(places, what_is_no_front_has_none)
{
	static const char *const texts[] = {"", "no tar", "{}"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		cleanup_places struct places p = {.count = 0};

		cr_assert_eq(
			sample_shell("printf '%%s' '%s' > none; truncate -s 1M none", texts[i]), 0);
		find(&p, "none", HAVE, 0);
		cr_expect(eq(sz, p.count, 0), "row %zu", i);
	}
}
