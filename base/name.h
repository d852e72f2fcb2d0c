/* The names of machines and LANs. */
#ifndef TORPOR_BASE_NAME_H
#define TORPOR_BASE_NAME_H

#include <stdbool.h>

#define NAME_SIZE 64u /* with the NUL */

/* Whether it is a letter or digit, then up to 62 letters, digits, '_', '.' or '-'. ASCII, in every
 * locale. Such a name is safe as the name of a file and on a terminal. */
bool name_is_valid(const char *name);

#endif
