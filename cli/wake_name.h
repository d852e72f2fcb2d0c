/* How a machine is called that wakes from a file which torpor has saved by itself. Pure. */
#ifndef TORPOR_CLI_WAKE_NAME_H
#define TORPOR_CLI_WAKE_NAME_H

#include <stdbool.h>

#define WAKE_NAME_OPTION 80u

/* For "goldens/web.torpor": `--as=web`, an option of torpor save. False when that would be no name
 * of a machine, which then keeps its own. */
bool wake_name_option(const char *file, char option[WAKE_NAME_OPTION]);

#endif
