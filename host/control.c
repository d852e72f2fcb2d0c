/* See control.h. */
#include "host/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "host/paths.h"
#include "host/protocol.h"

struct control_client {
	struct control *control;
	struct control_client *next;
	int fd;
	bool answering; /* its request is being answered: nothing is read from it */
	bool waits;	/* for the end */
	bool or_broken; /* or for a failure */
	int passed_fd;	/* for the next request; -1: none */
	struct loop_watch watch;
	struct line_buffer lines;
};

/* What became of a client while it was served. */
enum served { SERVED_OPEN, SERVED_LATER, SERVED_GONE };

void control_init(struct control *control, struct loop *loop)
{
	*control = (struct control){
		.loop = loop,
		.listener = {LISTENER_CLOSED, LISTENER_CLOSED},
		.passed_fd = -1,
		.client_fd = -1,
	};
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

static enum served control_reply(struct control_client *client, json_t *message)
{
	return protocol_send(client->fd, message) < 0 ? client_drop(client) : SERVED_OPEN;
}

/* The connection is handed over. The answer goes first: what follows it comes from the guest. */
static enum served control_hand_over(struct control_client *client, const char *what)
{
	struct control *control = client->control;
	struct line_buffer lines = client->lines;
	int fd = client->fd;
	const uint8_t *typed;
	size_t len;

	if (control_reply(client, json_pack("{s:b}", "ok", 1)) == SERVED_GONE)
		return SERVED_GONE;
	client->lines = (struct line_buffer){0};
	client_forget(client);
	typed = line_buffer_rest(&lines, &len);
	(void)control->hand_over(control->opaque, what, fd, typed, len, NULL);
	line_buffer_free(&lines);
	return SERVED_GONE;
}

static enum served control_handle_request(struct control_client *client, const json_t *request)
{
	const char *what = json_string_value(json_object_get(request, "do"));
	struct control *control = client->control;
	cleanup_fd int passed = -1;
	struct err err = {0};
	json_t *answer;

	if (what == NULL) {
		err_set(&err, ERR_USAGE, "a request is an object with a member \"do\"");
		return control_reply(client, protocol_error(&err));
	}
	if (strcmp(what, "console") == 0 && control->hand_over != NULL)
		return control_hand_over(client, what);
	if (strcmp(what, "wait") == 0) {
		client->or_broken = json_is_true(json_object_get(request, "or-broken"));
		if (client->or_broken && control->broken != NULL)
			return control_reply(client, json_incref(control->broken));
		client->waits = true;
		return SERVED_OPEN;
	}
	passed = take_fd(&client->passed_fd);
	control->passed_fd = passed;
	control->client_fd = client->fd;
	control->asking = client;
	client->answering = true;
	answer = control->answer(control->opaque, what, request, &err);
	control->asking = NULL;
	control->passed_fd = control->client_fd = -1;
	if (control->deferred == client)
		return SERVED_LATER;
	client->answering = false;
	if (client->watch.fd < 0) {
		json_decref(answer);
		return client_drop(client);
	}
	loop_mod(control->loop, &client->watch, EPOLLIN);
	if (strcmp(what, "exec") == 0 && control->hand_over != NULL && answer != NULL) {
		json_decref(answer);
		return control_hand_over(client, what);
	}
	return control_reply(client, answer != NULL ? answer : protocol_error(&err));
}

static enum served control_handle_lines(struct control_client *client)
{
	enum served served = SERVED_OPEN;
	char *line;

	while (served == SERVED_OPEN && (line = line_buffer_next(&client->lines)) != NULL) {
		json_t *request = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

		served = control_handle_request(client, request);
		json_decref(request);
	}
	return served;
}

void control_defer(struct control *control)
{
	control->deferred = control->asking;
}

void control_answer(struct control *control, json_t *reply, const struct err *err)
{
	struct control_client *client = control->deferred;

	control->deferred = NULL;
	client->answering = false;
	if (client->watch.fd < 0) {
		json_decref(reply);
		client_drop(client);
		return;
	}
	loop_mod(control->loop, &client->watch, EPOLLIN);
	if (control_reply(client, reply != NULL ? reply : protocol_error(err)) == SERVED_OPEN)
		control_handle_lines(client);
}

void control_again(struct control *control, const char *what, const json_t *request, int passed_fd)
{
	struct control_client *client = control->deferred;
	struct err err = {0};
	json_t *reply;

	control->deferred = NULL;
	control->asking = client;
	control->passed_fd = passed_fd;
	control->client_fd = client->fd;
	reply = control->answer(control->opaque, what, request, &err);
	control->asking = NULL;
	control->passed_fd = control->client_fd = -1;
	if (control->deferred == client)
		return;
	control->deferred = client;
	control_answer(control, reply, &err);
}

/* Another thread runs the loop, or the answer comes later. The client's next request waits; its hang-up is
 * told at once. */
static void on_client_kept_waiting(struct control_client *client, uint32_t events)
{
	struct control *control = client->control;

	if ((events & (EPOLLHUP | EPOLLERR)) == 0) {
		loop_mod(control->loop, &client->watch, 0);
		return;
	}
	loop_del(control->loop, &client->watch);
	if (control->gone != NULL)
		control->gone(control->opaque);
}

static void on_control_client(struct loop_watch *watch, uint32_t events)
{
	struct control_client *client = container_of(watch, struct control_client, watch);
	struct err err;
	int got;

	if (client->answering) {
		on_client_kept_waiting(client, events);
		return;
	}
	got = line_buffer_receive(&client->lines, client->fd, &client->passed_fd);
	if (got == -EAGAIN || got == -EINTR)
		return;
	if (got == -EMSGSIZE) {
		err_set(&err, ERR_USAGE, "a request is longer than %u bytes", PROTOCOL_LINE_MAX);
		if (control_reply(client, protocol_error(&err)) == SERVED_GONE)
			return;
	}
	if (got <= 0)
		client_drop(client);
	else
		control_handle_lines(client);
}

static void control_accept(struct control *control, int fd)
{
	struct control_client *client = calloc(1, sizeof(*client));

	if (client == NULL ||
	    loop_add(control->loop, &client->watch, fd, EPOLLIN, on_control_client, NULL) < 0) {
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

static void on_runtime_connection(struct listener *listener, int fd)
{
	control_accept(container_of(listener, struct control, listener[0]), fd);
}

static void on_state_connection(struct listener *listener, int fd)
{
	control_accept(container_of(listener, struct control, listener[1]), fd);
}

int control_listen_at(struct control *control, const char *path, struct err *err)
{
	return listener_open(&control->listener[0], control->loop, path, on_runtime_connection,
			     err);
}

int control_listen(struct control *control, const char *name, struct err *err)
{
	struct path path;
	int ret = path_runtime(&path, name, "control", err);

	if (ret < 0)
		return ret;
	ret = control_listen_at(control, path.text, err);
	if (ret < 0)
		return ret;
	if (path_state(&path, name, "socket", NULL) == 0)
		(void)listener_open(&control->listener[1], control->loop, path.text,
				    on_state_connection, NULL);
	return 0;
}

void control_close_listeners(struct control *control)
{
	listener_close(&control->listener[0]);
	listener_close(&control->listener[1]);
}

void control_broken(struct control *control, json_t *broken)
{
	json_decref(control->broken);
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
