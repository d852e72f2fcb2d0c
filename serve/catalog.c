/* See catalog.h. The lock is held while files are looked at, never while something is sent. */
#include "serve/catalog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "format/archive.h"
#include "serve/appliances.h"

#define HOLDS	    256u
#define PARENT	    "parent-"
#define HOLD_NS	    ((uint64_t)HOLD_SECONDS * NS_PER_SECOND)
#define DEFAULT_TAG "latest"

/* A lock on an image of the store whose blobs may still be asked for. */
struct hold {
	char image[DIGEST_TEXT_SIZE];
	char repository[REFERENCE_REPO];
	uint64_t used_ns;
	int fd; /* -1: this place is free */
};

struct catalog {
	pthread_mutex_t lock;
	char images[CAS_ROOT]; /* "": none */
	struct appliances *files;
	struct hold hold[HOLDS];
};

int catalog_new(struct catalog **out, const char *images,
		void (*report)(void *opaque, const char *line), void *opaque, struct err *err)
{
	struct catalog *c = calloc(1, sizeof(*c));
	int ret;

	*out = NULL;
	if (c == NULL)
		return err_sys(err, ENOMEM, "serve");
	pthread_mutex_init(&c->lock, NULL);
	for (size_t i = 0; i < HOLDS; i++)
		c->hold[i].fd = -1;
	*out = c;
	ret = appliances_new(&c->files, report, opaque, err);
	if (ret == 0 && images != NULL &&
	    snprintf(c->images, sizeof(c->images), "%s", images) >= (int)sizeof(c->images))
		ret = err_sys(err, ENAMETOOLONG, "%.100s…", images);
	if (ret < 0) {
		catalog_free(c);
		*out = NULL;
	}
	return ret;
}

void catalog_free(struct catalog *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < HOLDS; i++) {
		if (c->hold[i].fd >= 0)
			close(c->hold[i].fd);
	}
	appliances_free(c->files);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int catalog_add_folder(struct catalog *c, const char *path, struct err *err)
{
	return appliances_add_folder(c->files, path, err);
}

int catalog_add_file(struct catalog *c, const char *path, struct err *err)
{
	return appliances_add_file(c->files, path, err);
}

/* A catalog without a store has one without a folder, in which nothing is found. */
static int open_images(const struct catalog *c, struct cas *cas, struct err *err)
{
	*cas = (struct cas){.folder = -1, .lock = -1};
	return c->images[0] != '\0' ? cas_open(cas, c->images, CAS_LOOK, err) : 0;
}

/* Locked. Whoever asks about a repository goes on with what was given away. */
static void touch_holds(struct catalog *c, const char *repository)
{
	uint64_t now = clock_monotonic_ns();

	for (size_t i = 0; i < HOLDS; i++) {
		struct hold *h = &c->hold[i];

		if (h->fd < 0)
			continue;
		if (strcmp(h->repository, repository) == 0)
			h->used_ns = now;
		if (now - h->used_ns < HOLD_NS)
			continue;
		close(h->fd);
		h->fd = -1;
	}
	appliances_touch(c->files, repository, HOLD_NS);
}

/* Locked. The place of this image, a free one, or the one that was not used for longest. */
static struct hold *hold_place(struct catalog *c, const char *repository, const char *image)
{
	struct hold *best = &c->hold[0];

	for (size_t i = 0; i < HOLDS; i++) {
		struct hold *h = &c->hold[i];

		if (h->fd >= 0 && strcmp(h->image, image) == 0 &&
		    strcmp(h->repository, repository) == 0)
			return h;
		if (best->fd >= 0 && (h->fd < 0 || h->used_ns < best->used_ns))
			best = h;
	}
	if (best->fd >= 0)
		close(best->fd);
	best->fd = -1;
	return best;
}

/* Locked. Of an image or index. */
static int hold_image(struct catalog *c, const struct cas *cas, const char *repository,
		      const char *image, struct err *err)
{
	struct hold *h = hold_place(c, repository, image);
	char path[PATH_MAX];
	int ret = 0;

	if (h->fd < 0) {
		ret = cas_is_index(cas, image) ? cas_index_path(cas, image, path, err)
					       : cas_image_path(cas, image, path, err);
		if (ret < 0)
			return ret;
		h->fd = ret = cas_hold_fd(path, err);
	}
	if (ret < 0) {
		h->fd = -1;
		/* It is being swept at this moment. */
		return ret == -EWOULDBLOCK ? -ENOENT : ret;
	}
	strcpy(h->image, image);
	snprintf(h->repository, sizeof(h->repository), "%s", repository);
	h->used_ns = clock_monotonic_ns();
	return 0;
}

static int any_tag(void *opaque, const char *tag, struct err *err)
{
	(void)opaque;
	(void)tag;
	(void)err;
	return 1;
}

bool catalog_has_repository(struct catalog *c, const char *repository)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	bool found;

	pthread_mutex_lock(&c->lock);
	found = appliances_has(c->files, repository);
	pthread_mutex_unlock(&c->lock);
	return found || (open_images(c, &cas, NULL) == 0 &&
			 cas_each_tag(&cas, repository, any_tag, NULL, NULL) == 1);
}

static void set_entity_tag(struct catalog_item *item)
{
	snprintf(item->entity_tag, sizeof(item->entity_tag), "\"%s\"", item->digest);
}

static int blob_item(const struct cas *cas, const char *digest, struct catalog_item *item,
		     struct err *err)
{
	cleanup_fd int fd = cas_open_blob(cas, digest, err);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s", digest);
	*item = (struct catalog_item){.fd = take_fd(&fd), .len = (uint64_t)st.st_size};
	strcpy(item->digest, digest);
	strcpy(item->media_type, "application/octet-stream");
	set_entity_tag(item);
	return 0;
}

/* What its text says, else that of OCI: `otherwise`. */
static int manifest_type(const struct catalog_item *item, const char *otherwise,
			 char type[OCI_TYPE_SIZE], struct err *err)
{
	struct blob blob = {.fd = item->fd, .offset = item->offset, .len = item->len};
	cleanup_free uint8_t *text = NULL;
	cleanup_json json_t *json = NULL;
	int ret = blob_read_all(&blob, JSON_MAX_BYTES, &text, err);

	if (ret < 0)
		return ret;
	json = json_parse(text, item->len, err);
	if (json == NULL)
		return -EINVAL;
	if (json_get_ascii(json, "mediaType", type, OCI_TYPE_SIZE, NULL) < 0)
		strcpy(type, otherwise);
	return 0;
}

/* Locked. */
static int give_image(struct catalog *c, const struct cas *cas, const char *repository,
		      const char *image, struct catalog_item *item, struct err *err)
{
	int ret = hold_image(c, cas, repository, image, err);

	if (ret < 0)
		return ret;
	ret = blob_item(cas, image, item, err);
	if (ret < 0)
		return ret;
	ret = manifest_type(item, cas_is_index(cas, image) ? OCI_INDEX_TYPE : OCI_MANIFEST_TYPE,
			    item->media_type, err);
	if (ret < 0)
		close(item->fd);
	return ret < 0 ? err_context(err, ret, "image %s", image) : 0;
}

/* The identity in a tag parent-HEX. */
static bool parent_identity(const char *tag, char identity[DIGEST_TEXT_SIZE])
{
	uint8_t digest[DIGEST_SIZE];

	if (strncmp(tag, PARENT, sizeof(PARENT) - 1) != 0)
		return false;
	snprintf(identity, DIGEST_TEXT_SIZE, "sha256:%.64s", tag + sizeof(PARENT) - 1);
	return digest_parse(identity, digest) && strlen(tag) == sizeof(PARENT) - 1 + 64;
}

/* Locked. */
static int give_parent(struct catalog *c, const struct cas *cas, const char *repository,
		       const char *identity, struct catalog_item *item, struct err *err)
{
	char path[PATH_MAX], digest[DIGEST_TEXT_SIZE];
	int ret = appliances_by_identity(c->files, repository, identity, item, err);

	if (ret != -ENOENT)
		return ret;
	ret = cas_find_identity(cas, identity, path, err);
	if (ret < 0)
		return ret;
	snprintf(digest, sizeof(digest), "sha256:%.64s", strrchr(path, '/') + 1);
	return give_image(c, cas, repository, digest, item, err);
}

/* Locked. */
static int find_manifest(struct catalog *c, const struct cas *cas, const char *repository,
			 const char *tag, const char *digest, struct catalog_item *item,
			 struct err *err)
{
	char found[DIGEST_TEXT_SIZE], path[PATH_MAX];
	int ret = -ENOENT;

	if (tag[0] == '\0') {
		ret = appliances_by_digest(c->files, digest, true, item, err);
		if (ret != -ENOENT)
			return ret;
		ret = cas_is_index(cas, digest) ? 0 : cas_image_path(cas, digest, path, err);
		return ret < 0 ? ret : give_image(c, cas, repository, digest, item, err);
	}
	if (strcmp(tag, DEFAULT_TAG) == 0)
		ret = appliances_by_name(c->files, repository, item, err);
	if (ret != -ENOENT)
		return ret;
	ret = cas_resolve_tag(cas, repository, tag, found, err);
	if (ret == -ENOENT && parent_identity(tag, found))
		return give_parent(c, cas, repository, found, item, err);
	return ret < 0 ? ret : give_image(c, cas, repository, found, item, err);
}

int catalog_manifest(struct catalog *c, const char *repository, const char *tag, const char *digest,
		     struct catalog_item *item, struct err *err)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	int ret = open_images(c, &cas, err);

	if (ret < 0)
		return ret;
	pthread_mutex_lock(&c->lock);
	touch_holds(c, repository);
	ret = find_manifest(c, &cas, repository, tag, digest, item, err);
	pthread_mutex_unlock(&c->lock);
	if (ret == 0)
		set_entity_tag(item);
	return ret;
}

int catalog_blob(struct catalog *c, const char *repository, const char *digest,
		 struct catalog_item *item, struct err *err)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	int ret = open_images(c, &cas, err);

	if (ret < 0)
		return ret;
	pthread_mutex_lock(&c->lock);
	touch_holds(c, repository);
	ret = blob_item(&cas, digest, item, err);
	if (ret == -ENOENT)
		ret = appliances_by_digest(c->files, digest, false, item, err);
	pthread_mutex_unlock(&c->lock);
	if (ret == 0)
		set_entity_tag(item);
	return ret;
}

int catalog_file(struct catalog *c, const char *name, struct catalog_item *item, struct err *err)
{
	int ret;

	pthread_mutex_lock(&c->lock);
	ret = appliances_file(c->files, name, item, err);
	pthread_mutex_unlock(&c->lock);
	return ret;
}

struct referrer_list {
	const struct cas *cas;
	const char *type;
	json_t *list;
};

static int take_referrer(void *opaque, const char *digest, struct err *err)
{
	const struct referrer_list *l = opaque;
	cleanup_free uint8_t *text = NULL;
	cleanup_json json_t *json = NULL;
	char type[OCI_TYPE_SIZE];
	size_t len;

	/* One that cannot be read is not listed. */
	if (cas_read(l->cas, digest, JSON_MAX_BYTES, &text, &len, NULL) < 0)
		return 0;
	json = json_parse(text, len, NULL);
	if (json == NULL || json_get_ascii(json, "artifactType", type, sizeof(type), NULL) < 0 ||
	    (l->type[0] != '\0' && strcmp(type, l->type) != 0))
		return 0;
	if (json_array_append_new(l->list, json_pack("{s:s,s:s,s:I,s:s}", "mediaType",
						     OCI_MANIFEST_TYPE, "digest", digest, "size",
						     (json_int_t)len, "artifactType", type)) < 0)
		return err_sys(err, ENOMEM, "list referrers");
	return 0;
}

int catalog_referrers(struct catalog *c, const char *digest, const char *type, json_t **list,
		      struct err *err)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	struct referrer_list l = {.cas = &cas, .type = type, .list = json_array()};
	int ret = open_images(c, &cas, err);

	*list = l.list;
	if (l.list == NULL)
		return err_sys(err, ENOMEM, "list referrers");
	return ret < 0 ? ret : cas_each_referrer(&cas, digest, take_referrer, &l, err);
}

struct name_page {
	struct catalog_names *names;
	const char *last;
	size_t max;
};

/* Keep the smallest: one more than are asked for tells whether there are more. */
static int take_name(void *opaque, const char *name, struct err *err)
{
	const struct name_page *page = opaque;
	struct catalog_names *n = page->names;
	size_t low = 0, high = n->count;

	(void)err;
	if (strcmp(name, page->last) <= 0 || strlen(name) >= sizeof(n->item[0]))
		return 0;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(n->item[mid], name);

		if (order == 0)
			return 0;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low > page->max)
		return 0;
	if (n->count <= page->max)
		n->count++;
	memmove(n->item[low + 1], n->item[low], (n->count - 1 - low) * sizeof(*n->item));
	strcpy(n->item[low], name);
	return 0;
}

static int begin_page(struct name_page *page, struct catalog_names *names, const char *last,
		      size_t max, struct err *err)
{
	*names = (struct catalog_names){0};
	*page = (struct name_page){.names = names, .last = last, .max = max};
	if (page->max > CATALOG_NAMES)
		page->max = CATALOG_NAMES;
	names->item = calloc(page->max + 1, sizeof(*names->item));
	return names->item != NULL ? 0 : err_sys(err, ENOMEM, "list names");
}

/* Returns `ret`, of what took the names. */
static int end_page(const struct name_page *page, int ret)
{
	struct catalog_names *names = page->names;

	if (ret < 0) {
		catalog_names_free(names);
		return ret;
	}
	names->more = names->count > page->max;
	if (names->more)
		names->count = page->max;
	return 0;
}

int catalog_tags(struct catalog *c, const char *repository, const char *last, size_t max,
		 struct catalog_names *tags, struct err *err)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	struct name_page page;
	bool found;
	int ret = open_images(c, &cas, err);

	if (ret == 0)
		ret = begin_page(&page, tags, last, max, err);
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&c->lock);
	found = appliances_has(c->files, repository);
	pthread_mutex_unlock(&c->lock);
	if (found)
		(void)take_name(&page, DEFAULT_TAG, NULL);
	return end_page(&page, cas_each_tag(&cas, repository, take_name, &page, err));
}

static void take_file(void *opaque, const char *name)
{
	(void)take_name(opaque, name, NULL);
}

/* NAME.torpor, if NAME can be that of a repository. */
static void take_file_repository(void *opaque, const char *name)
{
	char repository[NAME_MAX + 1];

	snprintf(repository, sizeof(repository), "%.*s", (int)(strlen(name) - strlen(".torpor")),
		 name);
	if (reference_is_repository(repository))
		(void)take_name(opaque, repository, NULL);
}

int catalog_repositories(struct catalog *c, const char *last, size_t max,
			 struct catalog_names *names, struct err *err)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	struct cas_refs refs = {0};
	struct name_page page;
	int ret = open_images(c, &cas, err);

	if (ret == 0)
		ret = begin_page(&page, names, last, max, err);
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&c->lock);
	appliances_each(c->files, take_file_repository, &page);
	pthread_mutex_unlock(&c->lock);
	if (cas.folder >= 0)
		ret = cas_list(&refs, &cas, err);
	for (size_t i = 0; ret == 0 && i < refs.count; i++)
		(void)take_name(&page, refs.item[i].name.repository, NULL);
	cas_refs_free(&refs);
	return end_page(&page, ret);
}

int catalog_files(struct catalog *c, const char *last, size_t max, struct catalog_names *names,
		  struct err *err)
{
	struct name_page page;
	int ret = begin_page(&page, names, last, max, err);

	if (ret < 0)
		return ret;
	pthread_mutex_lock(&c->lock);
	appliances_each(c->files, take_file, &page);
	pthread_mutex_unlock(&c->lock);
	return end_page(&page, 0);
}

void catalog_names_free(struct catalog_names *names)
{
	free(names->item);
	*names = (struct catalog_names){0};
}
