/* Logs that do not grow beyond a bound: log_file.h. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/num.h"
#include "tests/unit/sample.h"

#define MAX (2 * LOG_FILE_TAIL)

static long size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (long)st.st_size : -1;
}

/* The file, and the old one before it, are the end of what was written. */
static void is_end_of(const uint8_t *written, size_t len, const char *path, const char *old)
{
	static uint8_t have[4 * MAX];
	const char *const paths[] = {old, path};
	size_t got = 0;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		FILE *file = paths[i] != NULL ? fopen(paths[i], "r") : NULL;

		if (file == NULL)
			continue;
		got += fread(have + got, 1, sizeof(have) - got, file);
		fclose(file);
	}
	cr_assert(got > 0 && got <= len);
	cr_assert(eq(int, memcmp(have, written + len - got, got), 0));
}

static uint8_t *numbers(size_t len)
{
	uint8_t *bytes = malloc(len);

	for (size_t i = 0; i + 4 <= len; i += 4)
		le_put32(bytes + i, (uint32_t)i);
	return bytes;
}

Test(log_file, a_large_write_stays_within_the_bound, .init = sample_begin, .fini = sample_end)
{
	static const size_t sizes[] = {1, MAX - 4, MAX, MAX + 4, 2 * MAX, 2 * MAX + 4, 40 * MAX};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct log_file f = LOG_FILE_CLOSED;
		uint8_t *bytes = numbers(sizes[i] + 3);

		cr_assert(eq(int,
			     log_file_open(&f, "log", MAX, LOG_FILE_ROTATES | LOG_FILE_FRESH, NULL),
			     0));
		log_file_write(&f, bytes, sizes[i]);
		log_file_close(&f);
		cr_assert(le(long, size_of("log"), (long)MAX));
		cr_assert(le(long, size_of("log.1"), (long)MAX));
		is_end_of(bytes, sizes[i], "log", sizes[i] > MAX ? "log.1" : NULL);
		free(bytes);
		unlink("log.1");
	}
}

Test(log_file, many_writes_rotate_and_none_is_divided, .init = sample_begin, .fini = sample_end)
{
	struct log_file f = LOG_FILE_CLOSED;
	uint8_t *bytes = numbers(1000 * 1000);
	size_t at = 0;

	cr_assert(eq(int, log_file_open(&f, "log", MAX, LOG_FILE_ROTATES, NULL), 0));
	for (; at < 1000 * 1000; at += 1000) {
		log_file_write(&f, bytes + at, 1000);
		cr_assert(eq(long, size_of("log"), (long)f.size));
		cr_assert(f.size <= MAX && f.size % 1000 == 0);
	}
	log_file_close(&f);
	is_end_of(bytes, at, "log", "log.1");
	cr_assert(eq(long, size_of("log.1"), (long)(MAX / 1000 * 1000)));
	/* It goes on where it was, and knows how much is there. */
	cr_assert(eq(int, log_file_open(&f, "log", MAX, LOG_FILE_ROTATES, NULL), 0));
	cr_assert(eq(long, size_of("log"), (long)f.size));
	log_file_close(&f);
	free(bytes);
}

Test(log_file, without_a_second_file_the_end_is_kept, .init = sample_begin, .fini = sample_end)
{
	struct log_file f = LOG_FILE_CLOSED;
	uint8_t *bytes = numbers(1000 * 1000);
	struct stat before, after;

	cr_assert(eq(int, log_file_open(&f, "log", MAX, LOG_FILE_FRESH, NULL), 0));
	stat("log", &before);
	for (size_t at = 0; at < 1000 * 1000; at += 1000) {
		log_file_write(&f, bytes + at, 1000);
		cr_assert(f.size <= MAX);
		is_end_of(bytes, at + 1000, "log", NULL);
		cr_assert(at < LOG_FILE_TAIL || size_of("log") >= (long)LOG_FILE_TAIL);
	}
	stat("log", &after);
	cr_assert(eq(u64, before.st_ino, after.st_ino));
	cr_assert(eq(long, size_of("log.1"), -1L));
	log_file_write(&f, bytes, 1000 * 1000);
	is_end_of(bytes, 1000 * 1000, "log", NULL);
	log_file_close(&f);
	free(bytes);
}

static void *log_many(void *opaque)
{
	struct log log = {.file = opaque, .fd = -1, .prefix = "machine"};

	for (unsigned i = 0; i < 20000; i++)
		log_line(&log, "a line of some length that all threads write: 0123456789");
	return NULL;
}

Test(log_file, lines_of_several_threads_stay_whole, .init = sample_begin, .fini = sample_end)
{
	static const char line[] =
		"machine: a line of some length that all threads write: 0123456789\n";
	struct log_file f = LOG_FILE_CLOSED;
	pthread_t thread[3];
	char text[sizeof(line)];
	FILE *file;

	cr_assert(eq(int, log_file_open(&f, "log", MAX, LOG_FILE_ROTATES, NULL), 0));
	for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
		pthread_create(&thread[i], NULL, log_many, &f);
	for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
		pthread_join(thread[i], NULL);
	log_file_close(&f);
	file = fopen("log.1", "r");
	cr_assert(ne(ptr, file, NULL));
	while (fgets(text, sizeof(text), file) != NULL)
		cr_assert_str_eq(text, line);
	fclose(file);
	cr_assert(le(long, size_of("log"), (long)MAX));
}

Test(log_file, one_that_cannot_be_opened_or_written_costs_nothing_else, .init = sample_begin,
     .fini = sample_end)
{
	struct log_file f = LOG_FILE_CLOSED;

	cr_assert(eq(int, log_file_open(&f, "missing/log", MAX, 0, NULL), -ENOENT));
	log_file_write(&f, "x", 1);
	cr_assert(eq(int, mkfifo("pipe", 0600), 0));
	cr_assert(eq(int, log_file_open(&f, "pipe", MAX, 0, NULL), -EINVAL));
	cr_assert(eq(int, f.fd, -1));
	cr_assert(eq(int, unlink("pipe"), 0));
	cr_assert(eq(int, log_file_open(&f, "/dev/full", MAX, 0, NULL), 0));
	log_file_write(&f, "x", 1);
	cr_assert(eq(u64, f.size, 0));
	log_file_close(&f);
}

/* --- times --- */

static void write_text(struct log_file *f, const char *text)
{
	log_file_write(f, text, strlen(text));
}

Test(log_times, lines_have_the_time_at_which_they_began, .init = sample_begin, .fini = sample_end)
{
	struct log_file f = LOG_FILE_CLOSED;
	struct log_times t;
	const uint64_t before = clock_realtime_ns();
	uint64_t middle, at;
	int fd;

	cr_assert(
		eq(i32, log_file_open(&f, "log", MAX, LOG_FILE_ROTATES | LOG_FILE_TIMES, NULL), 0));
	write_text(&f, "one\ntw");
	usleep(20000);
	middle = clock_realtime_ns();
	write_text(&f, "o\n");
	usleep(20000);
	write_text(&f, "three\n");
	log_file_close(&f);
	fd = open("log", O_RDONLY | O_CLOEXEC);
	cr_assert(log_times_open(&t, "log", fd));
	cr_expect(ge(u64, log_times_at(&t, 0), before));
	at = log_times_at(&t, 4);
	cr_expect(lt(u64, at, middle), "the second line began in the first write");
	cr_expect(ge(u64, log_times_at(&t, 8), middle));
	cr_expect(eq(u64, log_times_since(&t, middle), 8));
	cr_expect(eq(u64, log_times_since(&t, 0), 0));
	cr_expect(eq(u64, log_times_since(&t, UINT64_MAX), UINT64_MAX));
	log_times_close(&t);
	close(fd);
}

/* A byte at a time, as a serial port has it: no record for each. */
Test(log_times, many_lines_are_few_records, .init = sample_begin, .fini = sample_end)
{
	struct log_file f = LOG_FILE_CLOSED;
	const uint64_t begin = clock_monotonic_ns();
	uint64_t most;

	cr_assert(eq(i32, log_file_open(&f, "log", MAX, LOG_FILE_TIMES, NULL), 0));
	for (unsigned i = 0; i < 10000; i++)
		write_text(&f, i % 2 == 0 ? "x" : "\n");
	log_file_close(&f);
	most = 2 + (clock_monotonic_ns() - begin) / LOG_TIMES_NS;
	cr_expect(le(i64, size_of("log.times"), (int64_t)(16 * most)));
}

/* Those of another file are not believed: of one before the rotation, or that an older program made. */
Test(log_times, belong_to_their_file, .init = sample_begin, .fini = sample_end)
{
	struct log_file f = LOG_FILE_CLOSED;
	uint8_t *bytes = numbers(MAX);
	struct log_times t;
	int fd;

	cr_assert(
		eq(i32, log_file_open(&f, "log", MAX, LOG_FILE_ROTATES | LOG_FILE_TIMES, NULL), 0));
	write_text(&f, "old\n");
	log_file_write(&f, bytes, MAX);
	log_file_close(&f);
	fd = open("log.1", O_RDONLY | O_CLOEXEC);
	cr_expect(not(log_times_open(&t, "log", fd)));
	cr_assert(eq(i32, rename("log.times.1", "log.1.times"), 0));
	cr_assert(log_times_open(&t, "log.1", fd));
	cr_expect(ne(u64, log_times_at(&t, 0), 0));
	log_times_close(&t);
	close(fd);
	fd = open("log", O_RDONLY | O_CLOEXEC);
	cr_assert(log_times_open(&t, "log", fd));
	log_times_close(&t);
	/* Go on with it: what is there stays. */
	cr_assert(eq(i32,
		     log_file_open(&f, "log", 2 * MAX, LOG_FILE_ROTATES | LOG_FILE_TIMES, NULL),
		     0));
	write_text(&f, "more\n");
	log_file_close(&f);
	cr_assert(log_times_open(&t, "log", fd));
	cr_expect(eq(u64, log_times_since(&t, 0), 0));
	log_times_close(&t);
	close(fd);
	free(bytes);
}
