/*
 * The client's side of the control protocol: a machine and a LAN that answer anything, in pieces of
 * any size, and the verbs that ask them and print what they say.
 *
 * The input is: which verb (one byte), and pieces: how long (two), and the bytes. Each piece is one
 * read of the client's; one of no bytes ends the connection, what follows is for the next one.
 */
#include "host/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "cli/command.h"
#include "host/claim.h"
#include "tests/fuzz/fuzz.h"

#define NAME	    "seed"
#define CONNECTIONS 8u
#define ARGS	    4u
#define CALLS	    32u /* requests that find room in a socket nobody reads from meanwhile */

static const uint8_t *answers; /* that are left, pieces */
static size_t left;
static int server[CONNECTIONS];
static unsigned nservers;

/* ---- who is asked ---- */

/* What is said on one connection, and its end. */
static void answer(int fd)
{
	while (left >= 2) {
		size_t len = le_get16(answers);

		answers += 2;
		left -= 2;
		if (len == 0)
			break;
		if (len > left)
			len = left;
		if (len > 0)
			(void)send(fd, answers, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		answers += len;
		left -= len;
	}
	fuzz_require(shutdown(fd, SHUT_WR) == 0);
}

/* Everybody is reached, and has answered before being asked. Pieces stay pieces
 * (SOCK_SEQPACKET). */
int connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t len)
{
	int ends[2];

	(void)to;
	(void)len;
	if (nservers == CONNECTIONS) {
		errno = ECONNREFUSED;
		return -1;
	}
	fuzz_require(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
	fuzz_require(dup2(ends[0], fd) == fd);
	close(ends[0]);
	server[nservers++] = ends[1];
	answer(ends[1]);
	return 0;
}

/* What was asked: one object a line. */
static void check_requests(int fd)
{
	static char request[PROTOCOL_LINE_MAX];
	ssize_t got;

	while ((got = recv(fd, request, sizeof(request), MSG_DONTWAIT)) > 0) {
		json_t *object = json_loadb(request, (size_t)got - 1, 0, NULL);

		fuzz_require(request[got - 1] == '\n');
		fuzz_require(json_is_string(json_object_get(object, "do")));
		json_decref(object);
	}
}

static void close_servers(void)
{
	for (; nservers > 0; nservers--) {
		check_requests(server[nservers - 1]);
		close(server[nservers - 1]);
	}
}

/* ---- who asks ---- */

static void call_until_it_ends(void)
{
	struct client client;
	struct err err = {0};
	json_t *reply;
	int ret;

	fuzz_require(client_open(&client, NAME, &err) == 0);
	for (unsigned i = 0; i < CALLS; i++) {
		err_clear(&err);
		ret = client_do(&client, "status", CLIENT_FOREVER, &reply, &err);
		fuzz_require_reason(ret, &err);
		fuzz_require((ret == 0) == json_is_true(json_object_get(reply, "ok")));
		json_decref(reply);
		if (ret == -EPIPE || ret == -EMSGSIZE)
			break;
	}
	client_close(&client);
}

static const char *const verbs[][ARGS] = {
	{"wait", NAME},
	{"stats", NAME},
	{"stats", "--json", NAME},
	{"stats"},
	{"port", NAME},
	{"port", "--json", NAME},
	{"inspect", NAME},
	{"resume", NAME},
	{"save", "-R", NAME},
	{"save", "--json", NAME},
	{"pause", NAME},
	{"stop", NAME},
	{"kill", NAME},
	{"ps"},
	{"ps", "-q"},
	{"ps", "--json"},
	{"lan", "ls"},
	{"lan", "stats", NAME},
	{"lan", "rm", NAME},
	{"inspect", "--json", NAME},
};

static void run(const char *const verb[ARGS])
{
	const struct command *command = command_find(verb[0]);
	char text[ARGS][16], *argv[ARGS + 1] = {0};
	struct options options;
	struct err err = {0};
	int argc = 0, ret;

	for (; argc < (int)ARGS && verb[argc] != NULL; argc++) {
		snprintf(text[argc], sizeof(text[argc]), "%s", verb[argc]);
		argv[argc] = text[argc];
	}
	fuzz_require(command != NULL);
	options_init(&options, command->options, argc, argv);
	ret = command->run(&options, &err);
	fuzz_require_reason(ret < 0 ? ret : 0, &err);
}

/* A machine and a LAN that are alive, in a home of their own; what verbs print goes nowhere. */
static void set_up(void)
{
	static struct claim machine, lan;
	static const char *const homes[] = {"XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_DATA_HOME",
					    "HOME"};

	if (machine.name[0] != '\0')
		return;
	for (size_t i = 0; i < ARRAY_SIZE(homes); i++)
		fuzz_require(setenv(homes[i], fuzz_folder(), 1) == 0);
	fuzz_require(claim_name(&machine, NAME, NULL) == 0 && claim_lan(&lan, NAME, NULL) == 0);
	fuzz_require(freopen("/dev/null", "w", stdout) != NULL);
	stderr = fopen("/dev/null", "w"); /* of the verbs: a finding is written to the descriptor */
	fuzz_require(stderr != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned which, fds;

	if (size == 0)
		return 0;
	set_up();
	fds = fuzz_open_fds();
	which = data[0] % (ARRAY_SIZE(verbs) + 1);
	answers = data + 1;
	left = size - 1;
	if (which == ARRAY_SIZE(verbs))
		call_until_it_ends();
	else
		run(verbs[which]);
	close_servers();
	fuzz_require(fuzz_open_fds() == fds);
	return 0;
}
