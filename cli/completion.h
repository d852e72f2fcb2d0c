/* The bash completion, made from the table of verbs; cli/completion.bash is its output. */
#ifndef TORPOR_CLI_COMPLETION_H
#define TORPOR_CLI_COMPLETION_H

#include <stdio.h>

void completion_print(FILE *out);

#endif
