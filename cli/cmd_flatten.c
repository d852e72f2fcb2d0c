/* torpor flatten: an increment and all it stands on, as one full file. */
#include <errno.h>
#include <stdio.h>

#include "cli/command.h"
#include "cli/input.h"
#include "cli/key_args.h"
#include "cli/packing_args.h"
#include "cli/written.h"
#include "format/flatten.h"
#include "host/parse.h"

static const struct option_spec options[] = {
	{'o', "output", "FILE", "file to write, - for standard output"},
	PACKING_OPTIONS,
	{OPTION_DECRYPT, "decrypt", NULL, "write it in clear, although a parent is encrypted"},
	KEY_OPTIONS,
	OPTION_JSON_SPEC,
	OPTION_PROGRESS_SPEC,
	{0},
};

struct flatten_args {
	const char *file;
	const char *output;
	struct packing_args packing;
	struct key_args keys;
	bool decrypt;
	bool json;
};

static int cmd_flatten_option(struct flatten_args *args, int id, const char *value, struct err *err)
{
	int ret = packing_args_take(&args->packing, id, value, err);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	if (key_args_take(&args->keys, id, value))
		return 0;
	switch (id) {
	case 'o':
		args->output = value;
		return parse_output(value, err);
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

static int cmd_flatten_parse(struct options *opts, struct flatten_args *args, struct err *err)
{
	int id, ret;

	packing_args_init(&args->packing);
	while ((id = options_next(opts, err)) != 0) {
		ret = id < 0 ? id : cmd_flatten_option(args, id, opts->value, err);
		if (ret < 0)
			return ret;
	}
	ret = options_one_operand(opts, "FILE or NAME", &args->file, err);
	if (ret < 0)
		return ret;
	if (args->output == NULL)
		return err_set(err, ERR_USAGE, "-o FILE is missing (see torpor help flatten)");
	return key_args_spared(&args->keys, args->output, err);
}

/* What any of the files is encrypted with, the new one is, too. */
static int write_flattened(const struct flatten_args *args, const struct chain *chain,
			   const struct keyring *keys, char digest[DIGEST_TEXT_SIZE],
			   struct err *err)
{
	if (args->decrypt || !keyring_locks(keys))
		keys = NULL;
	if (keys != NULL && args->packing.flat)
		return err_set(err, ERR_USAGE,
			       "what is encrypted is packed: --flat needs --decrypt");
	return flatten_chain(chain, args->output, args->packing.flat ? 0 : args->packing.level,
			     keys, digest, err);
}

static int cmd_flatten_run(struct options *opts, struct err *err)
{
	cleanup_keyring struct keyring *keys = NULL;
	cleanup_chain struct chain *chain = NULL;
	static const struct meter_params shown = {.verb = "flatten",
						  .cancelled = "nothing was written"};
	struct flatten_args args = {0};
	char digest[DIGEST_TEXT_SIZE];
	int ret = cmd_flatten_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = meter_begin(&shown, err);
	if (ret < 0)
		return ret;
	ret = input_open_chain(&chain, &keys, args.file, &args.keys, err);
	if (ret == 0)
		ret = write_flattened(&args, chain, keys, digest, err);
	meter_end(ret);
	return ret < 0 ? ret : written_print(args.output, digest, NULL, args.json, err);
}

const struct command cmd_flatten = {
	.name = "flatten",
	.args = "FILE|NAME",
	.summary = "merge an increment and the files it stands on into one full file",
	.detail = "Parents are looked for beside each file, then in the store. What comes out is "
		  "what "
		  "torpor save\n"
		  "--full would have written: a new appliance, which nobody has signed.",
	.options = options,
	.run = cmd_flatten_run,
};
