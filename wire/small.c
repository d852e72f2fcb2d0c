/*
 * What is fetched before a guest runs: manifests, and the blobs that a machine reads while it is
 * made. Hot sets are among them: nothing runs without them, and so they take no round trip more. So are the ends of
 * packed parts, where the seek table lies.
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
#include "wire/check.h"
#include "wire/wire_internal.h"

/* What nobody calls small, whatever it is. */
#define SMALL_MOST MIB(64)
#define HOT_MOST   MIB(256)
/* Of the end of a packed part. A frame takes 12 bytes of the seek table, and some 20 KiB before it. */
#define TAIL_SHARE 512u
#define TAIL_MOST  KIB(512)

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

struct small_job {
	const struct oci_descriptor *blob;
	uint64_t from; /* not 0: only from here on, and whether it comes is not important */
	bool came;
};

struct small {
	struct opening *o;
	struct small_job *job; /* owned */
	size_t count;
};

/* The bytes from `from` on into `fd`, on through what may go better the next time: `attempts` without
 * a byte between. */
static int fetch_bytes(struct opening *o, struct http *http, const struct oci_descriptor *d,
		       uint64_t from, int fd, unsigned attempts, struct err *err)
{
	struct range_fetch f = {
		.registry = o->registry,
		.http = http,
		.source = {.has_digest = true, .size = d->size},
		.fd = fd,
		.from = from,
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
		    n >= attempts)
			return err_context(err, -EIO, "%s", d->digest);
		/* A server without ranges has all of it. */
		if (result == RANGE_LIES)
			f.from = from;
		if (result != RANGE_MOVED)
			ret = registry_wait(o->registry, n, f.wait_s, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Into the sparse file that the rest will come to. */
static int fetch_tail(struct small *s, struct http *http, struct small_job *job)
{
	cleanup_fd int fd =
		cas_arriving_open(&s->o->folder, job->blob->digest, job->blob->size, NULL);

	job->came = fd >= 0 && fetch_bytes(s->o, http, job->blob, job->from, fd, 1, NULL) == 0;
	return 0;
}

/* Into a file of the folder, whose digest is right then. */
static int fetch_small(void *opaque, struct http *http, size_t index, struct err *err)
{
	struct small *s = opaque;
	const struct oci_descriptor *d = s->job[index].blob;
	static const bool never;
	cleanup_fd int fd = -1;
	struct stat st;
	int ret = cas_arriving_link(&s->o->folder, &s->o->cas, d->digest, d->size, err);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	if (s->job[index].from > 0)
		return fetch_tail(s, http, &s->job[index]);
	for (unsigned tries = 0; tries < 3; tries++) {
		fd = cas_arriving_open(&s->o->folder, d->digest, d->size, err);
		if (fd < 0)
			return fd;
		if (fstat(fd, &st) < 0)
			return err_sys(err, errno, "%s", s->o->folder.path);
		/* One that is whole is left from an earlier process: nobody knows how that ended. */
		if ((st.st_mode & 0200) != 0) {
			ret = fetch_bytes(s->o, http, d, 0, fd, registry_attempts(s->o->registry),
					  err);
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

static uint64_t tail_of(const struct oci_descriptor *d)
{
	uint64_t len = u64_min(u64_max(d->size / TAIL_SHARE, ARRIVAL_BLOCK), TAIL_MOST);

	if (strcmp(d->media_type, OCI_PACKED_TYPE) != 0 || d->size <= 2 * len)
		return 0;
	return align_down(d->size - len, ARRIVAL_BLOCK);
}

/* Hot sets first: they are the longest. */
static int list_small(struct small *s, const struct registry_manifest *m, struct err *err)
{
	s->job = calloc(2 * m->nblobs, sizeof(s->job[0]));
	if (s->job == NULL)
		return err_sys(err, ENOMEM, "fetch");
	for (int hot = 1; hot >= 0; hot--) {
		for (size_t i = 0; i < m->nblobs; i++) {
			if (is_small(&m->blob[i]) &&
			    (strcmp(m->blob[i].media_type, OCI_HOT_TYPE) == 0) == (hot == 1))
				s->job[s->count++].blob = &m->blob[i];
		}
	}
	for (size_t i = 0; i < m->nblobs; i++) {
		uint64_t from = tail_of(&m->blob[i]);

		if (from > 0)
			s->job[s->count++] = (struct small_job){.blob = &m->blob[i], .from = from};
	}
	return 0;
}

static int note_tails(struct small *s, struct err *err)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct small_job *job = &s->job[i];
		struct opening_tail *grown;

		if (!job->came)
			continue;
		grown = array_grow(s->o->tail, s->o->ntails, sizeof(*grown));
		if (grown == NULL)
			return err_sys(err, ENOMEM, "fetch");
		s->o->tail = grown;
		grown += s->o->ntails++;
		*grown = (struct opening_tail){.from = job->from, .to = job->blob->size};
		strcpy(grown->digest, job->blob->digest);
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
		ret = pool_run(o->pool, o->http, s.count, fetch_small, &s, err);
	if (ret == 0)
		ret = note_tails(&s, err);
	free(s.job);
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
