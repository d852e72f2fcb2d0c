/*
 * Users and groups by the guest's own files. What is longer than a line may be (1 KiB) is passed
 * over. One thread.
 */
#ifndef TORPOR_GUEST_HELPER_ACCOUNT_H
#define TORPOR_GUEST_HELPER_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACCOUNT_PASSWD "/etc/passwd"
#define ACCOUNT_GROUP  "/etc/group"
#define ACCOUNT_GROUPS 64u

struct account {
	uint32_t uid, gid;
	char name[64]; /* "" without an entry */
	char home[256];
	uint32_t groups[ACCOUNT_GROUPS];
	size_t ngroups;
};

/* By name or number. Whether it has an entry; `a` means something only then. */
bool account_of_user(const char *passwd, const char *user, struct account *a);
/* USER[:GROUP], names or numbers; a number needs no entry. `text` is cut up. Whether there are such
 * ones. */
bool account_find(const char *passwd, const char *groups, char *text, struct account *a);
/* Returns 0 or a negative errno. */
long account_become(const struct account *a);

#endif
