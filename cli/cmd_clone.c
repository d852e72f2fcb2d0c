/* torpor clone: several machines from one live appliance, or from a machine that runs. */

#include "base/cleanup.h"
#include "base/tempfile.h"
#include "cli/await_arrival.h"
#include "cli/command.h"
#include "cli/launch.h"
#include "cli/resume_args.h"
#include "cli/save_meter.h"
#include "cli/target.h"
#include "format/image/image_pack.h"
#include "host/client.h"
#include "host/parse.h"

#define MOST_CLONES 10000u

static const struct option_spec options[] = {
	{'c', "count", "N", "how many; default 1"},
	RESUME_OPTIONS,
	OPTION_PROGRESS_SPEC,
	{0},
};

struct clone_args {
	struct resume_args resume;
	const char *base; /* of the names; NULL: that of the source */
	unsigned count;
	const char *target;
};

static void clone_args_close(struct clone_args *args)
{
	resume_args_close(&args->resume);
}

/* What one machine has, a second cannot have. */
static int check_shared(struct clone_args *args, struct err *err)
{
	struct disk_args *disks = &args->resume.disks;
	const struct connections *c = &args->resume.net.connections;

	if (args->count == 1)
		return 0;
	for (unsigned i = 0; i < c->nforwards; i++) {
		if (c->forward[i].host_port != 0)
			return err_set(err, ERR_USAGE,
				       "--publish %u:%u: %u machines cannot share a port of this "
				       "host; 0:%u takes a free one for each",
				       c->forward[i].host_port, c->forward[i].guest_port,
				       args->count, c->forward[i].guest_port);
	}
	for (unsigned i = 0; i < c->n; i++) {
		if (c->card[i].kind == NET_TAP && c->card[i].name != NULL)
			return err_set(err, ERR_USAGE,
				       "--net tap=%s: %u machines cannot share a tap; `tap` makes "
				       "one for each",
				       c->card[i].name, args->count);
	}
	disk_args_default(disks, DISK_RW);
	if (disk_args_write(disks))
		return err_set(
			err, ERR_USAGE,
			"--disk: %u machines cannot write one disk; with scratch each has what "
			"it writes of its own",
			args->count);
	if (args->resume.shares.n > 0)
		return err_set(err, ERR_USAGE,
			       "-v %s: %u machines cannot share one server; start them one by one, "
			       "or with -v none",
			       args->resume.shares.share[0].value, args->count);
	if (args->resume.vsock.path != NULL)
		return err_set(err, ERR_USAGE,
			       "--vsock %s: %u machines cannot share a socket; start them one by "
			       "one",
			       args->resume.vsock.path, args->count);
	if (c->pcap != NULL)
		return err_set(err, ERR_USAGE, "--pcap %s: %u machines cannot share a file",
			       c->pcap, args->count);
	return 0;
}

static int cmd_clone_parse(struct options *opts, struct clone_args *args, struct err *err)
{
	uint64_t count = 1;
	int id, ret;

	resume_args_init(&args->resume);
	args->resume.verb = "clone";
	while ((id = options_next(opts, err)) > 0) {
		ret = id == 'c' ? parse_number(opts->value, "--count", 1, MOST_CLONES, &count, err)
				: resume_args_take(&args->resume, id, opts->value, err);
		if (ret < 0)
			return ret;
	}
	if (id < 0)
		return id;
	args->count = (unsigned)count;
	args->base = args->resume.instance.name;
	args->resume.instance.name = NULL;
	ret = resume_args_check(&args->resume, err);
	if (ret < 0)
		return ret;
	ret = check_shared(args, err);
	return ret < 0 ? ret : options_one_operand(opts, "FILE or NAME", &args->target, err);
}

/* Write the machine, which goes on, flat into `fd`: the clones map it, and share what none of them
 * changes. */
static int copy_machine(struct client *client, int fd, struct err *err)
{
	json_t *status, *request;
	bool encrypted;
	int ret = client_do(client, "status", CLIENT_FOREVER, &status, err);

	if (ret < 0)
		return ret;
	encrypted = json_is_true(json_object_get(status, "encrypted"));
	json_decref(status);
	if (encrypted)
		return err_set(err, ERR_FAILED,
			       "machine %s is encrypted, and clones share its memory in clear: "
			       "save it with -R -o FILE and clone that",
			       client->name);
	request = json_pack("{s:s,s:b,s:b,s:b,s:b,s:b,s:i}", "do", "save", "stream", 1,
			    "leave-running", 1, "copy", 1, "flat", 1, "full", 1, "level",
			    IMAGE_PACK_LEVEL);
	ret = save_meter_begin("clone", "the machine goes on as it was", client, err);
	if (ret < 0) {
		json_decref(request);
		return ret;
	}
	ret = client_call_with(client, request, fd, CLIENT_FOREVER, NULL, err);
	meter_end(ret);
	return ret;
}

/* Of a running machine: a file without a name, which is gone with the last clone. */
static int open_copy(const char *name, struct err *err)
{
	cleanup_fd int fd = -1;
	struct client client;
	struct path folder;
	int ret = path_state_root(&folder, err);

	if (ret < 0)
		return ret;
	ret = path_make_dirs(&folder, err);
	if (ret < 0)
		return ret;
	fd = tempfile_unnamed(folder.text, err);
	if (fd < 0)
		return fd;
	ret = await_arrival(name, "clone", err);
	if (ret < 0)
		return ret;
	ret = client_open(&client, name, err);
	if (ret < 0)
		return ret;
	ret = copy_machine(&client, fd, err);
	client_close(&client);
	if (ret < 0)
		return err_context(err, ret, "copy of %s in %s", name, folder.text);
	return take_fd(&fd);
}

static int cmd_clone_run(struct options *opts, struct err *err)
{
	__attribute__((cleanup(clone_args_close))) struct clone_args args = {0};
	const char *stored_name;
	struct source source;
	struct target target;
	int fd = -1, ret = cmd_clone_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = target_find(&target, args.target, err);
	if (ret < 0)
		return ret;
	stored_name =
		target.kind == TARGET_MACHINE || target.kind == TARGET_STORED ? target.name : NULL;
	if (target.kind == TARGET_MACHINE) {
		fd = open_copy(target.name, err);
		if (fd < 0)
			return fd;
		/* We have just written it. */
		args.resume.unverified |= !args.resume.verify_given;
	}
	args.resume.typed = args.target;
	ret = resume_args_open(&args.resume, fd < 0 ? target.file : target.name, fd, stored_name,
			       &source, err);
	if (ret < 0)
		return ret;
	/* --new-identity alone would make each a name of its own. */
	if (args.base == NULL)
		args.base = stored_name != NULL ? stored_name : source.appliance.name;
	args.resume.instance.preferred_name = args.base[0] != '\0' ? args.base : "clone";
	return launch_clones(&source, &args.resume.instance, opts->verb, args.count, err);
}

const struct command cmd_clone = {
	.name = "clone",
	.args = "FILE|NAME",
	.summary = "start machines from a live appliance, or from a machine that goes on",
	.detail = "They are called NAME-1, NAME-2 …, and share the memory and disks that none of "
		  "them changes, if the file is\n"
		  "flat (torpor convert --flat). A running machine NAME stands still for a moment "
		  "and is "
		  "copied behind that, as "
		  "in torpor save -R.",
	.options = options,
	.run = cmd_clone_run,
};
