/*
 * Files of a save that another process opens. See instance.h.
 *
 * The machine may reach no folder but its own (host/sandbox.h). So the client of a save opens what
 * is read, the parents of an increment, and what is written, a temporary file, and hands over the
 * descriptors. It also gives that file its name, while the machine is held: only then is the
 * machine saved.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "instance/instance.h"

void instance_forget_parents(struct instance *in)
{
	struct given_parents *given = &in->given;

	for (unsigned i = 0; i < given->n; i++) {
		if (given->file[i].fd >= 0)
			close(given->file[i].fd);
		free(given->file[i].path);
	}
	given->n = 0;
}

json_t *instance_take_parent(struct instance *in, const json_t *request, struct err *err)
{
	struct given_parents *given = &in->given;
	const char *path = json_string_value(json_object_get(request, "path"));
	json_int_t index = json_integer_value(json_object_get(request, "index"));
	int fd;
	char *copy;

	if (path == NULL || path[0] != '/' || in->control.passed_fd < 0) {
		err_set(err, ERR_USAGE, "parent needs an absolute \"path\" and a descriptor");
		return NULL;
	}
	if (index == 0)
		instance_forget_parents(in);
	if (index != given->n || given->n == ARRAY_SIZE(given->file)) {
		err_set(err, ERR_USAGE, "parent number %lld is not due", (long long)index);
		return NULL;
	}
	copy = strdup(path);
	fd = copy != NULL ? fcntl(in->control.passed_fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (fd < 0) {
		err_sys(err, copy != NULL ? errno : ENOMEM, "take %s", path);
		free(copy);
		return NULL;
	}
	given->file[given->n].path = copy;
	given->file[given->n++].fd = fd;
	return json_pack("{s:b}", "ok", 1);
}

/* Each stands on the next one. That they do is checked by who asks. */
static int find_given(void *opaque, const char *digest, const char *child, char *path, int *fd,
		      struct err *err)
{
	struct given_parents *given = opaque;
	struct given_parent *next = &given->file[given->opened];

	if (given->opened == given->n)
		return err_set(err, ERR_NOT_FOUND,
			       "%s: it holds what changed since its parent %s, which was not given",
			       child, digest);
	given->opened++;
	snprintf(path, PATH_MAX, "%s", next->path);
	*fd = next->fd;
	next->fd = -1;
	return 0;
}

int instance_open_given(struct instance *in, struct chain **parent, struct err *err)
{
	struct given_parents *given = &in->given;
	const struct chain_finder finder = {.find = find_given, .opaque = given};
	struct archive_open_params params = {.keys = in->source->keys};

	params.fd = given->file[0].fd;
	given->file[0].fd = -1;
	given->opened = 1;
	return chain_open(parent, given->file[0].path, &params, &finder, err);
}

/* Its client has gone. If the file has its name, that was the last thing it did. */
static void on_publisher_lost(struct hold *hold)
{
	struct instance *in = container_of(hold, struct instance, hold);
	const struct publication *p = &in->publication;
	struct stat st;
	bool published = stat(p->path.text, &st) == 0 && st.st_dev == p->dev && st.st_ino == p->ino;

	if (!published)
		log_line(&in->machine.log, "a save was cancelled: its client has gone away");
	instance_publish_end(in, published);
}

int instance_publish_begin(struct instance *in, const struct save_request *request,
			   bool was_running, struct err *err)
{
	struct publication *p = &in->publication;
	struct stat st;
	int fd, ret;

	if (fstat(request->fd, &st) < 0)
		return err_sys(err, errno, "write %s", request->path);
	*p = (struct publication){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.going_on = request->going_on,
		.relative = request->going_on && !request->copy,
	};
	snprintf(p->path.text, sizeof(p->path.text), "%s", request->path);
	strcpy(p->digest, request->digest);
	fd = fcntl(request->client_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(err, errno, "watch the client of a save");
	ret = hold_begin(&in->hold, &in->machine, fd, HOLD_PUBLISHES, err);
	if (ret < 0)
		return ret;
	in->hold.was_running = was_running;
	in->hold.lost = on_publisher_lost;
	return 0;
}

void instance_publish_end(struct instance *in, bool published)
{
	const struct publication *p = &in->publication;
	bool was_running = in->hold.was_running;
	struct err cancelled;

	err_set(&cancelled, ERR_FAILED, "the save of %s was cancelled", in->claim.name);

	hold_release(&in->hold);
	instance_events_saved(in, p->path.text, false, published ? NULL : &cancelled);
	if (in->machine.end != MACHINE_END_NONE)
		return;
	if (published)
		instance_note_saved(in, p->path.text, p->digest, p->relative);
	if (published && !p->going_on) {
		in->saved_to = p->path;
		machine_end(&in->machine, MACHINE_END_SAVED);
	} else if (was_running) {
		machine_unpause(&in->machine);
	}
}

json_t *instance_published(struct instance *in, const json_t *request, struct err *err)
{
	if (!hold_is_active(&in->hold) || in->hold.loss != HOLD_PUBLISHES) {
		err_set(err, ERR_USAGE, "no file of machine %s is to be published", in->claim.name);
		return NULL;
	}
	instance_publish_end(in, json_is_true(json_object_get(request, "done")));
	return json_pack("{s:b}", "ok", 1);
}
