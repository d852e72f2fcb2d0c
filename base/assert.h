/*
 * assert() that prints file and line only. The source shows the condition; the texts of all of them
 * would be one percent of the program. Included instead of <assert.h>.
 */
#ifndef TORPOR_BASE_ASSERT_H
#define TORPOR_BASE_ASSERT_H

#define static_assert _Static_assert
#define assert(condition) ((condition) ? (void)0 : assert_failed(__FILE__, __LINE__))

/* Print the place and abort(3): the state of the program is broken. */
_Noreturn void assert_failed(const char *file, int line);

#endif
