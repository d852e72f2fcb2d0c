/* torpor resume: wake a live appliance, or let a paused machine go on. */
#include <string.h>

#include "cli/client.h"
#include "cli/command.h"
#include "cli/launch.h"
#include "cli/sandbox.h"
#include "cli/target.h"
#include "vmm/base/num.h"

#define OPTION_FILL (OPTION_LONG_ONLY + 2)

static const struct option_spec options[] = {
	{'d', "detach", NULL, "run in the background and print the name"},
	{'n', "name", "NAME", "name of the machine; default the one it was saved under"},
	{OPTION_LONG_ONLY + 1, "paused", NULL, "wake it, but do not let it go on before unpause"},
	{OPTION_FILL, "fill", "none|idle|full",
	 "bring memory that nobody touches: never, with one core's spare time (default), with all"},
	{0},
};

struct resume_args {
	struct instance_options instance;
	bool detach;
	const char *target;
};

static int parse_fill(const char *text, enum pager_fill *fill, struct err *err)
{
	static const char *const names[] = {
		[PAGER_FILL_NONE] = "none",
		[PAGER_FILL_IDLE] = "idle",
		[PAGER_FILL_FULL] = "full",
	};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], text) == 0) {
			*fill = (enum pager_fill)i;
			return 0;
		}
	}
	return err_set(err, ERR_USAGE, "--fill %s: none, idle or full", text);
}

static int parse(struct options *opts, struct resume_args *args, struct err *err)
{
	int id, ret = 0;

	args->instance.fill = PAGER_FILL_IDLE;
	while (ret == 0 && (id = options_next(opts, err)) != 0) {
		if (id < 0)
			return id;
		if (id == 'd')
			args->detach = true;
		else if (id == 'n')
			args->instance.name = opts->value;
		else if (id == OPTION_FILL)
			ret = parse_fill(opts->value, &args->instance.fill, err);
		else
			args->instance.paused = true;
	}
	if (ret < 0)
		return ret;
	if (args->instance.name != NULL)
		ret = parse_name(args->instance.name, err);
	if (ret < 0)
		return ret;
	return options_one_operand(opts, "FILE or NAME", &args->target, err);
}

static int unpause(const char *name, struct err *err)
{
	struct client client;
	json_t *status = NULL;
	int ret = client_open(&client, name, err);

	if (ret < 0)
		return ret;
	ret = client_do(&client, "status", CLIENT_FOREVER, &status, err);
	if (ret == 0 && strcmp(json_string_value(json_object_get(status, "state")), "paused") != 0)
		ret = err_set(err, ERR_FAILED, "machine %s is running already", name);
	if (ret == 0)
		ret = client_do(&client, "unpause", CLIENT_FOREVER, NULL, err);
	json_decref(status);
	client_close(&client);
	return ret;
}

/* Before KVM is touched: is it live, is it for us, is it whole? */
static int open_live(const char *path, struct source *source, struct err *err)
{
	int ret = sandbox_enter(SANDBOX_MACHINE, err);

	if (ret == 0)
		ret = source_from_file(source, path, NULL, err);
	if (ret < 0)
		return ret;
	if (!source->appliance.live)
		ret = err_set(err, ERR_USAGE, "%s is cold: boot it with torpor run %s", path, path);
	if (ret == 0)
		ret = source_check(source, err);
	if (ret == 0)
		ret = lineage_ensure_verified(source->lineage, err);
	if (ret < 0)
		source_close(source);
	return ret;
}

static int run(struct options *opts, struct err *err)
{
	struct resume_args args = {0};
	struct source source;
	struct target target;
	int ret = parse(opts, &args, err);

	if (ret == 0)
		ret = target_find(&target, args.target, err);
	if (ret < 0)
		return ret;
	if (target.kind == TARGET_MACHINE)
		return unpause(target.name, err);
	ret = open_live(target.file, &source, err);
	if (ret < 0)
		return ret;
	args.instance.wish = target.kind == TARGET_STORED ? target.name : source.appliance.name;
	return launch(&source, &args.instance, args.detach, err);
}

const struct command cmd_resume = {
	.name = "resume",
	.args = "FILE|NAME",
	.summary = "wake a live appliance; a paused machine NAME goes on",
	.detail = "NAME is a paused machine, or one that was saved to the store. In the foreground "
		  "the terminal\n"
		  "is the console, as with torpor run.",
	.options = options,
	.run = run,
};
