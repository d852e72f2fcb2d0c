/* Pushing an index; see transfer.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "registry/manifest.h"
#include "registry/push_internal.h"

static int read_config(struct registry *r, struct http *http, const struct oci_descriptor *config,
		       struct http_response *response, struct err *err)
{
	uint8_t digest[DIGEST_SIZE];
	char text[DIGEST_TEXT_SIZE];
	int ret = registry_get(r, http, "blobs", config->digest, NULL, response, err);

	if (ret < 0)
		return ret;
	ret = digest_bytes(response->body.data, response->body.len, digest, err);
	if (ret < 0)
		return ret;
	digest_text(digest, text);
	return strcmp(text, config->digest) == 0
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "what came for %s has the digest %s",
				 config->digest, text);
}

/* An image that the registry has, as an entry. */
static int describe_there(struct registry *r, struct http *http, const char *name,
			  struct oci_index_entry *entry, struct err *err)
{
	cleanup_registry_manifest struct registry_manifest m = {0};
	cleanup_http_response struct http_response response = {0};
	cleanup_json json_t *json = NULL;
	char machine[OCI_PLATFORM_SIZE];
	int ret = registry_manifest(r, http, name, &m, err);

	if (ret < 0)
		return ret;
	if (m.index.len > 0)
		return err_set(err, ERR_USAGE, "%s is an index itself", name);
	if (strcmp(m.config.media_type, OCI_CONFIG_TYPE) != 0)
		return err_set(err, ERR_USAGE, "%s is an image of containers, and no appliance",
			       name);
	ret = read_config(r, http, &m.config, &response, err);
	if (ret < 0)
		return ret;
	json = json_parse(response.body.data, response.body.len, err);
	if (json == NULL)
		return err_context(err, -EINVAL, "its config");
	ret = json_get_ascii(json, "arch", machine, sizeof(machine), err);
	if (ret < 0)
		return err_context(err, ret, "its config");
	entry->image = m.self;
	oci_platform_of(&entry->platform, machine);
	return 0;
}

static int describe_part(struct registry *r, struct http *http, const struct registry_part *part,
			 struct oci_index_entry *entry, struct err *err)
{
	const struct archive_entry *newest;

	if (part->chain == NULL)
		return describe_there(r, http, part->there, entry, err);
	(void)archive_entries(chain_newest(part->chain), &newest);
	entry->image.size = newest->blob.len;
	strcpy(entry->image.digest, newest->digest);
	strcpy(entry->image.media_type, OCI_MANIFEST_TYPE);
	oci_platform_of(&entry->platform, archive_appliance(chain_newest(part->chain))->arch);
	return 0;
}

/* What the tag stands for now, as an index: 1; 0: nothing is there. */
static int fetch_old(struct registry *r, struct http *http, const char *tag, struct buf *old,
		     struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	struct registry_request request = {.http = {.method = "GET", .accept = MANIFEST_ACCEPT}};
	cleanup_oci_index struct oci_index index = {0};
	struct oci_index_entry entry;
	char url[HTTP_URL], name[HTTP_URL];
	int ret = registry_url(r, url, err, "manifests/%s", tag);

	if (ret < 0)
		return ret;
	request.http.url = url;
	ret = registry_call(r, http, &request, &response, err);
	if (ret < 0 || response.status == 404)
		return ret;
	registry_version_name(r, tag, name);
	if (response.status != 200)
		return registry_refused(url, &response, name, err);
	if (oci_index_decode(&index, response.body.data, response.body.len, NULL) == 0) {
		*old = response.body;
		response.body = (struct buf){0};
		return 1;
	}
	ret = describe_there(r, http, tag, &entry, err);
	if (ret == 0)
		ret = oci_index_update(old, NULL, 0, &entry, 1, err);
	return ret < 0 ? err_context(err, ret, "what is there now") : 1;
}

static int check_platforms(const struct registry_part *part, const struct oci_index_entry *entry,
			   size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++) {
			if (strcmp(entry[i].platform.architecture,
				   entry[k].platform.architecture) == 0)
				return err_set(err, ERR_USAGE, "%s and %s are both for linux/%s",
					       part[k].name, part[i].name,
					       entry[i].platform.architecture);
		}
	}
	return 0;
}

/* What is pushed before it is listed. */
static int push_parts(struct push *p, struct http *http, const struct registry_part *part,
		      struct oci_index_entry *entry, size_t n, struct err *err)
{
	int ret = 0;

	for (size_t i = 0; i < n; i++) {
		ret = describe_part(p->registry, http, &part[i], &entry[i], err);
		if (ret < 0)
			return err_context(err, ret, "%s", part[i].name);
	}
	ret = check_platforms(part, entry, n, err);
	for (size_t i = 0; ret == 0 && i < n; i++) {
		if (part[i].chain != NULL)
			ret = push_chain(p, http, part[i].chain, entry[i].image.digest, err);
	}
	return ret;
}

int registry_push_index(struct registry *r, const struct registry_part *part, size_t n,
			struct registry_push *params, struct buf *index, struct err *err)
{
	const struct reference *ref = registry_reference(r);
	struct push p = {.registry = r, .params = params};
	cleanup_free struct oci_index_entry *entry = calloc(n + 1, sizeof(*entry));
	cleanup_buf struct buf old = {0};
	cleanup_http struct http *http = NULL;
	uint8_t digest[DIGEST_SIZE];
	int ret = registry_http(r, &http, err);

	if (ret < 0)
		return ret;
	if (entry == NULL)
		return err_sys(err, ENOMEM, "push");
	if (ref->digest[0] != '\0')
		return err_set(err, ERR_USAGE,
			       "an index has a tag, and no digest before it is made");
	ret = push_parts(&p, http, part, entry, n, err);
	if (ret == 0)
		ret = fetch_old(r, http, ref->tag, &old, err);
	if (ret >= 0)
		ret = oci_index_update(index, old.data, old.len, entry, n, err);
	if (ret == 0)
		ret = digest_bytes(index->data, index->len, digest, err);
	if (ret < 0)
		return ret;
	digest_text(digest, params->digest);
	params->sent = atomic_load(&p.sent);
	params->there = atomic_load(&p.there);
	return push_text(&p, http, ref->tag, OCI_INDEX_TYPE, params->digest, index->data,
			 index->len, err);
}

static int check_listed(struct push *p, struct http *http, const struct registry_part *part,
			size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (part[i].chain == NULL && !push_has(p, http, part[i].there, part[i].there))
			return err_set(
				err, ERR_NOT_FOUND,
				"the image for %s is neither in the store nor in the registry",
				part[i].name);
	}
	return 0;
}

int registry_push_listed(struct registry *r, const void *text, size_t len,
			 const struct registry_part *part, size_t n, struct registry_push *params,
			 struct err *err)
{
	const struct reference *ref = registry_reference(r);
	struct push p = {.registry = r, .params = params};
	cleanup_http struct http *http = NULL;
	uint8_t digest[DIGEST_SIZE];
	int ret = registry_http(r, &http, err);

	if (ret == 0)
		ret = digest_bytes(text, len, digest, err);
	if (ret < 0)
		return ret;
	digest_text(digest, params->digest);
	if (ref->digest[0] != '\0' && strcmp(ref->digest, params->digest) != 0)
		return err_set(err, ERR_USAGE, "the index has the digest %s, and not %s",
			       params->digest, ref->digest);
	ret = check_listed(&p, http, part, n, err);
	for (size_t i = 0; ret == 0 && i < n; i++) {
		if (part[i].chain == NULL)
			continue;
		ret = push_chain(&p, http, part[i].chain, part[i].there, err);
		ret = ret < 0 ? err_context(err, ret, "the image for %s", part[i].name) : 0;
	}
	if (ret < 0)
		return ret;
	params->sent = atomic_load(&p.sent);
	params->there = atomic_load(&p.there);
	return push_text(&p, http, ref->tag[0] != '\0' ? ref->tag : params->digest, OCI_INDEX_TYPE,
			 params->digest, text, len, err);
}
