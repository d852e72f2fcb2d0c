/*
 * assert() that says where and no more. The condition stands at that line of the source; its text
 * and the function's name would be a hundredth of the program. Included instead of <assert.h>.
 */
#ifndef TORPOR_BASE_ASSERT_H
#define TORPOR_BASE_ASSERT_H

#define static_assert _Static_assert
#define assert(condition) ((condition) ? (void)0 : assert_failed(__FILE__, __LINE__))

/* Print the place and abort(3): what follows would work on a broken state. */
_Noreturn void assert_failed(const char *file, int line);

#endif
