/*
 * Volumes: raw disks with a name, in a folder of the user's (path_volume()). They are data, not
 * appliances: nothing removes one but volume_remove(). One thread.
 */
#ifndef TORPOR_VOLUME_VOLUME_H
#define TORPOR_VOLUME_VOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "host/paths.h"

#define VOLUME_SIZE (UINT64_C(10) << 30) /* of one that is made without a size */

/* The path of the volume `name`, which is made if it is not there: `size` bytes (0: VOLUME_SIZE), sparse,
 * with ext4. Two that make it at once get the same one. Returns 0; -EINVAL with ERR_USAGE for what is
 * no name, or when it is there with another size than this; what disk_file_begin(), tool_run() and
 * tempfile_publish_new() give; or the errno of mkdir(2) or stat(2). */
int volume_open(const char *name, uint64_t size, struct path *path, struct err *err);
/* Make it: -EEXIST when it is there. */
int volume_create(const char *name, uint64_t size, struct path *path, struct err *err);
/* Its path: -ENOENT with ERR_NOT_FOUND when there is none. */
int volume_find(const char *name, struct path *path, struct err *err);

/* Call `one` for each volume, by name. Returns 0, what `one` returned when that is not 0, or the errno of
 * scandir(3). */
int volume_each(int (*one)(void *opaque, const char *name, const struct path *path,
			   struct err *err),
		void *opaque, struct err *err);

/* Remove it. Before that `may_go` is asked, while nobody can begin to use it: `fd` is open for reading, of a disk
 * of so many bytes. -EBUSY with ERR_FAILED when somebody uses it; also what volume_find() gives, what `may_go` returned
 * when that is not 0, and the errno of unlink(2). */
int volume_remove(const char *name,
		  int (*may_go)(void *opaque, int fd, uint64_t size, struct err *err), void *opaque,
		  struct err *err);

#endif
