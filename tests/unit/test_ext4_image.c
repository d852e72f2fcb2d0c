/* File systems that are written here, checked by e2fsprogs: e2fsck finds no fault, debugfs reads
 * what was put in. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "container/ext4_internal.h"
#include "format/crypto/digest.h"

static char path[] = "/tmp/torpor-ext4.XXXXXX";
static struct layer_tree *tree;
static struct ext4_image *img;
static int fd = -1;

static void begin(void)
{
	cr_assert(eq(int, ftruncate(fd, 0), 0));
	cr_assert(eq(int, layer_tree_new(&tree, 200000, NULL), 0));
	layer_tree_begin_layer(tree, true);
	cr_assert(eq(int, ext4_image_new(&img, fd, tree, UINT64_C(1) << 30, NULL), 0));
}

static void end(void)
{
	ext4_image_free(img);
	layer_tree_free(tree);
	img = NULL;
	tree = NULL;
}

static void setup(void)
{
	fd = mkstemp(path);
	cr_assert(ge(int, fd, 0));
	begin();
}

static void teardown(void)
{
	end();
	close(fd);
	unlink(path);
}

TestSuite(ext4_image, .init = setup, .fini = teardown);

static struct tree_inode *put(const char *name, uint32_t mode, const char *target)
{
	struct tree_attr attr = {.mode = mode,
				 .uid = 100000,
				 .gid = 70000,
				 .mtime = 1700000000,
				 .nsec = 123456789,
				 .major = 4095,
				 .minor = 0x12345,
				 .target = target};
	struct tree_inode *inode;
	struct err err = {0};

	cr_assert(eq(int, layer_tree_add(tree, name, &attr, &inode, &err), 0), "%s", err.text);
	return inode;
}

static struct tree_inode *file(const char *name, const void *data, size_t len)
{
	struct tree_inode *inode = put(name, S_IFREG | 04755, NULL);

	cr_assert(eq(int, ext4_file_begin(img, inode, "f", len, NULL), 0));
	cr_assert(eq(int, ext4_file_write(img, data, len, 0, NULL), 0));
	cr_assert(eq(int, ext4_file_end(img, len, NULL), 0));
	return inode;
}

static void finish(struct ext4_result *result)
{
	uint8_t seed[EXT4_SEED_SIZE];
	struct err err = {0};
	char command[256];

	for (unsigned i = 0; i < sizeof(seed); i++)
		seed[i] = (uint8_t)(i + 1);
	cr_assert(eq(int, ext4_image_finish(img, seed, result, &err), 0), "%s", err.text);
	snprintf(command, sizeof(command), "/sbin/e2fsck -fn %s >%s.log 2>&1", path, path);
	cr_assert(eq(int, system(command), 0), "see %s.log", path);
	snprintf(command, sizeof(command), "%s.log", path);
	unlink(command);
}

/* What debugfs prints. */
static void debugfs(const char *request, struct buf *out)
{
	char command[512], line[512];
	FILE *f;

	out->len = 0;
	snprintf(command, sizeof(command), "/sbin/debugfs -R '%s' %s 2>/dev/null", request, path);
	f = popen(command, "r");
	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		buf_printf(out, "%s", line);
	buf_add_u8(out, 0);
	pclose(f);
}

static void expect(const char *request, const char *text)
{
	cleanup_buf struct buf out = {0};

	debugfs(request, &out);
	cr_assert_not_null(strstr((char *)out.data, text), "%s: %s", request, out.data);
}

static void file_digest(uint8_t digest[DIGEST_SIZE])
{
	off_t size = lseek(fd, 0, SEEK_END);
	cleanup_free uint8_t *all = malloc((size_t)size);

	cr_assert(eq(i64, pread(fd, all, (size_t)size, 0), size));
	cr_assert(eq(int, digest_bytes(all, (size_t)size, digest, NULL), 0));
}

Test(ext4_image, an_empty_root)
{
	struct ext4_result result;

	finish(&result);
	cr_assert(eq(u64, result.inodes, 1));
	cr_assert(eq(u64, result.size, 2 * 65536));
	expect("show_super_stats -h", "01020304-0506-8708-890a-0b0c0d0e0f10");
}

static void put_sample(void)
{
	static char big[700000];
	char text[300];

	memset(big, 'x', sizeof(big));
	memset(text, 'l', 299);
	text[299] = '\0';
	file("usr/bin/small", "hello\n", 6);
	file("usr/none", "", 0);
	file("big", big, sizeof(big));
	put("short", S_IFLNK | 0777, "usr/bin");
	put("long", S_IFLNK | 0777, text);
	put("dev/fifo", S_IFIFO | 0600, NULL);
	put("dev/char", S_IFCHR | 0620, NULL);
	put("dev/block", S_IFBLK | 0660, NULL);
	put("tmp", S_IFDIR | 01777, NULL);
	cr_assert(eq(int, layer_tree_link(tree, "link", "usr/bin/small", NULL), 0));
}

Test(ext4_image, every_type_of_file)
{
	struct ext4_result result;

	put_sample();
	finish(&result);
	expect("cat /usr/bin/small", "hello");
	expect("stat /link", "Links: 2");
	expect("stat /link", "User: 100000   Group: 70000");
	expect("stat /link", "Mode:  04755");
	expect("stat /link", "mtime: 0x6553f100:1d6f3454");
	expect("stat /short", "Fast link dest: \"usr/bin\"");
	expect("cat /long", "lllllll");
	expect("stat /dev/char", "Device major/minor number: 4095:74565");
	expect("stat /tmp", "Mode:  01777");
	expect("stat /big", "Size: 700000");
	expect("stat /big", "0-170):32-202"); /* it begins at a frame */
}

Test(ext4_image, the_same_calls_give_the_same_bytes)
{
	uint8_t first[DIGEST_SIZE], second[DIGEST_SIZE];
	struct ext4_result result;

	put_sample();
	finish(&result);
	file_digest(first);
	end();
	begin();
	put_sample();
	finish(&result);
	file_digest(second);
	cr_assert_arr_eq(first, second, DIGEST_SIZE);
}

Test(ext4_image, what_a_file_no_longer_has_is_gone)
{
	struct ext4_result result;
	char secret[70000], found[70000];

	memset(secret, 's', sizeof(secret));
	file("a", secret, sizeof(secret));
	layer_tree_begin_layer(tree, true);
	file("a", "new", 3);
	finish(&result);
	cr_assert(eq(i64, pread(fd, found, sizeof(found), 65536), (off_t)sizeof(found)));
	cr_assert(eq(int, found[0] | found[4096] | found[65536], 0));
	expect("cat /a", "new");
}

Test(ext4_image, sparse_files_have_holes)
{
	struct ext4_result result;
	struct tree_inode *inode = put("s", S_IFREG | 0644, NULL);

	cr_assert(eq(int, ext4_file_begin(img, inode, "f", 0, NULL), 0));
	for (uint64_t i = 0; i < 2000; i++)
		cr_assert(eq(int, ext4_file_write(img, "data", 4, i * 8192 + 512, NULL), 0));
	cr_assert(eq(int, ext4_file_write(img, "far", 3, UINT64_C(1) << 40, NULL), 0));
	cr_assert(lt(int, ext4_file_write(img, "back", 4, 0, NULL), 0));
	cr_assert(eq(int, ext4_file_end(img, (UINT64_C(1) << 40) + 10000, NULL), 0));
	inode = put("hole", S_IFREG | 0644, NULL);
	cr_assert(eq(int, ext4_file_begin(img, inode, "f", 0, NULL), 0));
	cr_assert(eq(int, ext4_file_end(img, (UINT64_C(1) << 44) - 4096, NULL), 0));
	cr_assert(eq(u32, inode->extents, 0));
	finish(&result);
	expect("stat /s", "Size: 1099511637776");
	expect("stat /hole", "Blockcount: 0");
}

Test(ext4_image, contents_have_a_limit)
{
	static char block[1 << 20];
	struct err err = {0};
	struct tree_inode *inode;

	end();
	cr_assert(eq(int, layer_tree_new(&tree, 100, NULL), 0));
	layer_tree_begin_layer(tree, true);
	cr_assert(eq(int, ext4_image_new(&img, fd, tree, 3 << 20, NULL), 0));
	inode = put("bomb", S_IFREG | 0644, NULL);
	cr_assert(eq(int, ext4_file_begin(img, inode, "f", 0, NULL), 0));
	for (uint64_t i = 0; i < 3; i++)
		cr_assert(eq(int, ext4_file_write(img, block, sizeof(block), i << 20, NULL), 0));
	cr_assert(lt(int, ext4_file_write(img, "x", 1, 3 << 20, &err), 0));
	cr_assert(eq(int, err.kind, ERR_INTEGRITY));
}

Test(ext4_image, attributes_in_the_inode_and_outside)
{
	static const uint8_t acl[] = {
		2, 0,	 0,    0,    1,	   0,	 6,    0, 0xff, 0xff, 0xff, 0xff, 2,	0,    4,
		0, 0x21, 3,    0,    0,	   4,	 0,    4, 0,	0xff, 0xff, 0xff, 0xff, 0x10, 0,
		4, 0,	 0xff, 0xff, 0xff, 0xff, 0x20, 0, 4,	0,    0xff, 0xff, 0xff, 0xff};
	static const char cap[20] = {1, 0, 0, 2, 0, 0x20};
	struct tree_inode *inode = file("f", "x", 1);
	struct ext4_result result;
	struct err err = {0};
	char large[3000];

	memset(large, 'L', sizeof(large));
	cr_assert(eq(int, layer_tree_xattr(tree, inode, "security.capability", cap, 20, NULL), 0));
	cr_assert(eq(int, layer_tree_xattr(tree, inode, "user.large", large, 3000, NULL), 0));
	cr_assert(eq(int, layer_tree_xattr(tree, inode, "user.empty", "", 0, NULL), 0));
	cr_assert(eq(int, layer_tree_xattr(tree, inode, "user.b\xc3\xa9", "1", 1, NULL), 0));
	cr_assert(eq(int, layer_tree_xattr(tree, inode, "com.apple.x", "1", 1, NULL), 0));
	inode = file("g", "x", 1);
	cr_assert(
		eq(int,
		   layer_tree_xattr(tree, inode, "system.posix_acl_access", acl, sizeof(acl), NULL),
		   0));
	finish(&result);
	expect("ea_list /f", "security.capability (20)");
	expect("ea_list /f", "user.large (3000)");
	expect("ea_list /f", "user.empty (0)");
	expect("ea_list /g", "system.posix_acl_access (28)");
	end();
	begin();
	inode = file("f", "x", 1);
	cr_assert(eq(int, layer_tree_xattr(tree, inode, "user.1", large, 3000, NULL), 0));
	cr_assert(eq(int, layer_tree_xattr(tree, inode, "user.2", large, 3000, NULL), 0));
	cr_assert(lt(int, ext4_image_finish(img, (const uint8_t *)large, &result, &err), 0));
	cr_assert_not_null(strstr(err.text, "4 KiB"));
}

Test(ext4_image, hashes_of_names_are_debugfs_s)
{
	static const char *const names[] = {
		"a", "lib", "a-name-of-exactly-32-characters-",
		"a-name-of-more-than-32-characters-and-then-some-more-of-it", "na\xc3\xafve"};
	uint8_t seed[16];
	struct ext4_result result;

	finish(&result);
	memcpy(seed, img->hash_seed, sizeof(seed));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char request[256], text[32];

		snprintf(request, sizeof(request),
			 "dx_hash -h half_md4 -s 11121314-1516-1718-191a-1b1c1d1e1f20 %s",
			 names[i]);
		snprintf(text, sizeof(text), "is 0x%08x", ext4_name_hash(names[i], seed));
		expect(request, text);
	}
}

Test(ext4_image, large_folders_have_an_index)
{
	struct ext4_result result;
	char name[256];

	for (unsigned i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "flat/file-%u", i);
		put(name, S_IFREG | 0644, NULL);
	}
	/* Leaves of 15 entries: more than the root of the index names. */
	for (unsigned i = 0; i < 12000; i++) {
		snprintf(name, sizeof(name), "deep/%0240u", i);
		put(name, S_IFDIR | 0755, NULL);
	}
	finish(&result);
	expect("stat /flat", "Flags: 0x81000");
	expect("stat /flat/file-19999", "Type: regular");
	expect("htree_dump /deep", "Indirect levels: 1");
}

Test(ext4_image, many_small_files_need_more_groups_than_blocks)
{
	struct ext4_result result;
	char name[64];

	for (unsigned i = 0; i < 70000; i++) {
		snprintf(name, sizeof(name), "d%u/f%u", i / 100, i);
		put(name, S_IFREG | 0644, NULL);
	}
	finish(&result);
	cr_assert(ge(u64, result.size, UINT64_C(2) * EXT4_GROUP_BLOCKS * EXT4_BLOCK));
}

/* A guest goes on writing where we stop. */
Test(ext4_image, free_space_is_a_hole_that_can_be_written)
{
	static const char data[] = "contents";
	struct ext4_result result;
	char command[512];
	struct stat st;

	file("a", data, sizeof(data));
	ext4_image_spare(img, UINT64_C(1) << 30);
	finish(&result);
	cr_assert(ge(u64, result.size, UINT64_C(1) << 30));
	cr_assert(eq(int, fstat(fd, &st), 0));
	cr_assert(lt(i64, st.st_blocks * 512, 1 << 20), "%lld blocks", (long long)st.st_blocks);
	snprintf(command, sizeof(command),
		 "{ head -c 300000000 /dev/zero | tr '\\0' x; } >%s.big && /sbin/debugfs -w -R "
		 "'write %s.big big' %s 2>/dev/null && rm %s.big && /sbin/e2fsck -fn %s >/dev/null",
		 path, path, path, path, path);
	cr_assert(eq(int, system(command), 0));
	expect("stat /big", "Size: 300000000");
	expect("cat /a", data);
}
