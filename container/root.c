/*
 * See root.h. The child reads and writes; the parent is told in one JSON object what came of it,
 * and takes nothing else from it.
 */
#include "container/root.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/num.h"
#include "container/folder_read.h"
#include "container/image_source.h"
#include "container/root_internal.h"
#include "host/landlock.h"
#include "host/protocol.h"
#include "host/sandbox.h"

#define MAX_BYTES  GIB(32)
#define MAX_MEMORY GIB(3)
#define MAX_ANSWER MIB(16)

bool container_source_has_scheme(const char *source)
{
	struct image_name name;

	return image_name_parse(&name, source, NULL) == 0 && name.kind != IMAGE_FOLDER;
}

/* --- in the child --- */

struct job {
	const struct container_root_params *p;
	struct image_name name;
	struct layer_tree *tree;
	struct ext4_image *img;
	struct digest *seed;
	struct err *err;
};

/* The image's files, and no others. */
static int confine(const struct job *j)
{
	cleanup_landlock struct landlock l = {.fd = -1};
	char blobs[PATH_MAX + 8];
	int ret = landlock_begin(&l, 0, j->err);

	if (ret < 0)
		return ret;
	ret = landlock_allow(&l, j->name.path, LANDLOCK_TREE, j->err);
	if (ret < 0)
		return ret;
	/* In the store a link to the folder of all blobs. */
	snprintf(blobs, sizeof(blobs), "%s/blobs", j->name.path);
	ret = landlock_allow(&l, blobs, LANDLOCK_TREE, j->err);
	return ret < 0 ? ret : landlock_end(&l, j->err);
}

static int enter_sandbox(const struct job *j)
{
	const struct rlimit limit = {MAX_MEMORY, MAX_MEMORY};
	int ret = layer_read_prepare(j->err);

	if (ret < 0 || !SANDBOX_GUARDS)
		return ret;
	if (setrlimit(RLIMIT_DATA, &limit) < 0)
		return err_sys(j->err, errno, "restrict the reader of the image");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(j->err, errno, "restrict the reader of the image");
	ret = confine(j);
	return ret < 0 ? ret : sandbox_enter(SANDBOX_UNPACK, j->err);
}

static int read_layers(struct job *j, const struct image_source *source, json_t *layers)
{
	uint64_t max = j->p->max_bytes != 0 ? j->p->max_bytes : MAX_BYTES;
	struct layer_budget budget = {2 * max};
	char diff_id[DIGEST_TEXT_SIZE];

	for (unsigned i = 0; i < source->layers; i++) {
		int ret = layer_read(&source->layer[i], j->tree, j->img, &budget, diff_id, j->err);

		if (ret < 0)
			return err_context(j->err, ret, "layer %u of %s", i + 1, j->name.path);
		digest_add(j->seed, diff_id, strlen(diff_id));
		json_array_append_new(layers, json_string(diff_id));
	}
	return 0;
}

static int take_image(struct job *j, json_t *found)
{
	cleanup_image_source struct image_source source;
	cleanup_buf struct buf config = {0};
	json_t *layers = json_array();
	int ret = image_source_open(&source, &j->name, j->err);

	json_object_set_new(found, "layers", layers);
	if (ret < 0)
		return ret;
	ret = read_layers(j, &source, layers);
	if (ret < 0)
		return ret;
	ret = image_config_write(&source.config, &config, j->err);
	if (ret < 0)
		return ret;
	json_object_set_new(found, "config", json_stringn((char *)config.data, config.len));
	json_object_set_new(found, "manifest", json_string(source.manifest));
	return 0;
}

static int take_folder(struct job *j, json_t *found)
{
	uint8_t sum[DIGEST_SIZE];
	int ret = folder_read(j->name.path, j->tree, j->img, sum, j->err);

	if (ret < 0)
		return ret;
	digest_add(j->seed, sum, sizeof(sum));
	json_object_set_new(found, "layers", json_array());
	json_object_set_new(found, "config", json_string("{}"));
	json_object_set_new(found, "manifest", json_string(""));
	return 0;
}

static int finish(struct job *j, json_t *found)
{
	char uuid[2 * CONTAINER_ROOT_UUID + 1];
	struct ext4_result result;
	uint8_t seed[DIGEST_SIZE];
	int ret = digest_end(j->seed, seed, j->err);

	if (ret < 0)
		return ret;
	ret = ext4_image_finish(j->img, seed, &result, j->err);
	if (ret < 0)
		return err_context(j->err, ret, "%s", j->name.path);
	for (unsigned i = 0; i < CONTAINER_ROOT_UUID; i++)
		snprintf(uuid + (size_t)2 * i, 3, "%02x", result.uuid[i]);
	json_object_set_new(found, "size", json_integer((json_int_t)result.size));
	json_object_set_new(found, "files", json_integer((json_int_t)result.inodes));
	json_object_set_new(found, "uuid", json_string(uuid));
	return 0;
}

static int make_root(struct job *j, json_t *found)
{
	cleanup_layer_tree struct layer_tree *tree = NULL;
	cleanup_ext4_image struct ext4_image *img = NULL;
	cleanup_digest struct digest *seed = NULL;
	const struct container_root_params *p = j->p;
	const uint64_t spare = htole64(p->spare);
	int ret = enter_sandbox(j);

	if (ret < 0)
		return ret;
	ret = layer_tree_new(&tree, p->max_entries != 0 ? p->max_entries : TREE_ENTRIES, j->err);
	if (ret < 0)
		return ret;
	ret = ext4_image_new(&img, p->fd, tree, p->max_bytes != 0 ? p->max_bytes : MAX_BYTES,
			     j->err);
	if (ret < 0)
		return ret;
	ext4_image_spare(img, p->spare);
	ret = digest_new(&seed, j->err);
	if (ret < 0)
		return ret;
	digest_add(seed, CONTAINER_ROOT_LAYOUT, strlen(CONTAINER_ROOT_LAYOUT));
	digest_add(seed, &spare, sizeof(spare));
	j->tree = tree;
	j->img = img;
	j->seed = seed;
	ret = j->name.kind == IMAGE_FOLDER ? take_folder(j, found) : take_image(j, found);
	return ret < 0 ? ret : finish(j, found);
}

static void answer(void *opaque, int fd)
{
	cleanup_json json_t *found = json_pack("{s:b}", "ok", 1);
	struct job *j = opaque;
	struct err err = {0};

	j->err = &err;
	if (make_root(j, found) < 0) {
		json_decref(found);
		found = protocol_error(&err);
	}
	(void)json_dumpfd(found, fd, JSON_COMPACT);
}

/* --- in the parent --- */

static int take_layers(struct container_root *out, json_t *answer, struct err *err)
{
	json_t *array;
	int ret = json_get_array(answer, "layers", &array, err);

	if (ret < 0)
		return ret;
	if (json_array_size(array) > OCI_MAX_LAYERS)
		return err_set(err, ERR_INTEGRITY, "too many layers");
	out->layer = calloc(json_array_size(array) + 1, sizeof(out->layer[0]));
	if (out->layer == NULL)
		return err_sys(err, ENOMEM, "read an image");
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *text = json_string_value(json_array_get(array, i));
		uint8_t digest[DIGEST_SIZE];

		if (text == NULL || !digest_parse(text, digest))
			return err_set(err, ERR_INTEGRITY, "the digest of a layer is no SHA-256");
		strcpy(out->layer[out->layers++], text);
	}
	return 0;
}

static int take_uuid(struct container_root *out, json_t *answer, struct err *err)
{
	char text[2 * CONTAINER_ROOT_UUID + 1];
	int ret = json_get_ascii(answer, "uuid", text, sizeof(text), err);

	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < CONTAINER_ROOT_UUID; i++) {
		unsigned byte;

		if (sscanf(text + (size_t)2 * i, "%2x", &byte) != 1)
			return err_set(err, ERR_INTEGRITY, "the UUID is none");
		out->uuid[i] = (uint8_t)byte;
	}
	return 0;
}

int container_root_decode(struct container_root *out, json_t *answer, struct err *err)
{
	const char *config;
	int ret = json_get_string(answer, "config", &config, err);

	if (ret < 0)
		return ret;
	ret = image_config_parse(&out->config, (const uint8_t *)config, strlen(config), err);
	if (ret < 0)
		return ret;
	ret = json_get_ascii(answer, "manifest", out->manifest, sizeof(out->manifest), err);
	if (ret < 0)
		return ret;
	ret = json_get_uint(answer, "size", 1, INT64_MAX, &out->size, err);
	if (ret < 0)
		return ret;
	ret = json_get_uint(answer, "files", 1, INT64_MAX, &out->files, err);
	if (ret < 0)
		return ret;
	ret = take_uuid(out, answer, err);
	return ret < 0 ? ret : take_layers(out, answer, err);
}

static int run(struct job *j, struct container_root *out, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	cleanup_json json_t *found = NULL;
	size_t len;
	int ret = child_ask(answer, j, MAX_ANSWER, &text, &len, err);

	if (ret < 0)
		return err_context(err, ret, "%s", j->name.path);
	found = json_parse(text, len, err);
	ret = found != NULL ? protocol_check(found, err) : -EINVAL;
	return ret < 0 ? ret : container_root_decode(out, found, err);
}

static int bring(struct job *j, struct err *err)
{
	char path[PATH_MAX];
	int ret;

	if (j->p->pull == NULL)
		return err_set(err, ERR_USAGE, "'%s': images of registries are not taken here",
			       j->p->source);
	ret = j->p->pull(j->p->opaque, j->p->source, path, err);
	if (ret < 0)
		return ret;
	j->name = (struct image_name){.kind = IMAGE_OCI};
	strcpy(j->name.path, path);
	return 0;
}

int container_root(const struct container_root_params *p, struct container_root *out,
		   struct err *err)
{
	struct job j = {.p = p};
	int ret = image_name_parse(&j.name, p->source, err);

	*out = (struct container_root){0};
	if (ret < 0)
		return ret;
	if (j.name.kind == IMAGE_REGISTRY) {
		ret = bring(&j, err);
		if (ret < 0)
			return ret;
	}
	ret = run(&j, out, err);
	if (ret < 0)
		container_root_free(out);
	return ret;
}

void container_root_free(struct container_root *root)
{
	image_config_free(&root->config);
	free(root->layer);
	*root = (struct container_root){0};
}
