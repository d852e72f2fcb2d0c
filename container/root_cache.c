/* See root_cache.h. */
#include "container/root_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/num.h"
#include "container/image_source.h"
#include "container/root_internal.h"
#include "format/oci.h"

#define DISK_ENDING  ".ext4"
#define WORDS_ENDING ".json"
#define FRESH_S	     2

/* --- keys --- */

struct summing {
	struct root_key *key;
	struct digest *sum;
};

static void add_text(struct summing *s, const char *text)
{
	digest_add(s->sum, text, strlen(text) + 1);
}

/* A change shows in the time of the last change, which nobody sets. */
static void add_stat(struct summing *s, const struct stat *st)
{
	char text[256];

	snprintf(text, sizeof(text), "%jx %jx %o %jx %jx %jx %jd.%09ld %jd.%09ld",
		 (uintmax_t)st->st_dev, (uintmax_t)st->st_ino, st->st_mode, (uintmax_t)st->st_uid,
		 (uintmax_t)st->st_gid, (uintmax_t)st->st_size, (intmax_t)st->st_mtim.tv_sec,
		 st->st_mtim.tv_nsec, (intmax_t)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
	add_text(s, text);
	s->key->fresh |= st->st_ctim.tv_sec >= time(NULL) - FRESH_S;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int add_folder(struct summing *s, char *path, struct err *err)
{
	char *const roots[] = {path, NULL};
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, by_name);
	FTSENT *entry;
	int failed = 0;

	if (fts == NULL)
		return err_sys(err, errno, "%s", path);
	errno = 0;
	while (failed == 0 && (entry = fts_read(fts)) != NULL) {
		switch (entry->fts_info) {
		case FTS_DNR:
		case FTS_ERR:
		case FTS_NS:
			failed = entry->fts_errno;
			break;
		case FTS_DP:
			break;
		default:
			add_text(s, entry->fts_path);
			add_stat(s, entry->fts_statp);
		}
		errno = 0;
	}
	if (failed == 0)
		failed = errno;
	fts_close(fts);
	return failed != 0 ? err_sys(err, failed, "%s", path) : 0;
}

/* It names all the rest by digest. */
static int add_index(struct summing *s, const char *folder, struct err *err)
{
	cleanup_free char *text = NULL;
	char path[PATH_MAX + 16];
	size_t len;
	int ret;

	snprintf(path, sizeof(path), "%s/" OCI_INDEX_NAME, folder);
	ret = io_read_file(path, JSON_MAX_BYTES, &text, &len);
	if (ret < 0)
		return err_sys(err, -ret, "%s", path);
	digest_add(s->sum, text, len);
	return 0;
}

static int add_source(struct summing *s, struct err *err)
{
	struct root_key *key = s->key;
	struct stat st;

	if (key->kind == IMAGE_OCI)
		return add_index(s, key->path, err);
	add_text(s, key->path);
	if (key->kind == IMAGE_FOLDER) {
		/* Whose files become root's. */
		digest_add(s->sum, &(uid_t){getuid()}, sizeof(uid_t));
		digest_add(s->sum, &(gid_t){getgid()}, sizeof(gid_t));
		return add_folder(s, key->path, err);
	}
	if (stat(key->path, &st) < 0)
		return err_sys(err, errno, "%s", key->path);
	add_stat(s, &st);
	return 0;
}

/* The rest of the key is there. */
static int make_hex(struct root_key *key, struct err *err)
{
	cleanup_digest struct digest *sum = NULL;
	struct summing s = {.key = key};
	char text[DIGEST_TEXT_SIZE];
	uint8_t digest[DIGEST_SIZE];
	int ret = digest_new(&sum, err);

	if (ret < 0)
		return ret;
	s.sum = sum;
	key->fresh = false;
	add_text(&s, CONTAINER_ROOT_LAYOUT OCI_ARCHITECTURE);
	digest_add(sum, &key->kind, sizeof(key->kind));
	digest_add(sum, &key->spare, sizeof(key->spare));
	add_text(&s, key->tag);
	ret = add_source(&s, err);
	if (ret < 0)
		return ret;
	ret = digest_end(sum, digest, err);
	if (ret < 0)
		return ret;
	digest_text(digest, text);
	snprintf(key->hex, sizeof(key->hex), "%s", strchr(text, ':') + 1);
	return 0;
}

int root_key_make(struct root_key *key, const char *source, uint64_t spare, struct err *err)
{
	cleanup_free char *real = NULL;
	struct image_name name;
	int ret = image_name_parse(&name, source, err);

	if (ret < 0)
		return ret;
	if (name.kind == IMAGE_REGISTRY)
		return err_set(err, ERR_USAGE, "'%s' is not on this host", source);
	real = realpath(name.path, NULL);
	if (real == NULL)
		return err_sys(err, errno, "%s", name.path);
	*key = (struct root_key){.kind = name.kind, .spare = spare};
	snprintf(key->path, sizeof(key->path), "%s", real);
	snprintf(key->tag, sizeof(key->tag), "%s", name.tag);
	return make_hex(key, err);
}

/* --- what is there --- */

static int file_path(char path[PATH_MAX], const char *folder, const char *hex, const char *ending)
{
	return snprintf(path, PATH_MAX, "%s/%s%s", folder, hex, ending) < PATH_MAX ? 0
										   : -ENAMETOOLONG;
}

static json_t *read_words(const char *folder, const char *hex)
{
	cleanup_free char *text = NULL;
	char path[PATH_MAX];
	size_t len;

	if (file_path(path, folder, hex, WORDS_ENDING) < 0 ||
	    io_read_file(path, JSON_MAX_BYTES, &text, &len) < 0)
		return NULL;
	return json_parse((uint8_t *)text, len, NULL);
}

int root_cache_find(const char *folder, const struct root_key *key, struct container_root *out,
		    int *fd)
{
	cleanup_json json_t *words = key->fresh ? NULL : read_words(folder, key->hex);
	char path[PATH_MAX];
	struct stat st;

	*out = (struct container_root){0};
	if (words == NULL || file_path(path, folder, key->hex, DISK_ENDING) < 0)
		return 0;
	if (container_root_decode(out, words, NULL) == 0) {
		*fd = open(path, O_RDONLY | O_CLOEXEC);
		if (*fd >= 0 && fstat(*fd, &st) == 0 && (uint64_t)st.st_size == out->size)
			return 1;
		cleanup_fd_fn(fd);
		*fd = -1;
	}
	container_root_free(out);
	return 0;
}

/* --- a new one --- */

int root_cache_begin(struct tempfile *out, const char *folder, const struct root_key *key,
		     struct err *err)
{
	char path[PATH_MAX];

	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "%s", folder);
	if (file_path(path, folder, key->hex, DISK_ENDING) < 0)
		return err_sys(err, ENAMETOOLONG, "%s", folder);
	return tempfile_open(out, path, err);
}

static json_t *describe(const struct root_key *key, const struct container_root *root)
{
	cleanup_buf struct buf config = {0};
	char uuid[2 * CONTAINER_ROOT_UUID + 1];
	json_t *layers;

	if (image_config_write(&root->config, &config, NULL) < 0)
		return NULL;
	for (unsigned i = 0; i < CONTAINER_ROOT_UUID; i++)
		snprintf(uuid + (size_t)2 * i, 3, "%02x", root->uuid[i]);
	layers = json_array();
	for (unsigned i = 0; i < root->layers; i++)
		json_array_append_new(layers, json_string(root->layer[i]));
	return json_pack("{s:o,s:s%,s:s,s:I,s:I,s:s,s:i,s:s,s:s,s:I}", "layers", layers, "config",
			 (char *)config.data, config.len, "manifest", root->manifest, "size",
			 (json_int_t)root->size, "files", (json_int_t)root->files, "uuid", uuid,
			 "kind", (int)key->kind, "path", key->path, "tag", key->tag, "spare",
			 (json_int_t)key->spare);
}

static int write_words(const char *folder, const struct root_key *key,
		       const struct container_root *root, struct err *err)
{
	cleanup_json json_t *words = describe(key, root);
	char path[PATH_MAX];
	struct tempfile t;
	struct stat st;
	int ret;

	if (words == NULL || file_path(path, folder, key->hex, WORDS_ENDING) < 0)
		return err_sys(err, ENOMEM, "describe a root file system");
	ret = tempfile_open(&t, path, err);
	if (ret == 0 && json_dumpfd(words, t.fd, JSON_COMPACT) < 0)
		ret = tempfile_error(&t, errno, err);
	if (ret == 0)
		ret = tempfile_publish(&t, &st, err);
	tempfile_close(&t);
	return ret;
}

int root_cache_keep(struct tempfile *t, const char *folder, const struct root_key *key,
		    const struct container_root *root, struct err *err)
{
	struct root_key now = *key;
	struct stat st;
	int ret;

	if (make_hex(&now, NULL) < 0 || now.fresh || strcmp(now.hex, key->hex) != 0)
		return 0;
	/* The disk last: with it both are there. */
	ret = write_words(folder, key, root, err);
	return ret < 0 ? ret : tempfile_publish(t, &st, err);
}

/* --- sweeping --- */

static bool is_of_use(const char *folder, const char *hex)
{
	cleanup_json json_t *words = read_words(folder, hex);
	struct root_key key = {0};
	const char *path, *tag;
	uint64_t kind;

	if (words == NULL || json_get_uint(words, "kind", 0, IMAGE_REGISTRY, &kind, NULL) < 0 ||
	    json_get_uint(words, "spare", 0, INT64_MAX, &key.spare, NULL) < 0 ||
	    json_get_string(words, "path", &path, NULL) < 0 ||
	    json_get_string(words, "tag", &tag, NULL) < 0 || strlen(path) >= sizeof(key.path) ||
	    strlen(tag) >= sizeof(key.tag))
		return false;
	key.kind = (unsigned)kind;
	strcpy(key.path, path);
	strcpy(key.tag, tag);
	return make_hex(&key, NULL) == 0 && strcmp(key.hex, hex) == 0;
}

static bool has_disk(const char *folder, const char *hex)
{
	char path[PATH_MAX];

	return file_path(path, folder, hex, DISK_ENDING) == 0 && access(path, F_OK) == 0;
}

static void remove_root(const char *folder, const char *hex, struct root_swept *swept)
{
	char path[PATH_MAX];
	struct stat st;

	if (file_path(path, folder, hex, DISK_ENDING) == 0 && stat(path, &st) == 0 &&
	    unlink(path) == 0) {
		swept->roots++;
		swept->bytes += (uint64_t)st.st_blocks * 512;
	}
	if (file_path(path, folder, hex, WORDS_ENDING) == 0)
		unlink(path);
}

int root_cache_sweep(const char *folder, struct root_swept *swept, struct err *err)
{
	const size_t digits = (size_t)2 * DIGEST_SIZE;
	const struct dirent *entry;
	DIR *dir = opendir(folder);

	*swept = (struct root_swept){0};
	if (dir == NULL)
		return errno == ENOENT ? 0 : err_sys(err, errno, "%s", folder);
	while ((entry = readdir(dir)) != NULL) {
		char hex[2 * DIGEST_SIZE + 1];

		/* One of both may be alone: its maker was killed between the two. */
		if (strlen(entry->d_name) <= digits ||
		    (strcmp(entry->d_name + digits, DISK_ENDING) != 0 &&
		     strcmp(entry->d_name + digits, WORDS_ENDING) != 0))
			continue;
		memcpy(hex, entry->d_name, digits);
		hex[digits] = '\0';
		if (!has_disk(folder, hex) || !is_of_use(folder, hex))
			remove_root(folder, hex, swept);
	}
	closedir(dir);
	return 0;
}
