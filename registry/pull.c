/* Pulling; see transfer.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "format/crypto/minisign.h"
#include "registry/manifest.h"
#include "registry/referrers.h"
#include "registry/transfer.h"
#include "registry/workers.h"
#include "store/cas_arriving.h"

struct pull {
	struct registry *registry;
	struct http *http; /* of the calling thread */
	const struct cas *cas;
	const struct registry_pull *params;
	struct registry_pulled *pulled;
	const struct oci_descriptor *blob; /* that are fetched now; each digest once */
};

/* One blob on its way. */
struct fetch {
	struct cas_blob *to;
	struct progress *progress;
	uint64_t
		counted; /* the furthest that one has come, for the progress: an attempt may begin anew */
	bool begun;	  /* this attempt has had its first bytes */
	bool wrong_range; /* what came is not what was asked for */
	unsigned wait_s;  /* that the registry asks for */
};

/* "bytes FROM-TO/…": of a 206. */
static bool is_range_from(const char *text, uint64_t from)
{
	char want[40];
	int len = snprintf(want, sizeof(want), "bytes %llu-", (unsigned long long)from);

	return strncmp(text, want, (size_t)len) == 0;
}

static int begin_body(struct fetch *f, const struct http_response *response, struct err *err)
{
	f->begun = true;
	/* All of it, whatever was asked for. */
	if (response->status == 200)
		return f->to->have > 0 ? cas_blob_restart(f->to, err) : 0;
	if (f->to->have > 0 && is_range_from(response->content_range, f->to->have))
		return 0;
	f->wrong_range = true;
	return err_set(err, ERR_INTEGRITY, "%s: bytes from %llu on were asked for, and '%s' came",
		       f->to->digest, (unsigned long long)f->to->have, response->content_range);
}

static int on_blob(void *opaque, const struct http_response *response, const void *data, size_t len,
		   struct err *err)
{
	struct fetch *f = opaque;
	int ret = f->begun ? 0 : begin_body(f, response, err);

	if (ret < 0)
		return ret;
	ret = cas_blob_add(f->to, data, len, err);
	if (ret == 0 && f->to->have > f->counted) {
		progress_add(f->progress, f->to->have - f->counted);
		f->counted = f->to->have;
	}
	return ret;
}

/* One attempt: the rest of the blob. Each begins at the registry, so that a redirect that has
 * expired is made anew. -EAGAIN: another one may go well. */
static int fetch_rest(struct registry *r, struct http *http, struct fetch *f, struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	struct registry_request request = {
		.once = true,
		.http = {.method = "GET", .from = f->to->have, .sink = on_blob, .opaque = f},
	};
	char url[HTTP_URL];
	int ret = registry_url(r, url, err, "blobs/%s", f->to->digest);

	if (ret < 0)
		return ret;
	f->begun = f->wrong_range = false;
	f->wait_s = 0;
	request.http.url = url;
	ret = registry_call(r, http, &request, &response, err);
	if (ret == 0 && response.status == 416 && request.http.from > 0) {
		f->wrong_range = true;
		err_set(err, ERR_INTEGRITY,
			"%s: bytes from %llu on were asked for, and the registry says that there "
			"are none",
			f->to->digest, (unsigned long long)request.http.from);
	}
	if (f->wrong_range) {
		ret = cas_blob_restart(f->to, err);
		return ret < 0 ? ret : -EAGAIN;
	}
	if (ret < 0)
		return ret;
	if (response.status != 200 && response.status != 206) {
		ret = registry_refused(url, &response, f->to->digest, err);
		f->wait_s = response.retry_after_s;
		return ret;
	}
	if (f->to->have == f->to->size)
		return 0;
	/* A whole answer that is too short. */
	err_set(err, ERR_INTEGRITY, "%s ends after %llu of its %llu bytes", f->to->digest,
		(unsigned long long)f->to->have, (unsigned long long)f->to->size);
	return -EAGAIN;
}

static int fetch_blob(void *opaque, struct http *http, size_t index, struct err *err)
{
	const struct pull *p = opaque;
	const struct oci_descriptor *d = &p->blob[index];
	cleanup_cas_blob struct cas_blob to;
	struct fetch f = {.to = &to, .progress = registry_progress(p->registry)};
	int ret = cas_blob_begin(&to, p->cas, d->digest, d->size, err);
	bool resumed;

	if (ret != 0) {
		progress_skip(f.progress, ret > 0 ? d->size : 0);
		return ret < 0 ? ret : 0;
	}
	ret = cas_arriving_copy(&to, err);
	if (ret < 0)
		return ret;
	resumed = to.have > 0;
	progress_skip(f.progress, to.have);
	f.counted = to.have;
	for (unsigned n = 1;; n++) {
		uint64_t before = f.counted;

		ret = to.have < to.size || to.size == 0 ? fetch_rest(p->registry, http, &f, err)
							: 0;
		if (ret == 0) {
			ret = cas_blob_finish(&to, err);
			if (ret == 0 || !resumed || to.have > 0)
				return ret;
			/* What an earlier process left may be what was wrong. */
			resumed = false;
			continue;
		}
		/* What has been had before is no progress, or a server that always cuts there would
		 * be asked for ever. */
		if (f.counted > before)
			n = 1;
		if (ret != -EAGAIN || n >= registry_attempts(p->registry))
			return ret;
		ret = registry_wait(p->registry, n, f.wait_s, err);
		if (ret < 0)
			return ret;
	}
}

/* Ask for a manifest by tag or digest; its bytes must have that digest. */
static int fetch_manifest(struct registry *r, struct http *http, const char *name,
			  struct http_response *response, struct oci_descriptor *d, struct err *err)
{
	uint8_t digest[DIGEST_SIZE], ignored[DIGEST_SIZE];
	int ret = registry_get(r, http, "manifests", name, MANIFEST_ACCEPT, response, err);

	if (ret < 0)
		return ret;
	if (response->body.len == 0)
		return err_set(err, ERR_INTEGRITY, "%s: its manifest is empty", name);
	ret = digest_bytes(response->body.data, response->body.len, digest, err);
	if (ret < 0)
		return ret;
	*d = (struct oci_descriptor){.size = response->body.len};
	digest_text(digest, d->digest);
	if (digest_parse(name, ignored) && strcmp(name, d->digest) != 0)
		return err_set(err, ERR_INTEGRITY, "%s: the manifest that came has the digest %s",
			       name, d->digest);
	if (digest_parse(response->digest, ignored) && strcmp(response->digest, d->digest) != 0)
		return err_set(err, ERR_INTEGRITY,
			       "%s: the manifest that came has the digest %s, and not %s as the "
			       "registry says",
			       name, d->digest, response->digest);
	return 0;
}

/* Config and layers, each digest once. */
static int list_blobs(struct registry_manifest *m, const struct oci_descriptors *layers,
		      struct err *err)
{
	m->blob = calloc(layers->count + 1, sizeof(*m->blob));
	if (m->blob == NULL)
		return err_sys(err, ENOMEM, "pull");
	m->blob[0] = m->config;
	m->nblobs = 1;
	for (size_t i = 0; i < layers->count; i++) {
		const struct oci_descriptor *d = &layers->item[i];
		size_t k = 0;

		while (k < m->nblobs && strcmp(m->blob[k].digest, d->digest) != 0)
			k++;
		if (k == m->nblobs)
			m->blob[m->nblobs++] = *d;
		else if (m->blob[k].size != d->size)
			return err_set(err, ERR_INTEGRITY, "%s has two sizes in its manifest",
				       d->digest);
	}
	return 0;
}

int registry_manifest_decode(struct registry_manifest *m, struct err *err)
{
	__attribute__((cleanup(oci_descriptors_free))) struct oci_descriptors layers = {0};
	int ret = oci_decode_manifest(&m->config, &layers, m->text.data, m->text.len, err);

	return ret < 0 ? err_context(err, ret, "its manifest") : list_blobs(m, &layers, err);
}

void registry_manifest_free(struct registry_manifest *m)
{
	free(m->blob);
	buf_free(&m->text);
	buf_free(&m->index);
	*m = (struct registry_manifest){0};
}

void registry_parent_tag(char tag[REGISTRY_PARENT_TAG], const char *identity)
{
	snprintf(tag, REGISTRY_PARENT_TAG, "parent-%s", strchr(identity, ':') + 1);
}

/* The text of the image's own manifest. */
static int find_manifest(struct registry *r, struct http *http, const char *name,
			 struct registry_manifest *m, struct http_response *response,
			 struct err *err)
{
	struct manifest_choice choice;
	int ret = fetch_manifest(r, http, name, response, &m->self, err);

	if (ret < 0)
		return ret;
	ret = manifest_look(&choice, response->body.data, response->body.len,
			    response->content_type, err);
	strcpy(m->named, m->self.digest);
	if (ret == 0 && choice.index) {
		m->index = response->body;
		response->body = (struct buf){0};
		ret = fetch_manifest(r, http, choice.image.digest, response, &m->self, err);
		if (ret == 0)
			ret = manifest_look(&choice, response->body.data, response->body.len,
					    choice.image.media_type, err);
		if (ret == 0 && choice.index)
			ret = err_set(err, ERR_INTEGRITY, "an index lists an index as an image");
	}
	if (ret < 0)
		return ret;
	strcpy(m->self.media_type, choice.media_type);
	return 0;
}

int registry_name(const struct cas *cas, const struct reference *ref,
		  const struct registry_manifest *m, struct err *err)
{
	int ret = m->index.len > 0 ? cas_put_index(cas, m->named, m->index.data, m->index.len, err)
				   : 0;

	return ret < 0 ? ret : cas_set_ref(cas, ref, m->named, err);
}

int registry_manifest(struct registry *r, struct http *http, const char *name,
		      struct registry_manifest *m, struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	int ret;

	*m = (struct registry_manifest){0};
	ret = find_manifest(r, http, name, m, &response, err);
	if (ret == 0) {
		m->text = response.body;
		response.body = (struct buf){0};
		ret = registry_manifest_decode(m, err);
	}
	if (ret < 0)
		registry_manifest_free(m);
	return ret;
}

/* `count` blobs of a manifest. */
static int fetch_blobs(struct pull *p, const struct oci_descriptor *blob, size_t count,
		       struct err *err)
{
	p->blob = blob;
	for (size_t i = 0; i < count; i++)
		progress_expect(registry_progress(p->registry), blob[i].size);
	return workers_run(p->registry, p->http, WORKERS_USUAL, count, fetch_blob, p, err);
}

/* The whole image of a manifest. */
static int pull_blobs(struct pull *p, const struct registry_manifest *m, struct err *err)
{
	int ret = fetch_blobs(p, m->blob, m->nblobs, err);

	if (ret < 0)
		return ret;
	ret = cas_put_bytes(p->cas, m->self.digest, m->text.data, m->text.len, err);
	if (ret == 0)
		ret = cas_put_image(p->cas, &m->self, err);
	return ret < 0 ? ret : cas_check_image(p->cas, m->self.digest, err);
}

/* What an appliance stands on; "" when on nothing. */
static int parent_of(const struct cas *cas, const struct oci_descriptor *config,
		     char parent[DIGEST_TEXT_SIZE], struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	size_t len;
	int ret;

	parent[0] = '\0';
	if (strcmp(config->media_type, OCI_CONFIG_TYPE) != 0)
		return 0;
	ret = cas_read(cas, config->digest, JSON_MAX_BYTES, &text, &len, err);
	return ret < 0 ? ret : manifest_parent(text, len, parent, err);
}

static int pull_parents(struct pull *p, const struct oci_descriptor *image, struct err *err)
{
	char parent[DIGEST_TEXT_SIZE], path[PATH_MAX], tag[REGISTRY_PARENT_TAG];
	struct oci_descriptor config = *image;

	for (unsigned depth = 0; depth < CHAIN_MAX; depth++) {
		cleanup_registry_manifest struct registry_manifest m = {0};
		int ret = parent_of(p->cas, &config, parent, err);

		if (ret < 0 || parent[0] == '\0')
			return ret;
		if (cas_find_identity(p->cas, parent, path, NULL) == 0)
			return 0;
		registry_parent_tag(tag, parent);
		ret = registry_manifest(p->registry, p->http, tag, &m, err);
		if (ret == 0)
			ret = pull_blobs(p, &m, err);
		if (ret == -ENOENT) {
			err_clear(err);
			strcpy(p->pulled->missing, parent);
			return 0;
		}
		if (ret < 0)
			return err_context(err, ret, "parent %s", parent);
		config = m.config;
		if (strcmp(config.digest, parent) != 0)
			return err_set(err, ERR_INTEGRITY, "%s is another appliance, %s", tag,
				       config.digest);
	}
	return err_set(err, ERR_INTEGRITY, "it stands on more than %u files", CHAIN_MAX);
}

/* The signature that is a blob of the image itself; NULL in *text when it has none. */
static int read_own_signature(struct pull *p, const struct registry_manifest *m, uint8_t **text,
			      struct err *err)
{
	size_t i = 1, len;
	int ret;

	*text = NULL;
	while (i < m->nblobs && strcmp(m->blob[i].role, ROLE_SIGNATURE) != 0)
		i++;
	if (i == m->nblobs)
		return 0;
	if (m->blob[i].size > MINISIGN_TEXT)
		return err_set(err, ERR_INTEGRITY, "its signature is too long");
	ret = fetch_blobs(p, &m->blob[i], 1, err);
	return ret < 0 ? ret : cas_read(p->cas, m->blob[i].digest, MINISIGN_TEXT, text, &len, err);
}

static int check_accepted(struct pull *p, const struct registry_manifest *m, struct err *err)
{
	__attribute__((cleanup(signatures_free))) struct signatures beside = {.count = 0};
	cleanup_free uint8_t *config = NULL, *own = NULL;
	struct registry_signed is;
	size_t len;
	int ret;

	if (p->params->accept == NULL)
		return 0;
	if (strcmp(m->config.media_type, OCI_CONFIG_TYPE) != 0)
		return err_set(err, ERR_INTEGRITY,
			       "it is not signed: it is a container's image, and no appliance");
	ret = fetch_blobs(p, &m->config, 1, err);
	if (ret == 0)
		ret = cas_read(p->cas, m->config.digest, JSON_MAX_BYTES, &config, &len, err);
	if (ret == 0)
		ret = read_own_signature(p, m, &own, err);
	if (ret == 0)
		ret = referrers_signatures(p->registry, p->http, m->self.digest, &beside, err);
	if (ret < 0)
		return err_context(err, ret, "its signatures");
	is = (struct registry_signed){config, len, (const char *)own, beside.text, beside.count};
	return p->params->accept(p->params->opaque, &is, err);
}

/* With its signatures, and what it stands on. */
static int pull_image(struct pull *p, const struct registry_manifest *m, struct err *err)
{
	int ret = check_accepted(p, m, err);

	if (ret == 0)
		ret = pull_blobs(p, m, err);
	if (ret < 0)
		return ret;
	if (strcmp(m->config.media_type, OCI_CONFIG_TYPE) == 0) {
		ret = referrers_pull(p->registry, p->http, p->cas, m->self.digest, err);
		if (ret < 0)
			return err_context(err, ret, "its signatures");
	}
	return pull_parents(p, &m->config, err);
}

/* Those for other platforms than this host's, which is there; none of them has to be for this host. */
static int pull_others(struct pull *p, const struct oci_index *index, struct err *err)
{
	for (size_t i = 0; i < index->count; i++) {
		const struct oci_descriptor *image = &index->item[i].image;
		cleanup_registry_manifest struct registry_manifest m = {0};
		char platform[2 * OCI_PLATFORM_SIZE];
		int ret;

		if (strcmp(image->digest, p->pulled->digest) == 0)
			continue;
		oci_platform_text(&index->item[i].platform, platform);
		ret = image->digest[0] != '\0'
			      ? registry_manifest(p->registry, p->http, image->digest, &m, err)
			      : err_set(err, ERR_INTEGRITY, "its digest is not a SHA-256");
		if (ret == 0)
			ret = pull_image(p, &m, err);
		if (ret < 0)
			return err_context(err, ret, "the image for %s", platform);
	}
	return 0;
}

static int pull_index(struct pull *p, const struct buf *text, struct err *err)
{
	cleanup_oci_index struct oci_index index = {0};
	int ret = oci_index_decode(&index, text->data, text->len, err);

	if (ret == 0 && index.count == 0)
		ret = err_set(err, ERR_INCOMPATIBLE, "it lists no image");
	if (ret == 0)
		ret = pull_others(p, &index, err);
	return ret < 0 ? ret : cas_put_index(p->cas, p->pulled->named, text->data, text->len, err);
}

/* An index without an image for this host. */
static int pull_foreign(struct pull *p, const char *name, struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	struct oci_descriptor self;
	int ret = fetch_manifest(p->registry, p->http, name, &response, &self, err);

	if (ret < 0)
		return ret;
	strcpy(p->pulled->named, self.digest);
	return pull_index(p, &response.body, err);
}

/* Before the rest of it, which may be much, is fetched. */
static int check_wanted(struct pull *p, const struct registry_manifest *m, struct err *err)
{
	const enum registry_wanted wanted = p->params->wanted;
	cleanup_free uint8_t *text = NULL;
	bool live = false;
	size_t len;
	int ret;

	if (wanted == REGISTRY_ANY || strcmp(m->config.media_type, OCI_CONFIG_TYPE) != 0)
		return 0;
	if (wanted == REGISTRY_CONTAINER)
		return err_set(err, ERR_USAGE,
			       "it is an appliance and no container image: torpor run or resume "
			       "takes it as it is");
	ret = fetch_blobs(p, &m->config, 1, err);
	if (ret == 0)
		ret = cas_read(p->cas, m->config.digest, JSON_MAX_BYTES, &text, &len, err);
	if (ret == 0)
		ret = manifest_is_live(text, len, &live, err);
	if (ret == 0 && live)
		return err_set(err, ERR_USAGE, "it is live: wake it with torpor resume");
	return ret;
}

int registry_pull(struct registry *r, const struct cas *cas, const struct registry_pull *params,
		  struct registry_pulled *pulled, struct err *err)
{
	const struct reference *ref = registry_reference(r);
	const char *name = ref->digest[0] != '\0' ? ref->digest : ref->tag;
	cleanup_registry_manifest struct registry_manifest m = {0};
	cleanup_http struct http *http = NULL;
	struct pull p = {.registry = r, .cas = cas, .params = params, .pulled = pulled};
	int ret = registry_http(r, &http, err);

	*pulled = (struct registry_pulled){0};
	if (ret < 0)
		return ret;
	p.http = http;
	ret = registry_manifest(r, http, name, &m, err);
	if (params->all && ret < 0 && err->kind == ERR_INCOMPATIBLE) {
		err_clear(err);
		return pull_foreign(&p, name, err);
	}
	if (ret == 0)
		ret = check_wanted(&p, &m, err);
	if (ret == 0)
		ret = pull_image(&p, &m, err);
	if (ret < 0)
		return ret;
	pulled->appliance = strcmp(m.config.media_type, OCI_CONFIG_TYPE) == 0;
	strcpy(pulled->digest, m.self.digest);
	strcpy(pulled->named, m.named);
	if (m.index.len == 0)
		return 0;
	if (params->all)
		return pull_index(&p, &m.index, err);
	return cas_put_index(cas, m.named, m.index.data, m.index.len, err);
}
