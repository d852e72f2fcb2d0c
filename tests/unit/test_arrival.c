/* Files that are used while they arrive: base/arrival.h. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arrival.h"
#include "base/arrival_map.h"
#include "base/blob.h"
#include "base/num.h"
#include "tests/await.h"

#define SIZE_0 (10 * ARRIVAL_BLOCK + 100)
#define SIZE_1 (200 * ARRIVAL_BLOCK)

/* Both ends in one process. */
struct ends {
	int map_fd;
	struct arrivals *writer, *reader;
};

static void open_ends(struct ends *e)
{
	static const uint64_t sizes[] = {SIZE_0, SIZE_1, 0};
	int pair[2];

	e->map_fd = memfd_create("map", MFD_CLOEXEC);
	cr_assert(eq(int, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0));
	cr_assert(eq(int, arrivals_create(&e->writer, e->map_fd, sizes, 3, NULL), 0));
	arrivals_serve(e->writer, pair[0]);
	cr_assert(eq(int, arrivals_open(&e->reader, e->map_fd, pair[1], NULL), 0));
}

static void close_ends(struct ends *e)
{
	arrivals_free(e->writer);
	arrivals_free(e->reader);
	close(e->map_fd);
}

Test(arrival, blocks_count_when_they_are_whole)
{
	struct ends e;
	struct arrival *to, *from;
	struct arrivals_status status;
	uint64_t start, len;

	open_ends(&e);
	to = arrivals_file(e.writer, 0);
	from = arrivals_file(e.reader, 0);
	cr_expect(not(arrival_has(from, 0, 1)));
	arrival_mark(to, 1, 2 * ARRIVAL_BLOCK - 1);
	cr_expect(not(arrival_has(from, 0, 1)));
	cr_expect(arrival_has(from, ARRIVAL_BLOCK, ARRIVAL_BLOCK));
	cr_expect(not(arrival_has(from, ARRIVAL_BLOCK, ARRIVAL_BLOCK + 1)));
	arrival_mark(to, 9 * ARRIVAL_BLOCK, SIZE_0 - 9 * ARRIVAL_BLOCK);
	cr_expect(arrival_has(from, SIZE_0 - 1, 1));
	cr_expect(not(arrival_has(from, SIZE_0 - 1, 2)), "behind its end is nothing");
	cr_assert(arrival_missing(from, ARRIVAL_BLOCK, &start, &len));
	cr_expect(eq(u64, start, 2 * ARRIVAL_BLOCK));
	cr_expect(eq(u64, len, 7 * ARRIVAL_BLOCK));
	arrivals_status(e.reader, &status);
	cr_expect(eq(u64, status.bytes, SIZE_0 + SIZE_1));
	cr_expect(eq(u64, status.there, 3 * ARRIVAL_BLOCK), "%llu",
		  (unsigned long long)status.there);
	arrival_mark(to, 0, SIZE_0);
	arrival_mark(to, 0, SIZE_0);
	cr_expect(not(arrival_missing(from, 0, &start, &len)));
	cr_expect(arrival_has(arrivals_file(e.reader, 2), 0, 0), "an empty file is there");
	arrival_mark(arrivals_file(e.writer, 1), 0, SIZE_1);
	arrivals_status(e.reader, &status);
	cr_expect(eq(u64, status.there, status.bytes));
	arrival_drop(to, ARRIVAL_BLOCK - 1, 2);
	cr_assert(arrival_missing(from, 0, &start, &len));
	cr_expect(eq(u64, start, 0));
	cr_expect(eq(u64, len, 2 * ARRIVAL_BLOCK));
	close_ends(&e);
}

Test(arrival, what_is_asked_for_is_checked)
{
	static const struct arrival_message nonsense[] = {
		{3, ARRIVAL_NOW, 0, 1},
		{UINT32_MAX, ARRIVAL_NOW, 0, 1},
		{0, 0, 0, 1},
		{0, ARRIVAL_AGAIN + 1, 0, 1},
		{0, ARRIVAL_NOW, 0, 0},
		{0, ARRIVAL_NOW, SIZE_0, 1},
		{0, ARRIVAL_AGAIN, 1, SIZE_0},
		{0, ARRIVAL_AGAIN, UINT64_MAX, 2},
		{0, ARRIVAL_NOW, UINT64_MAX, 1},
		{2, ARRIVAL_NOW, 0, 1},
	};
	struct arrivals_request request;
	struct ends e;
	int reader;

	open_ends(&e);
	reader = arrivals_fd(e.reader);
	for (size_t i = 0; i < ARRAY_SIZE(nonsense); i++) {
		cr_assert(eq(int, (int)send(reader, &nonsense[i], sizeof(nonsense[i]), 0),
			     (int)sizeof(nonsense[i])));
		cr_expect(eq(int, arrivals_next(e.writer, &request), 0), "row %zu", i);
	}
	cr_assert(eq(int, (int)send(reader, "short", 5, 0), 5));
	cr_assert(eq(int, (int)send(reader, nonsense, sizeof(nonsense), 0), (int)sizeof(nonsense)));
	arrival_mark(arrivals_file(e.writer, 1), 0, ARRIVAL_BLOCK);
	arrival_want(arrivals_file(e.reader, 1), 0, ARRIVAL_BLOCK); /* it is there */
	arrival_want(arrivals_file(e.reader, 1), ARRIVAL_BLOCK, 5);
	cr_assert(eq(int, arrivals_next(e.writer, &request), 1));
	cr_expect(eq(u32, request.file, 1));
	cr_expect(eq(u64, request.from, ARRIVAL_BLOCK));
	cr_expect(eq(u64, request.len, 5));
	cr_expect(not(request.now));
	cr_expect(eq(int, arrivals_next(e.writer, &request), 0));
	arrivals_free(e.reader);
	e.reader = NULL;
	cr_expect(eq(int, arrivals_next(e.writer, &request), -EPIPE));
	close_ends(&e);
}

/* --- maps that lie --- */

#define AT(member)     offsetof(struct arrival_header, member)
#define RECORD(member) (ARRIVAL_HEADER + offsetof(struct arrival_record, member))

Test(arrival, a_map_that_lies_is_refused)
{
	static const struct {
		size_t at;
		uint64_t value;
		size_t len;
	} lies[] = {
		{AT(magic), 1, 8},
		{AT(files), 0, 4},
		{AT(files), 2, 4},
		{AT(files), 4, 4},
		{AT(files), UINT32_MAX, 4},
		{RECORD(size), SIZE_0 + 64 * ARRIVAL_BLOCK, 8},
		{RECORD(size), UINT64_MAX, 8},
		{RECORD(size), ARRIVAL_MAX_BYTES, 8},
		{RECORD(first_word), 0, 8},
		{RECORD(first_word), UINT64_MAX, 8},
		{ARRIVAL_RECORD + RECORD(first_word), 1, 8},
	};

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct arrivals *set;
		struct err err = {0};
		struct ends e;

		open_ends(&e);
		cr_assert(eq(int,
			     (int)pwrite(e.map_fd, &lies[i].value, lies[i].len, (off_t)lies[i].at),
			     (int)lies[i].len));
		cr_expect(eq(int, arrivals_open(&set, e.map_fd, -1, &err), -EINVAL), "row %zu", i);
		cr_expect(eq(int, err.kind, ERR_INTEGRITY), "row %zu", i);
		cr_expect(set == NULL);
		close_ends(&e);
	}
}

Test(arrival, a_map_that_is_cut_off_is_refused)
{
	struct arrivals_status status;
	struct ends e;

	open_ends(&e);
	/* Nobody reads the mappings from here on. */
	for (off_t len = 0; len < (off_t)e.writer->map_len; len += 13) {
		struct err err = {0};

		cr_assert(eq(int, ftruncate(e.map_fd, len), 0));
		cr_expect(eq(int, arrivals_status_read(e.map_fd, &status, &err), -EINVAL), "%ld",
			  (long)len);
		cr_expect(eq(int, err.kind, ERR_INTEGRITY));
	}
	close_ends(&e);
}

/* What changes while it is used may be anything. */
Test(arrival, nonsense_in_a_map_is_harmless)
{
	struct arrivals_status status;
	struct ends e;

	open_ends(&e);
	memset(e.writer->header->host, 0xff, ARRIVAL_TEXT);
	memset(e.writer->header->text, 0x1b, ARRIVAL_TEXT);
	atomic_store(&e.writer->header->state, 77);
	atomic_store(&e.writer->header->version, 1);
	atomic_store(&e.writer->file[0].record->there, UINT64_MAX / ARRIVAL_BLOCK);
	cr_assert(eq(int, arrivals_status_read(e.map_fd, &status, NULL), 0));
	cr_expect(eq(int, status.state, ARRIVALS_FAILED));
	cr_expect(eq(sz, strlen(status.host), ARRIVAL_TEXT - 1));
	cr_expect(eq(sz, strspn(status.host, "?"), ARRIVAL_TEXT - 1));
	cr_expect(eq(sz, strspn(status.failed, "?"), ARRIVAL_TEXT - 1));
	cr_expect(eq(u64, status.there, SIZE_0));
	close_ends(&e);
}

Test(arrival, sizes_have_limits)
{
	uint64_t *sizes = calloc(ARRIVAL_MAX_FILES + 1, sizeof(*sizes));
	struct arrivals *set;
	int fd = memfd_create("map", MFD_CLOEXEC);

	cr_expect(eq(int, arrivals_create(&set, fd, sizes, 0, NULL), -EINVAL));
	cr_expect(eq(int, arrivals_create(&set, fd, sizes, ARRIVAL_MAX_FILES + 1, NULL), -EINVAL));
	sizes[0] = ARRIVAL_MAX_BYTES + 1;
	cr_expect(eq(int, arrivals_create(&set, fd, sizes, 1, NULL), -EINVAL));
	sizes[0] = sizes[1] = ARRIVAL_MAX_BYTES / 2 + 1;
	cr_expect(eq(int, arrivals_create(&set, fd, sizes, 2, NULL), -EINVAL));
	close(fd);
	free(sizes);
}

/* --- waiting --- */

struct waiter {
	pthread_t thread;
	struct arrival *file;
	uint64_t from, len;
	int (*wait)(struct arrival *a, uint64_t from, uint64_t len, struct err *err);
	int ret;
	struct err err;
};

static void *wait_for_it(void *arg)
{
	struct waiter *w = arg;

	w->ret = w->wait(w->file, w->from, w->len, &w->err);
	return NULL;
}

static void start_waiter(struct waiter *w)
{
	cr_assert(eq(int, pthread_create(&w->thread, NULL, wait_for_it, w), 0));
}

static void next_request(struct arrivals *set, struct arrivals_request *request)
{
	int ret = 0;

	AWAIT((ret = arrivals_next(set, request)) != 0);
	cr_assert(eq(int, ret, 1));
}

Test(arrival, a_waiter_goes_on_when_all_of_it_is_there)
{
	struct waiter w = {.from = ARRIVAL_BLOCK - 1, .len = 2, .wait = arrival_await};
	struct arrivals_request request;
	struct ends e;

	open_ends(&e);
	w.file = arrivals_file(e.reader, 1);
	start_waiter(&w);
	next_request(e.writer, &request);
	cr_expect(request.now);
	cr_expect(not(request.again));
	cr_expect(eq(u32, request.file, 1));
	cr_expect(eq(u64, request.from, ARRIVAL_BLOCK - 1));
	cr_expect(eq(u64, request.len, 2));
	arrival_mark(arrivals_file(e.writer, 1), 0, ARRIVAL_BLOCK);
	cr_expect(eq(u32, atomic_load(&e.reader->waiting), 1));
	arrival_mark(arrivals_file(e.writer, 1), ARRIVAL_BLOCK, ARRIVAL_BLOCK);
	pthread_join(w.thread, NULL);
	cr_expect(eq(int, w.ret, 0));
	close_ends(&e);
}

Test(arrival, bytes_outside_are_not_waited_for)
{
	struct err err = {0};
	struct ends e;

	open_ends(&e);
	cr_expect(eq(int, arrival_await(arrivals_file(e.reader, 0), SIZE_0, 1, &err), -EINVAL));
	cr_expect(eq(int, err.kind, ERR_INTEGRITY));
	cr_expect(eq(int, arrival_again(arrivals_file(e.reader, 0), 1, SIZE_0, &err), -EINVAL));
	cr_expect(eq(int, arrival_await(NULL, 1, SIZE_0, &err), 0));
	close_ends(&e);
}

static void let_go_by_failure(struct ends *e)
{
	arrival_fail(arrivals_file(e->writer, 1), "no such\nblob");
	arrival_fail(arrivals_file(e->writer, 1), "later");
}

static void let_go_by_end(struct ends *e)
{
	arrivals_say(e->writer, ARRIVALS_FAILED, 1, "host", "given up");
	arrivals_say(e->writer, ARRIVALS_GOING, 2, "host", NULL);
}

static void let_go_by_hang_up(struct ends *e)
{
	shutdown(arrivals_fd(e->writer), SHUT_RDWR);
}

static void let_go_by_interrupt(struct ends *e)
{
	arrivals_interrupt(e->reader);
	cr_expect(eq(u32, atomic_load(&e->reader->waiting), 0));
}

Test(arrival, a_waiter_is_told_that_nothing_will_come)
{
	static const struct {
		void (*let_go)(struct ends *e);
		int ret;
		const char *text;
	} rows[] = {
		{let_go_by_failure, -EIO, "no such?blob: Input/output error"},
		{let_go_by_end, -EIO, "given up: Input/output error"},
		{let_go_by_hang_up, -EIO, "what fetched it has ended: Input/output error"},
		{let_go_by_interrupt, -ECANCELED, "the wait for what has not arrived was ended"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct waiter w[8] = {0};
		struct ends e;
		struct err err = {0};

		open_ends(&e);
		arrival_mark(arrivals_file(e.writer, 1), 0, ARRIVAL_BLOCK);
		for (size_t k = 0; k < ARRAY_SIZE(w); k++) {
			w[k] = (struct waiter){.file = arrivals_file(e.reader, 1),
					       .from = (k + 1) * ARRIVAL_BLOCK,
					       .len = 1,
					       .wait = k < 6 ? arrival_await : arrival_again};
			start_waiter(&w[k]);
		}
		AWAIT(atomic_load(&e.reader->waiting) == ARRAY_SIZE(w));
		rows[i].let_go(&e);
		for (size_t k = 0; k < ARRAY_SIZE(w); k++) {
			pthread_join(w[k].thread, NULL);
			cr_expect(eq(int, w[k].ret, rows[i].ret), "row %zu, waiter %zu", i, k);
			cr_expect_str_eq(w[k].err.text, rows[i].text);
		}
		cr_expect(eq(int, arrival_await(arrivals_file(e.reader, 1), ARRIVAL_BLOCK, 1, &err),
			     rows[i].ret));
		cr_expect(eq(int, arrival_await(arrivals_file(e.reader, 1), 5, 10, &err), 0),
			  "what is there stays");
		close_ends(&e);
	}
}

Test(arrival, nobody_fetches)
{
	struct arrivals *set;
	struct err err = {0};
	struct ends e;

	open_ends(&e);
	arrival_mark(arrivals_file(e.writer, 0), 0, SIZE_0);
	cr_assert(eq(int, arrivals_open(&set, e.map_fd, -1, NULL), 0));
	cr_expect(eq(int, arrival_await(arrivals_file(set, 0), 0, SIZE_0, &err), 0));
	cr_expect(eq(int, arrival_await(arrivals_file(set, 1), 0, 1, &err), -EIO));
	cr_expect(eq(int, arrival_again(arrivals_file(set, 0), 0, 1, &err), -EIO));
	arrivals_free(set);
	close_ends(&e);
}

/* Another copy is waited for, not the one that was there. */
Test(arrival, a_wrong_block_is_fetched_again)
{
	struct waiter w[4];
	struct arrivals_request request;
	struct ends e;

	open_ends(&e);
	arrival_mark(arrivals_file(e.writer, 0), 0, SIZE_0);
	for (size_t i = 0; i < ARRAY_SIZE(w); i++) {
		w[i] = (struct waiter){.file = arrivals_file(e.reader, 0),
				       .from = i * ARRIVAL_BLOCK,
				       .len = ARRIVAL_BLOCK,
				       .wait = arrival_again};
		start_waiter(&w[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(w); i++) {
		next_request(e.writer, &request);
		cr_expect(request.again);
		cr_expect(not(arrival_has(arrivals_file(e.reader, 0), request.from, request.len)));
	}
	cr_expect(eq(u32, atomic_load(&e.reader->waiting), ARRAY_SIZE(w)));
	arrival_mark(arrivals_file(e.writer, 0), 0, SIZE_0);
	for (size_t i = 0; i < ARRAY_SIZE(w); i++) {
		pthread_join(w[i].thread, NULL);
		cr_expect(eq(int, w[i].ret, 0));
	}
	close_ends(&e);
}

/* Another one's descriptor of the map: the writer's lock is not its own. */
static int open_as_other(const struct ends *e)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", e->map_fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

Test(arrival, states_are_read_by_others)
{
	struct arrivals_status status;
	struct ends e;
	int fd;

	open_ends(&e);
	fd = open_as_other(&e);
	arrivals_say(e.writer, ARRIVALS_WAITING, 1234, "registry.example.org:5000", NULL);
	cr_assert(eq(int, arrivals_status_read(fd, &status, NULL), 0));
	cr_expect(eq(int, status.state, ARRIVALS_WAITING));
	cr_expect(eq(u64, status.since, 1234));
	cr_expect_str_eq(status.host, "registry.example.org:5000");
	cr_expect(eq(u32, status.files, 3));
	close(fd);
	close_ends(&e);
}

/* What it said last counts, and all that is missing will not come. */
Test(arrival, a_writer_that_is_gone_has_failed_unless_all_was_there)
{
	static const enum arrivals_state said[] = {ARRIVALS_GOING, ARRIVALS_WAITING,
						   ARRIVALS_COMPLETE};

	for (size_t i = 0; i < ARRAY_SIZE(said); i++) {
		const enum arrivals_state wanted =
			said[i] == ARRIVALS_COMPLETE ? ARRIVALS_COMPLETE : ARRIVALS_FAILED;
		struct arrivals_status status;
		struct ends e;
		int fd;

		open_ends(&e);
		arrivals_say(e.writer, said[i], 1, "host", NULL);
		fd = open_as_other(&e);
		arrivals_status(e.reader, &status);
		cr_expect(eq(int, status.state, said[i]));
		arrivals_free(e.writer);
		e.writer = NULL;
		close(e.map_fd);
		arrivals_status(e.reader, &status);
		cr_expect(eq(int, status.state, wanted));
		cr_assert(eq(int, arrivals_status_read(fd, &status, NULL), 0));
		cr_expect(eq(int, status.state, wanted));
		if (wanted == ARRIVALS_FAILED)
			cr_expect_str_eq(status.failed, "what fetched it has ended");
		e.map_fd = fd;
		close_ends(&e);
	}
}

/* --- two processes --- */

static uint8_t byte_at(uint64_t at)
{
	return (uint8_t)(at * 31 + at / ARRIVAL_BLOCK);
}

/* Fetch what is asked for and, between requests, block after block from the end. */
static void fetch_all(struct arrivals *set, int fd)
{
	struct arrival *a = arrivals_file(set, 1);
	uint64_t behind = SIZE_1, start, len;

	while (arrival_missing(a, 0, &start, &len)) {
		struct arrivals_request request = {.from = behind -= ARRIVAL_BLOCK, .len = 1};
		uint8_t block[ARRIVAL_BLOCK];
		uint64_t first;

		if (arrivals_next(set, &request) == 1)
			behind += ARRIVAL_BLOCK;
		first = align_down(request.from, ARRIVAL_BLOCK);
		for (uint64_t at = first; at < request.from + request.len; at += ARRIVAL_BLOCK) {
			for (size_t i = 0; i < sizeof(block); i++)
				block[i] = byte_at(at + i);
			if (pwrite(fd, block, sizeof(block), (off_t)at) != sizeof(block))
				_exit(1);
			arrival_mark(a, at, sizeof(block));
		}
	}
	_exit(0);
}

struct consumer {
	pthread_t thread;
	struct blob blob;
	unsigned seed;
	bool ok;
};

static void *consume(void *arg)
{
	struct consumer *c = arg;

	c->ok = true;
	for (unsigned i = 0; i < 200; i++) {
		uint8_t got[3 * 1000];
		uint64_t at = (uint64_t)rand_r(&c->seed) % (SIZE_1 - sizeof(got));

		if (blob_read(&c->blob, at, got, sizeof(got), NULL) < 0)
			c->ok = false;
		for (size_t k = 0; k < sizeof(got); k++)
			c->ok = c->ok && got[k] == byte_at(at + k);
	}
	return NULL;
}

Test(arrival, many_threads_read_what_another_process_fetches)
{
	static const uint64_t sizes[] = {1, SIZE_1};
	struct consumer c[6];
	struct arrivals *reader;
	int map_fd = memfd_create("map", MFD_CLOEXEC), fd = memfd_create("file", MFD_CLOEXEC);
	int pair[2], status;
	pid_t child;

	cr_assert(eq(int, ftruncate(fd, SIZE_1), 0));
	cr_assert(eq(int, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0));
	{
		struct arrivals *writer;

		cr_assert(eq(int, arrivals_create(&writer, map_fd, sizes, 2, NULL), 0));
		child = fork();
		if (child == 0) {
			close(pair[1]);
			arrivals_serve(writer, pair[0]);
			fetch_all(writer, fd);
		}
		arrivals_free(writer);
	}
	close(pair[0]);
	cr_assert(eq(int, arrivals_open(&reader, map_fd, pair[1], NULL), 0));
	for (unsigned i = 0; i < ARRAY_SIZE(c); i++) {
		c[i] = (struct consumer){
			.blob = {.fd = fd, .len = SIZE_1, .arrival = arrivals_file(reader, 1)},
			.seed = i};
		cr_assert(eq(int, pthread_create(&c[i].thread, NULL, consume, &c[i]), 0));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(c); i++) {
		pthread_join(c[i].thread, NULL);
		cr_expect(c[i].ok, "thread %u", i);
	}
	cr_assert(eq(int, waitpid(child, &status, 0), child));
	cr_expect(eq(int, status, 0));
	arrivals_free(reader);
	close(fd);
	close(map_fd);
}

/* A writer that is killed has marked what it has. */
Test(arrival, a_writer_that_is_killed_ends_the_wait)
{
	struct waiter w = {.from = 0, .len = SIZE_0, .wait = arrival_await};
	static const uint64_t sizes[] = {SIZE_0};
	struct arrivals *writer, *reader;
	int map_fd = memfd_create("map", MFD_CLOEXEC), pair[2], status;
	pid_t child;

	cr_assert(eq(int, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0));
	cr_assert(eq(int, arrivals_create(&writer, map_fd, sizes, 1, NULL), 0));
	child = fork();
	if (child == 0) {
		close(pair[1]);
		arrival_mark(arrivals_file(writer, 0), 0, ARRIVAL_BLOCK);
		for (;;)
			pause();
	}
	close(pair[0]);
	cr_assert(eq(int, arrivals_open(&reader, map_fd, pair[1], NULL), 0));
	w.file = arrivals_file(reader, 0);
	cr_expect(eq(int, arrival_await(w.file, 0, 1, NULL), 0));
	start_waiter(&w);
	AWAIT(atomic_load(&reader->waiting) == 1);
	kill(child, SIGKILL);
	cr_assert(eq(int, waitpid(child, &status, 0), child));
	pthread_join(w.thread, NULL);
	cr_expect(eq(int, w.ret, -EIO));
	arrivals_free(reader);
	arrivals_free(writer);
	close(map_fd);
}
