/*
 * --disk and --volume of `run`, `resume` and what is made of them: files that are a machine's disks. One
 * thread.
 *
 *     disk_args_take … → disk_args_open → disk_args_add | disk_args_bind → disk_args_close
 *
 * They are opened before this process is confined to what a machine may do: to make a volume and to
 * find out who has a file locked takes more than that.
 */
#ifndef TORPOR_CLI_DISK_ARGS_H
#define TORPOR_CLI_DISK_ARGS_H

#include "cli/options.h"
#include "host/parse.h"
#include "instance/source.h"
#include "volume/disk_file.h"

enum disk_option {
	OPT_DISK = OPTION_LONG_ONLY + 180,
	OPT_VOLUME,
	OPT_DISK_IOPS,
	OPT_DISK_BPS,
};

/* clang-format off */
#define DISK_OPTION                                                                                \
	{OPT_DISK, "disk", "F[,rw|ro|scratch][,direct][,id=X][,share=no]",                        \
	 "disk from raw file or device F, which only rw writes to; X=F is F,id=X; repeatable"}
#define VOLUME_OPTION                                                                              \
	{OPT_VOLUME, "volume", "NAME[:SIZE][,id=X]",                                               \
	 "disk from the volume NAME, made with ext4 if it is not there; repeatable"}
#define DISK_LIMIT_OPTIONS                                                                         \
	{OPT_DISK_IOPS, "disk-iops", "[X=]N",                                                      \
	 "at most N requests a second to each disk, or to disk X; repeatable"},                    \
	{OPT_DISK_BPS, "disk-bps", "[X=]SIZE",                                                     \
	 "at most SIZE bytes a second, read or written; repeatable"}
/* clang-format on */

/* A limit of one disk, or of each. */
struct disk_limit_arg {
	char id[sizeof(((struct appliance_disk *)0)->id)]; /* "": of each */
	bool bytes;
	uint64_t per_second;
};

struct disk_args {
	unsigned n, nopen;
	struct disk_arg disk[APPLIANCE_MAX_DISKS];
	struct disk_file file[APPLIANCE_MAX_DISKS]; /* the first `nopen` */
	unsigned number[APPLIANCE_MAX_DISKS];	    /* of the default id: the how-many-eth option */
	bool volume[APPLIANCE_MAX_DISKS];	    /* `path` is the name of one */
	uint64_t size[APPLIANCE_MAX_DISKS];	    /* of a volume that is made; 0: not given */
	struct disk_limit_arg limit[2 * APPLIANCE_MAX_DISKS + 2];
	unsigned nlimits;
};

/* Take an option that is one of these: 1, 0 when it is not, or -EINVAL with ERR_USAGE. */
int disk_args_take(struct disk_args *args, int id, const char *value, struct err *err);
/* A file that was not asked for becomes the first disk: -EINVAL with ERR_USAGE when there are too
 * many. */
int disk_args_insert(struct disk_args *args, const char *path, const char *id, struct err *err);
/* Whether one of them is written to. */
bool disk_args_write(const struct disk_args *args);
/* What those are whose option does not say it; DISK_SCRATCH before. */
void disk_args_default(struct disk_args *args, enum disk_mode mode);
/* Returns 0; for a file that is in use -EBUSY with ERR_FAILED, which says by whom; or what
 * volume_open() and disk_file_open() give. */
int disk_args_open(struct disk_args *args, struct err *err);
void disk_args_close(struct disk_args *args);

/* Make them disks of a machine that boots: one that has the id of a disk of the appliance takes its
 * place. The paths are borrowed. Returns 0, or -EINVAL with ERR_USAGE for two of one id, or too many
 * disks. */
int disk_args_add(struct disk_args *args, struct source *source, struct err *err);
/* Make them disks of a machine that wakes: each takes the place of a disk that is outside of the file,
 * and holds what that held: all of it is read, unless the file is remembered (format/verified.h). Returns
 * 0; -EINVAL with ERR_USAGE for a disk that is not there or is inside, or an outside one that is not
 * given; -ESTALE with ERR_FAILED for one that has changed; or what disk_digest() gives. */
int disk_args_bind(struct disk_args *args, struct source *source, struct err *err);

/* Limit the disks of the source, once they are all there. Returns 0, or -EINVAL with ERR_USAGE for one that is
 * not. */
int disk_args_limit(const struct disk_args *args, struct source *source, struct err *err);

#endif
