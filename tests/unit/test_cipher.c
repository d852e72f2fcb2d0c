/* Encrypted bytes: they come back as they were, in their place, with their key, or not at all. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "format/crypto/cipher.h"

#define CHUNK 65536u

static struct cipher *cipher;
static struct data_key *key;

static void begin(void)
{
	struct err err = {0};

	cr_assert(eq(int, cipher_new(&cipher, &err), 0), "%s", err.text);
	cr_assert(eq(int, data_key_new(&key, &err), 0), "%s", err.text);
}

static void end(void)
{
	cipher_free(cipher);
	data_key_free(key);
}

TestSuite(encrypt, .init = begin, .fini = end);

static void unhex(const char *text, uint8_t *out)
{
	for (; *text != '\0'; text += 2)
		sscanf(text, "%2hhx", out++);
}

/* Test case 16 of "The Galois/Counter Mode of Operation" (McGrew, Viega), as a box. */
Test(encrypt, known_answer)
{
	static const char secret[] =
		"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
	static const char text[] =
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
	static const char encrypted[] =
		"cafebabefacedbaddecaf888"
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
		"76fc6ece0f4e1768cddf8853bb2d551b";
	uint8_t bound[20], box[60 + CIPHER_BOX], plain[60], opened[60];
	struct err err = {0};

	unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2", bound);
	unhex(secret, key->bytes);
	unhex(text, plain);
	unhex(encrypted, box);
	cr_assert(eq(int, decrypt_box(cipher, key, bound, sizeof(bound), box, opened, 60, &err), 0),
		  "%s", err.text);
	cr_assert_arr_eq(opened, plain, 60);
}

Test(encrypt, every_byte_of_a_box_counts)
{
	uint8_t box[100 + CIPHER_BOX], plain[100], opened[100];
	struct err err = {0};

	memset(plain, 'p', sizeof(plain));
	cr_assert(eq(int, encrypt_box(cipher, key, "here", 4, plain, 100, box, &err), 0));
	for (size_t i = 0; i < sizeof(box); i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			box[i] ^= (uint8_t)(1u << bit);
			cr_assert(lt(int,
				     decrypt_box(cipher, key, "here", 4, box, opened, 100, &err),
				     0),
				  "byte %zu", i);
			cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY));
			box[i] ^= (uint8_t)(1u << bit);
		}
	}
	for (size_t len = 0; len < 100; len++)
		cr_assert(lt(int, decrypt_box(cipher, key, "here", 4, box, opened, len, &err), 0));
	cr_assert(lt(int, decrypt_box(cipher, key, "hero", 4, box, opened, 100, &err), 0));
	cr_assert(lt(int, decrypt_box(cipher, key, "here", 3, box, opened, 100, &err), 0));
	cr_assert(eq(int, decrypt_box(cipher, key, "here", 4, box, opened, 100, &err), 0));
	cr_assert_arr_eq(opened, plain, 100);
	key->bytes[7] ^= 1;
	cr_assert(lt(int, decrypt_box(cipher, key, "here", 4, box, opened, 100, &err), 0));
}

Test(encrypt, a_box_is_never_encrypted_alike)
{
	uint8_t one[8 + CIPHER_BOX], other[8 + CIPHER_BOX];
	struct err err = {0};

	cr_assert(eq(int, encrypt_box(cipher, key, "", 0, "contents", 8, one, &err), 0));
	cr_assert(eq(int, encrypt_box(cipher, key, "", 0, "contents", 8, other, &err), 0));
	cr_assert(ne(int, memcmp(one, other, CIPHER_NONCE), 0));
	cr_assert(ne(int, memcmp(one + CIPHER_NONCE, other + CIPHER_NONCE, 8), 0));
}

Test(encrypt, frames_open_in_their_place_only)
{
	uint8_t encrypted[50 + CIPHER_FRAME], copy[sizeof(encrypted)];
	struct err err = {0};

	memset(encrypted + CIPHER_FRAME_DATA, 'f', 50);
	cr_assert(eq(int, encrypt_frame(cipher, key, "memory.0", 7, encrypted, 50, &err), 0));
	/* A skippable frame of zstd. */
	cr_assert(eq(u32, le_get32(encrypted), 0x184D2A50));
	cr_assert(eq(u32, le_get32(encrypted + 4), sizeof(encrypted) - 8));
	memcpy(copy, encrypted, sizeof(copy));
	cr_assert(lt(int, decrypt_frame(cipher, key, "memory.0", 8, copy, sizeof(copy), &err), 0));
	memcpy(copy, encrypted, sizeof(copy));
	cr_assert(lt(int, decrypt_frame(cipher, key, "memory.1", 7, copy, sizeof(copy), &err), 0));
	for (size_t len = 0; len < sizeof(copy); len++) {
		memcpy(copy, encrypted, sizeof(copy));
		cr_assert(lt(int, decrypt_frame(cipher, key, "memory.0", 7, copy, len, &err), 0));
	}
	memcpy(copy, encrypted, sizeof(copy));
	copy[0] ^= 1;
	cr_assert(lt(int, decrypt_frame(cipher, key, "memory.0", 7, copy, sizeof(copy), &err), 0));
	memcpy(copy, encrypted, sizeof(copy));
	cr_assert(eq(int, decrypt_frame(cipher, key, "memory.0", 7, copy, sizeof(copy), &err), 0));
	for (size_t i = 0; i < 50; i++)
		cr_assert(eq(u8, copy[CIPHER_FRAME_DATA + i], 'f'));
}

/* Three chunks and a bit. */
#define LONG (3 * CHUNK + 100)

static void fill(uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / CHUNK);
}

Test(encrypt, blobs_of_every_length)
{
	static const size_t lengths[] = {0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, LONG};
	static uint8_t plain[LONG];
	struct err err = {0};

	fill(plain, LONG);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		cleanup_buf struct buf encrypted = {0};
		size_t len = lengths[i];
		uint64_t back;

		cr_assert(eq(int, encrypt_bytes(key, "state", plain, len, &encrypted, &err), 0));
		cr_assert(eq(u64, encrypted.len, encrypted_size(len)));
		cr_assert(decrypted_size(encrypted.len, &back) && back == len);
		cr_assert(eq(int, decrypt_bytes(key, "state", encrypted.data, encrypted.len, &err),
			     0),
			  "%zu bytes: %s", len, err.text);
		cr_assert(len == 0 || memcmp(encrypted.data, plain, len) == 0);
	}
}

Test(encrypt, lengths_that_no_blob_has)
{
	uint64_t plain;

	for (uint64_t len = 1; len <= CIPHER_BOX; len++) {
		cr_assert(not(decrypted_size(len, &plain)));
		cr_assert(not(decrypted_size(CHUNK + CIPHER_BOX + len, &plain)));
	}
	cr_assert(decrypted_size(CIPHER_BOX + 1, &plain) && plain == 1);
}

static int open_copy(const struct buf *encrypted, size_t len, struct err *err)
{
	static uint8_t copy[LONG + 4 * CIPHER_BOX];

	memcpy(copy, encrypted->data, len);
	return decrypt_bytes(key, "state", copy, len, err);
}

Test(encrypt, chunks_can_neither_move_nor_go)
{
	const size_t whole = CHUNK + CIPHER_BOX;
	static uint8_t plain[LONG], aside[CHUNK + CIPHER_BOX];
	cleanup_buf struct buf encrypted = {0};
	struct err err = {0};

	fill(plain, LONG);
	cr_assert(eq(int, encrypt_bytes(key, "state", plain, LONG, &encrypted, &err), 0));
	cr_assert(eq(int, open_copy(&encrypted, encrypted.len, &err), 0));
	for (size_t chunks = 1; chunks <= 3; chunks++)
		cr_assert(lt(int, open_copy(&encrypted, chunks * whole, &err), 0));
	memcpy(aside, encrypted.data, whole);
	memcpy(encrypted.data, encrypted.data + whole, whole);
	memcpy(encrypted.data + whole, aside, whole);
	cr_assert(lt(int, open_copy(&encrypted, encrypted.len, &err), 0));
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
Test(encrypt, blobs_in_files)
{
	static uint8_t plain[LONG], back[LONG];
	struct blob from, encrypted, opened;
	struct err err = {0};

	fill(plain, LONG);
	from = in_memory(plain, LONG);
	cr_assert(eq(int, encrypt_blob(key, "kernel", &from, &encrypted, &err), 0), "%s", err.text);
	cr_assert(eq(u64, encrypted.len, encrypted_size(LONG)));
	cr_assert(eq(int, decrypt_blob(key, "kernel", &encrypted, &opened, &err), 0), "%s",
		  err.text);
	cr_assert(eq(u64, opened.len, LONG));
	cr_assert(eq(int, blob_read(&opened, 0, back, LONG, &err), 0));
	cr_assert_arr_eq(back, plain, LONG);
	close(opened.fd);
	cr_assert(lt(int, decrypt_blob(key, "initrd", &encrypted, &opened, &err), 0));
	cr_assert(eq(int, opened.fd, -1));
	encrypted.len -= 1;
	cr_assert(lt(int, decrypt_blob(key, "kernel", &encrypted, &opened, &err), 0));
	close(encrypted.fd);
	close(from.fd);
}
