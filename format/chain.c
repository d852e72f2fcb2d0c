/* See chain.h. */
#include "format/chain.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

/* A parent is the machine that its child was, some time before. */
static int check_parent(const struct archive *child, const struct archive *parent, struct err *err)
{
	const struct appliance *young = archive_appliance(child);
	const struct appliance *old = archive_appliance(parent);
	bool same = old->live && old->memory == young->memory && old->vcpus == young->vcpus &&
		    old->ndisks == young->ndisks && strcmp(old->machine, young->machine) == 0 &&
		    strcmp(old->arch, young->arch) == 0;

	for (uint32_t i = 0; same && i < young->ndisks; i++)
		same = old->disk[i].size == young->disk[i].size &&
		       (old->disk[i].outside[0] != '\0') == (young->disk[i].outside[0] != '\0');
	return same ? 0
		    : err_set(err, ERR_INTEGRITY, "%s cannot be the parent of %s",
			      archive_path(parent), archive_path(child));
}

static int open_parent(struct chain *c, const struct chain_finder *finder,
		       const struct archive_open_params *newest, struct err *err)
{
	struct archive_open_params params = {.fd = -1, .keys = newest->keys};
	const struct archive *child = c->archive[c->n - 1];
	const char *digest = archive_appliance(child)->parent;
	char path[PATH_MAX];
	int ret;

	if (c->n == CHAIN_MAX)
		return err_set(err, ERR_INTEGRITY,
			       "%s: more than %u increments on top of one another: torpor flatten "
			       "makes one file of them",
			       archive_path(c->archive[0]), CHAIN_MAX);
	if (newest->give_parent != NULL &&
	    newest->give_parent(newest->give_opaque, digest, &params.members, &params.nmembers)) {
		snprintf(path, sizeof(path), "%s", archive_path(c->archive[0]));
	} else {
		ret = finder->find(finder->opaque, digest, archive_path(child), path, &params.fd,
				   err);
		if (ret < 0)
			return ret;
	}
	ret = archive_open_with(&c->archive[c->n], path, &params, err);
	if (ret < 0)
		return ret;
	c->n++;
	if (strcmp(archive_digest(c->archive[c->n - 1]), digest) != 0)
		return err_set(err, ERR_INTEGRITY, "%s is not %s", path, digest);
	return check_parent(child, c->archive[c->n - 1], err);
}

int chain_open(struct chain **out, const char *path, const struct archive_open_params *params,
	       const struct chain_finder *finder, struct err *err)
{
	static const struct archive_open_params plain = {.fd = -1};
	cleanup_chain struct chain *c = calloc(1, sizeof(*c));
	int ret;

	*out = NULL;
	if (c == NULL) {
		if (params != NULL && params->fd >= 0)
			close(params->fd);
		return err_sys(err, ENOMEM, "%s", path);
	}
	if (params == NULL)
		params = &plain;
	ret = archive_open_with(&c->archive[0], path, params, err);
	if (ret < 0)
		return ret;
	c->n = 1;
	while (archive_appliance(c->archive[c->n - 1])->increment) {
		ret = open_parent(c, finder, params, err);
		if (ret < 0)
			return ret;
	}
	*out = take_ptr(c);
	return 0;
}

void chain_close(struct chain *c)
{
	for (unsigned i = 0; c != NULL && i < c->n; i++)
		archive_close(c->archive[i]);
	free(c);
}

void chain_lock_keys(const struct chain *c)
{
	for (unsigned i = 0; c != NULL && i < c->n; i++)
		archive_lock_keys(c->archive[i]);
}

void chain_watch(const struct chain *c, struct progress *progress)
{
	for (unsigned i = 0; i < c->n; i++)
		archive_watch(c->archive[i], progress);
}

int chain_ensure_verified(const struct chain *c, struct err *err)
{
	for (unsigned i = 0; i < c->n; i++) {
		int ret = archive_ensure_verified(c->archive[i], err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int chain_check_boot(const struct chain *c, struct err *err)
{
	for (unsigned i = 0; i < c->n; i++) {
		int ret = archive_check_boot(c->archive[i], err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int chain_load_hashes(const struct chain *c, struct err *err)
{
	for (unsigned i = 0; i < c->n; i++) {
		int ret = archive_load_hashes(c->archive[i], err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Put the image of that role underneath, where file number `i` has it. */
static int push_image(const struct chain *c, unsigned i, const char *role,
		      struct image_layers *layers, struct err *err)
{
	const struct image *image = archive_image(c->archive[i], role);
	int ret = image != NULL ? image_layers_push(layers, image, err) : 0;

	return ret < 0 ? err_context(err, ret, "%s: %s", archive_path(c->archive[i]), role) : 0;
}

static int chain_lacks(const struct chain *c, const char *role, struct err *err)
{
	return err_set(err, ERR_INTEGRITY, "%s: %s is missing", archive_path(c->archive[c->n - 1]),
		       role);
}

int chain_memory(const struct chain *c, unsigned index, struct image_layers *layers,
		 struct err *err)
{
	char role[32];
	int ret;

	layers->n = 0;
	snprintf(role, sizeof(role), ROLE_MEMORY ".%u", index);
	for (unsigned i = 0; i < c->n; i++) {
		ret = push_image(c, i, role, layers, err);
		if (ret < 0)
			return ret;
	}
	return layers->n < c->n ? chain_lacks(c, role, err) : 0;
}

int chain_disk(const struct chain *c, unsigned index, struct image_layers *layers, struct err *err)
{
	char role[32], overlay[32];
	unsigned overlays;
	int ret;

	layers->n = 0;
	snprintf(role, sizeof(role), ROLE_DISK ".%u", index);
	snprintf(overlay, sizeof(overlay), ROLE_DISK ".%u" ROLE_OVERLAY_SUFFIX, index);
	for (unsigned i = 0; i < c->n; i++) {
		ret = push_image(c, i, overlay, layers, err);
		if (ret < 0)
			return ret;
	}
	overlays = layers->n;
	ret = push_image(c, c->n - 1, role, layers, err);
	if (ret < 0)
		return ret;
	return layers->n == overlays ? chain_lacks(c, role, err) : 0;
}

bool chain_blob(const struct chain *c, const char *role, struct blob *blob)
{
	for (unsigned i = 0; i < c->n; i++) {
		if (archive_blob(c->archive[i], role, blob))
			return true;
	}
	return false;
}
