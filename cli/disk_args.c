/* See disk_args.h. */
#include "cli/disk_args.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/name.h"
#include "base/num.h"
#include "cli/disk_user.h"
#include "devices/rate.h"
#include "format/image/disk_digest.h"
#include "format/verified.h"
#include "host/paths.h"
#include "volume/volume.h"

static struct disk_arg *next_disk(struct disk_args *args, struct err *err)
{
	if (args->n < APPLIANCE_MAX_DISKS)
		return &args->disk[args->n];
	err_set(err, ERR_USAGE, "--disk: more than %u", APPLIANCE_MAX_DISKS);
	return NULL;
}

/* NAME[:SIZE], of which parse_disk() has taken what is behind it. */
static int take_volume(struct disk_args *args, unsigned i, const char *value, struct err *err)
{
	struct disk_arg *disk = &args->disk[i];
	char *colon = strchr(disk->path, ':');
	int ret;

	if (colon != NULL) {
		*colon = '\0';
		ret = parse_memory(colon + 1, &args->size[i], err);
		if (ret == 0 && args->size[i] == 0)
			ret = err_set(err, ERR_USAGE, "0 bytes are too small for ext4");
		if (ret < 0)
			return err_context(err, ret, "--volume %s", value);
	}
	if (!name_is_valid(disk->path))
		return err_set(err, ERR_USAGE, "--volume %s: '%s' is no name for a volume", value,
			       disk->path);
	if (disk->id[0] == '\0' && strlen(disk->path) >= sizeof(disk->id))
		return err_set(err, ERR_USAGE,
			       "--volume %s: the name is too long for the id of a disk: add ,id=X",
			       value);
	if (disk->id[0] == '\0')
		memcpy(disk->id, disk->path, strlen(disk->path) + 1);
	if (!disk->has_mode)
		disk->mode = DISK_RW;
	disk->has_mode = true;
	args->volume[i] = true;
	return 0;
}

/* [X=]N */
static int take_limit(struct disk_args *args, bool bytes, const char *value, struct err *err)
{
	const char *name = bytes ? "--disk-bps" : "--disk-iops", *equals = strrchr(value, '=');
	const size_t len = equals != NULL ? (size_t)(equals - value) : 0;
	struct disk_limit_arg *limit = &args->limit[args->nlimits];
	int ret;

	if (args->nlimits == ARRAY_SIZE(args->limit))
		return err_set(err, ERR_USAGE, "%s: too many limits", name);
	if (equals != NULL && (len == 0 || len >= sizeof(limit->id)))
		return err_set(err, ERR_USAGE, "%s %s: there is no disk of that id", name, value);
	*limit = (struct disk_limit_arg){.bytes = bytes};
	memcpy(limit->id, value, len);
	value = equals != NULL ? equals + 1 : value;
	ret = bytes ? parse_memory(value, &limit->per_second, err)
		    : parse_number(value, name, 1, RATE_MAX, &limit->per_second, err);
	if (ret < 0)
		return bytes ? err_context(err, ret, "%s", name) : ret;
	if (limit->per_second == 0 || limit->per_second > RATE_MAX)
		return err_set(err, ERR_USAGE, "%s %s: more than 0, and at most 9G", name, value);
	args->nlimits++;
	return 1;
}

int disk_args_take(struct disk_args *args, int id, const char *value, struct err *err)
{
	struct disk_arg *disk;
	int ret;

	if (id == OPT_DISK_IOPS || id == OPT_DISK_BPS)
		return take_limit(args, id == OPT_DISK_BPS, value, err);
	if (id != OPT_DISK && id != OPT_VOLUME)
		return 0;
	disk = next_disk(args, err);
	if (disk == NULL)
		return -EINVAL;
	ret = parse_disk(value, disk, err);
	if (ret == 0 && id == OPT_VOLUME)
		ret = take_volume(args, args->n, value, err);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; disk->id[0] != '\0' && i < args->n; i++) {
		if (strcmp(args->disk[i].id, disk->id) == 0)
			return err_set(err, ERR_USAGE, "--disk: two disks have the id %s",
				       disk->id);
	}
	args->number[args->n] = args->n;
	args->n++;
	return 1;
}

int disk_args_insert(struct disk_args *args, const char *path, const char *id, struct err *err)
{
	if (next_disk(args, err) == NULL)
		return -EINVAL;
	memmove(args->disk + 1, args->disk, args->n * sizeof(args->disk[0]));
	memmove(args->number + 1, args->number, args->n * sizeof(args->number[0]));
	memmove(args->volume + 1, args->volume, args->n * sizeof(args->volume[0]));
	memmove(args->size + 1, args->size, args->n * sizeof(args->size[0]));
	args->volume[0] = false;
	args->n++;
	args->disk[0] = (struct disk_arg){.mode = DISK_SCRATCH};
	snprintf(args->disk[0].path, sizeof(args->disk[0].path), "%s", path);
	snprintf(args->disk[0].id, sizeof(args->disk[0].id), "%s", id);
	return 0;
}

bool disk_args_write(const struct disk_args *args)
{
	for (unsigned i = 0; i < args->n; i++) {
		if (args->disk[i].mode == DISK_RW)
			return true;
	}
	return false;
}

/* The first disk before `i` that is the file of disk `i`; `i`: none. */
static unsigned same_file(const struct disk_args *args, unsigned i)
{
	struct stat file, other;
	unsigned at = 0;

	if (stat(args->disk[i].path, &file) < 0)
		return i;
	while (at < i && (fstat(args->file[at].fd, &other) < 0 || other.st_dev != file.st_dev ||
			  other.st_ino != file.st_ino))
		at++;
	return at;
}

static int open_one(struct disk_args *args, unsigned i, struct err *err)
{
	struct disk_arg *disk = &args->disk[i];
	char user[DISK_USER_SIZE];
	struct path absolute;
	unsigned first;
	int ret;

	if (args->volume[i]) {
		ret = volume_open(disk->path, args->size[i], &absolute, err);
		if (ret < 0)
			return ret;
		snprintf(disk->path, sizeof(disk->path), "%s", absolute.text);
	}
	if (disk->direct && disk->mode != DISK_RW)
		return err_set(err, ERR_USAGE, "--disk %s: direct is for a disk that is rw",
			       disk->path);
	ret = disk_file_open(&args->file[i], disk->path, disk->mode == DISK_RW, !disk->alone, err);
	if (ret == 0 && disk->direct) {
		ret = disk_file_open_direct(&args->file[i], disk->path, err);
		if (ret < 0)
			disk_file_close(&args->file[i]);
	}

	/* The machine has another working directory, and says what its disks are. */
	if (ret == 0 && path_absolute(&absolute, disk->path, NULL) == 0)
		snprintf(disk->path, sizeof(disk->path), "%s", absolute.text);
	if (ret != -EBUSY)
		return ret;
	first = same_file(args, i);
	if (first < i) {
		err_set(err, ERR_USAGE,
			"disk %s is the same file as disk %s of this machine, and what is written "
			"through has one disk",
			disk->path, args->disk[first].path);
		return ret;
	}
	disk_user_find(disk->path, user);
	err_set(err, ERR_FAILED, "disk %s is in use by %s: end that first, or use %s", disk->path,
		user,
		disk->mode == DISK_RW ? "a copy of the file"
				      : "the disk where nobody writes to it");
	return ret;
}

int disk_args_open(struct disk_args *args, struct err *err)
{
	for (unsigned i = args->nopen; i < args->n; i++) {
		int ret = open_one(args, i, err);

		if (ret < 0)
			return ret;
		args->nopen = i + 1;
	}
	return 0;
}

void disk_args_close(struct disk_args *args)
{
	for (unsigned i = 0; i < args->nopen; i++)
		disk_file_close(&args->file[i]);
	args->nopen = 0;
}

static unsigned find_id(const struct appliance *a, unsigned n, const char *id)
{
	unsigned i = 0;

	while (i < n && strcmp(a->disk[i].id, id) != 0)
		i++;
	return i;
}

/* The disk of the source is this file from now on. */
static void give_file(struct disk_args *args, unsigned i, struct source *source, unsigned index)
{
	struct source_disk *to = &source->disk[index];
	struct stat st;

	*to = (struct source_disk){
		.fd = args->file[i].fd,
		.direct_fd = args->file[i].direct_fd,
		.through = args->disk[i].mode == DISK_RW,
		.path = args->disk[i].path,
	};
	if (fstat(to->fd, &st) == 0) {
		to->dev = st.st_dev;
		to->ino = st.st_ino;
	}
	args->file[i].fd = args->file[i].direct_fd = -1;
}

int disk_args_add(struct disk_args *args, struct source *source, struct err *err)
{
	struct appliance *a = &source->appliance;
	const unsigned own = a->ndisks;

	for (unsigned i = 0; i < args->n; i++) {
		char id[sizeof(a->disk[0].id)];
		unsigned number = args->number[i], at;

		snprintf(id, sizeof(id), "%s", args->disk[i].id);
		while (args->disk[i].id[0] == '\0' &&
		       (id[0] == '\0' || find_id(a, a->ndisks, id) < a->ndisks))
			snprintf(id, sizeof(id), "disk%u", number++);
		at = find_id(a, own, id);
		if (at == own) {
			if (find_id(a, a->ndisks, id) < a->ndisks)
				return err_set(err, ERR_USAGE, "--disk: two disks have the id %s",
					       id);
			if (a->ndisks == APPLIANCE_MAX_DISKS)
				return err_set(err, ERR_USAGE,
					       "--disk: more than %u with those of the appliance",
					       APPLIANCE_MAX_DISKS);
			at = a->ndisks++;
		}
		a->disk[at] = (struct appliance_disk){
			.size = args->file[i].size,
			.readonly = args->disk[i].mode == DISK_RO,
		};
		memcpy(a->disk[at].id, id, sizeof(id));
		give_file(args, i, source, at);
	}
	return 0;
}

void disk_args_default(struct disk_args *args, enum disk_mode mode)
{
	for (unsigned i = 0; i < args->n; i++) {
		if (!args->disk[i].has_mode)
			args->disk[i].mode = mode;
	}
}

static int check_bound(const struct disk_args *args, unsigned i, const struct appliance_disk *disk,
		       struct err *err)
{
	const struct disk_arg *arg = &args->disk[i];

	if (arg->mode == DISK_RO && !disk->readonly)
		return err_set(err, ERR_USAGE,
			       "--disk %s=%s,ro: the guest has it as one that can be written to; "
			       "with scratch the file stays as it is",
			       disk->id, arg->path);
	if (args->file[i].size == disk->size)
		return 0;
	return err_set(err, ERR_USAGE, "--disk %s=%s: it has %llu bytes, and the disk has %llu",
		       disk->id, arg->path, (unsigned long long)args->file[i].size,
		       (unsigned long long)disk->size);
}

/* Is it what the machine saw last? */
static int check_contents(const struct disk_args *args, unsigned i,
			  const struct appliance_disk *disk, struct err *err)
{
	const int fd = args->file[i].fd;
	char digest[DIGEST_TEXT_SIZE];
	struct verified_set set;
	struct stat st;
	bool file;
	int ret;

	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "--disk %s=%s", disk->id, args->disk[i].path);
	/* The times of a device tell nothing. */
	file = S_ISREG(st.st_mode);
	verified_set_init(&set, disk->outside);
	verified_set_add(&set, &st, disk->outside);
	if (file && verified_set_known(&set))
		return 0;
	ret = disk_digest(fd, disk->size, NULL, digest, err);
	if (ret < 0)
		return err_context(err, ret, "--disk %s=%s", disk->id, args->disk[i].path);
	if (strcmp(digest, disk->outside) != 0) {
		err_set(err, ERR_FAILED,
			"--disk %s=%s: it does not hold what it held when the machine was saved: "
			"it "
			"was written to since, or is another disk. The machine would not notice, "
			"and destroy what is there; a copy of the disk from then is needed",
			disk->id, args->disk[i].path);
		return -ESTALE;
	}
	if (file)
		verified_set_remember(&set);
	return 0;
}

static int bind_one(struct disk_args *args, unsigned i, struct source *source, struct err *err)
{
	const struct appliance *a = &source->appliance;
	const struct disk_arg *arg = &args->disk[i];
	unsigned at = find_id(a, a->ndisks, arg->id);
	int ret;

	if (arg->id[0] == '\0')
		return err_set(
			err, ERR_USAGE,
			"--disk %s: a machine that wakes takes only disks that are outside of "
			"its file, by their id: --disk ID=F",
			arg->path);
	if (at == a->ndisks || a->disk[at].outside[0] == '\0')
		return err_set(err, ERR_USAGE,
			       "--disk %s=%s: %s has no disk of that id outside of the file, and a "
			       "machine that wakes gets no new ones",
			       arg->id, arg->path, source->origin);
	ret = check_bound(args, i, &a->disk[at], err);
	if (ret < 0)
		return ret;
	ret = check_contents(args, i, &a->disk[at], err);
	if (ret < 0)
		return ret;
	give_file(args, i, source, at);
	return 0;
}

int disk_args_bind(struct disk_args *args, struct source *source, struct err *err)
{
	const struct appliance *a = &source->appliance;

	for (unsigned i = 0; i < args->n; i++) {
		int ret = bind_one(args, i, source, err);

		if (ret < 0)
			return ret;
	}
	for (uint32_t i = 0; i < a->ndisks; i++) {
		if (a->disk[i].outside[0] != '\0' && source->disk[i].path == NULL)
			return err_set(
				err, ERR_USAGE,
				"%s has its disk %s outside of the file: give it with --disk "
				"%s=F",
				source->origin, a->disk[i].id, a->disk[i].id);
	}
	return 0;
}

/* Those for one disk overrule those for each. */
int disk_args_limit(const struct disk_args *args, struct source *source, struct err *err)
{
	const struct appliance *a = &source->appliance;

	for (unsigned named = 0; named < 2; named++) {
		for (unsigned i = 0; i < args->nlimits; i++) {
			const struct disk_limit_arg *limit = &args->limit[i];
			const bool has_id = limit->id[0] != '\0';
			unsigned at = has_id ? find_id(a, a->ndisks, limit->id) : 0;

			if (has_id && at == a->ndisks)
				return err_set(err, ERR_USAGE, "%s %s: there is no disk of that id",
					       limit->bytes ? "--disk-bps" : "--disk-iops",
					       limit->id);
			if (has_id != (named == 1))
				continue;
			for (; at < a->ndisks; at = has_id ? a->ndisks : at + 1) {
				struct disk_limits *limits = &source->disk[at].limits;

				*(limit->bytes ? &limits->bytes : &limits->requests) =
					limit->per_second;
			}
		}
	}
	return 0;
}
