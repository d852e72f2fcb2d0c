/* See target.h. */
#include "cli/target.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/name.h"
#include "format/container.h"
#include "host/claim.h"
#include "host/parse.h"
#include "store/cas.h"

/* What a command line may name. */
#define NAMED 16u

static struct {
	char path[PATH_MAX];
	const char *typed;
} named[NAMED];
static unsigned nnamed;

void target_name_path(const char *path, const char *typed)
{
	snprintf(named[nnamed % NAMED].path, PATH_MAX, "%s", path);
	named[nnamed++ % NAMED].typed = typed;
}

const char *target_typed(const char *path)
{
	for (unsigned i = 0; i < NAMED && named[i].typed != NULL; i++) {
		if (strcmp(named[i].path, path) == 0)
			return named[i].typed;
	}
	return NULL;
}

void target_tell(struct err *err)
{
	for (unsigned i = 0; i < NAMED && named[i].typed != NULL; i++) {
		const char *path = strstr(err->text, named[i].path);
		char text[sizeof(err->text)];

		if (path == NULL)
			continue;
		snprintf(text, sizeof(text), "%.*s%s%s", (int)(path - err->text), err->text,
			 named[i].typed, path + strlen(named[i].path));
		strcpy(err->text, text);
	}
}

static bool may_be_name(const char *text)
{
	const char *dot = strrchr(text, '.');

	return name_is_valid(text) && (dot == NULL || strcmp(dot, ".torpor") != 0);
}

/* Returns 1 when there is such an image, 0 when there is none, or when the text is no reference. */
static int target_find_image(struct target *target, const char *text, struct err *err)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	char digest[DIGEST_TEXT_SIZE];
	struct reference ref;
	struct path root;
	int ret;

	if (reference_parse(&ref, text, err) < 0)
		return 0;
	ret = path_cas(&root, err);
	if (ret < 0)
		return ret;
	ret = cas_open(&cas, root.text, CAS_LOOK, err);
	if (ret < 0)
		return ret;
	ret = cas_resolve(&cas, &ref, digest, err);
	if (ret == 0)
		ret = cas_image_path(&cas, digest, target->store.text, err);
	if (ret == 0)
		ret = cas_hold(target->store.text, err);
	if (ret < 0)
		return ret == -ENOENT ? 0 : ret;
	target->kind = TARGET_IMAGE;
	target->file = target->store.text;
	target_name_path(target->file, text);
	return 1;
}

/* In the store; `what` says what else there could have been. */
static int target_find_stored(struct target *target, const char *what, struct err *err)
{
	int ret = path_store(&target->store, target->name, err);

	if (ret < 0)
		return ret;
	target->kind = TARGET_STORED;
	target->file = target->store.text;
	if (access(target->file, F_OK) == 0)
		return 0;
	ret = target_find_image(target, target->name, NULL);
	if (ret != 0)
		return ret < 0 ? err_sys(err, -ret, "look for the image %s", target->name) : 0;
	return err_set(err, ERR_NOT_FOUND, "no %s, saved machine or image is named %s", what,
		       target->name);
}

/* A file could be called like that, too. */
static bool has_tag(const char *text)
{
	const char *slash = strrchr(text, '/');

	return strchr(slash != NULL ? slash : text, ':') != NULL;
}

/* What cannot be the name of a machine. */
static int target_find_path(struct target *target, const char *text, struct err *err)
{
	struct err why = {0};
	int ret;

	if (container_folder(text) != NULL ||
	    (!reference_is_remote(text) && access(text, F_OK) == 0))
		return 0;
	if (strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0)
		return err_set(err, ERR_NOT_FOUND,
			       "%s is a web address: of what lies there only torpor resume makes a "
			       "machine; others take a file",
			       text);
	ret = target_find_image(target, text, &why);
	if (ret < 0 || (ret == 0 && reference_is_remote(text)))
		return why.kind == ERR_NOT_FOUND
			       ? err_set(err, ERR_NOT_FOUND, "%s: torpor pull fetches it", why.text)
			       : err_copy(err, ret < 0 ? ret : -EINVAL, &why);
	if (ret == 0 && has_tag(text))
		return err_set(err, ERR_NOT_FOUND,
			       "no file or image is named %s: torpor images lists the images",
			       text);
	return 0;
}

int target_find(struct target *target, const char *text, struct err *err)
{
	*target = (struct target){.kind = TARGET_FILE, .name = text, .file = text};
	if (!may_be_name(text))
		return target_find_path(target, text, err);
	if (claim_is_held(text)) {
		target->kind = TARGET_MACHINE;
		target->file = NULL;
		return 0;
	}
	return access(text, F_OK) == 0 ? 0 : target_find_stored(target, "machine, file", err);
}

int target_find_file(struct target *target, const char *text, struct err *err)
{
	*target = (struct target){.kind = TARGET_FILE, .name = text, .file = text};
	if (!may_be_name(text))
		return target_find_path(target, text, err);
	if (access(text, F_OK) == 0)
		return 0;
	return target_find_stored(target, "file", err);
}
