/* Keys of encrypted appliances on a command line: --key-file and --passphrase-file. One thread. */
#ifndef TORPOR_CLI_KEY_ARGS_H
#define TORPOR_CLI_KEY_ARGS_H

#include "cli/options.h"
#include "cli/passphrase.h"
#include "format/archive.h"
#include "format/crypto/keyring.h"
#include "host/client.h"

/* --encrypt and --decrypt mean what their verb says. */
enum {
	OPTION_KEY_FILE = OPTION_LONG_ONLY + 202,
	OPTION_ENCRYPT,
	OPTION_DECRYPT,
};

/* clang-format off */
#define KEY_OPTIONS                                                                                \
	{OPTION_KEY_FILE, "key-file", "FILE", "key file of the encrypted appliance"},              \
	OPTION_PASSPHRASE_FILE_SPEC
/* clang-format on */

struct key_args {
	const char *key_file; /* NULL: not given, here and below */
	const char *passphrase_file;
};

/* Take an option that is one of KEY_OPTIONS; false when it is not. Cannot fail. */
bool key_args_take(struct key_args *args, int id, const char *value);
bool key_args_given(const struct key_args *args);
/* That none of the files with keys is the file to write: what is encrypted with it would be lost.
 * Returns 0, or -EINVAL with ERR_USAGE. */
int key_args_spared(const struct key_args *args, const char *output, struct err *err);

/* A keyring that opens files with what is given, or asks at the terminal for the passphrase of one
 * that needs it. The caller's to free. Before sandbox_enter(). Returns 0; what
 * keyring_new(), keyring_key_file(), passphrase_read() and keyring_passphrase() give; or the errno
 * of open(2) or read(2) for the key file. */
int keys_to_open(const struct key_args *args, struct keyring **keys, struct err *err);
/* The same with a new lock for new files; asks twice if nothing is given. Returns also
 * -EINVAL with ERR_USAGE when both kinds of key are given, or what keyring_new_lock() gives. */
int keys_to_lock(const struct key_args *args, struct keyring **keys, struct err *err);
/* Once the files are open, `n` of them. Returns 0, or -EINVAL with ERR_USAGE when a key was given
 * that none of them needs: the user may have meant to encrypt. */
int keys_check_used(const struct key_args *args, struct archive *const *archive, unsigned n,
		    struct err *err);
/* Make a new lock, and hand it to a machine for what it saves from then on. Returns 0, what
 * keys_to_lock() and client_call_with() give, or the errno of pipe2(2) or write(2). */
int keys_to_machine(const struct key_args *args, struct client *client, struct err *err);

#endif
