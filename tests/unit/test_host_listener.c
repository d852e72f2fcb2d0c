/* Listening sockets (host/listener.h, base/unix_socket.h), and what is said in bytes that are no
 * UTF-8. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/printable.h"
#include "base/unix_socket.h"
#include "host/listener.h"
#include "host/protocol.h"

static char folder[] = "/tmp/torpor-listener.XXXXXX";
static char path[PATH_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;
static struct listener listener;
static int accepted;
static unsigned rounds;

static void on_accepted(struct listener *l, int fd)
{
	(void)l;
	accepted++;
	close(fd);
}

static void set_up(void)
{
	cr_assert(ne(ptr, mkdtemp(folder), NULL));
	snprintf(path, sizeof(path), "%s/control", folder);
	cr_assert(eq(i32, loop_init(&loop, &lock, NULL), 0));
}

static void tear_down(void)
{
	char command[64];

	listener_close(&listener);
	loop_free(&loop);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	cr_assert(eq(i32, system(command), 0));
}

TestSuite(host_listener, .init = set_up, .fini = tear_down);

static void count_round(struct loop_hook *hook)
{
	(void)hook;
	rounds++;
}

static void *stop_later(void *opaque)
{
	static const struct timespec later = {.tv_nsec = 500000000};

	(void)opaque;
	(void)nanosleep(&later, NULL);
	loop_stop(&loop);
	return NULL;
}

static void run_for_a_while(void)
{
	pthread_t thread;

	cr_assert(eq(i32, pthread_create(&thread, NULL, stop_later, NULL), 0));
	cr_assert(eq(i32, loop_run(&loop, NULL), 0));
	pthread_join(thread, NULL);
}

Test(host_listener, without_descriptors_it_waits)
{
	struct loop_hook hook;
	struct rlimit limit;
	rlim_t enough;
	int client;

	cr_assert(eq(i32, listener_open(&listener, &loop, path, on_accepted, NULL), 0));
	client = unix_connect(path, UNIX_NO_WAIT);
	cr_assert(ge(i32, client, 0));
	cr_assert(eq(i32, getrlimit(RLIMIT_NOFILE, &limit), 0));
	enough = limit.rlim_cur;
	limit.rlim_cur = (rlim_t)client + 1;
	cr_assert(eq(i32, setrlimit(RLIMIT_NOFILE, &limit), 0));
	while (dup(client) >= 0) /* holes below, too */
		continue;
	loop_hook(&loop, &hook, count_round);
	run_for_a_while();
	cr_expect(eq(i32, accepted, 0));
	/* A try each 100 ms, and a round for each timer: not thousands. */
	cr_expect(le(u32, rounds, 50), "%u rounds", rounds);
	limit.rlim_cur = enough;
	cr_assert(eq(i32, setrlimit(RLIMIT_NOFILE, &limit), 0));
	run_for_a_while();
	cr_expect(eq(i32, accepted, 1), "what waited is served");
	loop_unhook(&loop, &hook);
	close(client);
}

Test(host_listener, a_path_of_any_length)
{
	int client;

	for (int i = 0; i < 5; i++) {
		size_t len = strlen(folder);

		snprintf(path, sizeof(path), "%s", folder);
		for (int part = 0; part <= i; part++) {
			len = strlen(path);
			snprintf(path + len, sizeof(path) - len, "/%0200d", part);
			(void)mkdir(path, 0700);
		}
		len = strlen(path);
		snprintf(path + len, sizeof(path) - len, "/control");
		cr_assert(eq(i32, listener_open(&listener, &loop, path, on_accepted, NULL), 0));
		client = unix_connect(path, 1000);
		cr_expect(ge(i32, client, 0), "%zu bytes", strlen(path));
		cr_expect(eq(i32, fcntl(client, F_GETFL) & O_NONBLOCK, 0));
		close(client);
		listener_close(&listener);
	}
	cr_expect(eq(i32, unix_connect(path, UNIX_NO_WAIT), -ECONNREFUSED));
	cr_assert(eq(i32, unlink(path), 0));
	cr_expect(eq(i32, unix_connect(path, UNIX_NO_WAIT), -ENOENT));
}

Test(host_listener, a_full_queue_is_an_answer)
{
	int client, ret;

	cr_assert(eq(i32, listener_open(&listener, &loop, path, on_accepted, NULL), 0));
	cr_assert(eq(i32, listen(listener.fd, 0), 0));
	client = unix_connect(path, UNIX_NO_WAIT);
	cr_assert(ge(i32, client, 0));
	ret = unix_connect(path, UNIX_NO_WAIT);
	cr_expect(eq(i32, ret, -EAGAIN));
	ret = unix_connect(path, 50);
	cr_expect(eq(i32, ret, -EAGAIN), "it has a deadline");
	close(client);
}

Test(host_errors, are_utf8)
{
	static const struct {
		const char *said, *told;
	} texts[] = {
		{"plain", "plain"},
		{"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
		 "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
		{"a\xff\xfe", "a??"},
		{"cut \xe2\x82", "cut ??"},
		{"\xc0\x80 \xe0\x80\x80", "?? ???"},	  /* overlong */
		{"\xed\xa0\x80", "???"},		  /* a surrogate */
		{"\xf4\x90\x80\x80 \xf8\x88", "???? ??"}, /* beyond Unicode */
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct err err = {0};
		json_t *reply;

		err_set(&err, ERR_FAILED, "%s", texts[i].said);
		reply = protocol_error(&err);
		cr_assert(ne(ptr, reply, NULL));
		cr_expect(eq(str, (char *)protocol_text(reply, "error"), (char *)texts[i].told));
		json_decref(reply);
		err_sys(&err, ENOENT, "%s", texts[i].said);
		err_context(&err, -1, "%s", texts[i].said);
		reply = protocol_error(&err);
		cr_expect(ne(ptr, strstr(protocol_text(reply, "error"), texts[i].told), NULL));
		json_decref(reply);
	}
}

Test(host_errors, a_text_that_was_cut_is_utf8)
{
	char text[3000];
	json_t *reply;

	for (size_t shift = 0; shift < 3; shift++) {
		struct err err;

		memset(text, 'x', sizeof(text));
		for (size_t i = shift; i + 3 < sizeof(text); i += 3)
			memcpy(text + i, "\xe2\x82\xac", 3);
		text[sizeof(text) - 1] = '\0';
		err_set(&err, ERR_FAILED, "%s", text);
		reply = protocol_error(&err);
		cr_expect(ne(ptr, reply, NULL));
		json_decref(reply);
	}
}
