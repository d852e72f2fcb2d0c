/* Saving the instance: what the file is to say, and the disks as sources. See instance.h. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "host/paths.h"
#include "instance/instance.h"
#include "snapshot/save.h"

/* What the machine was made from, as it is at this moment. */
static int describe_appliance(const struct instance *in, const struct save_request *request,
			      struct appliance *a, struct err *err)
{
	int ret = appliance_copy(a, &in->source->appliance, err);

	if (ret < 0)
		return ret;
	strcpy(a->parent, in->base);
	a->increment = false;
	a->live = true;
	a->saved_ns = clock_realtime_ns();
	a->generation += in->saves + 1;
	a->cpu = in->cpu;
	snprintf(a->name, sizeof(a->name), "%s",
		 request->as != NULL ? request->as : in->claim.name);
	for (uint32_t i = 0; i < a->ndisks; i++)
		strcpy(a->disk[i].outside, request->outside[i]);
	return 0;
}

static void describe_disk(struct disk *disk, bool increment, struct save_disk *save)
{
	if (increment) {
		disk_changes_source(disk, &save->overlay);
		save->has_overlay = !disk_readonly(disk);
		return;
	}
	if (disk_base_source(disk, &save->base_source, &save->base_image))
		save->base_image = NULL;
	else
		save->base_source.size = 0;
	save->has_overlay = !disk_pristine(disk);
	if (save->has_overlay)
		disk_overlay_source(disk, &save->overlay);
}

/* An increment has the disks inside that its parent has inside. */
static bool same_places(const struct instance *in, const struct save_request *request,
			const struct chain *parent)
{
	const struct appliance *a = archive_appliance(chain_newest(parent));

	for (uint32_t i = 0; i < a->ndisks && i < in->source->appliance.ndisks; i++) {
		bool outside = disk_through(in->disk[i]) && request->disks == SAVE_DISKS_OUTSIDE;

		if (outside != (a->disk[i].outside[0] != '\0'))
			return false;
	}
	return true;
}

/* The file that is to be written is one of the chain, which the new file would need. */
static bool would_replace(const struct chain *l, const char *path)
{
	struct stat target, st;

	if (path == NULL || stat(path, &target) < 0)
		return false;
	for (unsigned i = 0; i < l->n; i++) {
		if (stat(archive_path(l->archive[i]), &st) == 0 && st.st_dev == target.st_dev &&
		    st.st_ino == target.st_ino)
			return true;
	}
	return false;
}

static int open_named_parent(struct instance *in, const struct save_request *request,
			     struct chain **parent, struct err *err)
{
	int ret;

	if (in->given.n == 0 || strcmp(in->given.file[0].path, request->parent) != 0)
		return err_set(err, ERR_USAGE, "the parent %s was not given", request->parent);
	ret = instance_open_given(in, parent, err);
	if (ret < 0)
		return ret;
	if (strcmp(archive_digest(chain_newest(*parent)), in->base) != 0)
		return err_set(err, ERR_USAGE,
			       "%s is not what %s woke from or was last saved to (%s)",
			       request->parent, in->claim.name,
			       in->base[0] != '\0' ? in->base : "nothing");
	if (!same_places(in, request, *parent))
		return err_set(err, ERR_USAGE,
			       "%s has other disks outside: what changed since it needs the same "
			       "--disks, or save with --full",
			       request->parent);
	if (would_replace(*parent, request->path))
		return err_set(err, ERR_USAGE,
			       "%s cannot be replaced by what changed since it: choose another -o, "
			       "or --full",
			       request->path);
	return 0;
}

/* What to be relative to; *parent stays NULL for a full save. */
static int choose_parent(struct instance *in, const struct save_request *request,
			 struct chain **parent, struct err *err)
{
	bool fits;

	if (request->full)
		return 0;
	if (request->parent != NULL)
		return open_named_parent(in, request, parent, err);
	/* The reader of a stream may not have the parent. */
	if (request->path == NULL)
		return 0;
	if (in->base[0] == '\0' || in->given.n == 0 || instance_open_given(in, parent, NULL) < 0)
		return 0;
	fits = strcmp(archive_digest(chain_newest(*parent)), in->base) == 0 &&
	       same_places(in, request, *parent) && !would_replace(*parent, request->path);
	if (!fits) {
		chain_close(*parent);
		*parent = NULL;
	}
	return 0;
}

/* The machine came from that file, or wrote it. */
static bool is_ancestor(const struct instance *in, const char *digest)
{
	const struct chain *chain = in->source->chain;

	for (unsigned i = 0; chain != NULL && i < chain->n; i++) {
		if (strcmp(archive_digest(chain->archive[i]), digest) == 0)
			return true;
	}
	for (unsigned i = 0; i < in->saves && i < INSTANCE_OWN_SAVES; i++) {
		if (strcmp(in->own_save[i], digest) == 0)
			return true;
	}
	return false;
}

/* A file in the store may be all that is left of a machine. */
static int check_replaced(const struct instance *in, const struct save_request *request,
			  struct err *err)
{
	if (request->path == NULL || request->replaced == NULL)
		return 0;
	if (request->dependent != NULL)
		return err_set(
			err, ERR_USAGE,
			"%s cannot be replaced: %s in the store stands on it; choose another "
			"file with -o",
			request->path, request->dependent);
	if (request->force || is_ancestor(in, request->replaced))
		return 0;
	return err_set(err, ERR_USAGE,
		       "%s holds another machine, which %s did not come from: choose another file "
		       "with -o, or replace it with --force",
		       request->path, in->claim.name);
}

void instance_note_saved(struct instance *in, const char *path, const char *digest, bool relative)
{
	strcpy(in->own_save[in->saves++ % INSTANCE_OWN_SAVES], digest);
	if (!relative)
		return;
	strcpy(in->base, digest);
	snprintf(in->base_path.text, sizeof(in->base_path.text), "%s", path != NULL ? path : "");
	/* Without a log the next increment compares every frame. */
	(void)dirty_rebase(&in->machine.dirty, NULL);
}

static int write_snapshot(struct instance *in, struct save_request *request,
			  const struct chain *parent, struct err *err)
{
	struct appliance a;
	struct save_params params = {
		.path = request->path,
		.adopted = request->path != NULL,
		.fd = request->fd,
		.appliance = &a,
		.flat = request->flat,
		.level = request->level,
		.keys = request->keys,
		.pager = in->pager,
		.parent = parent,
		.progress = &in->saving.progress,
	};
	int ret = describe_appliance(in, request, &a, err);

	if (ret < 0)
		return ret;
	a.increment = parent != NULL;
	for (uint32_t i = 0; i < a.ndisks; i++) {
		if (a.disk[i].outside[0] == '\0')
			describe_disk(in->disk[i], a.increment, &params.disk[i]);
	}
	ret = snapshot_save(&in->machine, &params, err);
	appliance_free(&a);
	if (ret < 0)
		return ret;
	request->bytes = params.bytes;
	strcpy(request->digest, params.digest);
	if (request->path == NULL)
		instance_note_saved(in, NULL, params.digest,
				    request->going_on && !request->held && !request->copy);
	return 0;
}

int instance_check_bases(const struct instance *in, struct err *err)
{
	for (uint32_t i = 0; i < in->source->appliance.ndisks; i++) {
		int ret = disk_check_base(in->disk[i], err);

		if (ret < 0)
			return ret;
	}
	return 0;
}

int instance_save(struct instance *in, struct save_request *request, struct err *err)
{
	cleanup_chain struct chain *parent = NULL;
	int ret = instance_check_bases(in, err);

	if (ret < 0)
		return ret;
	ret = check_replaced(in, request, err);
	if (ret < 0)
		return ret;
	ret = choose_parent(in, request, &parent, err);
	if (ret < 0)
		return ret;
	ret = instance_digest_disks(in, request, err);
	if (ret < 0)
		return ret;
	if (parent == NULL)
		return write_snapshot(in, request, NULL, err);
	ret = chain_load_hashes(parent, err);
	if (ret < 0)
		return ret;
	strcpy(request->parent_digest, archive_digest(chain_newest(parent)));
	ret = path_absolute(&request->parent_path, archive_path(chain_newest(parent)), err);
	if (ret < 0)
		return ret;
	return write_snapshot(in, request, parent, err);
}
