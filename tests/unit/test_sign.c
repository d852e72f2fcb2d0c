/* Keys, signatures, and who is trusted; against what minisign has made. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "format/crypto/sign.h"
#include "format/crypto/signers.h"
#include "minisign_vectors.h"
#include "sample.h"

#define MESSAGE_LEN (sizeof(VECTOR_MESSAGE) - 1)

static struct minisign_public public_key(const char *text)
{
	struct minisign_public key;

	cr_assert_eq(minisign_public_decode(&key, text, strlen(text), NULL), 0);
	return key;
}

static struct minisign_secret secret_key(const char *text)
{
	struct minisign_secret key;

	cr_assert_eq(minisign_secret_decode(&key, text, strlen(text), NULL), 0);
	return key;
}

static struct minisign_signature signature(const char *text)
{
	struct minisign_signature sig;

	cr_assert_eq(minisign_signature_decode(&sig, text, strlen(text), NULL), 0);
	return sig;
}

static int check(const char *sig, const char *key)
{
	struct minisign_signature parsed = signature(sig);
	struct minisign_public public = public_key(key);

	return sign_check(&parsed, &public, VECTOR_MESSAGE, MESSAGE_LEN, NULL);
}

Test(sign, what_minisign_signed_is_good)
{
	cr_expect_eq(check(vector_plain_sig, vector_plain_pub), 0);
	cr_expect_eq(check(vector_legacy_sig, vector_plain_pub), 0);
	cr_expect_eq(check(vector_locked_sig, vector_locked_pub), 0);
	cr_expect(lt(i32, check(vector_plain_sig, vector_locked_pub), 0));
	cr_expect(lt(i32, check(vector_locked_sig, vector_plain_pub), 0));
}

/* Ed25519 is deterministic, and so the signature is minisign's to the byte. */
static void expect_same_signature(struct minisign_secret *key, const char *expected)
{
	struct minisign_signature sig, theirs = signature(expected);
	char text[MINISIGN_TEXT];

	cr_assert_eq(sign_message(&sig, key, VECTOR_MESSAGE, MESSAGE_LEN, theirs.comment, NULL), 0);
	minisign_signature_encode(&sig, text);
	cr_assert(eq(str, strchr(text, '\n'), strchr(expected, '\n')));
}

Test(sign, minisigns_keys_sign_as_minisign_does)
{
	struct minisign_secret key = secret_key(vector_plain_key);

	cr_assert_eq(sign_key_unlock(&key, NULL, 0, NULL), 0);
	expect_same_signature(&key, vector_plain_sig);
	key = secret_key(vector_locked_key);
	cr_assert_eq(sign_key_unlock(&key, VECTOR_PASSPHRASE, strlen(VECTOR_PASSPHRASE), NULL), 0);
	expect_same_signature(&key, vector_locked_sig);
}

Test(sign, a_wrong_passphrase_leaves_it_locked)
{
	struct minisign_secret key = secret_key(vector_locked_key);
	struct minisign_secret before = key;
	struct err err = {0};

	cr_assert(lt(i32, sign_key_unlock(&key, "wrong", 5, &err), 0));
	cr_assert_eq(err.kind, ERR_FAILED);
	cr_assert(eq(str, err.text, (char *)"wrong passphrase"));
	cr_assert(key.is_locked);
	cr_assert_arr_eq(&key.part, &before.part, sizeof(key.part));
}

Test(sign, new_keys_survive_locking)
{
	struct minisign_secret key, copy;
	struct minisign_public public;
	struct minisign_signature sig;

	cr_assert_eq(sign_key_new(&key, NULL), 0);
	sign_key_public(&key, &public);
	copy = key;
	copy.opslimit = 1 << 15;
	copy.memlimit = 1 << 20;
	cr_assert_eq(sign_key_lock(&copy, "secret", 6, NULL), 0);
	cr_assert(ne(i32, memcmp(&copy.part, &key.part, sizeof(key.part)), 0));
	cr_assert_eq(sign_key_unlock(&copy, "secret", 6, NULL), 0);
	cr_assert_arr_eq(copy.part.key, key.part.key, sizeof(key.part.key));
	cr_assert_eq(sign_message(&sig, &copy, "x", 1, "", NULL), 0);
	cr_assert_eq(sign_check(&sig, &public, "x", 1, NULL), 0);
	cr_assert(lt(i32, sign_check(&sig, &public, "y", 1, NULL), 0));
	cr_assert(lt(i32, sign_check(&sig, &public, "x", 0, NULL), 0));
}

Test(sign, two_keys_differ)
{
	struct minisign_secret one, two;

	cr_assert_eq(sign_key_new(&one, NULL), 0);
	cr_assert_eq(sign_key_new(&two, NULL), 0);
	cr_assert(ne(i32, memcmp(one.part.id, two.part.id, sizeof(one.part.id)), 0));
	cr_assert(ne(i32, memcmp(one.part.key, two.part.key, sizeof(one.part.key)), 0));
}

Test(sign, halves_that_do_not_belong_together_are_refused)
{
	struct minisign_secret key = secret_key(vector_plain_key);
	struct err err = {0};

	key.part.key[40] ^= 1;
	cr_assert(lt(i32, sign_key_unlock(&key, NULL, 0, &err), 0));
	cr_assert_eq(err.kind, ERR_INTEGRITY);
}

Test(sign, limits_beyond_minisigns_are_refused_at_once)
{
	static const uint64_t limits[][2] = {{UINT64_C(1) << 26, 1 << 20},
					     {1 << 15, UINT64_C(1) << 31},
					     {UINT64_MAX, UINT64_MAX}};

	for (size_t i = 0; i < 3; i++) {
		struct minisign_secret key = secret_key(vector_locked_key);
		struct err err = {0};

		key.opslimit = limits[i][0];
		key.memlimit = limits[i][1];
		cr_assert(lt(i32, sign_key_unlock(&key, "a", 1, &err), 0));
		cr_assert_eq(err.kind, ERR_INTEGRITY);
	}
}

/* The smallest limits are some, and no division by zero. */
Test(sign, limits_of_nothing)
{
	struct minisign_secret key = secret_key(vector_locked_key);

	key.opslimit = 0;
	key.memlimit = 0;
	cr_assert(lt(i32, sign_key_unlock(&key, "a", 1, NULL), 0));
}

Test(sign, comments_that_cannot_be_written_are_refused)
{
	struct minisign_secret key = secret_key(vector_plain_key);
	struct minisign_signature sig;
	char long_comment[MINISIGN_COMMENT + 2];
	struct err err = {0};

	cr_assert(lt(i32, sign_message(&sig, &key, "x", 1, "two\nlines", &err), 0));
	cr_assert_eq(err.kind, ERR_USAGE);
	memset(long_comment, 'x', sizeof(long_comment));
	long_comment[MINISIGN_COMMENT + 1] = '\0';
	cr_assert(lt(i32, sign_message(&sig, &key, "x", 1, long_comment, &err), 0));
}

/* Every bit of a signature's file counts, but for those of the untrusted comment. */
Test(sign, every_flip_is_refused)
{
	size_t whole = strlen(vector_plain_sig);
	size_t untrusted = (size_t)(strchr(vector_plain_sig, '\n') - vector_plain_sig);
	struct minisign_public key = public_key(vector_plain_pub);
	struct signers signers = {.list = &(struct signer){.key = key}, .count = 1};
	char text[1024];

	strcpy(text, vector_plain_sig);
	cr_assert_eq(signers_check(&signers, VECTOR_MESSAGE, MESSAGE_LEN, text, whole, NULL, NULL),
		     0);
	/* (Without the last newline it is the same.) */
	for (size_t at = untrusted; at < whole - 1; at++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			struct err err = {0};

			text[at] = (char)(text[at] ^ 1 << bit);
			cr_assert(lt(i32,
				     signers_check(&signers, VECTOR_MESSAGE, MESSAGE_LEN, text,
						   whole, NULL, &err),
				     0),
				  "bit %u of byte %zu", bit, at);
			cr_assert_eq(err.kind, ERR_INTEGRITY);
			text[at] = (char)(text[at] ^ 1 << bit);
		}
	}
}

Test(sign, every_flip_of_the_message_is_refused)
{
	struct minisign_signature sig = signature(vector_plain_sig);
	struct minisign_signature legacy = signature(vector_legacy_sig);
	struct minisign_public key = public_key(vector_plain_pub);
	char message[] = VECTOR_MESSAGE;

	for (size_t at = 0; at < MESSAGE_LEN; at++) {
		message[at] ^= 1;
		cr_assert(lt(i32, sign_check(&sig, &key, message, MESSAGE_LEN, NULL), 0));
		cr_assert(lt(i32, sign_check(&legacy, &key, message, MESSAGE_LEN, NULL), 0));
		message[at] ^= 1;
	}
	cr_assert_eq(sign_check(&sig, &key, message, MESSAGE_LEN, NULL), 0);
}

/* A prehashed signature is none of the hash as a message, nor the other way round. */
Test(sign, the_two_kinds_are_not_exchanged)
{
	struct minisign_signature sig = signature(vector_plain_sig);
	struct minisign_public key = public_key(vector_plain_pub);

	sig.prehashed = false;
	cr_assert(lt(i32, sign_check(&sig, &key, VECTOR_MESSAGE, MESSAGE_LEN, NULL), 0));
	sig = signature(vector_legacy_sig);
	sig.prehashed = true;
	cr_assert(lt(i32, sign_check(&sig, &key, VECTOR_MESSAGE, MESSAGE_LEN, NULL), 0));
}

/* ---- who is trusted ---- */

TestSuite(signers, .init = sample_begin, .fini = sample_end);

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	cr_assert(ne(ptr, f, NULL));
	fputs(text, f);
	fclose(f);
}

static int check_text(const struct signers *signers, const char *sig, struct signed_by *by,
		      struct err *err)
{
	return signers_check(signers, VECTOR_MESSAGE, MESSAGE_LEN, sig,
			     sig != NULL ? strlen(sig) : 0, by, err);
}

Test(signers, a_key_by_file_or_by_itself)
{
	struct signers signers = {0};
	struct signed_by by;
	char line[MINISIGN_KEY_LINE + 1] = "";

	put("alice.pub", vector_plain_pub);
	memcpy(line, strchr(vector_locked_pub, '\n') + 1, MINISIGN_KEY_LINE);
	cr_assert_eq(signers_add_key(&signers, "./alice.pub", NULL), 0);
	cr_assert_eq(signers_add_key(&signers, line, NULL), 0);
	cr_assert_eq(check_text(&signers, vector_plain_sig, &by, NULL), 0);
	cr_expect(eq(str, by.id, (char *)VECTOR_PLAIN_ID));
	cr_expect(eq(str, by.name, (char *)"alice.pub"));
	cr_expect(eq(str, by.comment, (char *)"all of it is good"));
	cr_assert_eq(check_text(&signers, vector_locked_sig, &by, NULL), 0);
	cr_expect(eq(str, by.name, (char *)""));
	signers_free(&signers);
}

Test(signers, no_key_is_no_trust)
{
	struct signers signers = {0};
	struct err err = {0};

	cr_expect(lt(i32, signers_add_key(&signers, "missing.pub", &err), 0));
	cr_expect_eq(err.kind, ERR_NOT_FOUND);
	put("signature.pub", vector_plain_sig);
	cr_expect(lt(i32, signers_add_key(&signers, "signature.pub", &err), 0));
	cr_expect_eq(err.kind, ERR_INTEGRITY);
	cr_expect(lt(i32, signers_add_key(&signers, ".", &err), 0));
	cr_expect(eq(sz, signers.count, 0));
	cr_expect(lt(i32, check_text(&signers, vector_plain_sig, NULL, &err), 0));
}

static void expect_refusal(const struct signers *signers, const char *sig, const char *words)
{
	struct err err = {0};

	cr_expect(lt(i32, check_text(signers, sig, NULL, &err), 0));
	cr_expect_eq(err.kind, ERR_INTEGRITY);
	cr_expect(ne(ptr, strstr(err.text, words), NULL), "'%s' is not in: %s", words, err.text);
}

Test(signers, each_refusal_in_its_own_words)
{
	struct signers signers = {0};

	put("bob.pub", vector_locked_pub);
	cr_assert_eq(signers_add_key(&signers, "bob.pub", NULL), 0);
	expect_refusal(&signers, NULL, "it is not signed");
	expect_refusal(&signers, vector_plain_sig,
		       "it is signed by key " VECTOR_PLAIN_ID ", which is not trusted");
	expect_refusal(&signers, "", "not a signature");
	/* A stranger's signature under our key's id. */
	memcpy(signers.list[0].key.id, public_key(vector_plain_pub).id, MINISIGN_ID);
	expect_refusal(&signers, vector_plain_sig, "the signature is wrong");
	/* An id that two keys have. */
	put("alice.pub", vector_plain_pub);
	cr_assert_eq(signers_add_key(&signers, "alice.pub", NULL), 0);
	cr_expect_eq(check_text(&signers, vector_plain_sig, NULL, NULL), 0);
	signers_free(&signers);
}

Test(signers, a_folder_of_keys)
{
	struct signers signers = {0};
	struct signed_by by;

	cr_assert_eq(sample_shell("mkdir -m 755 trust; umask 022; echo other > trust/README; "
				  "echo broken > trust/.hidden.pub"),
		     0);
	cr_expect(lt(i32, signers_add_folder(&signers, "trust", NULL), 0), "none at all");
	put("trust/alice.pub", vector_plain_pub);
	put("trust/bob.pub", vector_locked_pub);
	cr_assert_eq(sample_shell("chmod 644 trust/*"), 0);
	cr_assert_eq(signers_add_folder(&signers, "trust", NULL), 0);
	cr_assert(eq(sz, signers.count, 2));
	cr_assert_eq(check_text(&signers, vector_locked_sig, &by, NULL), 0);
	cr_expect(eq(str, by.name, (char *)"bob.pub"));
	signers_free(&signers);
}

Test(signers, a_folder_that_others_write_is_refused)
{
	struct signers signers = {0};
	struct err err = {0};

	cr_expect(lt(i32, signers_add_folder(&signers, "missing", &err), 0));
	cr_expect_eq(err.kind, ERR_NOT_FOUND);
	cr_assert_eq(sample_shell("mkdir -m 755 trust"), 0);
	put("trust/alice.pub", vector_plain_pub);
	cr_assert_eq(sample_shell("chmod 664 trust/alice.pub"), 0);
	cr_expect(lt(i32, signers_add_folder(&signers, "trust", &err), 0));
	cr_expect(ne(ptr, strstr(err.text, "writable by nobody else"), NULL));
	cr_assert_eq(sample_shell("chmod 644 trust/alice.pub; chmod 777 trust"), 0);
	cr_expect(lt(i32, signers_add_folder(&signers, "trust", &err), 0));
	cr_assert_eq(sample_shell("chmod 755 trust; echo nonsense > trust/bad.pub"), 0);
	cr_assert_eq(sample_shell("chmod 644 trust/bad.pub"), 0);
	cr_expect(lt(i32, signers_add_folder(&signers, "trust", &err), 0), "a malformed key");
	signers_free(&signers);
}
