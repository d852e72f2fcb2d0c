/* torpor convert: the same appliance in another encoding. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/input.h"
#include "cli/key_args.h"
#include "cli/notice.h"
#include "cli/packing_args.h"
#include "cli/written.h"
#include "format/convert.h"
#include "format/image/image_pack.h"
#include "format/rekey.h"
#include "host/parse.h"

enum {
	OPTION_PACKED = OPTION_LONG_ONLY + 1,
	OPTION_DROP_HOT,
	OPTION_NEW_KEY_FILE,
	OPTION_NEW_PASSPHRASE_FILE,
	OPTION_NEW_PASSPHRASE,
};

static const struct option_spec options[] = {
	{OPTION_FLAT, "flat", NULL,
	 "do not pack: a larger file, whose memory is mapped at a resume"},
	{OPTION_PACKED, "packed", "[=N]", "images packed, at level N (1 to 19; default 3)"},
	{OPTION_DROP_HOT, "drop-hot", NULL, "leave out what torpor warm put in front"},
	{OPTION_ENCRYPT, "encrypt", NULL,
	 "make an encrypted one of it, with a new passphrase or --key-file"},
	{OPTION_DECRYPT, "decrypt", NULL, "make one in clear of an encrypted one"},
	KEY_OPTIONS,
	{OPTION_NEW_KEY_FILE, "new-key-file", "FILE", "encrypt an encrypted one with this key"},
	{OPTION_NEW_PASSPHRASE_FILE, "new-passphrase-file", "FILE",
	 "the same, with the passphrase in FILE"},
	{OPTION_NEW_PASSPHRASE, "new-passphrase", NULL, "the same, with one that is asked for"},
	OPTION_JSON_SPEC,
	OPTION_PROGRESS_SPEC,
	{0},
};

struct convert_args {
	struct convert_params params;
	struct key_args keys;
	struct key_args new_keys; /* when change_key */
	bool flat, packed;
	bool encrypt, decrypt, change_key;
	bool new_passphrase; /* it is asked for */
	bool json;
	const char *in;
	const char *out;
};

static int parse_packed_level(const char *value, int *level, struct err *err)
{
	uint64_t number;
	int ret = parse_number(value, "--packed", 1, IMAGE_PACK_MAX_LEVEL, &number, err);

	if (ret == 0)
		*level = (int)number;
	return ret;
}

static int cmd_convert_option(struct convert_args *args, int id, const char *value, struct err *err)
{
	if (key_args_take(&args->keys, id, value))
		return 0;
	switch (id) {
	case OPTION_FLAT:
		args->flat = true;
		args->params.encoding = CONVERT_FLAT;
		return 0;
	case OPTION_PACKED:
		args->packed = true;
		args->params.encoding = CONVERT_PACK;
		return value != NULL ? parse_packed_level(value, &args->params.level, err) : 0;
	case OPTION_DROP_HOT:
		args->params.drop_hot = true;
		return 0;
	case OPTION_ENCRYPT:
		args->encrypt = true;
		return 0;
	case OPTION_DECRYPT:
		args->decrypt = true;
		return 0;
	case OPTION_NEW_KEY_FILE:
		args->change_key = true;
		args->new_keys.key_file = value;
		return 0;
	case OPTION_NEW_PASSPHRASE_FILE:
		args->change_key = true;
		args->new_keys.passphrase_file = value;
		return 0;
	case OPTION_NEW_PASSPHRASE:
		args->change_key = true;
		args->new_passphrase = true;
		return 0;
	case OPTION_JSON:
		args->json = true;
		return 0;
	default:
		return option_unhandled(id, err);
	}
}

static int cmd_convert_parse(struct options *opts, struct convert_args *args, struct err *err)
{
	int id, ret;

	while ((id = options_next(opts, err)) != 0) {
		ret = id < 0 ? id : cmd_convert_option(args, id, opts->value, err);
		if (ret < 0)
			return ret;
	}
	if (args->flat && args->packed)
		return err_set(err, ERR_USAGE, "--flat and --packed exclude each other");
	if (args->encrypt + args->decrypt + args->change_key > 1)
		return err_set(err, ERR_USAGE,
			       "--encrypt, --decrypt and a new key exclude one another");
	if (args->new_passphrase && key_args_given(&args->new_keys))
		return err_set(err, ERR_USAGE,
			       "--new-passphrase asks at the terminal: not with --new-key-file or "
			       "--new-passphrase-file");
	if ((args->encrypt || args->change_key) && args->flat)
		return err_set(err, ERR_USAGE, "what is encrypted is packed: not --flat");
	args->in = options_operand(opts);
	if (args->in == NULL)
		return options_missing(opts, "FILE or NAME", err);
	args->out = options_operand(opts);
	if (args->out == NULL)
		return options_missing(opts, "OUT", err);
	ret = options_end(opts, err);
	if (ret < 0)
		return ret;
	ret = parse_output(args->out, err);
	if (ret < 0)
		return ret;
	ret = key_args_spared(&args->keys, args->out, err);
	return ret < 0 ? ret : key_args_spared(&args->new_keys, args->out, err);
}

/* Another appliance, as its contents are encrypted otherwise. `lock` is of the new file; NULL: it
 * is in clear. */
static int convert_rekey(const struct convert_args *args, struct archive *from,
			 const struct keyring *lock, char digest[DIGEST_TEXT_SIZE], struct err *err)
{
	bool is_encrypted = archive_appliance(from)->encryption.lock.kind != ENCRYPTION_NONE;
	int level = args->params.level > 0 ? args->params.level : IMAGE_PACK_LEVEL;

	if (args->encrypt && is_encrypted)
		return err_set(err, ERR_USAGE,
			       "%s is encrypted already: --new-key-file, --new-passphrase-file or "
			       "--new-passphrase gives it another key",
			       archive_path(from));
	if (!args->encrypt && !is_encrypted)
		return err_set(err, ERR_USAGE, "%s is in clear already", archive_path(from));
	return rekey_archive(from, args->out, args->flat ? 0 : level, lock, digest, err);
}

static int write_converted(const struct convert_args *args, struct archive *from,
			   const struct keyring *lock, char digest[DIGEST_TEXT_SIZE],
			   struct err *err)
{
	bool rekey = args->encrypt || args->decrypt || args->change_key;
	int ret;

	if (!args->encrypt) {
		ret = keys_check_used(&args->keys, &from, 1, err);
		if (ret < 0)
			return ret;
	}
	snprintf(digest, DIGEST_TEXT_SIZE, "%s", archive_digest(from));
	return rekey ? convert_rekey(args, from, lock, digest, err)
		     : convert_archive(from, args->out, &args->params, err);
}

static int print_converted(const struct convert_args *args, const struct archive *from,
			   const char *digest, struct err *err)
{
	const struct appliance *a = archive_appliance(from);

	if (args->decrypt && a->live && !args->json)
		notice_memory();
	return written_print(args->out, digest, a->increment ? a->parent : NULL, args->json, err);
}

/* What is copied as it is stored needs no key. */
static int choose_keys(const struct convert_args *args, struct keyring **keys, struct err *err)
{
	if (args->encrypt)
		return keys_to_lock(&args->keys, keys, err);
	if (args->decrypt || args->change_key || args->params.level > 0 ||
	    key_args_given(&args->keys))
		return keys_to_open(&args->keys, keys, err);
	return 0;
}

static int cmd_convert_run(struct options *opts, struct err *err)
{
	cleanup_keyring struct keyring *keys = NULL, *new_keys = NULL;
	struct archive_open_params params = {.fd = -1};
	cleanup_archive struct archive *from = NULL;
	const struct keyring *lock = NULL;
	static const struct meter_params shown = {.verb = "convert",
						  .cancelled = "nothing was written"};
	struct convert_args args = {0};
	char digest[DIGEST_TEXT_SIZE];
	int ret = cmd_convert_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = choose_keys(&args, &keys, err);
	if (ret < 0)
		return ret;
	if (args.change_key) {
		ret = keys_to_lock(&args.new_keys, &new_keys, err);
		if (ret < 0)
			return ret;
	}
	params.keys = keys;
	ret = meter_begin(&shown, err);
	if (ret < 0)
		return ret;
	ret = input_open_archive(&from, args.in, &params, SANDBOX_CREATE, err);
	if (args.encrypt)
		lock = keys;
	else if (args.change_key)
		lock = new_keys;
	if (ret == 0)
		ret = write_converted(&args, from, lock, digest, err);
	meter_end(ret);
	return ret < 0 ? ret : print_converted(&args, from, digest, err);
}

const struct command cmd_convert = {
	.name = "convert",
	.args = "FILE|NAME OUT",
	.summary = "write an appliance again, its images flat or packed",
	.detail = "It stays the same appliance: same identity, signatures hold, increments find "
		  "their parent.\n"
		  "Without --flat or --packed the images stay as they are. OUT may be FILE, and\n"
		  "either is - for standard input or output.",
	.options = options,
	.run = cmd_convert_run,
};
