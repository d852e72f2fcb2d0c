/*
 * Remembering which files were found good, so that a file is hashed once and not on each waking.
 *
 * A file is known by device, inode, size and its times of modification and change in nanoseconds:
 * whoever writes to it changes the last. What is remembered lies in $XDG_CACHE_HOME/torpor/verified
 * (or
 * ~/.cache/…), one small file for each; it is only believed when it and the folder are ours and
 * nobody else may write there. Without a home nothing is remembered. Everything here is best effort
 * and has no errors: at worst a file is hashed again. Any thread.
 */
#ifndef TORPOR_FORMAT_VERIFIED_H
#define TORPOR_FORMAT_VERIFIED_H

#include <stdbool.h>

struct stat;

/* Is the file, as fstat() tells it, remembered as good? */
bool verified_known(const struct stat *st);
void verified_remember(const struct stat *st);
void verified_forget(const struct stat *st);

/* The same file with the same contents, as far as the key above tells. */
bool verified_same(const struct stat *a, const struct stat *b);

#endif
