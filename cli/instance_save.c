/* Saving the instance: what the file is to say, and the disks as sources. See instance.h. */
#include <time.h>

#include "cli/instance.h"
#include "snapshot/save.h"

/* The description of this machine at this moment. Valid until the next save. */
static void describe(struct instance *in)
{
	struct appliance *a = &in->source->appliance;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (in->source->archive != NULL && a->live)
		snprintf(a->parent, sizeof(a->parent), "%s", archive_digest(in->source->archive));
	a->live = true;
	a->saved_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	a->generation++;
	a->cpu = in->cpu;
	snprintf(a->name, sizeof(a->name), "%s", in->claim.name);
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
	struct appliance *a = &in->source->appliance;
	struct save_params params = {.path = path, .appliance = a};
	int ret;

	describe(in);
	for (uint32_t i = 0; i < a->ndisks; i++)
		describe_disk(in->disk[i], &params.disk[i]);
	ret = snapshot_save(&in->machine, &params, err);
	if (ret < 0)
		a->generation--;
	return ret;
}
