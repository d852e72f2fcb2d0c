/* What a process does before it becomes a command. */
#ifndef TORPOR_GUEST_HELPER_EXECUTE_H
#define TORPOR_GUEST_HELPER_EXECUTE_H

#include <stdbool.h>

/* As after login: nothing is ignored or blocked, whatever the parent does. */
void reset_signals(void);
/* Add NAME=…, unless the variable is there. The array has room for one more. */
void environment_default(char **env, const char *name, char *text);
/* PATH and HOME, with a terminal TERM, where they are missing. The array has room for three more. */
void environment_complete(char **env, const char *home, bool tty);
/* As execvp(3) looks for it, but for scripts without a first line. Returns a negative errno. */
long find_and_execute(char *const *argv, char **env);

#endif
