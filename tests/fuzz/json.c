/* The JSON documents, by the first byte: layout, index, manifest, config. A config that is accepted
 * has one text only. */
#include <stdio.h>
#include <string.h>

#include "format/appliance.h"
#include "format/oci_index.h"
#include "tests/fuzz/fuzz.h"

static int fuzz_index(const uint8_t *text, size_t len, struct err *err)
{
	struct oci_index_entry entry = {.image = {.media_type = OCI_MANIFEST_TYPE, .size = 1}};
	const struct oci_index_entry *chosen;
	struct oci_index index, again;
	struct buf updated = {0};
	int ret = oci_index_decode(&index, text, len, err);

	if (ret < 0)
		return ret;
	(void)oci_index_choose(&index, &chosen, NULL);
	/* What this host's image is put into has it, once, and what suited others as well. */
	snprintf(entry.image.digest, sizeof(entry.image.digest), "sha256:%064d", 0);
	oci_platform_of(&entry.platform, "aarch64");
	if (oci_index_update(&updated, text, len, &entry, 1, NULL) == 0) {
		size_t same = 0;

		fuzz_require(oci_index_decode(&again, updated.data, updated.len, NULL) == 0);
		fuzz_require(again.count <= index.count + 1 && again.nnested == index.nnested);
		for (size_t i = 0; i < again.count; i++)
			same += strcmp(again.item[i].platform.os, "linux") == 0 &&
				strcmp(again.item[i].platform.architecture, "arm64") == 0;
		fuzz_require(same == 1);
		oci_index_free(&again);
	}
	buf_free(&updated);
	oci_index_free(&index);
	return 0;
}

static int fuzz_manifest(const uint8_t *text, size_t len, struct err *err)
{
	struct oci_descriptors layers;
	struct oci_descriptor config;
	struct buf again = {0};
	int ret = oci_decode_manifest(&config, &layers, text, len, err);

	if (ret < 0)
		return ret;
	fuzz_require(oci_encode_manifest(&config, &layers, &again, err) == 0);
	oci_descriptors_free(&layers);
	fuzz_require(oci_decode_manifest(&config, &layers, again.data, again.len, err) == 0);
	oci_descriptors_free(&layers);
	buf_free(&again);
	return 0;
}

static int fuzz_config(const uint8_t *text, size_t len, struct err *err)
{
	struct buf once = {0}, twice = {0};
	struct appliance a;
	int ret = appliance_decode(&a, text, len, err);

	if (ret < 0)
		return ret;
	fuzz_require(appliance_encode(&a, &once, err) == 0);
	appliance_free(&a);
	fuzz_require(appliance_decode(&a, once.data, once.len, err) == 0);
	fuzz_require(appliance_encode(&a, &twice, err) == 0);
	appliance_free(&a);
	fuzz_require(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	buf_free(&once);
	buf_free(&twice);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int (*const decoders[])(const uint8_t *, size_t, struct err *) = {
		oci_check_layout, fuzz_index, fuzz_manifest, fuzz_config};
	struct err err = {0};

	if (size > 0)
		fuzz_require_reason(decoders[data[0] % 4](data + 1, size - 1, &err), &err);
	return 0;
}
