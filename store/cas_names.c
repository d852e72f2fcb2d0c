/* Names of the store as a registry has them; see cas.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store/cas_internal.h"

/* What a repository is called below refs/HOST. */
static const char *name_at(const char *host, const char *repository, bool *qualified)
{
	size_t len = strlen(host);

	*qualified = strncmp(repository, host, len) == 0 && repository[len] == '/';
	return *qualified ? repository + len + 1 : repository;
}

struct tag_walk {
	const struct cas *cas;
	const char *repository;
	int (*each)(void *opaque, const char *tag, struct err *err);
	void *opaque;
	const char *last; /* component of the name, of this host */
};

static int walk_tag(void *opaque, const char *name, struct err *err)
{
	const struct tag_walk *walk = opaque;
	size_t len = strlen(walk->last);

	if (strncmp(name, walk->last, len) != 0 || name[len] != ':' ||
	    !reference_is_tag(name + len + 1))
		return 0;
	return walk->each(walk->opaque, name + len + 1, err);
}

/* The files NAME:TAG in the folder of one host. */
static int walk_name(struct tag_walk *walk, const char *host, const char *name, struct err *err)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(name, '/');
	int before = slash != NULL ? (int)(slash - name) : 0, ret;

	snprintf(folder, sizeof(folder), CAS_REFS "/%s%s%.*s", host, before > 0 ? "/" : "", before,
		 name);
	walk->last = slash != NULL ? slash + 1 : name;
	ret = cas_each(walk->cas, folder, walk_tag, walk, err);
	if (ret != -ENOTDIR)
		return ret;
	/* A tag that is called like the first part of the name. */
	err_clear(err);
	return 0;
}

static int walk_host(void *opaque, const char *host, struct err *err)
{
	struct tag_walk *walk = opaque;
	bool qualified;
	const char *name = name_at(host, walk->repository, &qualified);

	return walk_name(walk, host, name, err);
}

int cas_each_tag(const struct cas *cas, const char *repository,
		 int (*each)(void *opaque, const char *tag, struct err *err), void *opaque,
		 struct err *err)
{
	struct tag_walk walk = {
		.cas = cas, .repository = repository, .each = each, .opaque = opaque};

	return cas_each(cas, CAS_REFS, walk_host, &walk, err);
}

struct tag_search {
	const struct cas *cas;
	const char *repository, *tag;
	char (*digest)[DIGEST_TEXT_SIZE];
	bool found, certain, ambiguous;
};

/* Returns 1 when there is one. */
static int look_up(struct tag_search *s, const char *host, const char *name, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];
	struct reference ref = {0};
	int ret;

	snprintf(ref.host, sizeof(ref.host), "%s", host);
	snprintf(ref.repository, sizeof(ref.repository), "%s", name);
	snprintf(ref.tag, sizeof(ref.tag), "%s", s->tag);
	ret = cas_resolve_name(s->cas, &ref, digest, err);
	if (ret == -ENOENT) {
		err_clear(err);
		return 0;
	}
	if (ret < 0)
		return ret;
	s->ambiguous |= s->found && strcmp(*s->digest, digest) != 0;
	s->found = true;
	strcpy(*s->digest, digest);
	return 1;
}

static int search_host(void *opaque, const char *host, struct err *err)
{
	struct tag_search *s = opaque;
	bool qualified;
	const char *name = name_at(host, s->repository, &qualified);
	int ret = look_up(s, host, name, err);

	if (ret <= 0)
		return ret;
	s->certain = qualified || strcmp(host, REFERENCE_LOCAL) == 0;
	return s->certain;
}

int cas_resolve_tag(const struct cas *cas, const char *repository, const char *tag,
		    char digest[DIGEST_TEXT_SIZE], struct err *err)
{
	struct tag_search s = {.cas = cas,
			       .repository = repository,
			       .tag = tag,
			       .digest = (char(*)[DIGEST_TEXT_SIZE])digest};
	int ret = search_host(&s, REFERENCE_LOCAL, err);

	if (ret == 0)
		ret = cas_each(cas, CAS_REFS, search_host, &s, err);
	if (ret < 0)
		return ret;
	if (!s.found)
		return err_set(err, ERR_NOT_FOUND, "the store has no image %s:%s", repository, tag);
	if (s.ambiguous && !s.certain)
		return err_set(err, ERR_NOT_FOUND, "several registries have %s:%s: say HOST/%s:%s",
			       repository, tag, repository, tag);
	return 0;
}
