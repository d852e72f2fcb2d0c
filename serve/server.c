/* See server.h. Requests are answered on libmicrohttpd's threads. */
#include "serve/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/num.h"
#include "format/oci_index.h"
#include "serve/microhttpd_api.h"
#include "serve/peers.h"
#include "serve/route.h"

#define JSON_TYPE "application/json"

#define TLS_HANDSHAKE 22 /* a record's type (RFC 8446, 5.1) */
#define FIRST_BYTES_S 10 /* how long the kernel waits for them */

struct server {
	const struct microhttpd_api *http;
	struct server_options options;
	struct MHD_Daemon *daemon;
	struct peers *peers;
	int wake_fd;
};

/* What the log says of a request. */
struct record {
	char method[16], path[1024], range[64];
	unsigned status;
	uint64_t bytes; /* of the body that is sent */
};

/* One request. */
struct exchange {
	struct server *s;
	struct record *record; /* NULL: nobody wants to know */
	const struct microhttpd_api *http;
	struct MHD_Connection *connection;
	const struct route *route;
};

static const char *header(const struct exchange *x, const char *name)
{
	return x->http->lookup_value(x->connection, MHD_HEADER_KIND, name);
}

/* Send a response, and let go of it. */
static enum MHD_Result send_response(const struct exchange *x, unsigned status,
				     struct MHD_Response *response)
{
	enum MHD_Result ret;

	if (response == NULL)
		return MHD_NO;
	if (x->record != NULL)
		x->record->status = status;
	(void)x->http->add_header(response, "Docker-Distribution-API-Version", "registry/2.0");
	(void)x->http->add_header(response, "X-Content-Type-Options", "nosniff");
	ret = x->http->queue_response(x->connection, status, response);
	x->http->destroy_response(response);
	return ret;
}

static void note_bytes(const struct exchange *x, uint64_t bytes)
{
	if (x->record != NULL && strcmp(x->record->method, MHD_HTTP_METHOD_HEAD) != 0)
		x->record->bytes = bytes;
}

static struct MHD_Response *text_response(const struct exchange *x, const struct buf *text,
					  const char *type)
{
	struct MHD_Response *response = NULL;

	note_bytes(x, text->len);
	if (!buf_failed(text))
		response =
			x->http->response_from_buffer(text->len, text->data, MHD_RESPMEM_MUST_COPY);
	if (response != NULL)
		(void)x->http->add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	return response;
}

/* Takes `json`. */
static enum MHD_Result send_json(const struct exchange *x, unsigned status, json_t *json,
				 const char *type, const char *name, const char *value)
{
	cleanup_buf struct buf text = {0};
	struct MHD_Response *response = NULL;

	if (json != NULL && json_write(json, &text, NULL) == 0)
		response = text_response(x, &text, type);
	json_decref(json);
	if (response != NULL && name != NULL)
		(void)x->http->add_header(response, name, value);
	return send_response(x, status, response);
}

/* Distribution 1.1, "Error Codes". */
static enum MHD_Result refuse(const struct exchange *x, unsigned status, const char *code,
			      const char *message)
{
	json_t *json = json_pack("{s:[{s:s,s:s}]}", "errors", "code", code, "message", message);

	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		return send_json(x, status, json, JSON_TYPE, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	return send_json(x, status, json, JSON_TYPE, NULL, NULL);
}

/* Something was not found, or could not be read: what that is on this host is nobody's business. */
static enum MHD_Result fail(const struct exchange *x, int ret, const char *code, const char *what,
			    const struct err *err)
{
	struct server *s = x->s;

	if (ret == -ENOENT) {
		bool named = x->route->repository[0] == '\0' ||
			     catalog_has_repository(s->options.catalog, x->route->repository);

		return named ? refuse(x, MHD_HTTP_NOT_FOUND, code, what)
			     : refuse(x, MHD_HTTP_NOT_FOUND, "NAME_UNKNOWN",
				      "there is no such repository");
	}
	s->options.report(s->options.opaque, err->text);
	return refuse(x, MHD_HTTP_INTERNAL_SERVER_ERROR, "UNKNOWN", "it cannot be read here");
}

/* Whether one of the entity tags in a header is this one. */
static bool names_entity(const char *list, const char *tag)
{
	return list != NULL && (strcmp(list, "*") == 0 || strstr(list, tag) != NULL);
}

static struct MHD_Response *item_response(const struct exchange *x, struct catalog_item *item,
					  const struct route_range *range)
{
	struct MHD_Response *response;

	if (range->len == 0) {
		close(item->fd);
		return x->http->response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
	}
	response = x->http->response_from_fd(range->len, item->fd, item->offset + range->from);
	if (response == NULL)
		close(item->fd);
	return response;
}

/* Takes the item. */
static enum MHD_Result send_item(const struct exchange *x, struct catalog_item *item)
{
	const char *wanted = header(x, MHD_HTTP_HEADER_RANGE);
	const char *if_range = header(x, MHD_HTTP_HEADER_IF_RANGE);
	struct route_range range = {0, item->len};
	struct MHD_Response *response;
	char text[80];
	int status;

	/* What was begun is another thing now. */
	if (if_range != NULL && strcmp(if_range, item->entity_tag) != 0)
		wanted = NULL;
	if (x->route->kind == ROUTE_MANIFEST)
		wanted = NULL;
	status = route_range(&range, wanted, item->len);
	if (names_entity(header(x, MHD_HTTP_HEADER_IF_NONE_MATCH), item->entity_tag))
		status = MHD_HTTP_NOT_MODIFIED;
	if (status == 416 || status == MHD_HTTP_NOT_MODIFIED)
		range.len = 0;
	note_bytes(x, range.len);
	response = item_response(x, item, &range);
	if (response == NULL)
		return MHD_NO;
	if (status == 206)
		snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)range.from,
			 (unsigned long long)(range.from + range.len - 1),
			 (unsigned long long)item->len);
	else
		snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)item->len);
	if (status == 206 || status == 416)
		(void)x->http->add_header(response, MHD_HTTP_HEADER_CONTENT_RANGE, text);
	if (x->route->kind != ROUTE_MANIFEST)
		(void)x->http->add_header(response, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
	if (status != 416)
		(void)x->http->add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, item->media_type);
	(void)x->http->add_header(response, MHD_HTTP_HEADER_ETAG, item->entity_tag);
	if (item->digest[0] != '\0')
		(void)x->http->add_header(response, "Docker-Content-Digest", item->digest);
	return send_response(x, (unsigned)status, response);
}

static enum MHD_Result answer_item(const struct exchange *x)
{
	struct catalog *c = x->s->options.catalog;
	const struct route *r = x->route;
	struct catalog_item item;
	struct err err = {0};
	const char *code = "BLOB_UNKNOWN", *what = "there is no such blob";
	int ret;

	switch (r->kind) {
	case ROUTE_MANIFEST:
		ret = catalog_manifest(c, r->repository, r->tag, r->digest, &item, &err);
		code = "MANIFEST_UNKNOWN";
		what = ret == -ENOENT && r->tag[0] != '\0' ? err.text : "there is no such manifest";
		break;
	case ROUTE_BLOB:
		ret = catalog_blob(c, r->repository, r->digest, &item, &err);
		break;
	default:
		ret = catalog_file(c, r->file, &item, &err);
		what = "there is no such file";
		break;
	}
	return ret < 0 ? fail(x, ret, code, what, &err) : send_item(x, &item);
}

/* A query's value without its percent signs; "" when it is not there. False when it is malformed. */
static bool query(const struct exchange *x, const char *name, char *text, size_t size)
{
	const char *value = x->http->lookup_value(x->connection, MHD_GET_ARGUMENT_KIND, name);

	text[0] = '\0';
	if (value == NULL)
		return true;
	if (strlen(value) >= size)
		return false;
	strcpy(text, value);
	return route_unescape(text);
}

/* What the query asks for of a list: `max` names behind `last`. False when it is malformed. */
static bool query_page(const struct exchange *x, char last[NAME_MAX + 1], size_t *max)
{
	char number[16];

	if (!query(x, "n", number, sizeof(number)) || !query(x, "last", last, NAME_MAX + 1) ||
	    strspn(number, "0123456789") != strlen(number))
		return false;
	*max = number[0] != '\0' ? strtoull(number, NULL, 10) : CATALOG_NAMES;
	return true;
}

static json_t *names_json(const struct catalog_names *names)
{
	json_t *list = json_array();

	for (size_t i = 0; i < names->count; i++)
		json_array_append_new(list, json_string(names->item[i]));
	return list;
}

/* Distribution 1.1, "Listing Tags", and docker's registry for repositories: a page, and where the next
 * one is. */
static enum MHD_Result send_page(const struct exchange *x, const struct catalog_names *names,
				 const char *path, json_t *json)
{
	char link[1024];

	if (!names->more || names->count == 0)
		return send_json(x, MHD_HTTP_OK, json, JSON_TYPE, NULL, NULL);
	snprintf(link, sizeof(link), "</v2/%s?n=%zu&last=%s>; rel=\"next\"", path, names->count,
		 names->item[names->count - 1]);
	return send_json(x, MHD_HTTP_OK, json, JSON_TYPE, MHD_HTTP_HEADER_LINK, link);
}

static enum MHD_Result answer_tags(const struct exchange *x)
{
	cleanup_catalog_names struct catalog_names tags = {0};
	char last[NAME_MAX + 1], path[1024];
	struct err err = {0};
	size_t max;
	int ret;

	if (!query_page(x, last, &max))
		return refuse(x, MHD_HTTP_BAD_REQUEST, "UNSUPPORTED",
			      "n is no number, or last no tag");
	ret = catalog_tags(x->s->options.catalog, x->route->repository, last, max, &tags, &err);
	if (ret == 0 && tags.count == 0 &&
	    !catalog_has_repository(x->s->options.catalog, x->route->repository))
		ret = -ENOENT;
	if (ret < 0)
		return fail(x, ret, "NAME_UNKNOWN", "there is no such repository", &err);
	snprintf(path, sizeof(path), "%s/tags/list", x->route->repository);
	return send_page(
		x, &tags, path,
		json_pack("{s:s,s:o}", "name", x->route->repository, "tags", names_json(&tags)));
}

static enum MHD_Result answer_catalog(const struct exchange *x)
{
	cleanup_catalog_names struct catalog_names names = {0};
	char last[NAME_MAX + 1];
	struct err err = {0};
	size_t max;
	int ret;

	if (!query_page(x, last, &max))
		return refuse(x, MHD_HTTP_BAD_REQUEST, "UNSUPPORTED",
			      "n is no number, or last no repository");
	ret = catalog_repositories(x->s->options.catalog, last, max, &names, &err);
	if (ret < 0)
		return fail(x, ret, "NAME_UNKNOWN", "there is no such repository", &err);
	return send_page(x, &names, "_catalog",
			 json_pack("{s:o}", "repositories", names_json(&names)));
}

/* For people: all there is, as far as a page goes. */
static enum MHD_Result answer_root(const struct exchange *x)
{
	cleanup_catalog_names struct catalog_names names = {0}, files = {0};
	struct catalog *c = x->s->options.catalog;
	struct err err = {0};
	int ret = catalog_repositories(c, "", CATALOG_NAMES, &names, &err);

	if (ret == 0)
		ret = catalog_files(c, "", CATALOG_NAMES, &files, &err);
	if (ret < 0)
		return fail(x, ret, "UNKNOWN", "there is nothing", &err);
	return send_json(x, MHD_HTTP_OK,
			 json_pack("{s:o,s:o}", "repositories", names_json(&names), "files",
				   names_json(&files)),
			 JSON_TYPE, NULL, NULL);
}

static enum MHD_Result answer_referrers(const struct exchange *x)
{
	char type[OCI_TYPE_SIZE];
	struct err err = {0};
	json_t *list;
	int ret;

	if (!query(x, "artifactType", type, sizeof(type)))
		return refuse(x, MHD_HTTP_BAD_REQUEST, "UNSUPPORTED", "that is no artifactType");
	/* A plus sign that was not escaped. */
	for (char *at = type; (at = strchr(at, ' ')) != NULL;)
		*at = '+';
	ret = catalog_referrers(x->s->options.catalog, x->route->digest, type, &list, &err);
	if (ret < 0) {
		json_decref(list);
		return fail(x, ret, "MANIFEST_UNKNOWN", "there is no such manifest", &err);
	}
	return send_json(x, MHD_HTTP_OK,
			 json_pack("{s:i,s:s,s:o}", "schemaVersion", 2, "mediaType", OCI_INDEX_TYPE,
				   "manifests", list),
			 OCI_INDEX_TYPE, type[0] != '\0' ? "OCI-Filters-Applied" : NULL,
			 "artifactType");
}

static bool is_read(const char *method)
{
	return strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
	       strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

static enum MHD_Result answer(const struct exchange *x, const char *method)
{
	const char *host = header(x, MHD_HTTP_HEADER_HOST);

	if (x->s->options.local && host != NULL && !reference_is_loopback(host))
		return refuse(x, MHD_HTTP_FORBIDDEN, "DENIED",
			      "it answers to localhost and loopback addresses alone");
	if (!is_read(method))
		return refuse(x, MHD_HTTP_METHOD_NOT_ALLOWED, "UNSUPPORTED", "it is read-only");
	switch (x->route->kind) {
	case ROUTE_BASE:
		return send_json(x, MHD_HTTP_OK, json_object(), JSON_TYPE, NULL, NULL);
	case ROUTE_MANIFEST:
	case ROUTE_BLOB:
	case ROUTE_FILE:
		return answer_item(x);
	case ROUTE_TAGS:
		return answer_tags(x);
	case ROUTE_CATALOG:
		return answer_catalog(x);
	case ROUTE_ROOT:
		return answer_root(x);
	case ROUTE_REFERRERS:
		return answer_referrers(x);
	case ROUTE_BAD_NAME:
		return refuse(x, MHD_HTTP_BAD_REQUEST, "NAME_INVALID", "that is no repository");
	case ROUTE_BAD_REFERENCE:
		return refuse(x, MHD_HTTP_BAD_REQUEST, "MANIFEST_INVALID", "that is no tag");
	case ROUTE_BAD_DIGEST:
		return refuse(x, MHD_HTTP_BAD_REQUEST, "DIGEST_INVALID",
			      "a digest is sha256: and 64 hex digits");
	case ROUTE_UPLOAD:
		return refuse(x, MHD_HTTP_METHOD_NOT_ALLOWED, "UNSUPPORTED", "it is read-only");
	case ROUTE_NOTHING:
		break;
	}
	return refuse(x, MHD_HTTP_NOT_FOUND, "UNSUPPORTED", "there is nothing at this path");
}

/* ---- libmicrohttpd's callbacks ---- */

static struct peer *peer_of(const struct server *s, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		s->http->connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info != NULL ? info->socket_context : NULL;
}

/* Of a request whose headers are there. Without memory it is not logged. */
static struct record *record_new(const struct server *s, struct MHD_Connection *connection,
				 const char *method, const char *url)
{
	struct record *r = s->options.log != NULL ? calloc(1, sizeof(*r)) : NULL;
	const char *range;

	if (r == NULL)
		return NULL;
	range = s->http->lookup_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_RANGE);
	snprintf(r->method, sizeof(r->method), "%s", method);
	snprintf(r->path, sizeof(r->path), "%s", url);
	snprintf(r->range, sizeof(r->range), "%s", range != NULL ? range : "-");
	return r;
}

static void record_log(const struct server *s, struct MHD_Connection *connection,
		       const struct record *r, bool cut)
{
	const union MHD_ConnectionInfo *info =
		s->http->connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *addr = info != NULL ? info->client_addr : NULL;
	char client[INET6_ADDRSTRLEN] = "-", line[sizeof(*r) + 128];

	if (addr != NULL && addr->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)addr)->sin_addr, client,
			  sizeof(client));
	else if (addr != NULL && addr->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)addr)->sin6_addr, client,
			  sizeof(client));
	snprintf(line, sizeof(line), "%s %s %s %u %llu %s%s", client, r->method, r->path, r->status,
		 (unsigned long long)r->bytes, r->range, cut ? " cut" : "");
	s->options.log(s->options.opaque, line);
}

/* What of a request is kept between two calls: its record, or anything when there is none. */
static enum MHD_Result on_request(void *opaque, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **request)
{
	struct server *s = opaque;
	struct route route;
	struct exchange x = {.s = s, .http = s->http, .connection = connection, .route = &route};

	(void)version;
	(void)upload;
	/* First the headers are there: an answer now ends the connection, so that no body is read. */
	if (*request == NULL) {
		peers_busy(s->peers, peer_of(s, connection));
		*request = record_new(s, connection, method, url);
		if (*request == NULL)
			*request = s;
		if (is_read(method))
			return MHD_YES;
	}
	if (*upload_size > 0) {
		*upload_size = 0;
		return MHD_YES;
	}
	if (*request != s)
		x.record = *request;
	route_parse(&route, url);
	return answer(&x, method);
}

static void on_completed(void *opaque, struct MHD_Connection *connection, void **request,
			 enum MHD_RequestTerminationCode how)
{
	struct server *s = opaque;

	if (*request != NULL && *request != s) {
		record_log(s, connection, *request, how != MHD_REQUEST_TERMINATED_COMPLETED_OK);
		free(*request);
		*request = NULL;
	}
	peers_waiting(s->peers, peer_of(s, connection));
}

/* A client that begins with TLS waits for an answer to that, and libmicrohttpd for the end of a line.
 * The kernel hands over connections with their first bytes (TCP_DEFER_ACCEPT). */
static void refuse_tls(int fd)
{
	static const char text[] = "HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\n"
				   "This server speaks http.\n";
	char first;

	if (recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1 || first != TLS_HANDSHAKE)
		return;
	(void)send(fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)shutdown(fd, SHUT_RDWR);
}

static void on_connection(void *opaque, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct server *s = opaque;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info =
			s->http->connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

		if (info == NULL)
			return;
		*context = peers_add(s->peers, info->connect_fd);
		refuse_tls(info->connect_fd);
	} else {
		peers_remove(s->peers, *context);
		*context = NULL;
	}
}

/* Percent signs are undone by route.c, which sees what they hide. */
static size_t leave_escapes(void *opaque, struct MHD_Connection *connection, char *text)
{
	(void)opaque;
	(void)connection;
	return strlen(text);
}

int server_load(struct err *err)
{
	return microhttpd_api(err) != NULL ? 0 : -EINVAL;
}

int server_start(struct server **out, const struct server_options *options, struct err *err)
{
	const struct microhttpd_api *http = microhttpd_api(err);
	struct server *s = http != NULL ? calloc(1, sizeof(*s)) : NULL;
	int ret;

	*out = NULL;
	if (http == NULL)
		return -EINVAL;
	if (s == NULL)
		return err_sys(err, ENOMEM, "serve");
	s->http = http;
	s->options = *options;
	(void)setsockopt(options->listen_fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &(int){FIRST_BYTES_S},
			 sizeof(int));
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0) {
		ret = err_sys(err, errno, "eventfd");
		free(s);
		return ret;
	}
	ret = peers_new(&s->peers, options->connections - options->connections / 8,
			options->patience_s * NS_PER_SECOND, s->wake_fd, err);
	if (ret == 0)
		s->daemon = http->start_daemon(
			MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO, 0, NULL, NULL, on_request, s,
			MHD_OPTION_LISTEN_SOCKET, options->listen_fd, MHD_OPTION_THREAD_POOL_SIZE,
			SERVER_THREADS, MHD_OPTION_CONNECTION_LIMIT, options->connections,
			MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)SERVER_HEADERS,
			MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
			on_connection, s, MHD_OPTION_UNESCAPE_CALLBACK, leave_escapes, s,
			MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	if (ret == 0 && s->daemon == NULL)
		ret = err_sys(err, errno != 0 ? errno : EINVAL, "start the server");
	if (ret < 0) {
		peers_free(s->peers);
		close(s->wake_fd);
		free(s);
		return ret;
	}
	*out = s;
	return 0;
}

int server_serve(struct server *s, int stop_fd, struct err *err)
{
	struct pollfd fds[2] = {{stop_fd, POLLIN, 0}, {s->wake_fd, POLLIN, 0}};
	eventfd_t count;

	for (;;) {
		/* Nobody's time can be over while there is nobody. */
		bool idle = peers_check(s->peers) == 0;
		int wait_ms = (int)u64_min(s->options.patience_s * UINT64_C(1000) / 4, 1000);
		int ready = poll(fds, 2, idle ? -1 : wait_ms);

		if (ready < 0 && errno != EINTR)
			return err_sys(err, errno, "poll");
		if (ready > 0 && fds[0].revents != 0)
			return 0;
		(void)eventfd_read(s->wake_fd, &count);
	}
}

void server_stop(struct server *s)
{
	if (s == NULL)
		return;
	s->http->stop_daemon(s->daemon);
	peers_free(s->peers);
	close(s->wake_fd);
	free(s);
}
