/* The key that the instance's files are encrypted with, if they are. See instance.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "instance/instance.h"

json_t *instance_take_key(struct instance *in, const json_t *request, struct err *err)
{
	struct source *source = in->source;
	struct encryption_lock lock;
	uint8_t key[CIPHER_KEY];

	if (encryption_lock_decode(&lock, json_object_get(request, "lock"), err) < 0)
		return NULL;
	if (source->keys == NULL && keyring_new(&source->keys, err) < 0)
		return NULL;
	if (read(in->control.passed_fd, key, sizeof(key)) != (ssize_t)sizeof(key)) {
		err_set(err, ERR_USAGE, "key needs a descriptor with %u bytes", CIPHER_KEY);
		return NULL;
	}
	keyring_take(source->keys, &lock, key);
	explicit_bzero(key, sizeof(key));
	return json_pack("{s:b}", "ok", 1);
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
	if (request->keys != NULL && request->flat)
		return err_set(err, ERR_USAGE,
			       "machine %s is encrypted: it cannot be saved --flat, unless it is "
			       "with --decrypt",
			       in->claim.name);
	return 0;
}
