/* What the verbs make of replies that lack what they print: those of another version. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <criterion/redirect.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "base/unix_socket.h"
#include "cli/command.h"
#include "host/claim.h"
#include "host/paths.h"
#include "tests/unit/claims.h"

#define NAME "web"
#define ARGS 3

static pid_t server;

/* Give each who calls the same answer to whatever it asks. */
static void answer(const int listener[2], const char *reply)
{
	char request[1024];

	for (;;) {
		struct pollfd pfd[] = {{listener[0], POLLIN, 0}, {listener[1], POLLIN, 0}};
		int fd;

		(void)poll(pfd, 2, -1);
		fd = accept(listener[pfd[0].revents == 0], NULL, NULL);
		while (read(fd, request, sizeof(request)) > 0)
			dprintf(fd, "%s\n", reply);
		close(fd);
	}
}

static void start(const char *reply)
{
	struct path path[2];
	int listener[2];

	cr_assert(eq(i32, path_runtime(&path[0], NAME, "control", NULL), 0));
	cr_assert(eq(i32, path_lan(&path[1], NAME, "control", NULL), 0));
	for (int i = 0; i < 2; i++)
		cr_assert(ge(i32, listener[i] = unix_listen(path[i].text, NULL), 0));
	server = fork();
	cr_assert(ge(i32, server, 0));
	if (server == 0)
		answer(listener, reply);
	close(listener[0]);
	close(listener[1]);
}

static void stop(void)
{
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
}

static int run(const char *const words[ARGS], struct err *err)
{
	const struct command *command = command_find(words[0]);
	char *argv[ARGS + 1] = {0};
	struct options options;
	int argc = 0, ret;

	for (; argc < ARGS && words[argc] != NULL; argc++)
		argv[argc] = strdup(words[argc]);
	options_init(&options, command->options, argc, argv);
	ret = command->run(&options, err);
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	return ret;
}

static void set_up(void)
{
	claims_begin(NAME);
	cr_redirect_stdout();
	cr_redirect_stderr();
}

Test(replies, verbs_do_without_what_is_missing, .init = set_up, .fini = claims_end)
{
	static const char *const verbs[][ARGS] = {
		{"wait", NAME},
		{"stats", NAME},
		{"stats"},
		{"stats", "--json"},
		{"port", NAME},
		{"port", "--json", NAME},
		{"inspect", NAME},
		{"inspect", "--json", NAME},
		{"resume", NAME},
		{"save", "-R", NAME},
		{"ps"},
		{"lan", "ls"},
		{"lan", "stats", NAME},
		{"lan", "rm", NAME},
	};
	static const char *const replies[] = {
		"{\"ok\":true}",
		"{\"ok\":true,\"end\":\"broken\",\"paging\":{},\"network\":[{}],\"ports\":[{}],"
		"\"dhcp\":{},\"leases\":[{}],\"wake\":{\"ran\":[{}]},\"base\":{},\"started\":1}",
		"{\"ok\":true,\"end\":1,\"paging\":[],\"network\":[null],\"ports\":[7],"
		"\"dhcp\":7,\"leases\":\"\",\"wake\":\"\",\"base\":[],\"started\":{}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
		start(replies[i]);
		for (size_t j = 0; j < ARRAY_SIZE(verbs); j++) {
			struct err err = {0};

			if (run(verbs[j], &err) < 0)
				cr_expect(ne(i32, err.text[0], '\0'), "%s", verbs[j][0]);
		}
		stop();
	}
}
