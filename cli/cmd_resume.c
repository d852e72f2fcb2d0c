/* torpor resume: wake a live appliance, or let a paused machine go on. */
#include <string.h>

#include "cli/client.h"
#include "cli/command.h"
#include "cli/fill.h"
#include "cli/launch.h"
#include "cli/sandbox.h"
#include "cli/spool.h"
#include "cli/target.h"
#include "cli/trust.h"
#include "vmm/base/num.h"

#define OPTION_FILL		 (OPTION_LONG_ONLY + 2)
#define OPTION_REQUIRE_SIGNATURE (OPTION_LONG_ONLY + 3)

static const struct option_spec options[] = {
	{'d', "detach", NULL, "run in the background and print the name"},
	{'n', "name", "NAME", "name of the machine; default the one it was saved under"},
	{OPTION_LONG_ONLY + 1, "paused", NULL, "wake it, but do not let it go on before unpause"},
	{OPTION_FILL, "fill", FILL_WORDS,
	 "bring memory that nobody touches: never, with one core's spare time (default), with all"},
	{OPTION_REQUIRE_SIGNATURE, "require-signature", "KEY",
	 "refuse what this public key has not signed; `trust`: any that is trusted"},
	{0},
};

struct resume_args {
	struct instance_options instance;
	bool detach;
	const char *signer; /* key or `trust`; NULL: signed or not is all the same */
	const char *target;
};

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
			ret = fill_parse(opts->value, &args->instance.fill, err);
		else if (id == OPTION_REQUIRE_SIGNATURE)
			args->signer = opts->value;
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
	if (ret == 0 && strcmp(json_string_value(json_object_get(status, "state")), "running") == 0)
		ret = err_set(err, ERR_FAILED, "machine %s is running already", name);
	if (ret == 0)
		ret = client_do(&client, "unpause", CLIENT_FOREVER, NULL, err);
	json_decref(status);
	client_close(&client);
	return ret;
}

/* Nothing but the manifest of what a stranger has signed, or nobody, is parsed. */
static int open_source(const char *path, const char *signer, struct source *source, struct err *err)
{
	cleanup_trust struct trust trust = {.signers = {0}};
	struct archive_open_params params = {.fd = -1, .opaque = &trust};
	int ret = 0;

	if (signer != NULL) {
		params.judge = trust_judge;
		ret = trust_load(&trust, signer, err);
	}
	if (ret == 0)
		ret = spool_input(&path, &params.fd, err);
	if (ret == 0)
		ret = sandbox_enter(SANDBOX_MACHINE, err);
	return ret < 0 ? ret : source_from_file(source, path, &params, err);
}

/* Before KVM is touched: is it live, is it for us, is it whole? */
static int open_live(const char *path, const char *signer, struct source *source, struct err *err)
{
	int ret = open_source(path, signer, source, err);

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
	if (target.kind == TARGET_MACHINE && args.signer != NULL)
		return err_set(err, ERR_USAGE,
			       "--require-signature is for files, and %s is a machine",
			       target.name);
	if (target.kind == TARGET_MACHINE)
		return unpause(target.name, err);
	ret = open_live(target.file, args.signer, &source, err);
	if (ret < 0)
		return ret;
	args.instance.wish = target.kind == TARGET_STORED ? target.name : source.appliance.name;
	return launch(&source, &args.instance, args.detach, err);
}

const struct command cmd_resume = {
	.name = "resume",
	.args = "FILE|NAME",
	.summary = "wake a live appliance; a paused machine NAME goes on",
	.detail = "NAME is a paused machine, or one that was saved to the store. FILE may be - for "
		  "standard input: what\n"
		  "comes down a pipe is held in memory. In the foreground the terminal is the "
		  "console, as with torpor run.",
	.options = options,
	.run = run,
};
