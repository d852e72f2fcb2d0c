/*
 * The files of tests: which there are, what is in one, and writing one anew. Errors: those of the
 * calls that are named, and -ENOMEM. One thread.
 */
#ifndef TORPOR_GOLDEN_TEST_FILES_H
#define TORPOR_GOLDEN_TEST_FILES_H

#include <sys/types.h>

#include "golden/compare.h"

/* Paths in the order in which they run. */
struct test_list {
	char **path; /* owned, as its elements */
	size_t n;
};

/* Add a file, or of a folder the tests in it and below, by name. What is below a folder and cannot
 * be looked at is a test, which will not run. Returns 0; ERR_NOT_FOUND when a folder has no test; or
 * the errno of stat(2) or scandir(3). */
int test_list_add(struct test_list *list, const char *path, struct err *err);
/* What is there several times, also by another way to its folder, stays where it was first. Returns 0 or -ENOMEM. */
int test_list_drop_repeats(struct test_list *list, struct err *err);
/* Keep part `shard`, from 1, of `shards`: every n-th test. The parts of one list are disjoint, and
 * together they are the list. Cannot fail. */
void test_list_keep_shard(struct test_list *list, unsigned shard, unsigned shards);
/* Safe on zeroes. */
void test_list_free(struct test_list *list);

#define cleanup_test_list __attribute__((cleanup(test_list_free)))

/* Read it: *text is the caller's to free, *mode that of the file. Returns 0; ERR_USAGE when it is no
 * file or too long; -ENOMEM; or the errno of open(2) or pread(2). */
int test_file_text(const char *path, char **text, size_t *len, mode_t *mode, struct err *err);
/* The same, and what transcript_parse() gives. */
int test_file_read(const char *path, struct transcript *t, mode_t *mode, struct err *err);
/* Write what edits_text() gives in its place, at once. Returns 0, the errno of fchmod(2), or what
 * tempfile_open(), tempfile_write() and tempfile_publish() give: then it is as it was. */
int test_file_rewrite(const char *path, mode_t mode, const struct edits *edits, struct err *err);

#endif
