/* See lan_relay.h. A thread each direction: standard streams may be shared with others and cannot
 * be made non-blocking. */
#include "cli/lan_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/num.h"
#include "base/unix_socket.h"
#include "cli/patience.h"
#include "devices/net/net_lan_wire.h"
#include "host/paths.h"

#define CHUNK	   (256u << 10)
#define CONNECT_MS 10000u

/* One direction. The second line says whether its sender agrees. */
struct direction {
	struct session *session;
	int from, to;
	unsigned lines;
	char line[LAN_WIRE_LINE_MAX];
	size_t len;
};

/* Outlives a thread that still reads. */
struct session {
	atomic_uint users;
	atomic_uint agreed;
	bool tell;
	atomic_bool waits; /* for the two to agree */
	struct patience patience;
	pthread_mutex_t lock;
	char refusal[LAN_WIRE_LINE_MAX];
	struct direction direction[2];
	int lan;
	int over[2]; /* a pipe: readable when a direction has ended */
};

/* Any thread. */
static void wait_no_more(struct session *s)
{
	if (atomic_exchange(&s->waits, false))
		patience_end(&s->patience);
}

static void relay_agreed(struct session *s)
{
	if (atomic_fetch_add(&s->agreed, 1) != 1 || !s->tell)
		return;
	wait_no_more(s);
	puts("joined");
	fflush(stdout);
}

static void relay_refuse(struct session *s, const char *why)
{
	pthread_mutex_lock(&s->lock);
	snprintf(s->refusal, sizeof(s->refusal), "%s", why);
	pthread_mutex_unlock(&s->lock);
}

static void relay_handle_line(struct direction *direction)
{
	struct session *s = direction->session;

	if (++direction->lines < 2)
		return;
	if (strcmp(direction->line, "ok") == 0) {
		relay_agreed(s);
		return;
	}
	relay_refuse(s, strncmp(direction->line, "no ", 3) == 0
				? direction->line + 3
				: "the other side is no switch of torpor");
}

static void relay_parse_greeting(struct direction *direction, const char *data, size_t len)
{
	for (size_t i = 0; i < len && direction->lines < 2; i++) {
		if (data[i] != '\n') {
			if (direction->len < sizeof(direction->line) - 1)
				direction->line[direction->len++] = data[i];
			continue;
		}
		direction->line[direction->len] = '\0';
		direction->len = 0;
		relay_handle_line(direction);
	}
}

static void copy(struct direction *direction)
{
	char *data = malloc(CHUNK);
	ssize_t got;

	if (data == NULL)
		relay_refuse(direction->session, "there is no memory to copy between the two");
	while (data != NULL) {
		got = read(direction->from, data, CHUNK);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		if (direction->lines < 2)
			relay_parse_greeting(direction, data, (size_t)got);
		if (io_write(direction->to, data, (uint64_t)got) < 0)
			break;
	}
	free(data);
}

static void leave(struct session *s)
{
	if (atomic_fetch_sub(&s->users, 1) != 1)
		return;
	close(s->lan);
	close(s->over[0]);
	close(s->over[1]);
	free(s);
}

static void *carry(void *opaque)
{
	struct direction *direction = opaque;
	struct session *s = direction->session;

	copy(direction);
	(void)!write(s->over[1], "", 1);
	leave(s);
	return NULL;
}

int relay_open(struct relay *relay, const char *name, struct err *err)
{
	struct path path;
	int ret = path_lan(&path, name, "trunk", err);

	relay->lan = -1;
	if (ret < 0)
		return ret;
	ret = path_lans_check(err);
	if (ret < 0)
		return ret;
	ret = unix_connect(path.text, CONNECT_MS);
	if (ret == -ENOENT || ret == -ENOTDIR || ret == -ECONNREFUSED)
		return err_set(err, ERR_NOT_FOUND, "there is no LAN %s", name);
	if (ret < 0)
		return err_sys(err, -ret, "%s", path.text);
	relay->lan = ret;
	return 0;
}

static void await_one(struct session *s)
{
	char byte;

	while (read(s->over[0], &byte, 1) < 0 && errno == EINTR)
		continue;
}

/* Nothing ends a read of a pipe or a terminal. Returns whether both directions end. */
static bool hang_up(const struct session *s, const struct relay *relay)
{
	bool ends;

	(void)shutdown(s->lan, SHUT_RDWR);
	ends = shutdown(relay->in, SHUT_RDWR) == 0;
	(void)shutdown(relay->out, SHUT_RDWR);
	return ends;
}

static int begin(struct session *s, const struct relay *relay, struct err *err)
{
	const int ends[2][2] = {{relay->in, relay->lan}, {relay->lan, relay->out}};
	pthread_t thread;
	int ret;

	for (unsigned i = 0; i < 2; i++) {
		s->direction[i] =
			(struct direction){.session = s, .from = ends[i][0], .to = ends[i][1]};
		atomic_fetch_add(&s->users, 1);
		ret = pthread_create(&thread, NULL, carry, &s->direction[i]);
		if (ret != 0) {
			if (hang_up(s, relay) && i > 0)
				await_one(s);
			leave(s);
			return err_sys(err, ret, "thread");
		}
		pthread_detach(thread);
	}
	return 0;
}

/* When one direction is over, so is the other. */
static void await_end(struct session *s, const struct relay *relay)
{
	await_one(s);
	if (hang_up(s, relay))
		await_one(s);
}

static int outcome(struct session *s, struct err *err)
{
	int ret = 0;

	pthread_mutex_lock(&s->lock);
	if (s->refusal[0] != '\0')
		ret = err_set(err, ERR_FAILED, "%s", s->refusal);
	else if (atomic_load(&s->agreed) < 2 &&
		 err_set(err, ERR_FAILED, "the other side hung up before it was joined") < 0)
		ret = -EPIPE;
	pthread_mutex_unlock(&s->lock);
	return ret;
}

int relay_run(struct relay *relay, struct err *err)
{
	struct session *s = calloc(1, sizeof(*s));
	int ret = 0;

	if (s == NULL)
		ret = err_sys(err, ENOMEM, "join");
	else if (pipe2(s->over, O_CLOEXEC) < 0)
		ret = err_sys(err, errno, "join: pipe");
	if (ret < 0) {
		free(s);
		close(relay->lan);
		return ret;
	}
	s->lan = relay->lan;
	s->tell = relay->tell;
	pthread_mutex_init(&s->lock, NULL);
	atomic_init(&s->users, 1);
	if (s->tell) {
		patience_begin(&s->patience, "lan", "the switches of the two LANs to agree");
		atomic_store(&s->waits, true);
	}
	ret = begin(s, relay, err);
	if (ret == 0) {
		await_end(s, relay);
		ret = outcome(s, err);
	}
	wait_no_more(s);
	leave(s);
	return ret;
}
