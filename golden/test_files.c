/* See test_files.h. */
#include "golden/test_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/tempfile.h"

#define TEST_SUFFIX ".t"

static int add_path(struct test_list *list, char *path, struct err *err)
{
	char **grown = path != NULL ? array_grow(list->path, list->n, sizeof(*grown)) : NULL;

	if (grown == NULL) {
		free(path);
		return err_sys(err, ENOMEM, "list the tests");
	}
	list->path = grown;
	grown[list->n++] = path;
	return 0;
}

static int is_test(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name), suffix = strlen(TEST_SUFFIX);

	return entry->d_name[0] != '.' &&
	       (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN ||
		(len > suffix && strcmp(entry->d_name + len - suffix, TEST_SUFFIX) == 0));
}

static int find_tests(struct test_list *list, const char *path, bool below, struct err *err)
{
	struct dirent **entry;
	struct stat st = {0};
	int n, ret = 0;

	if (stat(path, &st) < 0 && !below)
		return err_sys(err, errno, "%s", path);
	if (!S_ISDIR(st.st_mode))
		return add_path(list, strdup(path), err);
	n = scandir(path, &entry, is_test, alphasort);
	if (n < 0)
		return err_sys(err, errno, "%s", path);
	for (int i = 0; i < n; i++) {
		cleanup_free char *inner = NULL;

		if (ret == 0 && asprintf(&inner, "%s/%s", path, entry[i]->d_name) < 0)
			ret = err_sys(err, ENOMEM, "list the tests");
		if (ret == 0)
			ret = find_tests(list, inner, true, err);
		free(entry[i]);
	}
	free(entry);
	return ret;
}

int test_list_add(struct test_list *list, const char *path, struct err *err)
{
	size_t before = list->n;
	int ret = find_tests(list, path, false, err);

	if (ret < 0)
		return ret;
	if (list->n == before)
		return err_set(err, ERR_NOT_FOUND, "%s: no test NAME" TEST_SUFFIX " is in it",
			       path);
	return 0;
}

/* Where a test lies: its folder as the system has it, and its own name, for a link is a test of its own. */
static char *place_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	cleanup_free char *folder =
		slash == NULL ? strdup(".") : strndup(path, (size_t)(name - path));
	cleanup_free char *real = folder != NULL ? realpath(folder, NULL) : NULL;
	char *place = NULL;

	if (folder == NULL || asprintf(&place, "%s/%s", real != NULL ? real : folder, name) < 0)
		return NULL;
	return place;
}

struct placed {
	char *place; /* owned */
	size_t at;
};

static int by_place(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;
	int order = strcmp(x->place, y->place);

	return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

/* Frees the paths of those that are there before; NULL stands for them. */
static void drop_placed(struct test_list *list, struct placed *test)
{
	qsort(test, list->n, sizeof(*test), by_place);
	for (size_t i = 1; i < list->n; i++) {
		if (strcmp(test[i].place, test[i - 1].place) == 0) {
			free(list->path[test[i].at]);
			list->path[test[i].at] = NULL;
		}
	}
}

int test_list_drop_repeats(struct test_list *list, struct err *err)
{
	cleanup_free struct placed *test = calloc(list->n + 1, sizeof(*test));
	size_t n = 0, kept = 0;

	while (test != NULL && n < list->n && (test[n].place = place_of(list->path[n])) != NULL) {
		test[n].at = n;
		n++;
	}
	if (test != NULL && n == list->n) {
		drop_placed(list, test);
		for (size_t i = 0; i < n; i++) {
			if (list->path[i] != NULL)
				list->path[kept++] = list->path[i];
		}
		list->n = kept;
	}
	for (size_t i = 0; test != NULL && i < n; i++)
		free(test[i].place);
	return kept > 0 || n == 0 ? 0 : err_sys(err, ENOMEM, "list the tests");
}

void test_list_keep_shard(struct test_list *list, unsigned shard, unsigned shards)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->n; i++) {
		if (i % shards == shard - 1)
			list->path[kept++] = list->path[i];
		else
			free(list->path[i]);
	}
	list->n = kept;
}

void test_list_free(struct test_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->path[i]);
	free(list->path);
	*list = (struct test_list){0};
}

int test_file_text(const char *path, char **text, size_t *len, mode_t *mode, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	cleanup_free char *bytes = NULL;
	struct stat st;
	int ret;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "open");
	if (!S_ISREG(st.st_mode) || st.st_size > TRANSCRIPT_MAX)
		return err_set(err, ERR_USAGE, "not a file, or longer than %u MiB",
			       TRANSCRIPT_MAX >> 20);
	bytes = malloc((size_t)st.st_size + 1);
	if (bytes == NULL)
		return err_sys(err, ENOMEM, "read");
	ret = io_pread(fd, bytes, (uint64_t)st.st_size, 0);
	if (ret < 0)
		return err_sys(err, -ret, "read");
	*text = take_ptr(bytes);
	*len = (size_t)st.st_size;
	*mode = st.st_mode & 07777;
	return 0;
}

int test_file_read(const char *path, struct transcript *t, mode_t *mode, struct err *err)
{
	size_t len;
	char *text;
	int ret = test_file_text(path, &text, &len, mode, err);

	return ret < 0 ? ret : transcript_parse(t, text, len, err);
}

static int write_text(const struct tempfile *file, const struct buf *text, mode_t mode,
		      struct err *err)
{
	int ret = tempfile_write(file, text->data, text->len, 0, err);

	if (ret < 0)
		return ret;
	return fchmod(file->fd, mode) < 0 ? err_sys(err, errno, "chmod") : 0;
}

int test_file_rewrite(const char *path, mode_t mode, const struct edits *edits, struct err *err)
{
	cleanup_buf struct buf text = {0};
	struct tempfile file;
	struct stat written;
	int ret;

	edits_text(edits, &text);
	if (buf_failed(&text))
		return err_sys(err, ENOMEM, "rewrite");
	ret = tempfile_open(&file, path, err);
	if (ret < 0)
		return ret;
	ret = write_text(&file, &text, mode, err);
	if (ret == 0)
		ret = tempfile_publish(&file, &written, err);
	tempfile_close(&file);
	return ret;
}
