/*
 * The server of a shared folder against a hostile guest: the input is its requests, for nodes and handles that
 * it may or may not have, and what the host does meanwhile. Whatever that is: nothing outside of the folder
 * changes, no descriptor is left, answers are whole, and what is recorded is a record that wakes. Then the
 * record itself is the input.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "share/record.h"
#include "share/server.h"
#include "tests/fuzz/fuzz.h"

#define MAX_STEPS 200u

static char inside[300], outside[300];
static uint8_t slot[256 << 10];

static void say_nothing(void *opaque, const char *text)
{
	(void)opaque;
	fuzz_require(text[0] != '\0');
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	if (ftw->level == 0)
		return 0;
	/* A folder without any bit is ours all the same. */
	(void)chmod(path, 0700);
	return remove(path);
}

static void begin_folder(void)
{
	snprintf(inside, sizeof(inside), "%s/inside", fuzz_folder());
	snprintf(outside, sizeof(outside), "%s/outside", fuzz_folder());
	(void)mkdir(inside, 0700);
	(void)nftw(inside, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	if (access(outside, F_OK) != 0)
		close(open(outside, O_CREAT | O_WRONLY, 0600));
}

static void put(const char *name, const char *link)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", inside, name);
	if (link != NULL)
		(void)!symlink(link, path);
	else
		close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

static void begin_files(void)
{
	char path[400];

	put("a", NULL);
	put("b", NULL);
	put("out", "..");
	put("file", "../outside");
	snprintf(path, sizeof(path), "%s/d", inside);
	(void)mkdir(path, 0700);
	put("d/a", NULL);
}

static struct share_server *open_server(bool readonly)
{
	struct share_server_params params = {.readonly = readonly, .files = 40, .say = say_nothing};
	struct share_server *s;
	struct err err = {0};

	params.folder = open(inside, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fuzz_require(params.folder >= 0);
	fuzz_require(share_server_open(&s, &params, &err) == 0);
	close(params.folder);
	return s;
}

static const char *const names[] = {"a", "b", "d", "out",	 "file", "..",
				    ".", "x", "y", "../outside", ""};

static size_t put_name(struct fuzz_input *in, size_t at)
{
	const char *name = names[fuzz_take(in, 1) % ARRAY_SIZE(names)];

	memcpy(slot + at, name, strlen(name) + 1);
	return at + strlen(name) + 1;
}

/* Arguments of a length, some of them numbers that a guest would say. */
static size_t put_args(struct fuzz_input *in, size_t at)
{
	size_t len = fuzz_take(in, 1) % 130;

	memset(slot + at, 0, len);
	(void)fuzz_take_bytes(in, slot + at, u64_min(len, fuzz_take(in, 1) % 48));
	return at + len;
}

static void check_answer(const struct fuse_in_header *in, size_t len, size_t room)
{
	struct fuse_out_header out;

	fuzz_require(len == 0 || (len >= sizeof(out) && len <= room));
	if (len == 0)
		return;
	memcpy(&out, slot, sizeof(out));
	fuzz_require(out.len == len && out.unique == in->unique && out.error <= 0 &&
		     out.error > -1000);
	fuzz_require(out.error == 0 || len == sizeof(out));
}

static void request(struct share_server *s, struct fuzz_input *in)
{
	struct fuse_in_header head = {
		.opcode = (uint32_t)fuzz_take(in, 1) % 54,
		.nodeid = fuzz_take(in, 1) % 12,
		.unique = fuzz_take(in, 2),
	};
	size_t at = sizeof(head), room = 16 + fuzz_take(in, 2) % 9000;
	unsigned parts = (unsigned)fuzz_take(in, 1);

	/* It is the host's whole file system that would be written out. */
	if (head.opcode == FUSE_SYNCFS || head.opcode == FUSE_FSYNC || head.opcode == FUSE_FSYNCDIR)
		head.opcode = FUSE_LOOKUP;
	if ((parts & 1) != 0)
		at = put_args(in, at);
	if ((parts & 2) != 0)
		at = put_name(in, at);
	if ((parts & 4) != 0)
		at = put_name(in, at);
	head.len = (uint32_t)at;
	memcpy(slot, &head, sizeof(head));
	check_answer(&head, share_server_request(s, slot, at, slot, room), room);
}

static void rename_at_host(struct fuzz_input *in)
{
	char from[400], to[400];

	snprintf(from, sizeof(from), "%s/%s", inside, names[fuzz_take(in, 1) % 4]);
	snprintf(to, sizeof(to), "%s/%s", inside, names[fuzz_take(in, 1) % 4]);
	(void)!rename(from, to);
}

/* Save, and wake from it. */
static struct share_server *sleep_and_wake(struct share_server *s, struct fuzz_input *in)
{
	struct buf record = {0}, again = {0};
	struct err err = {0};

	fuzz_require(share_server_save(s, SIZE_MAX, &record, &err) == 0);
	fuzz_require(share_record_check(record.data, record.len, &err) == 0);
	share_server_close(s);
	rename_at_host(in);
	s = open_server(fuzz_take(in, 1) % 4 == 0);
	fuzz_require(share_server_load(s, record.data, record.len, &err) == 0);
	fuzz_require(share_server_save(s, SIZE_MAX, &again, &err) == 0);
	fuzz_require(share_record_check(again.data, again.len, &err) == 0);
	buf_free(&record);
	buf_free(&again);
	return s;
}

static void play(struct fuzz_input *in)
{
	const struct fuse_init_in init = {.major = 7, .minor = 31};
	struct fuse_in_header head = {.opcode = FUSE_INIT, .len = sizeof(head) + sizeof(init)};
	struct share_server *s;

	begin_folder();
	begin_files();
	s = open_server(fuzz_take(in, 1) % 8 == 0);
	memcpy(slot, &head, sizeof(head));
	memcpy(slot + sizeof(head), &init, sizeof(init));
	fuzz_require(share_server_request(s, slot, head.len, slot, sizeof(slot)) > 0);
	for (unsigned i = 0; i < MAX_STEPS && in->left > 0; i++) {
		switch (fuzz_take(in, 1) % 32) {
		case 0:
			rename_at_host(in);
			break;
		case 1:
			s = sleep_and_wake(s, in);
			break;
		case 2:
			share_server_reset(s);
			break;
		default:
			request(s, in);
			break;
		}
	}
	share_server_close(s);
}

static void wake_from(const uint8_t *record, size_t size)
{
	struct share_server *s;
	struct err err = {0};
	int ret = share_record_check(record, size, &err);

	fuzz_require_reason(ret, &err);
	begin_folder();
	begin_files();
	s = open_server(false);
	fuzz_require((share_server_load(s, record, size, &err) == 0) == (ret == 0));
	share_server_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	unsigned fds = fuzz_open_fds();
	struct stat before, after;

	begin_folder();
	fuzz_require(stat(outside, &before) == 0);
	if (fuzz_take(&in, 1) % 4 == 0)
		wake_from(in.at, in.left);
	else
		play(&in);
	fuzz_require(stat(outside, &after) == 0);
	fuzz_require(before.st_ino == after.st_ino && before.st_size == after.st_size &&
		     before.st_mode == after.st_mode &&
		     before.st_ctim.tv_sec == after.st_ctim.tv_sec &&
		     before.st_ctim.tv_nsec == after.st_ctim.tv_nsec && after.st_nlink == 1);
	fuzz_require(fuzz_open_fds() == fds);
	return 0;
}
