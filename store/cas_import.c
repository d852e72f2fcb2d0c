/* An appliance of a file comes into the store; see cas.h. */
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "store/cas_internal.h"

/* From memory, for a damaged one is replaced then (cas_put_bytes()). */
static int put_manifest(const struct cas *cas, const struct archive_entry *manifest,
			struct progress *progress, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	int ret = blob_read_all(&manifest->blob, JSON_MAX_BYTES, &text, err);

	progress_skip(progress, manifest->blob.len);
	return ret < 0 ? ret : cas_put_bytes(cas, manifest->digest, text, manifest->blob.len, err);
}

int cas_put_archive(const struct cas *cas, const struct archive *a, struct progress *progress,
		    char manifest[DIGEST_TEXT_SIZE], struct err *err)
{
	const struct archive_entry *entry;
	size_t count = archive_entries(a, &entry);
	struct oci_descriptor image = {.media_type = OCI_MANIFEST_TYPE, .size = entry[0].blob.len};

	for (size_t i = 0; i < count; i++) {
		int ret =
			i == 0 ? put_manifest(cas, &entry[0], progress, err)
			       : cas_put_blob(cas, entry[i].digest, &entry[i].blob, progress, err);

		if (ret < 0)
			return err_context(err, ret, "%s: %s", archive_path(a), entry[i].role);
	}
	strcpy(image.digest, entry[0].digest);
	strcpy(manifest, entry[0].digest);
	return cas_put_image(cas, &image, err);
}
