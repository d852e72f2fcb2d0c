/* The memory of files found good. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "format/verified.h"
#include "sample.h"

static struct stat st;

static void begin(void)
{
	sample_begin();
	cr_assert_eq(sample_shell("echo hello > file"), 0);
	cr_assert_eq(stat("file", &st), 0);
}

TestSuite(verified, .init = begin, .fini = sample_end);

Test(verified, remembers_and_forgets)
{
	cr_assert_not(verified_known(&st));
	verified_remember(&st);
	cr_assert(verified_known(&st));
	verified_remember(&st);
	cr_assert(verified_known(&st));
	verified_forget(&st);
	cr_assert_not(verified_known(&st));
}

Test(verified, a_change_of_the_file_is_another_file)
{
	struct stat now;

	verified_remember(&st);
	usleep(20000);
	cr_assert_eq(sample_shell("printf j | dd of=file conv=notrunc status=none && "
				  "touch -r /etc/passwd file"),
		     0);
	cr_assert_eq(stat("file", &now), 0);
	cr_assert_not(verified_known(&now));
	cr_assert_not(verified_same(&st, &now));
	/* Another name, another inode. */
	cr_assert_eq(sample_shell("cp -p file copy"), 0);
	cr_assert_eq(stat("copy", &now), 0);
	cr_assert_not(verified_known(&now));
}

Test(verified, what_others_may_write_is_not_believed)
{
	verified_remember(&st);
	cr_assert(verified_known(&st));
	cr_assert_eq(sample_shell("chmod g+w torpor/verified"), 0);
	cr_assert_not(verified_known(&st));
	cr_assert_eq(sample_shell("chmod 700 torpor/verified && chmod o+w torpor/verified/*"), 0);
	cr_assert_not(verified_known(&st));
	cr_assert_eq(sample_shell("chmod 600 torpor/verified/*"), 0);
	cr_assert(verified_known(&st));
	cr_assert_eq(sample_shell("mv torpor/verified torpor/v && ln -s v torpor/verified"), 0);
	cr_assert_not(verified_known(&st));
}

Test(verified, a_damaged_entry_is_not_believed)
{
	verified_remember(&st);
	cr_assert_eq(sample_shell("truncate -s -2 torpor/verified/*"), 0);
	cr_assert_not(verified_known(&st));
}

Test(verified, without_a_home_nothing_is_remembered)
{
	unsetenv("XDG_CACHE_HOME");
	unsetenv("HOME");
	verified_remember(&st);
	cr_assert_not(verified_known(&st));
	setenv("XDG_CACHE_HOME", "relative", 1);
	verified_remember(&st);
	cr_assert_eq(access("relative", F_OK), -1);
}

Test(verified, the_memory_is_bounded)
{
	verified_remember(&st);
	cr_assert_eq(sample_shell("cd torpor/verified && seq 2000 | xargs touch"), 0);
	verified_remember(&st);
	cr_assert(verified_known(&st));
	cr_assert_eq(sample_shell("test $(ls torpor/verified | wc -l) = 1"), 0);
}

/* However soon a file is written to again: its times differ once it was settled. */
Test(verified, a_write_within_the_same_tick_is_seen)
{
	int fd = open("young", O_RDWR | O_CREAT, 0600);

	for (unsigned i = 0; i < 50; i++) {
		struct stat before, after;

		cr_assert(eq(int, (int)pwrite(fd, "a", 1, 0), 1));
		cr_assert(eq(int, fstat(fd, &before), 0));
		cr_assert(verified_settle(&before));
		cr_assert(eq(int, (int)pwrite(fd, "b", 1, 0), 1));
		cr_assert(eq(int, fstat(fd, &after), 0));
		cr_assert(not(verified_same(&before, &after)), "round %u", i);
	}
	close(fd);
}

Test(verified, times_in_whole_seconds_or_ahead_are_not_trusted)
{
	struct stat when = {0};
	time_t now = time(NULL);

	when.st_mtim.tv_sec = when.st_ctim.tv_sec = now;
	cr_assert(not(verified_settle(&when)));
	when.st_mtim.tv_sec = when.st_ctim.tv_sec = now - 10;
	cr_assert(verified_settle(&when));
	when.st_mtim = when.st_ctim = (struct timespec){now + 3600, 5};
	cr_assert(not(verified_settle(&when)));
}

static struct verified_set set_of(const char *first, const char *second)
{
	struct verified_set set;
	struct stat other;

	cr_assert_eq(stat("other", &other), 0);
	verified_set_init(&set, "sha256:manifest");
	verified_set_add(&set, &st, first);
	verified_set_add(&set, &other, second);
	return set;
}

Test(verified, a_set_is_known_as_a_whole)
{
	struct verified_set set, again;

	cr_assert_eq(sample_shell("echo world > other"), 0);
	set = set_of("sha256:a", "sha256:b");
	cr_assert_not(verified_set_known(&set));
	verified_set_remember(&set);
	again = set_of("sha256:a", "sha256:b");
	cr_assert(verified_set_same(&set, &again));
	cr_assert(verified_set_known(&again));
	/* The same files for other contents. */
	again = set_of("sha256:b", "sha256:a");
	cr_assert_not(verified_set_known(&again));
	/* One of them is another file. */
	cr_assert_eq(sample_shell("echo World > new && mv new other"), 0);
	again = set_of("sha256:a", "sha256:b");
	cr_assert_not(verified_set_same(&set, &again));
	cr_assert_not(verified_set_known(&again));
	verified_set_forget(&set);
	cr_assert_not(verified_set_known(&set));
}
