/*
 * What is fetched before a guest runs: manifests, and the blobs that a machine reads while it is
 * made. Hot sets are among them: nothing runs without them, and so they take no round trip more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/num.h"
#include "registry/manifest.h"
#include "registry/workers.h"
#include "wire/check.h"
#include "wire/wire_internal.h"

/* Each waits for a round trip, and little else. */
#define SMALL_AT_ONCE 12u
/* What nobody calls small, whatever it is. */
#define SMALL_MOST MIB(64)
#define HOT_MOST   MIB(256)

static bool is_small(const struct oci_descriptor *d)
{
	static const char *const types[] = {OCI_CONFIG_TYPE, OCI_STATE_TYPE,   OCI_MAP_TYPE,
					    OCI_HASHES_TYPE, OCI_HOTLIST_TYPE, OCI_SIGNATURE_TYPE};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(d->media_type, types[i]) == 0)
			return d->size <= SMALL_MOST;
	}
	return d->size == 0 || (strcmp(d->media_type, OCI_HOT_TYPE) == 0 && d->size <= HOT_MOST);
}

struct small {
	struct opening *o;
	const struct oci_descriptor **blob; /* owned */
	size_t count;
};

/* All bytes into `fd`, on through what may go better the next time. */
static int fetch_bytes(struct opening *o, struct http *http, const struct oci_descriptor *d, int fd,
		       struct err *err)
{
	struct range_fetch f = {
		.registry = o->registry,
		.http = http,
		.source = {.has_digest = true, .size = d->size},
		.fd = fd,
		.to = d->size,
	};
	int ret = registry_url(o->registry, f.source.url, err, "blobs/%s", d->digest);

	if (ret < 0)
		return ret;
	for (unsigned n = 1; f.from < d->size; n++) {
		enum range_result result = range_fetch(&f, err);

		if (f.at > f.from)
			n = 1;
		f.from = f.at;
		if (result == RANGE_CAME)
			continue;
		if (result == RANGE_CANCELLED || result == RANGE_FAILED || result == RANGE_BROKEN ||
		    n >= registry_attempts(o->registry))
			return err_context(err, -EIO, "%s", d->digest);
		/* A server without ranges has all of it. */
		if (result == RANGE_LIES)
			f.from = 0;
		if (result != RANGE_MOVED)
			ret = registry_wait(o->registry, n, f.wait_s, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Into a file of the folder, whose digest is right then. */
static int fetch_small(void *opaque, struct http *http, size_t index, struct err *err)
{
	const struct small *s = opaque;
	const struct oci_descriptor *d = s->blob[index];
	static const bool never;
	cleanup_fd int fd = -1;
	struct stat st;
	int ret = cas_arriving_link(&s->o->folder, &s->o->cas, d->digest, d->size, err);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	for (unsigned tries = 0; tries < 3; tries++) {
		fd = cas_arriving_open(&s->o->folder, d->digest, d->size, err);
		if (fd < 0)
			return fd;
		if (fstat(fd, &st) < 0)
			return err_sys(err, errno, "%s", s->o->folder.path);
		/* One that is whole is left from an earlier process: nobody knows how that ended. */
		if ((st.st_mode & 0200) != 0) {
			ret = fetch_bytes(s->o, http, d, fd, err);
			if (ret < 0)
				return ret;
		}
		ret = check_digest(fd, d->size, d->digest, &never, err);
		if (ret < 0)
			return ret;
		if (ret > 0)
			return fchmod(fd, 0400) < 0 ? err_sys(err, errno, "%s", d->digest) : 0;
		close(take_fd(&fd));
		(void)unlinkat(s->o->folder.folder, strchr(d->digest, ':') + 1, 0);
	}
	return err_set(err, ERR_INTEGRITY, "%s gives other bytes than those of %s, twice",
		       registry_base(s->o->registry), d->digest);
}

/* Hot sets first: they are the longest. */
static int list_small(struct small *s, const struct registry_manifest *m, struct err *err)
{
	s->blob = calloc(m->nblobs, sizeof(s->blob[0]));
	if (s->blob == NULL)
		return err_sys(err, ENOMEM, "fetch");
	for (int hot = 1; hot >= 0; hot--) {
		for (size_t i = 0; i < m->nblobs; i++) {
			if (is_small(&m->blob[i]) &&
			    (strcmp(m->blob[i].media_type, OCI_HOT_TYPE) == 0) == (hot == 1))
				s->blob[s->count++] = &m->blob[i];
		}
	}
	return 0;
}

static int write_manifest(const struct opening *o, const struct registry_manifest *m,
			  struct err *err)
{
	cleanup_fd int fd = -1;
	int ret;

	(void)unlinkat(o->folder.folder, strchr(m->self.digest, ':') + 1, 0);
	fd = cas_arriving_open(&o->folder, m->self.digest, m->text.len, err);
	if (fd < 0)
		return fd;
	ret = io_pwrite(fd, m->text.data, m->text.len, 0);
	if (ret < 0)
		return err_sys(err, -ret, "%s", o->folder.path);
	return fchmod(fd, 0400) < 0 ? err_sys(err, errno, "%s", o->folder.path) : 0;
}

static int add_manifest(struct opening *o, const struct registry_manifest *m, struct err *err)
{
	struct registry_manifest *grown = array_grow(o->manifest, o->nmanifests, sizeof(*grown));

	if (grown == NULL)
		return err_sys(err, ENOMEM, "fetch");
	o->manifest = grown;
	grown[o->nmanifests++] = *m;
	return 0;
}

int opening_add_image(struct opening *o, const char *name, struct err *err)
{
	struct small s = {.o = o};
	struct registry_manifest m;
	char path[PATH_MAX];
	int ret = registry_manifest(o->registry, o->http, name, &m, err);

	if (ret < 0)
		return ret;
	ret = add_manifest(o, &m, err);
	if (ret < 0) {
		registry_manifest_free(&m);
		return ret;
	}
	if (strcmp(m.config.media_type, OCI_CONFIG_TYPE) != 0)
		return err_set(
			err, ERR_USAGE,
			"%s is an image of containers: torpor build makes an appliance of it",
			m.self.digest);
	/* The caller sees that. */
	if (o->nmanifests == 1 && cas_image_path(&o->cas, m.self.digest, path, NULL) == 0)
		return 0;
	if (o->folder.folder < 0) {
		ret = cas_arriving_take(&o->folder, &o->cas, m.self.digest, err);
		if (ret < 0)
			return ret;
	}
	ret = write_manifest(o, &m, err);
	if (ret < 0)
		return ret;
	ret = list_small(&s, &m, err);
	if (ret == 0)
		ret = workers_run(o->registry, o->http, SMALL_AT_ONCE, s.count, fetch_small, &s,
				  err);
	free(s.blob);
	return ret;
}

int opening_parent(const struct opening *o, char parent[DIGEST_TEXT_SIZE], struct err *err)
{
	const struct oci_descriptor *config = &o->manifest[o->nmanifests - 1].config;
	cleanup_free uint8_t *text = NULL;
	cleanup_fd int fd = cas_arriving_open(&o->folder, config->digest, config->size, err);
	struct blob blob = {.fd = fd, .len = config->size};
	int ret;

	if (fd < 0)
		return fd;
	ret = blob_read_all(&blob, JSON_MAX_BYTES, &text, err);
	return ret < 0 ? ret : manifest_parent(text, config->size, parent, err);
}
