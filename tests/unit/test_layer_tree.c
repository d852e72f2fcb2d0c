/* The tree that layers are applied to: whiteouts, links, replacements, limits, hostile paths. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "container/layer_tree.h"

static struct layer_tree *tree;

static void setup(void)
{
	cr_assert(eq(int, layer_tree_new(&tree, 1000, NULL), 0));
	layer_tree_begin_layer(tree, true);
}

static void teardown(void)
{
	layer_tree_free(tree);
}

TestSuite(layer_tree, .init = setup, .fini = teardown);

static int add(const char *path, uint32_t mode, const char *target, struct err *err)
{
	struct tree_attr attr = {.mode = mode, .uid = 1, .gid = 2, .mtime = 7, .target = target};
	struct tree_inode *inode;

	return layer_tree_add(tree, path, &attr, &inode, err);
}

static void put(const char *path, uint32_t mode, const char *target)
{
	struct err err = {0};

	cr_assert(eq(int, add(path, mode, target, &err), 0), "%s", err.text);
}

static void file(const char *path)
{
	put(path, S_IFREG | 0644, NULL);
}

static void folder(const char *path)
{
	put(path, S_IFDIR | 0711, NULL);
}

static void next_layer(void)
{
	cr_assert(eq(int, layer_tree_end_layer(tree, NULL), 0));
	layer_tree_begin_layer(tree, true);
}

static void print(struct buf *out, const struct tree_entry *e, const char *above)
{
	struct tree_entry **list;
	char path[4096];

	cr_assert(eq(int, layer_tree_list(e->inode, &list, NULL), 0));
	for (size_t i = 0; list[i] != NULL; i++) {
		snprintf(path, sizeof(path), "%s%s", above, list[i]->name);
		buf_printf(out, " %s", path);
		strcat(path, "/");
		if (S_ISDIR(list[i]->inode->mode))
			print(out, list[i], path);
	}
	free(list);
}

/* The paths, in order. */
static void expect(const char *paths)
{
	cleanup_buf struct buf out = {0};

	cr_assert(eq(int, layer_tree_end_layer(tree, NULL), 0));
	print(&out, layer_tree_root(tree), "");
	buf_add_u8(&out, 0);
	cr_assert(eq(str, out.len > 1 ? (char *)out.data + 1 : (char *)"", (char *)paths));
}

static void refused(const char *path, uint32_t mode, const char *target, const char *why)
{
	struct err err = {0};

	cr_assert(lt(int, add(path, mode, target, &err), 0), "%s", path);
	cr_assert(eq(int, err.kind, ERR_INTEGRITY));
	cr_assert_not_null(strstr(err.text, why), "%s", err.text);
}

Test(layer_tree, paths_are_inside_the_root)
{
	file("/abs");
	file("./dot//b");
	file("../../up");
	file("a/../c/./d/");
	expect("abs c c/d dot dot/b up");
}

Test(layer_tree, missing_folders_are_made_with_the_time_of_the_entry)
{
	struct tree_inode *made;

	file("a/b/c");
	made = layer_tree_find(tree, "a/b")->inode;
	cr_assert(eq(u32, made->mode, S_IFDIR | 0755));
	cr_assert(eq(u32, made->uid, 0));
	cr_assert(eq(i64, made->mtime, 7));
}

Test(layer_tree, a_whiteout_hides_what_lower_layers_have)
{
	folder("d");
	file("d/one");
	file("d/two");
	file("top");
	next_layer();
	file("d/.wh.one");
	file(".wh.top");
	file(".wh.never");
	file("nowhere/.wh.x");
	expect("d d/two");
}

Test(layer_tree, a_whiteout_leaves_its_own_layers_entries)
{
	file("d/old");
	file("e/old");
	file("f");
	next_layer();
	file("d/new");
	file(".wh.d");
	file(".wh.e");
	file("e/new");
	file("f");
	file(".wh.f");
	expect("d d/new e e/new f");
}

Test(layer_tree, an_opaque_folder_hides_lower_entries_in_either_order)
{
	file("a/old");
	file("a/sub/old");
	file("b/old");
	file("b/sub/old");
	next_layer();
	file("a/.wh..wh..opq");
	file("a/new");
	file("b/new");
	file("b/sub/new");
	file("b/.wh..wh..opq");
	expect("a a/new b b/new b/sub b/sub/new");
}

Test(layer_tree, whiteouts_may_be_links_and_aufs_keeps_nothing)
{
	struct err err = {0};

	file("a");
	file("b");
	next_layer();
	file(".wh..wh.aufs");
	folder(".wh..wh.plnk");
	file(".wh..wh.plnk/12.34");
	cr_assert(eq(int, layer_tree_link(tree, ".wh.a", ".wh..wh.aufs", &err), 0), "%s", err.text);
	cr_assert(eq(int, layer_tree_link(tree, "c", ".wh..wh.plnk/12.34", &err), 0));
	cr_assert(eq(int, layer_tree_end_layer(tree, NULL), 0));
	cr_assert(eq(u32, layer_tree_find(tree, "c")->inode->links, 1));
	expect("b c");
}

Test(layer_tree, without_whiteouts_the_names_are_names)
{
	layer_tree_begin_layer(tree, false);
	file(".wh.a");
	file(".wh..wh.b");
	expect(".wh..wh.b .wh.a");
}

Test(layer_tree, hard_links_are_one_inode_across_layers)
{
	struct err err = {0};

	file("a");
	next_layer();
	cr_assert(eq(int, layer_tree_link(tree, "x/b", "/../a", &err), 0), "%s", err.text);
	cr_assert(eq(int, layer_tree_link(tree, "a", "a", &err), 0), "%s", err.text);
	cr_assert(eq(ptr, layer_tree_find(tree, "a")->inode, layer_tree_find(tree, "x/b")->inode));
	cr_assert(eq(u32, layer_tree_find(tree, "a")->inode->links, 2));
	next_layer();
	file("a"); /* a new file: the other name keeps the old one */
	cr_assert(ne(ptr, layer_tree_find(tree, "a")->inode, layer_tree_find(tree, "x/b")->inode));
	cr_assert(eq(u32, layer_tree_find(tree, "x/b")->inode->links, 1));
	cr_assert(lt(int, layer_tree_link(tree, "l", "missing", &err), 0));
	cr_assert(eq(int, err.kind, ERR_INTEGRITY));
	cr_assert(lt(int, layer_tree_link(tree, "l", "x", &err), 0));
	cr_assert(lt(int, layer_tree_link(tree, "/", "a", &err), 0));
	expect("a x x/b");
}

Test(layer_tree, a_link_from_inside_what_it_replaces)
{
	struct err err = {0};

	file("d/inner");
	cr_assert(eq(int, layer_tree_link(tree, "d", "d/inner", &err), 0), "%s", err.text);
	expect("d");
	cr_assert(eq(u32, layer_tree_find(tree, "d")->inode->links, 1));
}

Test(layer_tree, types_replace_each_other_and_a_folder_keeps_its_entries)
{
	file("d/a");
	file("f");
	put("l", S_IFLNK | 0777, "d");
	next_layer();
	file("d");
	folder("f");
	file("f/x");
	folder("l");
	expect("d f f/x l");
	next_layer();
	put("f", S_IFDIR | 01777, NULL);
	cr_assert(eq(u32, layer_tree_find(tree, "f")->inode->mode, S_IFDIR | 01777));
	expect("d f f/x l");
}

Test(layer_tree, symbolic_links_to_folders_are_followed_inside)
{
	folder("usr/lib");
	put("lib", S_IFLNK | 0777, "usr/lib");
	put("abs", S_IFLNK | 0777, "/usr");
	put("out", S_IFLNK | 0777, "../../../usr/./lib");
	put("dangling", S_IFLNK | 0777, "made/here");
	next_layer();
	file("lib/a");
	file("abs/lib/b");
	file("out/c");
	file("dangling/d");
	put("lib", S_IFLNK | 0777, "usr/lib"); /* the last component is not followed */
	expect("abs dangling lib made made/here made/here/d out usr usr/lib usr/lib/a usr/lib/b "
	       "usr/lib/c");
}

Test(layer_tree, what_no_file_system_holds_is_refused)
{
	char name[300], path[5000];

	file("f");
	put("loop", S_IFLNK | 0777, "loop");
	refused("f/x", S_IFREG, NULL, "no folder");
	refused("loop/x", S_IFREG, NULL, "too many symbolic links");
	refused("/", S_IFREG, NULL, "root");
	refused(".wh.", S_IFREG, NULL, "whiteout");
	refused("a/.wh...", S_IFREG, NULL, "whiteout");
	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	file(name);
	name[255] = 'n';
	name[256] = '\0';
	refused(name, S_IFREG, NULL, "256 bytes");
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 200 == 199 ? '/' : 'p';
	path[4096] = '\0';
	refused(path, S_IFREG, NULL, "a path of more than");
	path[4094] = '\0';
	file(path);
}

Test(layer_tree, the_depth_has_a_limit_through_links_too)
{
	char path[4096];
	unsigned i;

	for (i = 0; i < 4000; i += 2)
		memcpy(path + i, "d/", 3);
	layer_tree_free(tree);
	cr_assert(eq(int, layer_tree_new(&tree, 10000, NULL), 0));
	layer_tree_begin_layer(tree, true);
	folder(path);
	put("s", S_IFLNK | 0777, path);
	memcpy(path, "s/", 2);
	refused(path, S_IFDIR | 0755, NULL, "folders inside");
}

Test(layer_tree, the_number_of_entries_has_a_limit)
{
	char name[16];

	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "f%u", i % 10);
		file(name);
	}
	refused("more", S_IFREG, NULL, "more than 1000 files");
}

Test(layer_tree, xattrs_and_extents)
{
	struct tree_attr attr = {.mode = S_IFREG | 0600};
	struct tree_inode *f;

	cr_assert(eq(int, layer_tree_add(tree, "f", &attr, &f, NULL), 0));
	cr_assert(eq(int, layer_tree_xattr(tree, f, "user.a", "1", 1, NULL), 0));
	cr_assert(eq(int, layer_tree_xattr(tree, f, "user.b", "2", 1, NULL), 0));
	cr_assert(eq(int, layer_tree_xattr(tree, f, "user.a", "33", 2, NULL), 0));
	cr_assert(eq(str, f->xattr->name, (char *)"user.a"));
	cr_assert(eq(u32, f->xattr->len, 2));
	cr_assert_null(f->xattr->next->next);
	for (uint32_t i = 0; i < 5; i++)
		cr_assert(eq(int, layer_tree_extent(tree, f, i, 100 + i, NULL), 0));
	cr_assert(eq(int, layer_tree_extent(tree, f, 9, 105, NULL), 0));
	cr_assert(eq(u32, f->extents, 2));
	cr_assert(eq(u32, f->extent[0].count, 5));
	cr_assert(eq(u32, f->extent[1].logical, 9));
}
