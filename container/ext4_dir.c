/*
 * Folders of an ext4 file system: one block, or leaf blocks below an index by hash (kernel:
 * filesystems/ext4/directory.rst). All entries are known, so leaves are full and sorted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "container/ext4_internal.h"

#define DIRENT	   8u /* in front of the name */
#define ROOT_FIRST 32u
#define NODE_FIRST 8u
#define DX_ENTRY   8u
#define ROOT_ROOM  ((EXT4_BLOCK - ROOT_FIRST) / DX_ENTRY)
#define NODE_ROOM  ((EXT4_BLOCK - NODE_FIRST) / DX_ENTRY)

struct item {
	const struct tree_entry *entry;
	uint32_t hash;
};

/* Items of one leaf. */
struct leaf {
	size_t first, count;
	uint32_t hash; /* bit 0: the leaf before has entries of this hash, too */
};

struct plan {
	struct item *item;
	size_t items;
	struct leaf *leaf;
	size_t leaves, nodes; /* nodes: 0 when the root names the leaves */
};

/* --- the hash --- */

static uint32_t rotate(uint32_t v, unsigned by)
{
	return v << by | v >> (32 - by);
}

static uint32_t mix_f(uint32_t x, uint32_t y, uint32_t z)
{
	return z ^ (x & (y ^ z));
}

static uint32_t mix_g(uint32_t x, uint32_t y, uint32_t z)
{
	return (x & y) + ((x ^ y) & z);
}

static uint32_t mix_h(uint32_t x, uint32_t y, uint32_t z)
{
	return x ^ y ^ z;
}

/* Three rounds of eight steps; MD4 has sixteen. */
static void half_md4(uint32_t state[4], const uint32_t in[8])
{
	static const struct {
		uint32_t (*mix)(uint32_t, uint32_t, uint32_t);
		uint32_t add;
		uint8_t word[8], by[4];
	} round[3] = {
		{mix_f, 0, {0, 1, 2, 3, 4, 5, 6, 7}, {3, 7, 11, 19}},
		{mix_g, 0x5a827999, {1, 3, 5, 7, 0, 2, 4, 6}, {3, 5, 9, 13}},
		{mix_h, 0x6ed9eba1, {3, 7, 2, 6, 1, 5, 0, 4}, {3, 9, 11, 15}},
	};
	uint32_t s[4];

	memcpy(s, state, sizeof(s));
	for (unsigned r = 0; r < 3; r++) {
		for (unsigned i = 0; i < 8; i++) {
			/* a, d, c, b in turn */
			uint32_t *a = &s[(4 - i % 4) % 4];
			uint32_t b = s[(5 - i % 4) % 4], c = s[(6 - i % 4) % 4];
			uint32_t d = s[(7 - i % 4) % 4];

			*a += round[r].mix(b, c, d) + in[round[r].word[i]] + round[r].add;
			*a = rotate(*a, round[r].by[i % 4]);
		}
	}
	for (unsigned i = 0; i < 4; i++)
		state[i] += s[i];
}

/* 32 characters, as signed numbers, or what is left, padded with the length. */
static void fill_words(uint32_t in[8], const char *name, size_t len)
{
	uint32_t pad = (uint32_t)len | (uint32_t)len << 8, value;
	unsigned word = 0;

	pad |= pad << 16;
	value = pad;
	if (len > 32)
		len = 32;
	for (size_t i = 0; i < len; i++) {
		value = (uint32_t)(int32_t)(signed char)name[i] + (value << 8);
		if (i % 4 == 3) {
			in[word++] = value;
			value = pad;
		}
	}
	while (word < 8) {
		in[word++] = value;
		value = pad;
	}
}

uint32_t ext4_name_hash(const char *name, const uint8_t seed[16])
{
	uint32_t state[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}, in[8], hash;

	if (!is_zero(seed, 16)) {
		for (unsigned i = 0; i < 4; i++)
			state[i] = le_get32(seed + 4 * i);
	}
	for (size_t len = strlen(name); len > 0; len -= len < 32 ? len : 32, name += 32) {
		fill_words(in, name, len);
		half_md4(state, in);
	}
	hash = state[1] & ~1u;
	return hash == 0xfffffffe ? 0xfffffffc : hash; /* that one is the end of a folder */
}

/* --- entries --- */

static uint8_t file_type(uint32_t mode)
{
	static const uint8_t types[16] = {
		[S_IFREG >> 12] = 1, [S_IFDIR >> 12] = 2,  [S_IFCHR >> 12] = 3, [S_IFBLK >> 12] = 4,
		[S_IFIFO >> 12] = 5, [S_IFSOCK >> 12] = 6, [S_IFLNK >> 12] = 7,
	};

	return types[mode >> 12 & 15];
}

static uint32_t entry_size(const char *name)
{
	return (uint32_t)align_up(DIRENT + strlen(name), 4);
}

static void put_entry(uint8_t *at, uint32_t size, const char *name, const struct tree_inode *inode)
{
	le_put32(at, inode->number);
	le_put16(at + 4, (uint16_t)size);
	at[6] = (uint8_t)strlen(name);
	at[7] = file_type(inode->mode);
	memcpy(at + DIRENT, name, at[6]);
}

static void put_dots(uint8_t *block, const struct tree_inode *folder, uint32_t second)
{
	put_entry(block, 12, ".", folder);
	put_entry(block + 12, second, "..", folder->folder->parent->inode);
}

/* The last entry reaches to the end of the block. */
static void put_entries(uint8_t *block, uint32_t at, const struct item *item, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *name = item[i].entry->name;
		uint32_t size = i + 1 < count ? entry_size(name) : EXT4_BLOCK - at;

		put_entry(block + at, size, name, item[i].entry->inode);
		at += size;
	}
}

/* --- the index --- */

static int by_hash(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return strcmp(x->entry->name, y->entry->name);
}

static void plan_leaves(struct plan *p)
{
	size_t at = 0;

	while (at < p->items) {
		struct leaf *leaf = &p->leaf[p->leaves++];
		uint32_t size = 0;

		*leaf = (struct leaf){.first = at, .hash = p->item[at].hash};
		if (at > 0 && p->item[at - 1].hash == leaf->hash)
			leaf->hash |= 1;
		while (at < p->items && size + entry_size(p->item[at].entry->name) <= EXT4_BLOCK)
			size += entry_size(p->item[at++].entry->name);
		leaf->count = at - leaf->first;
	}
	p->nodes = p->leaves <= ROOT_ROOM ? 0 : (p->leaves + NODE_ROOM - 1) / NODE_ROOM;
}

/* The first entry has no hash: count and limit take its place. */
static void put_index(uint8_t *at, uint32_t room, size_t count)
{
	le_put16(at, (uint16_t)room);
	le_put16(at + 2, (uint16_t)count);
}

static void put_pointer(uint8_t *at, size_t i, uint32_t hash, size_t block)
{
	if (i > 0)
		le_put32(at + DX_ENTRY * i, hash);
	le_put32(at + DX_ENTRY * i + 4, (uint32_t)block);
}

static void put_root(uint8_t *block, const struct plan *p, const struct tree_inode *folder)
{
	size_t count = p->nodes > 0 ? p->nodes : p->leaves;
	size_t stride = p->nodes > 0 ? NODE_ROOM : 1;

	put_dots(block, folder, EXT4_BLOCK - 12);
	block[28] = 1; /* half MD4 */
	block[29] = 8; /* size of this record */
	block[30] = p->nodes > 0 ? 1 : 0;
	put_index(block + ROOT_FIRST, ROOT_ROOM, count);
	for (size_t i = 0; i < count; i++)
		put_pointer(block + ROOT_FIRST, i, p->leaf[i * stride].hash, 1 + i);
}

static void put_node(uint8_t *block, const struct plan *p, size_t node)
{
	size_t first = node * NODE_ROOM;
	size_t count = p->leaves - first < NODE_ROOM ? p->leaves - first : NODE_ROOM;

	le_put16(block + 4, EXT4_BLOCK); /* an entry of no file */
	put_index(block + NODE_FIRST, NODE_ROOM, count);
	for (size_t i = 0; i < count; i++)
		put_pointer(block + NODE_FIRST, i, p->leaf[first + i].hash,
			    1 + p->nodes + first + i);
}

static int put_indexed(struct ext4_image *img, const struct plan *p, const struct tree_inode *inode,
		       struct ext4_folder *folder, struct err *err)
{
	uint32_t number;
	uint8_t *block = ext4_next_block(img, &folder->first, err);

	if (block == NULL)
		return -EIO;
	put_root(block, p, inode);
	for (size_t i = 0; i < p->nodes; i++) {
		block = ext4_next_block(img, &number, err);
		if (block == NULL)
			return -EIO;
		put_node(block, p, i);
	}
	for (size_t i = 0; i < p->leaves; i++) {
		block = ext4_next_block(img, &number, err);
		if (block == NULL)
			return -EIO;
		put_entries(block, 0, p->item + p->leaf[i].first, p->leaf[i].count);
	}
	folder->blocks = (uint32_t)(1 + p->nodes + p->leaves);
	folder->indexed = true;
	return 0;
}

static int put_single(struct ext4_image *img, const struct plan *p, const struct tree_inode *inode,
		      struct ext4_folder *folder, struct err *err)
{
	uint8_t *block = ext4_next_block(img, &folder->first, err);

	if (block == NULL)
		return -EIO;
	put_dots(block, inode, p->items > 0 ? 12 : EXT4_BLOCK - 12);
	put_entries(block, 24, p->item, p->items);
	folder->blocks = 1;
	return 0;
}

int ext4_put_folder(struct ext4_image *img, const struct tree_inode *inode,
		    struct ext4_folder *folder, struct err *err)
{
	cleanup_free struct tree_entry **list = NULL;
	cleanup_free struct item *item = calloc((size_t)inode->children + 1, sizeof(*item));
	cleanup_free struct leaf *leaf = calloc((size_t)inode->children + 1, sizeof(*leaf));
	struct plan p = {.item = item, .items = inode->children, .leaf = leaf};
	uint64_t size = 24;
	int ret = layer_tree_list(inode, &list, err);

	*folder = (struct ext4_folder){0};
	if (ret < 0)
		return ret;
	if (item == NULL || leaf == NULL)
		return err_sys(err, ENOMEM, "write a folder");
	for (size_t i = 0; i < p.items; i++) {
		item[i].entry = list[i];
		item[i].hash = ext4_name_hash(list[i]->name, img->hash_seed);
		size += entry_size(list[i]->name);
		folder->folders += S_ISDIR(list[i]->inode->mode);
	}
	if (size <= EXT4_BLOCK)
		return put_single(img, &p, inode, folder, err);
	qsort(item, p.items, sizeof(*item), by_hash);
	plan_leaves(&p);
	return put_indexed(img, &p, inode, folder, err);
}
