/*
 * See layer_tree.h. The entries of a folder are a balanced tree (tsearch(3)): hostile names cannot
 * make a search slow, and a walk has them in order.
 */
#include "container/layer_tree.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/num.h"

#define WHITEOUT	".wh."
#define WHITEOUT_META	".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define MAX_SYMLINKS	40u
#define MAX_STEPS	(2 * TREE_MAX_DEPTH) /* of a path, with those of its symbolic links */
#define NODE_BYTES	32u		     /* of tsearch(3) */

struct layer_tree {
	struct tree_entry *root;
	uint64_t entries, max_entries;
	uint64_t bytes;
	uint32_t layer;
	bool whiteouts;
};

/* A path without ".", ".." and "//", which its last component ends. */
struct clean_path {
	char text[TREE_MAX_PATH];
	size_t folder;	  /* length of what is in front of the last component */
	const char *name; /* the last component; "" for the root */
};

static int no_memory(struct err *err)
{
	return err_sys(err, ENOMEM, "hold the files of an image");
}

/* --- accounts --- */

static int charge(struct layer_tree *tree, uint64_t bytes, struct err *err)
{
	if (bytes > TREE_MAX_BYTES - tree->bytes)
		return err_set(err, ERR_INTEGRITY,
			       "the names and attributes of the files take more than %u MiB",
			       (unsigned)(TREE_MAX_BYTES >> 20));
	tree->bytes += bytes;
	return 0;
}

static int count_entry(struct layer_tree *tree, struct err *err)
{
	if (tree->entries == tree->max_entries)
		return err_set(err, ERR_INTEGRITY, "it has more than %llu files",
			       (unsigned long long)tree->max_entries);
	tree->entries++;
	return 0;
}

/* --- inodes and entries --- */

static void free_xattrs(struct tree_inode *inode)
{
	while (inode->xattr != NULL) {
		struct tree_xattr *x = inode->xattr;

		inode->xattr = x->next;
		free(x->name);
		free(x->value);
		free(x);
	}
	inode->xattrs = 0;
}

static void free_entry(void *opaque);

static void release_inode(struct tree_inode *inode)
{
	if (--inode->links > 0)
		return;
	tdestroy(inode->child, free_entry);
	free_xattrs(inode);
	free(inode->extent);
	free(inode->target);
	free(inode);
}

/* No more than TREE_MAX_DEPTH of them are inside one another. */
static void free_entry(void *opaque)
{
	struct tree_entry *e = opaque;

	release_inode(e->inode);
	free(e);
}

static int by_name(const void *a, const void *b)
{
	const struct tree_entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static struct tree_entry *lookup(const struct tree_entry *folder, const char *name)
{
	union {
		struct tree_entry entry;
		char room[sizeof(struct tree_entry) + TREE_MAX_NAME + 1];
	} key;
	struct tree_entry **found;

	strcpy(key.room + offsetof(struct tree_entry, name), name);
	found = tfind(&key.entry, &folder->inode->child, by_name);
	return found != NULL ? *found : NULL;
}

static void detach(struct tree_entry *e)
{
	tdelete(e, &e->parent->inode->child, by_name);
	e->parent->inode->children--;
	free_entry(e);
}

/* Takes a reference to the inode, also when it fails. */
static int attach(struct layer_tree *tree, struct tree_entry *folder, const char *name,
		  struct tree_inode *inode, struct tree_entry **out, struct err *err)
{
	size_t len = strlen(name) + 1;
	struct tree_entry *e;

	inode->links++;
	if (folder->depth == TREE_MAX_DEPTH || count_entry(tree, err) < 0 ||
	    charge(tree, sizeof(*e) + NODE_BYTES + len, err) < 0) {
		release_inode(inode);
		return folder->depth == TREE_MAX_DEPTH
			       ? err_set(err, ERR_INTEGRITY,
					 "it has more than %u folders inside "
					 "one another",
					 TREE_MAX_DEPTH)
			       : -EINVAL;
	}
	e = malloc(sizeof(*e) + len);
	if (e == NULL) {
		release_inode(inode);
		return no_memory(err);
	}
	*e = (struct tree_entry){.parent = folder, .inode = inode, .depth = folder->depth + 1};
	memcpy(e->name, name, len);
	if (tsearch(e, &folder->inode->child, by_name) == NULL) {
		free_entry(e);
		return no_memory(err);
	}
	folder->inode->children++;
	if (S_ISDIR(inode->mode))
		inode->folder = e;
	*out = e;
	return 0;
}

static void set_attributes(struct tree_inode *inode, const struct tree_attr *attr)
{
	inode->mode = attr->mode;
	inode->uid = attr->uid;
	inode->gid = attr->gid;
	inode->mtime = attr->mtime;
	inode->nsec = attr->nsec;
	inode->major = attr->major;
	inode->minor = attr->minor;
}

static int new_inode(struct layer_tree *tree, const struct tree_attr *attr, struct tree_inode **out,
		     struct err *err)
{
	size_t len = attr->target != NULL ? strlen(attr->target) + 1 : 0;
	struct tree_inode *inode;
	int ret = charge(tree, sizeof(*inode) + len, err);

	if (ret < 0)
		return ret;
	inode = calloc(1, sizeof(*inode));
	if (inode == NULL)
		return no_memory(err);
	set_attributes(inode, attr);
	if (len > 0) {
		inode->target = strdup(attr->target);
		inode->size = len - 1;
	}
	if (len > 0 && inode->target == NULL) {
		free(inode);
		return no_memory(err);
	}
	*out = inode;
	return 0;
}

/* --- paths --- */

static int add_component(struct clean_path *p, size_t *len, const char *name, size_t size,
			 struct err *err)
{
	if (size > TREE_MAX_NAME)
		return err_set(err, ERR_INTEGRITY, "a name of %zu bytes: %.64s…", size, name);
	if (*len + 1 + size >= sizeof(p->text))
		return err_set(err, ERR_INTEGRITY, "a path of more than %u bytes: %.64s…",
			       TREE_MAX_PATH - 1, p->text);
	p->folder = *len;
	p->text[(*len)++] = '/';
	memcpy(p->text + *len, name, size);
	*len += size;
	p->text[*len] = '\0';
	return 0;
}

static void drop_component(struct clean_path *p, size_t *len)
{
	char *slash = strrchr(p->text, '/');

	if (slash == NULL)
		return;
	*slash = '\0';
	*len = (size_t)(slash - p->text);
}

/* "/a/b", or "" for the root. */
static int clean(struct clean_path *p, const char *path, struct err *err)
{
	size_t len = 0;
	char *slash;

	p->text[0] = '\0';
	while (*path != '\0') {
		size_t size = strcspn(path, "/");
		int ret = 0;

		if (size == 2 && strncmp(path, "..", 2) == 0)
			drop_component(p, &len);
		else if (size > 0 && !(size == 1 && path[0] == '.'))
			ret = add_component(p, &len, path, size, err);
		if (ret < 0)
			return ret;
		path += size + (path[size] == '/');
	}
	slash = strrchr(p->text, '/');
	p->folder = slash != NULL ? (size_t)(slash - p->text) : 0;
	p->name = slash != NULL ? slash + 1 : "";
	return 0;
}

struct walk {
	struct tree_entry *at;
	char rest[2 * TREE_MAX_PATH]; /* from `next` on: components still to go */
	size_t next;
	unsigned links, steps;
};

/* Put the link's target in front of what is still to go. */
static int follow(struct layer_tree *tree, struct walk *w, const char *link, struct err *err)
{
	char *rest = w->rest + w->next;
	size_t a = strlen(link), b = strlen(rest);

	if (++w->links > MAX_SYMLINKS)
		return err_set(err, ERR_INTEGRITY, "too many symbolic links");
	if (a + b + 2 > sizeof(w->rest))
		return err_set(err, ERR_INTEGRITY, "symbolic links to a path that is too long");
	memmove(w->rest + a + 1, rest, b + 1);
	memcpy(w->rest, link, a);
	w->rest[a] = '/';
	w->next = 0;
	if (link[0] == '/')
		w->at = tree->root;
	return 0;
}

static int make_folder(struct layer_tree *tree, struct tree_entry *in, const char *name,
		       const struct tree_attr *like, struct tree_entry **out, struct err *err)
{
	struct tree_attr attr = {.mode = S_IFDIR | 0755};
	struct tree_inode *inode;
	int ret;

	attr.mtime = like->mtime;
	attr.nsec = like->nsec;
	ret = new_inode(tree, &attr, &inode, err);
	return ret < 0 ? ret : attach(tree, in, name, inode, out, err);
}

static int step_into(struct layer_tree *tree, struct walk *w, const char *name,
		     const struct tree_attr *make, struct err *err)
{
	struct tree_entry *next;
	int ret;

	if (name[0] == '\0' || strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		w->at = w->at->parent;
		return 0;
	}
	next = lookup(w->at, name);
	if (next == NULL && make == NULL)
		return err_set(err, ERR_INTEGRITY, "there is no '%s'", name);
	if (next == NULL) {
		ret = make_folder(tree, w->at, name, make, &next, err);
		if (ret < 0)
			return ret;
	}
	if (S_ISLNK(next->inode->mode))
		return follow(tree, w, next->inode->target, err);
	if (!S_ISDIR(next->inode->mode))
		return err_set(err, ERR_INTEGRITY, "'%s' is no folder", name);
	w->at = next;
	return 0;
}

/* The folder that holds the last component. `make`: missing ones are made, like that; NULL: they
 * are an error. */
static int walk_to_folder(struct layer_tree *tree, const struct clean_path *p,
			  const struct tree_attr *make, struct tree_entry **out, struct err *err)
{
	struct walk w = {.at = tree->root};
	char name[TREE_MAX_NAME + 1];

	memcpy(w.rest, p->text, p->folder);
	w.rest[p->folder] = '\0';
	while (w.rest[w.next] != '\0') {
		const char *from = w.rest + w.next;
		size_t size = strcspn(from, "/");
		int ret;

		/* A small archive could keep us busy for days. */
		if (++w.steps > MAX_STEPS)
			return err_set(err, ERR_INTEGRITY,
				       "symbolic links to paths of more than %u folders",
				       MAX_STEPS);
		if (size > TREE_MAX_NAME)
			return err_set(err, ERR_INTEGRITY, "a symbolic link names %.64s…", from);
		memcpy(name, from, size);
		name[size] = '\0';
		w.next += size + (from[size] == '/');
		ret = step_into(tree, &w, name, make, err);
		if (ret < 0)
			return ret;
	}
	*out = w.at;
	return 0;
}

struct tree_entry *layer_tree_find(struct layer_tree *tree, const char *path)
{
	struct clean_path p;
	struct tree_entry *folder;

	if (clean(&p, path, NULL) < 0 || walk_to_folder(tree, &p, NULL, &folder, NULL) < 0)
		return NULL;
	return p.name[0] == '\0' ? tree->root : lookup(folder, p.name);
}

/* --- layers --- */

static void touch(struct layer_tree *tree, struct tree_entry *e)
{
	while (e->touched != tree->layer) {
		e->touched = tree->layer;
		e = e->parent;
	}
}

static int hide_entries(struct layer_tree *tree, struct tree_inode *folder, struct err *err);

/* Remove what lower layers have put here. */
static int hide(struct layer_tree *tree, struct tree_entry *e, struct err *err)
{
	if (e->touched == tree->layer)
		return S_ISDIR(e->inode->mode) ? hide_entries(tree, e->inode, err) : 0;
	detach(e);
	return 0;
}

static int hide_entries(struct layer_tree *tree, struct tree_inode *folder, struct err *err)
{
	struct tree_entry **list;
	int ret;

	/* What has come since is this layer's. */
	if (folder->opaque == tree->layer)
		return 0;
	folder->opaque = tree->layer;
	ret = layer_tree_list(folder, &list, err);
	for (size_t i = 0; ret == 0 && list[i] != NULL; i++)
		ret = hide(tree, list[i], err);
	free(list);
	return ret;
}

/* Returns 1 when the path is a whiteout, which is done; 0 when it is not. */
static int whiteout(struct layer_tree *tree, const struct clean_path *p, struct err *err)
{
	const char *hidden = p->name + strlen(WHITEOUT);
	struct tree_entry *folder, *e;
	int ret = 0;

	if (!tree->whiteouts || strncmp(p->name, WHITEOUT, strlen(WHITEOUT)) != 0)
		return 0;
	if (strncmp(p->name, WHITEOUT_META, strlen(WHITEOUT_META)) == 0 &&
	    strcmp(p->name, WHITEOUT_OPAQUE) != 0)
		return 0;
	if (hidden[0] == '\0' || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
		return err_set(err, ERR_INTEGRITY, "a whiteout that names nothing");
	ret = count_entry(tree, err);
	if (ret < 0)
		return ret;
	/* What is not there need not be hidden. */
	if (walk_to_folder(tree, p, NULL, &folder, NULL) < 0)
		return 1;
	e = lookup(folder, hidden);
	if (strcmp(p->name, WHITEOUT_OPAQUE) == 0)
		ret = hide_entries(tree, folder->inode, err);
	else if (e != NULL)
		ret = hide(tree, e, err);
	return ret < 0 ? ret : 1;
}

void layer_tree_begin_layer(struct layer_tree *tree, bool whiteouts)
{
	tree->layer++;
	tree->whiteouts = whiteouts;
}

int layer_tree_end_layer(struct layer_tree *tree, struct err *err)
{
	struct tree_entry **list;
	int ret = tree->whiteouts ? layer_tree_list(tree->root->inode, &list, err) : 0;

	if (!tree->whiteouts || ret < 0)
		return ret;
	for (size_t i = 0; list[i] != NULL; i++) {
		if (strncmp(list[i]->name, WHITEOUT_META, strlen(WHITEOUT_META)) == 0)
			detach(list[i]);
	}
	free(list);
	return 0;
}

static int replace(struct layer_tree *tree, struct tree_entry *folder, const char *name,
		   struct tree_inode *inode, struct err *err)
{
	struct tree_entry *old = lookup(folder, name), *e;
	int ret;

	if (old != NULL) {
		inode->links++; /* `old` may be its last name */
		detach(old);
		inode->links--;
	}
	ret = attach(tree, folder, name, inode, &e, err);
	if (ret < 0)
		return ret;
	touch(tree, e);
	return 0;
}

/* A folder that is there already. */
static void renew_folder(struct layer_tree *tree, struct tree_entry *e,
			 const struct tree_attr *attr)
{
	set_attributes(e->inode, attr);
	free_xattrs(e->inode);
	touch(tree, e);
}

static int add_at(struct layer_tree *tree, const struct clean_path *p, const struct tree_attr *attr,
		  struct tree_inode **inode, struct err *err)
{
	struct tree_entry *folder, *old;
	int ret = walk_to_folder(tree, p, attr, &folder, err);

	if (ret < 0)
		return ret;
	old = p->name[0] == '\0' ? tree->root : lookup(folder, p->name);
	if (old == tree->root && !S_ISDIR(attr->mode))
		return err_set(err, ERR_INTEGRITY, "the root is no folder");
	if (old != NULL && S_ISDIR(old->inode->mode) && S_ISDIR(attr->mode)) {
		ret = count_entry(tree, err);
		if (ret < 0)
			return ret;
		renew_folder(tree, old, attr);
		*inode = old->inode;
		return 0;
	}
	ret = new_inode(tree, attr, inode, err);
	return ret < 0 ? ret : replace(tree, folder, p->name, *inode, err);
}

int layer_tree_add(struct layer_tree *tree, const char *path, const struct tree_attr *attr,
		   struct tree_inode **inode, struct err *err)
{
	struct clean_path p;
	int ret = clean(&p, path, err);

	*inode = NULL;
	if (ret == 0)
		ret = whiteout(tree, &p, err);
	if (ret == 0)
		ret = add_at(tree, &p, attr, inode, err);
	if (ret < 0)
		*inode = NULL;
	return ret < 0 ? err_context(err, ret, "%.256s", path) : 0;
}

static int link_at(struct layer_tree *tree, const struct clean_path *p, const char *target,
		   struct err *err)
{
	struct tree_attr like = {0};
	struct tree_entry *folder, *from = layer_tree_find(tree, target);
	int ret;

	if (from == NULL)
		return err_set(err, ERR_INTEGRITY, "a link to '%.256s', which is not there",
			       target);
	if (S_ISDIR(from->inode->mode) || p->name[0] == '\0')
		return err_set(err, ERR_INTEGRITY, "a hard link to or from a folder");
	if (from->inode->links >= TREE_MAX_LINKS)
		return err_set(err, ERR_INTEGRITY, "more than %u links to one file",
			       TREE_MAX_LINKS);
	like.mtime = from->inode->mtime;
	like.nsec = from->inode->nsec;
	ret = walk_to_folder(tree, p, &like, &folder, err);
	return ret < 0 ? ret : replace(tree, folder, p->name, from->inode, err);
}

int layer_tree_link(struct layer_tree *tree, const char *path, const char *target, struct err *err)
{
	struct clean_path p;
	int ret = clean(&p, path, err);

	if (ret == 0)
		ret = whiteout(tree, &p, err);
	if (ret == 0)
		ret = link_at(tree, &p, target, err);
	return ret < 0 ? err_context(err, ret, "%.256s", path) : 0;
}

/* --- attributes and contents --- */

static void drop_xattr(struct tree_inode *inode, const char *name)
{
	for (struct tree_xattr **at = &inode->xattr; *at != NULL; at = &(*at)->next) {
		struct tree_xattr *x = *at;

		if (strcmp(x->name, name) != 0)
			continue;
		*at = x->next;
		inode->xattrs--;
		free(x->name);
		free(x->value);
		free(x);
		return;
	}
}

int layer_tree_xattr(struct layer_tree *tree, struct tree_inode *inode, const char *name,
		     const void *value, size_t len, struct err *err)
{
	size_t namelen = strlen(name);
	struct tree_xattr *x;
	int ret;

	if (namelen > TREE_MAX_NAME || len > UINT16_MAX)
		return err_set(err, ERR_INTEGRITY, "an attribute of more than 64 KiB: %.64s", name);
	ret = charge(tree, sizeof(*x) + namelen + len, err);
	if (ret < 0)
		return ret;
	drop_xattr(inode, name);
	if (inode->xattrs == TREE_MAX_XATTRS)
		return err_set(err, ERR_INTEGRITY, "more than %u attributes", TREE_MAX_XATTRS);
	x = calloc(1, sizeof(*x));
	if (x == NULL)
		return no_memory(err);
	x->next = inode->xattr;
	inode->xattr = x;
	inode->xattrs++;
	x->name = strdup(name);
	x->value = malloc(len + 1);
	if (x->name == NULL || x->value == NULL)
		return no_memory(err);
	memcpy(x->value, value, len);
	x->len = (uint32_t)len;
	return 0;
}

int layer_tree_extent(struct layer_tree *tree, struct tree_inode *inode, uint32_t logical,
		      uint32_t physical, struct err *err)
{
	struct tree_extent *grown;
	int ret;

	if (inode->extents > 0) {
		struct tree_extent *last = &inode->extent[inode->extents - 1];

		if (last->logical + last->count == logical &&
		    last->physical + last->count == physical) {
			last->count++;
			return 0;
		}
	}
	ret = charge(tree, 2 * sizeof(*grown), err);
	if (ret < 0)
		return ret;
	grown = array_grow(inode->extent, inode->extents, sizeof(*grown));
	if (grown == NULL)
		return no_memory(err);
	inode->extent = grown;
	grown[inode->extents++] = (struct tree_extent){logical, physical, 1};
	return 0;
}

/* --- reading it --- */

static void collect(const void *node, VISIT visit, void *opaque)
{
	struct tree_entry ***next = opaque;

	if (visit == postorder || visit == leaf)
		*(*next)++ = *(struct tree_entry *const *)node;
}

int layer_tree_list(const struct tree_inode *folder, struct tree_entry ***list, struct err *err)
{
	struct tree_entry **next;

	*list = calloc((size_t)folder->children + 1, sizeof(**list));
	if (*list == NULL)
		return no_memory(err);
	next = *list;
	twalk_r(folder->child, collect, &next);
	return 0;
}

struct tree_entry *layer_tree_root(const struct layer_tree *tree)
{
	return tree->root;
}

int layer_tree_new(struct layer_tree **out, uint64_t max_entries, struct err *err)
{
	struct layer_tree *tree = calloc(1, sizeof(*tree));
	struct tree_entry *root = calloc(1, sizeof(*root) + 1);
	struct tree_inode *inode = calloc(1, sizeof(*inode));

	*out = NULL;
	if (tree == NULL || root == NULL || inode == NULL) {
		free(tree);
		free(root);
		free(inode);
		return no_memory(err);
	}
	*inode = (struct tree_inode){.mode = S_IFDIR | 0755, .links = 1, .folder = root};
	root->parent = root;
	root->inode = inode;
	tree->root = root;
	tree->max_entries = max_entries;
	*out = tree;
	return 0;
}

void layer_tree_free(struct layer_tree *tree)
{
	if (tree == NULL)
		return;
	free_entry(tree->root);
	free(tree);
}
