/*
 * Remembering which files were found good, so that a file is hashed once and not at each resume.
 *
 * A file is known by device, inode, size and its times of modification and change in nanoseconds: a
 * write to it changes the last. What is remembered lies in $XDG_CACHE_HOME/torpor/verified,
 * or below ~/.cache, one small file for each. It is only believed when it and the folder are ours
 * and no other user may write there. Without a home nothing is remembered. Everything here is best
 * effort and has no errors: at worst a file is hashed again. Any thread.
 */
#ifndef TORPOR_FORMAT_VERIFIED_H
#define TORPOR_FORMAT_VERIFIED_H

#include <stdbool.h>

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

#endif
