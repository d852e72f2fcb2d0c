/* The map of files that arrive, which a machine, `ps` and the next download read, and the requests that a
 * machine sends to its download. Odd: a map's header and records, sparse, then its bits. Even: requests. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arrival.h"
#include "base/arrival_map.h"
#include "base/num.h"
#include "tests/fuzz/fuzz.h"

static const uint64_t sizes[] = {3 * ARRIVAL_BLOCK + 5, 1, 200 * ARRIVAL_BLOCK};

/* Missing and present runs alternate, from the beginning to the end. */
static void walk(const struct arrival *a)
{
	uint64_t at = 0, start, len;

	while (at < arrival_size(a) && arrival_missing(a, at, &start, &len)) {
		fuzz_require(start >= at && len > 0 && range_within(start, len, arrival_size(a)));
		fuzz_require(start == at || arrival_has(a, at, start - at));
		fuzz_require(!arrival_has(a, start, len));
		at = start + len;
	}
	fuzz_require(at >= arrival_size(a) || arrival_has(a, at, arrival_size(a) - at));
	fuzz_require(!arrival_has(a, arrival_size(a), 1) && !arrival_has(a, UINT64_MAX, 2));
}

static void use_map(int map, struct err *err)
{
	struct arrivals_status status;
	struct arrivals *set;
	int ret = arrivals_open(&set, map, -1, err);

	fuzz_require_reason(ret, err);
	fuzz_require(arrivals_status_read(map, &status, NULL) == ret);
	if (ret < 0) {
		fuzz_require(set == NULL);
		return;
	}
	fuzz_require(status.there <= status.bytes && strlen(status.host) < sizeof(status.host) &&
		     strlen(status.failed) < sizeof(status.failed));
	fuzz_require(status.state >= ARRIVALS_GOING && status.state <= ARRIVALS_FAILED);
	for (uint32_t i = 0; i < arrivals_files(set) && i < 8; i++) {
		struct arrival *a = arrivals_file(set, i);

		walk(a);
		/* Nobody fetches: what is not there is an error at once. */
		fuzz_require_reason(arrival_await(a, 0, arrival_size(a), err), err);
	}
	arrivals_free(set);
}

/* A good one, with the bytes of the input over it: those of the first page count as the header's, the rest
 * as records and bits, wherever they lie. */
static void fuzz_map(struct fuzz_input *in)
{
	struct err err = {0};
	struct arrivals *set = NULL;
	uint8_t bytes[64];
	int map = memfd_create("map", MFD_CLOEXEC);

	fuzz_require(map >= 0 && arrivals_create(&set, map, sizes, ARRAY_SIZE(sizes), NULL) == 0);
	arrivals_free(set);
	if (fuzz_take(in, 1) % 8 == 0)
		fuzz_require(ftruncate(map, (off_t)(fuzz_take(in, 2) % 8192)) == 0);
	while (in->left > 3) {
		const uint64_t at = fuzz_take(in, 2) % 8192;
		const size_t len = fuzz_take_bytes(in, bytes, fuzz_take(in, 1) % sizeof(bytes));

		fuzz_require(pwrite(map, bytes, len, (off_t)at) == (ssize_t)len);
	}
	use_map(map, &err);
	close(map);
}

/* What a machine that a guest has taken over may send. */
static void fuzz_requests(struct fuzz_input *in)
{
	struct arrivals_request request;
	struct arrivals *set = NULL;
	uint8_t bytes[64];
	int map = memfd_create("map", MFD_CLOEXEC), pair[2], ret = 1;

	fuzz_require(map >= 0 && arrivals_create(&set, map, sizes, ARRAY_SIZE(sizes), NULL) == 0);
	fuzz_require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	arrivals_serve(set, pair[0]);
	arrival_mark(arrivals_file(set, 2), 0, 100 * ARRIVAL_BLOCK);
	while (in->left > 1 && ret >= 0) {
		const size_t len = fuzz_take_bytes(in, bytes, fuzz_take(in, 1) % sizeof(bytes));

		if (len == 0)
			continue;
		fuzz_require(send(pair[1], bytes, len, MSG_DONTWAIT) == (ssize_t)len);
		while ((ret = arrivals_next(set, &request)) == 1) {
			const struct arrival *a = arrivals_file(set, request.file);

			fuzz_require(request.file < ARRAY_SIZE(sizes) && request.len > 0 &&
				     range_within(request.from, request.len, arrival_size(a)));
			fuzz_require(!arrival_has(a, request.from, request.len));
		}
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++)
		walk(arrivals_file(set, i));
	arrivals_free(set);
	close(pair[1]);
	close(map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	const unsigned fds = fuzz_open_fds();

	if (fuzz_take(&in, 1) % 2 != 0)
		fuzz_map(&in);
	else
		fuzz_requests(&in);
	fuzz_require(fuzz_open_fds() == fds);
	return 0;
}
