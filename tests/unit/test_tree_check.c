/* A guest's files against an accepted listing. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "golden/tree_check.h"

static char folder[] = "/tmp/torpor-tree.XXXXXX";

static void enter_folder(void)
{
	cr_assert(ne(ptr, mkdtemp(folder), NULL));
	cr_assert(zero(int, chdir(folder)));
}

static void leave_folder(void)
{
	(void)unlink("a.files");
	(void)rmdir(folder);
}

static int print_files(void *opaque, const char *command, unsigned seconds, size_t most,
		       struct buf *output, int *status, struct err *err)
{
	(void)err;
	cr_expect(eq(ptr, (void *)command, (void *)guest_tree_script));
	cr_expect(ge(u32, seconds, 60));
	cr_expect(ge(sz, most, 64u << 20));
	*status = 0;
	buf_add(output, opaque, strlen(opaque));
	return 0;
}

static void expect_check(char *files, bool update, const char *wanted)
{
	const struct test_guest guest = {.run = print_files, .opaque = files};
	cleanup_buf struct buf diff = {0};
	struct err err;

	cr_assert(zero(i32, tree_check("a.files", &guest, update, &diff, &err)), "%s", err.text);
	buf_add(&diff, "", 1);
	cr_expect(eq(str, (char *)diff.data, (char *)wanted));
}

static void expect_text(const char *wanted)
{
	cleanup_file FILE *f = fopen("a.files", "r");
	char text[512];

	cr_assert(ne(ptr, f, NULL));
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	cr_expect(eq(str, text, (char *)wanted));
}

static char first[] = ".//41ed 0 0 9 0:0 .\n./a//41ed 0 0 9 0:0 ./a\n./b//41ed 0 0 9 0:0 ./b\n"
		      "./run//41ed 0 0 9 0:0 ./run\n./run/x//41ed 0 0 9 0:0 ./run/x\n=\n";
static char second[] = ".//41ed 0 0 9 0:0 .\n./b//41c0 0 0 9 0:0 ./b\n./c//41ed 0 0 9 0:0 ./c\n"
		       "./run//41ed 0 0 9 0:0 ./run\n./run/y//41ed 0 0 9 0:0 ./run/y\n=\n";

#define FIRST "/ drwxr-xr-x 0:0 - -\n/a drwxr-xr-x 0:0 - -\n/b drwxr-xr-x 0:0 - -\n"
#define HUNKS                                                                                      \
	"@@ -3,1 +2,0 @@\n-/a drwxr-xr-x 0:0 - -\n"                                                \
	"@@ -4,1 +3,1 @@\n-/b drwxr-xr-x 0:0 - -\n+/b drwx------ 0:0 - -\n"                        \
	"@@ -4,0 +4,1 @@\n+/c drwxr-xr-x 0:0 - -\n"

TestSuite(tree_check, .init = enter_folder, .fini = leave_folder);

Test(tree_check, a_listing_is_written_compared_and_accepted_anew)
{
	struct stat st;

	expect_check(first, true,
		     "--- a.files\n+++ a.files\n"
		     "@@ -1,0 +2,1 @@\n+/ drwxr-xr-x 0:0 - -\n"
		     "@@ -1,0 +3,1 @@\n+/a drwxr-xr-x 0:0 - -\n"
		     "@@ -1,0 +4,1 @@\n+/b drwxr-xr-x 0:0 - -\n");
	expect_text("exclude: /run /tmp\n" FIRST);
	expect_check(first, false, "");
	expect_check(second, false, "--- a.files\n+++ a.files\n" HUNKS);
	expect_text("exclude: /run /tmp\n" FIRST);
	cr_assert(zero(int, chmod("a.files", 0640)));
	expect_check(second, true, "--- a.files\n+++ a.files\n" HUNKS);
	expect_check(second, false, "");
	cr_assert(zero(int, stat("a.files", &st)));
	cr_expect(eq(u32, st.st_mode & 07777, 0640));
}

Test(tree_check, what_is_no_listing_is_refused_by_its_line)
{
	const struct test_guest guest = {.run = print_files, .opaque = first};
	cleanup_buf struct buf diff = {0};
	cleanup_file FILE *f = NULL;
	struct err err;

	cr_expect(eq(i32, tree_check("a.files", &guest, false, &diff, &err), -ENOENT));
	cr_expect(eq(int, err.kind, ERR_NOT_FOUND));
	f = fopen("a.files", "w");
	cr_assert(ne(ptr, f, NULL));
	fputs("exclude: /x\n/ drwxr-xr-x 0:0 - -\nnonsense\n", f);
	fflush(f);
	cr_expect(lt(i32, tree_check("a.files", &guest, false, &diff, &err), 0));
	cr_expect(ne(ptr, (void *)strstr(err.text, "a.files: line 3 is neither"), NULL), "%s",
		  err.text);
	cr_expect(eq(sz, diff.len, 0));
}
