/*
 * An appliance from a container image, a folder or a tar file: its root disk, a kernel and an
 * initramfs, as the files of a machine on the command line (machine_args.h).
 *
 *     image_args_take … → image_parts_make → source_from_args … → image_parts_close
 *
 * One thread, the process's only one (container/root.h).
 */
#ifndef TORPOR_CLI_IMAGE_BUILD_H
#define TORPOR_CLI_IMAGE_BUILD_H

#include "bootfiles/kernel.h"
#include "bootfiles/setup.h"
#include "cli/machine_args.h"
#include "cli/registry_args.h"
#include "container/root.h"

#define IMAGE_MODULES_MAX 32u
#define IMAGE_ROOTS	  "roots" /* in the user's cache, see container/root_cache.h */

enum image_option {
	OPT_FROM = OPTION_LONG_ONLY + 300,
	OPT_MODULES,
	OPT_MODULE,
	OPT_SPACE,
	OPT_PULL,
};

/* When docker://REF is looked for in its registry. */
enum image_pull {
	PULL_UNSAID, /* run: when it is missing; build: always */
	PULL_ALWAYS,
	PULL_MISSING, /* here */
	PULL_NEVER,
};

/* clang-format off */
#define IMAGE_FROM_OPTION                                                                          \
	{OPT_FROM, "from", "SOURCE", "make root disk, kernel and initrd from a container image, a folder or a tar file"}
#define IMAGE_OPTIONS                                                                              \
	{OPT_MODULES, "modules", "FOLDER", "of an image with --kernel: the kernel's modules"},      \
	{OPT_MODULE, "module", "NAME", "of an image: another module that the guest loads; repeatable"}, \
	{OPT_SPACE, "space", "SIZE", "of an image: free space on the root disk, up to 32G; default 4G"},     \
	{OPT_PULL, "pull", "always|missing|never", "of a docker:// image: ask its registry always, when it is missing here, or never; default missing for run, always for build"}, \
	REGISTRY_OPTIONS
/* clang-format on */

struct image_args {
	const char *from; /* NULL: not given, here and below */
	const char *modules;
	const char *module[IMAGE_MODULES_MAX];
	unsigned nmodules;
	bool has_space;
	uint64_t space; /* bytes */
	enum image_pull pull;
	struct registry_options registry;
	char *const *command; /* in place of the image's cmd */
	const char *share
		[APPLIANCE_MAX_SHARES]; /* where the guest mounts its shared folders, in their order */
	unsigned nshares;
	bool vsock; /* the machine has one */
};

/* Whether `torpor run` takes the text as the image of a container, or as a folder to run: it has
 * such a scheme, and is no appliance that was pulled; or it is the name of an image that was; or it
 * is a folder, and no OCI layout. */
bool image_source_is(const char *text);
/* Put behind an error of opening `text` how an image of a registry, or a tar file, is named, when it
 * may be meant to be one. Returns `ret`. */
int image_source_explain(const char *text, int ret, struct err *err);

/* Returns 1 when it is one of these options, 0 when it is not, or -EINVAL with ERR_USAGE. */
int image_args_take(struct image_args *args, int id, const char *value, struct err *err);

struct image_parts {
	int root_fd, initrd_fd; /* -1: not there */
	char root_path[32], initrd_path[32];
	struct kernel_files kernel;
	struct container_root root;
	bool cached;	/* it was there */
	bool appliance; /* of IMAGE_RUN: no image, but an appliance, which is in the store now */
	char hostname[SETUP_HOSTNAME_SIZE];
};

/* For what. */
enum image_use {
	IMAGE_BUILD,
	IMAGE_RUN, /* its root file system is kept for the next run, see container/root_cache.h */
};

/* Make them, and put them into `machine` before what is there: the root is its first disk.
 * Of IMAGE_RUN, nothing is made when the registry has an appliance under that name: `appliance`.
 * Returns 0; -EINVAL with ERR_USAGE when options do not go together; or what
 * container_root(), kernel_find(), initramfs_make(), tempfile_unnamed() and memfd_create(2) give.
 * To be closed also after an error. */
int image_parts_make(struct image_parts *parts, const struct image_args *args,
		     struct machine_args *machine, enum image_use use, struct err *err);
/* Note in the description what the image says beside its command. Returns 0, -EINVAL with ERR_USAGE
 * when that is longer than an appliance can hold, or -ENOMEM. */
int image_parts_annotate(const struct image_parts *parts, const struct image_args *args,
			 struct appliance *a, struct err *err);
/* Safe on IMAGE_PARTS_NONE. */
void image_parts_close(struct image_parts *parts);

#define IMAGE_PARTS_NONE                                                                           \
	{                                                                                          \
		.root_fd = -1, .initrd_fd = -1                                                     \
	}
#define cleanup_image_parts __attribute__((cleanup(image_parts_close)))

#endif
