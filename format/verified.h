/*
 * Remembering which files were found good, so that a file is hashed once and not at each resume.
 *
 * A file is known by device, inode, size and its times of modification and change in nanoseconds: a
 * write to it changes the last. What is remembered lies in $XDG_CACHE_HOME/torpor/verified,
 * or below ~/.cache, one small file for each. It is only believed when it and the folder are ours
 * and no other user may write there. Without a home nothing is remembered. Everything here is best
 * effort and has no errors: at worst a file is hashed again. Any thread. A folder is known by all
 * of its files at once.
 */
#ifndef TORPOR_FORMAT_VERIFIED_H
#define TORPOR_FORMAT_VERIFIED_H

#include <stdbool.h>
#include <stdint.h>

struct stat;

/* Is the file, as fstat() tells it, remembered as good? */
bool verified_known(const struct stat *st);
/* Before a file is looked at that is to be remembered: would a later write change its times? Not
 * one within the same tick of the clock that stamps files, so that a file as young as that is
 * waited for (12 ms at most). False, and do not remember it: its file system counts in seconds, or
 * its times lie in the future. */
bool verified_settle(const struct stat *st);
void verified_remember(const struct stat *st);
void verified_forget(const struct stat *st);

/* The same file with the same contents, as far as the key above tells. */
bool verified_same(const struct stat *a, const struct stat *b);

/* Several files that were found to belong together, as the blobs of an OCI folder do.
 * verified_set_init → verified_set_add for each, always in the same order → the others. */
struct verified_set {
	char name[48];	 /* of the entry */
	uint8_t sum[32]; /* of the keys of all that was added */
	bool settled;	 /* verified_settle() said so of each */
};

/* `digest` is that of what names all of them: a manifest. */
void verified_set_init(struct verified_set *set, const char *digest);
/* The file, and what its contents were found to be: a digest. */
void verified_set_add(struct verified_set *set, const struct stat *st, const char *digest);
bool verified_set_same(const struct verified_set *a, const struct verified_set *b);
bool verified_set_known(const struct verified_set *set);
/* Unless it is not settled. */
void verified_set_remember(const struct verified_set *set);
void verified_set_forget(const struct verified_set *set);

#endif
