/* What is encrypted in an open archive, and its key; see archive.h and cipher.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "format/archive_internal.h"
#include "format/crypto/secret.h"

static const char roles[ARCHIVE_ENCRYPTED_BLOBS][8] = {ROLE_STATE, ROLE_KERNEL, ROLE_INITRD};

bool archive_encrypted(const struct archive *a)
{
	return a->appliance.encryption.lock.kind != ENCRYPTION_NONE;
}

int archive_unlock(struct archive *a, const uint8_t *config, size_t len, struct err *err)
{
	if (!archive_encrypted(a) || a->params->keys == NULL)
		return 0;
	return keyring_open(a->params->keys, &a->appliance.encryption, config, len, a->path,
			    &a->key, err);
}

int archive_open_blobs(struct archive *a, struct err *err)
{
	int ret = 0;

	for (unsigned i = 0; a->key != NULL && i < ARCHIVE_ENCRYPTED_BLOBS; i++) {
		const struct archive_entry *entry = archive_find(a, roles[i]);

		if (entry != NULL)
			ret = decrypt_blob(a->key, entry->role, &entry->blob, &a->opened[i], err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

void archive_forget_key(struct archive *a)
{
	for (unsigned i = 0; i < ARCHIVE_ENCRYPTED_BLOBS; i++) {
		if (a->opened[i].fd >= 0)
			close(take_fd(&a->opened[i].fd));
	}
	data_key_free(take_ptr(a->key));
}

bool archive_blob(const struct archive *a, const char *role, struct blob *blob)
{
	const struct archive_entry *entry = archive_find(a, role);

	for (unsigned i = 0; archive_encrypted(a) && i < ARCHIVE_ENCRYPTED_BLOBS; i++) {
		if (strcmp(roles[i], role) != 0)
			continue;
		if (a->opened[i].fd >= 0)
			*blob = a->opened[i];
		return a->opened[i].fd >= 0;
	}
	if (entry != NULL)
		*blob = entry->blob;
	return entry != NULL;
}

const struct data_key *archive_key(const struct archive *a)
{
	return a->key;
}

int archive_check_open(const struct archive *a, struct err *err)
{
	if (!archive_encrypted(a) || a->key != NULL)
		return 0;
	return err_set(err, ERR_USAGE, "%s is encrypted, and its key is not given", a->path);
}

void archive_lock_keys(const struct archive *a)
{
	if (a->key != NULL)
		secret_lock(a->key, sizeof(*a->key));
}
