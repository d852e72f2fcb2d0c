/* The text of minisign's files, and what is under it: base64 and BLAKE2b. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "format/crypto/base64.h"
#include "format/crypto/blake2b.h"
#include "format/crypto/minisign.h"
#include "minisign_vectors.h"

Test(base64, rfc_4648_section_10)
{
	static const char *const texts[] = {"",		"Zg==",	    "Zm8=",    "Zm9v",
					    "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};

	for (size_t len = 0; len < ARRAY_SIZE(texts); len++) {
		char text[16], back[8] = "";

		base64_encode("foobar", len, text);
		cr_assert(eq(str, text, (char *)texts[len]));
		cr_assert(base64_decode(text, strlen(text), back, len));
		cr_assert_arr_eq(back, "foobar", len);
	}
}

Test(base64, accepts_one_spelling_only)
{
	static const char *const bad[] = {"Zm9v\n", "Zm9",  "Zm9=", "Zm-v", "Z===", "====",
					  "Zh==",   "Zg=a", "Zm8",  "Zm9",  " m8=", "Zn8_"};
	char out[8];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		for (size_t len = 1; len <= 3; len++)
			cr_assert_not(base64_decode(bad[i], strlen(bad[i]), out, len), "%s",
				      bad[i]);
	}
	cr_assert_not(base64_decode("Zm9=", 4, out, 2), "bits behind the end");
	cr_assert_not(base64_decode("Zm9v", 4, out, 2), "no padding");
	cr_assert_not(base64_decode("Zm8\0", 4, out, 3), "a NUL");
}

static void expect_hash(const char *data, size_t len, size_t out_len, const char *expected)
{
	uint8_t out[BLAKE2B_MAX];
	char text[2 * BLAKE2B_MAX + 1];

	blake2b(out, out_len, data, len);
	for (size_t i = 0; i < out_len; i++)
		snprintf(text + 2 * i, 3, "%02x", out[i]);
	cr_expect(eq(str, text, (char *)expected));
}

/* The first is of RFC 7693, appendix A; the others are Python's hashlib.blake2b. */
Test(blake2b, vectors)
{
	static const char zeros[256];

	expect_hash("abc", 3, 64,
		    "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
		    "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923");
	expect_hash(zeros, 0, 32,
		    "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
	expect_hash(zeros, 127, 32,
		    "0f2dfeb03485c703d0c8584a40d135192ecb150247e9377595ed718d84b08a85");
	expect_hash(zeros, 128, 32,
		    "378d0caaaa3855f1b38693c1d6ef004fd118691c95c959d4efa950d6d6fcf7c1");
	expect_hash(zeros, 129, 32,
		    "baadfb64c3bd2cd187b54accc5e61a0720ed86bf48c28017873536cf9015d1b8");
	expect_hash(zeros, 256, 32,
		    "2b69702a889248a4d6620475a105dccd5e0d4230aca8a492aaf6510e55d55b02");
}

static int read_public(const char *text, size_t len, struct err *err)
{
	struct minisign_public key;

	return minisign_public_decode(&key, text, len, err);
}

static int read_secret(const char *text, size_t len, struct err *err)
{
	struct minisign_secret key;

	return minisign_secret_decode(&key, text, len, err);
}

static int read_signature(const char *text, size_t len, struct err *err)
{
	struct minisign_signature sig;

	return minisign_signature_decode(&sig, text, len, err);
}

/* From a block of its own, so that a sanitizer sees a byte too many. */
static int read_copy(int (*read)(const char *, size_t, struct err *), const char *text, size_t len,
		     struct err *err)
{
	char *copy = malloc(len > 0 ? len : 1);
	int ret;

	memcpy(copy, text, len);
	ret = read(copy, len, err);
	free(copy);
	return ret;
}

/* The last newline is optional, nothing else is. */
static void refuse_truncations(int (*read)(const char *, size_t, struct err *), const char *text)
{
	size_t whole = strlen(text);

	cr_assert_eq(read_copy(read, text, whole, NULL), 0);
	cr_assert_eq(read_copy(read, text, whole - 1, NULL), 0);
	for (size_t len = 0; len < whole - 1; len++) {
		struct err err = {0};

		cr_assert(lt(i32, read_copy(read, text, len, &err), 0), "%zu bytes of it", len);
		cr_assert_eq(err.kind, ERR_INTEGRITY);
	}
}

Test(minisign, truncations_are_refused)
{
	refuse_truncations(read_public, vector_plain_pub);
	refuse_truncations(read_secret, vector_locked_key);
	refuse_truncations(read_signature, vector_locked_sig);
}

static void refuse(int (*read)(const char *, size_t, struct err *), const char *text,
		   const char *words)
{
	struct err err = {0};

	cr_expect(lt(i32, read_copy(read, text, strlen(text), &err), 0));
	cr_expect_eq(err.kind, ERR_INTEGRITY);
	cr_expect(ne(ptr, strstr(err.text, words), NULL), "'%s' is not in: %s", words, err.text);
}

static void refuse_with(int (*read)(const char *, size_t, struct err *), const char *text,
			const char *from, const char *to, const char *words)
{
	const char *at = strstr(text, from);
	char changed[MINISIGN_TEXT + 64];

	cr_assert(ne(ptr, (void *)at, NULL));
	snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text, to,
		 at + strlen(from));
	refuse(read, changed, words);
}

Test(minisign, unknown_algorithms_are_named)
{
	/* In base64 "Ed" is RW and a bit more, "ED" RU. */
	refuse_with(read_public, vector_plain_pub, "\nRW", "\nRX", "algorithm is Et");
	refuse_with(read_signature, vector_plain_sig, "\nRU", "\nAU", "algorithm is 0x0144");
	refuse_with(read_secret, vector_plain_key, "\nRWQAAEIy", "\nRWQBAEIy",
		    "key derivation is 0x0100");
	refuse_with(read_secret, vector_locked_key, "\nRWRTY0Iy", "\nRWRTY0Ez", "checksum is A3");
	refuse_with(read_secret, vector_locked_key, "\nRWR", "\nQWR", "algorithm is Ad");
}

Test(minisign, what_stands_around_it_is_refused)
{
	refuse_with(read_public, vector_plain_pub, "untrusted", "Untrusted", "public key");
	refuse_with(read_secret, vector_plain_key,
		    "untrusted comment:", "comment:", "untrusted comment");
	refuse_with(read_signature, vector_plain_sig, "\ntrusted", "\nTrusted", "trusted comment");
	refuse_with(read_signature, vector_plain_sig, "all of", "all\033[2J of", "unprintable");
	refuse_with(read_signature, vector_plain_sig, "all of", "all\302\233 of", "unprintable");
	refuse_with(read_signature, vector_plain_sig, "==\n", "==\nmore\n", "behind its end");
	refuse_with(read_signature, vector_plain_sig, "==\n", "==\n\n", "behind its end");
	refuse_with(read_signature, vector_plain_sig, "==\n", "== \n", "base64");
	refuse_with(read_public, vector_plain_pub, "\nRW", "\n\nRW", "base64");
	refuse(read_secret, vector_plain_pub, "base64");
	refuse(read_public, vector_plain_sig, "base64");
	refuse(read_signature, vector_plain_pub, "base64");
}

Test(minisign, lengths_are_capped)
{
	size_t prefix = strlen("untrusted comment: ");
	char *text = malloc(2 * MINISIGN_TEXT + 1);

	memset(text, 'a', 2 * MINISIGN_TEXT);
	memcpy(text, vector_plain_sig, prefix);
	text[2 * MINISIGN_TEXT] = '\0';
	refuse(read_signature, text, "too long");
	refuse(read_public, text, "too long");
	refuse(read_secret, text, "too long");
	text[MINISIGN_TEXT] = '\0';
	refuse(read_signature, text, "untrusted comment");
	free(text);
}

Test(minisign, the_longest_trusted_comment)
{
	struct minisign_signature sig = {.prehashed = true}, back;
	char *text = malloc(MINISIGN_TEXT);
	size_t len;

	memset(sig.comment, 'x', MINISIGN_COMMENT);
	len = minisign_signature_encode(&sig, text);
	cr_assert(lt(sz, len, MINISIGN_TEXT));
	cr_assert_eq(minisign_signature_decode(&back, text, len, NULL), 0);
	cr_assert(eq(str, back.comment, sig.comment));
	/* One more. */
	memmove(text + 400, text + 300, len - 300);
	memset(text + 300, 'x', 100);
	cr_assert(lt(i32, minisign_signature_decode(&back, text, len + 100, NULL), 0));
	free(text);
}

Test(minisign, a_bare_key_is_the_same_key)
{
	struct minisign_public file, bare;
	const char *line = strchr(vector_plain_pub, '\n') + 1;
	char id[MINISIGN_ID_TEXT], again[MINISIGN_KEY_LINE + 1];

	cr_assert_eq(
		minisign_public_decode(&file, vector_plain_pub, strlen(vector_plain_pub), NULL), 0);
	cr_assert_eq(minisign_public_decode(&bare, line, MINISIGN_KEY_LINE, NULL), 0);
	cr_assert_arr_eq(&file, &bare, sizeof(file));
	minisign_id_text(file.id, id);
	cr_assert(eq(str, id, (char *)VECTOR_PLAIN_ID));
	minisign_public_line(&file, again);
	cr_assert_arr_eq(again, line, MINISIGN_KEY_LINE);
}

Test(minisign, crlf_is_a_newline)
{
	char text[1024], *out = text;

	for (const char *in = vector_plain_sig; *in != '\0'; in++) {
		if (*in == '\n')
			*out++ = '\r';
		*out++ = *in;
	}
	cr_assert_eq(read_copy(read_signature, text, (size_t)(out - text), NULL), 0);
}

/* Behind the comment line, what is written is what was read. */
Test(minisign, rewriting_changes_nothing)
{
	struct minisign_secret secret;
	struct minisign_signature sig;
	char text[MINISIGN_TEXT];

	cr_assert_eq(
		minisign_secret_decode(&secret, vector_locked_key, strlen(vector_locked_key), NULL),
		0);
	cr_assert(secret.is_locked);
	minisign_secret_encode(&secret, text);
	cr_assert(eq(str, strchr(text, '\n'), strchr(vector_locked_key, '\n')));
	cr_assert_eq(
		minisign_secret_decode(&secret, vector_plain_key, strlen(vector_plain_key), NULL),
		0);
	cr_assert_not(secret.is_locked);
	minisign_secret_encode(&secret, text);
	cr_assert(eq(str, strchr(text, '\n'), strchr(vector_plain_key, '\n')));
	cr_assert_eq(
		minisign_signature_decode(&sig, vector_legacy_sig, strlen(vector_legacy_sig), NULL),
		0);
	cr_assert_not(sig.prehashed);
	minisign_signature_encode(&sig, text);
	cr_assert(eq(str, strchr(text, '\n'), strchr(vector_legacy_sig, '\n')));
}
