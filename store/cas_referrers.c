/* What refers to an image: signatures that are kept beside it; see cas.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "format/crypto/minisign.h"
#include "store/cas_internal.h"

static void referrers_name(char name[PATH_MAX], const char *digest)
{
	char image[CAS_NAME];

	cas_name(image, CAS_IMAGES, digest);
	snprintf(name, PATH_MAX, "%s/" CAS_REFERRERS, image);
}

int cas_add_referrer(const struct cas *cas, const char *subject, const char *digest,
		     struct err *err)
{
	char folder[PATH_MAX], name[PATH_MAX];
	cleanup_fd int fd = -1;

	referrers_name(folder, subject);
	if (mkdirat(cas->folder, folder, 0700) < 0 && errno != EEXIST)
		return cas_error(cas, errno, folder, err);
	if (snprintf(name, sizeof(name), "%s/%s", folder, strchr(digest, ':') + 1) >=
	    (int)sizeof(name))
		return err_sys(err, ENAMETOOLONG, "%s", folder);
	fd = openat(cas->folder, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? cas_error(cas, errno, name, err) : 0;
}

struct referrer_walk {
	int (*each)(void *opaque, const char *digest, struct err *err);
	void *opaque;
};

static int walk_referrer(void *opaque, const char *name, struct err *err)
{
	const struct referrer_walk *walk = opaque;
	char digest[DIGEST_TEXT_SIZE];

	return cas_is_digest(name, digest) ? walk->each(walk->opaque, digest, err) : 0;
}

int cas_each_referrer(const struct cas *cas, const char *subject,
		      int (*each)(void *opaque, const char *digest, struct err *err), void *opaque,
		      struct err *err)
{
	struct referrer_walk walk = {each, opaque};
	char folder[PATH_MAX];

	referrers_name(folder, subject);
	return cas_each(cas, folder, walk_referrer, &walk, err);
}

struct signature_walk {
	struct cas cas;
	int (*each)(void *opaque, const char *text, struct err *err);
	void *opaque;
};

static int walk_signature(void *opaque, const char *digest, struct err *err)
{
	const struct signature_walk *walk = opaque;
	struct cas_image image = {0};
	cleanup_free uint8_t *text = NULL;
	size_t len;
	int ret = cas_image_read(&image, &walk->cas, digest, err);

	if (ret == 0 && image.layers.count == 1 &&
	    strcmp(image.layers.item[0].media_type, OCI_SIGNATURE_TYPE) == 0) {
		ret = cas_read(&walk->cas, image.layers.item[0].digest, MINISIGN_TEXT, &text, &len,
			       err);
		if (ret == 0 && strlen((char *)text) == len)
			ret = walk->each(walk->opaque, (char *)text, err);
	}
	cas_image_free(&image);
	return ret;
}

int cas_each_signature(const char *image_path,
		       int (*each)(void *opaque, const char *text, struct err *err), void *opaque,
		       struct err *err)
{
	struct signature_walk walk = {.each = each, .opaque = opaque};
	char root[PATH_MAX], digest[DIGEST_TEXT_SIZE], *slash;
	int ret;

	if (strlen(image_path) >= sizeof(root))
		return 0;
	strcpy(root, image_path);
	slash = strrchr(root, '/');
	if (slash == NULL || !cas_is_digest(slash + 1, digest))
		return 0;
	*slash = '\0';
	slash = strrchr(root, '/');
	if (slash == NULL || strcmp(slash + 1, CAS_IMAGES) != 0)
		return 0;
	*slash = '\0';
	ret = cas_open(&walk.cas, root, CAS_LOOK, err);
	if (ret < 0)
		return ret;
	ret = cas_each_referrer(&walk.cas, digest, walk_signature, &walk, err);
	cas_close(&walk.cas);
	return ret;
}
