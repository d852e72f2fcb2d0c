/* See vsock_args.h. */
#include "cli/vsock_args.h"

#include <stdio.h>

#include "vsock/hub.h"

int vsock_args_take(struct vsock_args *args, int id, const char *value)
{
	if (id != OPT_VSOCK)
		return 0;
	args->path = value;
	return 1;
}

int vsock_args_check(const struct vsock_args *args, struct err *err)
{
	return args->path != NULL ? vsock_check_path(args->path, err) : 0;
}

int vsock_args_open(struct vsock_args *args, struct err *err)
{
	int ret;

	if (args->path == NULL)
		return 0;
	ret = vsock_start(&args->ends, args->path, err);
	args->open = ret == 0;
	return ret;
}

void vsock_args_close(struct vsock_args *args)
{
	if (args->open)
		vsock_ends_close(&args->ends);
	args->open = false;
}

static void give_ends(struct vsock_args *args, struct source *source)
{
	source->vsock = args->ends;
	source->vsock_path = args->path;
	args->open = false;
}

void vsock_args_add(struct vsock_args *args, struct source *source)
{
	if (args->path == NULL)
		return;
	source->appliance.vsock_cid = VSOCK_GUEST_CID;
	give_ends(args, source);
}

int vsock_args_bind(struct vsock_args *args, struct source *source, const char *typed,
		    struct err *err)
{
	const bool has = source->appliance.vsock_cid != 0;

	if (args->path != NULL && !has)
		return err_set(err, ERR_USAGE,
			       "--vsock %s: %s has no vsock, and a machine that wakes gets no new "
			       "devices",
			       args->path, source->origin);
	if (args->path != NULL)
		give_ends(args, source);
	else if (has)
		fprintf(stderr,
			"torpor: %s has a vsock, which is not connected: it needs a --vsock PATH\n",
			typed);
	return 0;
}
