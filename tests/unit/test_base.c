/* Small things of base/: names, MAC text, arrays that grow, whole blobs, temporary files, cores. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/blob.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/mac.h"
#include "base/name.h"
#include "base/num.h"
#include "base/parallel.h"
#include "base/tempfile.h"
#include "tests/unit/refuse.h"

Test(base, names)
{
	static const char *const good[] = {"a", "0", "Web-1_x.y", "a.", "A--"};
	static const char *const bad[] = {"",	 ".a",	"-a",	    "_a",   "a/b",
					  "a b", "a\n", "\303\244", "a\377"};
	char longest[NAME_SIZE + 1];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		cr_assert(name_is_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_not(name_is_valid(bad[i]), "%s", bad[i]);
	memset(longest, 'n', sizeof(longest));
	longest[NAME_SIZE] = '\0';
	cr_assert_not(name_is_valid(longest));
	longest[NAME_SIZE - 1] = '\0';
	cr_assert(name_is_valid(longest));
}

Test(base, mac_text)
{
	static const uint8_t mac[MAC_SIZE] = {0x02, 0, 0xab, 0xcd, 0xef, 0x9};
	static const char *const bad[] = {"",
					  "02:00:ab:cd:ef:0",
					  "02:00:ab:cd:ef:099",
					  "02:00:ab:cd:ef:0g",
					  "02-00-ab-cd-ef-09",
					  "2:000:ab:cd:ef:09",
					  "+2:00:ab:cd:ef:09",
					  " 2:00:ab:cd:ef:09"};
	uint8_t parsed[MAC_SIZE];
	char text[MAC_TEXT_SIZE];

	mac_format(mac, text);
	cr_assert_str_eq(text, "02:00:ab:cd:ef:09");
	cr_assert(mac_parse(text, parsed));
	cr_assert(eq(int, memcmp(parsed, mac, MAC_SIZE), 0));
	cr_assert(mac_parse("02:00:AB:CD:EF:09", parsed));
	cr_assert(eq(int, memcmp(parsed, mac, MAC_SIZE), 0));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_not(mac_parse(bad[i], parsed), "%s", bad[i]);
	cr_assert(mac_is_unicast(mac));
	cr_assert_not(mac_is_unicast((const uint8_t[MAC_SIZE]){0}));
	cr_assert_not(mac_is_unicast((const uint8_t[MAC_SIZE]){0x03, 1}));
}

Test(base, an_array_keeps_what_is_in_it)
{
	volatile size_t too_many = (size_t)1 << 62;
	uint32_t *array = NULL;

	for (uint32_t n = 0; n < 1000; n++) {
		uint32_t *grown = array_grow(array, n, sizeof(*grown));

		cr_assert(ne(ptr, grown, NULL));
		array = grown;
		array[n] = n;
	}
	for (uint32_t n = 0; n < 1000; n++)
		cr_assert(eq(u32, array[n], n));
	/* More than there can be: the old one is still there. */
	cr_assert(eq(ptr, array_grow(array, too_many, 16), NULL));
	cr_assert(eq(u32, array[999], 999));
	free(array);
}

Test(base, a_whole_blob)
{
	struct blob blob = {.fd = memfd_create("blob", MFD_CLOEXEC), .offset = 2, .len = 5};
	uint8_t *data = NULL;
	struct err err = {0};

	cr_assert(eq(int, (int)write(blob.fd, "..hello", 7), 7));
	cr_assert(eq(int, blob_read_all(&blob, 5, &data, &err), 0));
	cr_assert_str_eq((const char *)data, "hello");
	free(data);
	cr_assert(eq(int, blob_read_all(&blob, 4, &data, &err), -EINVAL));
	cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY));
	cr_assert(eq(ptr, data, NULL));
	blob.len = 6;
	cr_assert(lt(int, blob_read_all(&blob, 100, &data, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY));
	cr_assert(eq(ptr, data, NULL));
	blob.len = 0;
	cr_assert(eq(int, blob_read_all(&blob, 0, &data, &err), 0));
	cr_assert_str_eq((const char *)data, "");
	free(data);
	close(blob.fd);
}

Test(base, clocks)
{
	uint64_t before = clock_monotonic_ns(), now = (uint64_t)time(NULL);

	cr_assert(le(u64, before, clock_monotonic_ns()));
	cr_assert(ge(u64, clock_realtime_ns() / NS_PER_SECOND, now));
	cr_assert(le(u64, clock_realtime_ns() / NS_PER_SECOND, now + 1000));
}

static void expect_open_fails(const char *target, int errnum)
{
	struct err err = {0};
	struct tempfile t;

	cr_assert(eq(int, tempfile_open(&t, target, &err), -errnum));
	cr_assert_not_null(strstr(err.text, strerror(errnum)), "%s", err.text);
}

/* NFS without a lock manager, for one. */
Test(base, a_temporary_file_that_cannot_be_locked_is_removed)
{
	char folder[] = "/tmp/torpor-base-XXXXXX", target[64];

	cr_assert_not_null(mkdtemp(folder));
	snprintf(target, sizeof(target), "%s/web.torpor", folder);
	refuse_call(SYS_fchmod, 1, 0, UINT32_MAX, EPERM);
	expect_open_fails(target, EPERM);
	refuse_call(SYS_flock, 1, 0, UINT32_MAX, ENOLCK);
	expect_open_fails(target, ENOLCK);
	cr_assert(eq(int, rmdir(folder), 0), "it is not empty");
}

Test(base, a_temporary_file_does_not_replace_a_link_to_a_pipe)
{
	char folder[] = "/tmp/torpor-base-XXXXXX", target[64], to[64];
	struct err err = {0};
	struct tempfile t;
	struct stat st;
	int ends[2];

	cr_assert_not_null(mkdtemp(folder));
	cr_assert(eq(int, pipe(ends), 0));
	snprintf(target, sizeof(target), "%s/out", folder);
	snprintf(to, sizeof(to), "/proc/self/fd/%d", ends[1]);
	cr_assert(eq(int, symlink(to, target), 0));
	cr_assert(eq(int, tempfile_open(&t, target, &err), -EINVAL));
	cr_assert_not_null(strstr(err.text, "not a file"), "%s", err.text);
	cr_assert(eq(int, lstat(target, &st), 0));
	cr_assert(eq(uint, st.st_mode & S_IFMT, S_IFLNK));
	cr_assert(eq(int, unlink(target), 0));
	cr_assert(eq(int, rmdir(folder), 0), "it is not empty");
}

/* The kernel of a host that may have 2048 CPUs refuses a set of 1024. */
Test(base, cores_of_a_host_with_many)
{
	unsigned cores = usable_cores();

	refuse_call(SYS_sched_getaffinity, 1, 0, 1024 / 8, EINVAL);
	cr_assert(eq(uint, usable_cores(), cores));
}

static void answer_never(void *opaque, int fd)
{
	const int *held = opaque;

	(void)fd;
	(void)!write(*held, "", 1);
	for (;;)
		pause();
}

Test(base, a_child_that_is_asked_ends_with_its_parent)
{
	uint8_t *text, byte;
	int held[2];
	size_t len;
	pid_t asker;

	cr_assert(eq(int, pipe(held), 0));
	asker = fork();
	if (asker == 0) {
		close(held[0]);
		(void)child_ask(answer_never, &held[1], 16, &text, &len, NULL);
		_exit(0);
	}
	close(held[1]);
	cr_assert(eq(int, (int)read(held[0], &byte, 1), 1));
	cr_assert(eq(int, kill(asker, SIGKILL), 0));
	cr_assert(eq(int, (int)waitpid(asker, NULL, 0), (int)asker));
	cr_assert(eq(int, (int)read(held[0], &byte, 1), 0), "it goes on");
}
