/*
 * What is fetched before a guest runs: manifests, and the blobs that a machine reads while it is
 * made. Hot sets are among them: nothing runs without them, and so they take no round trip more. They
 * come in pieces, on several connections: TCP begins each with some 15 KB in a round trip. So do the
 * ends of packed parts that are read at once, where the seek table lies.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
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
/* Of the end of a packed part. A frame takes 8 bytes of the seek table, and before it 20 KiB, or more than 8. */
#define TAIL_SHARE 1024u
#define TAIL_LEAST KIB(4)
#define TAIL_MOST  KIB(512)
#define HOT_PIECES 4u
/* How often, and how often without a byte more, it is looked whether another process has a hot set. */
#define BESIDE_MOMENT_NS 10000000
#define BESIDE_IDLE	 100u
#define HOT_PIECE	 KIB(128)

bool opening_is_small(const struct oci_descriptor *d)
{
	static const char *const types[] = {OCI_CONFIG_TYPE, OCI_STATE_TYPE,   OCI_MAP_TYPE,
					    OCI_HASHES_TYPE, OCI_HOTLIST_TYPE, OCI_SIGNATURE_TYPE};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(d->media_type, types[i]) == 0)
			return d->size <= SMALL_MOST;
	}
	return d->size == 0 || (strcmp(d->media_type, OCI_HOT_TYPE) == 0 && d->size <= HOT_MOST);
}

/* A hot set on its way in pieces. */
struct small_hot {
	int fd;		    /* owned */
	atomic_uint left;   /* pieces that are not over */
	atomic_bool failed; /* one has not come */
};

struct small_job {
	const struct oci_descriptor *blob;
	uint64_t from, to;     /* not all of the blob: an end, or a piece of a hot set */
	struct small_hot *hot; /* borrowed; NULL: it is no piece */
	bool came;	       /* of an end, which is not important */
};

struct small {
	struct opening *o;
	struct small_job *job; /* owned */
	size_t count;
	struct small_hot *hot; /* owned */
	size_t nhot;
};

/* These bytes into `fd`, on through what may go better the next time: `attempts` without a byte
 * between. `silence_s`: 0, or how long a silent server is waited for. */
static int fetch_bytes(struct opening *o, struct http *http, const struct small_job *job, int fd,
		       unsigned attempts, unsigned silence_s, struct err *err)
{
	const struct oci_descriptor *d = job->blob;
	struct range_fetch f = {
		.registry = o->registry,
		.http = http,
		.source = {.has_digest = true, .size = d->size},
		.fd = fd,
		.from = job->from,
		.to = job->to,
		.silence_s = silence_s,
		.progress = &o->progress,
	};
	int ret = registry_url(o->registry, f.source.url, err, "blobs/%s", d->digest);

	if (ret < 0)
		return ret;
	progress_expect(&o->progress, job->to - job->from);
	for (unsigned n = 1; f.from < job->to; n++) {
		enum range_result result = range_fetch(&f, err);

		if (range_progressed(&f))
			n = 1;
		f.from = f.at;
		if (result == RANGE_CAME)
			continue;
		if (result == RANGE_CANCELLED || result == RANGE_FAILED || result == RANGE_BROKEN ||
		    n >= attempts)
			return err_context(err, -EIO, "%s", d->digest);
		/* A server without ranges has all of it. */
		if (result == RANGE_LIES) {
			progress_expect(&o->progress, f.from - job->from);
			f.from = job->from;
		}
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

	job->came = fd >= 0 && fetch_bytes(s->o, http, job, fd, 1, OPTIONAL_SILENCE_S, NULL) == 0;
	return 0;
}

/* Into a file of the folder, whose digest is right then. `there`: all bytes have come, on the first
 * attempt. */
static int fetch_whole(struct small *s, struct http *http, const struct oci_descriptor *d,
		       bool there, struct err *err)
{
	const struct small_job all = {.blob = d, .to = d->size};
	static const bool never;
	cleanup_fd int fd = -1;
	struct stat st;
	int ret;

	for (unsigned tries = 0; tries < 3; tries++) {
		fd = cas_arriving_open(&s->o->folder, d->digest, d->size, err);
		if (fd < 0)
			return fd;
		if (fstat(fd, &st) < 0)
			return err_sys(err, errno, "%s", s->o->folder.path);
		/* One that is whole is left from an earlier process: nobody knows how that ended. */
		if ((st.st_mode & 0200) != 0 && !there) {
			ret = fetch_bytes(s->o, http, &all, fd, registry_attempts(s->o->registry),
					  0, err);
			if (ret < 0)
				return ret;
		}
		there = false;
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

/* The last one looks at all of them. Where one has not come, whatever the reason, all of the set is asked
 * for at once: a server may have no ranges. */
static int fetch_piece(struct small *s, struct http *http, const struct small_job *job,
		       struct err *err)
{
	struct small_hot *hot = job->hot;

	if (!atomic_load(&hot->failed) && fetch_bytes(s->o, http, job, hot->fd, 1, 0, NULL) < 0)
		atomic_store(&hot->failed, true);
	if (atomic_fetch_sub(&hot->left, 1) > 1)
		return 0;
	return fetch_whole(s, http, job->blob, !atomic_load(&hot->failed), err);
}

static bool is_hot(const struct oci_descriptor *d)
{
	return opening_is_small(d) && d->size > 0 && strcmp(d->media_type, OCI_HOT_TYPE) == 0;
}

/* A hot set that another process fetches: as long as more of it comes there. */
static void await_beside(const struct small *s, const struct oci_descriptor *d)
{
	static const struct timespec moment = {.tv_nsec = BESIDE_MOMENT_NS};
	uint64_t come, before = 0;
	unsigned idle = 0;

	while (idle < BESIDE_IDLE && !progress_is_cancelled(&s->o->progress) &&
	       cas_beside_fetches(&s->o->beside, d->digest, d->size, &come)) {
		idle = come > before ? 0 : idle + 1;
		before = come;
		nanosleep(&moment, NULL);
	}
}

static int fetch_small(void *opaque, struct http *http, size_t index, struct err *err)
{
	struct small *s = opaque;
	struct small_job *job = &s->job[index];
	const struct oci_descriptor *d = job->blob;
	int ret;

	if (job->hot != NULL)
		return fetch_piece(s, http, job, err);
	ret = cas_arriving_link(&s->o->folder, &s->o->cas, d->digest, d->size, err);
	if (ret != 0)
		return ret < 0 ? ret : 0;
	if (job->from > 0)
		return fetch_tail(s, http, job);
	if (is_hot(d))
		await_beside(s, d);
	cas_beside_link(&s->o->beside, &s->o->folder, d->digest, d->size);
	return fetch_whole(s, http, d, false, err);
}

uint64_t opening_table_of(const struct oci_descriptor *d)
{
	uint64_t len = u64_min(u64_max(d->size / TAIL_SHARE, TAIL_LEAST), TAIL_MOST);

	if (strcmp(d->media_type, OCI_PACKED_TYPE) != 0 || d->size <= 2 * ARRIVAL_BLOCK)
		return 0;
	return align_down(d->size - len, ARRIVAL_BLOCK);
}

/* The table of a first part is read when it is opened, and that of memory soon after. Those of a disk's
 * other parts, up to 47, are left to the download. */
bool opening_read_at_once(const struct oci_descriptor *d)
{
	const char *index = strrchr(d->role, '.');

	return strncmp(d->role, ROLE_MEMORY ".", sizeof(ROLE_MEMORY)) == 0 ||
	       (index != NULL && strcmp(index, ".0") == 0);
}

static void add_job(struct small *s, const struct oci_descriptor *blob, uint64_t from, uint64_t to)
{
	s->job[s->count++] = (struct small_job){.blob = blob, .from = from, .to = to};
}

/* A hot set, unless the store has it. */
static int add_hot(struct small *s, const struct oci_descriptor *d, struct err *err)
{
	struct small_hot *hot = &s->hot[s->nhot];
	uint64_t pieces = u64_max(u64_min(d->size / HOT_PIECE, HOT_PIECES), 1);
	uint64_t len = align_up((d->size + pieces - 1) / pieces, ARRIVAL_BLOCK);
	struct stat st;
	uint64_t come;
	int ret = cas_arriving_link(&s->o->folder, &s->o->cas, d->digest, d->size, err);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	if (cas_beside_fetches(&s->o->beside, d->digest, d->size, &come)) {
		add_job(s, d, 0, d->size);
		return 0;
	}
	cas_beside_link(&s->o->beside, &s->o->folder, d->digest, d->size);
	hot->fd = cas_arriving_open(&s->o->folder, d->digest, d->size, err);
	if (hot->fd < 0)
		return hot->fd;
	s->nhot++;
	/* One that is whole is looked at. */
	if (fstat(hot->fd, &st) == 0 && (st.st_mode & 0200) == 0)
		pieces = 1;
	if (pieces == 1) {
		add_job(s, d, 0, d->size);
		return 0;
	}
	for (uint64_t at = 0; at < d->size; at += len) {
		add_job(s, d, at, u64_min(at + len, d->size));
		s->job[s->count - 1].hot = hot;
		atomic_fetch_add(&hot->left, 1);
	}
	return 0;
}

/* Hot sets first: they are the longest. */
static int list_small(struct small *s, const struct registry_manifest *m, struct err *err)
{
	s->job = calloc((HOT_PIECES + 2) * m->nblobs, sizeof(s->job[0]));
	s->hot = calloc(m->nblobs, sizeof(s->hot[0]));
	if (s->job == NULL || s->hot == NULL)
		return err_sys(err, ENOMEM, "fetch");
	for (size_t i = 0; i < m->nblobs; i++) {
		int ret = is_hot(&m->blob[i]) ? add_hot(s, &m->blob[i], err) : 0;

		if (ret < 0)
			return ret;
	}
	for (size_t i = 0; i < m->nblobs; i++) {
		if (opening_is_small(&m->blob[i]) && !is_hot(&m->blob[i]))
			add_job(s, &m->blob[i], 0, m->blob[i].size);
	}
	for (size_t i = 0; i < m->nblobs; i++) {
		uint64_t from = opening_table_of(&m->blob[i]);

		if (from > 0 && opening_read_at_once(&m->blob[i]))
			add_job(s, &m->blob[i], from, m->blob[i].size);
	}
	return 0;
}

static void small_free(struct small *s)
{
	for (size_t i = 0; i < s->nhot; i++)
		close(s->hot[i].fd);
	free(s->hot);
	free(s->job);
}

int opening_note_end(struct opening *o, const char *digest, uint64_t from, uint64_t to,
		     struct err *err)
{
	struct opening_tail *grown = array_grow(o->tail, o->ntails, sizeof(*grown));

	if (grown == NULL)
		return err_sys(err, ENOMEM, "fetch");
	o->tail = grown;
	grown[o->ntails] = (struct opening_tail){.from = from, .to = to};
	strcpy(grown[o->ntails++].digest, digest);
	return 0;
}

static int note_tails(const struct small *s, struct err *err)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct small_job *job = &s->job[i];
		int ret = job->came ? opening_note_end(s->o, job->blob->digest, job->from,
						       job->blob->size, err)
				    : 0;

		if (ret < 0)
			return ret;
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
	__attribute__((cleanup(small_free))) struct small s = {.o = o};
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
		cas_beside_find(&o->beside, &o->cas, &o->folder);
	}
	ret = write_manifest(o, &m, err);
	if (ret < 0)
		return ret;
	ret = list_small(&s, &m, err);
	if (ret == 0)
		ret = pool_run(o->pool, o->http, s.count, fetch_small, &s, err);
	return ret < 0 ? ret : note_tails(&s, err);
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
