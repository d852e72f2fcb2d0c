/* Saving the instance: what the file is to say, and the disks as sources. See instance.h. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "host/parent.h"
#include "host/paths.h"
#include "instance/instance.h"
#include "snapshot/save.h"

/* What the machine was made from, as it is at this moment. */
static int describe(const struct instance *in, struct appliance *a, struct err *err)
{
	struct timespec now;
	int ret = appliance_copy(a, &in->source->appliance, err);

	if (ret < 0)
		return ret;
	clock_gettime(CLOCK_REALTIME, &now);
	strcpy(a->parent, in->base);
	a->increment = false;
	a->live = true;
	a->saved_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	a->generation += in->saves + 1;
	a->cpu = in->cpu;
	snprintf(a->name, sizeof(a->name), "%s", in->claim.name);
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

/* The file that is to be written is one of those that would have to stay. */
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

static bool in_store(const char *path)
{
	struct path root;
	size_t len;

	if (path_store_root(&root, NULL) < 0)
		return false;
	len = strlen(root.text);
	return strncmp(path, root.text, len) == 0 && path[len] == '/' &&
	       strchr(path + len + 1, '/') == NULL;
}

static int open_named_parent(const struct instance *in, const struct save_request *request,
			     struct chain **parent, struct err *err)
{
	const struct archive_open_params params = {.fd = -1, .keys = in->source->keys};
	int ret = parent_open(parent, request->parent, &params, err);

	if (ret < 0)
		return ret;
	if (strcmp(archive_digest(chain_newest(*parent)), in->base) != 0)
		return err_set(err, ERR_USAGE,
			       "%s is not what %s woke from or was last saved to (%s)",
			       request->parent, in->claim.name,
			       in->base[0] != '\0' ? in->base : "nothing");
	if (would_replace(*parent, request->path))
		return err_set(err, ERR_USAGE,
			       "%s cannot be replaced by what changed since it: choose another -o, "
			       "or --full",
			       request->path);
	return 0;
}

/* What to be relative to; *parent stays NULL for a full save. */
static int choose_parent(const struct instance *in, const struct save_request *request,
			 struct chain **parent, struct err *err)
{
	const struct archive_open_params params = {.fd = -1, .keys = in->source->keys};
	bool fits;

	*parent = NULL;
	if (request->full)
		return 0;
	if (request->parent != NULL)
		return open_named_parent(in, request, parent, err);
	/* Who knows what the reader of a stream has. */
	if (request->path == NULL)
		return 0;
	if (in->base[0] == '\0' || !in_store(in->base_path.text) ||
	    parent_open(parent, in->base_path.text, &params, NULL) < 0)
		return 0;
	fits = strcmp(archive_digest(chain_newest(*parent)), in->base) == 0 &&
	       !would_replace(*parent, request->path);
	if (!fits) {
		chain_close(*parent);
		*parent = NULL;
	}
	return 0;
}

/* From here on the machine is relative to the file just written. */
static void rebase(struct instance *in, const char *path, const char *digest)
{
	strcpy(in->base, digest);
	snprintf(in->base_path.text, sizeof(in->base_path.text), "%s", path != NULL ? path : "");
	/* Without a log the next increment compares every frame. */
	(void)dirty_rebase(&in->machine.dirty, NULL);
}

static int save(struct instance *in, struct save_request *request, const struct chain *parent,
		struct err *err)
{
	struct appliance a;
	struct save_params params = {
		.path = request->path,
		.stream = request->stream,
		.appliance = &a,
		.flat = request->flat,
		.level = request->level,
		.keys = request->keys,
		.pager = in->pager,
		.parent = parent,
	};
	int ret = describe(in, &a, err);

	if (ret < 0)
		return ret;
	a.increment = parent != NULL;
	for (uint32_t i = 0; i < a.ndisks; i++)
		describe_disk(in->disk[i], a.increment, &params.disk[i]);
	ret = snapshot_save(&in->machine, &params, err);
	request->bytes = params.bytes;
	if (ret == 0)
		in->saves++;
	if (ret == 0 && request->going_on && !request->held)
		rebase(in, request->path, params.digest);
	appliance_free(&a);
	return ret;
}

int instance_save(struct instance *in, struct save_request *request, struct err *err)
{
	struct chain *parent;
	int ret = choose_parent(in, request, &parent, err);

	if (ret == 0 && parent != NULL)
		ret = chain_load_hashes(parent, err);
	if (ret == 0)
		ret = save(in, request, parent, err);
	chain_close(parent);
	return ret;
}
