/* Appliances in other encodings: the same frames, the same identity, and what goes along. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "format/convert.h"
#include "format/image/frame_reader.h"
#include "sample.h"

TestSuite(convert, .init = sample_begin, .fini = sample_end);

static const struct convert_params flat = {.encoding = CONVERT_FLAT};
static const struct convert_params packed = {.encoding = CONVERT_PACK};
static const struct convert_params keep = {.encoding = CONVERT_KEEP};

static struct archive *open_ok(const char *path)
{
	struct archive *a;
	struct err err = {0};

	cr_assert(eq(int, archive_open(&a, path, &err), 0), "%s", err.text);
	return a;
}

static void convert_ok(const char *from, const char *to, const struct convert_params *params)
{
	struct archive *a = open_ok(from);
	struct err err = {0};

	cr_assert(eq(int, convert_archive(a, to, params, &err), 0), "%s", err.text);
	archive_close(a);
	/* Once more by the digests, whatever is remembered. */
	sample_shell("rm -rf torpor");
	cr_assert(eq(int, sample_check(to, &err), 0), "%s: %s", to, err.text);
}

static void convert_refused(const char *from, const char *to, const struct convert_params *params,
			    const char *why)
{
	struct archive *a = open_ok(from);
	struct err err = {0};

	cr_assert(lt(int, convert_archive(a, to, params, &err), 0), "%s", why);
	cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY), "%s", err.text);
	cr_assert_not_null(strstr(err.text, why), "%s", err.text);
	archive_close(a);
}

static void write_sample(const char *path)
{
	struct err err = {0};

	cr_assert(eq(int, sample_write(path, &err), 0), "%s", err.text);
}

/* Text of sixteen letters, which levels of zstd do not agree upon. */
static int letters_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
			 enum extent_kind *kind, struct err *err)
{
	uint32_t seed = (uint32_t)index;

	(void)opaque;
	(void)err;
	for (size_t i = 0; i < FRAME_SIZE; i++) {
		seed = seed * 1664525 + 1013904223;
		scratch[i] = (uint8_t)('a' + (seed >> 28));
	}
	*data = scratch;
	*kind = EXTENT_DATA;
	return 0;
}

/* A cold appliance, packed, with one disk. */
static void write_disk(const char *path, uint64_t frames)
{
	const struct image_source disk = {.size = frames * FRAME_SIZE, .frame = letters_frame};
	struct archive_writer *w;
	struct appliance a;
	struct err err = {0};

	sample_appliance(&a, false);
	a.ndisks = 1;
	a.disk[0].size = disk.size;
	cr_assert(eq(int, archive_writer_open(&w, path, &err), 0), "%s", err.text);
	archive_writer_pack(w, 3);
	cr_assert(eq(int, archive_writer_image(w, "disk.0", &disk, &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_writer_publish(w, &a, NULL, &err), 0), "%s", err.text);
	archive_writer_free(w);
	appliance_free(&a);
}

static bool same_bytes(const char *a, const char *b)
{
	return sample_shell("cmp -s %s %s", a, b) == 0;
}

static void same_frames(const struct image *a, const struct image *b)
{
	cleanup_frame_reader struct frame_reader *reader = NULL;
	static uint8_t in_a[FRAME_SIZE], in_b[FRAME_SIZE];
	struct err err = {0};

	cr_assert(eq(u64, a->map.data_frames, b->map.data_frames));
	cr_assert(eq(int, frame_reader_new(&reader, &err), 0));
	for (uint64_t i = 0; i < a->map.data_frames; i++) {
		cr_assert(eq(int, frame_read(reader, a, i, in_a, &err), 0), "%s", err.text);
		cr_assert(eq(int, frame_read(reader, b, i, in_b, &err), 0), "%s", err.text);
		cr_assert_arr_eq(in_a, in_b, FRAME_SIZE, "frame %d", (int)i);
	}
}

static void same_appliance(const char *one, const char *other)
{
	static const char roles[][16] = {"memory.0", "disk.0", "disk.0.overlay", "disk.1"};
	struct archive *a = open_ok(one), *b = open_ok(other);

	cr_assert_str_eq(archive_digest(a), archive_digest(b));
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		same_frames(archive_image(a, roles[i]), archive_image(b, roles[i]));
	archive_close(a);
	archive_close(b);
}

static enum image_encoding encoding_of(const char *path)
{
	struct archive *a = open_ok(path);
	enum image_encoding encoding = archive_image(a, "memory.0")->encoding;

	archive_close(a);
	return encoding;
}

/* Change a file behind its back: unpack it, run Python over the layers, pack it again. */
static void edit_manifest(const char *path, const char *script)
{
	static const char prelude[] =
		"import hashlib, json\n"
		"def read(digest): return open('blobs/' + digest.replace(':', '/'), 'rb').read()\n"
		"def put(data):\n"
		"    name = hashlib.sha256(data).hexdigest()\n"
		"    open('blobs/sha256/' + name, 'wb').write(data)\n"
		"    return {'digest': 'sha256:' + name, 'size': len(data)}\n"
		"index = json.load(open('index.json'))\n"
		"at = index['manifests'][0]\n"
		"manifest = json.loads(read(at['digest']))\n"
		"layers = manifest['layers']\n"
		"def layer(role):\n"
		"    return [l for l in layers if l['annotations']['org.torpor.role'] == role][0]\n"
		"def blob(role): return read(layer(role)['digest'])\n"
		"def replace(role, data): layer(role).update(put(bytes(data)))\n"
		"def add(role, kind, text, **more):\n"
		"    notes = {'org.torpor.role': role, 'org.torpor.optional': 'true'}\n"
		"    layers.insert(1, put(text.encode()) | {'mediaType': kind, 'annotations': "
		"notes})\n";
	static const char finale[] = "at.update(put(json.dumps(manifest).encode()))\n"
				     "json.dump(index, open('index.json', 'w'))\n";

	cr_assert_eq(sample_shell("rm -rf folder && mkdir folder && tar xf %s -C folder && "
				  "cd folder && python3 - <<'END' && "
				  "tar cf ../%s oci-layout index.json blobs\n%s%s%sEND\n",
				  path, path, prelude, script, finale),
		     0);
}

static bool has_text(const char *path, const char *role, const char *expected)
{
	struct archive *a = open_ok(path);
	struct blob blob;
	char text[256] = "";
	bool same = archive_blob(a, role, &blob) && blob.len == strlen(expected) &&
		    blob_read(&blob, 0, text, blob.len, NULL) == 0 && strcmp(text, expected) == 0;

	archive_close(a);
	return same;
}

Test(convert, there_and_back_it_is_the_same_file)
{
	write_sample("a.torpor");
	convert_ok("a.torpor", "b.torpor", &packed);
	cr_assert(eq(int, (int)encoding_of("b.torpor"), IMAGE_PACKED));
	same_appliance("a.torpor", "b.torpor");
	convert_ok("b.torpor", "c.torpor", &flat);
	cr_assert(eq(int, (int)encoding_of("c.torpor"), IMAGE_FLAT));
	cr_assert(same_bytes("a.torpor", "c.torpor"));
}

Test(convert, what_is_kept_is_the_same_file)
{
	write_sample("a.torpor");
	convert_ok("a.torpor", "b.torpor", &keep);
	cr_assert(same_bytes("a.torpor", "b.torpor"));
	convert_ok("a.torpor", "c.torpor", &flat);
	cr_assert(same_bytes("a.torpor", "c.torpor"));
	convert_ok("a.torpor", "p.torpor", &packed);
	convert_ok("p.torpor", "q.torpor", &keep);
	cr_assert(same_bytes("p.torpor", "q.torpor"));
}

Test(convert, a_file_may_become_itself)
{
	write_sample("a.torpor");
	sample_shell("cp a.torpor b.torpor");
	convert_ok("a.torpor", "a.torpor", &packed);
	cr_assert(eq(int, (int)encoding_of("a.torpor"), IMAGE_PACKED));
	convert_ok("a.torpor", "a.torpor", &flat);
	cr_assert(same_bytes("a.torpor", "b.torpor"));
	cr_assert_eq(sample_shell("test -z \"$(ls -A | grep '^\\.')\""), 0);
}

Test(convert, another_level_packs_again)
{
	const struct convert_params fast = {.encoding = CONVERT_PACK, .level = 1};
	struct archive *a, *b;

	write_disk("3.torpor", 8);
	convert_ok("3.torpor", "same.torpor", &packed);
	convert_ok("3.torpor", "1.torpor", &fast);
	convert_ok("3.torpor", "flat.torpor", &flat);
	convert_ok("flat.torpor", "1-direct.torpor", &fast);
	cr_assert(same_bytes("1.torpor", "1-direct.torpor"));
	a = open_ok("3.torpor");
	b = open_ok("1.torpor");
	cr_assert(ne(u64, archive_image(a, "disk.0")->part[0].len,
		     archive_image(b, "disk.0")->part[0].len));
	same_frames(archive_image(a, "disk.0"), archive_image(b, "disk.0"));
	cr_assert_str_eq(archive_digest(a), archive_digest(b));
	archive_close(a);
	archive_close(b);
}

Test(convert, signatures_are_put_in_kept_and_replaced)
{
	struct convert_params sign = {.signature = "one signature\n"};

	write_sample("a.torpor");
	convert_ok("a.torpor", "b.torpor", &sign);
	cr_assert(has_text("b.torpor", ROLE_SIGNATURE, "one signature\n"));
	same_appliance("a.torpor", "b.torpor");
	convert_ok("b.torpor", "c.torpor", &packed);
	cr_assert(has_text("c.torpor", ROLE_SIGNATURE, "one signature\n"));
	sign.signature = "another\n";
	convert_ok("c.torpor", "c.torpor", &sign);
	cr_assert(has_text("c.torpor", ROLE_SIGNATURE, "another\n"));
	cr_assert(eq(int, (int)encoding_of("c.torpor"), IMAGE_PACKED));
}

static uint64_t hot_bytes(const char *path)
{
	struct archive *a = open_ok(path);
	uint64_t len = archive_image(a, "memory.0")->hot.len;

	archive_close(a);
	return len;
}

Test(convert, hot_sets_are_put_in_kept_and_dropped)
{
	static const uint64_t places[] = {7, 2};
	struct hot_set hot = {.places = places, .n = ARRAY_SIZE(places)};
	const struct convert_params heat = {.hot = &hot, .nhot = 1};
	const struct convert_params cool = {.drop_hot = true};
	struct archive *a;
	struct err err = {0};

	write_sample("a.torpor");
	a = open_ok("a.torpor");
	hot.image = archive_image(a, "memory.0");
	cr_assert(eq(int, convert_archive(a, "b.torpor", &heat, &err), 0), "%s", err.text);
	archive_close(a);
	cr_assert(eq(u64, hot_bytes("b.torpor"), 2 * FRAME_SIZE));
	convert_ok("b.torpor", "c.torpor", &packed);
	cr_assert(eq(u64, hot_bytes("c.torpor"), 2 * FRAME_SIZE));
	same_appliance("a.torpor", "c.torpor");
	convert_ok("b.torpor", "d.torpor", &cool);
	cr_assert(same_bytes("a.torpor", "d.torpor"));
}

Test(convert, the_config_is_what_was_signed)
{
	uint8_t digest[DIGEST_SIZE], *config;
	char text[DIGEST_TEXT_SIZE];
	struct archive *a;
	struct err err = {0};
	size_t len;

	write_sample("a.torpor");
	a = open_ok("a.torpor");
	cr_assert(eq(int, archive_config(a, &config, &len, &err), 0), "%s", err.text);
	cr_assert(eq(int, digest_bytes(config, len, digest, &err), 0));
	free(config);
	digest_text(digest, text);
	cr_assert_str_eq(text, archive_digest(a));
	archive_close(a);
}

Test(convert, optional_layers_go_along)
{
	write_sample("a.torpor");
	edit_manifest("a.torpor", "add('notes', 'text/plain', 'read me')\n");
	convert_ok("a.torpor", "b.torpor", &packed);
	convert_ok("b.torpor", "b.torpor", &flat);
	cr_assert(has_text("b.torpor", "notes", "read me"));
	same_appliance("a.torpor", "b.torpor");
}

/* Packed, the disk is in more parts; but a layer has the name of the third. */
Test(convert, layers_in_the_way_of_a_part_are_refused)
{
	write_disk("c.torpor", 600);
	convert_ok("c.torpor", "a.torpor", &flat);
	edit_manifest("a.torpor", "add('disk.0.2', 'text/plain', 'not a part')\n");
	convert_refused("a.torpor", "b.torpor", &packed, "two blobs would be disk.0.2");
	convert_ok("a.torpor", "b.torpor", &keep);
}

/* Bytes of a flat part that the manifest vouches for, but not the hash list. */
Test(convert, frames_that_are_not_those_of_the_hash_list_are_refused)
{
	write_sample("a.torpor");
	edit_manifest("a.torpor", "data = bytearray(blob('memory.0.0'))\n"
				  "data[70000] ^= 1\n"
				  "replace('memory.0.0', data)\n");
	convert_refused("a.torpor", "b.torpor", &flat, "SHA-256 differs");
	convert_refused("a.torpor", "b.torpor", &packed, "SHA-256 differs");
	convert_refused("a.torpor", "a.torpor", &packed, "SHA-256 differs");
	cr_assert_eq(sample_shell("test ! -e b.torpor"), 0);
}
