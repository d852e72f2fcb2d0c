/* See session.h. */
#include "registry/session.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/num.h"
#include "registry/auth.h"
#include "registry/curl_api.h"

#define SILENCE_S     60u
#define ATTEMPTS      6u
#define FIRST_WAIT_MS 250u
#define LAST_WAIT_MS  8000u
#define LONGEST_WAIT  60000u
#define REDIRECTS     10u
#define SCOPE_SIZE    1024u
#define TOKENS	      8u
/* A token that ends while a request is under way is of no use. */
#define TOKEN_SPARE_NS (5 * NS_PER_SECOND)

struct token {
	char scope[SCOPE_SIZE];
	char *text; /* owned; NULL: none */
	uint64_t until_ns;
	uint64_t serial;
};

struct registry {
	struct reference ref;
	struct registry_options options;
	char ca_file[PATH_MAX];
	char base[REFERENCE_HOST + 16]; /* https://HOST[:PORT] */
	bool no_registry;		/* a web server's: nothing but Basic */
	struct credentials credentials;
	bool has_credentials;
	pthread_mutex_t lock; /* of what follows */
	struct auth_challenge challenge;
	struct token tokens[TOKENS];
	uint64_t serial;
};

/* What a call shows, and which token that was. */
struct pass {
	char header[HTTP_SECRET + 8];
	uint64_t serial;
};

static const char *registry_host(const struct reference *ref)
{
	return strcmp(ref->host, "docker.io") == 0 ? "registry-1.docker.io" : ref->host;
}

static void find_ca_file(struct registry *r)
{
	static const char *const folders[] = {"/etc/containers/certs.d", "/etc/docker/certs.d"};

	if (r->options.ca_file != NULL) {
		/* A download has another working directory. */
		if (realpath(r->options.ca_file, r->ca_file) == NULL)
			snprintf(r->ca_file, sizeof(r->ca_file), "%s", r->options.ca_file);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		snprintf(r->ca_file, sizeof(r->ca_file), "%s/%s/ca.crt", folders[i], r->ref.host);
		if (access(r->ca_file, R_OK) == 0)
			return;
	}
	r->ca_file[0] = '\0';
}

int registry_http(const struct registry *r, struct http **http, struct err *err)
{
	struct http_options options = {
		.ca_file = registry_ca_file(r),
		.silence_s = r->options.silence_s,
		.progress = r->options.progress,
	};

	return http_new(http, &options, err);
}

/* Some servers close the connection at the first message of TLS, and say nothing; a host without certificates does not
 * come to that. Whether this one answers http; what speaks TLS alone answers with 400. */
static bool is_plain(struct registry *r, struct http *http)
{
	cleanup_http_response struct http_response response = {0};
	struct http_request request = {.method = "GET"};
	char url[sizeof(r->base) + 8];

	snprintf(url, sizeof(url), "http://%s/v2/", registry_host(&r->ref));
	request.url = url;
	return http_exchange(http, &request, &response, NULL) == 0 && response.status != 400;
}

/* https; http when a registry on this host does not speak TLS, or when it was asked for. */
static int find_scheme(struct registry *r, struct err *err)
{
	const char *host = registry_host(&r->ref);
	cleanup_http_response struct http_response response = {0};
	cleanup_http struct http *http = NULL;
	struct registry_request request = {.http = {.method = "GET"}};
	char url[sizeof(r->base) + 8];
	int ret;

	snprintf(r->base, sizeof(r->base), "http://%s", host);
	if (r->options.plain_http)
		return 0;
	snprintf(r->base, sizeof(r->base), "https://%s", host);
	if (!reference_is_loopback(host))
		return 0;
	ret = registry_http(r, &http, err);
	if (ret < 0)
		return ret;
	snprintf(url, sizeof(url), "%s/v2/", r->base);
	request.http.url = url;
	/* A registry that only just starts answers a later attempt. */
	for (unsigned n = 1;; n++) {
		ret = http_exchange(http, &request.http, &response, err);
		if (ret == -EPROTO || (response.no_tls && is_plain(r, http))) {
			err_clear(err);
			snprintf(r->base, sizeof(r->base), "http://%s", host);
			return 0;
		}
		if (ret != -EAGAIN || n >= r->options.attempts)
			return ret;
		ret = registry_wait(r, n, response.retry_after_s, err);
		if (ret < 0)
			return ret;
	}
}

static struct registry *registry_new(const char *host, const struct registry_options *options,
				     struct err *err)
{
	struct registry *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		err_sys(err, ENOMEM, "connect to %s", host);
		return NULL;
	}
	pthread_mutex_init(&r->lock, NULL);
	r->options = *options;
	if (r->options.silence_s == 0)
		r->options.silence_s = SILENCE_S;
	if (r->options.attempts == 0)
		r->options.attempts = ATTEMPTS;
	return r;
}

int registry_open_url(struct registry **out, const char *url,
		      const struct registry_options *options, struct err *err)
{
	cleanup_registry struct registry *r = NULL;
	char whole[HTTP_URL], origin[HTTP_URL];
	int ret;

	if (curl_api(err) == NULL)
		return -ENOSYS;
	if (!http_resolve(url, url, whole))
		return err_set(err, ERR_USAGE, "'%.200s' is no URL of http or https", url);
	http_origin(whole, origin);
	if (http_is_open(whole) && !options->plain_http)
		return err_set(err, ERR_FAILED,
			       "%s: http on another host is not spoken without --plain-http",
			       origin);
	r = registry_new(origin, options, err);
	if (r == NULL)
		return -ENOMEM;
	if (snprintf(r->base, sizeof(r->base), "%s", origin) >= (int)sizeof(r->base) ||
	    snprintf(r->ref.host, sizeof(r->ref.host), "%s", strstr(origin, "://") + 3) >=
		    (int)sizeof(r->ref.host))
		return err_sys(err, ENAMETOOLONG, "%.80s…", origin);
	r->no_registry = true;
	ret = credentials_find(&r->credentials, r->ref.host, "", err);
	if (ret < 0)
		return ret;
	r->has_credentials = ret > 0;
	find_ca_file(r);
	*out = take_ptr(r);
	return 0;
}

int registry_open(struct registry **out, const struct reference *ref,
		  const struct registry_options *options, struct err *err)
{
	cleanup_registry struct registry *r = registry_new(ref->host, options, err);
	int ret;

	if (r == NULL)
		return -ENOMEM;
	r->ref = *ref;
	if (options->credentials != NULL) {
		r->credentials = *options->credentials;
		r->has_credentials = true;
	} else {
		ret = credentials_find(&r->credentials, ref->host, ref->repository, err);
		if (ret < 0)
			return ret;
		r->has_credentials = ret > 0;
	}
	find_ca_file(r);
	ret = find_scheme(r, err);
	if (ret < 0)
		return ret;
	*out = take_ptr(r);
	return 0;
}

void registry_close(struct registry *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < TOKENS; i++) {
		if (r->tokens[i].text != NULL)
			explicit_bzero(r->tokens[i].text, strlen(r->tokens[i].text));
		free(r->tokens[i].text);
	}
	credentials_wipe(&r->credentials);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

const struct reference *registry_reference(const struct registry *r)
{
	return &r->ref;
}

const char *registry_base(const struct registry *r)
{
	return r->base;
}

const char *registry_ca_file(const struct registry *r)
{
	return r->ca_file[0] != '\0' ? r->ca_file : NULL;
}

struct progress *registry_progress(const struct registry *r)
{
	return r->options.progress;
}

void registry_cancel(const struct registry *r)
{
	if (r->options.progress != NULL)
		progress_cancel(r->options.progress);
}

unsigned registry_attempts(const struct registry *r)
{
	return r->options.attempts;
}

int registry_url(const struct registry *r, char url[HTTP_URL], struct err *err, const char *fmt,
		 ...)
{
	int head = snprintf(url, HTTP_URL, "%s/v2/%s/", r->base, r->ref.repository), tail;
	va_list args;

	va_start(args, fmt);
	tail = vsnprintf(url + head, HTTP_URL - (size_t)head, fmt, args);
	va_end(args);
	return head + tail < (int)HTTP_URL ? 0 : err_sys(err, ENAMETOOLONG, "%.80s…", url);
}

bool registry_is_transient(long status)
{
	return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
	       status == 504;
}

int registry_wait(const struct registry *r, unsigned n, unsigned asked_s, struct err *err)
{
	struct progress *progress = r->options.progress;
	uint64_t ms = n < 16 ? (uint64_t)FIRST_WAIT_MS << (n - 1) : LAST_WAIT_MS;
	struct pollfd cancelled = {.fd = progress != NULL ? progress->fd : -1, .events = POLLIN};

	ms = u64_min(ms, LAST_WAIT_MS);
	if (asked_s > 0)
		ms = u64_min((uint64_t)asked_s * 1000, LONGEST_WAIT);
	(void)poll(&cancelled, 1, (int)ms);
	return progress_check(progress, err);
}

int registry_follow(const char *url, const char *location, char to[HTTP_URL], struct err *err)
{
	char origin[HTTP_URL];

	http_origin(url, origin);
	if (location[0] == '\0' || !http_resolve(url, location, to))
		return err_set(err, ERR_FAILED, "%s: it answers with a Location that leads nowhere",
			       origin);
	if (strncmp(url, "https://", 8) == 0 && strncmp(to, "https://", 8) != 0)
		return err_set(err, ERR_FAILED,
			       "%s: it leads from https to %.200s, which is not followed", origin,
			       to);
	return 0;
}

/* The first of the errors in a body, "CODE: message"; "" when there is none. */
static void error_text(const struct buf *body, char text[256])
{
	cleanup_json json_t *json = NULL;
	json_t *first;

	text[0] = '\0';
	if (body->len == 0)
		return;
	json = json_parse(body->data, body->len, NULL);
	first = json_array_get(json_object_get(json, "errors"), 0);
	if (first != NULL) {
		const char *code = json_string_value(json_object_get(first, "code"));
		const char *message = json_string_value(json_object_get(first, "message"));

		snprintf(text, 256, ": %.60s%s%.160s", code != NULL ? code : "",
			 message != NULL && message[0] != '\0' ? ": " : "",
			 message != NULL ? message : "");
	}
}

/* `unknown` is what a 401 means. */
static int refused_as(const char *url, const struct http_response *response, const char *what,
		      const char *unknown, struct err *err)
{
	char origin[HTTP_URL], text[256];

	http_origin(url, origin);
	error_text(&response->body, text);
	if (response->status == 404) {
		err_set(err, ERR_NOT_FOUND, "%s: %s: not found%s", origin, what, text);
		return -ENOENT;
	}
	err_set(err, ERR_FAILED, "%s: %s: status %ld%s%s", origin, what, response->status, text,
		response->status == 401 ? unknown : "");
	if (response->status == 401 || response->status == 403)
		return -EACCES;
	return registry_is_transient(response->status) ? -EAGAIN : -EINVAL;
}

int registry_refused(const char *url, const struct http_response *response, const char *what,
		     struct err *err)
{
	return refused_as(url, response, what, " (torpor login?)", err);
}

/* Of a call with the credentials that were given or found. */
static int login_refused(const struct registry *r, const char *url,
			 const struct http_response *response, const char *what, struct err *err)
{
	return refused_as(url, response, what,
			  r->options.credentials != NULL ? ": the user or the password is refused"
							 : " (torpor login?)",
			  err);
}

static void scope_of(const struct registry *r, const char *mount_from, char scope[SCOPE_SIZE])
{
	if (r->options.actions == NULL || r->no_registry)
		scope[0] = '\0';
	else if (mount_from != NULL)
		snprintf(scope, SCOPE_SIZE, "repository:%s:%s repository:%s:pull",
			 r->ref.repository, r->options.actions, mount_from);
	else
		snprintf(scope, SCOPE_SIZE, "repository:%s:%s", r->ref.repository,
			 r->options.actions);
}

/* Locked. The place of a scope's token: its own, a free one, or the oldest. */
static struct token *token_place(struct registry *r, const char *scope)
{
	struct token *oldest = &r->tokens[0];

	for (size_t i = 0; i < TOKENS; i++) {
		if (strcmp(r->tokens[i].scope, scope) == 0)
			return &r->tokens[i];
		if (r->tokens[i].serial < oldest->serial)
			oldest = &r->tokens[i];
	}
	return oldest;
}

/* Locked. What can be shown without asking; `pass->header` stays "" when there is nothing. */
static void pass_from_cache(struct registry *r, const char *scope, struct pass *pass)
{
	const struct token *token = token_place(r, scope);

	pass->header[0] = '\0';
	pass->serial = 0;
	if (r->challenge.kind == AUTH_BASIC && r->has_credentials) {
		(void)credentials_basic(&r->credentials, pass->header, sizeof(pass->header));
		pass->serial = r->serial;
	} else if (r->challenge.kind == AUTH_BEARER && token->text != NULL &&
		   strcmp(token->scope, scope) == 0 && clock_monotonic_ns() < token->until_ns) {
		snprintf(pass->header, sizeof(pass->header), "Bearer %s", token->text);
		pass->serial = token->serial;
	}
}

/* A token server must be one that may see a password. */
static int check_realm(const struct registry *r, const char *realm, struct err *err)
{
	char url[HTTP_URL];

	if (!http_resolve(r->base, realm, url) || strcmp(realm, url) != 0)
		return err_set(err, ERR_FAILED, "%s: its token server '%.200s' is no URL", r->base,
			       realm);
	if (strncmp(r->base, "https://", 8) == 0 && strncmp(url, "https://", 8) != 0)
		return err_set(err, ERR_FAILED,
			       "%s: its token server %.200s is not https: nothing is sent there",
			       r->base, url);
	if (http_is_open(url) && !r->options.plain_http)
		return err_set(err, ERR_FAILED,
			       "%s: its token server %.200s is http on another host: nothing is "
			       "sent there without --plain-http",
			       r->base, url);
	return 0;
}

/* Ask the token server. It follows no redirects and gets nothing but this. */
static int fetch_token(struct registry *r, struct http *http, const char *scope,
		       char token[HTTP_SECRET], uint64_t *seconds, struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	cleanup_buf struct buf url = {0}, form = {0};
	char basic[HTTP_SECRET] = "";
	struct http_request request = {.method = "GET"};
	int ret = check_realm(r, r->challenge.realm, err);

	if (ret < 0)
		return ret;
	if (r->has_credentials && r->credentials.identity) {
		ret = auth_token_form(&form, &r->challenge, scope, &r->credentials, err);
		request.method = "POST";
		request.url = r->challenge.realm;
		request.content_type = "application/x-www-form-urlencoded";
		request.data = form.data;
		request.data_len = form.len > 0 ? form.len - 1 : 0;
	} else {
		ret = auth_token_url(&url, &r->challenge, scope, err);
		request.url = (const char *)url.data;
		if (ret == 0 && r->has_credentials &&
		    credentials_basic(&r->credentials, basic, sizeof(basic)))
			request.authorization = basic;
	}
	for (unsigned n = 1; ret == 0; n++) {
		ret = http_exchange(http, &request, &response, err);
		if (ret == 0 && response.status == 200)
			break;
		if (ret == 0 && !registry_is_transient(response.status))
			ret = login_refused(r, request.url, &response, "ask for a token", err);
		else if (n >= r->options.attempts)
			ret = ret < 0 ? ret
				      : registry_refused(request.url, &response, "ask for a token",
							 err);
		else if (ret == 0 || ret == -EAGAIN)
			ret = registry_wait(r, n, response.retry_after_s, err);
	}
	explicit_bzero(basic, sizeof(basic));
	if (form.data != NULL)
		explicit_bzero(form.data, form.len);
	if (ret < 0)
		return ret;
	ret = auth_parse_token(&response.body, token, seconds, err);
	return ret < 0 ? err_context(err, ret, "%s", r->challenge.realm) : 0;
}

/* Locked. Answer a challenge, unless another thread has done so since `pass` was made. */
static int renew(struct registry *r, struct http *http, const char *scope, struct pass *pass,
		 struct err *err)
{
	struct token *token = token_place(r, scope);
	char text[HTTP_SECRET];
	uint64_t seconds;
	int ret;

	if (r->challenge.kind == AUTH_BASIC) {
		r->serial++;
		pass_from_cache(r, scope, pass);
		return 0;
	}
	if (token->text != NULL && strcmp(token->scope, scope) == 0 &&
	    token->serial > pass->serial) {
		pass_from_cache(r, scope, pass);
		if (pass->header[0] != '\0')
			return 0;
	}
	ret = fetch_token(r, http, scope, text, &seconds, err);
	if (ret < 0)
		return ret;
	if (token->text != NULL)
		explicit_bzero(token->text, strlen(token->text));
	free(token->text);
	strcpy(token->scope, scope);
	token->text = strdup(text);
	token->serial = ++r->serial;
	token->until_ns = clock_monotonic_ns() + seconds * NS_PER_SECOND;
	if (seconds * NS_PER_SECOND > 2 * TOKEN_SPARE_NS)
		token->until_ns -= TOKEN_SPARE_NS;
	snprintf(pass->header, sizeof(pass->header), "Bearer %s", text);
	pass->serial = token->serial;
	explicit_bzero(text, sizeof(text));
	return token->text != NULL ? 0 : err_sys(err, ENOMEM, "keep a token");
}

/* A 401 of the registry itself. Returns 1 when there is something new to show, 0 when there is
 * nothing that would help. */
static int answer_challenge(struct registry *r, struct http *http, const char *scope,
			    const struct http_response *response, struct pass *pass,
			    struct err *err)
{
	struct auth_challenge challenge;
	int ret = 0;

	auth_parse_challenge(&challenge, response->challenge);
	if (challenge.kind == AUTH_NONE || (challenge.kind == AUTH_BASIC && !r->has_credentials) ||
	    (challenge.kind != AUTH_BASIC && r->no_registry))
		return 0;
	pthread_mutex_lock(&r->lock);
	r->challenge = challenge;
	ret = renew(r, http, scope[0] != '\0' ? scope : challenge.scope, pass, err);
	pthread_mutex_unlock(&r->lock);
	if (ret < 0)
		return ret;
	return pass->header[0] != '\0';
}

static void first_pass(struct registry *r, const char *scope, struct pass *pass)
{
	pthread_mutex_lock(&r->lock);
	pass_from_cache(r, scope, pass);
	pthread_mutex_unlock(&r->lock);
}

static bool is_redirect(const struct http_request *q, long status)
{
	if (status == 307 || status == 308)
		return true;
	return (status == 301 || status == 302 || status == 303) &&
	       (strcmp(q->method, "GET") == 0 || strcmp(q->method, "HEAD") == 0);
}

/* One attempt: from the URL of the caller, through redirects and challenges. */
static int attempt(struct registry *r, struct http *http, const struct registry_request *request,
		   const char *scope, struct http_response *response, struct err *err)
{
	struct http_request q = request->http;
	char url[HTTP_URL], next[HTTP_URL];
	bool answered = false;
	struct pass pass;
	int ret;

	first_pass(r, scope, &pass);
	snprintf(url, sizeof(url), "%s", q.url);
	q.url = url;
	for (unsigned hops = 0; hops <= REDIRECTS;) {
		bool home = http_same_origin(url, r->base);

		q.authorization = home && pass.header[0] != '\0' ? pass.header : NULL;
		ret = http_exchange(http, &q, response, err);
		if (ret < 0)
			break;
		if (response->status == 401 && home && !answered) {
			answered = true;
			ret = answer_challenge(r, http, scope, response, &pass, err);
			if (ret <= 0)
				break;
			continue;
		}
		if (!is_redirect(&q, response->status)) {
			ret = 0;
			break;
		}
		ret = registry_follow(url, response->location, next, err);
		if (ret < 0)
			break;
		strcpy(url, next);
		if (++hops > REDIRECTS)
			ret = err_set(err, ERR_FAILED, "%s: more than %u redirects", r->base,
				      REDIRECTS);
	}
	if (request->answered_by != NULL)
		strcpy(request->answered_by, url);
	explicit_bzero(&pass, sizeof(pass));
	return ret;
}

int registry_call(struct registry *r, struct http *http, const struct registry_request *request,
		  struct http_response *response, struct err *err)
{
	char scope[SCOPE_SIZE];

	scope_of(r, request->mount_from, scope);
	for (unsigned n = 1;; n++) {
		int ret = attempt(r, http, request, scope, response, err);

		if (ret == 0 && !registry_is_transient(response->status))
			return 0;
		if (ret < 0 && ret != -EAGAIN)
			return ret;
		if (request->once || n >= r->options.attempts)
			return ret;
		ret = registry_wait(r, n, response->retry_after_s, err);
		if (ret < 0)
			return ret;
	}
}

void registry_version_name(const struct registry *r, const char *version, char name[HTTP_URL])
{
	snprintf(name, HTTP_URL, "%s%c%s", r->ref.repository,
		 strchr(version, ':') != NULL ? '@' : ':', version);
}

int registry_get(struct registry *r, struct http *http, const char *kind, const char *name,
		 const char *accept, struct http_response *response, struct err *err)
{
	struct registry_request request = {.http = {.method = "GET", .accept = accept}};
	char url[HTTP_URL], shown[HTTP_URL];
	int ret = registry_url(r, url, err, "%s/%s", kind, name);

	if (ret < 0)
		return ret;
	request.http.url = url;
	ret = registry_call(r, http, &request, response, err);
	if (ret < 0)
		return ret;
	if (response->status == 200)
		return 0;
	registry_version_name(r, name, shown);
	return registry_refused(url, response, shown, err);
}

int registry_check(struct registry *r, struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	cleanup_http struct http *http = NULL;
	struct registry_request request = {.http = {.method = "GET"}};
	char url[sizeof(r->base) + 8];
	int ret = registry_http(r, &http, err);

	if (ret < 0)
		return ret;
	snprintf(url, sizeof(url), "%s/v2/", r->base);
	request.http.url = url;
	ret = registry_call(r, http, &request, &response, err);
	if (ret < 0)
		return ret;
	/* A web server without a registry, which has taken them all the same. */
	if (response.status == 404 && r->challenge.kind == AUTH_BASIC)
		return 0;
	return response.status == 200 ? 0 : login_refused(r, url, &response, "log in", err);
}
