/* Trees as tar streams for `torpor cp`: there and back, and streams of a hostile guest. */
#include <archive.h>
#include <archive_entry.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/tar_tree.h"

static char folder[] = "/tmp/torpor-tar.XXXXXX";
static struct buf stream;
static size_t taken;

static void setup(void)
{
	cr_assert_not_null(mkdtemp(folder));
	cr_assert(eq(int, chdir(folder), 0));
	cr_assert(eq(int, mkdir("outside", 0755), 0));
	cr_assert(eq(int, mkdir("in", 0755), 0));
}

static void teardown(void)
{
	char command[64];

	buf_free(&stream);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	cr_assert(eq(int, system(command), 0));
}

TestSuite(tar_tree, .init = setup, .fini = teardown);

static int put(void *opaque, const uint8_t *data, size_t len, struct err *err)
{
	(void)opaque;
	(void)err;
	cr_assert_not_null(buf_add(&stream, data, len));
	return 0;
}

static ssize_t get(void *opaque, const uint8_t **data, struct err *err)
{
	size_t len = stream.len - taken;

	(void)opaque;
	(void)err;
	if (len > 1000)
		len = 1000;
	*data = stream.data + taken;
	taken += len;
	return (ssize_t)len;
}

static int unpack(const char *from, const char *to, struct err *err)
{
	unsigned entries;

	taken = 0;
	cr_assert(eq(int, chdir("in"), 0));
	int ret = tar_unpack(get, NULL, from, to, &entries, err);
	cr_assert(eq(int, chdir(".."), 0));
	return ret;
}

static void make(const char *script)
{
	cr_assert(eq(int, system(script), 0));
}

Test(tar_tree, there_and_back)
{
	struct err err = {0};
	struct stat st;

	make("mkdir -p src/sub/empty; echo one >src/one; head -c 300000 /dev/urandom >src/sub/big;"
	     "ln -s ../one src/sub/link; chmod 640 src/one; chmod 711 src/sub; : >src/none;"
	     "truncate -s 5M src/sparse; echo x >>src/sparse; echo odd >src/$(printf "
	     "'a\\200\\n\"');"
	     "echo long >src/$(printf '%0200d' 1); mkfifo src/fifo; chmod 4755 src/none;"
	     "touch -d '2001-02-03 04:05:06' src/one src/sub");
	cr_assert(eq(int, tar_pack("src", "new", put, NULL, &err), 0), "%s", err.text);
	cr_assert(eq(int, unpack("new", "other", &err), 0), "%s", err.text);
	make("rm src/fifo; diff -r --no-dereference src in/other");
	cr_assert(eq(int, stat("in/other/one", &st), 0));
	cr_assert(eq(uint, st.st_mode & 07777, 0640));
	cr_assert(eq(i64, st.st_mtime % 60, 6));
	cr_assert(eq(int, stat("in/other/sub", &st), 0));
	cr_assert(eq(uint, st.st_mode & 07777, 0711));
	cr_assert(eq(i64, st.st_mtime % 60, 6));
	cr_assert(eq(int, stat("in/other/none", &st), 0));
	cr_assert(eq(uint, st.st_mode & 07777, 0755), "the bits that change a user");
	/* One file under another name, and the contents of a folder. */
	buf_free(&stream);
	cr_assert(eq(int, tar_pack("src/one", "1", put, NULL, &err), 0));
	cr_assert(eq(int, unpack("1", "eins", &err), 0), "%s", err.text);
	make("cmp src/one in/eins");
	buf_free(&stream);
	cr_assert(eq(int, tar_pack("src/.", ".", put, NULL, &err), 0));
	cr_assert(eq(int, unpack(".", ".", &err), 0), "%s", err.text);
	make("diff -r --no-dereference src/sub in/sub && cmp src/one in/one");
}

struct entry {
	const char *name;
	unsigned type;
	const char *link; /* of a symbolic link, or with S_IFREG a hard one */
};

/* A stream of these, each file with "evil" in it. */
static void make_stream(const struct entry *entries, size_t n)
{
	static uint8_t made[1 << 16];
	struct archive *a = archive_write_new();
	size_t used;

	archive_write_set_format_gnutar(a);
	archive_write_open_memory(a, made, sizeof(made), &used);
	for (size_t i = 0; i < n; i++) {
		struct archive_entry *e = archive_entry_new();
		bool data = entries[i].type == S_IFREG && entries[i].link == NULL;

		archive_entry_set_pathname(e, entries[i].name);
		archive_entry_set_filetype(e, entries[i].type);
		archive_entry_set_perm(e, 0777);
		archive_entry_set_size(e, data ? 4 : 0);
		if (entries[i].type == S_IFLNK)
			archive_entry_set_symlink(e, entries[i].link);
		else if (entries[i].link != NULL)
			archive_entry_set_hardlink(e, entries[i].link);
		cr_assert(ge(int, archive_write_header(a, e), ARCHIVE_WARN));
		if (data)
			archive_write_data(a, "evil", 4);
		archive_entry_free(e);
	}
	archive_write_close(a);
	archive_write_free(a);
	buf_free(&stream);
	buf_add(&stream, made, used);
}

#define STREAM(...)                                                                                \
	make_stream((const struct entry[]){__VA_ARGS__},                                           \
		    sizeof((const struct entry[]){__VA_ARGS__}) / sizeof(struct entry))

static void is_refused(const char *from, const char *to)
{
	struct err err = {0};

	cr_assert(lt(int, unpack(from, to, &err), 0));
	cr_assert_str_not_empty(err.text);
	make("[ -z \"$(ls outside)\" ] && [ -z \"$(find . -name evil)\" ]");
	make("rm -rf in; mkdir in");
}

Test(tar_tree, nothing_is_written_elsewhere)
{
	STREAM({"../outside/evil", S_IFREG, NULL});
	is_refused("x", "x");
	is_refused(".", ".");
	STREAM({"x/../../outside/evil", S_IFREG, NULL});
	is_refused("x", "x");
	is_refused(".", ".");
	STREAM({"x/..", S_IFREG, NULL});
	is_refused("x", "x");
	STREAM({"other", S_IFREG, NULL});
	is_refused("x", "x");
	STREAM({"xy", S_IFREG, NULL});
	is_refused("x", "x");
	STREAM({"x", S_IFLNK, "../outside"}, {"x/evil", S_IFREG, NULL});
	is_refused("x", "x");
	is_refused(".", ".");
	STREAM({"x", S_IFDIR, NULL}, {"x/l", S_IFLNK, "../../outside"},
	       {"x/l/evil", S_IFREG, NULL});
	is_refused("x", "x");
	STREAM({"x", S_IFDIR, NULL}, {"x/l", S_IFLNK, "../../outside"},
	       {"x/l/evil", S_IFDIR, NULL});
	is_refused("x", "x");
	STREAM({"x", S_IFREG, "../outside"});
	is_refused("x", "x");
}

Test(tar_tree, absolute_names_are_refused)
{
	char name[128];

	snprintf(name, sizeof(name), "%s/outside/evil", folder);
	STREAM({name, S_IFREG, NULL});
	is_refused("x", "x");
	is_refused(".", ".");
	STREAM({"x", S_IFDIR, NULL}, {"x/h", S_IFREG, "/etc/passwd"});
	is_refused("x", "x");
}

/* A link that is there already, and that the guest knows of, is no way out either. */
Test(tar_tree, links_that_are_there)
{
	struct err err = {0};

	make("echo mine >outside/file; ln -s ../outside/file in/x");
	STREAM({"x", S_IFREG, NULL});
	cr_assert(eq(int, unpack("x", "x", &err), 0), "%s", err.text);
	make("[ \"$(cat outside/file)\" = mine ] && [ ! -L in/x ] && [ \"$(cat in/x)\" = evil ]");
	make("rm outside/file; rm -rf in; mkdir in; ln -s ../outside in/x");
	STREAM({"x/evil", S_IFREG, NULL});
	is_refused("x", "x");
}

/* Written through a hard link to a symbolic link of its own. */
Test(tar_tree, a_hard_link_to_a_symbolic_link)
{
	struct err err = {0};

	make("echo mine >outside/file");
	STREAM({"x", S_IFDIR, NULL}, {"x/l", S_IFLNK, "../../outside/file"},
	       {"x/h", S_IFREG, "x/l"}, {"x/h", S_IFREG, NULL});
	(void)unpack("x", "x", &err);
	make("[ \"$(cat outside/file)\" = mine ]");
}

Test(tar_tree, devices_are_left_out)
{
	struct err err = {0};

	STREAM({"x", S_IFDIR, NULL}, {"x/null", S_IFCHR, NULL}, {"x/disk", S_IFBLK, NULL},
	       {"x/pipe", S_IFIFO, NULL}, {"x/file", S_IFREG, NULL});
	cr_assert(eq(int, unpack("x", "x", &err), 0), "%s", err.text);
	make("[ \"$(ls in/x)\" = file ]");
}

Test(tar_tree, damaged_streams)
{
	struct err err = {0};
	size_t whole;

	STREAM({"x", S_IFDIR, NULL}, {"x/file", S_IFREG, NULL});
	whole = stream.len;
	stream.len = 1100; /* in the second header, and then in its data */
	cr_assert(lt(int, unpack("x", "x", &err), 0));
	stream.len = whole;
	memset(stream.data, 'x', 512);
	cr_assert(lt(int, unpack("x", "x", &err), 0));
	memset(stream.data, 0, stream.len);
	cr_assert(eq(int, unpack("x", "x", &err), 0));
	for (size_t i = 0; i < stream.len; i++)
		stream.data[i] = (uint8_t)(i * 2654435761u >> 11);
	cr_assert(lt(int, unpack("x", "x", &err), 0));
}
