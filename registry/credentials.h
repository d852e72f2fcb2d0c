/*
 * What a user has to show at a registry, as docker and podman keep it: the file that
 * REGISTRY_AUTH_FILE names; else $XDG_RUNTIME_DIR/containers/auth.json, then config.json in
 * DOCKER_CONFIG or ~/.docker. In each the helper of a host (credHelpers, credsStore) comes before
 * `auths`, and of `auths` the longest key that is a prefix of HOST/REPOSITORY.
 *
 * A helper is a program docker-credential-NAME in PATH (docker-credential-helpers' protocol). Its
 * words are not believed further than they go: lengths are bounded, and NAME is a plain name.
 *
 * Main thread. Functions return what is said, or -errno with ERR_FAILED for a file that cannot be
 * read or written, or a helper that fails; -EINVAL with ERR_INTEGRITY for one whose contents are
 * malformed.
 */
#ifndef TORPOR_REGISTRY_CREDENTIALS_H
#define TORPOR_REGISTRY_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define CREDENTIALS_USER   512u
#define CREDENTIALS_SECRET 8192u

struct credentials {
	char user[CREDENTIALS_USER];
	char secret[CREDENTIALS_SECRET];
	bool identity; /* the secret is a token to get others for, not a password */
};

/* Returns 1 when there are some, 0 when there are none. */
int credentials_find(struct credentials *c, const char *host, const char *repository,
		     struct err *err);
/* Where credentials_find() will find them: into the first file that has some for all of the host, or
 * a helper for it, which is used then; else into the last file. Other members, and entries for
 * single repositories, stay. `path` (PATH_MAX) says where they are: a file or a helper. Returns 0. */
int credentials_store(const char *host, const struct credentials *c, char *path, struct err *err);
/* Out of all of those files, with entries for single repositories of the host. Returns 1 when there
 * were some, else 0. */
int credentials_erase(const char *host, struct err *err);

void credentials_wipe(struct credentials *c);
#define cleanup_credentials __attribute__((cleanup(credentials_wipe)))

/* What `auth` of such a file holds: base64 of USER:SECRET. False when it is none. Pure. */
bool credentials_decode(struct credentials *c, const char *text);
/* "Basic …" for an Authorization header. False when it does not fit. Pure. */
bool credentials_basic(const struct credentials *c, char *header, size_t size);

#endif
