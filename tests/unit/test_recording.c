/* Recordings: a recipe's commands against what it says; and what a guest's shell lists of it. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "golden/recording.h"
#include "golden/survey.h"

static char folder[] = "/tmp/torpor-recording.XXXXXX";

static void enter_folder(void)
{
	cr_assert(ne(ptr, mkdtemp(folder), NULL));
	cr_assert(zero(int, chdir(folder)));
}

static void leave_folder(void)
{
	(void)unlink("web.t");
	(void)rmdir(folder);
}

static void write_recipe(const char *text)
{
	cleanup_file FILE *f = fopen("web.t", "w");

	cr_assert(ne(ptr, f, NULL));
	cr_assert(ge(int, fputs(text, f), 0));
}

/* The guest is this host's shell. */
static int run_here(void *opaque, const char *command, unsigned seconds, size_t most,
		    struct buf *output, int *status, struct err *err)
{
	const struct test_host host = {.env = environ, .stop_fd = -1};

	(void)opaque;
	(void)most;
	return host_command_run(command, &host, seconds, output, status, err);
}

static const struct test_place here = {
	.guest = {.run = run_here},
	.host = {.env = (char *const[]){NULL}, .stop_fd = -1},
};

TestSuite(recording, .init = enter_folder, .fini = leave_folder);

Test(recording, commands_that_print_what_the_recipe_says_do_not_differ)
{
	cleanup_recording struct recording r = {0};
	struct err err;

	write_recipe("from: cold.torpor\n\n  $ echo in the guest\n  in the guest\n  % seq 2\n  1\n"
		     "  2\n");
	cr_assert(zero(i32, recording_read(&r, "web.t", &err)), "%s", err.text);
	cr_expect(eq(str, r.recipe.from, (char *)"cold.torpor"));
	cr_expect(not(recording_differs(&r)));
	cr_assert(zero(i32, recording_run(&r, &here, &err)), "%s", err.text);
	cr_expect(not(recording_differs(&r)));
	cr_expect(eq(sz, r.result.nsteps, 2));
}

Test(recording, a_difference_is_a_diff_and_can_be_accepted)
{
	static const char accepted[] = "from: cold.torpor\n\n  % seq 2\n  1\n  2\n";
	cleanup_recording struct recording r = {0};
	cleanup_buf struct buf diff = {0};
	cleanup_file FILE *f = NULL;
	char text[256];
	struct stat st;
	struct err err;

	write_recipe("from: cold.torpor\n\n  % seq 2\n  1\n  9\n");
	cr_assert(zero(int, chmod("web.t", 0640)));
	cr_assert(zero(i32, recording_read(&r, "web.t", &err)), "%s", err.text);
	cr_assert(zero(i32, recording_run(&r, &here, &err)), "%s", err.text);
	cr_assert(recording_differs(&r));
	recording_diff(&r, &diff);
	buf_add(&diff, "", 1);
	cr_expect(ne(ptr, (void *)strstr((char *)diff.data, "-  9\n+  2\n"), NULL), "%s",
		  (char *)diff.data);
	cr_assert(zero(i32, recording_accept(&r, &err)), "%s", err.text);
	f = fopen("web.t", "r");
	cr_assert(ne(ptr, f, NULL));
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	cr_expect(eq(str, text, (char *)accepted));
	cr_assert(zero(int, stat("web.t", &st)));
	cr_expect(eq(u32, st.st_mode & 07777, 0640));
}

Test(recording, errors_name_the_recipe)
{
	struct recording r;
	struct err err;

	write_recipe("from: cold.torpor\ncolour: red\n");
	cr_expect(lt(i32, recording_read(&r, "web.t", &err), 0));
	cr_expect(eq(int, err.kind, ERR_USAGE));
	cr_expect(zero(int, strncmp(err.text, "web.t: line 2: a recipe has no 'colour:'", 40)),
		  "%s", err.text);
	cr_expect(eq(i32, recording_read(&r, "no.t", &err), -ENOENT));
	cr_expect(eq(int, err.kind, ERR_NOT_FOUND));
	cr_expect(zero(int, strncmp(err.text, "no.t: ", 6)), "%s", err.text);
}

/* What scripts print that are run in its place. */
struct lister {
	const char *files;
	int status; /* of the script that lists processes */
};

static int list(void *opaque, const char *command, unsigned seconds, size_t most,
		struct buf *output, int *status, struct err *err)
{
	const struct lister *l = opaque;
	const char *text = "";

	(void)err;
	cr_expect(ge(u32, seconds, 60));
	cr_expect(ge(sz, most, 64u << 20));
	*status = 0;
	if (command == survey_script(SURVEY_FILES))
		text = l->files;
	else if (command == survey_script(SURVEY_PROCESSES))
		*status = l->status;
	else if (command == survey_script(SURVEY_PACKAGES))
		text = "redis 7.0\n";
	buf_add(output, text, strlen(text));
	return 0;
}

#define ROOT_ONLY ".//41ed 0 0 4096 0:0 .\n=\n"

Test(survey, all_parts_are_taken_and_compared)
{
	const struct guest_tree_excludes none = {0};
	struct lister l = {.files = ROOT_ONLY};
	const struct test_guest guest = {.run = list, .opaque = &l};
	cleanup_survey struct survey was = {0}, is = {0};
	cleanup_buf struct buf words = {0};
	struct err err;

	cr_assert(zero(i32, survey_take(&was, &guest, &none, &err)), "%s", err.text);
	cr_expect(eq(sz, was.part[SURVEY_FILES].n, 1));
	cr_expect(eq(sz, was.part[SURVEY_PACKAGES].n, 1));
	l.files = ".//41ed 0 0 4096 0:0 .\n./x//43ff 0 0 4096 0:0 ./x\n=\n";
	cr_assert(zero(i32, survey_take(&is, &guest, &none, &err)), "%s", err.text);
	cr_expect(eq(sz, survey_compare(&was, &is, &words), 1));
	buf_add(&words, "", 1);
	cr_expect(eq(str, (char *)words.data, (char *)"file /x: new\n"));
}

Test(survey, a_script_that_fails_or_lists_nothing_is_an_error_that_names_the_part)
{
	const struct guest_tree_excludes none = {0};
	struct lister l = {.files = "sh: find: not found\n"};
	const struct test_guest guest = {.run = list, .opaque = &l};
	cleanup_survey struct survey no_find = {0}, no_processes = {0};
	struct err err;

	cr_expect(lt(i32, survey_take(&no_find, &guest, &none, &err), 0));
	cr_expect(ne(ptr, (void *)strstr(err.text, "each file of the guest: "), NULL), "%s",
		  err.text);
	l = (struct lister){.files = ROOT_ONLY, .status = 127};
	cr_expect(lt(i32, survey_take(&no_processes, &guest, &none, &err), 0));
	cr_expect(ne(ptr, (void *)strstr(err.text, "each process of the guest: the script"), NULL),
		  "%s", err.text);
}
