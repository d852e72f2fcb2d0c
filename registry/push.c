/* Pushing; see transfer.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/num.h"
#include "registry/manifest.h"
#include "registry/push_internal.h"
#include "registry/referrers.h"
#include "registry/workers.h"

/* What is sent at once where a whole blob is too much for the registry or a proxy before it. */
#define CHUNK MIB(4)

/* One blob on its way. */
struct upload {
	struct push *p;
	struct http *http;
	const struct archive_entry *entry;
	char url[HTTP_URL]; /* where the next piece goes; "": an upload has to be begun */
	uint64_t at;	    /* bytes that the registry has */
	uint64_t furthest;  /* that it has had, in this upload or one before */
	uint64_t moving;    /* of this attempt */
	uint64_t chunk;	    /* bytes of a piece: CHUNK, or more where the registry wants it */
	uint64_t counted;   /* for the progress */
	unsigned wait_s;    /* that the registry asks for */
};

static void on_sent(void *opaque, uint64_t bytes)
{
	struct upload *u = opaque;
	uint64_t now;

	u->moving += bytes;
	now = u->at + u->moving;
	if (now > u->counted) {
		progress_add(registry_progress(u->p->registry), now - u->counted);
		u->counted = now;
	}
}

static int upload_call(struct upload *u, const struct registry_request *request,
		       struct http_response *response, struct err *err)
{
	int ret = registry_call(u->p->registry, u->http, request, response, err);

	u->wait_s = response->retry_after_s;
	return ret;
}

/* Returns 1 when the registry has it. Whoever may not ask this (or a server that does not know
 * HEAD) may still push. */
static int is_there(struct upload *u, struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	struct registry_request request = {.http = {.method = "HEAD"}};
	char url[HTTP_URL];
	int ret = registry_url(u->p->registry, url, err, "blobs/%s", u->entry->digest);

	if (ret < 0)
		return ret;
	request.http.url = url;
	ret = upload_call(u, &request, &response, err);
	return ret < 0 ? ret : response.status == 200;
}

/* Take the place that an answer gives for what comes next. */
static int take_location(struct upload *u, const char *url, const struct http_response *response,
			 struct err *err)
{
	char next[HTTP_URL];
	int ret = registry_follow(url, response->location, next, err);

	if (ret < 0)
		return ret;
	strcpy(u->url, next);
	return 0;
}

/* Ask for an upload, or to share the blob of another repository. Returns 1 when it does. */
static int begin_upload(struct upload *u, const char *from, struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	struct registry_request request = {.http = {.method = "POST"}, .mount_from = from};
	char url[HTTP_URL];
	int ret;

	if (from != NULL)
		ret = registry_url(u->p->registry, url, err, "blobs/uploads/?mount=%s&from=%s",
				   u->entry->digest, from);
	else
		ret = registry_url(u->p->registry, url, err, "blobs/uploads/");
	if (ret < 0)
		return ret;
	request.http.url = url;
	u->at = 0;
	ret = upload_call(u, &request, &response, err);
	if (ret < 0)
		return ret;
	if (from != NULL && response.status == 201)
		return 1;
	u->chunk = response.chunk_min > CHUNK ? response.chunk_min : CHUNK;
	if (response.status == 202)
		return take_location(u, url, &response, err);
	if (from != NULL)
		return begin_upload(u, NULL, err);
	return registry_refused(url, &response, "begin an upload", err);
}

/* "BYTES-BYTES" or "bytes=…": the last byte there is. A registry that has none says 0-0, too. */
static uint64_t range_end(const char *range)
{
	const char *dash = strchr(range, '-');
	unsigned long long last = dash != NULL ? strtoull(dash + 1, NULL, 10) : 0;

	return last > 0 && last < INT64_MAX ? last + 1 : 0;
}

/* How much of an interrupted upload has arrived. When that is not to be learnt, a new one is begun.
 */
static int ask_offset(struct upload *u, struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	struct registry_request request = {.http = {.method = "GET", .url = u->url}, .once = true};
	struct err why = {0};
	char url[HTTP_URL];
	int ret = registry_call(u->p->registry, u->http, &request, &response, &why);

	if (ret == -ECANCELED)
		return err_copy(err, ret, &why);
	strcpy(url, u->url);
	u->at = 0;
	if (ret < 0 || response.status != 204 || range_end(response.range) > u->entry->blob.len) {
		u->url[0] = '\0';
		return 0;
	}
	u->at = range_end(response.range);
	if (response.location[0] == '\0')
		return 0;
	return take_location(u, url, &response, err);
}

static int digest_url(const struct upload *u, char url[HTTP_URL], struct err *err)
{
	int len = snprintf(url, HTTP_URL, "%s%cdigest=%s", u->url,
			   strchr(u->url, '?') != NULL ? '&' : '?', u->entry->digest);

	return len < (int)HTTP_URL ? 0 : err_sys(err, ENAMETOOLONG, "%.80s…", url);
}

static bool is_too_large(long status)
{
	return status == 413 || status == 416;
}

/* The end of an upload: `rest` may be empty. Returns 1 when that was too much at once. */
static int put_rest(struct upload *u, const struct blob *rest, struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	struct registry_request request = {
		.once = true,
		.http = {.method = "PUT", .file = rest, .sent = on_sent, .opaque = u},
	};
	char url[HTTP_URL];
	int ret = digest_url(u, url, err);

	if (ret < 0)
		return ret;
	request.http.url = url;
	u->moving = 0;
	ret = upload_call(u, &request, &response, err);
	if (ret < 0)
		return ret;
	if (response.status >= 200 && response.status < 300)
		return 0;
	if (rest->len > 0 && is_too_large(response.status))
		return 1;
	/* The upload is not known any more. */
	if (response.status == 404) {
		u->url[0] = '\0';
		(void)registry_refused(url, &response, "finish an upload", err);
		return -EAGAIN;
	}
	return registry_refused(url, &response, "finish an upload", err);
}

static int patch_chunk(struct upload *u, const struct blob *chunk, struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	char range[48];
	struct registry_request request = {
		.once = true,
		.http = {.method = "PATCH",
			 .url = u->url,
			 .file = chunk,
			 .content_range = range,
			 .sent = on_sent,
			 .opaque = u},
	};
	int ret;

	snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)u->at,
		 (unsigned long long)(u->at + chunk->len - 1));
	u->moving = 0;
	ret = upload_call(u, &request, &response, err);
	if (ret < 0)
		return ret;
	/* 202 it is; some say 201 or 204. */
	if (response.status < 200 || response.status >= 300) {
		char url[HTTP_URL];

		strcpy(url, u->url);
		if (response.status == 404)
			u->url[0] = '\0';
		ret = registry_refused(url, &response, "upload a chunk", err);
		/* Out of order: where it stands is asked for. */
		return response.status == 416 || response.status == 404 ? -EAGAIN : ret;
	}
	u->at += chunk->len;
	u->moving = 0;
	return response.location[0] != '\0' ? take_location(u, u->url, &response, err) : 0;
}

static int put_chunks(struct upload *u, struct err *err)
{
	const struct blob *all = &u->entry->blob;
	struct blob chunk = *all;

	while (u->at < all->len) {
		int ret;

		chunk.offset = all->offset + u->at;
		chunk.len = u64_min(u->chunk, all->len - u->at);
		ret = patch_chunk(u, &chunk, err);
		if (ret < 0)
			return ret;
	}
	chunk.len = 0;
	return put_rest(u, &chunk, err);
}

/* One attempt; -EAGAIN: another may go well. */
static int upload_once(struct upload *u, struct err *err)
{
	int ret;

	if (u->url[0] == '\0') {
		ret = begin_upload(u, NULL, err);
		if (ret < 0)
			return ret;
	}
	if (u->at > 0 || atomic_load(&u->p->chunked))
		return put_chunks(u, err);
	ret = put_rest(u, &u->entry->blob, err);
	if (ret != 1)
		return ret;
	atomic_store(&u->p->chunked, true);
	ret = begin_upload(u, NULL, err);
	return ret < 0 ? ret : put_chunks(u, err);
}

/* Whether the registry has more than it ever had. What is sent a second time is no progress, or one that
 * always loses it would be sent it for ever. */
static bool upload_is_further(struct upload *u)
{
	if (u->at <= u->furthest)
		return false;
	u->furthest = u->at;
	return true;
}

static int upload_blob(struct upload *u, struct err *err)
{
	struct registry *r = u->p->registry;

	for (unsigned n = 1;; n++) {
		int ret = upload_once(u, err);

		if (ret != -EAGAIN)
			return ret;
		if (upload_is_further(u))
			n = 1;
		if (n >= registry_attempts(r))
			return ret;
		ret = registry_wait(r, n, u->wait_s, err);
		if (ret < 0)
			return ret;
		if (u->url[0] == '\0')
			continue;
		ret = ask_offset(u, err);
		if (ret < 0)
			return ret;
		if (upload_is_further(u))
			n = 1;
	}
}

static int push_blob(void *opaque, struct http *http, size_t index, struct err *err)
{
	struct push *p = opaque;
	struct upload u = {.p = p, .http = http, .entry = p->blob[index]};
	struct progress *progress = registry_progress(p->registry);
	uint64_t size = u.entry->blob.len;
	const char *from = NULL;
	int ret = is_there(&u, err);

	if (ret == 0 && p->params->mount_from != NULL)
		from = p->params->mount_from(p->params->opaque, u.entry->digest);
	if (ret == 0 && from != NULL)
		ret = begin_upload(&u, from, err);
	if (ret < 0)
		return ret;
	if (ret > 0) {
		progress_skip(progress, size);
		atomic_fetch_add(&p->there, size);
		return 0;
	}
	ret = upload_blob(&u, err);
	if (ret == 0)
		atomic_fetch_add(&p->sent, size);
	return ret < 0 ? err_context(err, ret, "%s", u.entry->role) : 0;
}

/* All entries but the manifest, each digest once. */
static int push_blobs(struct push *p, const struct archive *a, struct err *err)
{
	const struct archive_entry *entry;
	size_t count = archive_entries(a, &entry), n = 0;
	cleanup_free const struct archive_entry **list = calloc(count + 1, sizeof(*list));

	if (list == NULL)
		return err_sys(err, ENOMEM, "push %s", archive_path(a));
	for (size_t i = 1; i < count; i++) {
		size_t k = 0;

		while (k < n && strcmp(list[k]->digest, entry[i].digest) != 0)
			k++;
		if (k == n) {
			list[n++] = &entry[i];
			progress_expect(registry_progress(p->registry), entry[i].blob.len);
		}
	}
	p->blob = list;
	return workers_run(p->registry, NULL, WORKERS_USUAL, n, push_blob, p, err);
}

int push_text(struct push *p, struct http *http, const char *name, const char *type,
	      const char *digest, const void *text, size_t len, struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	struct registry_request request = {
		.http = {.method = "PUT", .content_type = type, .data = text, .data_len = len},
	};
	uint8_t ignored[DIGEST_SIZE];
	char url[HTTP_URL];
	int ret = registry_url(p->registry, url, err, "manifests/%s", name);

	if (ret < 0)
		return ret;
	request.http.url = url;
	ret = registry_call(p->registry, http, &request, &response, err);
	if (ret < 0)
		return ret;
	if (response.status < 200 || response.status >= 300)
		return registry_refused(url, &response, "put the manifest", err);
	if (digest_parse(response.digest, ignored) && strcmp(response.digest, digest) != 0)
		return err_set(err, ERR_INTEGRITY, "the registry has taken %s as %s", digest,
			       response.digest);
	return 0;
}

static int put_manifest(struct push *p, struct http *http, const struct archive_entry *manifest,
			const char *name, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	int ret = blob_read_all(&manifest->blob, JSON_MAX_BYTES, &text, err);

	return ret < 0 ? ret
		       : push_text(p, http, name, OCI_MANIFEST_TYPE, manifest->digest, text,
				   manifest->blob.len, err);
}

bool push_has(struct push *p, struct http *http, const char *name, const char *digest)
{
	cleanup_http_response struct http_response response = {0};
	struct registry_request request = {.http = {.method = "HEAD", .accept = MANIFEST_ACCEPT}};
	char url[HTTP_URL];

	if (registry_url(p->registry, url, NULL, "manifests/%s", name) < 0)
		return false;
	request.http.url = url;
	return registry_call(p->registry, http, &request, &response, NULL) == 0 &&
	       response.status == 200 && strcmp(response.digest, digest) == 0;
}

static int push_archive(struct push *p, struct http *http, const struct archive *a,
			const char *name, bool parent, struct err *err)
{
	const struct archive_entry *entry;
	int ret;

	(void)archive_entries(a, &entry);
	/* A parent that the registry has needs no look at its blobs. */
	if (parent && push_has(p, http, name, entry->digest))
		return 0;
	ret = push_blobs(p, a, err);
	if (ret < 0)
		return ret;
	return put_manifest(p, http, entry, name, err);
}

/* The signature that a file has, and those that the store has beside an image, where other tools find
 * them. */
static int attach_signatures(struct push *p, struct http *http, const struct archive *a,
			     struct err *err)
{
	const struct archive_entry *entry;
	size_t count = archive_entries(a, &entry);
	struct oci_descriptor manifest = {.size = entry[0].blob.len};

	strcpy(manifest.digest, entry[0].digest);
	for (size_t i = 1; i < count; i++) {
		int ret = strcmp(entry[i].role, ROLE_SIGNATURE) == 0
				  ? referrers_push(p->registry, http, &manifest,
						   entry[i].descriptor, err)
				  : 0;

		if (ret < 0)
			return ret;
	}
	return referrers_push_stored(p->registry, http, &manifest, archive_path(a), err);
}

int push_chain(struct push *p, struct http *http, const struct chain *chain, const char *name,
	       struct err *err)
{
	for (unsigned i = chain->n; i-- > 0;) {
		const struct archive *a = chain->archive[i];
		char tag[REGISTRY_PARENT_TAG];
		int ret;

		registry_parent_tag(tag, archive_digest(a));
		ret = push_archive(p, http, a, i > 0 ? tag : name, i > 0, err);
		if (ret == 0 && i == 0) {
			ret = attach_signatures(p, http, a, err);
			ret = ret < 0 ? err_context(err, ret, "its signatures") : 0;
		}
		if (ret < 0)
			return ret;
	}
	return 0;
}

int registry_push(struct registry *r, const struct chain *chain, struct registry_push *params,
		  struct err *err)
{
	const struct reference *ref = registry_reference(r);
	struct push p = {.registry = r, .params = params};
	const struct archive_entry *newest;
	cleanup_http struct http *http = NULL;
	int ret = registry_http(r, &http, err);

	if (ret < 0)
		return ret;
	(void)archive_entries(chain_newest(chain), &newest);
	if (ref->digest[0] != '\0' && strcmp(ref->digest, newest->digest) != 0)
		return err_set(err, ERR_USAGE, "%s has the digest %s, and not %s",
			       archive_path(chain_newest(chain)), newest->digest, ref->digest);
	ret = push_chain(&p, http, chain, ref->tag[0] != '\0' ? ref->tag : ref->digest, err);
	if (ret < 0)
		return ret;
	params->sent = atomic_load(&p.sent);
	params->there = atomic_load(&p.there);
	strcpy(params->digest, newest->digest);
	return 0;
}
