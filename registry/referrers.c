/* See referrers.h. */
#include "registry/referrers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "format/crypto/minisign.h"
#include "format/oci_index.h"

#define EMPTY_TYPE "application/vnd.oci.empty.v1+json"
#define EMPTY	   "{}"
#define FALLBACK   80u /* sha256-, 64 digits */

static void fallback_tag(char tag[FALLBACK], const char *digest)
{
	snprintf(tag, FALLBACK, "sha256-%.64s", strchr(digest, ':') + 1);
}

static json_t *encode(const char *type, const char *digest, uint64_t size)
{
	return json_pack("{s:s,s:s,s:I}", "mediaType", type, "digest", digest, "size",
			 (json_int_t)size);
}

static int describe(struct oci_descriptor *d, const char *type, const void *data, size_t len,
		    struct err *err)
{
	uint8_t digest[DIGEST_SIZE];
	int ret = digest_bytes(data, len, digest, err);

	*d = (struct oci_descriptor){.size = len};
	snprintf(d->media_type, sizeof(d->media_type), "%s", type);
	digest_text(digest, d->digest);
	return ret;
}

/* ---- push ---- */

static int has_blob(struct registry *r, struct http *http, const char *digest, struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	struct registry_request request = {.http = {.method = "HEAD"}};
	char url[HTTP_URL];
	int ret = registry_url(r, url, err, "blobs/%s", digest);

	if (ret < 0)
		return ret;
	request.http.url = url;
	ret = registry_call(r, http, &request, &response, err);
	return ret < 0 ? ret : response.status == 200;
}

/* A blob of a few bytes, at once. */
static int put_blob(struct registry *r, struct http *http, const struct oci_descriptor *d,
		    const void *data, struct err *err)
{
	cleanup_http_response struct http_response begun = {0}, done = {0};
	struct registry_request post = {.http = {.method = "POST"}};
	struct registry_request put = {
		.http = {.method = "PUT", .data = data, .data_len = d->size}};
	char url[HTTP_URL], to[HTTP_URL], with[HTTP_URL];
	int ret = has_blob(r, http, d->digest, err);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	ret = registry_url(r, url, err, "blobs/uploads/");
	if (ret < 0)
		return ret;
	post.http.url = url;
	ret = registry_call(r, http, &post, &begun, err);
	if (ret < 0)
		return ret;
	if (begun.status != 202)
		return registry_refused(url, &begun, "begin an upload", err);
	ret = registry_follow(url, begun.location, to, err);
	if (ret < 0)
		return ret;
	if (snprintf(with, sizeof(with), "%s%cdigest=%s", to, strchr(to, '?') != NULL ? '&' : '?',
		     d->digest) >= (int)sizeof(with))
		return err_sys(err, ENAMETOOLONG, "%.80s…", to);
	put.http.url = with;
	ret = registry_call(r, http, &put, &done, err);
	if (ret < 0)
		return ret;
	return done.status >= 200 && done.status < 300
		       ? 0
		       : registry_refused(url, &done, "finish an upload", err);
}

/* *knows: the registry has taken note of the subject. */
static int put_manifest(struct registry *r, struct http *http, const char *name, const char *type,
			const struct buf *text, bool *knows, struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	struct registry_request request = {.http = {.method = "PUT",
						    .content_type = type,
						    .data = text->data,
						    .data_len = text->len}};
	char url[HTTP_URL];
	int ret = registry_url(r, url, err, "manifests/%s", name);

	if (ret < 0)
		return ret;
	request.http.url = url;
	ret = registry_call(r, http, &request, &response, err);
	if (ret < 0)
		return ret;
	*knows = response.subject[0] != '\0';
	return response.status >= 200 && response.status < 300
		       ? 0
		       : registry_refused(url, &response, "put the signature", err);
}

/* The index at a tag or of the API, an object; {} when there is none. */
static int get_index(struct registry *r, struct http *http, const char *path, json_t **index,
		     struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	struct registry_request request = {.http = {.method = "GET", .accept = OCI_INDEX_TYPE}};
	char url[HTTP_URL];
	int ret = registry_url(r, url, err, "%s", path);

	*index = NULL;
	if (ret < 0)
		return ret;
	request.http.url = url;
	ret = registry_call(r, http, &request, &response, err);
	if (ret < 0)
		return ret;
	if (response.status == 200) {
		*index = json_parse(response.body.data, response.body.len, NULL);
		if (!json_is_array(json_object_get(*index, "manifests"))) {
			json_decref(*index);
			*index = NULL;
		}
		return *index != NULL ? 0 : err_set(err, ERR_INTEGRITY, "%s: it is no index", path);
	}
	/* A registry that does not know the API says so in many ways. */
	return response.status >= 500 ? registry_refused(url, &response, path, err) : 0;
}

static bool lists(json_t *index, const char *digest)
{
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(index, "manifests"), i, entry)
	{
		const char *has = json_string_value(json_object_get(entry, "digest"));

		if (has != NULL && strcmp(has, digest) == 0)
			return true;
	}
	return false;
}

/* "Pushing Manifests with Subject", for a registry without the API. */
static int add_to_tag(struct registry *r, struct http *http, const char *subject,
		      const struct oci_descriptor *self, struct err *err)
{
	cleanup_json json_t *index = NULL;
	cleanup_buf struct buf text = {0};
	char tag[FALLBACK], path[FALLBACK + 16];
	json_t *entry;
	bool knows;
	int ret;

	fallback_tag(tag, subject);
	snprintf(path, sizeof(path), "manifests/%s", tag);
	ret = get_index(r, http, path, &index, err);
	if (ret < 0)
		return ret;
	if (index == NULL)
		index = json_pack("{s:i,s:s,s:[]}", "schemaVersion", 2, "mediaType", OCI_INDEX_TYPE,
				  "manifests");
	if (index != NULL && lists(index, self->digest))
		return 0;
	entry = encode(OCI_MANIFEST_TYPE, self->digest, self->size);
	json_object_set_new(entry, "artifactType", json_string(OCI_SIGNATURE_TYPE));
	if (json_array_append_new(json_object_get(index, "manifests"), entry) < 0)
		return err_sys(err, ENOMEM, "list the signature");
	ret = json_write(index, &text, err);
	return ret < 0 ? ret : put_manifest(r, http, tag, OCI_INDEX_TYPE, &text, &knows, err);
}

int referrers_push(struct registry *r, struct http *http, const struct oci_descriptor *manifest,
		   const struct oci_descriptor *signature, struct err *err)
{
	cleanup_json json_t *json = NULL;
	cleanup_buf struct buf text = {0};
	struct oci_descriptor empty, self;
	bool knows;
	int ret = describe(&empty, EMPTY_TYPE, EMPTY, sizeof(EMPTY) - 1, err);

	if (ret < 0)
		return ret;
	ret = put_blob(r, http, &empty, EMPTY, err);
	if (ret < 0)
		return ret;
	json = json_pack("{s:i,s:s,s:s,s:o,s:[o],s:o}", "schemaVersion", 2, "mediaType",
			 OCI_MANIFEST_TYPE, "artifactType", OCI_SIGNATURE_TYPE, "config",
			 encode(EMPTY_TYPE, empty.digest, empty.size), "layers",
			 encode(OCI_SIGNATURE_TYPE, signature->digest, signature->size), "subject",
			 encode(OCI_MANIFEST_TYPE, manifest->digest, manifest->size));
	if (json == NULL)
		return err_sys(err, ENOMEM, "attach the signature");
	ret = json_write(json, &text, err);
	if (ret < 0)
		return ret;
	ret = describe(&self, OCI_MANIFEST_TYPE, text.data, text.len, err);
	if (ret < 0)
		return ret;
	ret = put_manifest(r, http, self.digest, OCI_MANIFEST_TYPE, &text, &knows, err);
	if (ret < 0 || knows)
		return ret;
	return add_to_tag(r, http, manifest->digest, &self, err);
}

struct stored {
	struct registry *registry;
	struct http *http;
	const struct oci_descriptor *manifest;
};

static int push_stored(void *opaque, const char *text, struct err *err)
{
	const struct stored *s = opaque;
	struct oci_descriptor d;
	int ret = describe(&d, OCI_SIGNATURE_TYPE, text, strlen(text), err);

	if (ret == 0)
		ret = put_blob(s->registry, s->http, &d, text, err);
	return ret < 0 ? ret : referrers_push(s->registry, s->http, s->manifest, &d, err);
}

int referrers_push_stored(struct registry *r, struct http *http,
			  const struct oci_descriptor *manifest, const char *image_path,
			  struct err *err)
{
	struct stored s = {r, http, manifest};

	return cas_each_signature(image_path, push_stored, &s, err);
}

int referrers_sign(struct registry *r, const struct archive *a, char digest[DIGEST_TEXT_SIZE],
		   struct err *err)
{
	const struct reference *ref = registry_reference(r);
	cleanup_registry_manifest struct registry_manifest m = {0};
	cleanup_free uint8_t *text = NULL;
	cleanup_http struct http *http = NULL;
	const struct archive_entry *entry;
	size_t count = archive_entries(a, &entry), i = 1;
	int ret = registry_http(r, &http, err);

	if (ret < 0)
		return ret;
	while (i < count && strcmp(entry[i].role, ROLE_SIGNATURE) != 0)
		i++;
	if (i == count)
		return err_set(err, ERR_USAGE, "%s is not signed: torpor sign", archive_path(a));
	ret = registry_manifest(r, http, ref->digest[0] != '\0' ? ref->digest : ref->tag, &m, err);
	if (ret < 0)
		return ret;
	if (strcmp(m.config.digest, archive_digest(a)) != 0)
		return err_set(err, ERR_INTEGRITY, "the registry has another appliance there, %s",
			       m.config.digest);
	ret = blob_read_all(&entry[i].blob, MINISIGN_TEXT, &text, err);
	if (ret < 0)
		return ret;
	ret = put_blob(r, http, entry[i].descriptor, text, err);
	if (ret < 0)
		return ret;
	strcpy(digest, m.self.digest);
	return referrers_push(r, http, &m.self, entry[i].descriptor, err);
}

/* ---- pull ---- */

unsigned referrers_list(const json_t *index, char digest[REFERRERS_MAX][DIGEST_TEXT_SIZE])
{
	unsigned n = 0;
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(index, "manifests"), i, entry)
	{
		const char *type = json_string_value(json_object_get(entry, "artifactType"));
		const char *text = json_string_value(json_object_get(entry, "digest"));
		uint8_t ignored[DIGEST_SIZE];

		if (n == REFERRERS_MAX)
			break;
		if (type != NULL && strcmp(type, OCI_SIGNATURE_TYPE) == 0 && text != NULL &&
		    digest_parse(text, ignored))
			strcpy(digest[n++], text);
	}
	return n;
}

bool referrers_is_signature(const struct registry_manifest *m, const char *subject)
{
	cleanup_json json_t *json = json_parse(m->text.data, m->text.len, NULL);
	const char *of =
		json_string_value(json_object_get(json_object_get(json, "subject"), "digest"));

	if (of == NULL || strcmp(of, subject) != 0 || m->nblobs > 2 ||
	    strcmp(m->config.media_type, OCI_CONFIG_TYPE) == 0)
		return false;
	for (size_t i = 0; i < m->nblobs; i++) {
		if (m->blob[i].size > MINISIGN_TEXT)
			return false;
	}
	return strcmp(m->blob[m->nblobs - 1].media_type, OCI_SIGNATURE_TYPE) == 0;
}

static int fetch_small(struct registry *r, struct http *http, const struct oci_descriptor *d,
		       struct http_response *response, struct err *err)
{
	int ret = registry_get(r, http, "blobs", d->digest, NULL, response, err);

	if (ret < 0)
		return ret;
	return response->body.len == d->size
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "%s has not the %llu bytes that it should",
				 d->digest, (unsigned long long)d->size);
}

/* Into the store. */
static int store_signature(struct registry *r, struct http *http, const struct registry_manifest *m,
			   const char *subject, void *opaque, struct err *err)
{
	const struct cas *cas = opaque;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < m->nblobs; i++) {
		const struct oci_descriptor *d = &m->blob[i];
		cleanup_http_response struct http_response response = {0};

		if (cas_has(cas, d->digest, d->size))
			continue;
		ret = fetch_small(r, http, d, &response, err);
		if (ret == 0)
			ret = cas_put_bytes(cas, d->digest, response.body.data, response.body.len,
					    err);
	}
	if (ret == 0)
		ret = cas_put_bytes(cas, m->self.digest, m->text.data, m->text.len, err);
	if (ret == 0)
		ret = cas_put_image(cas, &m->self, err);
	return ret < 0 ? ret : cas_add_referrer(cas, subject, m->self.digest, err);
}

/* Into memory. */
static int read_signature(struct registry *r, struct http *http, const struct registry_manifest *m,
			  const char *subject, void *opaque, struct err *err)
{
	struct signatures *signatures = opaque;
	const struct oci_descriptor *d = &m->blob[m->nblobs - 1];
	cleanup_http_response struct http_response response = {0};
	struct oci_descriptor is;
	char *text;
	int ret = fetch_small(r, http, d, &response, err);

	(void)subject;
	if (ret == 0)
		ret = describe(&is, OCI_SIGNATURE_TYPE, response.body.data, response.body.len, err);
	if (ret < 0)
		return ret;
	if (strcmp(is.digest, d->digest) != 0)
		return err_set(err, ERR_INTEGRITY, "what came for %s has the digest %s", d->digest,
			       is.digest);
	text = strndup((const char *)response.body.data, response.body.len);
	if (text == NULL)
		return err_sys(err, ENOMEM, "read a signature");
	signatures->text[signatures->count++] = text;
	return 0;
}

/* What is done with a signature of an image, whose manifest is there. */
typedef int take_fn(struct registry *r, struct http *http, const struct registry_manifest *m,
		    const char *subject, void *opaque, struct err *err);

static int take_signature(struct registry *r, struct http *http, const char *subject,
			  const char *digest, take_fn *take, void *opaque, struct err *err)
{
	cleanup_registry_manifest struct registry_manifest m = {0};
	int ret = registry_manifest(r, http, digest, &m, err);

	if (ret < 0)
		return ret;
	return referrers_is_signature(&m, subject) ? take(r, http, &m, subject, opaque, err) : 0;
}

static int take_signatures(struct registry *r, struct http *http, const char *manifest,
			   take_fn *take, void *opaque, struct err *err)
{
	char path[FALLBACK + 128], tag[FALLBACK];
	char digest[REFERRERS_MAX][DIGEST_TEXT_SIZE];
	cleanup_json json_t *index = NULL;
	unsigned n;
	int ret;

	snprintf(path, sizeof(path), "referrers/%s", manifest);
	ret = get_index(r, http, path, &index, err);
	if (ret == 0 && index == NULL) {
		fallback_tag(tag, manifest);
		snprintf(path, sizeof(path), "manifests/%s", tag);
		ret = get_index(r, http, path, &index, err);
	}
	if (ret < 0)
		return ret;
	n = referrers_list(index, digest);
	for (unsigned i = 0; i < n; i++) {
		ret = take_signature(r, http, manifest, digest[i], take, opaque, err);
		if (ret == -ENOENT)
			err_clear(err);
		else if (ret < 0)
			return ret;
	}
	return 0;
}

int referrers_pull(struct registry *r, struct http *http, const struct cas *cas,
		   const char *manifest, struct err *err)
{
	return take_signatures(r, http, manifest, store_signature, (void *)cas, err);
}

int referrers_signatures(struct registry *r, struct http *http, const char *manifest,
			 struct signatures *signatures, struct err *err)
{
	*signatures = (struct signatures){.count = 0};
	return take_signatures(r, http, manifest, read_signature, signatures, err);
}

void signatures_free(struct signatures *signatures)
{
	for (unsigned i = 0; i < signatures->count; i++)
		free(signatures->text[i]);
	*signatures = (struct signatures){.count = 0};
}
