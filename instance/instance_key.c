/* The key that the instance's files are encrypted with, if they are. See instance.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "instance/instance.h"

static int take_key(struct instance *in, const struct encryption_lock *lock, struct err *err)
{
	struct source *source = in->source;
	uint8_t key[CIPHER_KEY];
	int ret = 0;

	if (read(in->control.passed_fd, key, sizeof(key)) != (ssize_t)sizeof(key))
		return err_set(err, ERR_USAGE, "key needs a descriptor with %u bytes", CIPHER_KEY);
	if (source->keys == NULL)
		ret = keyring_new(&source->keys, err);
	if (ret == 0)
		keyring_take(source->keys, lock, key);
	explicit_bzero(key, sizeof(key));
	return ret;
}

json_t *instance_take_key(struct instance *in, const json_t *request, struct err *err)
{
	struct encryption_lock lock;
	int ret = encryption_lock_decode(&lock, json_object_get(request, "lock"), err);

	if (ret == 0)
		ret = take_key(in, &lock, err);
	return ret == 0 ? json_pack("{s:b}", "ok", 1) : NULL;
}

int instance_choose_key(const struct instance *in, struct save_request *request, bool encrypt,
			bool decrypt, struct err *err)
{
	request->keys = NULL;
	if (keyring_locks(in->source->keys) && !decrypt)
		request->keys = in->source->keys;
	if (encrypt && request->keys == NULL)
		return err_set(err, ERR_USAGE, "machine %s has no key to encrypt with",
			       in->claim.name);
	return request->keys != NULL && request->flat
		       ? err_set(err, ERR_USAGE,
				 "machine %s is encrypted: it cannot be saved --flat, unless it is "
				 "with --decrypt",
				 in->claim.name)
		       : 0;
}
