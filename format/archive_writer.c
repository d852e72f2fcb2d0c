/* Collecting the contents of a file and publishing it; see archive_writer.h. */
#include "format/archive_writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "format/archive.h"
#include "format/archive_writer_internal.h"
#include "format/tar.h"
#include "state/statefile.h"

#define CHUNK MIB(1)

static struct archive_writer *writer_new(const struct writer_output *output, struct err *err)
{
	struct archive_writer *w = malloc(sizeof(*w));

	if (w == NULL)
		err_sys(err, ENOMEM, "write a file");
	else
		*w = (struct archive_writer){.output = output, .layout.w = w};
	return w;
}

int archive_writer_open_stream(struct archive_writer **out, int fd, struct err *err)
{
	struct archive_writer *w = writer_new(&writer_to_stream, err);

	*out = w;
	if (w == NULL)
		return -ENOMEM;
	out_stream(&w->out, fd);
	return 0;
}

/* `fd` -1: beside the target. */
static int writer_open_file(struct archive_writer **out, int fd, const char *target,
			    struct err *err)
{
	struct archive_writer *w = writer_new(&writer_to_file, err);
	int ret;

	*out = NULL;
	if (w == NULL)
		return -ENOMEM;
	w->end = WRITER_FRONT - TAR_BLOCK;
	ret = fd < 0 ? out_open(&w->out, target, err) : out_adopt(&w->out, fd, target, err);
	if (ret < 0)
		free(w);
	else
		*out = w;
	return ret;
}

int archive_writer_open(struct archive_writer **out, const char *target, struct err *err)
{
	return strcmp(target, "-") == 0 ? archive_writer_open_stream(out, STDOUT_FILENO, err)
					: writer_open_file(out, -1, target, err);
}

int archive_writer_open_adopted(struct archive_writer **out, int fd, const char *target,
				struct err *err)
{
	return writer_open_file(out, fd, target, err);
}

int writer_done(struct archive_writer *w, int ret)
{
	w->failed = w->failed || ret < 0;
	return ret;
}

void archive_writer_pack(struct archive_writer *w, int level)
{
	w->packed = true;
	w->level = level;
}

void archive_writer_flat(struct archive_writer *w)
{
	w->packed = false;
}

int archive_writer_encrypt(struct archive_writer *w, const struct keyring *keys, struct err *err)
{
	int ret = keyring_encrypt(keys, &w->encryption, &w->own_key, err);

	w->key = w->own_key;
	return writer_done(w, ret);
}

void archive_writer_like(struct archive_writer *w, const struct archive *a)
{
	w->like = true;
	w->key = archive_key(a);
}

void archive_writer_watch(struct archive_writer *w, struct progress *progress)
{
	w->out.progress = progress;
}

struct progress *archive_writer_progress(const struct archive_writer *w)
{
	return w->out.progress;
}

uint64_t archive_writer_size(const struct archive_writer *w)
{
	return w->layout.at;
}

void archive_writer_free(struct archive_writer *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < w->nblobs; i++)
		buf_free(&w->blobs[i].data);
	free(w->blobs);
	data_key_free(w->own_key);
	out_close(&w->out);
	free(w);
}

static struct writer_blob *add_blob(struct archive_writer *w, const char *role,
				    const char *media_type, struct err *err)
{
	struct writer_blob *grown = array_grow(w->blobs, w->nblobs, sizeof(*grown));
	struct writer_blob *blob;

	if (grown == NULL) {
		err_sys(err, ENOMEM, "write %s", w->out.name);
		return NULL;
	}
	w->blobs = grown;
	blob = &w->blobs[w->nblobs++];
	*blob = (struct writer_blob){0};
	assert(strlen(role) < sizeof(blob->d.role));
	strcpy(blob->d.role, role);
	strcpy(blob->d.media_type, media_type);
	return blob;
}

static const char *media_type_of(const char *role)
{
	return strcmp(role, ROLE_SIGNATURE) == 0 ? OCI_SIGNATURE_TYPE : oci_content_type(role);
}

int writer_add_bulk(struct archive_writer *w, const struct oci_descriptor *d, uint64_t offset,
		    struct err *err)
{
	struct writer_blob *blob = add_blob(w, d->role, d->media_type, err);

	if (blob == NULL)
		return -ENOMEM;
	blob->bulk = true;
	blob->offset = offset;
	blob->d = *d;
	return 0;
}

static int fill_small(struct writer_blob *blob, const void *data, size_t len, struct err *err)
{
	uint8_t digest[DIGEST_SIZE];
	int ret = digest_bytes(data, len, digest, err);

	if (ret < 0)
		return ret;
	digest_text(digest, blob->d.digest);
	blob->d.size = len;
	buf_add(&blob->data, data, len);
	return buf_failed(&blob->data) ? err_sys(err, ENOMEM, "write a file") : 0;
}

int writer_add_stored(struct archive_writer *w, const char *role, const char *media_type,
		      const void *data, size_t len, struct err *err)
{
	struct writer_blob *blob = add_blob(w, role, media_type, err);

	return blob == NULL ? -ENOMEM : fill_small(blob, data, len, err);
}

int writer_add_content(struct archive_writer *w, const char *role, const char *media_type,
		       const void *data, size_t len, struct err *err)
{
	cleanup_buf struct buf encrypted = {0};
	int ret;

	if (w->own_key == NULL)
		return writer_add_stored(w, role, media_type, data, len, err);
	ret = encrypt_bytes(w->own_key, role, data, len, &encrypted, err);
	return ret < 0 ? ret
		       : writer_add_stored(w, role, media_type, encrypted.data, encrypted.len, err);
}

int writer_copy_hashed(struct archive_out *out, const struct blob *blob, uint64_t offset,
		       char text[DIGEST_TEXT_SIZE], struct err *err)
{
	cleanup_digest struct digest *d = NULL;
	cleanup_free uint8_t *chunk = malloc(CHUNK);
	uint8_t digest[DIGEST_SIZE];
	int ret = chunk != NULL ? digest_new(&d, err) : err_sys(err, ENOMEM, "copy a blob");

	if (ret < 0)
		return ret;
	for (uint64_t at = 0; at < blob->len; at += CHUNK) {
		uint64_t len = u64_min(CHUNK, blob->len - at);

		ret = blob_read(blob, at, chunk, len, err);
		if (ret < 0)
			return ret;
		digest_add(d, chunk, len);
		if (out != NULL)
			ret = out_write(out, chunk, len, offset + at, err);
		if (ret < 0)
			return ret;
		if (out != NULL)
			progress_add(out->progress, len);
	}
	ret = digest_end(d, digest, err);
	if (ret < 0)
		return ret;
	digest_text(digest, text);
	return 0;
}

static int writer_copy(struct archive_writer *w, const struct oci_descriptor *d,
		       const struct blob *blob, struct err *err)
{
	int ret;

	progress_expect(w->out.progress, blob->len);
	ret = w->output->copy(w, d, blob, err);

	return writer_done(w, ret < 0 ? err_context(err, ret, "%s", d->role) : 0);
}

int archive_writer_blob(struct archive_writer *w, const char *role, const struct blob *blob,
			struct err *err)
{
	struct oci_descriptor d = {.size = blob->len};
	struct blob encrypted;
	int ret;

	snprintf(d.role, sizeof(d.role), "%s", role);
	strcpy(d.media_type, media_type_of(role));
	if (w->own_key == NULL)
		return writer_copy(w, &d, blob, err);
	ret = encrypt_blob(w->own_key, role, blob, &encrypted, err);
	if (ret < 0)
		return writer_done(w, ret);
	d.size = encrypted.len;
	ret = writer_copy(w, &d, &encrypted, err);
	close(encrypted.fd);
	return ret;
}

int archive_writer_bytes(struct archive_writer *w, const char *role, const void *data, size_t len,
			 struct err *err)
{
	return writer_done(w, writer_add_content(w, role, media_type_of(role), data, len, err));
}

int archive_writer_copy_state(struct archive_writer *w, const struct archive *from, struct err *err)
{
	cleanup_free uint8_t *state = NULL;
	struct blob blob;
	int ret;

	if (!archive_blob(from, ROLE_STATE, &blob))
		return 0;
	ret = blob_read_all(&blob, STATEFILE_MAX_BYTES, &state, err);
	if (ret < 0)
		return writer_done(w, err_context(err, ret, ROLE_STATE));
	return archive_writer_bytes(w, ROLE_STATE, state, blob.len, err);
}

int archive_writer_layer(struct archive_writer *w, const struct oci_descriptor *d,
			 const struct blob *blob, struct err *err)
{
	return writer_copy(w, d, blob, err);
}

static void list_contents(struct appliance *a, const struct archive_writer *w)
{
	a->ncontents = 0;
	for (size_t i = 0; i < w->nblobs; i++) {
		const struct oci_descriptor *d = &w->blobs[i].d;
		struct appliance_content *content = &a->content[a->ncontents];

		if (!oci_is_content(d->media_type))
			continue;
		assert(a->ncontents < APPLIANCE_MAX_CONTENTS);
		memcpy(content->role, d->role, sizeof(content->role));
		memcpy(content->digest, d->digest, sizeof(content->digest));
		a->ncontents++;
	}
	appliance_sort_contents(a);
}

/* The config must be what a reader will accept: it is decoded here once. */
static int make_config(struct buf *config, const struct archive_writer *w,
		       const struct appliance *given, struct err *err)
{
	struct appliance a = *given, again;
	int ret;

	list_contents(&a, w);
	a.encryption = w->encryption;
	if (w->own_key != NULL) {
		/* The tag is over the config without it. */
		cleanup_buf struct buf untagged = {0};

		ret = appliance_encode(&a, &untagged, err);
		if (ret < 0)
			return ret;
		ret = keyring_tag(w->own_key, untagged.data, untagged.len, &a.encryption, err);
		if (ret < 0)
			return ret;
	}
	ret = appliance_encode(&a, config, err);
	if (ret < 0)
		return ret;
	ret = appliance_decode(&again, config->data, config->len, err);
	if (ret < 0)
		return ret;
	appliance_free(&again);
	return 0;
}

static int make_manifest(struct writer_front *front, const struct archive_writer *w,
			 struct err *err)
{
	struct oci_descriptors layers = {.count = w->nblobs};
	cleanup_buf struct buf text = {0};
	int ret;

	layers.item = calloc(w->nblobs + 1, sizeof(layers.item[0]));
	if (layers.item == NULL)
		return err_sys(err, ENOMEM, "write a manifest");
	for (size_t i = 0; i < w->nblobs; i++)
		layers.item[i] = w->blobs[i].d;
	ret = oci_encode_manifest(&front->config.d, &layers, &text, err);
	oci_descriptors_free(&layers);
	if (ret < 0)
		return ret;
	strcpy(front->manifest.d.media_type, OCI_MANIFEST_TYPE);
	return fill_small(&front->manifest, text.data, text.len, err);
}

static int make_front(struct writer_front *front, const struct archive_writer *w,
		      const void *config, size_t len, struct err *err)
{
	int ret = fill_small(&front->config, config, len, err);

	strcpy(front->config.d.media_type, OCI_CONFIG_TYPE);
	if (ret < 0)
		return ret;
	ret = make_manifest(front, w, err);
	if (ret < 0)
		return ret;
	ret = oci_encode_index(&front->manifest.d, &front->index, err);
	if (ret < 0)
		return ret;
	oci_encode_layout(&front->layout);
	if (buf_failed(&front->layout))
		return err_sys(err, ENOMEM, "write a file");
	return 0;
}

/* A reader refuses two blobs of one role. */
static int check_roles(const struct archive_writer *w, struct err *err)
{
	for (size_t i = 0; i < w->nblobs; i++) {
		for (size_t n = 0; n < i; n++) {
			if (strcmp(w->blobs[n].d.role, w->blobs[i].d.role) == 0)
				return err_set(err, ERR_INTEGRITY, "two blobs would be %s",
					       w->blobs[i].d.role);
		}
	}
	return 0;
}

static void front_free(struct writer_front *front)
{
	buf_free(&front->config.data);
	buf_free(&front->manifest.data);
	buf_free(&front->index);
	buf_free(&front->layout);
}

/* `digest` may be NULL. */
static int publish_config(struct archive_writer *w, const void *config, size_t len, char *digest,
			  struct err *err)
{
	__attribute__((cleanup(front_free))) struct writer_front front = {0};
	int ret = check_roles(w, err);

	if (ret < 0)
		return ret;
	ret = make_front(&front, w, config, len, err);
	if (ret < 0)
		return ret;
	ret = w->output->finish(w, &front, err);
	if (ret < 0)
		return ret;
	if (digest != NULL)
		strcpy(digest, front.config.d.digest);
	return 0;
}

int archive_writer_publish(struct archive_writer *w, const struct appliance *a,
			   char digest[DIGEST_TEXT_SIZE], struct err *err)
{
	cleanup_buf struct buf config = {0};
	int ret;

	assert(!w->failed);
	ret = make_config(&config, w, a, err);
	if (ret < 0)
		return writer_done(w, ret);
	return writer_done(w, publish_config(w, config.data, config.len, digest, err));
}

/* Each one that `a` names is there, and no other. */
static int check_named_contents(const struct archive_writer *w, const struct appliance *a,
				struct err *err)
{
	struct appliance ours = {0};

	list_contents(&ours, w);
	for (uint32_t i = 0; i < a->ncontents; i++) {
		const char *digest = appliance_content(&ours, a->content[i].role);

		if (digest == NULL || strcmp(digest, a->content[i].digest) != 0)
			return err_set(err, ERR_INTEGRITY,
				       "%s is not the one that the config names",
				       a->content[i].role);
	}
	return ours.ncontents == a->ncontents
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "there is more than the config names");
}

int archive_writer_publish_as(struct archive_writer *w, const struct appliance *a,
			      const void *config, size_t len, struct err *err)
{
	int ret;

	assert(!w->failed);
	ret = check_named_contents(w, a, err);
	if (ret < 0)
		return writer_done(w, ret);
	return writer_done(w, publish_config(w, config, len, NULL, err));
}
