/*
 * Modules of a Linux kernel: which files they are, what they depend on, and their bytes.
 *
 * A module's own .modinfo says what it depends on. modules.dep, which says it too, is made by
 * depmod(8) when a package is installed, so that an unpacked one has none. modules.builtin says
 * what is no module.
 *
 *     modules_open → modules_load … → modules_close
 *
 * Files may be compressed (.xz, .zst, .gz): libarchive unpacks them, which is loaded only then. One
 * thread.
 */
#ifndef TORPOR_BOOTFILES_MODULES_H
#define TORPOR_BOOTFILES_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define MODULE_NAME_SIZE 64u
#define MODULE_MAX_BYTES (64u << 20) /* unpacked */

struct module_file {
	char name[MODULE_NAME_SIZE]; /* with '_' and never '-' */
	char *path;
};

struct module {
	char name[MODULE_NAME_SIZE];
	uint8_t *data;
	size_t len;
};

struct modules {
	struct module_file *file; /* all there are, by name */
	size_t nfiles;
	char *builtin;	       /* text of modules.builtin; "" without one */
	struct module *module; /* those loaded, each behind all that it depends on */
	size_t nmodules;
};

/* `folder` is /lib/modules/RELEASE, or the root of a tree that has one such folder. Returns 0;
 * -ENOENT with ERR_NOT_FOUND when there are no modules; -ENOMEM; or what reading gave. */
int modules_open(struct modules *m, const char *folder, struct err *err);
/* Load a module and what it depends on, unless it is there or built in. Returns 0; -ENOENT with
 * ERR_NOT_FOUND when there is none of that name; -EINVAL with ERR_FAILED for a file that is
 * damaged; -ENOMEM; or what reading gave. */
int modules_load(struct modules *m, const char *name, struct err *err);
bool modules_has(const struct modules *m, const char *name);
bool modules_is_builtin(const struct modules *m, const char *name);
/* Safe on zeroes. */
void modules_close(struct modules *m);

/* For tests: the name of a module by its file's path; false when it is none. */
bool module_name(const char *path, char name[MODULE_NAME_SIZE]);

#endif
