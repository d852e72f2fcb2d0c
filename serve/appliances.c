/* See appliances.h. */
#include "serve/appliances.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "format/archive.h"

#define SUFFIX	   ".torpor"
#define SUFFIX_LEN (sizeof(SUFFIX) - 1)

struct piece {
	char digest[DIGEST_TEXT_SIZE];
	uint64_t offset, len;
};

struct file {
	char *path; /* owned */
	struct stat st;
	struct piece *piece; /* owned; the first is the manifest; NULL: it cannot be served */
	size_t npieces;
	char identity[DIGEST_TEXT_SIZE];
	bool named; /* on the command line: `held` is open for good */
	/* Open while a pull of it may be under way: it is found by digests then, also when its path
	 * leads elsewhere. */
	int held; /* -1: not */
	char repository[REFERENCE_REPO];
	uint64_t used_ns;
	bool seen; /* by the listing that is going on */
};

struct appliances {
	void (*report)(void *opaque, const char *line);
	void *opaque;
	char **folder; /* owned */
	size_t nfolders;
	struct file **file; /* owned */
	size_t nfiles;
	bool full; /* was reported */
};

int appliances_new(struct appliances **out, void (*report)(void *opaque, const char *line),
		   void *opaque, struct err *err)
{
	*out = calloc(1, sizeof(**out));
	if (*out == NULL)
		return err_sys(err, ENOMEM, "serve");
	(*out)->report = report;
	(*out)->opaque = opaque;
	return 0;
}

static void free_file(struct file *f)
{
	if (f->held >= 0)
		close(f->held);
	free(f->path);
	free(f->piece);
	free(f);
}

void appliances_free(struct appliances *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->nfiles; i++)
		free_file(a->file[i]);
	for (size_t i = 0; i < a->nfolders; i++)
		free(a->folder[i]);
	free(a->file);
	free(a->folder);
	free(a);
}

static bool is_file_name(const char *name)
{
	size_t len = strlen(name);

	return name[0] != '.' && len > SUFFIX_LEN && strcmp(name + len - SUFFIX_LEN, SUFFIX) == 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static int missing(const char *what, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "there is no %s", what);
}

int appliances_add_folder(struct appliances *a, const char *path, struct err *err)
{
	char **grown = array_grow(a->folder, a->nfolders, sizeof(*grown));

	if (grown == NULL)
		return err_sys(err, ENOMEM, "%s", path);
	a->folder = grown;
	grown[a->nfolders] = strdup(path);
	if (grown[a->nfolders] == NULL)
		return err_sys(err, ENOMEM, "%s", path);
	a->nfolders++;
	return 0;
}

static bool is_same(const struct stat *x, const struct stat *y)
{
	return x->st_dev == y->st_dev && x->st_ino == y->st_ino && x->st_size == y->st_size &&
	       x->st_mtim.tv_sec == y->st_mtim.tv_sec && x->st_mtim.tv_nsec == y->st_mtim.tv_nsec &&
	       x->st_ctim.tv_sec == y->st_ctim.tv_sec && x->st_ctim.tv_nsec == y->st_ctim.tv_nsec;
}

/* In a folder no symbolic link is followed; a pipe or a device is not waited for. */
static int open_file(const char *path, bool named, struct stat *st, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (named ? 0 : O_NOFOLLOW));
	int ret = -ENOENT;

	if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode))
		return fd;
	if (fd < 0)
		return err_sys(err, errno == ELOOP ? ENOENT : errno, "%s", path);
	close(fd);
	err_set(err, ERR_NOT_FOUND, "%s is no file", path);
	return ret;
}

/* Where everything is. */
static int read_pieces(struct file *f, int fd, struct err *err)
{
	struct archive_open_params params = {.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)};
	cleanup_archive struct archive *archive = NULL;
	const struct archive_entry *entry;
	int ret;

	if (params.fd < 0)
		return err_sys(err, errno, "%s", f->path);
	ret = archive_open_with(&archive, f->path, &params, err);
	if (ret < 0)
		return ret;
	f->npieces = archive_entries(archive, &entry);
	f->piece = calloc(f->npieces, sizeof(*f->piece));
	if (f->piece == NULL)
		return err_sys(err, ENOMEM, "%s", f->path);
	for (size_t i = 0; i < f->npieces; i++) {
		strcpy(f->piece[i].digest, entry[i].digest);
		f->piece[i].offset = entry[i].blob.offset;
		f->piece[i].len = entry[i].blob.len;
	}
	strcpy(f->identity, archive_digest(archive));
	return 0;
}

/* A new entry for an open file. One that is no good is remembered, too, so that it is not read for
 * each question. */
static int add_file(struct appliances *a, const char *path, int fd, const struct stat *st,
		    struct file **out, struct err *err)
{
	struct file **grown, *f = calloc(1, sizeof(*f));
	struct err why = {0};
	int ret;

	*out = NULL;
	if (f == NULL)
		return err_sys(err, ENOMEM, "%s", path);
	f->held = -1;
	f->st = *st;
	f->path = strdup(path);
	grown = array_grow(a->file, a->nfiles, sizeof(struct file *));
	if (grown != NULL)
		a->file = grown;
	if (f->path == NULL || grown == NULL) {
		free_file(f);
		return err_sys(err, ENOMEM, "%s", path);
	}
	a->file[a->nfiles++] = *out = f;
	ret = read_pieces(f, fd, &why);
	if (ret < 0) {
		free(f->piece);
		f->piece = NULL;
		f->npieces = 0;
		return err_copy(err, ret, &why);
	}
	return 0;
}

int appliances_add_file(struct appliances *a, const char *path, struct err *err)
{
	cleanup_fd int fd = -1;
	struct stat st;
	struct file *f;
	int ret;

	if (!is_file_name(base_name(path)))
		return err_set(err, ERR_USAGE, "%s: a file that is served is called NAME.torpor",
			       path);
	for (size_t i = 0; i < a->nfiles; i++) {
		if (strcmp(base_name(a->file[i]->path), base_name(path)) == 0)
			return err_set(err, ERR_USAGE, "%s and %s have the same name",
				       a->file[i]->path, path);
	}
	fd = open_file(path, true, &st, err);
	if (fd < 0)
		return fd;
	ret = add_file(a, path, fd, &st, &f, err);
	if (ret < 0)
		return ret;
	f->named = true;
	f->held = take_fd(&fd);
	return 0;
}

static struct file *known(const struct appliances *a, const char *path, const struct stat *st)
{
	for (size_t i = 0; i < a->nfiles; i++) {
		struct file *f = a->file[i];

		if (!f->named && is_same(&f->st, st) && strcmp(f->path, path) == 0)
			return f;
	}
	return NULL;
}

/* What is at the path now, as an open file with its entry. An entry without pieces is none. */
static int look(struct appliances *a, const char *path, struct file **f, struct err *err)
{
	cleanup_fd int fd = -1;
	struct stat st;
	int ret = 0;

	fd = open_file(path, false, &st, err);
	if (fd < 0)
		return fd;
	*f = known(a, path, &st);
	if (*f == NULL && a->nfiles >= APPLIANCES_MAX) {
		if (!a->full)
			a->report(a->opaque, "more than 4096 files: the others are not served");
		a->full = true;
		return missing(path, err);
	}
	if (*f == NULL) {
		struct err why = {0};

		ret = add_file(a, path, fd, &st, f, &why);
		if (ret < 0)
			a->report(a->opaque, why.text);
	}
	if (*f != NULL)
		(*f)->seen = true;
	if (ret < 0 || (*f)->piece == NULL)
		return missing("such appliance that can be read", err);
	return take_fd(&fd);
}

/* Forget files that are gone or replaced, but those that are held. */
static void forget_unseen(struct appliances *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->nfiles; i++) {
		struct file *f = a->file[i];

		if (f->seen || f->held >= 0)
			a->file[n++] = f;
		else
			free_file(f);
	}
	a->nfiles = n;
	a->full = a->full && n >= APPLIANCES_MAX;
}

static void list_folder(struct appliances *a, const char *folder)
{
	const struct dirent *entry;
	DIR *dir = opendir(folder);

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char path[PATH_MAX];
		struct file *f;
		int fd;

		if (!is_file_name(entry->d_name) || snprintf(path, sizeof(path), "%s/%s", folder,
							     entry->d_name) >= (int)sizeof(path))
			continue;
		fd = look(a, path, &f, NULL);
		if (fd >= 0)
			close(fd);
	}
	if (dir != NULL)
		closedir(dir);
}

/* Look at all there is. */
static void list_all(struct appliances *a)
{
	for (size_t i = 0; i < a->nfiles; i++)
		a->file[i]->seen = false;
	for (size_t i = 0; i < a->nfolders; i++)
		list_folder(a, a->folder[i]);
	forget_unseen(a);
}

void appliances_each(struct appliances *a, void (*each)(void *opaque, const char *name),
		     void *opaque)
{
	list_all(a);
	for (size_t i = 0; i < a->nfiles; i++) {
		if (a->file[i]->named || a->file[i]->seen)
			each(opaque, base_name(a->file[i]->path));
	}
}

static int duplicate(int fd, struct err *err)
{
	int ret = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return ret < 0 ? err_sys(err, errno, "serve") : ret;
}

/* It may have another name by now, or none, but its bytes are those that were looked at. */
static bool is_unchanged(const struct file *f)
{
	struct stat st;

	return fstat(f->held, &st) == 0 && st.st_size == f->st.st_size &&
	       st.st_mtim.tv_sec == f->st.st_mtim.tv_sec &&
	       st.st_mtim.tv_nsec == f->st.st_mtim.tv_nsec;
}

/* The file of an entry, open: the one that is held, or what its path still leads to. */
static int open_entry(const struct file *f, struct err *err)
{
	struct stat st;
	int fd;

	if (f->held >= 0 && !is_unchanged(f))
		return err_set(err, ERR_FAILED, "%s was changed while it is served", f->path);
	if (f->held >= 0)
		return duplicate(f->held, err);
	fd = open_file(f->path, f->named, &st, err);
	if (fd >= 0 && !is_same(&f->st, &st)) {
		close(fd);
		return missing(f->path, err);
	}
	return fd;
}

/* NAME in one of the folders, or a file that was named. Returns it, open. */
static int find_name(struct appliances *a, const char *name, struct file **f, struct err *err)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < a->nfiles; i++) {
		*f = a->file[i];
		if ((*f)->named && strcmp(base_name((*f)->path), name) == 0)
			return open_entry(*f, err);
	}
	for (size_t i = 0; i < a->nfolders; i++) {
		int fd;

		if (snprintf(path, sizeof(path), "%s/%s", a->folder[i], name) >= (int)sizeof(path))
			continue;
		fd = look(a, path, f, err);
		if (fd != -ENOENT)
			return fd;
	}
	return missing(name, err);
}

static int find_repository(struct appliances *a, const char *repository, struct file **f,
			   struct err *err)
{
	char name[REFERENCE_REPO + SUFFIX_LEN];

	if (strchr(repository, '/') != NULL)
		return missing(repository, err);
	snprintf(name, sizeof(name), "%s" SUFFIX, repository);
	return find_name(a, name, f, err);
}

bool appliances_has(struct appliances *a, const char *repository)
{
	struct file *f;
	int fd = find_repository(a, repository, &f, NULL);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void give_piece(const struct file *f, size_t i, int fd, struct catalog_item *item)
{
	*item = (struct catalog_item){
		.fd = fd, .offset = f->piece[i].offset, .len = f->piece[i].len};
	strcpy(item->digest, f->piece[i].digest);
	strcpy(item->media_type, i == 0 ? OCI_MANIFEST_TYPE : "application/octet-stream");
}

/* Give away its manifest. Takes `fd`. */
static int give_manifest(struct file *f, const char *repository, int fd, struct catalog_item *item,
			 struct err *err)
{
	if (f->held < 0)
		f->held = duplicate(fd, err);
	if (f->held < 0) {
		close(fd);
		return f->held;
	}
	snprintf(f->repository, sizeof(f->repository), "%s", repository);
	f->used_ns = clock_monotonic_ns();
	give_piece(f, 0, fd, item);
	return 0;
}

int appliances_by_name(struct appliances *a, const char *repository, struct catalog_item *item,
		       struct err *err)
{
	struct file *f;
	int fd = find_repository(a, repository, &f, err);

	return fd < 0 ? fd : give_manifest(f, repository, fd, item, err);
}

int appliances_by_identity(struct appliances *a, const char *repository, const char *identity,
			   struct catalog_item *item, struct err *err)
{
	list_all(a);
	for (size_t i = 0; i < a->nfiles; i++) {
		struct file *f = a->file[i];
		int fd;

		if (f->piece == NULL || strcmp(f->identity, identity) != 0)
			continue;
		fd = open_entry(f, err);
		if (fd >= 0)
			return give_manifest(f, repository, fd, item, err);
	}
	return missing("such appliance", err);
}

static int find_digest(const struct appliances *a, const char *digest, bool manifest,
		       struct catalog_item *item)
{
	for (size_t i = 0; i < a->nfiles; i++) {
		const struct file *f = a->file[i];
		size_t n = manifest && f->npieces > 0 ? 1 : f->npieces;

		for (size_t k = 0; k < n; k++) {
			int fd;

			if (strcmp(f->piece[k].digest, digest) != 0)
				continue;
			fd = open_entry(f, NULL);
			if (fd < 0)
				break;
			give_piece(f, k, fd, item);
			return 0;
		}
	}
	return -ENOENT;
}

int appliances_by_digest(struct appliances *a, const char *digest, bool manifest,
			 struct catalog_item *item, struct err *err)
{
	if (find_digest(a, digest, manifest, item) == 0)
		return 0;
	/* In a file that is new. */
	list_all(a);
	return find_digest(a, digest, manifest, item) == 0 ? 0 : missing(digest, err);
}

int appliances_file(struct appliances *a, const char *name, struct catalog_item *item,
		    struct err *err)
{
	struct file *f;
	int fd = find_name(a, name, &f, err);

	if (fd < 0)
		return fd;
	*item = (struct catalog_item){.fd = fd, .len = (uint64_t)f->st.st_size};
	strcpy(item->media_type, "application/x-tar");
	snprintf(item->entity_tag, sizeof(item->entity_tag), "\"%llx-%llx-%llx.%lx\"",
		 (unsigned long long)f->st.st_ino, (unsigned long long)f->st.st_size,
		 (unsigned long long)f->st.st_mtim.tv_sec, f->st.st_mtim.tv_nsec);
	return 0;
}

void appliances_touch(struct appliances *a, const char *repository, uint64_t limit_ns)
{
	uint64_t now = clock_monotonic_ns();

	for (size_t i = 0; i < a->nfiles; i++) {
		struct file *f = a->file[i];

		if (f->held < 0 || f->named)
			continue;
		if (strcmp(f->repository, repository) == 0)
			f->used_ns = now;
		if (now - f->used_ns < limit_ns)
			continue;
		close(f->held);
		f->held = -1;
	}
}
