/* Sealed bytes: they come back as they were, in their place, with their key, or not at all. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "format/crypto/seal.h"

#define CHUNK 65536u

static struct sealer *sealer;
static struct seal_key *key;

static void begin(void)
{
	struct err err = {0};

	cr_assert(eq(int, sealer_new(&sealer, &err), 0), "%s", err.text);
	key = seal_key_new(&err);
	cr_assert_not_null(key);
}

static void end(void)
{
	sealer_free(sealer);
	seal_key_free(key);
}

TestSuite(seal, .init = begin, .fini = end);

static void unhex(const char *text, uint8_t *out)
{
	for (; *text != '\0'; text += 2)
		sscanf(text, "%2hhx", out++);
}

/* Test case 16 of "The Galois/Counter Mode of Operation" (McGrew, Viega), as a box. */
Test(seal, known_answer)
{
	static const char secret[] =
		"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
	static const char text[] =
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
	static const char sealed[] =
		"cafebabefacedbaddecaf888"
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
		"76fc6ece0f4e1768cddf8853bb2d551b";
	uint8_t bound[20], box[60 + SEAL_BOX], plain[60], opened[60];
	struct err err = {0};

	unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2", bound);
	unhex(secret, key->bytes);
	unhex(text, plain);
	unhex(sealed, box);
	cr_assert(eq(int, seal_open(sealer, key, bound, sizeof(bound), box, opened, 60, &err), 0),
		  "%s", err.text);
	cr_assert_arr_eq(opened, plain, 60);
}

Test(seal, every_byte_of_a_box_counts)
{
	uint8_t box[100 + SEAL_BOX], plain[100], opened[100];
	struct err err = {0};

	memset(plain, 'p', sizeof(plain));
	cr_assert(eq(int, seal_box(sealer, key, "here", 4, plain, 100, box, &err), 0));
	for (size_t i = 0; i < sizeof(box); i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			box[i] ^= (uint8_t)(1u << bit);
			cr_assert(lt(int, seal_open(sealer, key, "here", 4, box, opened, 100, &err),
				     0),
				  "byte %zu", i);
			cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY));
			box[i] ^= (uint8_t)(1u << bit);
		}
	}
	for (size_t len = 0; len < 100; len++)
		cr_assert(lt(int, seal_open(sealer, key, "here", 4, box, opened, len, &err), 0));
	cr_assert(lt(int, seal_open(sealer, key, "hero", 4, box, opened, 100, &err), 0));
	cr_assert(lt(int, seal_open(sealer, key, "here", 3, box, opened, 100, &err), 0));
	cr_assert(eq(int, seal_open(sealer, key, "here", 4, box, opened, 100, &err), 0));
	cr_assert_arr_eq(opened, plain, 100);
	key->bytes[7] ^= 1;
	cr_assert(lt(int, seal_open(sealer, key, "here", 4, box, opened, 100, &err), 0));
}

Test(seal, a_box_is_never_sealed_alike)
{
	uint8_t one[8 + SEAL_BOX], other[8 + SEAL_BOX];
	struct err err = {0};

	cr_assert(eq(int, seal_box(sealer, key, "", 0, "contents", 8, one, &err), 0));
	cr_assert(eq(int, seal_box(sealer, key, "", 0, "contents", 8, other, &err), 0));
	cr_assert(ne(int, memcmp(one, other, SEAL_NONCE), 0));
	cr_assert(ne(int, memcmp(one + SEAL_NONCE, other + SEAL_NONCE, 8), 0));
}

Test(seal, frames_open_in_their_place_only)
{
	uint8_t sealed[50 + SEAL_FRAME], copy[sizeof(sealed)];
	struct err err = {0};

	memset(sealed + SEAL_FRAME_DATA, 'f', 50);
	cr_assert(eq(int, seal_frame(sealer, key, "memory.0", 7, sealed, 50, &err), 0));
	/* A skippable frame of zstd. */
	cr_assert(eq(u32, le_get32(sealed), 0x184D2A50));
	cr_assert(eq(u32, le_get32(sealed + 4), sizeof(sealed) - 8));
	memcpy(copy, sealed, sizeof(copy));
	cr_assert(
		lt(int, seal_open_frame(sealer, key, "memory.0", 8, copy, sizeof(copy), &err), 0));
	memcpy(copy, sealed, sizeof(copy));
	cr_assert(
		lt(int, seal_open_frame(sealer, key, "memory.1", 7, copy, sizeof(copy), &err), 0));
	for (size_t len = 0; len < sizeof(copy); len++) {
		memcpy(copy, sealed, sizeof(copy));
		cr_assert(lt(int, seal_open_frame(sealer, key, "memory.0", 7, copy, len, &err), 0));
	}
	memcpy(copy, sealed, sizeof(copy));
	copy[0] ^= 1;
	cr_assert(
		lt(int, seal_open_frame(sealer, key, "memory.0", 7, copy, sizeof(copy), &err), 0));
	memcpy(copy, sealed, sizeof(copy));
	cr_assert(
		eq(int, seal_open_frame(sealer, key, "memory.0", 7, copy, sizeof(copy), &err), 0));
	for (size_t i = 0; i < 50; i++)
		cr_assert(eq(u8, copy[SEAL_FRAME_DATA + i], 'f'));
}

/* Three chunks and a bit. */
#define LONG (3 * CHUNK + 100)

static void fill(uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / CHUNK);
}

Test(seal, blobs_of_every_length)
{
	static const size_t lengths[] = {0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, LONG};
	static uint8_t plain[LONG];
	struct err err = {0};

	fill(plain, LONG);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		cleanup_buf struct buf sealed = {0};
		size_t len = lengths[i];
		uint64_t back;

		cr_assert(eq(int, seal_bytes(key, "state", plain, len, &sealed, &err), 0));
		cr_assert(eq(u64, sealed.len, seal_stored_size(len)));
		cr_assert(seal_plain_size(sealed.len, &back) && back == len);
		cr_assert(eq(int, seal_open_bytes(key, "state", sealed.data, sealed.len, &err), 0),
			  "%zu bytes: %s", len, err.text);
		cr_assert(len == 0 || memcmp(sealed.data, plain, len) == 0);
	}
}

Test(seal, lengths_that_no_blob_has)
{
	uint64_t plain;

	for (uint64_t len = 1; len <= SEAL_BOX; len++) {
		cr_assert(not(seal_plain_size(len, &plain)));
		cr_assert(not(seal_plain_size(CHUNK + SEAL_BOX + len, &plain)));
	}
	cr_assert(seal_plain_size(SEAL_BOX + 1, &plain) && plain == 1);
}

static int open_copy(const struct buf *sealed, size_t len, struct err *err)
{
	static uint8_t copy[LONG + 4 * SEAL_BOX];

	memcpy(copy, sealed->data, len);
	return seal_open_bytes(key, "state", copy, len, err);
}

Test(seal, chunks_can_neither_move_nor_go)
{
	const size_t whole = CHUNK + SEAL_BOX;
	static uint8_t plain[LONG], aside[CHUNK + SEAL_BOX];
	cleanup_buf struct buf sealed = {0};
	struct err err = {0};

	fill(plain, LONG);
	cr_assert(eq(int, seal_bytes(key, "state", plain, LONG, &sealed, &err), 0));
	cr_assert(eq(int, open_copy(&sealed, sealed.len, &err), 0));
	for (size_t chunks = 1; chunks <= 3; chunks++)
		cr_assert(lt(int, open_copy(&sealed, chunks * whole, &err), 0));
	memcpy(aside, sealed.data, whole);
	memcpy(sealed.data, sealed.data + whole, whole);
	memcpy(sealed.data + whole, aside, whole);
	cr_assert(lt(int, open_copy(&sealed, sealed.len, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY));
	cr_assert_not_null(strstr(err.text, "state"), "%s", err.text);
}

static struct blob in_memory(const void *data, size_t len)
{
	struct blob blob = {.fd = memfd_create("test", MFD_CLOEXEC), .len = len};

	cr_assert(eq(sz, (size_t)write(blob.fd, data, len), len));
	return blob;
}

/* By way of a file it is the same format. */
Test(seal, blobs_in_files)
{
	static uint8_t plain[LONG], back[LONG];
	struct blob from, sealed, opened;
	struct err err = {0};

	fill(plain, LONG);
	from = in_memory(plain, LONG);
	cr_assert(eq(int, seal_blob(key, "kernel", &from, &sealed, &err), 0), "%s", err.text);
	cr_assert(eq(u64, sealed.len, seal_stored_size(LONG)));
	cr_assert(eq(int, seal_open_blob(key, "kernel", &sealed, &opened, &err), 0), "%s",
		  err.text);
	cr_assert(eq(u64, opened.len, LONG));
	cr_assert(eq(int, blob_read(&opened, 0, back, LONG, &err), 0));
	cr_assert_arr_eq(back, plain, LONG);
	close(opened.fd);
	cr_assert(lt(int, seal_open_blob(key, "initrd", &sealed, &opened, &err), 0));
	cr_assert(eq(int, opened.fd, -1));
	sealed.len -= 1;
	cr_assert(lt(int, seal_open_blob(key, "kernel", &sealed, &opened, &err), 0));
	close(sealed.fd);
	close(from.fd);
}
