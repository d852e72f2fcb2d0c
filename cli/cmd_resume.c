/* torpor resume: wake a live appliance, or let a paused machine go on. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/key_args.h"
#include "cli/launch.h"
#include "cli/net_args.h"
#include "cli/spool.h"
#include "cli/target.h"
#include "cli/trust.h"
#include "host/client.h"
#include "host/parse.h"
#include "instance/fill.h"

#define OPTION_FILL		 (OPTION_LONG_ONLY + 2)
#define OPTION_REQUIRE_SIGNATURE (OPTION_LONG_ONLY + 3)
#define OPTION_VERIFY		 (OPTION_LONG_ONLY + 4)
#define OPTION_UNVERIFIED	 (OPTION_LONG_ONLY + 5)
#define OPTION_NEW_IDENTITY	 (OPTION_LONG_ONLY + 6)

static const struct option_spec options[] = {
	{'d', "detach", NULL, "run in the background and print the name"},
	{'n', "name", "NAME", "name of the machine; default the one it was saved under"},
	{OPTION_LONG_ONLY + 1, "paused", NULL, "wake it, but do not let it go on before unpause"},
	{OPTION_FILL, "fill", FILL_WORDS,
	 "bring memory that nobody touches: never, with one core's spare time (default), with all"},
	{OPTION_REQUIRE_SIGNATURE, "require-signature", "KEY",
	 "refuse what this public key has not signed; `trust`: any that is trusted"},
	{OPTION_VERIFY, "verify", "full|cached",
	 "look at every byte of the file now, or only if this file was never found good (default)"},
	{OPTION_UNVERIFIED, "unverified", NULL,
	 "wake although nobody has looked whether the file is whole"},
	{OPTION_NEW_IDENTITY, "new-identity", NULL,
	 "a machine of its own: new name, MAC address, and what the guest's wake hooks make anew"},
	NET_OPTIONS,
	KEY_OPTIONS,
	{0},
};

enum verify {
	VERIFY_CACHED,
	VERIFY_FULL,
	VERIFY_NOT,
};

struct resume_args {
	struct instance_options instance;
	enum verify verify;
	bool detach;
	const char *signer; /* key or `trust`; NULL: signed or not is all the same */
	struct key_args keys;
	struct net_args net;
	const char *target;
};

static int cmd_resume_option(struct resume_args *args, int id, const char *value, struct err *err)
{
	int ret = net_args_take(&args->net, id, value, err);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	if (key_args_take(&args->keys, id, value))
		return 0;
	switch (id) {
	case 'd':
		args->detach = true;
		return 0;
	case 'n':
		args->instance.name = value;
		return parse_name(value, err);
	case OPTION_FILL:
		return fill_parse(value, &args->instance.fill, err);
	case OPTION_REQUIRE_SIGNATURE:
		args->signer = value;
		return 0;
	case OPTION_VERIFY:
		if (strcmp(value, "full") != 0 && strcmp(value, "cached") != 0)
			return err_set(err, ERR_USAGE, "--verify %s: full or cached", value);
		args->verify = value[0] == 'f' ? VERIFY_FULL : VERIFY_CACHED;
		return 0;
	case OPTION_NEW_IDENTITY:
		args->instance.new_identity = true;
		return 0;
	case OPTION_UNVERIFIED:
		args->verify = VERIFY_NOT;
		return 0;
	default:
		args->instance.paused = true;
		return 0;
	}
}

static int cmd_resume_parse(struct options *opts, struct resume_args *args, struct err *err)
{
	int id;

	args->instance.fill = PAGER_FILL_IDLE;
	while ((id = options_next(opts, err)) != 0) {
		int ret = id < 0 ? id : cmd_resume_option(args, id, opts->value, err);

		if (ret < 0)
			return ret;
	}
	if (args->signer != NULL && args->verify == VERIFY_NOT)
		return err_set(
			err, ERR_USAGE,
			"--unverified: a signature says nothing about what is not looked at");
	return options_one_operand(opts, "FILE or NAME", &args->target, err);
}

static int unpause_paused(struct client *client, struct err *err)
{
	json_t *status;
	bool running;
	int ret = client_do(client, "status", CLIENT_FOREVER, &status, err);

	if (ret < 0)
		return ret;
	running = strcmp(protocol_text(status, "state"), "running") == 0;
	json_decref(status);
	if (running)
		return err_set(err, ERR_FAILED, "machine %s is running already", client->name);
	return client_do(client, "unpause", CLIENT_FOREVER, NULL, err);
}

static int resume_machine(const char *name, const struct resume_args *args, struct err *err)
{
	struct client client;
	int ret;

	if (connections_given(&args->net.connections))
		return err_set(err, ERR_USAGE,
			       "--net, -p and --pcap are for files: %s is a machine, and connected",
			       name);
	if (args->instance.new_identity)
		return err_set(err, ERR_USAGE,
			       "--new-identity is for files: %s is a machine already", name);
	if (args->signer != NULL || key_args_given(&args->keys))
		return err_set(err, ERR_USAGE,
			       "--require-signature and keys are for files, and %s is a machine",
			       name);
	ret = client_open(&client, name, err);
	if (ret < 0)
		return ret;
	ret = unpause_paused(&client, err);
	client_close(&client);
	return ret;
}

/* Of a file that nobody who is trusted has signed, nothing but the manifest is parsed. */
static int open_live_file(const char *path, const struct resume_args *args, struct source *source,
			  struct err *err)
{
	cleanup_keyring struct keyring *keys = NULL;
	cleanup_trust struct trust trust = {.signers = {0}};
	struct archive_open_params params = {.fd = -1, .opaque = &trust};
	int ret;

	if (args->signer != NULL) {
		params.verify_signature = trust_verify_signature;
		ret = trust_load(&trust, args->signer, err);
		if (ret < 0)
			return ret;
	}
	ret = keys_to_open(&args->keys, &keys, err);
	if (ret < 0)
		return ret;
	ret = spool_input(&path, &params.fd, err);
	if (ret < 0)
		return ret;
	ret = launch_guard(&args->net.connections, err);
	if (ret < 0)
		return ret;
	params.keys = take_ptr(keys);
	return source_from_file(source, path, &params, err);
}

static int verify_chain(const struct chain *chain, enum verify how, struct err *err)
{
	if (how == VERIFY_CACHED)
		return chain_ensure_verified(chain, err);
	for (unsigned i = 0; how == VERIFY_FULL && i < chain->n; i++) {
		int ret = archive_verify(chain->archive[i], NULL, NULL, err);

		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Before KVM is touched: is it live, is it for us, is it whole, and are its cards connected? */
static int check_live_file(const char *path, struct resume_args *args, struct source *source,
			   struct err *err)
{
	struct connections *connections = &args->net.connections;
	const struct appliance *a = &source->appliance;
	int ret;

	if (!a->live)
		return err_set(err, ERR_USAGE, "%s is cold: boot it with torpor run %s", path,
			       path);
	ret = source_check(source, err);
	if (ret < 0)
		return ret;
	ret = verify_chain(source->chain, args->verify, err);
	if (ret < 0)
		return ret;
	ret = connections_bind(connections, a, err);
	if (ret < 0)
		return ret;
	if (connections->n < a->nnets)
		fprintf(stderr,
			"torpor: %s has %u network cards, of which %u are connected: the others "
			"need a --net each\n",
			source->origin, a->nnets, connections->n);
	return 0;
}

static int cmd_resume_run(struct options *opts, struct err *err)
{
	struct resume_args args = {0};
	struct source source;
	struct target target;
	int ret = cmd_resume_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = target_find(&target, args.target, err);
	if (ret < 0)
		return ret;
	if (target.kind == TARGET_MACHINE)
		return resume_machine(target.name, &args, err);
	ret = open_live_file(target.file, &args, &source, err);
	if (ret < 0)
		return ret;
	ret = check_live_file(target.file, &args, &source, err);
	if (ret < 0) {
		source_close(&source);
		return ret;
	}
	args.instance.connections = &args.net.connections;
	if (!args.instance.new_identity)
		args.instance.preferred_name =
			target.kind == TARGET_STORED ? target.name : source.appliance.name;
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
	.run = cmd_resume_run,
};
