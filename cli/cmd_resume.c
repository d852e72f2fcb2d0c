/* torpor resume: resume a live appliance, or let a paused machine go on. */
#include <errno.h>
#include <string.h>

#include "cli/command.h"
#include "cli/launch.h"
#include "cli/lease.h"
#include "cli/registry_args.h"
#include "cli/resume_args.h"
#include "cli/supervise.h"
#include "cli/target.h"
#include "cli/trust.h"
#include "host/client.h"

#define OPTION_PAUSED (OPTION_LONG_ONLY + 1)
#define OPTION_GOLDEN (OPTION_LONG_ONLY + 2)
#define OPTION_RM     (OPTION_LONG_ONLY + 3)
#define OPTION_WAIT   (OPTION_LONG_ONLY + 4)

static const struct option_spec options[] = {
	{'d', "detach", NULL, "run in the background and print the name"},
	{OPTION_PAUSED, "paused", NULL, "wake it, but do not let it go on before unpause"},
	{OPTION_GOLDEN, "golden", NULL, "torpor reset can take it back to the state of the file"},
	SUPERVISE_ON_TERM,
	SUPERVISE_IDLE,
	LEASE_OPTION,
	{OPTION_RM, "rm", NULL, "leave no logs and records behind"},
	{OPTION_WAIT, "wait-complete", NULL,
	 "from a registry or web server: all of it comes first"},
	RESUME_OPTIONS,
	REGISTRY_OPTIONS,
	OPTION_PROGRESS_SPEC,
	{0},
};

struct cmd_resume_args {
	struct resume_args resume;
	struct supervise_args supervise;
	bool detach;
	const char *lease;  /* --until-closed; NULL: not given */
	const char *option; /* the first that was given; NULL: none */
	struct registry_options registry;
	bool wait_complete;
	const char *wire_option; /* the first that is for a wire alone; NULL: none */
	const char *target;
};

static int cmd_resume_option(struct cmd_resume_args *args, int id, const char *value,
			     struct err *err)
{
	switch (id) {
	case 'd':
		args->detach = true;
		return 0;
	case OPTION_PAUSED:
		args->resume.instance.paused = true;
		return 0;
	case OPTION_GOLDEN:
		args->resume.instance.golden = true;
		return 0;
	case OPTION_RM:
		args->resume.instance.remove = true;
		return 0;
	case OPTION_UNTIL_CLOSED:
		args->lease = value;
		return 0;
	case OPTION_WAIT:
		args->wait_complete = true;
		return 0;
	default:
		return option_unhandled(id, err);
	}
}

static int cmd_resume_parse(struct options *opts, struct cmd_resume_args *args, struct err *err)
{
	int id, ret;

	resume_args_init(&args->resume);
	while ((id = options_next(opts, err)) > 0) {
		if (args->option == NULL)
			args->option = opts->name;
		ret = supervise_take(&args->supervise, opts, id, err);
		if (ret < 0)
			return ret;
		if (ret > 0)
			continue;
		ret = resume_args_take(&args->resume, id, opts->value, err);
		if (ret < 0)
			return ret;
		if (ret > 0)
			continue;
		ret = registry_args_take(&args->registry, id, opts->value, err);
		if (ret < 0)
			return ret;
		if ((ret > 0 || id == OPTION_WAIT) && args->wire_option == NULL)
			args->wire_option = opts->name;
		if (ret > 0)
			continue;
		ret = cmd_resume_option(args, id, opts->value, err);
		if (ret < 0)
			return ret;
	}
	if (id < 0)
		return id;
	if (args->resume.instance.golden && args->resume.instance.new_identity)
		return err_set(
			err, ERR_USAGE,
			"--golden: a reset leads back to the identity that the file has, and "
			"not to that of --new-identity");
	ret = resume_args_check(&args->resume, err);
	if (ret < 0)
		return ret;
	ret = options_one_operand(opts, "FILE or NAME", &args->target, err);
	if (ret == 0 && args->wire_option != NULL && !wire_is_source(args->target))
		return err_set(err, ERR_USAGE, "--%s is for docker://, https:// and http://",
			       args->wire_option);
	return ret;
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

/* Every option says how a file becomes a machine, and this is one. */
static int resume_machine(const struct cmd_resume_args *args, const char *name, struct err *err)
{
	struct client client;
	int ret;

	if (args->option != NULL)
		return err_set(err, ERR_USAGE, "--%s is for files, and %s is a machine already",
			       args->option, name);
	ret = client_open(&client, name, err);
	if (ret < 0)
		return ret;
	ret = unpause_paused(&client, err);
	client_close(&client);
	return ret;
}

static void cmd_resume_free(struct cmd_resume_args *args)
{
	supervise_free(&args->supervise);
	resume_args_close(&args->resume);
}

/* It is saved to where it woke from. */
static int resume_service(struct cmd_resume_args *args, const struct target *target,
			  struct err *err)
{
	char *operand[] = {(char *)args->target};
	struct supervise_start start = {
		.verb = "resume",
		.operand = operand,
		.noperands = 1,
		.detach = args->detach,
		.file = target->kind == TARGET_FILE ? target->file : NULL,
		.stored = target->kind == TARGET_STORED ? target->name : NULL,
	};
	int ret;

	disk_args_default(&args->resume.disks, DISK_RW);
	ret = supervise_check_disks(&args->supervise, disk_args_write(&args->resume.disks), err);
	if (ret < 0)
		return ret;
	if (target->kind == TARGET_IMAGE)
		return err_set(err, ERR_USAGE,
			       "%s is an image, which never changes: torpor convert makes a file "
			       "of it that can be saved to",
			       args->target);
	return supervise(&args->supervise, &start, err);
}

static int resume_file(struct cmd_resume_args *args, const char *path, const char *stored_name,
		       struct err *err)
{
	struct source source;
	int ret = lease_open(args->lease, &args->resume.instance.lease_fd, err);

	if (ret < 0)
		return ret;
	args->resume.typed = args->target;
	if (wire_is_source(args->target))
		args->resume.instance.origin = args->target;
	if (wire_is_source(args->target) && strcmp(path, args->target) != 0)
		target_name_path(path, args->target);
	ret = resume_args_open(&args->resume, path, -1, stored_name, &source, err);
	return ret < 0 ? ret : launch(&source, &args->resume.instance, args->detach, err);
}

/* All of it, and no name for what nobody trusted has signed. */
static int pull_first(const struct cmd_resume_args *args, const struct reference *ref,
		      char path[PATH_MAX], struct err *err)
{
	cleanup_trust struct trust trust = {.signers = {0}};
	struct registry_pull what = {.wanted = REGISTRY_ANY};
	struct registry_pulled pulled;
	int ret = trust_pull(&trust, args->resume.signer, &what, err);

	return ret < 0 ? ret
		       : registry_args_pull(ref, &args->registry, &what, "resume", &pulled, path,
					    err);
}

/* What the store has is not asked for again; the rest comes while the machine runs. */
static int resume_wire(struct cmd_resume_args *args, struct err *err)
{
	cleanup_wire_source struct wire_source wire = {.wire = NULL};
	const bool image = reference_is_remote(args->target);
	struct reference ref;
	struct target target;
	char path[PATH_MAX];
	const char *stored;
	int ret;

	if (supervise_wanted(&args->supervise))
		return err_set(err, ERR_USAGE,
			       "%s never changes: torpor pull and convert make a file of it that "
			       "can be saved to",
			       args->target);
	ret = image ? target_find(&target, args->target, NULL) : -ENOENT;
	if (ret == 0)
		return resume_file(args, target.file, NULL, err);
	if (image) {
		ret = registry_args_reference(&ref, args->target, err);
		if (ret < 0)
			return ret;
	}
	if (image && args->wait_complete) {
		ret = pull_first(args, &ref, path, err);
		return ret < 0 ? ret : resume_file(args, path, NULL, err);
	}
	ret = wire_source_open(&wire, args->target, &args->registry, "resume", args->wait_complete,
			       args->resume.signer, &stored, err);
	if (ret < 0)
		return ret;
	if (stored == NULL)
		args->resume.wire = &wire;
	return resume_file(args, stored != NULL ? stored : args->target, NULL, err);
}

static int cmd_resume_run(struct options *opts, struct err *err)
{
	__attribute__((cleanup(cmd_resume_free))) struct cmd_resume_args args = {0};
	struct target target;
	int ret = cmd_resume_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	if (wire_is_source(args.target))
		return resume_wire(&args, err);
	ret = target_find(&target, args.target, err);
	if (ret < 0)
		return ret;
	if (target.kind == TARGET_MACHINE)
		return resume_machine(&args, target.name, err);
	if (supervise_wanted(&args.supervise))
		return resume_service(&args, &target, err);
	return resume_file(&args, target.file, target.kind == TARGET_STORED ? target.name : NULL,
			   err);
}

const struct command cmd_resume = {
	.name = "resume",
	.args = "FILE|NAME|docker://REF|https://HOST/FILE",
	.summary = "wake a live appliance; a paused machine NAME goes on",
	.detail =
		"NAME is a paused machine, one that was saved to the store, or an image there. "
		"FILE may be - for "
		"standard input: what\n"
		"comes down a pipe is held in memory. The options are for files: a paused machine "
		"takes none.\n"
		"In the foreground the terminal is the console, as with torpor run.\n\n"
		"What a registry or web server has and the store has not is fetched while the "
		"machine runs:\n"
		"it starts when its state is there, and waits for memory that is not. torpor ps "
		"says how far it is.",
	.options = options,
	.run = cmd_resume_run,
};
