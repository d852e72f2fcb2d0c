/* See control.h. */
#include "host/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "host/paths.h"
#include "host/protocol.h"

struct control_client {
	struct control *control;
	struct control_client *next;
	int fd;
	bool waits;	/* for the end */
	bool or_broken; /* and would know, too, when it cannot go on */
	int passed_fd;	/* for the next request; -1: none */
	struct loop_watch watch;
	struct line_buffer lines;
};

/* What became of a client while it was served. */
enum served { SERVED_OPEN, SERVED_GONE };

void control_init(struct control *control, struct loop *loop)
{
	*control = (struct control){
		.loop = loop, .watch = {.fd = -1}, .listen_fd = -1, .passed_fd = -1};
}

/* Forget a client; its descriptor is left to the caller. */
static void client_forget(struct control_client *client)
{
	struct control_client **link = &client->control->clients;

	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	loop_del(client->control->loop, &client->watch);
	line_buffer_free(&client->lines);
	if (client->passed_fd >= 0)
		close(client->passed_fd);
	free(client);
}

static enum served client_drop(struct control_client *client)
{
	int fd = client->fd;

	client_forget(client);
	close(fd);
	return SERVED_GONE;
}

static enum served reply(struct control_client *client, json_t *message)
{
	return protocol_send(client->fd, message) < 0 ? client_drop(client) : SERVED_OPEN;
}

static enum served reply_error(struct control_client *client, const struct err *err)
{
	return reply(client, protocol_error(err));
}

/* The connection leaves us. The answer goes first: what follows it is the guest's. */
static enum served become_console(struct control_client *client)
{
	struct control *control = client->control;
	struct line_buffer lines = client->lines;
	int fd = client->fd;
	const uint8_t *typed;
	size_t len;

	if (reply(client, json_pack("{s:b}", "ok", 1)) == SERVED_GONE)
		return SERVED_GONE;
	client->lines = (struct line_buffer){0};
	client_forget(client);
	typed = line_buffer_rest(&lines, &len);
	(void)control->console(control->opaque, fd, typed, len, NULL);
	line_buffer_free(&lines);
	return SERVED_GONE;
}

static enum served begin_wait(struct control_client *client, bool or_broken)
{
	if (or_broken && client->control->broken != NULL)
		return reply(client, json_incref(client->control->broken));
	client->waits = true;
	client->or_broken = or_broken;
	return SERVED_OPEN;
}

static json_t *answer(struct control_client *client, const char *what, const json_t *request,
		      struct err *err)
{
	struct control *control = client->control;
	cleanup_fd int passed = take_fd(&client->passed_fd);
	json_t *answer;

	control->passed_fd = passed;
	answer = control->answer(control->opaque, what, request, err);
	control->passed_fd = -1;
	return answer;
}

static enum served serve_request(struct control_client *client, const json_t *request)
{
	const char *what = json_string_value(json_object_get(request, "do"));
	struct err err = {0};
	json_t *answered;

	if (what == NULL) {
		err_set(&err, ERR_USAGE, "a request is an object with a member \"do\"");
		return reply_error(client, &err);
	}
	if (strcmp(what, "console") == 0 && client->control->console != NULL)
		return become_console(client);
	if (strcmp(what, "wait") == 0)
		return begin_wait(client, json_is_true(json_object_get(request, "or-broken")));
	answered = answer(client, what, request, &err);
	return answered != NULL ? reply(client, answered) : reply_error(client, &err);
}

static enum served serve_lines(struct control_client *client)
{
	enum served served = SERVED_OPEN;
	char *line;

	while (served == SERVED_OPEN && (line = line_buffer_next(&client->lines)) != NULL) {
		json_t *request = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

		served = serve_request(client, request);
		json_decref(request);
	}
	return served;
}

static void on_client(struct loop_watch *watch, uint32_t events)
{
	struct control_client *client = container_of(watch, struct control_client, watch);
	struct err err;
	int got;

	(void)events;
	got = line_buffer_receive(&client->lines, client->fd, &client->passed_fd);
	if (got == -EAGAIN || got == -EINTR)
		return;
	if (got == -EMSGSIZE) {
		err_set(&err, ERR_USAGE, "a request is longer than %u bytes", PROTOCOL_LINE_MAX);
		if (reply_error(client, &err) == SERVED_GONE)
			return;
	}
	if (got <= 0)
		client_drop(client);
	else
		serve_lines(client);
}

static void on_connection(struct loop_watch *watch, uint32_t events)
{
	struct control *control = container_of(watch, struct control, watch);
	int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct control_client *client;

	(void)events;
	if (fd < 0)
		return;
	client = calloc(1, sizeof(*client));
	if (client == NULL ||
	    loop_add(control->loop, &client->watch, fd, EPOLLIN, on_client, NULL) < 0) {
		free(client);
		close(fd);
		return;
	}
	client->control = control;
	client->fd = fd;
	client->passed_fd = -1;
	client->next = control->clients;
	control->clients = client;
}

int control_bind(const struct sockaddr_un *addr, struct err *err)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(err, errno, "socket");
	(void)unlink(addr->sun_path);
	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ||
	    chmod(addr->sun_path, 0600) < 0 || listen(fd, 16) < 0)
		return err_sys(err, errno, "listen on %s", addr->sun_path);
	return take_fd(&fd);
}

int control_listen_at(struct control *control, const struct sockaddr_un *addr, struct err *err)
{
	int ret = control->listen_fd = control_bind(addr, err);

	if (ret >= 0)
		ret = loop_add(control->loop, &control->watch, control->listen_fd, EPOLLIN,
			       on_connection, err);
	if (ret < 0)
		control_close_listener(control);
	return ret;
}

int control_listen(struct control *control, const char *name, struct err *err)
{
	struct sockaddr_un addr;
	int ret = path_control(&addr, name, err);

	return ret < 0 ? ret : control_listen_at(control, &addr, err);
}

void control_close_listener(struct control *control)
{
	loop_del(control->loop, &control->watch);
	if (control->listen_fd >= 0)
		close(control->listen_fd);
	control->listen_fd = -1;
}

void control_broken(struct control *control, json_t *broken)
{
	control->broken = broken;
	for (struct control_client *c = control->clients; c != NULL; c = c->next) {
		if (!c->waits || !c->or_broken)
			continue;
		c->waits = false;
		(void)protocol_send(c->fd, json_incref(broken));
	}
}

void control_finish(struct control *control, json_t *over)
{
	while (control->clients != NULL) {
		struct control_client *client = control->clients;

		if (client->waits)
			(void)protocol_send(client->fd, json_incref(over));
		client_drop(client);
	}
	json_decref(over);
	json_decref(control->broken);
}
