/* Disks that are files of their own, as the instance sees them; see instance.h. */
#include "instance/instance.h"

#include <errno.h>

#include "format/image/disk_digest.h"
#include "format/verified.h"

int instance_refuse_through(const struct instance *in, const char *what, struct err *err)
{
	for (uint32_t i = 0; i < in->source->appliance.ndisks; i++) {
		if (disk_through(in->disk[i]))
			return err_set(err, ERR_USAGE,
				       "machine %s cannot %s: its disk %s is written through to %s",
				       in->claim.name, what, disk_id(in->disk[i]),
				       in->source->disk[i].path);
	}
	return 0;
}

static const char *mode_name(const struct disk *disk)
{
	if (disk_through(disk))
		return "rw";
	return disk_readonly(disk) ? "ro" : "scratch";
}

json_t *instance_disks_json(const struct instance *in)
{
	json_t *disks = json_array();

	for (uint32_t i = 0; i < in->source->appliance.ndisks; i++) {
		const struct source_disk *from = &in->source->disk[i];
		json_t *json = json_pack("{s:s,s:s,s:I}", "id", disk_id(in->disk[i]), "mode",
					 mode_name(in->disk[i]), "size",
					 (json_int_t)disk_size(in->disk[i]));

		if (disk_past_cache(in->disk[i]))
			json_object_set_new(json, "direct", json_true());
		if (from->path != NULL) {
			json_object_set_new(json, "file", json_string(from->path));
			json_object_set_new(json, "device", json_integer((json_int_t)from->dev));
			json_object_set_new(json, "inode", json_integer((json_int_t)from->ino));
		}
		json_array_append_new(disks, json);
	}
	return disks;
}

static const struct disk *first_through(const struct instance *in)
{
	for (uint32_t i = 0; i < in->source->appliance.ndisks; i++) {
		if (disk_through(in->disk[i]))
			return in->disk[i];
	}
	return NULL;
}

bool instance_writes_through(const struct instance *in)
{
	return first_through(in) != NULL;
}

int instance_check_save_disks(const struct instance *in, const struct save_request *request,
			      struct err *err)
{
	const struct disk *disk = first_through(in);

	if (disk == NULL)
		return 0;
	if (request->copy)
		return err_set(
			err, ERR_USAGE,
			"its disk %s is written through, and clones would write it, too: save "
			"it with --disks inside -R -o FILE and clone that",
			disk_id(disk));
	if (request->disks == SAVE_DISKS_UNSAID)
		return err_set(
			err, ERR_USAGE,
			"disk %s is written through to its file, and nobody has said what becomes "
			"of "
			"it: --disks inside puts what it holds now into the appliance, --disks "
			"outside leaves it where it is, and resume takes it with --disk %s=F as "
			"long as it has not changed",
			disk_id(disk), disk_id(disk));
	if (request->disks == SAVE_DISKS_OUTSIDE && request->going_on)
		return err_set(
			err, ERR_USAGE,
			"--disks outside: a machine that goes on (-R) writes to disk %s, and "
			"what was saved could never wake again; --disks inside can",
			disk_id(disk));
	return 0;
}

/* A file that is gone or has shrunk could never be given to a resume: what the machine knows of it would be lost. */
static int check_stays(const struct disk *disk, const struct stat *st, struct err *err)
{
	if (!S_ISREG(st->st_mode))
		return 0;
	if (st->st_nlink == 0)
		return err_set(
			err, ERR_FAILED,
			"disk %s: its file has been removed, and what it holds would be gone "
			"with the machine: --disks inside puts it into the appliance",
			disk_id(disk));
	if ((uint64_t)st->st_size != disk_size(disk))
		return err_set(
			err, ERR_FAILED,
			"disk %s: its file has %lld bytes now, and the disk has %llu: another "
			"program has changed the file; give it that size again (truncate -s), "
			"or kill the machine",
			disk_id(disk), (long long)st->st_size, (unsigned long long)disk_size(disk));
	return 0;
}

static int digest_disk(struct instance *in, uint32_t i, struct save_request *request,
		       struct err *err)
{
	struct disk *disk = in->disk[i];
	struct stat before, after;
	bool settled;
	int ret = disk_flush(disk);

	if (ret < 0)
		return err_sys(err, -ret, "flush disk %s", disk_id(disk));
	if (fstat(disk_through_fd(disk), &before) < 0)
		return err_sys(err, errno, "disk %s", disk_id(disk));
	ret = check_stays(disk, &before, err);
	if (ret < 0)
		return ret;
	/* The times of a device tell nothing. */
	settled = S_ISREG(before.st_mode) && verified_settle(&before);
	ret = disk_digest(disk_through_fd(disk), disk_size(disk), &in->saving.progress,
			  request->outside[i], err);
	if (ret < 0)
		return err_context(err, ret, "disk %s", disk_id(disk));
	if (settled && fstat(disk_through_fd(disk), &after) == 0 && verified_same(&before, &after))
		request->outside_stat[i] = after;
	return 0;
}

int instance_digest_disks(struct instance *in, struct save_request *request, struct err *err)
{
	for (uint32_t i = 0; i < in->source->appliance.ndisks; i++) {
		int ret;

		if (!disk_through(in->disk[i]) || request->disks != SAVE_DISKS_OUTSIDE)
			continue;
		ret = digest_disk(in, i, request, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static json_t *time_json(const struct timespec *time)
{
	return json_pack("[I,I]", (json_int_t)time->tv_sec, (json_int_t)time->tv_nsec);
}

json_t *instance_outside_json(const struct instance *in, const struct save_request *request)
{
	json_t *outside = json_array();

	for (uint32_t i = 0; i < in->source->appliance.ndisks; i++) {
		const struct stat *st = &request->outside_stat[i];
		json_t *json;

		if (request->outside[i][0] == '\0')
			continue;
		json = json_pack("{s:s,s:s}", "id", disk_id(in->disk[i]), "digest",
				 request->outside[i]);
		if (st->st_nlink > 0) {
			json_object_set_new(json, "device", json_integer((json_int_t)st->st_dev));
			json_object_set_new(json, "inode", json_integer((json_int_t)st->st_ino));
			json_object_set_new(json, "size", json_integer((json_int_t)st->st_size));
			json_object_set_new(json, "mtime", time_json(&st->st_mtim));
			json_object_set_new(json, "ctime", time_json(&st->st_ctim));
		}
		json_array_append_new(outside, json);
	}
	return outside;
}
