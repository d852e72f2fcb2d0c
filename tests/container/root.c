/*
 * root SOURCE OUT [MAX-BYTES [MAX-ENTRIES [SPARE]]]: make the root file system of an image (container/root.h)
 * and print what it is, as JSON. Exit status 1: it failed; the reason is on standard error.
 */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "container/root.h"

static void print(const struct container_root *root)
{
	cleanup_buf struct buf config = {0};
	json_t *json =
		json_pack("{s:s, s:I, s:I, s:[]}", "manifest", root->manifest, "size",
			  (json_int_t)root->size, "files", (json_int_t)root->files, "layers");
	char uuid[33];

	for (unsigned i = 0; i < root->layers; i++)
		json_array_append_new(json_object_get(json, "layers"), json_string(root->layer[i]));
	for (unsigned i = 0; i < CONTAINER_ROOT_UUID; i++)
		snprintf(uuid + 2 * i, 3, "%02x", root->uuid[i]);
	json_object_set_new(json, "uuid", json_string(uuid));
	image_config_write(&root->config, &config, NULL);
	json_object_set_new(json, "config", json_loadb((char *)config.data, config.len, 0, NULL));
	json_dumpf(json, stdout, JSON_SORT_KEYS | JSON_COMPACT);
	putchar('\n');
	json_decref(json);
}

int main(int argc, char **argv)
{
	struct container_root_params p = {.source = argv[1]};
	cleanup_container_root struct container_root root = {0};
	struct err err = {0};

	if (argc < 3)
		return 2;
	p.fd = open(argv[2], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	p.max_bytes = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
	p.max_entries = argc > 4 ? strtoull(argv[4], NULL, 0) : 0;
	p.spare = argc > 5 ? strtoull(argv[5], NULL, 0) : 0;
	if (container_root(&p, &root, &err) < 0) {
		fprintf(stderr, "root: %s (%d)\n", err.text, (int)err.kind);
		return 1;
	}
	print(&root);
	return 0;
}
