/*
 * Scope-bound cleanup for descriptors and memory: declare with the attribute, and every return
 * path releases. take_fd() and take_ptr() hand the resource on to a longer-lived owner.
 */
#ifndef TORPOR_BASE_CLEANUP_H
#define TORPOR_BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_fd_fn(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_free_fn(void *pp)
{
	free(*(void **)pp);
}

static inline void cleanup_file_fn(FILE **f)
{
	if (*f != NULL)
		fclose(*f);
}

#define cleanup_fd   __attribute__((cleanup(cleanup_fd_fn)))
#define cleanup_free __attribute__((cleanup(cleanup_free_fn)))
#define cleanup_file __attribute__((cleanup(cleanup_file_fn)))

/* Return *fd and leave -1 behind. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Return the pointer and leave NULL behind. */
#define take_ptr(p)                                                                                \
	({                                                                                         \
		__typeof__(p) taken_ = (p);                                                        \
		(p) = NULL;                                                                        \
		taken_;                                                                            \
	})

#endif
