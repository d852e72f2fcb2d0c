/*
 * Images of containers, by the first byte: two layers that are applied one after the other, the
 * config, a layout in a tar, docker's archive. What is accepted twice gives the same file system,
 * and a config that is written is read as the same.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "container/image_source.h"
#include "tests/fuzz/fuzz.h"

#define MAX_BYTES   (UINT64_C(4) << 20)
#define MAX_ENTRIES 2000

static int apply(const struct layer_source *layers, int fd, uint64_t *size, struct err *err)
{
	cleanup_layer_tree struct layer_tree *tree = NULL;
	cleanup_ext4_image struct ext4_image *img = NULL;
	struct layer_budget budget = {2 * MAX_BYTES};
	char diff_id[DIGEST_TEXT_SIZE];
	uint8_t seed[EXT4_SEED_SIZE] = {1};
	struct ext4_result result;
	int ret = layer_tree_new(&tree, MAX_ENTRIES, err);

	if (ret < 0)
		return ret;
	ret = ext4_image_new(&img, fd, tree, MAX_BYTES, err);
	for (unsigned i = 0; ret == 0 && i < 2; i++)
		ret = layer_read(&layers[i], tree, img, &budget, diff_id, err);
	if (ret < 0)
		return ret;
	ret = ext4_image_finish(img, seed, &result, err);
	*size = result.size;
	return ret;
}

static int open_output(void)
{
	int fd = memfd_create("root", MFD_CLOEXEC);

	fuzz_require(fd >= 0);
	return fd;
}

static void same_bytes(int a, int b, uint64_t size)
{
	static uint8_t one[1 << 16], other[1 << 16];

	for (uint64_t at = 0; at < size; at += sizeof(one)) {
		fuzz_require(pread(a, one, sizeof(one), (off_t)at) == (ssize_t)sizeof(one));
		fuzz_require(pread(b, other, sizeof(other), (off_t)at) == (ssize_t)sizeof(other));
		fuzz_require(memcmp(one, other, sizeof(one)) == 0);
	}
}

/* The first four bytes are the length of the first layer. */
static void fuzz_layers(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint64_t first = fuzz_take(&in, 4), bytes = 0, again = 0;
	int input = fuzz_file(in.at, in.left), a = open_output(), b;
	struct layer_source layers[2] = {0};
	struct err err = {0};
	int ret;

	if (first > in.left)
		first = in.left;
	layers[0].blob = (struct blob){.fd = input, .len = first};
	layers[1].blob = (struct blob){.fd = input, .offset = first, .len = in.left - first};
	ret = apply(layers, a, &bytes, &err);
	fuzz_require_reason(ret, &err);
	if (ret == 0) {
		b = open_output();
		fuzz_require(apply(layers, b, &again, &err) == 0 && again == bytes);
		same_bytes(a, b, bytes < (32u << 20) ? bytes : 32u << 20);
		close(b);
	}
	close(a);
	close(input);
}

static void fuzz_config(const uint8_t *data, size_t size)
{
	struct buf text = {0}, again = {0};
	struct image_config config;
	struct err err = {0};
	int ret = image_config_parse(&config, data, size, &err);

	fuzz_require_reason(ret, &err);
	if (ret < 0)
		return;
	fuzz_require(image_config_write(&config, &text, &err) == 0);
	image_config_free(&config);
	fuzz_require(image_config_parse(&config, text.data, text.len, &err) == 0);
	fuzz_require(image_config_write(&config, &again, &err) == 0);
	fuzz_require(text.len == again.len && memcmp(text.data, again.data, text.len) == 0);
	image_config_free(&config);
	buf_free(&text);
	buf_free(&again);
}

static void fuzz_archive(const uint8_t *data, size_t size, enum image_source_kind kind)
{
	struct image_name name = {.kind = kind};
	struct image_source source;
	struct err err = {0};
	int fd = fuzz_file(data, size), ret;

	snprintf(name.path, sizeof(name.path), "/proc/self/fd/%d", fd);
	ret = image_source_open(&source, &name, &err);
	fuzz_require_reason(ret, &err);
	if (ret == 0)
		image_source_close(&source);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned before;

	/* What stays open after the first run. */
	fuzz_require(layer_read_prepare(NULL) == 0);
	close(fuzz_file(data, size));
	before = fuzz_open_fds();
	if (size == 0)
		return 0;
	switch (data[0] % 4) {
	case 0:
		fuzz_layers(data + 1, size - 1);
		break;
	case 1:
		fuzz_config(data + 1, size - 1);
		break;
	case 2:
		fuzz_archive(data + 1, size - 1, IMAGE_OCI_ARCHIVE);
		break;
	default:
		fuzz_archive(data + 1, size - 1, IMAGE_DOCKER_ARCHIVE);
		break;
	}
	fuzz_require(fuzz_open_fds() == before);
	return 0;
}
