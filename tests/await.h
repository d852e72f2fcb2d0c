/*
 * Wait for what another thread brings about.
 *
 *     AWAIT(counter_of(&other) > before);
 *     cr_assert(counter_of(&other) > before);
 *
 * The limit is for what hangs: it is far from what anything takes, also beside much load. What
 * follows has to assert the condition.
 */
#ifndef TORPOR_TESTS_AWAIT_H
#define TORPOR_TESTS_AWAIT_H

#include <unistd.h>

#define AWAIT_S 900

#define AWAIT(condition)                                                                           \
	do {                                                                                       \
		for (unsigned ms = 0; ms < AWAIT_S * 1000 && !(condition); ms++)                   \
			usleep(1000);                                                              \
	} while (0)

#endif
