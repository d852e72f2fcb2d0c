/* Encrypted appliances: what can be had with the key, and what without. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "format/convert.h"
#include "format/image/frame_reader.h"
#include "format/rekey.h"
#include "sample.h"

static struct keyring *keys, *strange;

static struct keyring *ring_of(const char *file)
{
	struct keyring *k;
	struct err err = {0};

	cr_assert(eq(int, keyring_new(&k, &err), 0), "%s", err.text);
	cr_assert(eq(int, keyring_key_file(k, file, 32, &err), 0), "%s", err.text);
	cr_assert(eq(int, keyring_new_lock(k, ENCRYPTION_KEY_FILE, &err), 0), "%s", err.text);
	return k;
}

static void begin(void)
{
	struct archive_writer *w;
	struct err err = {0};

	sample_begin();
	keys = ring_of("0123456789abcdef0123456789abcdef");
	strange = ring_of("fedcba9876543210fedcba9876543210");
	cr_assert(eq(int, archive_writer_open(&w, "e.torpor", &err), 0), "%s", err.text);
	archive_writer_pack(w, 3);
	cr_assert(eq(int, archive_writer_encrypt(w, keys, &err), 0), "%s", err.text);
	cr_assert(eq(int, sample_fill(w, &err), 0), "%s", err.text);
	archive_writer_free(w);
	cr_assert(eq(int, sample_write_packed("plain.torpor", 3, &err), 0), "%s", err.text);
}

static void end(void)
{
	keyring_free(keys);
	keyring_free(strange);
	sample_end();
}

TestSuite(encrypted, .init = begin, .fini = end);

static const char roles[][16] = {"memory.0", "disk.0", "disk.0.overlay", "disk.1"};

static int open_with(const char *path, struct keyring *k, struct archive **a, struct err *err)
{
	const struct archive_open_params params = {.fd = -1, .keys = k};

	return archive_open_with(a, path, &params, err);
}

static struct archive *open_ok(const char *path, struct keyring *k)
{
	struct archive *a;
	struct err err = {0};

	cr_assert(eq(int, open_with(path, k, &a, &err), 0), "%s", err.text);
	return a;
}

static void refused(const char *path, struct keyring *k, enum err_kind kind, const char *why)
{
	struct archive *a;
	struct err err = {0};

	cr_assert(lt(int, open_with(path, k, &a, &err), 0), "%s", why);
	cr_assert(eq(int, (int)err.kind, (int)kind), "%s", err.text);
	cr_assert_not_null(strstr(err.text, why), "%s", err.text);
}

static void verify_ok(struct archive *a)
{
	struct err err = {0};

	sample_shell("rm -rf torpor");
	cr_assert(eq(int, archive_verify(a, NULL, NULL, &err), 0), "%s", err.text);
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
		cr_assert_arr_eq(in_a, in_b, FRAME_SIZE);
	}
}

static void same_blob(const struct archive *a, const struct archive *b, const char *role)
{
	static uint8_t in_a[FRAME_SIZE], in_b[FRAME_SIZE];
	struct blob one, other;
	struct err err = {0};

	cr_assert(archive_blob(a, role, &one) && archive_blob(b, role, &other), "%s", role);
	cr_assert(eq(u64, one.len, other.len));
	for (uint64_t at = 0; at < one.len; at += FRAME_SIZE) {
		uint64_t len = u64_min(FRAME_SIZE, one.len - at);

		cr_assert(eq(int, blob_read(&one, at, in_a, len, &err), 0));
		cr_assert(eq(int, blob_read(&other, at, in_b, len, &err), 0));
		cr_assert_arr_eq(in_a, in_b, len);
	}
}

static void same_contents(struct archive *a, struct archive *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		same_frames(archive_image(a, roles[i]), archive_image(b, roles[i]));
	same_blob(a, b, ROLE_STATE);
	same_blob(a, b, ROLE_KERNEL);
}

Test(encrypted, with_its_key)
{
	struct archive *a = open_ok("e.torpor", keys), *plain = open_ok("plain.torpor", keys);

	verify_ok(a);
	same_contents(a, plain);
	archive_close(a);
	archive_close(plain);
}

Test(encrypted, without_its_key)
{
	cleanup_frame_reader struct frame_reader *reader = NULL;
	struct archive *a = open_ok("e.torpor", NULL);
	static uint8_t frame[FRAME_SIZE];
	struct blob blob;
	struct err err = {0};

	verify_ok(a);
	cr_assert(eq(u64, archive_appliance(a)->memory, SAMPLE_MEMORY));
	cr_assert(not(archive_blob(a, ROLE_STATE, &blob)));
	cr_assert(not(archive_blob(a, ROLE_KERNEL, &blob)));
	cr_assert(eq(int, frame_reader_new(&reader, &err), 0));
	cr_assert(lt(int, frame_read(reader, archive_image(a, "memory.0"), 0, frame, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_USAGE), "%s", err.text);
	cr_assert(lt(int, archive_load_hashes(a, &err), 0));
	cr_assert(lt(int, archive_check_open(a, &err), 0));
	archive_close(a);
}

Test(encrypted, with_another_key)
{
	refused("e.torpor", strange, ERR_FAILED, "the key file is the wrong one");
}

/* Nothing of a frame, the state or a hash list is in the file. */
Test(encrypted, nothing_is_in_clear)
{
	static uint8_t frame[FRAME_SIZE], hash[IMAGE_HASH_SIZE];
	struct archive *plain = open_ok("plain.torpor", NULL);
	struct blob state;
	struct err err = {0};
	char *text;
	FILE *file = fopen("e.torpor", "r");
	long len;

	cr_assert(archive_blob(plain, ROLE_STATE, &state));
	cr_assert(eq(int, blob_read(&state, 0, frame, u64_min(state.len, 64), &err), 0));
	memcpy(hash, archive_image(plain, "memory.0")->hash_list, sizeof(hash));
	fseek(file, 0, SEEK_END);
	len = ftell(file);
	rewind(file);
	text = malloc((size_t)len);
	cr_assert(eq(sz, fread(text, 1, (size_t)len, file), (size_t)len));
	cr_assert_null(memmem(text, (size_t)len, frame, 16));
	cr_assert_null(memmem(text, (size_t)len, hash, sizeof(hash)));
	free(text);
	fclose(file);
	archive_close(plain);
}

/* --- nonces --- */

struct nonces {
	uint8_t (*item)[CIPHER_NONCE];
	size_t count;
};

static void note_nonce(struct nonces *n, const struct blob *blob, uint64_t at)
{
	struct err err = {0};

	n->item = realloc(n->item, (n->count + 1) * sizeof(*n->item));
	cr_assert(eq(int, blob_read(blob, at, n->item[n->count++], CIPHER_NONCE, &err), 0));
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, CIPHER_NONCE);
}

static void note_chunks(struct nonces *n, const struct archive_entry *entry)
{
	for (uint64_t at = 0; at < entry->blob.len; at += FRAME_SIZE + CIPHER_BOX)
		note_nonce(n, &entry->blob, at);
}

Test(encrypted, no_nonce_occurs_twice)
{
	struct archive *a = open_ok("e.torpor", NULL);
	const struct archive_entry *entry;
	size_t count = archive_entries(a, &entry);
	struct nonces n = {0};

	for (; count > 0; count--, entry++) {
		const char *type = entry->media_type;

		if (strcmp(type, OCI_STATE_TYPE) == 0 || strcmp(type, OCI_KERNEL_TYPE) == 0 ||
		    strcmp(type, OCI_HASHES_TYPE) == 0)
			note_chunks(&n, entry);
	}
	cr_assert(ge(sz, n.count, 6));
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		const struct image *image = archive_image(a, roles[i]);

		for (uint64_t place = 0; place < image->map.data_frames; place++) {
			struct blob frame = image_packed_place(image, place);

			note_nonce(&n, &frame, 8);
		}
	}
	cr_assert(ge(sz, n.count, 40));
	qsort(n.item, n.count, CIPHER_NONCE, compare);
	for (size_t i = 1; i < n.count; i++)
		cr_assert(ne(int, compare(n.item[i - 1], n.item[i]), 0));
	free(n.item);
	archive_close(a);
}

/* --- strangers --- */

Test(encrypted, a_stranger_changes_the_config)
{
	sample_edit("e.torpor", "folder", "c['cmdline'] = 'init=/bin/sh'");
	refused("folder", keys, ERR_INTEGRITY, "config: it is not what was encrypted");
}

/* Digests agree, and so does the lock: but it is another file's. */
Test(encrypted, a_stranger_puts_in_the_state_of_another_file)
{
	struct archive *from = open_ok("plain.torpor", NULL);
	char digest[DIGEST_TEXT_SIZE];
	struct err err = {0};

	cr_assert(eq(int, rekey_archive(from, "other.torpor", 3, keys, digest, &err), 0), "%s",
		  err.text);
	archive_close(from);
	sample_edit("other.torpor", "other", "pass");
	sample_edit("e.torpor", "folder",
		    "import json, glob\n"
		    "o = json.load(open('other/index.json'))['manifests'][0]['digest'][7:]\n"
		    "o = json.load(open('other/blobs/sha256/' + o))\n"
		    "o = [l for l in o['layers'] if l['annotations']['org.torpor.role'] == "
		    "'state'][0]\n"
		    "d = blob(open('other/blobs/sha256/' + o['digest'][7:], 'rb').read())\n"
		    "role('state').update(d); c['contents']['state'] = d['digest']");
	refused("folder", keys, ERR_INTEGRITY, "config: it is not what was encrypted");
}

Test(encrypted, what_is_encrypted_is_never_flat)
{
	sample_edit("e.torpor", "folder",
		    "role('disk.1.0')['mediaType'] = 'application/vnd.torpor.flat.v1'");
	refused("folder", NULL, ERR_INTEGRITY, "disk.1");
}

/* --- conversions --- */

Test(encrypted, a_copy_needs_no_key)
{
	static const struct convert_params keep = {.encoding = CONVERT_KEEP};
	struct archive *a = open_ok("e.torpor", NULL);
	char digest[DIGEST_TEXT_SIZE];
	struct err err = {0};

	strcpy(digest, archive_digest(a));
	cr_assert(eq(int, convert_archive(a, "copy.torpor", &keep, &err), 0), "%s", err.text);
	archive_close(a);
	a = open_ok("copy.torpor", keys);
	cr_assert_str_eq(archive_digest(a), digest);
	verify_ok(a);
	archive_close(a);
}

Test(encrypted, packed_anew_it_is_the_same_appliance)
{
	static const struct convert_params harder = {.encoding = CONVERT_PACK, .level = 9};
	struct archive *a = open_ok("e.torpor", NULL), *plain = open_ok("plain.torpor", NULL);
	char digest[DIGEST_TEXT_SIZE];
	struct err err = {0};

	cr_assert(lt(int, convert_archive(a, "harder.torpor", &harder, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_USAGE), "%s", err.text);
	archive_close(a);
	a = open_ok("e.torpor", keys);
	strcpy(digest, archive_digest(a));
	cr_assert(eq(int, convert_archive(a, "harder.torpor", &harder, &err), 0), "%s", err.text);
	archive_close(a);
	a = open_ok("harder.torpor", keys);
	cr_assert_str_eq(archive_digest(a), digest);
	verify_ok(a);
	same_contents(a, plain);
	archive_close(a);
	archive_close(plain);
}

Test(encrypted, what_would_put_it_in_clear)
{
	static const struct convert_params flat = {.encoding = CONVERT_FLAT};
	static const uint64_t places[] = {0};
	struct archive *a = open_ok("e.torpor", keys);
	const struct hot_set hot = {archive_image(a, "memory.0"), places, 1};
	const struct convert_params warm = {.hot = &hot, .nhot = 1};
	struct err err = {0};

	cr_assert(lt(int, convert_archive(a, "x.torpor", &flat, &err), 0));
	cr_assert_not_null(strstr(err.text, "flat"), "%s", err.text);
	cr_assert(lt(int, convert_archive(a, "x.torpor", &warm, &err), 0));
	cr_assert_not_null(strstr(err.text, "hot set"), "%s", err.text);
	archive_close(a);
}

/* In clear again, frames and the rest are those that were encrypted, and so are their hashes. */
Test(encrypted, there_and_back)
{
	struct archive *a = open_ok("e.torpor", keys), *plain = open_ok("plain.torpor", NULL);
	struct archive *back;
	char digest[DIGEST_TEXT_SIZE];
	struct err err = {0};

	cr_assert(eq(int, rekey_archive(a, "back.torpor", 3, NULL, digest, &err), 0), "%s",
		  err.text);
	cr_assert(ne(int, strcmp(digest, archive_digest(a)), 0));
	back = open_ok("back.torpor", NULL);
	cr_assert_str_eq(archive_digest(back), digest);
	verify_ok(back);
	same_contents(back, plain);
	for (uint32_t i = 0; i < archive_appliance(plain)->ncontents; i++) {
		const struct appliance_content *was = &archive_appliance(plain)->content[i];

		cr_assert_str_eq(appliance_content(archive_appliance(back), was->role),
				 was->digest);
	}
	archive_close(back);
	archive_close(plain);
	archive_close(a);
}

Test(encrypted, nothing_comes_of_a_closed_one)
{
	struct archive *a = open_ok("e.torpor", NULL);
	char digest[DIGEST_TEXT_SIZE];
	struct err err = {0};

	cr_assert(lt(int, rekey_archive(a, "back.torpor", 3, NULL, digest, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_USAGE), "%s", err.text);
	cr_assert(ne(int, access("back.torpor", F_OK), 0));
	archive_close(a);
}

/* Down a stream it is written the same way. */
Test(encrypted, in_a_stream)
{
	int fd = open("stream.torpor", O_RDWR | O_CREAT, 0600);
	struct archive *a, *plain = open_ok("plain.torpor", NULL);
	struct archive_writer *w;
	struct err err = {0};

	cr_assert(eq(int, archive_writer_open_stream(&w, fd, &err), 0), "%s", err.text);
	archive_writer_pack(w, 3);
	cr_assert(eq(int, archive_writer_encrypt(w, keys, &err), 0), "%s", err.text);
	cr_assert(eq(int, sample_fill(w, &err), 0), "%s", err.text);
	archive_writer_free(w);
	close(fd);
	a = open_ok("stream.torpor", keys);
	verify_ok(a);
	same_contents(a, plain);
	archive_close(a);
	archive_close(plain);
}
