/* See chain.h. */
#include "format/chain.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A parent is the machine that its child was, some time before. */
static int check_parent(const struct archive *child, const struct archive *parent, struct err *err)
{
	const struct appliance *c = archive_appliance(child), *p = archive_appliance(parent);
	bool same = p->live && p->memory == c->memory && p->vcpus == c->vcpus &&
		    p->ndisks == c->ndisks && strcmp(p->machine, c->machine) == 0 &&
		    strcmp(p->arch, c->arch) == 0;

	for (uint32_t i = 0; same && i < c->ndisks; i++)
		same = p->disk[i].size == c->disk[i].size;
	return same ? 0
		    : err_set(err, ERR_INTEGRITY, "%s cannot be the parent of %s",
			      archive_path(parent), archive_path(child));
}

static int open_parent(struct chain *l, const struct chain_finder *finder, struct keyring *keys,
		       struct err *err)
{
	const struct archive_open_params params = {.fd = -1, .keys = keys};
	const struct archive *child = l->archive[l->n - 1];
	const char *digest = archive_appliance(child)->parent;
	char path[PATH_MAX];
	int ret;

	if (l->n == CHAIN_MAX)
		return err_set(err, ERR_INTEGRITY,
			       "%s: more than %u increments on top of one another: torpor flatten "
			       "makes one file of them",
			       archive_path(l->archive[0]), CHAIN_MAX);
	ret = finder->find(finder->opaque, digest, archive_path(child), path, err);
	if (ret < 0)
		return ret;
	ret = archive_open_with(&l->archive[l->n], path, &params, err);
	if (ret < 0)
		return ret;
	l->n++;
	if (strcmp(archive_digest(l->archive[l->n - 1]), digest) != 0)
		return err_set(err, ERR_INTEGRITY, "%s is not %s", path, digest);
	return check_parent(child, l->archive[l->n - 1], err);
}

int chain_open(struct chain **out, const char *path, const struct archive_open_params *params,
	       const struct chain_finder *finder, struct err *err)
{
	static const struct archive_open_params plain = {.fd = -1};
	struct chain *l = calloc(1, sizeof(*l));
	int ret;

	*out = NULL;
	if (l == NULL) {
		if (params != NULL && params->fd >= 0)
			close(params->fd);
		return err_sys(err, ENOMEM, "%s", path);
	}
	if (params == NULL)
		params = &plain;
	ret = archive_open_with(&l->archive[0], path, params, err);
	if (ret == 0)
		l->n = 1;
	while (ret == 0 && archive_appliance(l->archive[l->n - 1])->increment)
		ret = open_parent(l, finder, params->keys, err);
	if (ret < 0)
		chain_close(l);
	else
		*out = l;
	return ret;
}

void chain_close(struct chain *l)
{
	for (unsigned i = 0; l != NULL && i < l->n; i++)
		archive_close(l->archive[i]);
	free(l);
}

void chain_lock_keys(const struct chain *l)
{
	for (unsigned i = 0; l != NULL && i < l->n; i++)
		archive_lock_keys(l->archive[i]);
}

int chain_ensure_verified(const struct chain *l, struct err *err)
{
	int ret = 0;

	for (unsigned i = 0; i < l->n; i++) {
		ret = archive_ensure_verified(l->archive[i], err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int chain_load_hashes(const struct chain *l, struct err *err)
{
	int ret = 0;

	for (unsigned i = 0; i < l->n; i++) {
		ret = archive_load_hashes(l->archive[i], err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Put the image of that role underneath, where file number `i` has it. */
static int push(const struct chain *l, unsigned i, const char *role, struct image_layers *layers,
		struct err *err)
{
	const struct image *image = archive_image(l->archive[i], role);
	int ret = image != NULL ? image_layers_push(layers, image, err) : 0;

	return ret < 0 ? err_context(err, ret, "%s: %s", archive_path(l->archive[i]), role) : 0;
}

static int missing(const struct chain *l, const char *role, struct err *err)
{
	return err_set(err, ERR_INTEGRITY, "%s: %s is missing", archive_path(l->archive[l->n - 1]),
		       role);
}

int chain_memory(const struct chain *l, unsigned index, struct image_layers *layers,
		 struct err *err)
{
	char role[32];
	int ret = 0;

	layers->n = 0;
	snprintf(role, sizeof(role), ROLE_MEMORY ".%u", index);
	for (unsigned i = 0; i < l->n; i++) {
		ret = push(l, i, role, layers, err);
		if (ret < 0)
			return ret;
	}
	return ret == 0 && layers->n < l->n ? missing(l, role, err) : ret;
}

int chain_disk(const struct chain *l, unsigned index, struct image_layers *layers, struct err *err)
{
	char role[32], overlay[32];
	unsigned overlays;
	int ret = 0;

	layers->n = 0;
	snprintf(role, sizeof(role), ROLE_DISK ".%u", index);
	snprintf(overlay, sizeof(overlay), ROLE_DISK ".%u" ROLE_OVERLAY_SUFFIX, index);
	for (unsigned i = 0; i < l->n; i++) {
		ret = push(l, i, overlay, layers, err);
		if (ret < 0)
			return ret;
	}
	overlays = layers->n;
	if (ret < 0)
		return ret;
	ret = push(l, l->n - 1, role, layers, err);
	return ret == 0 && layers->n == overlays ? missing(l, role, err) : ret;
}

bool chain_blob(const struct chain *l, const char *role, struct blob *blob)
{
	for (unsigned i = 0; i < l->n; i++) {
		if (archive_blob(l->archive[i], role, blob))
			return true;
	}
	return false;
}
