/* See arriving.h. */
#include "arriving.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/num.h"

static void copy_block(struct arriving *w, uint32_t file, uint64_t at)
{
	struct arrival *a = arrivals_file(w->writer, file);
	uint64_t len = u64_min(ARRIVAL_BLOCK, arrival_size(a) - at);
	uint8_t block[ARRIVAL_BLOCK];

	if (io_pread(w->from[file], block, len, at) < 0)
		abort();
	if (file == w->spoil_file && w->spoil_at >= at && w->spoil_at < at + len &&
	    atomic_load(&w->spoiled) < w->spoil_times) {
		block[w->spoil_at - at] ^= 0x10;
		atomic_fetch_add(&w->spoiled, 1);
	}
	if (io_pwrite(w->blob[file].fd, block, len, at) < 0)
		abort();
	arrival_mark(a, at, len);
}

/* One missing block of any file; false: all is there. */
static bool copy_missing(struct arriving *w)
{
	for (uint32_t i = 0; i < w->n; i++) {
		uint64_t start, len;

		if (!arrival_missing(arrivals_file(w->writer, i), 0, &start, &len))
			continue;
		copy_block(w, i, start);
		return true;
	}
	return false;
}

static void serve_request(struct arriving *w, const struct arrivals_request *request)
{
	uint64_t at = align_down(request->from, ARRIVAL_BLOCK);

	if (request->again)
		atomic_fetch_add(&w->again, 1);
	for (; at < request->from + request->len; at += ARRIVAL_BLOCK) {
		if (!arrival_has(arrivals_file(w->writer, request->file), at, 1))
			copy_block(w, request->file, at);
	}
}

static void *fetch(void *arg)
{
	struct arriving *w = arg;
	struct pollfd fds[] = {{.fd = arrivals_fd(w->writer), .events = POLLIN},
			       {.fd = w->end_fd, .events = POLLIN}};
	struct arrivals_request request;

	for (;;) {
		bool more = !atomic_load(&w->away) && !atomic_load(&w->lazy) && copy_missing(w);

		fds[0].fd = atomic_load(&w->away) ? -1 : arrivals_fd(w->writer);
		(void)poll(fds, ARRAY_SIZE(fds), more ? 0 : 1);
		if (fds[1].revents != 0)
			return NULL;
		if (!atomic_load(&w->away) && arrivals_next(w->writer, &request) == 1)
			serve_request(w, &request);
	}
}

void arriving_begin(struct arriving *w, const int *fds, uint32_t n)
{
	uint64_t sizes[ARRIVING_MAX];
	int pair[2];

	cr_assert_leq(n, ARRIVING_MAX);
	w->n = n;
	for (uint32_t i = 0; i < n; i++) {
		struct stat st;

		cr_assert_eq(fstat(fds[i], &st), 0);
		sizes[i] = (uint64_t)st.st_size;
		w->from[i] = fds[i];
		w->blob[i] =
			(struct blob){.fd = memfd_create("arriving", MFD_CLOEXEC), .len = sizes[i]};
		cr_assert_eq(ftruncate(w->blob[i].fd, st.st_size), 0);
	}
	w->map_fd = memfd_create("map", MFD_CLOEXEC);
	w->end_fd = eventfd(0, EFD_CLOEXEC);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	cr_assert_eq(arrivals_create(&w->writer, w->map_fd, sizes, n, NULL), 0);
	arrivals_serve(w->writer, pair[0]);
	cr_assert_eq(arrivals_open(&w->reader, w->map_fd, pair[1], NULL), 0);
	for (uint32_t i = 0; i < n; i++)
		w->blob[i].arrival = arrivals_file(w->reader, i);
	cr_assert_eq(pthread_create(&w->thread, NULL, fetch, w), 0);
}

void arriving_end(struct arriving *w)
{
	cr_assert_eq(eventfd_write(w->end_fd, 1), 0);
	pthread_join(w->thread, NULL);
	arrivals_free(w->reader);
	arrivals_free(w->writer);
	for (uint32_t i = 0; i < w->n; i++) {
		close(w->from[i]);
		close(w->blob[i].fd);
	}
	close(w->map_fd);
	close(w->end_fd);
}
