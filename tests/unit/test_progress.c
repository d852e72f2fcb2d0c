/* Jobs that are watched and cancelled; base/progress.h. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "base/progress.h"
#include "tests/await.h"

Test(progress, percent_never_falls)
{
	struct progress p;

	cr_assert(eq(int, progress_init(&p, NULL), 0));
	cr_expect(eq(u32, progress_percent(&p), 100));
	progress_expect(&p, 1000);
	cr_expect(eq(u32, progress_percent(&p), 0));
	progress_add(&p, 100);
	cr_expect(eq(u32, progress_percent(&p), 10));
	progress_skip(&p, 500);
	cr_expect(eq(u32, progress_percent(&p), 20));
	progress_add(&p, 399);
	cr_expect(eq(u32, progress_percent(&p), 99));
	progress_add(&p, 1);
	cr_expect(eq(u32, progress_percent(&p), 100));
	progress_free(&p);
}

Test(progress, nobody_looks)
{
	struct err err = {0};
	int ends[2];
	char got[3];

	progress_expect(NULL, 1);
	progress_skip(NULL, 1);
	progress_add(NULL, 1);
	cr_expect(not(progress_is_cancelled(NULL)));
	cr_expect(eq(int, progress_check(NULL, &err), 0));
	cr_assert(eq(int, pipe(ends), 0));
	cr_expect(eq(int, progress_write(NULL, ends[1], "abc", 3), 0));
	cr_expect(eq(int, (int)read(ends[0], got, 3), 3));
	close(ends[0]);
	close(ends[1]);
}

Test(progress, a_cancelled_job_is_told)
{
	struct progress p;
	struct err err = {0};

	cr_assert(eq(int, progress_init(&p, NULL), 0));
	cr_expect(eq(int, progress_check(&p, &err), 0));
	progress_cancel(&p);
	cr_expect(eq(int, progress_check(&p, &err), -ECANCELED));
	cr_expect_str_eq(err.text, "it was cancelled");
	progress_free(&p);
}

static uint8_t much[KIB(256)]; /* more than a pipe holds */

struct writer {
	struct progress progress;
	int fd;
	int ret;
};

static void *write_much(void *arg)
{
	struct writer *w = arg;

	w->ret = progress_write(&w->progress, w->fd, much, sizeof(much));
	return NULL;
}

static bool takes_more(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};

	return poll(&pfd, 1, 0) == 1;
}

/* The reader reads nothing. */
Test(progress, a_cancel_ends_a_write_that_waits)
{
	struct writer w;
	pthread_t thread;
	int ends[2];

	cr_assert(eq(int, pipe(ends), 0));
	cr_assert(eq(int, progress_init(&w.progress, NULL), 0));
	w.fd = ends[1];
	cr_assert(eq(int, pthread_create(&thread, NULL, write_much, &w), 0));
	AWAIT(!takes_more(ends[1]));
	progress_cancel(&w.progress);
	pthread_join(thread, NULL);
	cr_expect(eq(int, w.ret, -ECANCELED));
	progress_free(&w.progress);
	close(ends[0]);
	close(ends[1]);
}

static uint8_t got[sizeof(much)];

Test(progress, a_slow_reader_gets_all)
{
	struct writer w;
	pthread_t thread;
	int ends[2];
	size_t have = 0;

	for (size_t i = 0; i < sizeof(much); i++)
		much[i] = (uint8_t)(i * 7 + i / 4096);
	cr_assert(eq(int, pipe(ends), 0));
	cr_assert(eq(int, progress_init(&w.progress, NULL), 0));
	w.fd = ends[1];
	cr_assert(eq(int, pthread_create(&thread, NULL, write_much, &w), 0));
	while (have < sizeof(got)) {
		ssize_t n = read(ends[0], got + have, sizeof(got) - have);

		cr_assert(ge(i64, n, 1));
		have += (size_t)n;
	}
	pthread_join(thread, NULL);
	cr_expect(eq(int, w.ret, 0));
	cr_expect(eq(int, memcmp(got, much, sizeof(much)), 0));
	progress_free(&w.progress);
	close(ends[0]);
	close(ends[1]);
}

/* A file of tmpfs has no writes that do not wait. */
Test(progress, a_file_gets_all)
{
	struct progress p;
	int fd = memfd_create("all", MFD_CLOEXEC);

	for (size_t i = 0; i < sizeof(much); i++)
		much[i] = (uint8_t)(i * 7 + i / 4096);
	cr_assert(eq(int, progress_init(&p, NULL), 0));
	cr_expect(eq(int, progress_write(&p, fd, much, sizeof(much)), 0));
	cr_expect(eq(int, (int)pread(fd, got, sizeof(got), 0), (int)sizeof(got)));
	cr_expect(eq(int, memcmp(got, much, sizeof(much)), 0));
	progress_free(&p);
	close(fd);
}

Test(progress, a_reader_that_is_gone_is_an_error)
{
	struct progress p;
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	cr_assert(eq(int, pipe(ends), 0));
	close(ends[0]);
	cr_assert(eq(int, progress_init(&p, NULL), 0));
	cr_expect(eq(int, progress_write(&p, ends[1], "x", 1), -EPIPE));
	progress_free(&p);
	close(ends[1]);
}
