/* See keyring.h. All of it lies in memory for keys (secret.h). */
#include "format/crypto/keyring.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "format/crypto/digest.h"
#include "format/crypto/lazy.h"
#include "format/crypto/secret.h"

#define MAX_LOCKS 32u
/* 128 MiB, and some tenths of a second: an attacker pays that for each guess. */
#define SCRYPT_N (UINT64_C(1) << 17)
#define SCRYPT_R 8u
#define SCRYPT_P 1u
/* What libcrypto may take: the table, and something beside it. */
#define SCRYPT_MEMORY (GIB(1) + MIB(64))

static const char wrong[][32] = {
	[ENCRYPTION_PASSPHRASE] = "the passphrase is wrong",
	[ENCRYPTION_KEY_FILE] = "the key file is the wrong one",
};

struct lock {
	struct encryption_lock from;
	struct data_key key;
};

struct keyring {
	char passphrase[KEYRING_PASSPHRASE];
	size_t passphrase_len; /* 0: none */
	uint8_t key_file[KEYRING_MAX_FILE];
	size_t key_file_len; /* 0: none */
	int (*ask)(void *opaque, struct keyring *k, const char *what, struct err *err);
	void *opaque;
	struct lock lock[MAX_LOCKS];
	unsigned nlocks;
	unsigned next;	 /* to be overwritten when there is no room */
	unsigned chosen; /* for new files, of those there are */
};

int keyring_new(struct keyring **out, struct err *err)
{
	*out = secret_new(sizeof(**out), err);
	return *out != NULL ? 0 : -ENOMEM;
}

void keyring_free(struct keyring *k)
{
	secret_free(k, sizeof(*k));
}

void keyring_lock_keys(struct keyring *k)
{
	explicit_bzero(k->passphrase, sizeof(k->passphrase));
	explicit_bzero(k->key_file, sizeof(k->key_file));
	k->passphrase_len = 0;
	k->key_file_len = 0;
	k->ask = NULL;
	secret_lock(k, sizeof(*k));
}

int keyring_passphrase(struct keyring *k, const void *text, size_t len, struct err *err)
{
	if (len == 0 || len > sizeof(k->passphrase))
		return err_set(err, ERR_USAGE, "a passphrase has 1 to %zu bytes",
			       sizeof(k->passphrase));
	memcpy(k->passphrase, text, len);
	k->passphrase_len = len;
	return 0;
}

int keyring_key_file(struct keyring *k, const void *data, size_t len, struct err *err)
{
	if (len < KEYRING_MIN_FILE || len > sizeof(k->key_file))
		return err_set(err, ERR_USAGE, "a key file has %u to %zu random bytes",
			       KEYRING_MIN_FILE, sizeof(k->key_file));
	memcpy(k->key_file, data, len);
	k->key_file_len = len;
	return 0;
}

void keyring_asks(struct keyring *k,
		  int (*ask)(void *opaque, struct keyring *k, const char *what, struct err *err),
		  void *opaque)
{
	k->ask = ask;
	k->opaque = opaque;
}

/* --- lock keys --- */

static int from_passphrase(const struct keyring *k, struct lock *lock, struct err *err)
{
	const struct encryption_lock *from = &lock->from;
	const struct cipher_api *api = lazy_cipher(err);

	if (api == NULL)
		return -ENOSYS;
	return api->scrypt(k->passphrase, k->passphrase_len, from->salt, sizeof(from->salt),
			   from->n, from->r, from->p, SCRYPT_MEMORY, lock->key.bytes,
			   sizeof(lock->key.bytes)) == 1
		       ? 0
		       : err_set(err, ERR_FAILED,
				 "the passphrase's key cannot be derived: too little memory");
}

/* SHA-256 of salt and file: what is random enough needs no stretching. */
static int from_key_file(const struct keyring *k, struct lock *lock, struct err *err)
{
	cleanup_digest struct digest *d = NULL;
	int ret;

	if (k->key_file_len == 0)
		return err_set(err, ERR_USAGE, "it is encrypted with a key file: give --key-file");
	ret = digest_new(&d, err);
	if (ret < 0)
		return ret;
	digest_add(d, lock->from.salt, sizeof(lock->from.salt));
	digest_add(d, k->key_file, k->key_file_len);
	return digest_end(d, lock->key.bytes, err);
}

static int derive(struct keyring *k, struct lock *lock, const char *what, struct err *err)
{
	if (lock->from.kind == ENCRYPTION_KEY_FILE)
		return from_key_file(k, lock, err);
	if (k->passphrase_len == 0) {
		int ret = k->ask != NULL
				  ? k->ask(k->opaque, k, what, err)
				  : err_set(err, ERR_USAGE,
					    "it is encrypted with a passphrase, and none is given");

		if (ret < 0)
			return ret;
	}
	return from_passphrase(k, lock, err);
}

static unsigned add_lock(struct keyring *k, const struct lock *lock)
{
	unsigned at = k->nlocks;

	if (at < MAX_LOCKS) {
		k->nlocks++;
	} else {
		k->next += k->next == k->chosen;
		at = k->next++ % MAX_LOCKS;
		k->next %= MAX_LOCKS;
	}
	k->lock[at] = *lock;
	return at;
}

static const struct lock *chosen_lock(const struct keyring *k)
{
	assert(k->nlocks > 0);
	return &k->lock[k->chosen];
}

static const struct lock *find_lock(const struct keyring *k, const struct encryption_lock *from)
{
	for (unsigned i = 0; i < k->nlocks; i++) {
		const struct encryption_lock *has = &k->lock[i].from;

		if (has->kind == from->kind && has->n == from->n && has->r == from->r &&
		    has->p == from->p && memcmp(has->salt, from->salt, sizeof(has->salt)) == 0)
			return &k->lock[i];
	}
	return NULL;
}

/* --- opening --- */

static int unwrap(const struct lock *lock, const struct encryption *e, struct data_key *key,
		  struct err *err)
{
	cleanup_cipher struct cipher *s = NULL;
	int ret = cipher_new(&s, err);

	if (ret < 0)
		return ret;
	ret = decrypt_box(s, &lock->key, NULL, 0, e->key, key->bytes, sizeof(key->bytes), NULL);
	return ret == 0 ? 0 : err_set(err, ERR_FAILED, "%s", wrong[lock->from.kind]);
}

/* A lock key that does not open is not kept. */
static int unlock_data_key(struct keyring *k, const struct encryption *e, const char *what,
			   struct data_key *key, struct err *err)
{
	const struct lock *known = find_lock(k, &e->lock);
	struct lock lock = {.from = e->lock};
	int ret;

	if (known != NULL)
		return unwrap(known, e, key, err);
	ret = derive(k, &lock, what, err);
	if (ret == 0)
		ret = unwrap(&lock, e, key, err);
	if (ret == 0)
		(void)add_lock(k, &lock);
	explicit_bzero(&lock.key, sizeof(lock.key));
	return ret;
}

static int check_tag(const struct data_key *key, const struct encryption *e, const void *config,
		     size_t len, struct err *err)
{
	cleanup_cipher struct cipher *s = NULL;
	cleanup_buf struct buf bound = {0};
	uint8_t none[1];
	int ret = encryption_bound(config, len, &bound, err);

	if (ret < 0)
		return err_context(err, ret, "config");
	ret = cipher_new(&s, err);
	if (ret < 0)
		return ret;
	ret = decrypt_box(s, key, bound.data, bound.len, e->tag, none, 0, err);
	return ret < 0 ? err_context(err, ret, "config") : 0;
}

int keyring_open(struct keyring *k, const struct encryption *e, const void *config, size_t len,
		 const char *what, struct data_key **key, struct err *err)
{
	cleanup_data_key struct data_key *opened = secret_new(sizeof(*opened), err);
	int ret;

	*key = NULL;
	if (opened == NULL)
		return -ENOMEM;
	ret = unlock_data_key(k, e, what, opened, err);
	if (ret < 0)
		return ret;
	ret = check_tag(opened, e, config, len, err);
	if (ret < 0)
		return ret;
	*key = take_ptr(opened);
	return 0;
}

/* --- making --- */

int keyring_new_lock(struct keyring *k, enum encryption_kind kind, struct err *err)
{
	struct lock lock = {.from.kind = kind};
	int ret;

	if (kind == ENCRYPTION_PASSPHRASE) {
		lock.from.n = SCRYPT_N;
		lock.from.r = SCRYPT_R;
		lock.from.p = SCRYPT_P;
	}
	if (getentropy(lock.from.salt, sizeof(lock.from.salt)) < 0)
		return err_sys(err, errno, "random numbers");
	ret = derive(k, &lock, "what is written", err);
	if (ret == 0)
		k->chosen = add_lock(k, &lock);
	explicit_bzero(&lock.key, sizeof(lock.key));
	return ret;
}

bool keyring_locks(const struct keyring *k)
{
	return k != NULL && k->nlocks > 0;
}

int keyring_encrypt(const struct keyring *k, struct encryption *e, struct data_key **key,
		    struct err *err)
{
	cleanup_cipher struct cipher *s = NULL;
	const struct lock *lock = chosen_lock(k);
	cleanup_data_key struct data_key *made = NULL;
	int ret = cipher_new(&s, err);

	*key = NULL;
	if (ret < 0)
		return ret;
	ret = data_key_new(&made, err);
	if (ret < 0)
		return ret;
	*e = (struct encryption){.lock = lock->from};
	ret = encrypt_box(s, &lock->key, NULL, 0, made->bytes, sizeof(made->bytes), e->key, err);
	if (ret < 0)
		return ret;
	*key = take_ptr(made);
	return 0;
}

int keyring_tag(const struct data_key *key, const void *config, size_t len, struct encryption *e,
		struct err *err)
{
	cleanup_cipher struct cipher *s = NULL;
	cleanup_buf struct buf bound = {0};
	int ret = encryption_bound(config, len, &bound, err);

	if (ret < 0)
		return ret;
	ret = cipher_new(&s, err);
	return ret < 0 ? ret : encrypt_box(s, key, bound.data, bound.len, NULL, 0, e->tag, err);
}

void keyring_give(const struct keyring *k, struct encryption_lock *lock, uint8_t key[CIPHER_KEY])
{
	*lock = chosen_lock(k)->from;
	memcpy(key, chosen_lock(k)->key.bytes, CIPHER_KEY);
}

void keyring_take(struct keyring *k, const struct encryption_lock *from,
		  const uint8_t key[CIPHER_KEY])
{
	struct lock lock = {.from = *from};

	memcpy(lock.key.bytes, key, CIPHER_KEY);
	k->chosen = add_lock(k, &lock);
	explicit_bzero(&lock.key, sizeof(lock.key));
}
