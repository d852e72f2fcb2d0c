/* Secret keys: making, locking with a passphrase, opening. See sign.h. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/num.h"
#include "format/crypto/blake2b.h"
#include "format/crypto/lazy.h"
#include "format/crypto/sign.h"

#define SEED_SIZE 32u
/* minisign's own limits; a file that asks for more is an attack on our memory or time. */
#define OPSLIMIT_MAX (UINT64_C(1) << 25)
#define MEMLIMIT_MAX (UINT64_C(1) << 30)
#define SCRYPT_R     8u
/* What libcrypto may take: the largest table, and something beside it. */
#define SCRYPT_MEMORY (MEMLIMIT_MAX + MIB(16))

static int random_bytes(void *data, size_t len, struct err *err)
{
	return getentropy(data, len) == 0 ? 0 : err_sys(err, errno, "random numbers");
}

/* The public key that belongs to a seed. */
static int derive_public(const uint8_t seed[SEED_SIZE], uint8_t public[32], struct err *err)
{
	const struct sign_api *api = lazy_sign(err);
	EVP_PKEY *key;
	size_t len = 32;
	bool good;

	if (api == NULL)
		return -ENOSYS;
	key = api->private_key(EVP_PKEY_ED25519, NULL, seed, SEED_SIZE);
	good = key != NULL && api->get_public(key, public, &len) == 1 && len == 32;
	api->key_free(key);
	return good ? 0 : err_set(err, ERR_FAILED, "libcrypto could not make an Ed25519 key");
}

int sign_key_new(struct minisign_secret *key, struct err *err)
{
	int ret;

	*key = (struct minisign_secret){.is_locked = false};
	ret = random_bytes(key->part.id, sizeof(key->part.id), err);
	if (ret < 0)
		return ret;
	ret = random_bytes(key->part.key, SEED_SIZE, err);
	if (ret < 0)
		return ret;
	return derive_public(key->part.key, key->part.key + SEED_SIZE, err);
}

/* scrypt's parameters from libsodium's limits, by its documented rule: as much memory as both
 * limits allow, and what work is left as parallel passes. */
static void scrypt_parameters(uint64_t opslimit, uint64_t memlimit, uint64_t *n, uint64_t *p)
{
	bool little_work;
	uint64_t max_n;

	if (opslimit < 32768)
		opslimit = 32768;
	little_work = opslimit < memlimit / 32;
	max_n = little_work ? opslimit / (4 * SCRYPT_R) : memlimit / (128 * SCRYPT_R);
	*n = 2;
	while (*n <= max_n / 2)
		*n *= 2;
	*p = little_work ? 1 : opslimit / 4 / *n / SCRYPT_R;
}

/* The stream that the locked part is XORed with. */
static int make_stream(const struct minisign_secret *key, const char *passphrase, size_t len,
		       uint8_t stream[sizeof(struct minisign_locked)], struct err *err)
{
	const struct sign_api *api = lazy_sign(err);
	uint64_t n, p;

	if (api == NULL)
		return -ENOSYS;
	if (key->opslimit > OPSLIMIT_MAX || key->memlimit > MEMLIMIT_MAX)
		return err_set(err, ERR_INTEGRITY,
			       "the key asks for more work or memory than minisign ever does");
	scrypt_parameters(key->opslimit, key->memlimit, &n, &p);
	if (p == 0 || api->scrypt(passphrase, len, key->salt, sizeof(key->salt), n, SCRYPT_R, p,
				  SCRYPT_MEMORY, stream, sizeof(struct minisign_locked)) != 1)
		return err_set(err, ERR_FAILED,
			       "the passphrase's key cannot be derived: too little memory, or odd "
			       "limits in the key");
	return 0;
}

static void xor_part(struct minisign_locked *part, const uint8_t stream[sizeof(*part)])
{
	uint8_t *bytes = (uint8_t *)part;

	for (size_t i = 0; i < sizeof(*part); i++)
		bytes[i] ^= stream[i];
}

static void compute_checksum(const struct minisign_locked *part, uint8_t checksum[32])
{
	uint8_t data[2 + sizeof(part->id) + sizeof(part->key)] = {'E', 'd'};

	memcpy(data + 2, part->id, sizeof(part->id));
	memcpy(data + 2 + sizeof(part->id), part->key, sizeof(part->key));
	blake2b(checksum, sizeof(part->checksum), data, sizeof(data));
	explicit_bzero(data, sizeof(data));
}

int sign_key_lock(struct minisign_secret *key, const char *passphrase, size_t len, struct err *err)
{
	uint8_t stream[sizeof(key->part)];
	int ret;

	key->opslimit = key->opslimit != 0 ? key->opslimit : SIGN_OPSLIMIT;
	key->memlimit = key->memlimit != 0 ? key->memlimit : SIGN_MEMLIMIT;
	ret = random_bytes(key->salt, sizeof(key->salt), err);
	if (ret < 0)
		return ret;
	ret = make_stream(key, passphrase, len, stream, err);
	if (ret < 0)
		return ret;
	compute_checksum(&key->part, key->part.checksum);
	xor_part(&key->part, stream);
	key->is_locked = true;
	explicit_bzero(stream, sizeof(stream));
	return 0;
}

/* On failure the key stays locked. */
static int unlock_part(struct minisign_secret *key, const char *passphrase, size_t len,
		       struct err *err)
{
	uint8_t stream[sizeof(key->part)], checksum[sizeof(key->part.checksum)];
	int ret = make_stream(key, passphrase, len, stream, err);

	if (ret < 0)
		return ret;
	xor_part(&key->part, stream);
	compute_checksum(&key->part, checksum);
	key->is_locked = memcmp(checksum, key->part.checksum, sizeof(checksum)) != 0;
	if (key->is_locked) {
		xor_part(&key->part, stream);
		ret = err_set(err, ERR_FAILED, "wrong passphrase");
	}
	explicit_bzero(stream, sizeof(stream));
	return ret;
}

int sign_key_unlock(struct minisign_secret *key, const char *passphrase, size_t len,
		    struct err *err)
{
	uint8_t public[32];
	int ret;

	if (key->is_locked) {
		ret = unlock_part(key, passphrase, len, err);
		if (ret < 0)
			return ret;
	}
	ret = derive_public(key->part.key, public, err);
	if (ret < 0)
		return ret;
	if (memcmp(public, key->part.key + SEED_SIZE, sizeof(public)) != 0)
		return err_set(err, ERR_INTEGRITY,
			       "damaged: its two halves do not belong together");
	return 0;
}

void sign_key_wipe(struct minisign_secret *key)
{
	explicit_bzero(key, sizeof(*key));
}

void sign_key_public(const struct minisign_secret *key, struct minisign_public *public)
{
	memcpy(public->id, key->part.id, sizeof(public->id));
	memcpy(public->key, key->part.key + SEED_SIZE, sizeof(public->key));
}
