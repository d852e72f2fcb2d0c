/* torpor convert: the same appliance in another encoding. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/key_args.h"
#include "cli/notice.h"
#include "cli/spool.h"
#include "cli/written.h"
#include "format/convert.h"
#include "format/image/image_pack.h"
#include "format/rekey.h"
#include "host/parse.h"
#include "host/sandbox.h"

enum {
	OPTION_FLAT = OPTION_LONG_ONLY + 1,
	OPTION_PACKED,
	OPTION_DROP_HOT,
	OPTION_ENCRYPT,
	OPTION_DECRYPT,
};

static const struct option_spec options[] = {
	{OPTION_FLAT, "flat", NULL, "images as they are in memory: larger, mapped when it wakes"},
	{OPTION_PACKED, "packed", "[=N]", "images packed, at level N (1 to 19; default 3)"},
	{OPTION_DROP_HOT, "drop-hot", NULL, "leave out what torpor warm put in front"},
	{OPTION_ENCRYPT, "encrypt", NULL,
	 "make an encrypted one of it, with a new passphrase or --key-file"},
	{OPTION_DECRYPT, "decrypt", NULL, "make one in clear of an encrypted one"},
	KEY_OPTIONS,
	OPTION_JSON_SPEC,
	{0},
};

struct convert_args {
	struct convert_params params;
	struct key_args keys;
	bool flat, packed;
	bool encrypt, decrypt;
	bool json;
	const char *in;
	const char *out;
};

static int take_level(struct convert_args *args, const char *value, struct err *err)
{
	uint64_t level;
	int ret;

	if (value == NULL)
		return 0;
	ret = parse_number(value, "--packed", 1, IMAGE_PACK_MAX_LEVEL, &level, err);
	if (ret == 0)
		args->params.level = (int)level;
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
		return take_level(args, value, err);
	case OPTION_DROP_HOT:
		args->params.drop_hot = true;
		return 0;
	case OPTION_ENCRYPT:
		args->encrypt = true;
		return 0;
	case OPTION_DECRYPT:
		args->decrypt = true;
		return 0;
	case OPTION_JSON:
		args->json = true;
		return 0;
	default:
		return option_unhandled(id, err);
	}
}

static int take_operands(struct options *opts, struct convert_args *args, struct err *err)
{
	args->in = options_operand(opts);
	args->out = options_operand(opts);
	if (args->out == NULL)
		return err_set(err, ERR_USAGE, "%s is missing (see torpor help convert)",
			       args->in == NULL ? "FILE" : "OUT");
	return options_end(opts, err);
}

static int cmd_convert_parse(struct options *opts, struct convert_args *args, struct err *err)
{
	int id, ret = 0;

	while (ret == 0 && (id = options_next(opts, err)) != 0)
		ret = id < 0 ? id : cmd_convert_option(args, id, opts->value, err);
	if (ret == 0 && args->flat && args->packed)
		ret = err_set(err, ERR_USAGE, "--flat and --packed exclude each other");
	if (ret == 0 && args->encrypt && args->decrypt)
		ret = err_set(err, ERR_USAGE, "--encrypt and --decrypt exclude each other");
	if (ret == 0 && args->encrypt && args->flat)
		ret = err_set(err, ERR_USAGE, "what is encrypted is packed: not --flat");
	if (ret == 0)
		ret = take_operands(opts, args, err);
	return ret < 0 ? ret : parse_output(args->out, err);
}

/* Another appliance, as its contents are encrypted otherwise. */
static int rekey(const struct convert_args *args, struct archive *from, const struct keyring *keys,
		 char digest[DIGEST_TEXT_SIZE], struct err *err)
{
	bool is_encrypted = archive_appliance(from)->encryption.lock.kind != ENCRYPTION_NONE;
	int level = args->params.level > 0 ? args->params.level : IMAGE_PACK_LEVEL;

	if (is_encrypted == args->encrypt)
		return err_set(err, ERR_USAGE, "%s is %s already", args->in,
			       is_encrypted ? "encrypted" : "in clear");
	return rekey_archive(from, args->out, args->flat ? 0 : level, args->encrypt ? keys : NULL,
			     digest, err);
}

static int write_converted(const struct convert_args *args, struct archive *from,
			   const struct keyring *keys, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];
	int ret;

	snprintf(digest, sizeof(digest), "%s", archive_digest(from));
	ret = args->encrypt || args->decrypt ? rekey(args, from, keys, digest, err)
					     : convert_archive(from, args->out, &args->params, err);
	if (ret == 0 && args->decrypt && archive_appliance(from)->live && !args->json)
		notice_memory();
	return ret < 0 ? ret : written_print(args->out, digest, args->json, err);
}

/* What is copied as it is stored needs no key. */
static int choose_keys(const struct convert_args *args, struct keyring **keys, struct err *err)
{
	if (args->encrypt)
		return keys_to_lock(&args->keys, keys, err);
	return args->decrypt || args->params.level > 0 || key_args_given(&args->keys)
		       ? keys_to_open(&args->keys, keys, err)
		       : 0;
}

static int convert(struct convert_args *args, struct err *err)
{
	cleanup_keyring struct keyring *keys = NULL;
	struct archive_open_params params = {.fd = -1};
	struct archive *from;
	int ret = choose_keys(args, &keys, err);

	params.keys = keys;
	if (ret == 0)
		ret = spool_input(&args->in, &params.fd, err);
	if (ret == 0)
		ret = sandbox_enter(SANDBOX_CREATE, err);
	if (ret == 0)
		ret = archive_open_with(&from, args->in, &params, err);
	if (ret < 0)
		return ret;
	ret = write_converted(args, from, keys, err);
	archive_close(from);
	return ret;
}

static int cmd_convert_run(struct options *opts, struct err *err)
{
	struct convert_args args = {0};
	int ret = cmd_convert_parse(opts, &args, err);

	return ret < 0 ? ret : convert(&args, err);
}

const struct command cmd_convert = {
	.name = "convert",
	.args = "FILE OUT",
	.summary = "write an appliance again, its images flat or packed",
	.detail = "It stays the same appliance: same identity, signatures hold, increments find "
		  "their parent.\n"
		  "Without --flat or --packed the images stay as they are. OUT may be FILE, and\n"
		  "either is - for standard input or output.",
	.options = options,
	.run = cmd_convert_run,
};
