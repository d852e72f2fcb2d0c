/* See encryption.h. The text is hostile: scrypt's work and memory are bounded here. */
#include "format/crypto/encryption.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/num.h"
#include "format/crypto/base64.h"

#define CIPHER	 "aes-256-gcm"
#define MEMBER	 "encryption"
#define SCRYPT	 "scrypt"
#define KEY_FILE "key-file"
#define MAX_N	 (UINT64_C(1) << 20)
#define MAX_R	 16u
#define MAX_P	 16u
/* 128 n r: what each guess costs an attacker, and what a hostile file may cost us. */
#define MIN_MEMORY MIB(16)
#define MAX_MEMORY GIB(1)
/* n r p: eight times what keyring.c asks for, some seconds. */
#define MAX_WORK (UINT64_C(1) << 23)

static void set_base64(json_t *object, const char *name, const void *data, size_t len)
{
	char text[BASE64_LEN(CIPHER_BOX + CIPHER_KEY) + 1];

	base64_encode(data, len, text);
	json_object_set_new(object, name, json_string(text));
}

static int get_base64(json_t *object, const char *name, void *data, size_t len, struct err *err)
{
	const char *text;
	int ret = json_get_string(object, name, &text, err);

	if (ret < 0)
		return ret;
	return base64_decode(text, strlen(text), data, len)
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "\"%s\" is not base64 of the right length",
				 name);
}

json_t *encryption_lock_encode(const struct encryption_lock *lock)
{
	json_t *object;

	if (lock->kind == ENCRYPTION_KEY_FILE)
		object = json_pack("{s:s}", "kdf", KEY_FILE);
	else
		object = json_pack("{s:s,s:I,s:I,s:I}", "kdf", SCRYPT, "n", (json_int_t)lock->n,
				   "r", (json_int_t)lock->r, "p", (json_int_t)lock->p);
	set_base64(object, "salt", lock->salt, sizeof(lock->salt));
	return object;
}

json_t *encryption_encode(const struct encryption *e)
{
	json_t *object = encryption_lock_encode(&e->lock);

	json_object_set_new(object, "cipher", json_string(CIPHER));
	set_base64(object, "key", e->key, sizeof(e->key));
	set_base64(object, "tag", e->tag, sizeof(e->tag));
	return object;
}

static int refuse_scrypt(const struct encryption_lock *lock, const char *what, struct err *err)
{
	return err_set(err, ERR_INTEGRITY, "scrypt with n=%llu r=%llu p=%llu takes %s",
		       (unsigned long long)lock->n, (unsigned long long)lock->r,
		       (unsigned long long)lock->p, what);
}

static int decode_scrypt(struct encryption_lock *lock, json_t *object, struct err *err)
{
	int ret = json_get_uint(object, "n", 2, MAX_N, &lock->n, err);

	if (ret < 0)
		return ret;
	ret = json_get_uint(object, "r", 1, MAX_R, &lock->r, err);
	if (ret < 0)
		return ret;
	ret = json_get_uint(object, "p", 1, MAX_P, &lock->p, err);
	if (ret < 0)
		return ret;
	if ((lock->n & (lock->n - 1)) != 0)
		return err_set(err, ERR_INTEGRITY, "scrypt: n=%llu is not a power of two",
			       (unsigned long long)lock->n);
	if (128 * lock->n * lock->r < MIN_MEMORY)
		return refuse_scrypt(lock, "so little that its passphrase could be guessed", err);
	if (128 * lock->n * lock->r > MAX_MEMORY || lock->n * lock->r * lock->p > MAX_WORK)
		return refuse_scrypt(lock, "more than 1 GiB or some seconds", err);
	return 0;
}

int encryption_lock_decode(struct encryption_lock *lock, json_t *object, struct err *err)
{
	const char *kdf;
	int ret = json_get_string(object, "kdf", &kdf, err);

	*lock = (struct encryption_lock){.kind = ENCRYPTION_KEY_FILE};
	if (ret < 0)
		return ret;
	if (strcmp(kdf, SCRYPT) == 0) {
		lock->kind = ENCRYPTION_PASSPHRASE;
		ret = decode_scrypt(lock, object, err);
		if (ret < 0)
			return ret;
	} else if (strcmp(kdf, KEY_FILE) != 0) {
		return err_set(err, ERR_INCOMPATIBLE,
			       "the key derivation \"%.20s\" is unknown to this torpor", kdf);
	}
	return get_base64(object, "salt", lock->salt, sizeof(lock->salt), err);
}

static int check_cipher(json_t *object, struct err *err)
{
	const char *cipher;
	int ret = json_get_string(object, "cipher", &cipher, err);

	if (ret < 0)
		return ret;
	if (strcmp(cipher, CIPHER) != 0)
		return err_set(err, ERR_INCOMPATIBLE,
			       "the cipher \"%.20s\" is unknown to this torpor", cipher);
	return 0;
}

static int decode_members(struct encryption *e, json_t *config, bool newer, struct err *err)
{
	static const char *const scrypt[] = {"cipher", "kdf", "n",   "r", "p",
					     "salt",   "key", "tag", NULL};
	static const char *const key_file[] = {"cipher", "kdf", "salt", "key", "tag", NULL};
	json_t *object;
	int ret = json_get_object(config, MEMBER, &object, err);

	if (ret < 0)
		return ret;
	ret = check_cipher(object, err);
	if (ret < 0)
		return ret;
	ret = encryption_lock_decode(&e->lock, object, err);
	if (ret < 0)
		return ret;
	ret = get_base64(object, "key", e->key, sizeof(e->key), err);
	if (ret < 0)
		return ret;
	ret = get_base64(object, "tag", e->tag, sizeof(e->tag), err);
	if (ret < 0 || newer)
		return ret;
	return json_only(object, e->lock.kind == ENCRYPTION_PASSPHRASE ? scrypt : key_file, err);
}

int encryption_decode(struct encryption *e, json_t *config, bool newer, struct err *err)
{
	int ret;

	*e = (struct encryption){.lock.kind = ENCRYPTION_NONE};
	if (json_object_get(config, MEMBER) == NULL)
		return 0;
	ret = decode_members(e, config, newer, err);
	return ret < 0 ? err_context(err, ret, MEMBER) : 0;
}

int encryption_bound(const uint8_t *config, size_t len, struct buf *bound, struct err *err)
{
	cleanup_json json_t *json = json_parse(config, len, err);

	if (json == NULL)
		return -EINVAL;
	json_object_del(json_object_get(json, MEMBER), "tag");
	return json_write(json, bound, err);
}
