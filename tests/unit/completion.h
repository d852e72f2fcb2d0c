/* The bash completion as the table of verbs has it. It is made here, not by the program: what is
 * installed is the committed cli/completion.bash, and a test compares the two. */
#ifndef TORPOR_TESTS_UNIT_COMPLETION_H
#define TORPOR_TESTS_UNIT_COMPLETION_H

#include <stdio.h>

void completion_print(FILE *out);

#endif
