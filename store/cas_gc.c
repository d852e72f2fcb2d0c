/* Removing what nobody needs; see cas.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "format/archive.h"
#include "store/cas_arriving.h"
#include "store/cas_internal.h"

/* One image of the store. */
struct candidate {
	struct cas_image image;
	char parent[DIGEST_TEXT_SIZE]; /* "" unless it is an increment */
	struct err *unreadable; /* owned: why nobody knows what it needs; NULL: it is readable */
	bool keep;
};

/* One index. */
struct listing {
	char digest[DIGEST_TEXT_SIZE];
	struct oci_index index; /* owned */
	struct err *unreadable; /* as of an image */
	bool keep;
};

struct sweep {
	const struct cas *cas;
	struct candidate *item; /* owned */
	size_t count;
	struct listing *listing; /* owned */
	size_t nlistings;
	struct cas_swept *swept;
	struct progress *progress;
};

static int read_candidate(struct candidate *c, const struct cas *cas, const char *digest,
			  struct err *err)
{
	cleanup_archive struct archive *a = NULL;
	char path[PATH_MAX];
	int ret = cas_image_read(&c->image, cas, digest, err);

	if (ret < 0 || strcmp(c->image.config.media_type, OCI_CONFIG_TYPE) != 0)
		return ret;
	ret = cas_image_path(cas, digest, path, err);
	if (ret == 0)
		ret = archive_open(&a, path, err);
	if (ret == 0 && archive_appliance(a)->increment)
		strcpy(c->parent, archive_appliance(a)->parent);
	return ret;
}

/* `why` is the error of reading an image or index: one that may be gone next time ends the sweep. */
static int take_unreadable(struct err **unreadable, int ret, const struct err *why, struct err *err)
{
	if (!cas_is_damage(why))
		return err_copy(err, ret, why);
	*unreadable = malloc(sizeof(**unreadable));
	if (*unreadable == NULL)
		return err_sys(err, ENOMEM, "sweep the store");
	**unreadable = *why;
	return 0;
}

static int take_candidate(void *opaque, const char *name, struct err *err)
{
	struct sweep *s = opaque;
	char digest[DIGEST_TEXT_SIZE];
	struct candidate *grown;
	struct err why = {0};
	int ret;

	if (!cas_is_digest(name, digest))
		return 0;
	grown = array_grow(s->item, s->count, sizeof(*grown));
	if (grown == NULL)
		return err_sys(err, ENOMEM, "sweep the store");
	s->item = grown;
	grown += s->count;
	*grown = (struct candidate){0};
	s->count++;
	ret = read_candidate(grown, s->cas, digest, &why);
	return ret < 0 ? take_unreadable(&grown->unreadable, ret, &why, err) : 0;
}

static int take_listing(void *opaque, const char *name, struct err *err)
{
	struct sweep *s = opaque;
	char digest[DIGEST_TEXT_SIZE];
	struct listing *grown;
	struct err why = {0};
	int ret;

	if (!cas_is_digest(name, digest))
		return 0;
	grown = array_grow(s->listing, s->nlistings, sizeof(*grown));
	if (grown == NULL)
		return err_sys(err, ENOMEM, "sweep the store");
	s->listing = grown;
	grown += s->nlistings;
	*grown = (struct listing){.keep = false};
	strcpy(grown->digest, digest);
	s->nlistings++;
	ret = cas_index_read(&grown->index, s->cas, digest, &why);
	return ret < 0 ? take_unreadable(&grown->unreadable, ret, &why, err) : 0;
}

/* Of an image or an index. */
static void keep_digest(const struct sweep *s, const char *digest)
{
	for (size_t i = 0; i < s->count; i++)
		s->item[i].keep |= strcmp(s->item[i].image.digest, digest) == 0;
	for (size_t i = 0; i < s->nlistings; i++)
		s->listing[i].keep |= strcmp(s->listing[i].digest, digest) == 0;
}

/* What an index that stays lists. */
static void keep_listed(const struct sweep *s)
{
	for (size_t i = 0; i < s->nlistings; i++) {
		const struct listing *l = &s->listing[i];

		for (size_t k = 0; l->keep && k < l->index.count; k++)
			keep_digest(s, l->index.item[k].image.digest);
	}
}

static int keep_referrer(void *opaque, const char *digest, struct err *err)
{
	(void)err;
	keep_digest(opaque, digest);
	return 0;
}

/* Returns whether that made a difference. */
static bool keep_identity(const struct sweep *s, const char *identity)
{
	bool changed = false;

	for (size_t i = 0; i < s->count; i++) {
		struct candidate *c = &s->item[i];

		if (!c->keep && strcmp(c->image.config.digest, identity) == 0)
			c->keep = changed = true;
	}
	return changed;
}

/* Somebody holds a lock on its folder. */
static bool is_held(const struct sweep *s, const char *where, const char *digest)
{
	cleanup_fd int folder = -1;
	char name[CAS_NAME];

	cas_name(name, where, digest);
	folder = openat(s->cas->folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder < 0 || flock(folder, LOCK_EX | LOCK_NB) < 0;
}

/* Whether somebody uses what lies in arriving/NAME. */
static bool arriving_is_used(const struct sweep *s, const char *name)
{
	char path[PATH_MAX];
	cleanup_fd int lock = -1;

	snprintf(path, sizeof(path), CAS_ARRIVING "/%s/" CAS_ARRIVING_LOCK, name);
	lock = openat(s->cas->folder, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) < 0;
}

/* "HEX.N": the image may have come into the store meanwhile. */
static int keep_arriving(void *opaque, const char *name, struct err *err)
{
	const struct sweep *s = opaque;
	char hex[2 * DIGEST_SIZE + 1], digest[DIGEST_TEXT_SIZE];

	(void)err;
	snprintf(hex, sizeof(hex), "%s", name);
	if (cas_is_digest(hex, digest) && arriving_is_used(s, name))
		keep_digest(s, digest);
	return 0;
}

/* The name `ref` stands for that image or index, or for an index that lists it. */
static bool is_named(const struct sweep *s, const struct cas_ref *ref, const char *digest)
{
	if (strcmp(ref->digest, digest) == 0)
		return true;
	for (size_t i = 0; i < s->nlistings; i++) {
		const struct listing *l = &s->listing[i];

		if (strcmp(l->digest, ref->digest) != 0)
			continue;
		for (size_t k = 0; k < l->index.count; k++) {
			if (strcmp(l->index.item[k].image.digest, digest) == 0)
				return true;
		}
	}
	return false;
}

/* Nobody knows what else it needs. */
static int refuse_unreadable(const struct sweep *s, const struct cas_refs *refs, const char *digest,
			     const struct err *why, struct err *err)
{
	char name[REFERENCE_TEXT];
	int ret = err_set(err, why->kind, "%s", why->text);

	for (size_t i = 0; i < refs->count; i++) {
		if (!is_named(s, &refs->item[i], digest))
			continue;
		reference_text(&refs->item[i].name, name);
		return err_set(err, why->kind,
			       "%s cannot be read, so nothing is removed; torpor rmi %s, then gc, "
			       "removes it: %s",
			       name, name, why->text);
	}
	return err_context(err, ret,
			   "%s is in use, or needed by another image, and cannot be read, so "
			   "nothing is removed",
			   digest);
}

static int check_kept(const struct sweep *s, const struct cas_refs *refs, struct err *err)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct candidate *c = &s->item[i];

		if (c->keep && c->unreadable != NULL)
			return refuse_unreadable(s, refs, c->image.digest, c->unreadable, err);
	}
	for (size_t i = 0; i < s->nlistings; i++) {
		const struct listing *l = &s->listing[i];

		if (l->keep && l->unreadable != NULL)
			return refuse_unreadable(s, refs, l->digest, l->unreadable, err);
	}
	return 0;
}

static int mark(struct sweep *s, const struct cas_refs *refs, const char (*roots)[DIGEST_TEXT_SIZE],
		size_t nroots, struct err *err)
{
	bool changed = true;
	int ret;

	for (size_t i = 0; i < refs->count; i++)
		keep_digest(s, refs->item[i].digest);
	for (size_t i = 0; i < nroots; i++)
		(void)keep_identity(s, roots[i]);
	for (size_t i = 0; i < s->count; i++)
		s->item[i].keep |= is_held(s, CAS_IMAGES, s->item[i].image.digest);
	for (size_t i = 0; i < s->nlistings; i++)
		s->listing[i].keep |= is_held(s, CAS_INDEXES, s->listing[i].digest);
	ret = cas_each(s->cas, CAS_ARRIVING, keep_arriving, s, err);
	if (ret < 0)
		return ret;
	keep_listed(s);
	while (changed) {
		changed = false;
		for (size_t i = 0; i < s->count; i++) {
			if (s->item[i].keep && s->item[i].parent[0] != '\0')
				changed |= keep_identity(s, s->item[i].parent);
		}
	}
	ret = check_kept(s, refs, err);
	if (ret < 0)
		return ret;
	/* Signatures stay with what they are of, and need nothing but their blobs. */
	for (size_t i = 0; i < s->count; i++) {
		if (!s->item[i].keep)
			continue;
		ret = cas_each_referrer(s->cas, s->item[i].image.digest, keep_referrer, (void *)s,
					err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

struct removal {
	const struct cas *cas;
	const char *folder;
};

static int remove_in(void *opaque, const char *name, struct err *err)
{
	const struct removal *removal = opaque;
	char path[PATH_MAX];

	(void)err;
	if (snprintf(path, sizeof(path), "%s/%s", removal->folder, name) < (int)sizeof(path))
		(void)unlinkat(removal->cas->folder, path, 0);
	return 0;
}

/* A folder below images/, also one that was never finished. */
static void remove_image(const struct sweep *s, const char *name)
{
	static const char *const files[] = {OCI_INDEX_NAME, OCI_LAYOUT_NAME, "blobs"};
	char path[PATH_MAX];

	snprintf(path, sizeof(path), CAS_IMAGES "/%s/" CAS_REFERRERS, name);
	(void)cas_each(s->cas, path, remove_in, &(struct removal){s->cas, path}, NULL);
	(void)unlinkat(s->cas->folder, path, AT_REMOVEDIR);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), CAS_IMAGES "/%s/%s", name, files[i]);
		(void)unlinkat(s->cas->folder, path, 0);
	}
	snprintf(path, sizeof(path), CAS_IMAGES "/%s", name);
	(void)unlinkat(s->cas->folder, path, AT_REMOVEDIR);
}

/* Under another name first: one that has its own is whole, whenever this process is killed. */
static int remove_whole(const struct sweep *s, const char *name, struct err *err)
{
	char from[PATH_MAX], to[PATH_MAX], gone[NAME_MAX + 1];

	snprintf(gone, sizeof(gone), ".gone-%.200s", name);
	snprintf(from, sizeof(from), CAS_IMAGES "/%s", name);
	snprintf(to, sizeof(to), CAS_IMAGES "/%s", gone);
	remove_image(s, gone); /* of an earlier process */
	if (renameat(s->cas->folder, from, s->cas->folder, to) < 0)
		return cas_error(s->cas, errno, from, err);
	remove_image(s, gone);
	return 0;
}

static bool image_needs(const struct cas_image *image, const char *digest)
{
	if (strcmp(image->digest, digest) == 0 || strcmp(image->config.digest, digest) == 0)
		return true;
	for (size_t i = 0; i < image->layers.count; i++) {
		if (strcmp(image->layers.item[i].digest, digest) == 0)
			return true;
	}
	return false;
}

static int sweep_image(void *opaque, const char *name, struct err *err)
{
	struct sweep *s = opaque;
	char digest[DIGEST_TEXT_SIZE];

	if (cas_is_digest(name, digest)) {
		for (size_t i = 0; i < s->count; i++) {
			if (strcmp(s->item[i].image.digest, digest) == 0 && s->item[i].keep)
				return 0;
		}
		s->swept->images++;
		return remove_whole(s, name, err);
	}
	remove_image(s, name);
	return 0;
}

/* Before the blob that is its text. */
static int sweep_listing(void *opaque, const char *name, struct err *err)
{
	struct sweep *s = opaque;
	char path[CAS_NAME];

	for (size_t i = 0; i < s->nlistings; i++) {
		if (strcmp(strchr(s->listing[i].digest, ':') + 1, name) == 0 && s->listing[i].keep)
			return 0;
	}
	if (snprintf(path, sizeof(path), CAS_INDEXES "/%s", name) >= (int)sizeof(path) ||
	    (unlinkat(s->cas->folder, path, AT_REMOVEDIR) < 0 && errno != ENOENT))
		return cas_error(s->cas, errno, path, err);
	return 0;
}

static int sweep_file(struct sweep *s, const char *folder, const char *name, unsigned *count,
		      struct err *err)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (fstatat(s->cas->folder, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    unlinkat(s->cas->folder, path, 0) < 0)
		return errno == ENOENT ? 0 : cas_error(s->cas, errno, path, err);
	(*count)++;
	/* What takes room: of what was arriving most may be missing. */
	s->swept->bytes += u64_min((uint64_t)st.st_size, (uint64_t)st.st_blocks * 512);
	progress_add(s->progress, u64_min((uint64_t)st.st_size, (uint64_t)st.st_blocks * 512));
	return 0;
}

static int sweep_blob(void *opaque, const char *name, struct err *err)
{
	struct sweep *s = opaque;
	char digest[DIGEST_TEXT_SIZE];

	if (!cas_is_digest(name, digest))
		return 0;
	for (size_t i = 0; i < s->count; i++) {
		if (s->item[i].keep && image_needs(&s->item[i].image, digest))
			return 0;
	}
	for (size_t i = 0; i < s->nlistings; i++) {
		if (s->listing[i].keep && strcmp(s->listing[i].digest, digest) == 0)
			return 0;
	}
	return sweep_file(s, CAS_BLOBS, name, &s->swept->blobs, err);
}

static int sweep_partial(void *opaque, const char *name, struct err *err)
{
	struct sweep *s = opaque;

	return sweep_file(s, CAS_PARTIAL, name, &s->swept->partial, err);
}

struct sweep_folder {
	struct sweep *s;
	char path[PATH_MAX];
};

static int sweep_arrived(void *opaque, const char *name, struct err *err)
{
	const struct sweep_folder *f = opaque;

	return sweep_file(f->s, f->path, name, &f->s->swept->partial, err);
}

static int sweep_arriving(void *opaque, const char *name, struct err *err)
{
	struct sweep_folder f = {.s = opaque};
	int ret;

	if (arriving_is_used(f.s, name))
		return 0;
	snprintf(f.path, sizeof(f.path), CAS_ARRIVING "/%s", name);
	ret = cas_each(f.s->cas, f.path, sweep_arrived, &f, err);
	if (ret == 0 && unlinkat(f.s->cas->folder, f.path, AT_REMOVEDIR) < 0)
		ret = cas_error(f.s->cas, errno, f.path, err);
	return ret;
}

static int sweep_all(struct sweep *s, const char (*roots)[DIGEST_TEXT_SIZE], size_t nroots,
		     struct err *err)
{
	struct cas_refs refs;
	int ret = cas_each(s->cas, CAS_IMAGES, take_candidate, s, err);

	if (ret == 0)
		ret = cas_each(s->cas, CAS_INDEXES, take_listing, s, err);
	if (ret == 0)
		ret = cas_list(&refs, s->cas, err);
	if (ret < 0)
		return ret;
	ret = mark(s, &refs, roots, nroots, err);
	cas_refs_free(&refs);
	if (ret < 0)
		return ret;
	/* Images before their blobs: one that is there is whole. */
	ret = cas_each(s->cas, CAS_INDEXES, sweep_listing, s, err);
	if (ret == 0)
		ret = cas_each(s->cas, CAS_IMAGES, sweep_image, s, err);
	if (ret < 0)
		return ret;
	if (s->nlistings > 0)
		ret = cas_sync(s->cas, CAS_INDEXES, err);
	if (ret == 0)
		ret = cas_sync(s->cas, CAS_IMAGES, err);
	if (ret < 0)
		return ret;
	ret = cas_each(s->cas, CAS_BLOBS, sweep_blob, s, err);
	if (ret == 0)
		ret = cas_each(s->cas, CAS_PARTIAL, sweep_partial, s, err);
	return ret < 0 ? ret : cas_each(s->cas, CAS_ARRIVING, sweep_arriving, s, err);
}

int cas_sweep(const struct cas *cas, const char (*roots)[DIGEST_TEXT_SIZE], size_t nroots,
	      struct progress *progress, struct cas_swept *swept, struct err *err)
{
	struct sweep s = {.cas = cas, .swept = swept, .progress = progress};
	int ret;

	*swept = (struct cas_swept){0};
	ret = sweep_all(&s, roots, nroots, err);
	for (size_t i = 0; i < s.count; i++) {
		cas_image_free(&s.item[i].image);
		free(s.item[i].unreadable);
	}
	for (size_t i = 0; i < s.nlistings; i++) {
		oci_index_free(&s.listing[i].index);
		free(s.listing[i].unreadable);
	}
	free(s.item);
	free(s.listing);
	return ret;
}
