/* The memory of files found good. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
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
