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
	a->generation += in->saves + 1;
	a->cpu = in->cpu;
	snprintf(a->name, sizeof(a->name), "%s",
		 request->as != NULL ? request->as : in->claim.name);
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

int save_job_init(struct save_job *job, struct instance *in, const struct save_request *request,
		  struct progress *progress, struct err *err)
{
	int ret = instance_check_bases(in, err);

	if (ret < 0)
		return ret;
	ret = check_replaced(in, request, err);
	if (ret < 0)
		return ret;
	ret = describe_appliance(in, request, &job->appliance, err);
	if (ret < 0)
		return ret;
	job->params = (struct save_params){
		.path = request->path,
		.adopted = request->path != NULL,
		.fd = request->fd,
		.appliance = &job->appliance,
		.flat = request->flat,
		.level = request->level,
		.keys = request->keys,
		.pager = in->pager,
		.progress = progress,
	};
	return 0;
}

int save_job_open_parent(struct save_job *job, struct instance *in, struct save_request *request,
			 struct err *err)
{
	int ret = choose_parent(in, request, &job->parent, err);

	if (ret < 0 || job->parent == NULL)
		return ret;
	job->params.parent = job->parent;
	job->appliance.increment = true;
	ret = chain_load_hashes(job->parent, err);
	if (ret < 0)
		return ret;
	strcpy(request->parent_digest, archive_digest(chain_newest(job->parent)));
	return path_absolute(&request->parent_path, archive_path(chain_newest(job->parent)), err);
}

void save_job_describe(struct save_job *job, struct instance *in,
		       const struct save_request *request)
{
	struct appliance *a = &job->appliance;

	a->saved_ns = clock_realtime_ns();
	for (uint32_t i = 0; i < a->ndisks; i++) {
		strcpy(a->disk[i].outside, request->outside[i]);
		if (a->disk[i].outside[0] == '\0')
			describe_disk(in->disk[i], a->increment, &job->params.disk[i]);
	}
}

void save_job_free(struct save_job *job)
{
	appliance_free(&job->appliance);
	chain_close(job->parent);
	*job = (struct save_job){0};
}

static int write_job(struct save_job *job, struct instance *in, struct save_request *request,
		     struct err *err)
{
	int ret = save_job_init(job, in, request, &in->saving.progress, err);

	if (ret < 0)
		return ret;
	ret = save_job_open_parent(job, in, request, err);
	if (ret < 0)
		return ret;
	ret = instance_digest_disks(in, request, err);
	if (ret < 0)
		return ret;
	save_job_describe(job, in, request);
	ret = snapshot_save(&in->machine, &job->params, err);
	if (ret < 0)
		return ret;
	request->bytes = job->params.bytes;
	strcpy(request->digest, job->params.digest);
	return 0;
}

int instance_save(struct instance *in, struct save_request *request, struct err *err)
{
	struct save_job job = {0};
	const bool relative = request->going_on && !request->held && !request->copy;
	int ret = write_job(&job, in, request, err);

	save_job_free(&job);
	if (ret < 0 || request->path != NULL)
		return ret;
	instance_note_saved(in, NULL, request->digest, relative);
	if (relative)
		instance_rebase(in);
	return 0;
}

void instance_rebase(struct instance *in)
{
	/* Without a log the next increment compares every frame. */
	(void)dirty_rebase(&in->machine.dirty, NULL);
}
