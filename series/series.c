/* See series.h. */
#include "series/series.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "host/parent.h"
#include "host/protocol.h"
#include "host/sandbox.h"

#define SUFFIX	     ".torpor"
#define SUFFIX_LEN   (sizeof(SUFFIX) - 1)
#define STAMP_FORMAT "%Y%m%dT%H%M%SZ"
#define STAMP_LEN    16u /* "20261129T191000Z" */

int series_open(struct series *s, const char *newest, struct err *err)
{
	const char *slash = strrchr(newest, '/');
	const size_t len = strlen(slash + 1);

	*s = (struct series){0};
	if (!parent_has_suffix(slash + 1))
		return err_set(err, ERR_USAGE,
			       "%s: its name is to end in " SUFFIX
			       ", or no increment would find what it stands on",
			       newest);
	/* A moment and the link on its way have longer names. */
	if (len + 1 + STAMP_LEN > NAME_MAX || strlen(newest) + 1 + STAMP_LEN >= PATH_MAX)
		return err_sys(err, ENAMETOOLONG, "%s", newest);
	strcpy(s->newest.text, newest);
	memcpy(s->folder, newest, (size_t)(slash - newest) + 1);
	memcpy(s->stem, slash + 1, len - SUFFIX_LEN);
	return 0;
}

/* The time in the name of a moment; NULL: it is none. */
static const char *stamp_of(const struct series *s, const char *name)
{
	const size_t stem = strlen(s->stem);
	const char *stamp = name + stem + 1;

	if (strlen(name) != stem + 1 + STAMP_LEN + SUFFIX_LEN ||
	    strncmp(name, s->stem, stem) != 0 || name[stem] != '.' ||
	    strcmp(stamp + STAMP_LEN, SUFFIX) != 0)
		return NULL;
	for (unsigned i = 0; i < STAMP_LEN - 1; i++) {
		if (i == 8 ? stamp[i] != 'T' : !isdigit((unsigned char)stamp[i]))
			return NULL;
	}
	return stamp[STAMP_LEN - 1] == 'Z' ? stamp : NULL;
}

bool series_has(const struct series *s, const char *path)
{
	const size_t folder = strlen(s->folder);

	return strncmp(path, s->folder, folder) == 0 && stamp_of(s, path + folder) != NULL;
}

/* The moments' names, the oldest first: the times in them sort as text. */
struct moments {
	char **name; /* owned, as each of them */
	size_t count;
};

static void moments_free(struct moments *m)
{
	for (size_t i = 0; i < m->count; i++)
		free(m->name[i]);
	free(m->name);
	*m = (struct moments){0};
}

#define cleanup_moments __attribute__((cleanup(moments_free)))

static int by_time(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int moments_add(struct moments *m, const char *name, struct err *err)
{
	char **grown = array_grow(m->name, m->count, sizeof(grown[0]));

	if (grown != NULL) {
		m->name = grown;
		grown[m->count] = strdup(name);
	}
	if (grown == NULL || grown[m->count] == NULL)
		return err_sys(err, ENOMEM, "list the moments of a series");
	m->count++;
	return 0;
}

static int moments_list(const struct series *s, struct moments *m, struct err *err)
{
	DIR *dir = opendir(s->folder);
	const struct dirent *entry;
	int ret = 0;

	if (dir == NULL)
		return err_sys(err, errno, "list %s", s->folder);
	while (ret == 0 && (entry = readdir(dir)) != NULL) {
		if (stamp_of(s, entry->d_name) != NULL)
			ret = moments_add(m, entry->d_name, err);
	}
	closedir(dir);
	if (m->count > 0)
		qsort(m->name, m->count, sizeof(m->name[0]), by_time);
	return ret;
}

static int stamp_path(const struct series *s, time_t when, struct path *path, struct err *err)
{
	char stamp[64];
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL ||
	    strftime(stamp, sizeof(stamp), STAMP_FORMAT, &tm) != STAMP_LEN)
		return err_set(err, ERR_FAILED, "the clock is not set");
	if ((size_t)snprintf(path->text, sizeof(path->text), "%s%s.%s" SUFFIX, s->folder, s->stem,
			     stamp) >= sizeof(path->text))
		return err_sys(err, ENAMETOOLONG, "%s", s->newest.text);
	return 0;
}

static time_t time_of(const char *stamp)
{
	struct tm tm = {0};

	return strptime(stamp, STAMP_FORMAT, &tm) != NULL ? timegm(&tm) : 0;
}

int series_next(const struct series *s, struct path *path, struct err *err)
{
	cleanup_moments struct moments m = {0};
	time_t when = time(NULL);
	int ret = moments_list(s, &m, err);

	if (ret < 0)
		return ret;
	if (m.count > 0) {
		const time_t last = time_of(stamp_of(s, m.name[m.count - 1]));

		when = when > last ? when : last + 1;
	}
	return stamp_path(s, when, path, err);
}

bool series_newest_is_ours(const struct series *s)
{
	cleanup_moments struct moments m = {0};
	char path[2 * PATH_MAX];
	struct stat newest, st;

	if (lstat(s->newest.text, &newest) < 0)
		return errno == ENOENT;
	if (moments_list(s, &m, NULL) < 0)
		return false;
	for (size_t i = 0; i < m.count; i++) {
		snprintf(path, sizeof(path), "%s%s", s->folder, m.name[i]);
		if (lstat(path, &st) == 0 && st.st_dev == newest.st_dev &&
		    st.st_ino == newest.st_ino)
			return true;
	}
	return false;
}

int series_show(const struct series *s, const char *moment, struct err *err)
{
	char link_name[2 * PATH_MAX];
	cleanup_fd int folder = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat a, b;

	if (folder < 0)
		return err_sys(err, errno, "%s", s->folder);
	/* rename(2) of two names of one file does nothing. */
	if (stat(s->newest.text, &a) == 0 && stat(moment, &b) == 0 && a.st_dev == b.st_dev &&
	    a.st_ino == b.st_ino)
		return 0;
	snprintf(link_name, sizeof(link_name), "%s.%s.newest", s->folder, s->stem);
	/* Of one that was killed here. */
	(void)unlink(link_name);
	if (link(moment, link_name) < 0)
		return err_sys(err, errno, "give %s the name %s as well", moment, s->newest.text);
	if (rename(link_name, s->newest.text) < 0) {
		int ret = err_sys(err, errno, "%s", s->newest.text);

		(void)unlink(link_name);
		return ret;
	}
	return fsync(folder) < 0 ? err_sys(err, errno, "%s", s->folder) : 0;
}

/* ---- what may go ---- */

/* A file that is there: a moment, or another one, which may stand on a moment. */
struct entry {
	char digest[DIGEST_TEXT_SIZE];
	char parent[DIGEST_TEXT_SIZE]; /* "": a full one */
	const char *moment; /* its name, when it is an old one; borrowed; NULL: it stays */
	bool needed;
};

struct look {
	const struct series *series;
	unsigned keep;
	struct moments moments;
	struct entry *entry;
	size_t count;
};

static const char *old_moment(const struct look *l, const char *folder, const char *name)
{
	if (strcmp(folder, l->series->folder) != 0)
		return NULL;
	for (size_t i = 0; i + l->keep < l->moments.count; i++) {
		if (strcmp(l->moments.name[i], name) == 0)
			return l->moments.name[i];
	}
	return NULL;
}

static int add_entry(struct look *l, const char *folder, const char *name, struct err *err)
{
	cleanup_archive struct archive *a = NULL;
	char path[2 * PATH_MAX];
	struct entry *grown;

	snprintf(path, sizeof(path), "%s%s", folder, name);
	/* What cannot be read stands on nothing that it could be woken with. */
	if (archive_open(&a, path, NULL) < 0)
		return 0;
	grown = array_grow(l->entry, l->count, sizeof(grown[0]));
	if (grown == NULL)
		return err_sys(err, ENOMEM, "list %s", folder);
	l->entry = grown;
	grown[l->count] = (struct entry){.moment = old_moment(l, folder, name)};
	strcpy(grown[l->count].digest, archive_digest(a));
	if (archive_appliance(a)->increment)
		strcpy(grown[l->count].parent, archive_appliance(a)->parent);
	l->count++;
	return 0;
}

static int add_folder(struct look *l, const char *folder, struct err *err)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	int ret = 0;

	if (dir == NULL)
		return errno == ENOENT ? 0 : err_sys(err, errno, "list %s", folder);
	while (ret == 0 && (entry = readdir(dir)) != NULL) {
		if (parent_has_suffix(entry->d_name))
			ret = add_entry(l, folder, entry->d_name, err);
	}
	closedir(dir);
	return ret;
}

static void need(struct look *l, const char *parent)
{
	/* A file is marked once, so this ends. */
	for (size_t i = 0; i < l->count; i++) {
		struct entry *e = &l->entry[i];

		if (e->needed || strcmp(e->digest, parent) != 0)
			continue;
		e->needed = true;
		if (e->parent[0] != '\0') {
			parent = e->parent;
			i = (size_t)-1;
		}
	}
}

/* All that the newest stands on is there, and whole. */
static int check_newest(const struct series *s, struct err *err)
{
	cleanup_chain struct chain *chain = NULL;
	int ret = parent_open(&chain, s->newest.text, NULL, err);

	return ret < 0 ? ret : chain_ensure_verified(chain, err);
}

static int look_at_all(struct look *l, json_t *old, struct err *err)
{
	struct path store;
	int ret = sandbox_enter(SANDBOX_CREATE, err);

	if (ret == 0)
		ret = check_newest(l->series, err);
	if (ret == 0)
		ret = add_folder(l, l->series->folder, err);
	if (ret == 0 && path_store_root(&store, NULL) == 0 && strlen(store.text) + 1 < PATH_MAX) {
		strcat(store.text, "/");
		if (strcmp(store.text, l->series->folder) != 0)
			ret = add_folder(l, store.text, err);
	}
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < l->count; i++) {
		if (l->entry[i].moment == NULL && l->entry[i].parent[0] != '\0')
			need(l, l->entry[i].parent);
	}
	for (size_t i = 0; i < l->count; i++) {
		if (l->entry[i].moment != NULL && !l->entry[i].needed)
			json_array_append_new(old, json_string(l->entry[i].moment));
	}
	return 0;
}

static void look_in_child(void *opaque, int fd)
{
	cleanup_json json_t *answer = json_pack("{s:b,s:[]}", "ok", 1, "old");
	struct err err = {0};

	if (look_at_all(opaque, json_object_get(answer, "old"), &err) < 0) {
		json_decref(answer);
		answer = protocol_error(&err);
	}
	(void)json_dumpfd(answer, fd, JSON_COMPACT);
}

static bool is_listed(const json_t *list, const char *name)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (text != NULL && strcmp(text, name) == 0)
			return true;
	}
	return false;
}

/* A file that had taken over the child could name others than old moments. */
static int remove_listed(const struct look *l, const json_t *old, unsigned *removed,
			 struct err *err)
{
	char path[2 * PATH_MAX];

	for (size_t i = 0; i + l->keep < l->moments.count; i++) {
		if (!is_listed(old, l->moments.name[i]))
			continue;
		snprintf(path, sizeof(path), "%s%s", l->series->folder, l->moments.name[i]);
		if (unlink(path) < 0)
			return err_sys(err, errno, "remove %s", path);
		(*removed)++;
	}
	return 0;
}

int series_trim(const struct series *s, unsigned keep, unsigned *removed, struct err *err)
{
	struct look look = {.series = s, .keep = keep};
	cleanup_free uint8_t *text = NULL;
	cleanup_json json_t *answer = NULL;
	size_t len;
	int ret = moments_list(s, &look.moments, err);

	*removed = 0;
	if (ret == 0 && look.moments.count > keep) {
		ret = child_ask(look_in_child, &look, JSON_MAX_BYTES, &text, &len, err);
		if (ret == 0) {
			answer = json_parse(text, len, err);
			ret = answer == NULL ? -EINVAL : protocol_check(answer, err);
		}
		if (ret == 0)
			ret = remove_listed(&look, json_object_get(answer, "old"), removed, err);
	}
	moments_free(&look.moments);
	return ret;
}
