/* What is in a guest: listings of both families of tools, and what differs, in words. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "golden/survey.h"

#define DIGEST_A "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4"
#define DIGEST_B "3d9f2889d6782537624a4e1a10e68a2ddd53e0ee8bac02676f27308f42ec6bf6"

/* GNU's stat, told to quote nothing, and its sha256sum. */
static const char gnu[] = ".//41ed 0 0 4096 0:0 .\n"
			  "./x//43ff 0 0 4096 0:0 ./x\n"
			  "./x/q'uo\\te//81a4 1 2 3 0:0 ./x/q'uo\\te\n"
			  "./x/new\nline//89ed 0 0 3 0:0 ./x/new\nline\n"
			  "./x/ln k//a1ff 0 0 8 0:0 ./x/ln k -> to there\n"
			  "./vda//61b0 0 6 0 fc:1 ./vda\n"
			  "=\n"
			  "\\" DIGEST_A "  ./x/q'uo\\\\te\n"
			  "\\" DIGEST_B "  ./x/new\\nline\n";
static const char busybox[] = "./x/new\nline//89ed 0 0 3 0:0 ./x/new\nline\n"
			      ".//41ed 0 0 4096 0:0 .\n"
			      "./x//43ff 0 0 4096 0:0 ./x\n"
			      "./vda//61b0 0 6 0 fc:1 ./vda\n"
			      "./x/q'uo\\te//81a4 1 2 3 0:0 ./x/q'uo\\te\n"
			      "./x/ln k//a1ff 0 0 8 0:0 './x/ln k' -> 'to there'\n"
			      "=\n" DIGEST_B "  ./x/new\nline\n" DIGEST_A "  ./x/q'uo\\te\n";

static int tree(struct inventory *inv, const char *output, const char *exclude, struct err *err)
{
	struct guest_tree_excludes excludes = {0};
	int ret = guest_tree_exclude(&excludes, exclude, err);

	if (ret == 0)
		ret = survey_parse(SURVEY_FILES, inv, output, strlen(output), &excludes, err);
	guest_tree_excludes_free(&excludes);
	return ret;
}

static void text_of(const struct inventory *inv, char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < inv->n; i++)
		at += (size_t)snprintf(text + at, size - at, "%s %s\n", inv->item[i].value,
				       inv->item[i].name);
}

Test(survey, files_are_listed_by_the_tools_of_either_family)
{
	static const char *const outputs[] = {gnu, busybox};
	static char wanted[] = "drwxr-xr-x 0:0 - - /\n"
			       "brw-rw---- 0:6 - 252,1 /vda\n"
			       "drwxrwxrwt 0:0 - - /x\n"
			       "lrwxrwxrwx 0:0 8 ->to\\x20there /x/ln\\x20k\n"
			       "-rwsr-xr-x 0:0 3 sha256:" DIGEST_B " /x/new\\x0aline\n"
			       "-rw-r--r-- 1:2 3 sha256:" DIGEST_A " /x/q'uo\\x5cte\n";

	for (size_t i = 0; i < 2; i++) {
		cleanup_inventory struct inventory inv = {0};
		char text[2048];
		struct err err;

		cr_assert(zero(i32, tree(&inv, outputs[i], "", &err)), "%s", err.text);
		text_of(&inv, text, sizeof(text));
		cr_expect(eq(str, text, (char *)wanted));
	}
}

Test(survey, a_folder_that_is_excluded_is_so_with_all_in_it)
{
	static const struct {
		const char *exclude;
		size_t left;
	} cases[] = {{"/x", 2}, {"/x/*", 3}, {"/vda /x/ln\\x20k", 4}, {"*line", 5}, {"/y", 6}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_inventory struct inventory inv = {0};
		struct err err;

		cr_assert(zero(i32, tree(&inv, gnu, cases[i].exclude, &err)), "%s", err.text);
		cr_expect(eq(sz, inv.n, cases[i].left), "%s", cases[i].exclude);
	}
}

/* Each text is cut at every byte, and none is read past its end. */
Test(survey, a_listing_that_is_cut_or_lies_is_an_error_or_shorter)
{
	static const char *const lies[] = {
		"",
		"find: not found\n",
		"=\n",
		"./a//81a4 0 0 3 0:0 ./b\n=\n",
		"./a//a1ff 0 0 18446744073709551615 0:0 ./a -> b\n=\n",
		"./a//a1ff 0 0 9 0:0 './a' -> 'b'\n=\n",
		"./a//zz 0 0 3 0:0 ./a\n=\n",
		"./a//81a4 0 0 3 0:0 ./a\n=\nnonsense\n",
	};
	struct err err;

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		cleanup_inventory struct inventory inv = {0};

		cr_expect(lt(i32, tree(&inv, lies[i], "", &err), 0), "%s", lies[i]);
	}
	for (size_t len = 0; len < sizeof(busybox); len++) {
		cleanup_inventory struct inventory inv = {0};
		cleanup_buf struct buf exact = {0};
		struct guest_tree_excludes none = {0};

		buf_add(&exact, busybox, len);
		(void)survey_parse(SURVEY_FILES, &inv, (char *)exact.data, len, &none, &err);
		cr_expect(le(sz, inv.n, 6));
	}
}

static void expect_words(enum survey_part part, const char *was, const char *is, const char *words)
{
	const struct guest_tree_excludes none = {0};
	cleanup_inventory struct inventory old = {0}, new = {0};
	cleanup_buf struct buf out = {0};
	struct err err;
	size_t n = 0, lines = 0;

	cr_assert(zero(i32, survey_parse(part, &old, was, strlen(was), &none, &err)), "%s",
		  err.text);
	cr_assert(zero(i32, survey_parse(part, &new, is, strlen(is), &none, &err)), "%s", err.text);
	n = survey_compare_part(part, &old, &new, &out);
	buf_add(&out, "", 1);
	cr_expect(eq(str, (char *)out.data, (char *)words));
	for (const char *c = words; *c != '\0'; c++)
		lines += *c == '\n';
	cr_expect(eq(sz, n, lines));
}

Test(survey, what_differs_is_told_in_words)
{
	expect_words(SURVEY_FILES,
		     "./a//81a4 0 0 3 0:0 ./a\n./b//81a4 0 0 3 0:0 ./b\n./l//a1ff 0 0 1 0:0 ./l -> "
		     "a\n=\n" DIGEST_A "  ./a\n" DIGEST_A "  ./b\n",
		     "./a//8180 0 5 4 0:0 ./a\n./c//81a4 0 0 3 0:0 ./c\n./l//a1ff 0 0 1 0:0 ./l -> "
		     "b\n=\n" DIGEST_B "  ./a\n" DIGEST_A "  ./c\n",
		     "file /a: mode -rw-------, was -rw-r--r--; owner 0:5, was 0:0; size 4, was 3; "
		     "other content\n"
		     "file /b: gone\nfile /c: new\nfile /l: ->b, was ->a\n");
	expect_words(SURVEY_PROCESSES, "0 sh -c x\n7 nginx\n0 sh -c x\n",
		     "0 sh -c x\n0 getty \001\n",
		     "process 0\\x20getty\\x20\\x01: new\nprocess 0\\x20sh\\x20-c\\x20x: 1, was 2\n"
		     "process 7\\x20nginx: gone\n");
	expect_words(SURVEY_PACKAGES, "redis 7.0\nlibc 2.36\n", "libc 2.36\nredis 7.2\nnew 1\n",
		     "package new: new, 1\npackage redis: 7.2, was 7.0\n");
	expect_words(SURVEY_PORTS, "",
		     "@ tcp\n  sl  local_address rem_address   st tx_queue\n"
		     "   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000\n"
		     "   1: 0100007F:18EC 0100007F:0001 01 00000000:00000000 00:00000000\n"
		     "@ tcp6\n   0: 00000000000000000000000001000000:0050 "
		     "00000000000000000000000000000000:0000 0A 0\n"
		     "@ udp\n  12: 00000000:0044 00000000:0000 07 0\n",
		     "port tcp:127.0.0.1:6379: new\nport tcp:[::1]:80: new\n"
		     "port udp:0.0.0.0:68: new\n");
}
