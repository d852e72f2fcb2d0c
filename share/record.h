/*
 * What a saved machine knows of a shared folder: the files that its guest has looked up or opened.
 *
 * A record is a run of entries, each `le16 kind | le16 version | le32 bytes | the encoding of its table`:
 * first one SHARE_ENTRY_FOLDER, then nodes, then handles. Paths are relative to the folder. torpor(5)
 * documents it. The bytes are hostile: share_record_check() looks at all of them before anything is done.
 * Pure.
 */
#ifndef TORPOR_SHARE_RECORD_H
#define TORPOR_SHARE_RECORD_H

#include <stdbool.h>

#include "state/state.h"

#define SHARE_PATH_MAX 4096u
#define SHARE_ID_MAX   (1u << 20) /* of nodes and of handles */

enum share_entry {
	SHARE_ENTRY_FOLDER = 1,
	SHARE_ENTRY_NODE,   /* a file that the guest has looked up */
	SHARE_ENTRY_HANDLE, /* one that it has open */
};

/* Which file it is: on one file system the number is another file's only when the time of birth differs. */
struct share_identity {
	uint64_t device;
	uint64_t inode;
	uint64_t born; /* ns since 1970; 0: the file system does not say */
};

struct share_folder_state {
	struct share_identity self;
	uint32_t started; /* the guest has mounted it */
	uint32_t pad;
};

struct share_file_state {
	uint64_t id;	  /* the guest's name for it */
	uint64_t lookups; /* of a node: as often the guest will forget it */
	struct share_identity self;
	uint32_t type;	/* S_IFMT of its mode */
	uint32_t flags; /* of a handle: as open(2) takes them */
	uint32_t gone;	/* 1: it had no path when it was saved */
	uint32_t npath;
	uint8_t path[SHARE_PATH_MAX]; /* relative; "": the folder */
};

extern const struct state_table share_folder_table, share_file_table;

/* Append an entry. Memory that runs out is sticky in `out`. */
void share_record_add(struct buf *out, enum share_entry kind, const void *entry);

struct share_entries {
	const uint8_t *at;
	size_t left;
};

/* The next entry of a record: *kind, and in `folder` or `file` what it says. Returns 1; 0 at the end; or
 * -EINVAL: with ERR_INTEGRITY for what cannot be read, with ERR_INCOMPATIBLE for a newer version. */
int share_record_next(struct share_entries *e, enum share_entry *kind,
		      struct share_folder_state *folder, struct share_file_state *file,
		      struct err *err);
/* All of it, as above: kinds in their order, types that a node or a handle may have, paths that stay in the
 * folder, each id once and in ascending order. Returns 0 or what share_record_next() gives. An empty record is
 * one of a folder that the guest has not mounted. */
int share_record_check(const uint8_t *data, size_t len, struct err *err);

#endif
