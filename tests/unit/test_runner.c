/* The runner of tests, with machines that are none: what it does when there is no room for one, when
 * one does not start, when it is stopped, and how it names what it saves. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "golden/runner.h"

#define WORKERS 8u

/* Machines whose guest prints "out" to everything. */
struct fake {
	unsigned room;		/* so many have room; others are told that there is none */
	const char *broken;	/* the path of a test whose machine does not start */
	int stop_fd;		/* made readable by a command "stop" */
	unsigned refused_first; /* no machine is there before so many were refused */
	_Atomic unsigned machines, nrefused, begun, looks, waiting;
	bool there[WORKERS + 1]; /* each worker has its own */
	char saved[8][200];
	_Atomic unsigned nsaved;
	const char *check_fs;
	bool update;
	/* What the runner told. */
	char told[32][32];
	unsigned ntold;
	_Atomic unsigned nretired;
	size_t most_done;
};

static void until_at_least(const _Atomic unsigned *number, unsigned least)
{
	while (*number < least)
		usleep(1000);
}

static int run_in_guest(void *opaque, const char *command, unsigned seconds, size_t most,
			struct buf *output, int *status, struct err *err)
{
	static const char files[] = ".//41ed 0 0 9 0:0 .\n=\n";
	struct fake *f = opaque;

	(void)seconds;
	(void)most;
	/* The script that lists files. */
	if (strchr(command, '\n') != NULL) {
		buf_add(output, files, sizeof(files) - 1);
		return 0;
	}
	*status = 0;
	if (strcmp(command, "stop") == 0)
		(void)eventfd_write(f->stop_fd, 1);
	if (strcmp(command, "die") == 0)
		return err_set(err, ERR_FAILED, "the machine is gone");
	if (strcmp(command, "starve") == 0) {
		until_at_least(&f->waiting, 1);
		err_set(err, ERR_FAILED, "the machine was ended for its memory");
		return -ENOMEM;
	}
	if (strcmp(command, "wait") == 0) {
		f->waiting++;
		until_at_least(&f->nretired, 1);
	}
	buf_add(output, "out\n", 4);
	return 0;
}

static int begin(void *opaque, unsigned worker, const char *path, const struct transcript *t,
		 struct test_world *world, struct err *err)
{
	struct fake *f = opaque;

	(void)t;
	f->begun++;
	if (f->broken != NULL && strcmp(path, f->broken) == 0) {
		f->there[worker] = false;
		return err_set(err, ERR_FAILED, "it does not start");
	}
	if (!f->there[worker] && f->machines++ >= f->room) {
		f->machines--;
		f->nrefused++;
		world->no_room = true;
		return err_sys(err, ENOMEM, "start");
	}
	until_at_least(&f->nrefused, f->refused_first);
	f->there[worker] = true;
	world->guest = (struct test_guest){.run = run_in_guest, .opaque = f};
	world->golden = strdup("fake");
	return 0;
}

static int save(void *opaque, unsigned worker, const char *file, uint64_t *bytes, struct err *err)
{
	struct fake *f = opaque;

	(void)worker;
	if (strstr(file, "full") != NULL)
		return err_sys(err, ENOSPC, "write %s", file);
	snprintf(f->saved[f->nsaved++], sizeof(f->saved[0]), "%s", file);
	*bytes = 5;
	return 0;
}

static void look(void *opaque, unsigned worker, struct test_result *result)
{
	struct fake *f = opaque;

	(void)worker;
	(void)result;
	f->looks++;
}

static void end(void *opaque, unsigned worker)
{
	struct fake *f = opaque;

	f->there[worker] = false;
}

static void on_result(void *opaque, const struct runner_state *state,
		      const struct test_result *result)
{
	struct fake *f = opaque;

	(void)state;
	snprintf(f->told[f->ntold++], sizeof(f->told[0]), "%s", result->path);
}

static void on_progress(void *opaque, const struct runner_state *state)
{
	struct fake *f = opaque;

	f->most_done = state->done;
}

static void on_retired(void *opaque, unsigned worker, const struct err *why)
{
	struct fake *f = opaque;

	(void)worker;
	(void)why;
	f->nretired++;
}

/* In a folder of its own, which becomes the current one. */
static void enter_folder(void)
{
	char folder[] = "/tmp/torpor-runner.XXXXXX";

	cr_assert(ne(ptr, mkdtemp(folder), NULL));
	cr_assert(zero(i32, chdir(folder)));
}

static void leave_folder(void)
{
	char folder[200], command[300];

	cr_assert(ne(ptr, getcwd(folder, sizeof(folder)), NULL));
	cr_assert(ne(ptr, strstr(folder, "/torpor-runner."), NULL));
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	cr_assert(zero(i32, system(command)));
}

static void add_test(struct test_list *list, const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	cr_assert(ne(ptr, file, NULL));
	fputs(text, file);
	fclose(file);
	list->path = realloc(list->path, (list->n + 1) * sizeof(*list->path));
	list->path[list->n++] = strdup(path);
}

static void run_all(struct fake *f, const struct test_list *list, unsigned workers, unsigned rounds,
		    struct test_report *report)
{
	const struct test_machines machines = {
		.begin = begin, .save = save, .look = look, .end = end, .opaque = f};
	const struct runner_params params = {
		.tests = list,
		.workers = workers,
		.rounds = rounds,
		.shard = 1,
		.shards = 1,
		.failed = "failed",
		.check_fs = f->check_fs,
		.update = f->update,
		.stop_fd = f->stop_fd,
		.machines = &machines,
		.result = on_result,
		.progress = on_progress,
		.retired = on_retired,
		.opaque = f,
	};
	struct err err = {0};

	cr_assert(zero(i32, runner_run(&params, report, &err)), "%s", err.text);
	for (unsigned i = 1; i <= WORKERS; i++)
		cr_expect(zero(i32, f->there[i]));
	cr_expect(eq(u32, f->ntold, (unsigned)report->n));
}

Test(runner, fewer_machines_than_workers_do_it_all, .init = enter_folder, .fini = leave_folder)
{
	for (unsigned room = 1; room <= WORKERS; room++) {
		cleanup_test_list struct test_list list = {0};
		cleanup_test_report struct test_report report = {0};
		struct fake f = {.room = room, .stop_fd = -1};

		for (unsigned i = 0; i < 10; i++) {
			char name[8];

			snprintf(name, sizeof(name), "%u.t", i);
			add_test(&list, name, "  $ x\n  out\n");
		}
		run_all(&f, &list, WORKERS, 3, &report);
		cr_expect(eq(sz, report.n, 30));
		cr_expect(eq(sz, test_report_count(&report, TEST_PASSED), 30));
		cr_expect(le(u32, f.nretired, WORKERS - room));
		cr_expect(eq(sz, f.most_done, 30));
		/* In order, whoever was first. */
		for (unsigned i = 0; i < 30; i++)
			cr_expect(eq(str, f.told[i], list.path[i % 10]));
	}
}

Test(runner, who_is_just_getting_a_machine_may_have_the_room, .init = enter_folder,
     .fini = leave_folder)
{
	cleanup_test_list struct test_list list = {0};
	cleanup_test_report struct test_report report = {0};
	struct fake f = {.room = 1, .refused_first = WORKERS - 1, .stop_fd = -1};

	for (unsigned i = 0; i < WORKERS; i++) {
		char name[8];

		snprintf(name, sizeof(name), "%u.t", i);
		add_test(&list, name, "  $ x\n  out\n");
	}
	run_all(&f, &list, WORKERS, 1, &report);
	cr_expect(eq(sz, test_report_count(&report, TEST_PASSED), WORKERS));
	cr_expect(eq(u32, f.nretired, WORKERS - 1));
}

Test(runner, no_room_for_any_machine_is_said, .init = enter_folder, .fini = leave_folder)
{
	cleanup_test_list struct test_list list = {0};
	cleanup_test_report struct test_report report = {0};
	struct fake f = {.room = 0, .stop_fd = -1};

	add_test(&list, "a.t", "  $ x\n  out\n");
	add_test(&list, "b.t", "  $ x\n  out\n");
	run_all(&f, &list, 4, 1, &report);
	cr_expect(eq(sz, test_report_count(&report, TEST_BROKEN), 2));
	cr_expect(eq(str, report.result[0].error, (char *)"start: Cannot allocate memory"));
}

/* In the middle of a test: its worker leaves the room to the others, and the last one goes on. */
Test(runner, a_machine_that_was_ended_for_its_memory, .init = enter_folder, .fini = leave_folder)
{
	cleanup_test_list struct test_list list = {0};
	cleanup_test_report struct test_report report = {0};
	struct fake f = {.room = WORKERS, .stop_fd = -1};

	add_test(&list, "a.t", "  $ x\n  out\n  $ starve\n  $ x\n");
	add_test(&list, "b.t", "  $ wait\n  out\n");
	add_test(&list, "c.t", "  $ starve\n");
	add_test(&list, "d.t", "  $ x\n  out\n");
	run_all(&f, &list, 2, 1, &report);
	cr_expect(eq(str, report.result[0].error,
		     (char *)"line 3: the machine was ended for its memory"));
	cr_expect(eq(i32, (int)report.result[1].outcome, TEST_PASSED));
	cr_expect(eq(i32, (int)report.result[2].outcome, TEST_BROKEN));
	cr_expect(eq(i32, (int)report.result[3].outcome, TEST_PASSED));
	cr_expect(eq(u32, f.nretired, 1));
	cr_expect(zero(i32, report.interrupted));
}

Test(runner, what_cannot_be_run_is_no_end, .init = enter_folder, .fini = leave_folder)
{
	cleanup_test_list struct test_list list = {0};
	cleanup_test_report struct test_report report = {0};
	struct fake f = {.room = WORKERS, .broken = "b.t", .stop_fd = -1};

	add_test(&list, "a.t", "  $ x\n  out\n\n  $ die\n  $ y\n");
	add_test(&list, "b.t", "  $ x\n  out\n");
	add_test(&list, "c.t", "timeout: never\n");
	add_test(&list, "d.t", "  $ x\n  out\n");
	run_all(&f, &list, 2, 1, &report);
	cr_expect(eq(str, report.result[0].error, (char *)"line 4: the machine is gone"));
	cr_expect(eq(str, report.result[1].error, (char *)"it does not start"));
	cr_expect(ne(ptr, strstr(report.result[2].error, "timeout"), NULL));
	cr_expect(eq(i32, (int)report.result[3].outcome, TEST_PASSED));
	cr_expect(eq(u32, f.looks, 2));
	cr_expect(zero(i32, report.interrupted));
}

Test(runner, a_stop_keeps_what_was_done, .init = enter_folder, .fini = leave_folder)
{
	cleanup_test_list struct test_list list = {0};
	cleanup_test_report struct test_report report = {0};
	struct fake f = {.room = 1, .stop_fd = eventfd(0, EFD_CLOEXEC)};

	add_test(&list, "a.t", "  $ x\n  other\n");
	add_test(&list, "b.t", "  $ stop\n  out\n  $ y\n  out\n");
	add_test(&list, "c.t", "  $ x\n  out\n");
	run_all(&f, &list, 1, 2, &report);
	cr_assert(eq(sz, report.n, 2));
	cr_expect(eq(i32, (int)report.result[0].outcome, TEST_FAILED));
	cr_expect(eq(str, report.result[1].error, (char *)"interrupted"));
	cr_expect(eq(i32, report.interrupted, 1));
	/* What is kept can still be read. */
	cr_expect(ne(ptr, strstr(report.result[0].diff, "-  other\n+  out\n"), NULL));
	cr_expect(eq(ptr, (void *)report.result[0].edits.transcript,
		     (void *)&report.result[0].transcript));
	close(f.stop_fd);
}

Test(runner, saved_machines_have_names_of_their_own, .init = enter_folder, .fini = leave_folder)
{
	cleanup_test_list struct test_list list = {0};
	cleanup_test_report struct test_report report = {0};
	struct fake f = {.room = 1, .stop_fd = -1};

	mkdir("a", 0700);
	add_test(&list, "a/b.t", "  $ x\n  other\n  $ y\n  other\n");
	add_test(&list, "a-b.t", "  $ x\n  other\n");
	add_test(&list, "./a/full.t", "  $ x\n  other\n");
	run_all(&f, &list, 1, 3, &report);
	/* Once a test, at its first difference. */
	cr_assert(eq(u32, f.nsaved, 2));
	cr_expect(eq(str, f.saved[0], (char *)"failed/a-b.torpor"));
	cr_expect(eq(str, f.saved[1], (char *)"failed/a-b.2.torpor"));
	cr_expect(eq(str, report.result[0].saved, (char *)"failed/a-b.torpor"));
	cr_expect(eq(u64, report.result[0].saved_bytes, 5));
	cr_expect(eq(ptr, report.result[3].saved, NULL));
	cr_expect(eq(str, report.result[2].save_error,
		     (char *)"write failed/a-full.torpor: No space left on device"));
}

Test(runner, files_that_differ_from_their_listing_fail_a_test, .init = enter_folder,
     .fini = leave_folder)
{
	cleanup_test_list struct test_list list = {0};
	struct fake f = {.room = 8, .stop_fd = -1, .check_fs = "lists", .update = true};

	add_test(&list, "a.t", "  $ print\n  out\n");
	for (unsigned i = 0; i < 4; i++) {
		static const enum test_outcome wanted[] = {TEST_UPDATED, TEST_PASSED, TEST_FAILED,
							   TEST_BROKEN};
		cleanup_test_report struct test_report report = {0};

		if (i == 2)
			cr_assert(zero(i32, system("sed -i '/^\\//s/drwx/d---/' lists/a.files")));
		if (i == 3)
			cr_assert(zero(int, unlink("lists/a.files")));
		run_all(&f, &list, 1, 1, &report);
		cr_assert(eq(sz, report.n, 1));
		cr_expect(eq(int, report.result[0].outcome, wanted[i]), "%u: %s", i,
			  report.result[0].error);
		if (i == 2)
			cr_expect(ne(ptr,
				     (void *)strstr(report.result[0].diff,
						    "--- lists/a.files\n+++ lists/a.files\n"
						    "@@ -2,1 +2,1 @@\n-/ d---r-xr-x"),
				     NULL),
				  "%s", report.result[0].diff);
		cr_expect(eq(u32, f.nsaved, i < 2 ? 0 : 1));
		f.update = false;
		f.ntold = 0;
	}
}
