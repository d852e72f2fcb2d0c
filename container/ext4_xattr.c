/* Extended attributes of an ext4 file system (kernel: filesystems/ext4/attributes.rst): behind the
 * inode's own fields, and what does not fit there in a block of the file's own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "container/ext4_internal.h"

#define XATTR_MAGIC	 0xea020000u
#define XATTR_ENTRY	 16u /* in front of the name */
#define BLOCK_HEADER	 32u
#define INODE_HEADER	 4u
#define ACL_USER	 0x02u
#define ACL_GROUP	 0x08u
#define ACL_ENTRY	 8u /* of the system call's form */
#define ACL_SYSCALL_FORM 2u
#define ACL_DISK_FORM	 1u

static const struct {
	const char *prefix;
	uint8_t index;
	bool whole; /* the prefix is all of the name */
} namespaces[] = {
	{"system.posix_acl_access", 2, true},
	{"system.posix_acl_default", 3, true},
	{"user.", 1, false},
	{"trusted.", 4, false},
	{"security.", 6, false},
};

struct attribute {
	uint8_t index;
	const char *name; /* without its namespace */
	const uint8_t *value;
	uint32_t len;
	uint8_t *own; /* the value, when it is not the tree's; NULL otherwise */
};

/* Where attributes go: names from the front, values from the end. */
struct area {
	uint8_t *base; /* offsets of values count from here */
	uint32_t head, tail;
	bool hashed;
};

static bool find_namespace(struct attribute *a, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
		size_t len = strlen(namespaces[i].prefix);

		if (strncmp(name, namespaces[i].prefix, len) != 0 ||
		    (name[len] == '\0') != namespaces[i].whole)
			continue;
		a->index = namespaces[i].index;
		a->name = name + len;
		return true;
	}
	return false;
}

/* The form of getxattr(2), whose entries all have an id, to ext4's own. */
static int convert_acl(struct attribute *a, struct err *err)
{
	const uint8_t *end = a->value + a->len;
	uint8_t *to;

	if (a->len < 4 || (a->len - 4) % ACL_ENTRY != 0 || le_get32(a->value) != ACL_SYSCALL_FORM)
		return err_set(err, ERR_INTEGRITY, "a malformed access control list");
	a->own = malloc(a->len);
	if (a->own == NULL)
		return err_sys(err, ENOMEM, "write attributes");
	to = a->own;
	le_put32(to, ACL_DISK_FORM);
	to += 4;
	for (const uint8_t *e = a->value + 4; e < end; e += ACL_ENTRY) {
		uint32_t size = le_get16(e) == ACL_USER || le_get16(e) == ACL_GROUP ? 8 : 4;

		memcpy(to, e, size);
		to += size;
	}
	a->value = a->own;
	a->len = (uint32_t)(to - a->own);
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct attribute *x = a, *y = b;
	size_t i = strlen(x->name), k = strlen(y->name);

	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	if (i != k)
		return i < k ? -1 : 1;
	return memcmp(x->name, y->name, i);
}

static uint32_t entry_hash(const struct attribute *a, const uint8_t *value)
{
	uint32_t hash = 0;

	for (const char *c = a->name; *c != '\0'; c++)
		hash = (hash << 5) ^ (hash >> 27) ^ (uint8_t)*c;
	for (uint32_t i = 0; i < a->len; i += 4)
		hash = (hash << 16) ^ (hash >> 16) ^ le_get32(value + i);
	return hash;
}

/* False: there is no room. Four zeros stay behind the last name. */
static bool put_attribute(struct area *area, const struct attribute *a)
{
	size_t namelen = strlen(a->name);
	uint32_t size = (uint32_t)align_up(XATTR_ENTRY + namelen, 4);
	uint32_t value = (uint32_t)align_up(a->len, 4);
	uint8_t *e = area->base + area->head;

	if (area->head + size + 4 + value > area->tail)
		return false;
	area->head += size;
	area->tail -= value;
	memcpy(area->base + area->tail, a->value, a->len);
	e[0] = (uint8_t)namelen;
	e[1] = a->index;
	le_put16(e + 2, (uint16_t)(a->len > 0 ? area->tail : 0));
	le_put32(e + 8, a->len);
	if (area->hashed)
		le_put32(e + 12, entry_hash(a, area->base + area->tail));
	memcpy(e + XATTR_ENTRY, a->name, namelen);
	return true;
}

static void finish_block(struct area *area)
{
	uint32_t hash = 0, at = BLOCK_HEADER;

	while (at < area->head) {
		const uint8_t *e = area->base + at;

		hash = (hash << 16) ^ (hash >> 16) ^ le_get32(e + 12);
		at += (uint32_t)align_up(XATTR_ENTRY + e[0], 4);
	}
	le_put32(area->base, XATTR_MAGIC);
	le_put32(area->base + 4, 1); /* files that share it */
	le_put32(area->base + 8, 1); /* blocks */
	le_put32(area->base + 12, hash);
}

static int place(struct ext4_image *img, const struct attribute *list, size_t count,
		 uint8_t room[EXT4_XATTR_IN_INODE], uint32_t *block, struct err *err)
{
	struct area inside = {room + INODE_HEADER, 0, EXT4_XATTR_IN_INODE - INODE_HEADER, false};
	uint8_t text[EXT4_BLOCK] = {0}, *out;
	struct area outside = {text, BLOCK_HEADER, EXT4_BLOCK, true};

	for (size_t i = 0; i < count; i++) {
		if (!put_attribute(&inside, &list[i]) && !put_attribute(&outside, &list[i]))
			return err_set(err, ERR_INTEGRITY,
				       "the extended attributes of a file take more than 4 KiB");
	}
	if (inside.head > 0)
		le_put32(room, XATTR_MAGIC);
	if (outside.head == BLOCK_HEADER)
		return 0;
	finish_block(&outside);
	out = ext4_next_block(img, block, err);
	if (out == NULL)
		return -EIO;
	memcpy(out, text, EXT4_BLOCK);
	return 0;
}

static int gather(const struct tree_inode *inode, struct attribute **list, size_t *count,
		  struct err *err)
{
	for (const struct tree_xattr *x = inode->xattr; x != NULL; x = x->next) {
		struct attribute a = {.value = x->value, .len = x->len}, *grown;
		int ret;

		/* Linux has no place for others. */
		if (!find_namespace(&a, x->name))
			continue;
		grown = array_grow(*list, *count, sizeof(**list));
		if (grown == NULL)
			return err_sys(err, ENOMEM, "write attributes");
		*list = grown;
		ret = a.index == 2 || a.index == 3 ? convert_acl(&a, err) : 0;
		if (ret < 0)
			return ret;
		grown[(*count)++] = a;
	}
	return 0;
}

int ext4_put_xattrs(struct ext4_image *img, const struct tree_inode *inode,
		    uint8_t room[EXT4_XATTR_IN_INODE], uint32_t *block, struct err *err)
{
	cleanup_free struct attribute *list = NULL;
	size_t count = 0;
	int ret;

	if (inode->xattr == NULL)
		return 0;
	ret = gather(inode, &list, &count, err);
	if (ret == 0 && count > 0) {
		qsort(list, count, sizeof(list[0]), by_place);
		ret = place(img, list, count, room, block, err);
	}
	for (size_t i = 0; i < count; i++)
		free(list[i].own);
	return ret;
}
