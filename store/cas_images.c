/* Images and their names; see cas.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/tempfile.h"
#include "format/archive.h"
#include "store/cas_internal.h"

static int put_file(int folder, const char *name, const struct buf *data, struct err *err)
{
	cleanup_fd int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int ret;

	if (fd < 0)
		return err_sys(err, errno, "create %s", name);
	ret = io_write(fd, data->data, data->len);
	if (ret < 0)
		return err_sys(err, -ret, "write %s", name);
	return fsync(fd) < 0 ? err_sys(err, errno, "write %s", name) : 0;
}

/* The files of a layout in a new folder. */
static int fill_layout(const char *path, const struct oci_descriptor *manifest, struct err *err)
{
	cleanup_fd int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_buf struct buf layout = {0}, index = {0};
	int ret;

	if (folder < 0)
		return err_sys(err, errno, "%s", path);
	oci_encode_layout(&layout);
	ret = oci_encode_index(manifest, &index, err);
	if (ret < 0)
		return ret;
	if (buf_failed(&layout) || buf_failed(&index))
		return err_sys(err, ENOMEM, "write %s", path);
	ret = put_file(folder, OCI_LAYOUT_NAME, &layout, err);
	if (ret < 0)
		return ret;
	ret = put_file(folder, OCI_INDEX_NAME, &index, err);
	if (ret < 0)
		return ret;
	if (symlinkat("../../blobs", folder, "blobs") < 0 || fsync(folder) < 0)
		return err_sys(err, errno, "%s", path);
	return 0;
}

static void remove_layout(const char *path)
{
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder < 0)
		return;
	(void)unlinkat(folder, OCI_LAYOUT_NAME, 0);
	(void)unlinkat(folder, OCI_INDEX_NAME, 0);
	(void)unlinkat(folder, "blobs", 0);
	close(folder);
	(void)unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

static void image_path(const struct cas *cas, const char *digest, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/" CAS_IMAGES "/%s", cas->root, strchr(digest, ':') + 1);
}

int cas_put_image(const struct cas *cas, const struct oci_descriptor *manifest, struct err *err)
{
	char made[PATH_MAX], path[PATH_MAX];
	int ret;

	image_path(cas, manifest->digest, path);
	if (access(path, F_OK) == 0)
		return 0;
	ret = cas_sync(cas, CAS_BLOBS, err);
	if (ret < 0)
		return ret;
	snprintf(made, sizeof(made), "%s/" CAS_IMAGES "/.new-XXXXXX", cas->root);
	if (mkdtemp(made) == NULL)
		return err_sys(err, errno, "%s", made);
	ret = fill_layout(made, manifest, err);
	if (ret == 0 && rename(made, path) < 0 && errno != EEXIST && errno != ENOTEMPTY)
		ret = err_sys(err, errno, "%s", path);
	/* Not there any more when it has its name. */
	remove_layout(made);
	return ret < 0 ? ret : cas_sync(cas, CAS_IMAGES, err);
}

int cas_image_path(const struct cas *cas, const char *digest, char path[PATH_MAX], struct err *err)
{
	image_path(cas, digest, path);
	return cas->folder >= 0 && access(path, F_OK) == 0
		       ? 0
		       : err_set(err, ERR_NOT_FOUND, "the store has no image %s", digest);
}

static int hold_image(const char *path, int how, struct err *err)
{
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st, now;

	if (folder < 0)
		return err_sys(err, errno, "%s", path);
	while (flock(folder, LOCK_SH | how) < 0) {
		if (errno != EINTR) {
			int ret = err_sys(err, errno, "lock %s", path);

			close(folder);
			return ret;
		}
	}
	if (fstat(folder, &st) == 0 && stat(path, &now) == 0 && st.st_ino == now.st_ino)
		return folder;
	close(folder);
	return err_set(err, ERR_NOT_FOUND, "%s was removed by torpor gc at this moment", path);
}

int cas_hold(const char *path, struct err *err)
{
	int folder = hold_image(path, 0, err);

	/* Left open: the lock ends with the last process that has it. */
	return folder < 0 ? folder : 0;
}

int cas_hold_fd(const char *path, struct err *err)
{
	return hold_image(path, LOCK_NB, err);
}

struct identity_search {
	const struct cas *cas;
	const char *identity;
	char *path;
};

static int compare_identity(void *opaque, const char *name, struct err *err)
{
	const struct identity_search *s = opaque;
	char digest[DIGEST_TEXT_SIZE], has[DIGEST_TEXT_SIZE];

	(void)err;
	if (!cas_is_digest(name, digest))
		return 0;
	image_path(s->cas, digest, s->path);
	return archive_identify(s->path, has, NULL) == 0 && strcmp(has, s->identity) == 0;
}

int cas_find_identity(const struct cas *cas, const char *identity, char path[PATH_MAX],
		      struct err *err)
{
	struct identity_search s = {.cas = cas, .identity = identity, .path = path};
	int ret = cas_each(cas, CAS_IMAGES, compare_identity, &s, err);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	return err_set(err, ERR_NOT_FOUND, "the store has no appliance %s", identity);
}

void cas_image_free(struct cas_image *image)
{
	oci_descriptors_free(&image->layers);
}

int cas_image_read(struct cas_image *image, const struct cas *cas, const char *digest,
		   struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	char path[PATH_MAX];
	size_t len;
	int ret;

	*image = (struct cas_image){0};
	strcpy(image->digest, digest);
	ret = cas_image_path(cas, digest, path, err);
	if (ret < 0)
		return ret;
	ret = cas_read(cas, digest, JSON_MAX_BYTES, &text, &len, err);
	if (ret < 0)
		return ret;
	strcpy(image->manifest.digest, digest);
	image->manifest.size = len;
	ret = oci_decode_manifest(&image->config, &image->layers, text, len, err);
	return ret < 0 ? err_context(err, ret, "image %s", digest) : 0;
}

bool cas_is_damage(const struct err *err)
{
	return err->kind == ERR_INTEGRITY || err->kind == ERR_INCOMPATIBLE ||
	       err->kind == ERR_NOT_FOUND;
}

int cas_check_image(const struct cas *cas, const char *digest, struct err *err)
{
	cleanup_archive struct archive *a = NULL;
	struct cas_image image;
	char path[PATH_MAX];
	int ret = cas_image_read(&image, cas, digest, err);
	bool appliance = ret == 0 && strcmp(image.config.media_type, OCI_CONFIG_TYPE) == 0;

	cas_image_free(&image);
	if (!appliance)
		return ret;
	ret = cas_image_path(cas, digest, path, err);
	return ret < 0 ? ret : archive_open(&a, path, err);
}

/* "refs/HOST/REPOSITORY:TAG"; with a digest "@DIGEST", for the tag may be another image's. */
static int ref_name(const struct reference *ref, char name[PATH_MAX], struct err *err)
{
	const char *base;

	snprintf(name, PATH_MAX, CAS_REFS "/%s/%s%s%s", ref->host, ref->repository,
		 ref->digest[0] != '\0' ? "@" : ":",
		 ref->digest[0] != '\0' ? ref->digest : ref->tag);
	base = strrchr(name, '/') + 1;
	return strlen(base) < NAME_MAX - sizeof(".torpor.XXXXXX")
		       ? 0
		       : err_set(err, ERR_USAGE,
				 "%.100s…: name and tag are too long for the store: a tag or a "
				 "digest of its own, if it has one that is shorter, can be used",
				 base);
}

int cas_check_ref(const struct reference *ref, struct err *err)
{
	char name[PATH_MAX];

	return ref_name(ref, name, err);
}

static int make_ref_folders(const struct cas *cas, char name[PATH_MAX], struct err *err)
{
	for (char *slash = name; (slash = strchr(slash, '/')) != NULL; slash++) {
		int ret = 0;

		*slash = '\0';
		if (mkdirat(cas->folder, name, 0700) < 0 && errno != EEXIST)
			ret = cas_error(cas, errno, name, err);
		*slash = '/';
		if (ret < 0)
			return ret;
	}
	return 0;
}

int cas_set_ref(const struct cas *cas, const struct reference *ref, const char *digest,
		struct err *err)
{
	__attribute__((cleanup(tempfile_close))) struct tempfile file = {.fd = -1, .folder = -1};
	char name[PATH_MAX], path[PATH_MAX], line[DIGEST_TEXT_SIZE + 1];
	struct stat st;
	int ret = ref_name(ref, name, err);

	if (ret < 0)
		return ret;
	ret = make_ref_folders(cas, name, err);
	if (ret < 0)
		return ret;
	if (snprintf(path, sizeof(path), "%s/%s", cas->root, name) >= (int)sizeof(path))
		return err_sys(err, ENAMETOOLONG, "%.100s…", name);
	ret = tempfile_open(&file, path, err);
	if (ret < 0)
		return ret;
	snprintf(line, sizeof(line), "%s\n", digest);
	ret = tempfile_write(&file, line, strlen(line), 0, err);
	return ret < 0 ? ret : tempfile_publish(&file, &st, err);
}

static int ref_missing(const struct reference *ref, struct err *err)
{
	char text[REFERENCE_TEXT];

	reference_text(ref, text);
	return err_set(err, ERR_NOT_FOUND, "the store has no image %s", text);
}

int cas_remove_ref(const struct cas *cas, const struct reference *ref, struct err *err)
{
	char name[PATH_MAX];
	int ret = ref_name(ref, name, err);

	if (ret < 0)
		return ret;
	if (cas->folder < 0)
		return ref_missing(ref, err);
	if (unlinkat(cas->folder, name, 0) < 0)
		return errno == ENOENT || errno == ENOTDIR ? ref_missing(ref, err)
							   : cas_error(cas, errno, name, err);
	return 0;
}

/* The digest in a file below refs/. */
static int read_ref(const struct cas *cas, const char *name, char digest[DIGEST_TEXT_SIZE],
		    struct err *err)
{
	cleanup_fd int fd = openat(cas->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[DIGEST_TEXT_SIZE + 1] = "";
	uint8_t bytes[DIGEST_SIZE];
	int64_t len;

	if (fd < 0)
		return cas_error(cas, errno, name, err);
	len = io_read_upto(fd, text, sizeof(text) - 1);
	if (len < 0)
		return cas_error(cas, (int)-len, name, err);
	text[strcspn(text, "\n")] = '\0';
	if (!digest_parse(text, bytes))
		return err_set(err, ERR_INTEGRITY, "%s/%s holds no digest", cas->root, name);
	strcpy(digest, text);
	return 0;
}

int cas_resolve_name(const struct cas *cas, const struct reference *ref,
		     char digest[DIGEST_TEXT_SIZE], struct err *err)
{
	char name[PATH_MAX], path[PATH_MAX];
	int ret;

	if (cas->folder < 0)
		return ref_missing(ref, err);
	if (ref->digest[0] != '\0') {
		strcpy(digest, ref->digest);
		return cas_is_index(cas, digest) ? 0 : cas_image_path(cas, digest, path, err);
	}
	ret = ref_name(ref, name, err);
	if (ret < 0)
		return ret;
	ret = read_ref(cas, name, digest, err);
	return ret == -ENOENT || ret == -ENOTDIR ? ref_missing(ref, err) : ret;
}

int cas_resolve(const struct cas *cas, const struct reference *ref, char digest[DIGEST_TEXT_SIZE],
		struct err *err)
{
	char name[REFERENCE_TEXT], found[DIGEST_TEXT_SIZE];
	int ret = cas_resolve_name(cas, ref, found, err);

	if (ret < 0)
		return ret;
	reference_text(ref, name);
	if (cas_is_index(cas, found))
		return cas_choose(cas, name, found, digest, err);
	strcpy(digest, found);
	return 0;
}

struct ref_walk {
	const struct cas *cas;
	struct cas_refs *refs;
	const char *folder; /* below the store */
};

static int walk_refs(void *opaque, const char *name, struct err *err)
{
	const struct ref_walk *walk = opaque;
	struct ref_walk below = *walk;
	char path[PATH_MAX];
	struct cas_ref *grown, ref;
	struct stat st;
	int ret;

	/* A temporary file of one that is being written. */
	if (name[0] == '.')
		return 0;
	if (snprintf(path, sizeof(path), "%s/%s", walk->folder, name) >= (int)sizeof(path) ||
	    fstatat(walk->cas->folder, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	below.folder = path;
	if (S_ISDIR(st.st_mode))
		return cas_each(walk->cas, path, walk_refs, &below, err);
	if (reference_parse(&ref.name, path + sizeof(CAS_REFS), NULL) < 0)
		return 0;
	ret = read_ref(walk->cas, path, ref.digest, err);
	if (ret < 0)
		return ret == -ENOENT ? 0 : ret;
	grown = array_grow(walk->refs->item, walk->refs->count, sizeof(*grown));
	if (grown == NULL)
		return err_sys(err, ENOMEM, "list the store");
	walk->refs->item = grown;
	grown[walk->refs->count++] = ref;
	return 0;
}

static int compare_refs(const void *a, const void *b)
{
	const struct cas_ref *x = a, *y = b;
	char left[REFERENCE_TEXT], right[REFERENCE_TEXT];

	reference_text(&x->name, left);
	reference_text(&y->name, right);
	return strcmp(left, right);
}

int cas_list(struct cas_refs *refs, const struct cas *cas, struct err *err)
{
	struct ref_walk walk = {.cas = cas, .refs = refs, .folder = CAS_REFS};
	int ret;

	*refs = (struct cas_refs){0};
	ret = cas_each(cas, CAS_REFS, walk_refs, &walk, err);
	if (ret < 0) {
		cas_refs_free(refs);
		return ret;
	}
	if (refs->count > 0)
		qsort(refs->item, refs->count, sizeof(*refs->item), compare_refs);
	return 0;
}

void cas_refs_free(struct cas_refs *refs)
{
	free(refs->item);
	*refs = (struct cas_refs){0};
}
