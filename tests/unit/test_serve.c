/* What requests to torpor serve ask for, and which connections it keeps. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/peers.h"
#include "serve/route.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
	char path[160];
	enum route_kind kind;
	char repository[40], tag[20];
} paths[] = {
	{"/v2/", ROUTE_BASE, "", ""},
	{"/v2", ROUTE_BASE, "", ""},
	{"/v2/app/manifests/1.0", ROUTE_MANIFEST, "app", "1.0"},
	{"/v2/registry.example/team/app/manifests/v2", ROUTE_MANIFEST, "registry.example/team/app",
	 "v2"},
	{"/v2/app/manifests/sha256:" HEX, ROUTE_MANIFEST, "app", ""},
	{"/v2/app/manifests/sha256%3A" HEX, ROUTE_MANIFEST, "app", ""},
	{"/v2/app/blobs/sha256:" HEX, ROUTE_BLOB, "app", ""},
	{"/v2/app/referrers/sha256:" HEX, ROUTE_REFERRERS, "app", ""},
	{"/v2/app/tags/list", ROUTE_TAGS, "app", ""},
	/* Components of a name that are called like those behind it. */
	{"/v2/a/manifests/b/tags/list", ROUTE_TAGS, "a/manifests/b", ""},
	{"/v2/a/blobs/uploads/b/manifests/1", ROUTE_MANIFEST, "a/blobs/uploads/b", "1"},
	{"/v2/blobs/manifests/manifests", ROUTE_MANIFEST, "blobs", "manifests"},
	{"/v2/app/blobs/uploads/", ROUTE_UPLOAD, "app", ""},
	{"/v2/app/blobs/uploads", ROUTE_UPLOAD, "app", ""},
	{"/v2/app/blobs/uploads/0123-4567", ROUTE_UPLOAD, "app", ""},
	{"/web.torpor", ROUTE_FILE, "", ""},
	{"/We%62.torpor", ROUTE_FILE, "", ""},
	/* What is none of these. */
	{"/", ROUTE_ROOT, "", ""},
	{"", ROUTE_NOTHING, "", ""},
	{"*", ROUTE_NOTHING, "", ""},
	{"/.torpor", ROUTE_NOTHING, "", ""},
	{"/..torpor", ROUTE_NOTHING, "", ""},
	{"/web", ROUTE_NOTHING, "", ""},
	{"//web.torpor", ROUTE_NOTHING, "", ""},
	{"/../web.torpor", ROUTE_NOTHING, "", ""},
	{"/%2e%2e%2fweb.torpor", ROUTE_NOTHING, "", ""},
	{"/..%2Fweb.torpor", ROUTE_NOTHING, "", ""},
	{"/web%00.torpor", ROUTE_NOTHING, "", ""},
	{"/web%2.torpor", ROUTE_NOTHING, "", ""},
	{"/web%zz.torpor", ROUTE_NOTHING, "", ""},
	{"/v2/%2e%2e/manifests/1", ROUTE_BAD_NAME, "", "1"},
	{"/v2/../app/manifests/1", ROUTE_BAD_NAME, "", "1"},
	{"/v2/app//b/manifests/1", ROUTE_BAD_NAME, "", "1"},
	{"/v2/App/manifests/1", ROUTE_BAD_NAME, "", "1"},
	{"/v2//manifests/1", ROUTE_BAD_NAME, "", "1"},
	{"/v2/app/manifests/", ROUTE_BAD_REFERENCE, "app", ""},
	{"/v2/app/manifests/..", ROUTE_BAD_REFERENCE, "app", ""},
	{"/v2/app/manifests/a%2fb", ROUTE_NOTHING, "", ""},
	{"/v2/app/blobs/sha256:..", ROUTE_BAD_DIGEST, "app", ""},
	{"/v2/app/blobs/sha512:" HEX, ROUTE_BAD_DIGEST, "app", ""},
	{"/v2/app/manifests/sha256:" HEX "0", ROUTE_BAD_DIGEST, "app", ""},
	{"/v2/app/blobs/", ROUTE_BAD_DIGEST, "app", ""},
	{"/v2/app", ROUTE_NOTHING, "", ""},
	{"/v2/_catalog", ROUTE_CATALOG, "", ""},
};

Test(serve, paths_are_taken_apart)
{
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct route route;

		route_parse(&route, paths[i].path);
		cr_expect(eq(int, (int)route.kind, (int)paths[i].kind), "%s", paths[i].path);
		cr_expect(eq(str, route.repository, (char *)paths[i].repository), "%s",
			  paths[i].path);
		cr_expect(eq(str, route.tag, (char *)paths[i].tag), "%s", paths[i].path);
		if (route.kind == ROUTE_BLOB || route.kind == ROUTE_REFERRERS)
			cr_expect(eq(str, route.digest, (char *)"sha256:" HEX));
		if (route.kind == ROUTE_FILE)
			cr_expect(eq(sz, strspn(route.file, "Web.torpw"), strlen(route.file)));
	}
}

Test(serve, a_path_of_any_length_is_looked_at)
{
	char path[8192];
	struct route route;

	for (size_t len = 1; len < sizeof(path); len++) {
		memset(path, 'a', len);
		path[0] = '/';
		path[len] = '\0';
		if (len > 7)
			memcpy(path + len - 7, ".torpor", 7);
		route_parse(&route, path);
		cr_expect(eq(int, route.kind == ROUTE_FILE, len > 8 && len <= 256), "%zu", len);
		if (len < 40)
			continue;
		memcpy(path, "/v2/", 4);
		memcpy(path + len - 12, "/manifests/1", 12);
		route_parse(&route, path);
		cr_expect(eq(int, route.kind == ROUTE_MANIFEST, len - 16 < REFERENCE_REPO), "%zu",
			  len);
	}
}

static const struct {
	char text[48];
	uint64_t size;
	int status;
	uint64_t from, len;
} ranges[] = {
	{"", 10, 200, 0, 10},
	{"bytes=0-0", 10, 206, 0, 1},
	{"bytes=0-", 10, 206, 0, 10},
	{"bytes=3-5", 10, 206, 3, 3},
	{"bytes=3-99", 10, 206, 3, 7},
	{"bytes=9-9", 10, 206, 9, 1},
	{"bytes=-3", 10, 206, 7, 3},
	{"bytes=-99", 10, 206, 0, 10},
	{"bytes=3-18446744073709551615", 10, 206, 3, 7},
	/* Nothing is there. */
	{"bytes=10-", 10, 416, 0, 10},
	{"bytes=10-12", 10, 416, 0, 10},
	{"bytes=-0", 10, 416, 0, 10},
	{"bytes=0-", 0, 416, 0, 0},
	{"bytes=-1", 0, 416, 0, 0},
	/* What is none is passed over. */
	{"bytes=5-3", 10, 200, 0, 10},
	{"bytes=", 10, 200, 0, 10},
	{"bytes=-", 10, 200, 0, 10},
	{"bytes=a-b", 10, 200, 0, 10},
	{"bytes=1-2x", 10, 200, 0, 10},
	{"bytes=+1-2", 10, 200, 0, 10},
	{"bytes= 1-2", 10, 200, 0, 10},
	{"bytes=0-1,3-4", 10, 200, 0, 10},
	{"bytes=18446744073709551616-", 10, 200, 0, 10},
	{"bytes=--1", 10, 200, 0, 10},
	{"items=0-1", 10, 200, 0, 10},
};

Test(serve, ranges_stay_within)
{
	struct route_range range;

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		int status = route_range(&range, ranges[i].text, ranges[i].size);

		cr_expect(eq(int, status, ranges[i].status), "%s", ranges[i].text);
		cr_expect(eq(u64, range.from, ranges[i].from), "%s", ranges[i].text);
		cr_expect(eq(u64, range.len, ranges[i].len), "%s", ranges[i].text);
	}
	cr_expect(eq(int, route_range(&range, NULL, 7), 200));
}

/* Whether the other end was shut down. */
static bool is_shut(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, 0) == 1 && recv(fd, &(char){0}, 1, 0) == 0;
}

Test(serve, who_waits_for_longest_makes_room)
{
	int pair[3][2], wake = eventfd(0, EFD_NONBLOCK);
	struct peer *peer[3];
	struct peers *peers;
	eventfd_t woken;

	cr_assert(eq(int, peers_new(&peers, 2, UINT64_C(1) << 60, wake, NULL), 0));
	for (int i = 0; i < 3; i++)
		cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM, 0, pair[i]), 0));
	peer[0] = peers_add(peers, pair[0][0]);
	cr_assert(eq(int, eventfd_read(wake, &woken), 0));
	peer[1] = peers_add(peers, pair[1][0]);
	cr_expect(eq(int, eventfd_read(wake, &woken), -1));
	/* The first one gets an answer: it is the second that does nothing. */
	peers_busy(peers, peer[0]);
	peer[2] = peers_add(peers, pair[2][0]);
	cr_expect(not(is_shut(pair[0][1])));
	cr_expect(is_shut(pair[1][1]));
	cr_expect(not(is_shut(pair[2][1])));
	cr_expect(eq(sz, peers_check(peers), 3));
	for (int i = 0; i < 3; i++) {
		peers_remove(peers, peer[i]);
		close(pair[i][0]);
		close(pair[i][1]);
	}
	cr_expect(eq(sz, peers_check(peers), 0));
	peers_free(peers);
	close(wake);
}

Test(serve, who_does_nothing_is_shut_down)
{
	int pair[2], wake = eventfd(0, EFD_NONBLOCK);
	struct peers *peers;
	struct peer *peer;

	/* At once, by a patience of nothing. */
	cr_assert(eq(int, peers_new(&peers, 2, 0, wake, NULL), 0));
	cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0));
	peer = peers_add(peers, pair[0]);
	cr_expect(eq(sz, peers_check(peers), 1));
	cr_expect(is_shut(pair[1]));
	peers_remove(peers, peer);
	peers_remove(peers, NULL);
	peers_free(peers);
	close(pair[0]);
	close(pair[1]);
	close(wake);
}
