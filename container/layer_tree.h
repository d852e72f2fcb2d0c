/*
 * The files of a container image: a tree in memory, to which layers are applied one after the other
 * (OCI image spec 1.1, "Image Layer Filesystem Changeset"). It never touches a file of the host.
 *
 *     layer_tree_new → (layer_tree_begin_layer → (layer_tree_add | layer_tree_link)*)* →
 *     layer_tree_walk → layer_tree_free
 *
 * Paths are taken as inside a root: "/" in front is dropped, ".." stops at the root, symbolic links
 * in front of the last component are followed inside the tree. Folders that are missing are made:
 * mode 0755, root's, with the time of the entry that needs them.
 *
 * Whiteouts are entries by their name alone, of whatever type: `.wh.NAME` hides NAME, and
 * `.wh..wh..opq` all that its folder holds; but only what lower layers have put there, whatever
 * the order in the tar. Other names that begin with `.wh..wh.` are aufs's own: they can be linked
 * to within their layer and are gone after it.
 *
 * What an image says is hostile. Functions return 0, or -errno with *err set: ERR_INTEGRITY for
 * what no file system could hold (a name of more than 255 bytes, a file below a file, a link to
 * nothing or to a folder) and what is beyond the limits; or -ENOMEM. A tree is used by one thread.
 */
#ifndef TORPOR_CONTAINER_LAYER_TREE_H
#define TORPOR_CONTAINER_LAYER_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TREE_MAX_PATH	4096u /* with its NUL */
#define TREE_MAX_NAME	255u
#define TREE_MAX_DEPTH	2048u
#define TREE_MAX_LINKS	65000u /* ext4's */
#define TREE_MAX_XATTRS 256u   /* of a file: more than its block of ext4 has room for */
#define TREE_MAX_BYTES	(UINT64_C(512) << 20) /* of all names, attributes and extents */
#define TREE_ENTRIES	(UINT64_C(1) << 20)   /* the usual limit */

/* Where the contents of a file lie, in blocks of the file system; ascending, holes in between. */
struct tree_extent {
	uint32_t logical, physical, count;
};

struct tree_xattr {
	struct tree_xattr *next;
	char *name; /* with its namespace: user.… */
	uint8_t *value;
	uint32_t len;
};

struct tree_inode {
	uint32_t mode; /* with its type, S_IF… */
	uint32_t uid, gid;
	uint32_t nsec;
	int64_t mtime;
	uint64_t size;		    /* files: bytes; symbolic links: of the target */
	uint32_t major, minor;	    /* devices */
	uint32_t links;		    /* entries that name it */
	uint32_t number;	    /* the file system's: given when that is made */
	uint32_t extents, children; /* counts of the next two */
	struct tree_extent *extent; /* files; owned */
	void *child;		    /* folders: struct tree_entry, by name (tsearch(3)) */
	char *target;		    /* symbolic links; owned */
	struct tree_xattr *xattr;   /* owned */
	struct tree_entry *folder;  /* folders: the entry that names it */
	uint32_t opaque;	    /* folders: the last layer that hid what was in it */
	uint32_t xattrs;	    /* count */
};

struct tree_entry {
	struct tree_entry *parent; /* its folder's; the root's is itself */
	struct tree_inode *inode;
	uint32_t touched; /* the last layer that put something here or below */
	uint32_t depth;
	char name[];
};

struct layer_tree;

#define cleanup_layer_tree __attribute__((cleanup(layer_tree_cleanup)))

/* A root folder: mode 0755, root's. `max_entries` over all layers, those that are hidden later
 * included. */
int layer_tree_new(struct layer_tree **out, uint64_t max_entries, struct err *err);
void layer_tree_free(struct layer_tree *tree);
struct tree_entry *layer_tree_root(const struct layer_tree *tree);

/* Without `whiteouts`, names that begin with .wh. are like others. */
void layer_tree_begin_layer(struct layer_tree *tree, bool whiteouts);
/* Removes what only served the layer. */
int layer_tree_end_layer(struct layer_tree *tree, struct err *err);

struct tree_attr {
	uint32_t mode; /* with its type */
	uint32_t uid, gid;
	uint32_t nsec;
	int64_t mtime;
	uint32_t major, minor;
	const char *target; /* symbolic links */
};

/* Put a file, or hide one. A folder where one is keeps its entries and takes the attributes, old
 * xattrs are gone; anything else is replaced. *inode is the new one, for xattrs and contents; NULL
 * when it was a whiteout. It is borrowed and valid until the next call with this tree. */
int layer_tree_add(struct layer_tree *tree, const char *path, const struct tree_attr *attr,
		   struct tree_inode **inode, struct err *err);
/* Put another name of what `target` names, a path as above; or hide a file. */
int layer_tree_link(struct layer_tree *tree, const char *path, const char *target, struct err *err);
/* A second one of the same name replaces the first. */
int layer_tree_xattr(struct layer_tree *tree, struct tree_inode *inode, const char *name,
		     const void *value, size_t len, struct err *err);
/* Blocks behind those that it has. */
int layer_tree_extent(struct layer_tree *tree, struct tree_inode *inode, uint32_t logical,
		      uint32_t physical, struct err *err);

/* The entries of a folder, sorted by the bytes of their names, in an array for the caller to free,
 * which ends with NULL. */
int layer_tree_list(const struct tree_inode *folder, struct tree_entry ***list, struct err *err);
/* What a path names; NULL: nothing. Symbolic links in front of the last component are followed. */
struct tree_entry *layer_tree_find(struct layer_tree *tree, const char *path);

static inline void layer_tree_cleanup(struct layer_tree **tree)
{
	layer_tree_free(*tree);
}

#endif
