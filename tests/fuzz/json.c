/* The JSON documents, by the first byte: layout, index, manifest, config. A config that is accepted
 * has one text only. */
#include <string.h>

#include "format/appliance.h"
#include "format/oci.h"
#include "tests/fuzz/fuzz.h"

static int fuzz_index(const uint8_t *text, size_t len, struct err *err)
{
	struct oci_descriptors manifests;
	int ret = oci_decode_index(&manifests, text, len, err);

	if (ret == 0)
		oci_descriptors_free(&manifests);
	return ret;
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
