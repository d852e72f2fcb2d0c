/*
 * What a machine is made from: the description, the boot files and the disks' contents. Read from
 * an appliance file, or gathered from the command line (cli/source_args.h).
 *
 *     source_from_file | source_from_args → source_open_disks → …
 *     … → source_close, after machine_free
 */
#ifndef TORPOR_INSTANCE_SOURCE_H
#define TORPOR_INSTANCE_SOURCE_H

#include <sys/stat.h>

#include "devices/board.h"
#include "format/chain.h"
#include "share/process.h"
#include "vmm/arch.h"
#include "vsock/process.h"

/* A disk that is a file or device of its own, and not in the chain. */
struct source_disk {
	int fd;	       /* owned until source_open_disks(); -1: it is in the chain */
	int direct_fd; /* the same, past the page cache; owned as `fd`; -1: none */
	bool through;  /* what the guest writes goes to it */
	struct disk_limits limits;
	const char *path; /* borrowed; NULL: it is in the chain */
	dev_t dev;
	ino_t ino;
};

/* What a shared folder is bound to. */
struct source_share {
	struct share_ends ends; /* owned until the board is built; closed: it is bound to nothing */
	const char *path;	/* of the folder; borrowed; NULL: nothing */
	bool readonly;
};

struct source {
	struct appliance appliance;
	const char *origin;	    /* the appliance's or the kernel's path, for errors; borrowed */
	struct chain *chain;	    /* owned; NULL: from the command line */
	bool unnamed;		    /* from a descriptor: the chain's path is only for messages */
	struct frame_cache *frames; /* of the disks in the chain; owned; NULL: they are not open */
	struct keyring *keys;	    /* owned; NULL: none for files; see parent_open() */
	int kernel_fd, initrd_fd;   /* -1: in the chain, or none */
	struct stat kernel_stat, initrd_stat; /* as they were opened */
	struct source_disk disk[APPLIANCE_MAX_DISKS];
	struct source_share share[APPLIANCE_MAX_SHARES];
	struct vsock_ends vsock; /* owned until the board is built; closed: nobody is behind it */
	const char *vsock_path;	 /* where it listens; borrowed; NULL: nowhere */
	struct boot_source boot; /* borrows the above */
	/* Of a chain whose files are still arriving, set by who opened it; all borrowed. */
	struct arrivals *arrivals; /* NULL: they are there */
	const char *arrivals_map;  /* path of their map */
	const char *home;	   /* where the newest file will be; NULL: nowhere */
};

/* An empty source, to be filled in by the caller (cli/source_args.c). Returns 0 or -ENOMEM. */
int source_init(struct source *s, struct err *err);
/* Open an appliance file. The keys in `params` are taken, also on failure; after an error there is
 * nothing to close. Returns 0, or what parent_open() and appliance_copy() give. */
int source_from_file(struct source *s, const char *path, const struct archive_open_params *params,
		     struct err *err);
/* Returns 0, or -EINVAL with ERR_INCOMPATIBLE when this program does not have its architecture or
 * machine type. */
int source_check(const struct source *s, struct err *err);
/* Open every disk into `disk`; after an error there is nothing to close. Scratch files are made in
 * the state folder of machine `name` (NULL: no machine). To be called once. Returns 0, or what
 * path_state(), path_make_dirs(), frame_cache_new(), chain_disk() and disk_open() give. */
int source_open_disks(struct source *s, const char *name, struct disk *disk[APPLIANCE_MAX_DISKS],
		      struct err *err);
/*
 * A reset and every save read kernel and initrd again. Those of the command line are files that
 * anybody may change in place: replace what kernel_fd and initrd_fd are open to by copies in
 * memory. To be called once the guest has been loaded, from any thread, while others read them.
 * Returns 0; -ESTALE with ERR_FAILED when one was changed since it was opened; -ENOMEM; or the
 * errno of fstat(2), memfd_create(2), dup3(2), or what io_pread() and io_pwrite() give.
 */
int source_keep_boot_files(struct source *s, struct err *err);
/* When loading the kernel failed with `ret`: put the file's name in front of the text. Returns
 * `ret`. */
int source_boot_failed(const struct source *s, int ret, struct err *err);
/* Safe on a source that failed half-way. Its disks are closed, and no thread reads from them (disk_abandon()). */
void source_close(struct source *s);

#define cleanup_source __attribute__((cleanup(source_close)))

#endif
