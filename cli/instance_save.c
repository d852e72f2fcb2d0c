/* Saving the instance: what the file is to say, and the disks as sources. See instance.h. */
#include <stdio.h>
#include <time.h>

#include "cli/instance.h"
#include "snapshot/save.h"

/* What the machine was made from, as it is at this moment. */
static int describe(const struct instance *in, struct appliance *a, struct err *err)
{
	const struct archive *archive = in->source->archive;
	struct timespec now;
	int ret = appliance_copy(a, &in->source->appliance, err);

	if (ret < 0)
		return ret;
	clock_gettime(CLOCK_REALTIME, &now);
	if (a->live)
		snprintf(a->parent, sizeof(a->parent), "%s", archive_digest(archive));
	a->live = true;
	a->saved_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	a->generation += in->saves + 1;
	a->cpu = in->cpu;
	snprintf(a->name, sizeof(a->name), "%s", in->claim.name);
	return 0;
}

static void describe_disk(struct disk *disk, struct save_disk *save)
{
	if (disk_base_source(disk, &save->base_source, &save->base_image))
		save->base_image = NULL;
	save->has_overlay = !disk_pristine(disk);
	if (save->has_overlay)
		disk_overlay_source(disk, &save->overlay);
}

int instance_save(struct instance *in, const char *path, struct err *err)
{
	struct appliance a;
	struct save_params params = {.path = path, .appliance = &a};
	int ret = describe(in, &a, err);

	if (ret < 0)
		return ret;
	for (uint32_t i = 0; i < a.ndisks; i++)
		describe_disk(in->disk[i], &params.disk[i]);
	ret = snapshot_save(&in->machine, &params, err);
	if (ret == 0)
		in->saves++;
	appliance_free(&a);
	return ret;
}
