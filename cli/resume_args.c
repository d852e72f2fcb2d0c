/* See resume_args.h. */
#include "cli/resume_args.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/launch.h"
#include "cli/source_args.h"
#include "cli/spool.h"
#include "cli/trust.h"
#include "host/parse.h"
#include "meter/meter.h"

void resume_args_init(struct resume_args *args)
{
	*args = (struct resume_args){.instance = {.fill = PAGER_FILL_IDLE},
				     .verb = "resume",
				     .helper = LIMITS_HELPER_NONE};
}

void resume_args_close(struct resume_args *args)
{
	disk_args_close(&args->disks);
	share_args_close(&args->shares);
	vsock_args_close(&args->vsock);
	limits_helper_close(&args->helper);
}

static int parse_verify(const char *text, enum resume_verify *verify, struct err *err)
{
	if (strcmp(text, "full") != 0 && strcmp(text, "cached") != 0)
		return err_set(err, ERR_USAGE, "--verify %s: full or cached", text);
	*verify = text[0] == 'f' ? RESUME_VERIFY_FULL : RESUME_VERIFY_CACHED;
	return 0;
}

int resume_args_take(struct resume_args *args, int id, const char *value, struct err *err)
{
	int ret = net_args_take(&args->net, id, value, err);

	if (ret != 0)
		return ret;
	ret = limit_args_take(&args->limits, id, value, err);
	if (ret != 0)
		return ret;
	ret = disk_args_take(&args->disks, id, value, err);
	if (ret != 0)
		return ret;
	ret = share_args_take(&args->shares, id, value, err);
	if (ret != 0)
		return ret;
	if (vsock_args_take(&args->vsock, id, value))
		return 1;
	if (key_args_take(&args->keys, id, value))
		return 1;
	switch (id) {
	case 'n':
		args->instance.name = value;
		ret = parse_name(value, err);
		break;
	case OPTION_FILL:
		ret = fill_parse(value, &args->instance.fill, err);
		break;
	case OPTION_REQUIRE_SIGNATURE:
		args->signer = value;
		break;
	case OPTION_VERIFY:
		args->verify_given = true;
		ret = parse_verify(value, &args->verify, err);
		break;
	case OPTION_UNVERIFIED:
		args->unverified = true;
		break;
	case OPTION_NEW_IDENTITY:
		args->instance.new_identity = true;
		break;
	default:
		return 0;
	}
	return ret < 0 ? ret : 1;
}

int resume_args_check(const struct resume_args *args, struct err *err)
{
	if (args->verify_given && args->unverified)
		return err_set(err, ERR_USAGE, "--verify and --unverified exclude each other");
	if (args->signer != NULL && args->unverified)
		return err_set(
			err, ERR_USAGE,
			"--unverified: a signature says nothing about what is not looked at");
	return 0;
}

/* Of a file without a trusted signature nothing but the manifest is parsed. */
static int open_source(struct resume_args *args, const char *path, int fd, struct source *source,
		       struct err *err)
{
	cleanup_keyring struct keyring *keys = NULL;
	cleanup_trust struct trust trust = {.signers = {0}};
	struct archive_open_params params = {.fd = fd, .opaque = &trust};
	struct target input;
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
	if (args->wire != NULL) {
		wire_source_params(args->wire, &params);
		trust.beside = args->wire->wire->signatures.text;
		trust.nbeside = args->wire->wire->signatures.count;
	} else if (fd < 0) {
		ret = spool_input(&input, path, &params.fd, err);
		if (ret < 0)
			return ret;
		path = input.file;
	}
	trust.image = path;
	ret = limits_helper_start(&args->helper, &args->limits, err);
	if (ret < 0)
		return ret;
	disk_args_default(&args->disks, DISK_RW);
	ret = disk_args_open(&args->disks, err);
	if (ret < 0)
		return ret;
	ret = share_args_open(&args->shares, err);
	if (ret < 0)
		return ret;
	ret = vsock_args_open(&args->vsock, err);
	if (ret < 0)
		return ret;
	ret = launch_guard(&args->net.connections, err);
	if (ret < 0)
		return ret;
	params.keys = take_ptr(keys);
	ret = source_from_keyed_file(source, path, &params, &args->keys, err);
	if (ret == 0 && args->wire != NULL)
		wire_source_attach(args->wire, source);
	return ret;
}

static int verify_each(const struct chain *chain, enum resume_verify how, struct err *err)
{
	if (how == RESUME_VERIFY_CACHED)
		return chain_ensure_verified(chain, err);
	for (unsigned i = 0; i < chain->n; i++) {
		int ret = archive_verify(chain->archive[i], NULL, NULL, err);

		if (ret < 0)
			return ret;
	}
	return 0;
}

static int verify_chain(const struct resume_args *args, const struct chain *chain, struct err *err)
{
	const struct meter_params shown = {.verb = args->verb, .cancelled = "nothing was started"};
	int ret = meter_begin(&shown, err);

	if (ret < 0)
		return ret;
	meter_run();
	chain_watch(chain, meter_progress());
	ret = verify_each(chain, args->verify, err);
	chain_watch(chain, NULL);
	meter_end(ret);
	return ret;
}

/* Before KVM is touched. */
static int check_source(const struct resume_args *args, const struct source *source,
			struct err *err)
{
	const char *typed = args->typed != NULL ? args->typed : source->origin;
	int ret;

	if (!source->appliance.live && strstr(typed, "://") != NULL && !reference_is_remote(typed))
		return err_set(err, ERR_USAGE,
			       "%s is cold: fetch the file, and boot it with torpor run", typed);
	if (!source->appliance.live)
		return err_set(err, ERR_USAGE, "%s is cold: boot it with torpor run %s", typed,
			       typed);
	ret = source_check(source, err);
	if (ret < 0 || args->unverified)
		return ret;
	return verify_chain(args, source->chain, err);
}

/* Cards without a --net are not connected; one line says so. */
static int bind_cards(struct connections *connections, const struct source *source,
		      const char *typed, struct err *err)
{
	const struct appliance *a = &source->appliance;
	int ret = connections_bind(connections, a, err);

	if (ret < 0)
		return ret;
	if (connections->n < a->nnets)
		fprintf(stderr,
			"torpor: %s has %u network cards, of which %u are connected: the others "
			"need a --net each\n",
			typed, a->nnets, connections->n);
	return 0;
}

int resume_args_open(struct resume_args *args, const char *path, int fd, const char *stored_name,
		     struct source *source, struct err *err)
{
	int ret = open_source(args, path, fd, source, err);
	const char *typed;

	if (ret < 0)
		return ret;
	typed = args->typed != NULL ? args->typed : source->origin;
	ret = check_source(args, source, err);
	if (ret == 0)
		ret = disk_args_bind(&args->disks, source, err);
	if (ret == 0)
		ret = disk_args_limit(&args->disks, source, err);
	if (ret == 0)
		ret = share_args_bind(&args->shares, source, err);
	if (ret == 0)
		ret = vsock_args_bind(&args->vsock, source, typed, err);
	if (ret == 0)
		ret = bind_cards(&args->net.connections, source, typed, err);
	if (ret < 0) {
		source_close(source);
		return ret;
	}
	limit_args_warn(&args->limits, source->appliance.vcpus, source->appliance.memory);
	args->instance.connections = &args->net.connections;
	args->instance.limits = &args->helper;
	if (!args->instance.new_identity)
		args->instance.preferred_name =
			stored_name != NULL ? stored_name : source->appliance.name;
	return 0;
}
