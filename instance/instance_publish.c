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

#include "base/array.h"
#include "base/num.h"
#include "instance/instance.h"

/* Of a folder: index.json, oci-layout, the manifest, the config and the layers. */
#define MEMBERS_MAX (OCI_MAX_LAYERS + 4)

void instance_forget_parents(struct instance *in)
{
	struct given_parents *given = &in->given;

	for (unsigned i = 0; i < given->n; i++) {
		struct given_parent *file = &given->file[i];

		if (file->fd >= 0)
			close(file->fd);
		for (size_t k = 0; k < file->nmembers; k++) {
			free(file->member[k].name);
			close(file->member[k].blob.fd);
		}
		free(file->member);
		free(file->path);
	}
	given->n = 0;
}

json_t *instance_take_parent(struct instance *in, const json_t *request, struct err *err)
{
	struct given_parents *given = &in->given;
	const char *path = json_string_value(json_object_get(request, "path"));
	json_int_t index = json_integer_value(json_object_get(request, "index"));
	bool folder = json_is_true(json_object_get(request, "folder"));
	int fd = -1;
	char *copy;

	if (path == NULL || path[0] != '/' || (in->control.passed_fd < 0) != folder) {
		err_set(err, ERR_USAGE,
			"parent needs an absolute \"path\", and a descriptor or \"folder\"");
		return NULL;
	}
	if (index == 0)
		instance_forget_parents(in);
	if (index != given->n || given->n == ARRAY_SIZE(given->file)) {
		err_set(err, ERR_USAGE, "parent number %lld is not due", (long long)index);
		return NULL;
	}
	copy = strdup(path);
	if (copy != NULL && !folder)
		fd = fcntl(in->control.passed_fd, F_DUPFD_CLOEXEC, 0);
	if (copy == NULL || (fd < 0 && !folder)) {
		err_sys(err, copy != NULL ? errno : ENOMEM, "take %s", path);
		free(copy);
		return NULL;
	}
	given->file[given->n++] = (struct given_parent){.path = copy, .fd = fd};
	return json_pack("{s:b}", "ok", 1);
}

json_t *instance_take_member(struct instance *in, const json_t *request, struct err *err)
{
	struct given_parents *given = &in->given;
	struct given_parent *parent = given->n > 0 ? &given->file[given->n - 1] : NULL;
	const char *name = json_string_value(json_object_get(request, "name"));
	struct container_member *grown = NULL;
	struct stat st;
	char *copy;
	int fd;

	if (parent == NULL || parent->fd >= 0 || parent->nmembers > MEMBERS_MAX || name == NULL ||
	    in->control.passed_fd < 0) {
		err_set(err, ERR_USAGE,
			"member needs a \"name\" and a descriptor, behind a folder");
		return NULL;
	}
	copy = strdup(name);
	fd = copy != NULL ? fcntl(in->control.passed_fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		grown = array_grow(parent->member, parent->nmembers, sizeof(*grown));
	if (grown == NULL) {
		err_sys(err, fd < 0 ? errno : EINVAL, "take %s of %s", name, parent->path);
		if (fd >= 0)
			close(fd);
		free(copy);
		return NULL;
	}
	parent->member = grown;
	grown[parent->nmembers++] = (struct container_member){
		.name = copy, .blob = {.fd = fd, .len = (uint64_t)st.st_size}};
	return json_pack("{s:b}", "ok", 1);
}

/* Each stands on the next one, which may be a folder. */
static bool give_members(void *opaque, const char *digest, const struct container_member **members,
			 size_t *n)
{
	struct given_parents *given = opaque;
	const struct given_parent *next = &given->file[given->opened];

	(void)digest;
	if (given->opened == given->n || next->nmembers == 0)
		return false;
	given->opened++;
	*members = next->member;
	*n = next->nmembers;
	return true;
}

/* The same of a file. That each stands on the next is checked by who asks. */
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
	struct archive_open_params params = {
		.keys = in->source->keys,
		.fd = given->file[0].fd,
		.members = given->file[0].member,
		.nmembers = given->file[0].nmembers,
		.give_parent = give_members,
		.give_opaque = given,
	};

	given->file[0].fd = -1;
	given->opened = 1;
	return chain_open(parent, given->file[0].path, &params, &finder, err);
}

bool publication_done(const struct publication *p, const struct log *log)
{
	struct stat st;

	if (stat(p->path.text, &st) == 0 && st.st_dev == p->dev && st.st_ino == p->ino)
		return true;
	log_line(log, "a save was cancelled: its client has gone away");
	return false;
}

static void on_publisher_lost(struct hold *hold)
{
	struct instance *in = container_of(hold, struct instance, hold);

	instance_publish_end(in, publication_done(&in->publication, &in->machine.log));
}

int publication_init(struct publication *p, const struct save_request *request, struct err *err)
{
	struct stat st;

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
	return 0;
}

int instance_publish_begin(struct instance *in, const struct save_request *request,
			   bool was_running, struct err *err)
{
	int fd, ret = publication_init(&in->publication, request, err);

	if (ret < 0)
		return ret;
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
	if (published && p->relative)
		instance_rebase(in);
	if (published && !p->going_on) {
		in->saved_to = p->path;
		machine_end(&in->machine, MACHINE_END_SAVED);
	} else if (was_running) {
		machine_unpause(&in->machine);
	}
}

json_t *instance_published(struct instance *in, const json_t *request, struct err *err)
{
	if (instance_behind_published(in, json_is_true(json_object_get(request, "done"))))
		return json_pack("{s:b}", "ok", 1);
	if (!hold_is_active(&in->hold) || in->hold.loss != HOLD_PUBLISHES) {
		err_set(err, ERR_USAGE, "no file of machine %s is to be published", in->claim.name);
		return NULL;
	}
	instance_publish_end(in, json_is_true(json_object_get(request, "done")));
	return json_pack("{s:b}", "ok", 1);
}
