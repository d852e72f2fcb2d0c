/* An array that grows element by element. Its room is not stored: it is the count, rounded up to a
 * power of two. */
#ifndef TORPOR_BASE_ARRAY_H
#define TORPOR_BASE_ARRAY_H

#include <stdlib.h>

/*
 * Make room for one element more than `count`. Returns the array, which may have moved, or NULL
 * when there is no memory; then the old array is unchanged. Every append goes through this. Code
 * that allocates the array in another way gives it room for a power of two.
 *
 *     struct node *grown = array_grow(list->node, list->count, sizeof(*grown));
 *
 *     if (grown == NULL)
 *             return err_sys(err, ENOMEM, ...);
 *     list->node = grown;
 *     grown[list->count++] = ...;
 */
static inline void *array_grow(void *array, size_t count, size_t element)
{
	size_t size;

	if ((count & (count - 1)) != 0)
		return array;
	if (__builtin_mul_overflow(count == 0 ? 1 : count, 2 * element, &size))
		return NULL;
	return realloc(array, count == 0 ? element : size);
}

#endif
