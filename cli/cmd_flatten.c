/* torpor flatten: an increment and all it stands on, as one full file. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/parent.h"
#include "cli/parse.h"
#include "cli/sandbox.h"
#include "cli/spool.h"
#include "cli/written.h"
#include "format/flatten.h"
#include "format/image_pack.h"

enum {
	OPTION_FLAT = OPTION_LONG_ONLY + 1,
	OPTION_LEVEL,
};

static const struct option_spec options[] = {
	{'o', "output", "FILE", "file to write, - for standard output"},
	{OPTION_FLAT, "flat", NULL, "do not pack: larger, and mapped when it wakes"},
	{OPTION_LEVEL, "level", "N", "of packing, 1 to 19; default 3"},
	OPTION_JSON_SPEC,
	{0},
};

struct flatten_args {
	const char *file;
	const char *output;
	uint64_t level;
	bool flat;
	bool json;
};

static int take(struct flatten_args *args, int id, const char *value, struct err *err)
{
	switch (id) {
	case 'o':
		args->output = value;
		return parse_output(value, err);
	case OPTION_FLAT:
		args->flat = true;
		return 0;
	case OPTION_LEVEL:
		return parse_number(value, "--level", 1, IMAGE_PACK_MAX_LEVEL, &args->level, err);
	default:
		args->json = true;
		return 0;
	}
}

static int parse(struct options *opts, struct flatten_args *args, struct err *err)
{
	int id, ret = 0;

	while (ret == 0 && (id = options_next(opts, err)) != 0)
		ret = id < 0 ? id : take(args, id, opts->value, err);
	if (ret == 0)
		ret = options_one_operand(opts, "FILE", &args->file, err);
	if (ret == 0 && args->output == NULL)
		ret = err_set(err, ERR_USAGE, "-o FILE is missing (see torpor help flatten)");
	return ret;
}

static int flatten(const struct flatten_args *args, struct err *err)
{
	struct archive_open_params params = {.fd = -1};
	const char *file = args->file;
	char digest[DIGEST_TEXT_SIZE];
	struct lineage *lineage;
	int ret = spool_input(&file, &params.fd, err);

	if (ret == 0)
		ret = sandbox_enter(SANDBOX_WRITE, err);
	if (ret == 0)
		ret = parent_open(&lineage, file, &params, err);
	if (ret < 0)
		return ret;
	ret = flatten_lineage(lineage, args->output, args->flat ? 0 : (int)args->level, digest,
			      err);
	lineage_close(lineage);
	return ret < 0 ? ret : written_print(args->output, digest, args->json, err);
}

static int run(struct options *opts, struct err *err)
{
	struct flatten_args args = {.level = IMAGE_PACK_LEVEL};
	int ret = parse(opts, &args, err);

	return ret < 0 ? ret : flatten(&args, err);
}

const struct command cmd_flatten = {
	.name = "flatten",
	.args = "FILE",
	.summary = "merge an increment and the files it stands on into one full file",
	.detail = "Parents are looked for beside each file, then in the store. What comes out is "
		  "what "
		  "torpor save\n"
		  "--full would have written: a new appliance, which nobody has signed.",
	.options = options,
	.run = run,
};
