/* The server of a shared folder: what a guest's requests come to, what it cannot reach, and what a save keeps. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "share/record.h"
#include "tests/unit/share_guest.h"

static struct share_guest guest;

static void setup(void)
{
	share_guest_init(&guest, NULL, false, false);
}

static void teardown(void)
{
	share_guest_remove(&guest);
}

TestSuite(share, .init = setup, .fini = teardown);

static const char *in_folder(const char *name)
{
	static char path[2][256];
	static unsigned next;
	char *to = path[next++ % 2];

	snprintf(to, sizeof(path[0]), "%s/%s", guest.dir, name);
	return to;
}

static void put_file(const char *name, const char *text)
{
	FILE *file = fopen(in_folder(name), "we");

	cr_assert(ne(ptr, file, NULL));
	fputs(text, file);
	fclose(file);
}

static bool file_has(const char *name, const char *text)
{
	char got[256] = {0};
	cleanup_file FILE *file = fopen(in_folder(name), "re");

	return file != NULL && fread(got, 1, sizeof(got) - 1, file) == strlen(text) &&
	       strcmp(got, text) == 0;
}

static int make_dir(const char *name, uint32_t mode)
{
	const struct fuse_mkdir_in in = {.mode = mode};

	return share_guest_call(&guest, FUSE_MKDIR, 1, &in, sizeof(in), name, strlen(name) + 1);
}

static int remove_name(uint32_t opcode, const char *name)
{
	return share_guest_call(&guest, opcode, 1, NULL, 0, name, strlen(name) + 1);
}

static bool got_bytes(const char *text)
{
	return guest.len == strlen(text) && memcmp(share_guest_got(&guest), text, guest.len) == 0;
}

Test(share, files_are_made_written_and_read)
{
	struct fuse_attr attr;
	uint64_t node;
	int64_t fh = share_guest_create(&guest, 1, "a", O_RDWR, 0640, &node);

	cr_assert(ge(i64, fh, 0));
	cr_assert(eq(int, share_guest_write(&guest, (uint64_t)fh, 3, "hello"), 5));
	cr_assert(eq(int, share_guest_read(&guest, (uint64_t)fh, 3, 100), 5));
	cr_assert(got_bytes("hello"));
	cr_assert(eq(int, share_guest_stat(&guest, node, &attr), 0));
	cr_assert(eq(u64, attr.size, 8));
	cr_assert(eq(u32, attr.mode, S_IFREG | 0640));
	cr_assert(eq(u32, attr.uid, 0));
	cr_assert(eq(u32, attr.gid, 0));
	cr_assert(eq(i64, share_guest_lookup(&guest, 1, "a"), (int64_t)node));
	cr_assert(eq(i64, share_guest_lookup(&guest, 1, "b"), -ENOENT));
}

/* As git makes its objects. */
Test(share, a_new_file_is_written_whatever_its_mode_says)
{
	uint64_t node;
	int64_t fh = share_guest_create(&guest, 1, "a", O_RDWR | O_EXCL, 0444, &node);

	cr_assert(ge(i64, fh, 0));
	cr_assert(eq(int, share_guest_write(&guest, (uint64_t)fh, 0, "x"), 1));
	cr_assert(
		eq(i64, share_guest_create(&guest, 1, "a", O_RDWR | O_EXCL, 0444, &node), -EEXIST));
	/* A guest's root may write it again. */
	cr_assert(ge(i64, share_guest_open(&guest, node, O_WRONLY), 0));
}

Test(share, bits_that_change_the_user_are_not_set)
{
	struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = 06755};
	struct fuse_attr attr;
	uint64_t node;

	cr_assert(ge(i64, share_guest_create(&guest, 1, "a", O_RDWR, 06777, &node), 0));
	cr_assert(eq(int, share_guest_stat(&guest, node, &attr), 0));
	cr_assert(eq(u32, attr.mode, S_IFREG | 0777));
	cr_assert(
		eq(int, share_guest_call(&guest, FUSE_SETATTR, node, &in, sizeof(in), NULL, 0), 0));
	cr_assert(eq(int, share_guest_stat(&guest, node, &attr), 0));
	cr_assert(eq(u32, attr.mode, S_IFREG | 0755));
}

Test(share, owners_are_root_and_stay_what_they_are)
{
	struct fuse_setattr_in in = {.valid = FATTR_UID | FATTR_GID};
	uint64_t node;

	cr_assert(ge(i64, share_guest_create(&guest, 1, "a", O_RDWR, 0600, &node), 0));
	cr_assert(
		eq(int, share_guest_call(&guest, FUSE_SETATTR, node, &in, sizeof(in), NULL, 0), 0));
	in.uid = 33;
	cr_assert(eq(int, share_guest_call(&guest, FUSE_SETATTR, node, &in, sizeof(in), NULL, 0),
		     -EPERM));
	in.uid = 0;
	in.gid = 33;
	cr_assert(eq(int, share_guest_call(&guest, FUSE_SETATTR, node, &in, sizeof(in), NULL, 0),
		     -EPERM));
}

Test(share, names_that_lead_elsewhere_are_refused)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "/etc", "../x"};
	char longest[300];

	memset(longest, 'a', sizeof(longest));
	longest[299] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_assert(eq(i64, share_guest_lookup(&guest, 1, bad[i]), -EINVAL), "%s", bad[i]);
		cr_assert(eq(int, make_dir(bad[i], 0755), -EINVAL), "%s", bad[i]);
		cr_assert(eq(int, remove_name(FUSE_UNLINK, bad[i]), -EINVAL), "%s", bad[i]);
	}
	cr_assert(eq(i64, share_guest_lookup(&guest, 1, longest), -ENAMETOOLONG));
	/* Without its end. */
	cr_assert(eq(int, share_guest_call(&guest, FUSE_LOOKUP, 1, NULL, 0, "abc", 3), -EINVAL));
}

Test(share, links_are_never_followed)
{
	cr_assert(eq(int, symlink("/etc", in_folder("out")), 0));
	cr_assert(eq(int, symlink("/etc/passwd", in_folder("file")), 0));
	cr_assert(eq(i64, share_guest_walk(&guest, "out/passwd"), -ENOTDIR));
	cr_assert(eq(i64,
		     share_guest_open(&guest, (uint64_t)share_guest_walk(&guest, "file"), O_RDONLY),
		     -EINVAL));
	cr_assert(eq(int,
		     share_guest_call(&guest, FUSE_READLINK,
				      (uint64_t)share_guest_walk(&guest, "file"), NULL, 0, NULL, 0),
		     0));
	cr_assert(got_bytes("/etc/passwd"));
}

/* The folder that a guest has looked up is that folder, whatever its name leads to now. */
Test(share, a_folder_that_is_replaced_by_a_link_leads_nowhere)
{
	int64_t node;

	cr_assert(eq(int, mkdir(in_folder("d"), 0755), 0));
	node = share_guest_lookup(&guest, 1, "d");
	cr_assert(eq(int, rename(in_folder("d"), in_folder("e")), 0));
	cr_assert(eq(int, symlink("/etc", in_folder("d")), 0));
	cr_assert(eq(i64, share_guest_lookup(&guest, (uint64_t)node, "passwd"), -ENOENT));
}

Test(share, pipes_and_devices_are_not_opened)
{
	struct fuse_mknod_in in = {.mode = S_IFIFO | 0600};
	int64_t node;

	cr_assert(eq(int, share_guest_call(&guest, FUSE_MKNOD, 1, &in, sizeof(in), "pipe", 5), 0));
	node = share_guest_lookup(&guest, 1, "pipe");
	cr_assert(eq(i64, share_guest_open(&guest, (uint64_t)node, O_RDONLY), -EINVAL));
	in.mode = S_IFCHR | 0600;
	in.rdev = 0x0101;
	cr_assert(eq(int, share_guest_call(&guest, FUSE_MKNOD, 1, &in, sizeof(in), "mem", 4),
		     -EPERM));
	in.mode = S_IFREG | 0600;
	cr_assert(eq(int, share_guest_call(&guest, FUSE_MKNOD, 1, &in, sizeof(in), "file", 5), 0));
}

Test(share, names_are_moved_linked_and_removed)
{
	struct fuse_rename2_in move = {.newdir = 1, .flags = RENAME_NOREPLACE};
	struct fuse_link_in link = {0};
	struct fuse_attr attr;

	put_file("a", "1");
	put_file("b", "2");
	cr_assert(eq(int, make_dir("d", 0700), 0));
	cr_assert(eq(int, share_guest_call(&guest, FUSE_RENAME2, 1, &move, sizeof(move), "a\0b", 4),
		     -EEXIST));
	move.flags = RENAME_EXCHANGE;
	cr_assert(eq(int, share_guest_call(&guest, FUSE_RENAME2, 1, &move, sizeof(move), "a\0b", 4),
		     0));
	cr_assert(file_has("a", "2"));
	move.flags = RENAME_WHITEOUT;
	cr_assert(eq(int, share_guest_call(&guest, FUSE_RENAME2, 1, &move, sizeof(move), "a\0b", 4),
		     -EINVAL));
	move.newdir = (uint64_t)share_guest_lookup(&guest, 1, "d");
	cr_assert(eq(int,
		     share_guest_call(&guest, FUSE_RENAME, 1, &move, sizeof(struct fuse_rename_in),
				      "a\0c", 4),
		     0));
	cr_assert(file_has("d/c", "2"));
	link.oldnodeid = (uint64_t)share_guest_lookup(&guest, 1, "b");
	cr_assert(eq(int, share_guest_call(&guest, FUSE_LINK, 1, &link, sizeof(link), "e", 2), 0));
	cr_assert(eq(int, share_guest_stat(&guest, link.oldnodeid, &attr), 0));
	cr_assert(eq(u32, attr.nlink, 2));
	cr_assert(eq(i64, share_guest_lookup(&guest, 1, "e"), (int64_t)link.oldnodeid));
	cr_assert(eq(int, remove_name(FUSE_RMDIR, "d"), -ENOTEMPTY));
	cr_assert(eq(int, remove_name(FUSE_UNLINK, "b"), 0));
	cr_assert(eq(int, remove_name(FUSE_UNLINK, "b"), -ENOENT));
}

/* At most `most` entries from there on, read one by one; in->offset is behind them then. */
static unsigned list_some(struct share_guest *g, struct fuse_read_in *in, uint64_t from,
			  unsigned most)
{
	unsigned entries = 0;

	in->offset = from;
	in->size = 40; /* one */
	while (entries < most) {
		const struct fuse_dirent *d;

		cr_assert(
			eq(int, share_guest_call(g, FUSE_READDIR, 1, in, sizeof(*in), NULL, 0), 0));
		if (g->len == 0)
			break;
		d = (const struct fuse_dirent *)share_guest_got(g);
		in->offset = d->off;
		entries++;
	}
	return entries;
}

/* More folders at once than there are listings kept, each read on where it was left. */
Test(share, folders_are_listed_side_by_side)
{
	struct fuse_read_in in[40];
	unsigned entries[ARRAY_SIZE(in)] = {0};
	bool more = true;
	char name[16];

	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		put_file(name, "");
	}
	for (unsigned i = 0; i < ARRAY_SIZE(in); i++)
		in[i] = (struct fuse_read_in){
			.fh = (uint64_t)share_guest_open(&guest, 1, O_DIRECTORY)};
	while (more) {
		more = false;
		for (unsigned i = 0; i < ARRAY_SIZE(in); i++) {
			unsigned got = list_some(&guest, &in[i], in[i].offset, 1 + i * 7 % 60);

			entries[i] += got;
			more = more || got > 0;
		}
	}
	for (unsigned i = 0; i < ARRAY_SIZE(in); i++)
		cr_assert(eq(uint, entries[i], 302));
}

/* A handle's number is used again, and what was read of the folder before is not listed. */
Test(share, a_listing_ends_with_its_handle)
{
	struct fuse_read_in in = {0};
	struct fuse_release_in release = {0};
	uint64_t at;

	cr_assert(eq(int, make_dir("empty", 0755), 0));
	for (unsigned i = 0; i < 50; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		put_file(name, "");
	}
	in.fh = release.fh = (uint64_t)share_guest_open(&guest, 1, O_DIRECTORY);
	cr_assert(eq(uint, list_some(&guest, &in, 0, 5), 5));
	at = in.offset;
	cr_assert(
		eq(int,
		   share_guest_call(&guest, FUSE_RELEASEDIR, 1, &release, sizeof(release), NULL, 0),
		   0));
	in.fh = (uint64_t)share_guest_open(&guest, (uint64_t)share_guest_lookup(&guest, 1, "empty"),
					   O_DIRECTORY);
	cr_assert(eq(u64, in.fh, release.fh));
	cr_assert(le(uint, list_some(&guest, &in, at, 99), 2));
}

Test(share, a_folder_is_listed_entry_by_entry)
{
	const int64_t fh = share_guest_open(&guest, 1, O_DIRECTORY);
	struct fuse_read_in in = {.fh = (uint64_t)fh};
	bool seen[40] = {false};
	unsigned entries = 0;
	char name[16];

	for (unsigned i = 0; i < ARRAY_SIZE(seen); i++) {
		snprintf(name, sizeof(name), "f%u", i);
		put_file(name, "");
	}
	for (in.size = 300;;) {
		const uint8_t *at = share_guest_got(&guest);
		size_t left;

		cr_assert(
			eq(int,
			   share_guest_call(&guest, FUSE_READDIRPLUS, 1, &in, sizeof(in), NULL, 0),
			   0));
		left = guest.len;
		if (left == 0)
			break;
		while (left > 0) {
			const struct fuse_direntplus *d = (const struct fuse_direntplus *)at;
			size_t len = FUSE_DIRENTPLUS_SIZE(d);
			unsigned number;

			cr_assert(le(sz, len, left));
			snprintf(name, sizeof(name), "%.*s", (int)d->dirent.namelen,
				 d->dirent.name);
			entries++;
			if (sscanf(name, "f%u", &number) == 1 && number < ARRAY_SIZE(seen)) {
				cr_assert(not(seen[number]));
				seen[number] = true;
				cr_assert(ne(u64, d->entry_out.nodeid, 0));
			}
			in.offset = d->dirent.off;
			at += len;
			left -= len;
		}
	}
	cr_assert(eq(uint, entries, ARRAY_SIZE(seen) + 2));
	/* Less room than one entry takes is an error, and not the end. */
	in.offset = 0;
	in.size = 20;
	cr_assert(eq(int, share_guest_call(&guest, FUSE_READDIR, 1, &in, sizeof(in), NULL, 0),
		     -EINVAL));
}

Test(share, what_is_forgotten_is_closed)
{
	struct fuse_forget_in forget = {.nlookup = 1};
	struct {
		struct fuse_batch_forget_in head;
		struct fuse_forget_one one[2];
	} batch = {.head = {.count = 9}, .one = {{.nlookup = 5}, {.nodeid = 4711, .nlookup = 1}}};
	struct fuse_attr attr;
	int64_t node;

	put_file("a", "");
	node = share_guest_lookup(&guest, 1, "a");
	cr_assert(eq(i64, share_guest_lookup(&guest, 1, "a"), node));
	(void)share_guest_call(&guest, FUSE_FORGET, (uint64_t)node, &forget, sizeof(forget), NULL,
			       0);
	cr_assert(eq(int, share_guest_stat(&guest, (uint64_t)node, &attr), 0));
	batch.one[0].nodeid = (uint64_t)node;
	(void)share_guest_call(&guest, FUSE_BATCH_FORGET, 0, &batch, sizeof(batch), NULL, 0);
	cr_assert(eq(int, share_guest_stat(&guest, (uint64_t)node, &attr), -ESTALE));
	/* Not the root. */
	forget.nlookup = UINT64_MAX;
	(void)share_guest_call(&guest, FUSE_FORGET, 1, &forget, sizeof(forget), NULL, 0);
	cr_assert(eq(int, share_guest_stat(&guest, 1, &attr), 0));
}

Test(share, read_only_is_read_only)
{
	const struct fuse_setattr_in attr = {.valid = FATTR_MODE};
	uint64_t node;
	int64_t file;

	put_file("a", "text");
	share_guest_end(&guest);
	{
		char dir[64];

		strcpy(dir, guest.dir);
		share_guest_init(&guest, dir, true, false);
	}
	file = share_guest_lookup(&guest, 1, "a");
	cr_assert(eq(i64, share_guest_open(&guest, (uint64_t)file, O_RDWR), -EROFS));
	cr_assert(eq(i64, share_guest_open(&guest, (uint64_t)file, O_RDONLY | O_TRUNC), -EROFS));
	cr_assert(eq(i64, share_guest_create(&guest, 1, "b", O_RDWR, 0600, &node), -EROFS));
	cr_assert(eq(int, remove_name(FUSE_UNLINK, "a"), -EROFS));
	cr_assert(eq(int, make_dir("d", 0755), -EROFS));
	cr_assert(eq(int,
		     share_guest_call(&guest, FUSE_SETATTR, (uint64_t)file, &attr, sizeof(attr),
				      NULL, 0),
		     -EROFS));
	cr_assert(ge(i64, share_guest_open(&guest, (uint64_t)file, O_RDONLY), 0));
	cr_assert(file_has("a", "text"));
}

Test(share, nonsense_is_refused)
{
	const struct fuse_init_in older = {.major = 7, .minor = 12}, newer = {.major = 8};
	struct fuse_write_in write = {.size = 4000};
	uint64_t node;
	int64_t fh = share_guest_create(&guest, 1, "a", O_RDWR, 0600, &node);
	uint8_t answer[64];

	cr_assert(
		eq(sz, share_server_request(guest.server, answer, 10, answer, sizeof(answer)), 0));
	cr_assert(eq(int, share_guest_call(&guest, 4711, 1, NULL, 0, NULL, 0), -ENOSYS));
	cr_assert(eq(int, share_guest_call(&guest, 0, 1, NULL, 0, NULL, 0), -ENOSYS));
	cr_assert(eq(int, share_guest_call(&guest, FUSE_GETXATTR, 1, NULL, 0, NULL, 0), -ENOSYS));
	cr_assert(eq(int, share_guest_call(&guest, FUSE_OPEN, node, "", 1, NULL, 0), -EINVAL));
	cr_assert(eq(int,
		     share_guest_call(&guest, FUSE_OPEN, 999999, &newer, sizeof(newer), NULL, 0),
		     -ESTALE));
	/* More is to be written than there is. */
	write.fh = (uint64_t)fh;
	cr_assert(eq(int,
		     share_guest_call(&guest, FUSE_WRITE, node, &write, sizeof(write), "abc", 3),
		     -EINVAL));
	write.fh = 4711;
	cr_assert(eq(int,
		     share_guest_call(&guest, FUSE_WRITE, node, &write, sizeof(write), "abc", 3),
		     -ESTALE));
	cr_assert(eq(int, share_guest_read(&guest, (uint64_t)fh, UINT64_MAX, 10), -EINVAL));
	cr_assert(eq(int, share_guest_call(&guest, FUSE_INIT, 0, &older, sizeof(older), NULL, 0),
		     -EPROTO));
	cr_assert(
		eq(int, share_guest_call(&guest, FUSE_INIT, 0, &newer, sizeof(newer), NULL, 0), 0));
	cr_assert(eq(u32, ((const struct fuse_init_out *)share_guest_got(&guest))->major, 7));
}

Test(share, a_guest_that_opens_without_end_is_told_so)
{
	int64_t fh = 0;

	put_file("a", "");
	for (unsigned i = 0; i < 2000 && fh >= 0; i++)
		fh = share_guest_open(&guest, (uint64_t)share_guest_lookup(&guest, 1, "a"),
				      O_RDONLY);
	cr_assert(eq(i64, fh, -ENFILE));
	share_server_reset(guest.server);
	cr_assert(ge(i64, share_guest_lookup(&guest, 1, "a"), 0));
}

/* --- records --- */

/* Save, end, and wake with a server of its own for this folder. */
static void sleep_and_wake(const char *dir)
{
	cleanup_buf struct buf record = {0};
	struct err err = {0};
	char path[64];

	cr_assert(eq(int, share_server_save(guest.server, SIZE_MAX, &record, &err), 0), "%s",
		  err.text);
	cr_assert(eq(int, share_record_check(record.data, record.len, &err), 0), "%s", err.text);
	share_guest_end(&guest);
	strcpy(path, dir);
	share_guest_init(&guest, path, false, true);
	cr_assert(eq(int, share_server_load(guest.server, record.data, record.len, &err), 0), "%s",
		  err.text);
}

static bool was_said(const char *text)
{
	buf_add_u8(&guest.said, 0);
	guest.said.len--;
	return strstr((const char *)guest.said.data, text) != NULL;
}

Test(share, open_files_and_folders_survive_a_save)
{
	char dir[64];
	struct fuse_attr attr;
	uint64_t node, moved;
	int64_t fh, folder, inner;

	strcpy(dir, guest.dir);
	cr_assert(eq(int, make_dir("d", 0755), 0));
	inner = share_guest_lookup(&guest, 1, "d");
	folder = share_guest_open(&guest, (uint64_t)inner, O_DIRECTORY);
	fh = share_guest_create(&guest, (uint64_t)inner, "a (deleted)", O_RDWR, 0444, &node);
	cr_assert(eq(int, share_guest_write(&guest, (uint64_t)fh, 0, "before"), 6));
	cr_assert(ge(i64, share_guest_create(&guest, 1, "old", O_RDWR, 0600, &moved), 0));
	/* By the host, behind the guest's back. */
	cr_assert(eq(int, rename(in_folder("old"), in_folder("d/new")), 0));
	sleep_and_wake(dir);
	cr_assert(eq(int, share_guest_read(&guest, (uint64_t)fh, 0, 10), 6));
	cr_assert(got_bytes("before"));
	cr_assert(eq(int, share_guest_write(&guest, (uint64_t)fh, 6, " after"), 6));
	cr_assert(file_has("d/a (deleted)", "before after"));
	cr_assert(eq(int, share_guest_stat(&guest, moved, &attr), 0));
	cr_assert(eq(i64, share_guest_walk(&guest, "d/new"), (int64_t)moved));
	cr_assert(eq(i64, share_guest_lookup(&guest, 1, "d"), inner));
	{
		const struct fuse_read_in in = {.fh = (uint64_t)folder, .size = 4096};

		cr_assert(eq(int,
			     share_guest_call(&guest, FUSE_READDIR, (uint64_t)inner, &in,
					      sizeof(in), NULL, 0),
			     0));
		cr_assert(ge(sz, guest.len, 3 * FUSE_NAME_OFFSET));
	}
	cr_assert(eq(sz, guest.said.len, 0));
	/* Lookups are counted on: three by now, one of each life of the file and one when it was made. */
	cr_assert(eq(i64, share_guest_walk(&guest, "d/a (deleted)"), (int64_t)node));
}

Test(share, what_is_gone_is_named_and_stale)
{
	const struct fuse_forget_in forget = {.nlookup = 1};
	struct fuse_attr attr;
	uint64_t node, replaced, unnamed;
	int64_t fh, other, nameless;
	char dir[64];

	strcpy(dir, guest.dir);
	fh = share_guest_create(&guest, 1, "gone", O_RDWR, 0600, &node);
	other = share_guest_create(&guest, 1, "replaced", O_RDWR, 0600, &replaced);
	nameless = share_guest_create(&guest, 1, "unnamed", O_RDWR, 0600, &unnamed);
	cr_assert(eq(int, remove_name(FUSE_UNLINK, "unnamed"), 0));
	cr_assert(eq(int, share_guest_write(&guest, (uint64_t)nameless, 0, "still"), 5));
	{
		cleanup_buf struct buf record = {0};
		struct err err = {0};

		cr_assert(eq(int, share_server_save(guest.server, SIZE_MAX, &record, &err), 0),
			  "%s", err.text);
		cr_assert(was_said("1 open file without a name any more"));
		share_guest_end(&guest);
		cr_assert(eq(int, unlink(in_folder("gone")), 0));
		put_file("new", "");
		cr_assert(eq(int, rename(in_folder("new"), in_folder("replaced")), 0));
		share_guest_init(&guest, dir, false, true);
		cr_assert(
			eq(int, share_server_load(guest.server, record.data, record.len, &err), 0),
			"%s", err.text);
	}
	cr_assert(was_said("gone is gone"));
	cr_assert(was_said("replaced is gone"));
	cr_assert(was_said("an unnamed file is gone"));
	cr_assert(eq(int, share_guest_read(&guest, (uint64_t)fh, 0, 10), -ESTALE));
	cr_assert(eq(int, share_guest_write(&guest, (uint64_t)other, 0, "x"), -ESTALE));
	cr_assert(eq(int, share_guest_read(&guest, (uint64_t)nameless, 0, 10), -ESTALE));
	cr_assert(eq(int, share_guest_stat(&guest, replaced, &attr), -ESTALE));
	/* A new look finds what is there now. */
	cr_assert(ge(i64, share_guest_lookup(&guest, 1, "replaced"), 0));
	cr_assert(ne(i64, share_guest_lookup(&guest, 1, "replaced"), (int64_t)replaced));
	/* It is stale in the next life, too, and can be forgotten. */
	sleep_and_wake(dir);
	cr_assert(eq(int, share_guest_stat(&guest, replaced, &attr), -ESTALE));
	(void)share_guest_call(&guest, FUSE_FORGET, replaced, &forget, sizeof(forget), NULL, 0);
	sleep_and_wake(dir);
	cr_assert(not(was_said("replaced is gone")));
}

/* Of another folder it is the path that counts. */
/* The log takes a few lines a second: what the guest only remembers keeps out nothing that it has open. */
Test(share, open_files_are_named_among_many_that_are_gone)
{
	char dir[64], copy[64] = "/tmp/share-XXXXXX", name[16];
	uint64_t node;

	strcpy(dir, guest.dir);
	for (unsigned i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		put_file(name, "");
		cr_assert(ge(i64, share_guest_lookup(&guest, 1, name), 0));
	}
	cr_assert(ge(i64, share_guest_create(&guest, 1, "open", O_RDWR, 0600, &node), 0));
	cr_assert(ne(ptr, mkdtemp(copy), NULL));
	sleep_and_wake(copy);
	cr_assert(was_said("open is gone, and was open"));
	cr_assert(was_said("of 32 files that the guest knew 31 are gone, and 1 that were open"));
	cr_assert(not(was_said("f9 is gone")));
	share_guest_remove(&guest);
	share_guest_init(&guest, dir, false, false);
}

Test(share, it_can_be_bound_to_a_copy)
{
	char dir[64], copy[64] = "/tmp/share-XXXXXX", path[128];
	struct fuse_read_in in = {.size = 4096};
	struct fuse_attr attr;
	uint64_t node, lost;
	int64_t fh, folder;

	strcpy(dir, guest.dir);
	fh = share_guest_create(&guest, 1, "a", O_RDWR, 0600, &node);
	cr_assert(ge(i64, share_guest_create(&guest, 1, "b", O_RDWR, 0600, &lost), 0));
	folder = share_guest_open(&guest, 1, O_DIRECTORY);
	cr_assert(ne(ptr, mkdtemp(copy), NULL));
	snprintf(path, sizeof(path), "%s/a", copy);
	{
		cleanup_file FILE *file = fopen(path, "we");

		fputs("copy", file);
	}
	snprintf(path, sizeof(path), "%s/b", copy);
	cr_assert(eq(int, mkdir(path, 0755), 0));
	sleep_and_wake(copy);
	cr_assert(eq(int, share_guest_read(&guest, (uint64_t)fh, 0, 10), 4));
	cr_assert(got_bytes("copy"));
	/* A folder is no file. */
	cr_assert(eq(int, share_guest_stat(&guest, lost, &attr), -ESTALE));
	/* No place in it means anything here, but it is read from its beginning, in as many parts as there are. */
	in.fh = (uint64_t)folder;
	in.offset = 1;
	cr_assert(eq(int, share_guest_call(&guest, FUSE_READDIR, 1, &in, sizeof(in), NULL, 0),
		     -ESTALE));
	cr_assert(eq(uint, list_some(&guest, &in, 0, 1), 1));
	cr_assert(eq(uint, list_some(&guest, &in, in.offset, 99), 3));
	share_guest_remove(&guest);
	share_guest_init(&guest, dir, false, false);
}

/* A file may be a stranger's. */
static void add_file(struct buf *record, enum share_entry kind, uint64_t id, uint32_t type,
		     const char *path)
{
	static struct share_file_state file;

	memset(&file, 0, sizeof(file));
	file.id = id;
	file.lookups = 1;
	file.type = type;
	file.npath = (uint32_t)strlen(path);
	memcpy(file.path, path, file.npath);
	share_record_add(record, kind, &file);
}

static int check_path(const char *path)
{
	const struct share_folder_state folder = {0};
	cleanup_buf struct buf record = {0};

	share_record_add(&record, SHARE_ENTRY_FOLDER, &folder);
	add_file(&record, SHARE_ENTRY_HANDLE, 3, S_IFREG, path);
	return share_record_check(record.data, record.len, NULL);
}

Test(share, a_record_that_leads_out_is_refused)
{
	static const char *const bad[] = {"/etc/passwd", "..",	"a/../../b", "a//b",
					  "a/",		 "./a", "a/.",	     "a/.."};

	cr_assert(eq(int, check_path("a/b..c/.d"), 0));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert(lt(int, check_path(bad[i]), 0), "%s", bad[i]);
}

Test(share, a_record_out_of_order_is_refused)
{
	const struct share_folder_state folder = {0};
	cleanup_buf struct buf none = {0}, twice = {0}, kinds = {0}, types = {0};

	cr_assert(eq(int, share_record_check(NULL, 0, NULL), 0));
	add_file(&none, SHARE_ENTRY_NODE, 3, S_IFREG, "a");
	cr_assert(lt(int, share_record_check(none.data, none.len, NULL), 0));
	share_record_add(&twice, SHARE_ENTRY_FOLDER, &folder);
	add_file(&twice, SHARE_ENTRY_NODE, 3, S_IFREG, "a");
	add_file(&twice, SHARE_ENTRY_NODE, 3, S_IFREG, "b");
	cr_assert(lt(int, share_record_check(twice.data, twice.len, NULL), 0));
	share_record_add(&kinds, SHARE_ENTRY_FOLDER, &folder);
	add_file(&kinds, SHARE_ENTRY_HANDLE, 3, S_IFREG, "a");
	add_file(&kinds, SHARE_ENTRY_NODE, 4, S_IFREG, "b");
	cr_assert(lt(int, share_record_check(kinds.data, kinds.len, NULL), 0));
	share_record_add(&types, SHARE_ENTRY_FOLDER, &folder);
	add_file(&types, SHARE_ENTRY_HANDLE, 3, S_IFIFO, "a");
	cr_assert(lt(int, share_record_check(types.data, types.len, NULL), 0));
}

Test(share, every_truncation_of_a_record_is_refused)
{
	cleanup_buf struct buf record = {0};
	struct err err = {0};
	unsigned whole = 0;
	uint64_t node;

	cr_assert(ge(i64, share_guest_create(&guest, 1, "a", O_RDWR, 0600, &node), 0));
	cr_assert(eq(int, share_server_save(guest.server, SIZE_MAX, &record, &err), 0), "%s",
		  err.text);
	for (size_t len = 1; len < record.len; len++)
		whole += share_record_check(record.data, len, &err) == 0;
	/* Folder; folder and node. */
	cr_assert(eq(uint, whole, 2));
	cr_assert(eq(int, share_server_save(guest.server, record.len - 1, &record, &err), -E2BIG));
}
