/* See key_args.h. */
#include "cli/key_args.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "host/parse.h"

bool key_args_take(struct key_args *args, int id, const char *value)
{
	if (id == OPTION_KEY_FILE)
		args->key_file = value;
	else if (id == OPTION_PASSPHRASE_FILE)
		args->passphrase_file = value;
	return id == OPTION_KEY_FILE || id == OPTION_PASSPHRASE_FILE;
}

bool key_args_given(const struct key_args *args)
{
	return args->key_file != NULL || args->passphrase_file != NULL;
}

int key_args_spared(const struct key_args *args, const char *output, struct err *err)
{
	int ret = output_spares(output, args->key_file, err);

	return ret < 0 ? ret : output_spares(output, args->passphrase_file, err);
}

static int take_key_file(struct keyring *k, const char *path, struct err *err)
{
	uint8_t data[KEYRING_MAX_FILE + 1];
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	int64_t len;
	int ret;

	if (fd < 0)
		return err_sys(err, errno, "key file %s", path);
	len = io_read_upto(fd, data, sizeof(data));
	ret = len < 0 ? err_sys(err, (int)-len, "read")
		      : keyring_key_file(k, data, (size_t)len, err);
	explicit_bzero(data, sizeof(data));
	return ret < 0 ? err_context(err, ret, "key file %s", path) : 0;
}

static int take_passphrase(struct keyring *k, const char *file, const char *what, bool new,
			   struct err *err)
{
	cleanup_passphrase struct passphrase p = {.len = 0};
	int ret = passphrase_read(&p, file, what, new, err);

	return ret < 0 ? ret : keyring_passphrase(k, p.text, p.len, err);
}

static int ask_passphrase(void *opaque, struct keyring *k, const char *what, struct err *err)
{
	(void)opaque;
	return take_passphrase(k, NULL, what, false, err);
}

int keys_to_open(const struct key_args *args, struct keyring **keys, struct err *err)
{
	cleanup_keyring struct keyring *k = NULL;
	int ret = keyring_new(&k, err);

	*keys = NULL;
	if (ret < 0)
		return ret;
	if (args->key_file != NULL) {
		ret = take_key_file(k, args->key_file, err);
		if (ret < 0)
			return ret;
	}
	if (args->passphrase_file != NULL) {
		ret = take_passphrase(k, args->passphrase_file, NULL, false, err);
		if (ret < 0)
			return ret;
	}
	keyring_asks(k, ask_passphrase, NULL);
	*keys = take_ptr(k);
	return 0;
}

int keys_to_lock(const struct key_args *args, struct keyring **keys, struct err *err)
{
	enum encryption_kind kind =
		args->key_file != NULL ? ENCRYPTION_KEY_FILE : ENCRYPTION_PASSPHRASE;
	cleanup_keyring struct keyring *k = NULL;
	int ret;

	*keys = NULL;
	if (args->key_file != NULL && args->passphrase_file != NULL)
		return err_set(err, ERR_USAGE,
			       "it is encrypted with a key file or with a passphrase: give one");
	ret = keys_to_open(args, &k, err);
	if (ret < 0)
		return ret;
	if (!key_args_given(args)) {
		ret = take_passphrase(k, NULL, "the encrypted appliance", true, err);
		if (ret < 0)
			return ret;
	}
	ret = keyring_new_lock(k, kind, err);
	if (ret < 0)
		return ret;
	*keys = take_ptr(k);
	return 0;
}

int keys_check_used(const struct key_args *args, struct archive *const *archive, unsigned n,
		    struct err *err)
{
	bool needed[] = {[ENCRYPTION_PASSPHRASE] = false, [ENCRYPTION_KEY_FILE] = false};

	for (unsigned i = 0; i < n; i++)
		needed[archive_appliance(archive[i])->encryption.lock.kind] = true;
	if (args->key_file != NULL && !needed[ENCRYPTION_KEY_FILE])
		return err_set(err, ERR_USAGE,
			       "%s is not encrypted with a key file: --key-file is not used",
			       archive_path(archive[0]));
	if (args->passphrase_file != NULL && !needed[ENCRYPTION_PASSPHRASE])
		return err_set(
			err, ERR_USAGE,
			"%s is not encrypted with a passphrase: --passphrase-file is not used",
			archive_path(archive[0]));
	return 0;
}

/* Down a pipe, so that the key is neither in a text nor in a file; it fits. */
static int write_key_to_pipe(const uint8_t key[CIPHER_KEY], int *read_end, struct err *err)
{
	int ends[2], ret;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	ret = io_write(ends[1], key, CIPHER_KEY);
	close(ends[1]);
	*read_end = ends[0];
	return ret < 0 ? err_sys(err, -ret, "hand over the key") : 0;
}

int keys_to_machine(const struct key_args *args, struct client *client, struct err *err)
{
	cleanup_keyring struct keyring *keys = NULL;
	cleanup_fd int fd = -1;
	struct encryption_lock lock;
	uint8_t key[CIPHER_KEY];
	int ret = keys_to_lock(args, &keys, err);

	if (ret < 0)
		return ret;
	keyring_give(keys, &lock, key);
	ret = write_key_to_pipe(key, &fd, err);
	explicit_bzero(key, sizeof(key));
	if (ret < 0)
		return ret;
	return client_call_with(
		client, json_pack("{s:s,s:o}", "do", "key", "lock", encryption_lock_encode(&lock)),
		fd, CLIENT_FOREVER, NULL, err);
}
