/* Keys of encrypted appliances: who gets in, who does not, and what they are told. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "base/json.h"
#include "base/num.h"
#include "format/appliance.h"
#include "format/crypto/keyring.h"
#include "sample.h"

static const char file_one[] = "0123456789abcdef0123456789abcdef";
static const char file_two[] = "0123456789abcdef0123456789abcdeg";

static struct keyring *ring_of(const char *passphrase, const char *file)
{
	struct keyring *k;
	struct err err = {0};

	cr_assert(eq(int, keyring_new(&k, &err), 0), "%s", err.text);
	if (passphrase != NULL)
		cr_assert(eq(int, keyring_passphrase(k, passphrase, strlen(passphrase), &err), 0));
	if (file != NULL)
		cr_assert(eq(int, keyring_key_file(k, file, strlen(file), &err), 0));
	return k;
}

/* The config of an appliance that is locked with the keyring. */
static void make_config(struct keyring *k, struct appliance *a, struct buf *config,
			struct data_key **key)
{
	cleanup_buf struct buf untagged = {0};
	struct err err = {0};

	sample_appliance(a, false);
	cr_assert(eq(int, keyring_encrypt(k, &a->encryption, key, &err), 0), "%s", err.text);
	cr_assert(eq(int, appliance_encode(a, &untagged, &err), 0), "%s", err.text);
	cr_assert(eq(int, keyring_tag(*key, untagged.data, untagged.len, &a->encryption, &err), 0),
		  "%s", err.text);
	cr_assert(eq(int, appliance_encode(a, config, &err), 0), "%s", err.text);
}

struct locked {
	struct appliance a;
	struct buf config;
	struct data_key *key;
};

static void lock(struct locked *l, struct keyring *k, enum encryption_kind kind)
{
	struct err err = {0};

	*l = (struct locked){.key = NULL};
	cr_assert(eq(int, keyring_new_lock(k, kind, &err), 0), "%s", err.text);
	make_config(k, &l->a, &l->config, &l->key);
}

static void unlocked(struct locked *l)
{
	appliance_free(&l->a);
	buf_free(&l->config);
	data_key_free(l->key);
}

static int open_with(const struct locked *l, struct keyring *k, struct err *err)
{
	struct data_key *key;
	int ret = keyring_open(k, &l->a.encryption, l->config.data, l->config.len, "a.torpor", &key,
			       err);

	if (ret == 0) {
		cr_assert_arr_eq(key->bytes, l->key->bytes, CIPHER_KEY);
		data_key_free(key);
	} else {
		cr_assert_null(key);
	}
	return ret;
}

static void refused(const struct locked *l, struct keyring *k, enum err_kind kind, const char *why)
{
	struct err err = {0};

	cr_assert(lt(int, open_with(l, k, &err), 0), "%s", why);
	cr_assert(eq(int, (int)err.kind, (int)kind), "%s", err.text);
	cr_assert_not_null(strstr(err.text, why), "%s", err.text);
}

Test(keyring, passphrase)
{
	struct keyring *mine = ring_of("correct horse", NULL), *theirs = ring_of("battery", NULL);
	struct keyring *empty = ring_of(NULL, file_one);
	struct err err = {0};
	struct locked l;

	lock(&l, mine, ENCRYPTION_PASSPHRASE);
	cr_assert(eq(int, open_with(&l, mine, &err), 0), "%s", err.text);
	refused(&l, theirs, ERR_FAILED, "the passphrase is wrong");
	refused(&l, empty, ERR_USAGE, "passphrase");
	/* What it opened, it opens without the passphrase. */
	keyring_lock_keys(mine);
	cr_assert(eq(int, open_with(&l, mine, &err), 0), "%s", err.text);
	unlocked(&l);
	keyring_free(mine);
	keyring_free(theirs);
	keyring_free(empty);
}

Test(keyring, key_file)
{
	struct keyring *mine = ring_of(NULL, file_one), *theirs = ring_of(NULL, file_two);
	struct keyring *empty = ring_of("correct horse", NULL);
	struct err err = {0};
	struct locked l;

	cr_assert(not(keyring_locks(mine)));
	lock(&l, mine, ENCRYPTION_KEY_FILE);
	cr_assert(keyring_locks(mine));
	cr_assert(eq(int, open_with(&l, mine, &err), 0), "%s", err.text);
	refused(&l, theirs, ERR_FAILED, "the key file is the wrong one");
	refused(&l, empty, ERR_USAGE, "key file");
	/* One that does not open anything locks nothing either. */
	cr_assert(not(keyring_locks(theirs)));
	unlocked(&l);
	keyring_free(mine);
	keyring_free(theirs);
	keyring_free(empty);
}

Test(keyring, sizes)
{
	static const char much[KEYRING_MAX_FILE + 1];
	struct keyring *k = ring_of(NULL, NULL);
	struct err err = {0};

	cr_assert(lt(int, keyring_key_file(k, much, KEYRING_MIN_FILE - 1, &err), 0));
	cr_assert(lt(int, keyring_key_file(k, much, sizeof(much), &err), 0));
	cr_assert(lt(int, keyring_passphrase(k, much, 0, &err), 0));
	cr_assert(lt(int, keyring_passphrase(k, much, KEYRING_PASSPHRASE + 1, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_USAGE));
	keyring_free(k);
}

/* Two appliances of one lock have nothing in common but the lock. */
Test(keyring, each_appliance_has_a_key_of_its_own)
{
	struct keyring *k = ring_of(NULL, file_one);
	struct appliance again;
	struct buf config = {0};
	struct data_key *key;
	struct locked l;

	lock(&l, k, ENCRYPTION_KEY_FILE);
	make_config(k, &again, &config, &key);
	cr_assert_arr_eq(again.encryption.lock.salt, l.a.encryption.lock.salt, ENCRYPTION_SALT);
	cr_assert(ne(int, memcmp(key->bytes, l.key->bytes, CIPHER_KEY), 0));
	cr_assert(ne(int, memcmp(again.encryption.key, l.a.encryption.key, CIPHER_NONCE), 0));
	data_key_free(key);
	buf_free(&config);
	appliance_free(&again);
	unlocked(&l);
	keyring_free(k);
}

/* Who has no key can change nothing, not even what is not encrypted. */
Test(keyring, a_changed_config)
{
	struct keyring *k = ring_of(NULL, file_one);
	struct locked l;
	char *at;

	lock(&l, k, ENCRYPTION_KEY_FILE);
	at = memmem(l.config.data, l.config.len, "\"vcpus\":", 8);
	cr_assert_not_null(at);
	at[8] = at[8] == '1' ? '2' : '1';
	refused(&l, k, ERR_INTEGRITY, "config: it is not what was encrypted");
	unlocked(&l);
	keyring_free(k);
}

static int asked;

static int answer(void *opaque, struct keyring *k, const char *what, struct err *err)
{
	cr_assert_str_eq(what, "a.torpor");
	asked++;
	return keyring_passphrase(k, opaque, strlen(opaque), err);
}

Test(keyring, asks_once)
{
	static char passphrase[] = "correct horse";
	struct keyring *mine = ring_of(passphrase, NULL), *asks = ring_of(NULL, NULL);
	struct err err = {0};
	struct locked l;

	lock(&l, mine, ENCRYPTION_PASSPHRASE);
	keyring_asks(asks, answer, passphrase);
	cr_assert(eq(int, open_with(&l, asks, &err), 0), "%s", err.text);
	cr_assert(eq(int, open_with(&l, asks, &err), 0), "%s", err.text);
	cr_assert(eq(int, asked, 1));
	unlocked(&l);
	keyring_free(mine);
	keyring_free(asks);
}

Test(keyring, from_one_process_to_another)
{
	struct keyring *here = ring_of(NULL, file_one), *there = ring_of(NULL, NULL);
	struct encryption_lock from;
	uint8_t key[CIPHER_KEY];
	struct err err = {0};
	struct locked l;

	lock(&l, here, ENCRYPTION_KEY_FILE);
	keyring_give(here, &from, key);
	keyring_take(there, &from, key);
	cr_assert(keyring_locks(there));
	cr_assert(eq(int, open_with(&l, there, &err), 0), "%s", err.text);
	unlocked(&l);
	keyring_free(here);
	keyring_free(there);
}

/* More locks than are kept: the chosen one is never let go. */
Test(keyring, many_locks)
{
	struct keyring *k = ring_of(NULL, file_one);
	struct err err = {0};
	struct locked first, l;

	lock(&first, k, ENCRYPTION_KEY_FILE);
	for (unsigned i = 0; i < 70; i++) {
		struct keyring *other = ring_of(NULL, file_one);

		lock(&l, other, ENCRYPTION_KEY_FILE);
		cr_assert(eq(int, open_with(&l, k, &err), 0), "%s", err.text);
		unlocked(&l);
		keyring_free(other);
	}
	keyring_lock_keys(k);
	cr_assert(eq(int, open_with(&first, k, &err), 0), "%s", err.text);
	unlocked(&first);
	keyring_free(k);
}

/* --- the config's member --- */

static int decode(const char *text, struct err *err)
{
	cleanup_json json_t *config = json_parse((const uint8_t *)text, strlen(text), err);
	struct encryption e;

	cr_assert_not_null(config, "%s", text);
	return encryption_decode(&e, config, false, err);
}

#define SALT "\"salt\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""
#define KEY                                                                                        \
	"\"key\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" \
	"AA\""
#define TAG   "\"tag\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\""
#define REST  "\"cipher\":\"aes-256-gcm\"," SALT "," KEY "," TAG
#define BLOCK "{\"encryption\":{"

Test(encryption, what_is_accepted)
{
	struct err err = {0};

	cr_assert(eq(int, decode("{}", &err), 0));
	cr_assert(eq(int, decode(BLOCK "\"kdf\":\"key-file\"," REST "}}", &err), 0), "%s",
		  err.text);
	cr_assert(
		eq(int,
		   decode(BLOCK "\"kdf\":\"scrypt\",\"n\":131072,\"r\":8,\"p\":1," REST "}}", &err),
		   0),
		"%s", err.text);
	/* The most and the least that a file may ask for. */
	cr_assert(eq(int,
		     decode(BLOCK "\"kdf\":\"scrypt\",\"n\":1048576,\"r\":8,\"p\":1," REST "}}",
			    &err),
		     0),
		  "%s", err.text);
	cr_assert(
		eq(int,
		   decode(BLOCK "\"kdf\":\"scrypt\",\"n\":16384,\"r\":8,\"p\":1," REST "}}", &err),
		   0),
		"%s", err.text);
}

static const struct {
	char text[400];
	enum err_kind kind;
} bad[] = {
	{"{\"encryption\":1}", ERR_INTEGRITY},
	{BLOCK "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"argon2\"," REST "}}", ERR_INCOMPATIBLE},
	{BLOCK "\"kdf\":\"key-file\",\"cipher\":\"rot13\"," SALT "," KEY "," TAG "}}",
	 ERR_INCOMPATIBLE},
	{BLOCK "\"kdf\":\"key-file\",\"more\":1," REST "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"key-file\",\"n\":2," REST "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"scrypt\"," REST "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"scrypt\",\"n\":3,\"r\":8,\"p\":1," REST "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"scrypt\",\"n\":0,\"r\":8,\"p\":1," REST "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"scrypt\",\"n\":2097152,\"r\":1,\"p\":1," REST "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"scrypt\",\"n\":1048576,\"r\":8,\"p\":4," REST "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"scrypt\",\"n\":1048576,\"r\":8,\"p\":2," REST "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"scrypt\",\"n\":131072,\"r\":8,\"p\":16," REST "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"scrypt\",\"n\":2,\"r\":8,\"p\":1," REST "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"scrypt\",\"n\":8192,\"r\":8,\"p\":16," REST "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"scrypt\",\"n\":1048576,\"r\":16,\"p\":1," REST "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"scrypt\",\"n\":1048576,\"r\":4,\"p\":16," REST "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"key-file\",\"cipher\":\"aes-256-gcm\"," KEY "," TAG "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"key-file\",\"cipher\":\"aes-256-gcm\"," SALT "," TAG "}}", ERR_INTEGRITY},
	{BLOCK "\"kdf\":\"key-file\",\"cipher\":\"aes-256-gcm\"," SALT "," KEY "}}", ERR_INTEGRITY},
};

Test(encryption, what_is_refused)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = {0};

		cr_assert(lt(int, decode(bad[i].text, &err), 0), "%s", bad[i].text);
		cr_assert(eq(int, (int)err.kind, (int)bad[i].kind), "%s: %s", bad[i].text,
			  err.text);
	}
}
