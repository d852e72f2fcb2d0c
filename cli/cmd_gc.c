/* torpor gc: remove images without a name from the store. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "cli/command.h"
#include "cli/image_build.h"
#include "cli/json_out.h"
#include "container/root_cache.h"
#include "format/archive.h"
#include "host/paths.h"
#include "host/sandbox.h"
#include "host/store.h"
#include "meter/meter.h"

static const struct option_spec options[] = {OPTION_JSON_SPEC, OPTION_PROGRESS_SPEC, {0}};

/* Identities that increments among the saved machines stand on. */
struct roots {
	char (*item)[DIGEST_TEXT_SIZE]; /* owned */
	size_t count;
};

static int add_root(void *opaque, const char *path, struct err *err)
{
	cleanup_archive struct archive *a = NULL;
	struct roots *roots = opaque;
	char(*grown)[DIGEST_TEXT_SIZE];
	int ret = archive_open(&a, path, err);

	if (ret < 0)
		return ret;
	if (!archive_appliance(a)->increment)
		return 0;
	grown = array_grow(roots->item, roots->count, sizeof(*grown));
	if (grown == NULL)
		return err_sys(err, ENOMEM, "%s", path);
	roots->item = grown;
	strcpy(grown[roots->count++], archive_appliance(a)->parent);
	return 0;
}

static int cmd_gc_run(struct options *opts, struct err *err)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	struct roots roots = {0};
	struct root_swept disks = {0};
	struct cas_swept swept = {0};
	struct path cache;
	static const struct meter_params shown = {
		.verb = "gc", .cancelled = "what is removed by then is removed"};
	bool json = false, none = false; /* nothing was ever pulled */
	int ret = options_flags(opts, OPTION_JSON, &json, err);

	if (ret < 0)
		return ret;
	ret = options_end(opts, err);
	if (ret < 0)
		return ret;
	ret = registry_args_store(&cas, CAS_SWEEP, err);
	if (ret == -ENOENT)
		none = true;
	else if (ret < 0)
		return ret;
	ret = meter_begin(&shown, err);
	if (ret < 0)
		return ret;
	/* Appliances from anywhere are opened, to see what they stand on. */
	ret = sandbox_enter(SANDBOX_CREATE, err);
	if (ret < 0)
		return ret;
	meter_run();
	ret = none ? 0 : store_each(add_root, &roots, err);
	if (ret == 0 && !none)
		ret = cas_sweep(&cas, roots.item, roots.count, meter_progress(), &swept, err);
	free(roots.item);
	if (ret == 0)
		ret = path_cache(&cache, IMAGE_ROOTS, err);
	if (ret == 0)
		ret = root_cache_sweep(cache.text, &disks, err);
	meter_end(ret);
	if (ret < 0)
		return ret;
	if (json)
		json_out(json_pack("{s:i,s:i,s:i,s:i,s:I}", "images", (int)swept.images, "blobs",
				   (int)swept.blobs, "partial", (int)swept.partial, "root-disks",
				   (int)disks.roots, "bytes",
				   (json_int_t)(swept.bytes + disks.bytes)));
	else
		printf("%u image%s, %u partial download%s, %u root disk%s: "
		       "%.1f MiB removed\n",
		       swept.images, swept.images == 1 ? "" : "s", swept.partial,
		       swept.partial == 1 ? "" : "s", disks.roots, disks.roots == 1 ? "" : "s",
		       (double)(swept.bytes + disks.bytes) / 1048576.0);
	return 0;
}

const struct command cmd_gc = {
	.name = "gc",
	.args = "",
	.summary = "remove pulled images that have no name, what was half fetched, and root disks "
		   "of no use",
	.detail =
		"What a running machine woke from stays, and so do the parents of increments that "
		"stay, and of saved machines. Root disks that torpor run has kept go when their "
		"image or folder is gone or another one. It waits for pulls that are under way. A "
		"saved "
		"machine or image that cannot be read is an error, and then nothing is removed.",
	.options = options,
	.run = cmd_gc_run,
};
