/*
 * See readiness.h. One loop looks at the condition and at the machine, some ten times a second; what
 * it looks with never waits long, so that the end of the machine and the timeout are seen.
 */
#include "cli/readiness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/num.h"
#include "cli/guest_command.h"
#include "cli/patience.h"
#include "host/claim.h"
#include "host/client.h"
#include "host/parse.h"
#include "host/paths.h"
#include "instance/record.h"

#define LOOK_MS	      50
#define ANSWER_MS     1000u
#define STATE_EVERY   (2 * NS_PER_SECOND)
#define AGAIN_NS      (200 * NS_PER_MS) /* from one try to the next */
#define CONNECTION_NS (2 * NS_PER_SECOND)

struct awaiting {
	const struct readiness_wait *wait;
	const char *machine; /* of that */
	const struct readiness *condition;
	char what[READINESS_TEXT_MAX + 64]; /* is waited for */
	char why[512];			    /* it has not come true, as far as is known; or "" */
	uint64_t deadline;		    /* CLOCK_MONOTONIC, ns; UINT64_MAX: none */
	uint64_t state_due;		    /* the machine is asked how it is */
	uint64_t again;			    /* not before that */

	int log_fd; /* -1: not open */
	bool old_log_read;
	char tail[READINESS_TEXT_MAX]; /* of what was read last, shorter than the text */
	size_t ntail;

	int socket; /* connected, or being connected; -1: none */
	bool connected;
	uint64_t socket_ends;

	bool running; /* `command` */
	struct guest_command command;
};

/* --- what is asked for --- */

int readiness_parse(const char *option, const char *arg, struct readiness *condition,
		    struct err *err)
{
	static const char *const prefix[] = {"text:", "port:", "exec:"};
	const bool number = arg[0] != '\0' && strspn(arg, "0123456789") == strlen(arg);
	char what[32];
	uint64_t port;
	int ret;

	*condition = (struct readiness){.kind = number ? READY_PORT : READY_TEXT, .text = arg};
	for (size_t i = 0; i < ARRAY_SIZE(prefix); i++) {
		if (strncmp(arg, prefix[i], strlen(prefix[i])) != 0)
			continue;
		condition->kind = (enum readiness_kind)i;
		condition->text = arg + strlen(prefix[i]);
	}
	if (condition->text[0] == '\0')
		return err_set(err, ERR_USAGE,
			       "%s needs text:TEXT, port:N or exec:COMMAND, not '%s'", option, arg);
	if (condition->kind == READY_TEXT && strlen(condition->text) > READINESS_TEXT_MAX)
		return err_set(err, ERR_USAGE, "%s text: is longer than %u bytes", option,
			       READINESS_TEXT_MAX);
	if (condition->kind != READY_PORT)
		return 0;
	snprintf(what, sizeof(what), "%s port", option);
	ret = parse_number(condition->text, what, 1, UINT16_MAX, &port, err);
	condition->port = (uint16_t)port;
	return ret;
}

static void describe(struct awaiting *a)
{
	const struct readiness *c = a->condition;

	switch (c->kind) {
	case READY_TEXT:
		snprintf(a->what, sizeof(a->what), "'%s' on its console", c->text);
		break;
	case READY_PORT:
		snprintf(a->what, sizeof(a->what), "an answer at port %u", c->port);
		break;
	case READY_EXEC:
		snprintf(a->what, sizeof(a->what), "success of '%.900s'", c->text);
		break;
	}
}

/* --- a text on the console --- */

/* What is new in the file; true: the text is there. */
static int search_log(struct awaiting *a, int fd, struct err *err)
{
	const char *text = a->condition->text;
	const size_t len = strlen(text);
	char data[READINESS_TEXT_MAX + 16384];
	ssize_t got = 0;

	memcpy(data, a->tail, a->ntail);
	/* A guest may write as fast as this reads. */
	while (clock_monotonic_ns() < a->deadline && (got = read(fd, data + a->ntail, 16384)) > 0) {
		const size_t have = a->ntail + (size_t)got;

		if (memmem(data, have, text, len) != NULL)
			return 1;
		a->ntail = u64_min(have, len - 1);
		memmove(data, data + have - a->ntail, a->ntail);
	}
	memcpy(a->tail, data, a->ntail);
	return got < 0 ? err_sys(err, errno, "read the console's log") : 0;
}

static int open_log(const char *machine, const char *file)
{
	struct path path;

	return path_state(&path, machine, file, NULL) < 0
		       ? -1
		       : open(path.text, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

static bool is_same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* A log that has become too long is begun anew (base/log_file.h). */
static bool log_was_replaced(const struct awaiting *a)
{
	cleanup_fd int fd = open_log(a->machine, "console.log");

	return fd >= 0 && !is_same_file(fd, a->log_fd);
}

/* It may have grown before it was replaced. The one that took its place may have been replaced as well. */
static int leave_log(struct awaiting *a, struct err *err)
{
	cleanup_fd int last = open_log(a->machine, "console.log.1");
	int ret = search_log(a, a->log_fd, err);

	if (ret == 0 && last >= 0 && !is_same_file(last, a->log_fd))
		ret = search_log(a, last, err);
	close(take_fd(&a->log_fd));
	return ret;
}

static int look_for_text(struct awaiting *a, struct err *err)
{
	int ret = 0;

	if (!a->old_log_read) {
		cleanup_fd int old = open_log(a->machine, "console.log.1");

		a->old_log_read = true;
		if (old >= 0)
			ret = search_log(a, old, err);
	}
	if (ret == 0 && a->log_fd < 0)
		a->log_fd = open_log(a->machine, "console.log");
	if (ret != 0 || a->log_fd < 0)
		return ret;
	ret = search_log(a, a->log_fd, err);
	return ret == 0 && log_was_replaced(a) ? leave_log(a, err) : ret;
}

/* --- a port --- */

/* The request that asks for it, taken, and the answer; NULL: there is none now. */
static json_t *ask(const char *machine, json_t *request)
{
	struct client client;
	json_t *reply = NULL;

	if (client_open_within(&client, machine, ANSWER_MS, NULL) < 0) {
		json_decref(request);
		return NULL;
	}
	(void)client_call(&client, request, ANSWER_MS, &reply, NULL);
	client_close(&client);
	return reply;
}

union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Where this host listens for it. An unspecified address is the loopback for who connects. */
static socklen_t parse_address(const json_t *port, union address *a)
{
	const char *text = protocol_text(port, "address");
	const uint16_t host = htons((uint16_t)json_integer_value(json_object_get(port, "host")));

	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = host;
		if (a->v4.sin_addr.s_addr == htonl(INADDR_ANY))
			a->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(a->v4);
	}
	if (inet_pton(AF_INET6, text, &a->v6.sin6_addr) != 1)
		return 0;
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_port = host;
	if (IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr))
		a->v6.sin6_addr = in6addr_loopback;
	return sizeof(a->v6);
}

/* Returns the size of the address; 0: the machine does not say now; or an error. */
static int find_published(const struct awaiting *a, union address *address, struct err *err)
{
	json_t *reply = ask(a->machine, json_pack("{s:s}", "do", "ports"));
	const json_t *ports = json_object_get(reply, "ports"), *port;
	int size = reply != NULL ? -ENOENT : 0;
	size_t i;

	json_array_foreach(ports, i, port)
	{
		if (json_integer_value(json_object_get(port, "guest")) == a->condition->port &&
		    strcmp(protocol_text(port, "protocol"), "tcp") == 0 && size <= 0)
			size = (int)parse_address(port, address);
	}
	json_decref(reply);
	if (size == -ENOENT)
		return err_set(err, ERR_USAGE,
			       "TCP port %u of %s is not published: see torpor port, or use "
			       "%s exec:",
			       a->condition->port, a->machine, a->wait->option);
	return size;
}

static void drop_connection(struct awaiting *a, const char *why)
{
	snprintf(a->why, sizeof(a->why), "%s", why);
	close(take_fd(&a->socket));
	a->again = clock_monotonic_ns() + AGAIN_NS;
}

static int connect_port(struct awaiting *a, struct err *err)
{
	union address address;
	int size = find_published(a, &address, err);

	if (size <= 0)
		return size;
	a->socket = socket(address.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->socket < 0)
		return err_sys(err, errno, "socket");
	a->connected = false;
	a->socket_ends = clock_monotonic_ns() + CONNECTION_NS;
	if (connect(a->socket, &address.sa, (socklen_t)size) < 0 && errno != EINPROGRESS)
		drop_connection(a, strerror(errno));
	return 0;
}

/* Whether the connection is through to the guest. */
static bool guest_accepted(const struct awaiting *a)
{
	union address own = {0};
	socklen_t size = sizeof(own);
	json_int_t client = 0;
	json_t *reply;
	bool accepted;

	/* Those over IPv6 may go through a relay with a port of its own. */
	if (getsockname(a->socket, &own.sa, &size) == 0 && own.sa.sa_family == AF_INET)
		client = ntohs(own.v4.sin_port);
	reply = ask(a->machine, json_pack("{s:s,s:i,s:I}", "do", "accepted", "guest",
					  (int)a->condition->port, "client", client));
	accepted = json_is_true(json_object_get(reply, "accepted"));
	json_decref(reply);
	return accepted;
}

/* Our own listener takes every connection: it is closed when the guest refuses it, and stays silent
 * while the guest does not answer. What the guest says itself is an answer, too. */
static int look_at_port(struct awaiting *a, struct err *err)
{
	struct pollfd poll_out = {.events = POLLOUT};
	uint8_t byte;
	ssize_t got;

	if (a->socket < 0)
		return connect_port(a, err);
	poll_out.fd = a->socket;
	if (!a->connected && poll(&poll_out, 1, 0) > 0)
		a->connected = true;
	if (a->connected) {
		got = recv(a->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
		if (got > 0)
			return 1;
		if (got == 0 || errno != EAGAIN) {
			drop_connection(a, "the guest refuses connections");
			return 0;
		}
		if (guest_accepted(a))
			return 1;
	}
	/* A new one is asked of the guest at once; an old one only now and then. */
	if (clock_monotonic_ns() > a->socket_ends)
		drop_connection(a, "the guest does not answer");
	return 0;
}

/* --- a command --- */

static int start_command(struct awaiting *a)
{
	static char shell[] = "/bin/sh", option[] = "-c";
	char *argv[] = {shell, option, (char *)a->condition->text, NULL}, *env[] = {NULL};
	const struct guest_call call = {
		.folder = "", .user = "", .argv = argv, .env = env, .take_ms = ANSWER_MS};
	struct err err;

	a->running = guest_command_start(&a->command, a->machine, &call, &err) == 0;
	if (!a->running)
		snprintf(a->why, sizeof(a->why), "%.500s", err.text);
	return 0;
}

static void end_command(struct awaiting *a)
{
	if (a->running)
		guest_command_close(&a->command);
	a->running = false;
	a->again = clock_monotonic_ns() + AGAIN_NS;
}

static int look_at_command(struct awaiting *a, struct err *err)
{
	struct exec_frame frame;
	const uint8_t *data;
	struct err why = {0};
	int ret, status;

	(void)err;
	if (!a->running)
		return start_command(a);
	while ((ret = guest_command_frame(&a->command, false, &frame, &data, &why)) > 0)
		; /* what it prints is not wanted */
	if (ret == 0 && !a->command.ended)
		return 0;
	status = ret < 0 ? -1 : guest_command_status(&a->command, "/bin/sh", &why);
	if (why.kind != ERR_NONE)
		snprintf(a->why, sizeof(a->why), "%.500s", why.text);
	else
		snprintf(a->why, sizeof(a->why), "its exit status was %d", status);
	end_command(a);
	return status == 0;
}

/* --- the machine --- */

static int is_over(const struct awaiting *a, struct err *err)
{
	struct record record;

	if (!machine_is_known(a->machine) || record_read(a->machine, &record, NULL) < 0)
		return err_set(err, ERR_FAILED, "machine %s has ended before %s", a->machine,
			       a->what);
	return err_set(err, ERR_FAILED, "machine %s has ended (%s) before %s", a->machine,
		       machine_end_name(record.end), a->what);
}

/* One that is broken or has halted stays, but says nothing any more. */
static int check_state(struct awaiting *a, struct err *err)
{
	json_t *status;
	char state[16];

	if (clock_monotonic_ns() < a->state_due)
		return 0;
	a->state_due = clock_monotonic_ns() + STATE_EVERY;
	status = ask(a->machine, json_pack("{s:s}", "do", "status"));
	snprintf(state, sizeof(state), "%.15s", protocol_text(status, "state"));
	json_decref(status);
	if (strcmp(state, "broken") != 0 && strcmp(state, "halted") != 0)
		return 0;
	return err_set(err, ERR_FAILED, "machine %s is %s before %s", a->machine, state, a->what);
}

static int look(struct awaiting *a, struct err *err)
{
	if (clock_monotonic_ns() < a->again)
		return 0;
	switch (a->condition->kind) {
	case READY_TEXT:
		return look_for_text(a, err);
	case READY_PORT:
		return look_at_port(a, err);
	default:
		return look_at_command(a, err);
	}
}

static int timed_out(const struct awaiting *a, struct err *err)
{
	err_set(err, ERR_FAILED, "waited %llu s for %s%s%s", (unsigned long long)a->wait->timeout_s,
		a->what, a->why[0] != '\0' ? ": " : "", a->why);
	return -ETIMEDOUT;
}

static int await_one(struct awaiting *a, struct err *err)
{
	struct pollfd stop = {.fd = a->wait->stop_fd, .events = POLLIN};

	for (;;) {
		/* Looked at once more after the end, for the last words. */
		const bool over = !claim_is_held(a->machine);
		int ret = look(a, err);

		if (ret != 0)
			return ret < 0 ? ret : 0;
		if (over)
			return is_over(a, err);
		ret = check_state(a, err);
		if (ret < 0)
			return ret;
		if (clock_monotonic_ns() >= a->deadline)
			return timed_out(a, err);
		if (poll(&stop, 1, LOOK_MS) > 0)
			return err_sys(err, ECANCELED, "interrupted");
	}
}

static int await_patiently(struct awaiting *a, struct err *err)
{
	const bool speaks = isatty(STDERR_FILENO);
	struct patience patience;
	int ret;

	a->log_fd = a->socket = -1;
	describe(a);
	if (speaks)
		patience_begin(&patience, a->wait->verb, a->what);
	ret = await_one(a, err);
	if (speaks)
		patience_end(&patience);
	cleanup_fd_fn(&a->log_fd);
	cleanup_fd_fn(&a->socket);
	end_command(a);
	return ret;
}

int readiness_await(const struct readiness_wait *wait, struct err *err)
{
	const uint64_t deadline = wait->timeout_s != 0
					  ? clock_monotonic_ns() + wait->timeout_s * NS_PER_SECOND
					  : UINT64_MAX;
	const char *machine = wait->machine;

	if (!claim_is_held(machine) && !machine_is_known(machine))
		return err_set(err, ERR_NOT_FOUND, "no machine is named %s", machine);
	for (size_t i = 0; i < wait->n; i++) {
		/* Much of it is a buffer. */
		cleanup_free struct awaiting *a = calloc(1, sizeof(*a));
		int ret;

		if (a == NULL)
			return err_sys(err, ENOMEM, "wait for %s", machine);
		a->wait = wait;
		a->machine = machine;
		a->condition = &wait->condition[i];
		a->deadline = deadline;
		ret = await_patiently(a, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}
