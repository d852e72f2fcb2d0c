/*
 * Memory for keys: locked, so that it is not swapped out, as far as the limit on locked memory
 * allows; not in core dumps; wiped when it is freed. Any thread.
 */
#ifndef TORPOR_FORMAT_CRYPTO_SECRET_H
#define TORPOR_FORMAT_CRYPTO_SECRET_H

#include <stddef.h>

#include "base/err.h"

/* Zeroed, in pages of its own. NULL, with *err set to the errno of mmap(2): there is none. */
void *secret_new(size_t len, struct err *err);
/* Lock it again: a child made by fork(2) has it unlocked. Cannot fail: without the right to lock it
 * stays unlocked. */
void secret_lock(void *secret, size_t len);
/* NULL is fine. */
void secret_free(void *secret, size_t len);

#endif
