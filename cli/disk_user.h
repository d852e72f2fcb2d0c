/* Who uses a disk file: a machine of this user, or another process. */
#ifndef TORPOR_CLI_DISK_USER_H
#define TORPOR_CLI_DISK_USER_H

#include <jansson.h>

#define DISK_USER_SIZE 160u

/* "machine web (rw)", "process 123 (qemu-system-x86)", or "another process". Asks each running
 * machine, for at most two seconds. Cannot fail. */
void disk_user_find(const char *path, char user[DISK_USER_SIZE]);
/* The machines alone: [{"machine", "id", "mode"}], a new array; NULL without memory. */
json_t *disk_user_machines(const char *path);

#endif
