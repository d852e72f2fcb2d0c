/* One file from a web server: how long it is, its first bytes, and what is read of it early. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "base/tempfile.h"
#include "wire/places.h"
#include "wire/wire_internal.h"

/* What an appliance has in front: manifest, config, state, maps and hash lists. */
#define FRONT KIB(256)
/* After so many early ranges that did not come as they should, no more of them are asked for. */
#define PLACES_FAILED 4u

struct front {
	int fd;
	uint64_t size; /* of the file; 0: not known yet */
	uint64_t have;
	bool ranges; /* the server has them */
	int failed;  /* what ended it, for its caller; 0: nothing did */
};

static int begin_front(struct front *f, const struct http_response *response, struct err *err)
{
	uint64_t from, last;

	f->ranges = response->status == 206;
	if (!f->ranges)
		f->size = response->length;
	else if (!range_parse(response->content_range, &from, &last, &f->size) || from != 0 ||
		 f->size == UINT64_MAX)
		f->size = 0;
	if (f->size > 0 && f->size <= ARRIVAL_MAX_BYTES)
		return 0;
	return err_set(err, ERR_FAILED, "the server does not say how long the file is");
}

static int on_front(void *opaque, const struct http_response *response, const void *data,
		    size_t len, struct err *err)
{
	struct front *f = opaque;
	uint64_t most = u64_min(FRONT, f->size), used;

	if (f->size == 0) {
		f->failed = begin_front(f, response, err);
		if (f->failed < 0)
			return f->failed;
		most = u64_min(FRONT, f->size);
	}
	used = u64_min(len, most - f->have);
	f->failed = io_pwrite(f->fd, data, used, f->have);
	if (f->failed < 0)
		return err_sys(err, -f->failed, "write what arrives");
	f->have += used;
	/* More than was asked for: the rest is not waited for. */
	return f->have < most || used == len ? 0 : -ENOBUFS;
}

/* As often as the session says: the first bytes must come before anything can begin. */
static int fetch_front(struct opening *o, struct range_source *source, struct front *front,
		       struct err *err)
{
	cleanup_http_response struct http_response response = {0};
	char url[HTTP_URL];
	struct registry_request request = {
		.once = true,
		.answered_by = url,
		.http = {.method = "GET",
			 .url = source->url,
			 .to = FRONT,
			 .sink = on_front,
			 .opaque = front},
	};

	for (unsigned n = 1;; n++) {
		int ret;

		progress_expect(&o->progress, FRONT);
		front->have = front->size = 0;
		ret = registry_call(o->registry, o->http, &request, &response, err);
		if (front->failed < 0)
			return front->failed;
		if (front->size > 0 && front->have == u64_min(FRONT, front->size)) {
			strcpy(source->etag, response.etag);
			if (strcmp(url, source->url) != 0)
				strcpy(source->direct, url);
			source->size = front->size;
			return 0;
		}
		if (ret == 0 && response.status != 200 && response.status != 206)
			ret = registry_refused(source->url, &response, "fetch it", err);
		else if (ret == 0)
			ret = err_sys(err, EAGAIN, "%s: the answer was too short",
				      registry_base(o->registry));
		if (ret != -EAGAIN || n >= registry_attempts(o->registry))
			return ret;
		ret = registry_wait(o->registry, n, response.retry_after_s, err);
		if (ret < 0)
			return ret;
	}
}

/* What is fetched by early ranges of the one file. */
struct early {
	struct opening *o;
	struct places places;
	atomic_uint failed; /* places that did not come */
};

static int fetch_place(void *opaque, struct http *http, size_t index, struct err *err)
{
	struct early *e = opaque;
	struct opening *o = e->o;
	struct place *place = &e->places.item[index];
	struct range_fetch f = {
		.registry = o->registry,
		.http = http,
		.source = o->file->source,
		.fd = o->file->fd,
		.progress = &o->progress,
		.from = place->from,
		.to = place->to,
		.silence_s = OPTIONAL_SILENCE_S,
	};

	(void)err;
	if (atomic_load(&e->failed) >= PLACES_FAILED)
		return 0;
	progress_expect(&o->progress, place->to - place->from);
	place->came = range_fetch(&f, NULL) == RANGE_CAME && f.at == f.to;
	if (!place->came)
		atomic_fetch_add(&e->failed, 1);
	return 0;
}

static int fetch_places(struct early *e, struct err *err)
{
	struct opening *o = e->o;
	int ret = pool_start(&o->pool, o->registry, &o->progress, false, err);

	if (ret == 0)
		ret = pool_run(o->pool, o->http, e->places.count, fetch_place, e, err);
	for (size_t i = 0; ret == 0 && i < e->places.count; i++) {
		const struct place *place = &e->places.item[i];

		if (place->came)
			ret = opening_note_end(o, "", place->from, place->to, err);
	}
	return ret;
}

/* What a machine reads while it is made, as far as the first `have` bytes say where that lies. What does
 * not come is nobody's error: the download asks for it, and says what is wrong. */
static int fetch_early(struct opening *o, uint64_t have, struct err *err)
{
	struct early e = {.o = o};
	int ret = places_find(&e.places, o->file->fd, have, o->file->source.size, err);

	if (ret == 0 && e.places.count > 0)
		ret = fetch_places(&e, err);
	places_free(&e.places);
	return ret;
}

int opening_add_url(struct opening *o, const char *url, uint64_t *have, struct err *err)
{
	struct front front = {.fd = -1};
	int ret = cas_arriving_take(&o->folder, &o->cas, NULL, err);

	if (ret < 0)
		return ret;
	o->file = calloc(1, sizeof(o->file[0]));
	if (o->file == NULL)
		return err_sys(err, ENOMEM, "fetch %s", url);
	if (!http_resolve(url, url, o->file->source.url))
		return err_set(err, ERR_USAGE, "'%.200s' is no URL of http or https", url);
	front.fd = tempfile_unnamed(o->folder.path, err);
	if (front.fd < 0)
		return front.fd;
	o->wire->whole.fd = o->file->fd = front.fd;
	ret = fetch_front(o, &o->file->source, &front, err);
	if (ret < 0)
		return ret;
	if (ftruncate(front.fd, (off_t)front.size) < 0)
		return err_sys(err, errno, "%s", o->folder.path);
	o->wire->whole.len = front.size;
	o->nfiles = 1;
	*have = front.have;
	return front.ranges ? fetch_early(o, front.have, err) : 0;
}
