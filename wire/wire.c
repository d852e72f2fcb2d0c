/* See wire.h. */
#include "wire/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "format/chain.h"
#include "wire/wire_internal.h"

#define SILENCE_S 15u

static bool is_url(const char *source)
{
	return strncmp(source, "https://", 8) == 0 || strncmp(source, "http://", 7) == 0;
}

bool wire_is_source(const char *source)
{
	return reference_is_remote(source) || is_url(source);
}

/* Those that it stands on, down to one that the store has. */
static int add_parents(struct opening *o, struct err *err)
{
	char parent[DIGEST_TEXT_SIZE], path[PATH_MAX], tag[REGISTRY_PARENT_TAG];

	while (o->nmanifests <= CHAIN_MAX) {
		int ret = opening_parent(o, parent, err);

		if (ret < 0 || parent[0] == '\0')
			return ret;
		if (cas_find_identity(&o->cas, parent, path, NULL) == 0)
			return cas_hold(path, err);
		registry_parent_tag(tag, parent);
		ret = opening_add_image(o, tag, err);
		if (ret == -ENOENT) {
			err_clear(err);
			strcpy(o->wire->missing, parent);
			return 0;
		}
		if (ret < 0)
			return err_context(err, ret, "parent %s", parent);
		if (strcmp(o->manifest[o->nmanifests - 1].config.digest, parent) != 0)
			return err_set(err, ERR_INTEGRITY, "%s is another appliance, %s", tag,
				       o->manifest[o->nmanifests - 1].config.digest);
	}
	return err_set(err, ERR_INTEGRITY, "it stands on more than %u files", CHAIN_MAX);
}

/* The store has had all of it: under another name, or for another image. */
static int open_stored(struct opening *o, struct err *err)
{
	const char *digest = o->manifest[0].self.digest;
	int ret = 0;

	if (o->options->signatures)
		ret = referrers_pull(o->registry, o->http, &o->cas, digest, err);
	if (ret == 0)
		ret = cas_image_path(&o->cas, digest, o->wire->path, err);
	if (ret == 0)
		ret = cas_hold(o->wire->path, err);
	if (ret == 0 && o->options->accept != NULL)
		ret = o->options->accept(o->options->accept_opaque, o->wire->path, err);
	return ret < 0 ? ret : registry_name(&o->cas, &o->ref, &o->manifest[0], err);
}

/* What the download is told of the images; those that others stand on first. */
static struct download_image *describe_images(const struct opening *o)
{
	struct download_image *image = calloc(o->nmanifests + 1, sizeof(*image));

	for (size_t i = 0; image != NULL && i < o->nmanifests; i++) {
		const struct registry_manifest *m = &o->manifest[o->nmanifests - 1 - i];

		image[i] = (struct download_image){
			.self = m->self, .blob = m->blob, .nblobs = m->nblobs};
	}
	return image;
}

static void connect_members(const struct opening *o)
{
	struct wire *w = o->wire;

	for (size_t i = 0; i < o->nplaces; i++) {
		const struct opening_place *place = &o->place[i];

		w->image[place->image].member[place->member].blob.arrival =
			arrivals_file(w->arrivals, (uint32_t)place->file);
	}
	if (w->whole.fd >= 0)
		w->whole.arrival = arrivals_file(w->arrivals, 0);
}

static void waits_begin(struct opening *o, const char *host)
{
	const struct wire_wait wait = {.progress = &o->progress, .host = host};

	o->waiting = o->options->waits != NULL;
	if (o->waiting)
		o->options->waits(o->options->waits_opaque, &wait);
}

static void waits_end(struct opening *o, bool failed)
{
	if (o->waiting)
		o->options->waits_over(o->options->waits_opaque, failed);
	o->waiting = false;
}

/* From here on there is one thread, and a progress that is not cancelled. */
static int end_threads(struct opening *o, struct err *err)
{
	pool_end(take_ptr(o->pool));
	waits_end(o, false);
	if (!progress_is_cancelled(&o->progress))
		return 0;
	progress_free(&o->progress);
	return progress_init(&o->progress, err);
}

/* The download alone writes: a machine that a guest has taken over changes nothing in the store. */
static int make_read_only(int fd, struct err *err)
{
	char path[40];
	cleanup_fd int other = -1;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = open(path, O_RDONLY | O_CLOEXEC);
	if (other < 0 || dup3(other, fd, O_CLOEXEC) < 0)
		return err_sys(err, errno, "open what arrives for reading");
	return 0;
}

static int make_all_read_only(const struct wire *w, struct err *err)
{
	int ret = w->whole.fd >= 0 ? make_read_only(w->whole.fd, err) : 0;

	for (size_t i = 0; i < w->nimages; i++) {
		for (size_t k = 0; ret == 0 && k < w->image[i].nmembers; k++)
			ret = make_read_only(w->image[i].member[k].blob.fd, err);
	}
	return ret;
}

static uint64_t missing_room(const struct download_file *file)
{
	struct stat st;
	uint64_t has = fstat(file->fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;

	return file->source.size > has ? file->source.size - has : 0;
}

/* A machine whose memory finds no room once it runs would be lost. */
static int reserve_room(const struct opening *o, struct err *err)
{
	uint64_t need = 0;
	struct statvfs fs;

	for (size_t i = 0; i < o->nfiles; i++)
		need += missing_room(&o->file[i]);
	if (fstatvfs(o->folder.folder, &fs) == 0 && fs.f_frsize > 0 &&
	    need / fs.f_frsize > fs.f_bavail)
		return err_set(err, ERR_FAILED, "%s: %llu MiB are to come, and %llu are free",
			       o->folder.path, (unsigned long long)(need / MIB(1)),
			       (unsigned long long)(fs.f_bavail * fs.f_frsize / MIB(1)));
	for (size_t i = 0; i < o->nfiles; i++) {
		const struct download_file *file = &o->file[i];
		int ret;

		do
			ret = fallocate(file->fd, 0, 0, (off_t)file->source.size);
		while (ret < 0 && errno == EINTR);
		/* Some file systems cannot. */
		if (ret < 0 && errno != EOPNOTSUPP && errno != ENOSYS)
			return err_sys(err, errno, "%s", o->folder.path);
	}
	return 0;
}

/* Before this one's own map is made: of two, only the later one leaves anything to the other. */
static void open_beside(struct opening *o)
{
	cas_beside_close(&o->beside);
	if (o->nmanifests > 0)
		cas_beside_find(&o->beside, &o->cas, &o->folder);
	for (size_t i = 0; i < o->nfiles; i++) {
		struct download_file *f = &o->file[i];

		f->beside_fd = -1;
		if (o->beside.map_fd < 0)
			continue;
		f->beside = cas_left_find(&o->beside.left, f->digest, f->source.size);
		if (f->beside != NULL)
			f->beside_fd = cas_beside_open(&o->beside, f->digest, f->source.size);
		if (f->beside_fd < 0)
			f->beside = NULL;
	}
}

static void close_files(struct opening *o)
{
	for (size_t i = 0; i < o->nfiles; i++) {
		if (o->file[i].beside != NULL)
			close(o->file[i].beside_fd);
	}
	free(o->file);
}

/* `have` bytes of the first file are there. */
static int start_download(struct opening *o, uint64_t have, struct err *err)
{
	cleanup_free struct download_image *image = describe_images(o);
	cleanup_arrivals struct arrivals *writer = NULL;
	struct download d = {
		.registry = o->registry,
		.progress = &o->progress,
		.file = o->file,
		.folder = &o->folder,
		.store = o->options->store,
		.ca_file = registry_ca_file(o->registry),
		.image = image,
		.nimages = o->nmanifests,
		.ref = o->nmanifests > 0 ? &o->ref : NULL,
		.named = o->manifest,
	};
	cleanup_fd int map_fd = -1;
	int ends[2], ret;

	if (image == NULL)
		return err_sys(err, ENOMEM, "start a download");
	if (o->nfiles == 0) {
		ret = download_put_images(&d, &o->cas, err);
		return ret < 0 ? ret : open_stored(o, err);
	}
	ret = end_threads(o, err);
	if (ret < 0)
		return ret;
	ret = reserve_room(o, err);
	if (ret == 0)
		open_beside(o);
	d.beside = o->beside.map_fd >= 0 ? &o->beside : NULL;
	if (ret == 0)
		ret = opening_make_map(o, &map_fd, &writer, err);
	if (ret < 0)
		return ret;
	arrival_mark(arrivals_file(writer, 0), 0, have);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(err, errno, "socketpair");
	d.set = writer;
	d.socket = ends[0];
	ret = download_start(&d, err);
	close(ends[0]);
	if (ret < 0) {
		close(ends[1]);
		return ret;
	}
	ret = arrivals_open(&o->wire->arrivals, map_fd, ends[1], err);
	if (ret == 0)
		ret = make_all_read_only(o->wire, err);
	if (ret < 0)
		return ret;
	connect_members(o);
	o->wire->lock = take_fd(&o->folder.lock);
	snprintf(o->wire->map_path, sizeof(o->wire->map_path), "%s/" CAS_ARRIVING_MAP,
		 o->folder.path);
	return 0;
}

static int open_image(struct opening *o, struct err *err)
{
	const struct reference *ref = &o->ref;
	int ret = registry_http(o->registry, &o->http, err);

	if (ret < 0)
		return ret;
	ret = pool_start(&o->pool, o->registry, &o->progress, true, err);
	if (ret < 0)
		return ret;
	ret = opening_add_image(o, ref->digest[0] != '\0' ? ref->digest : ref->tag, err);
	if (ret < 0)
		return ret;
	if (o->folder.folder < 0)
		return open_stored(o, err);
	if (o->options->signatures)
		ret = referrers_signatures(o->registry, o->http, o->manifest[0].self.digest,
					   &o->wire->signatures, err);
	if (ret == 0)
		ret = add_parents(o, err);
	if (ret < 0)
		return ret;
	ret = opening_list_members(o, err);
	return ret < 0 ? ret : start_download(o, 0, err);
}

static int open_url(struct opening *o, const char *url, struct err *err)
{
	uint64_t have = 0;
	int ret = registry_http(o->registry, &o->http, err);

	if (ret < 0)
		return ret;
	waits_begin(o, strstr(registry_base(o->registry), "://") + 3);
	ret = opening_add_url(o, url, &have, err);
	return ret < 0 ? ret : start_download(o, have, err);
}

static int open_source(struct opening *o, const char *source, struct err *err)
{
	struct registry_options options = o->options->registry;
	int ret;

	options.progress = &o->progress;
	options.actions = REGISTRY_PULL;
	if (options.silence_s == 0)
		options.silence_s = SILENCE_S;
	if (is_url(source)) {
		ret = registry_open_url(&o->registry, source, &options, err);
		return ret < 0 ? ret : open_url(o, source, err);
	}
	ret = reference_parse(&o->ref, source, err);
	if (ret == 0)
		ret = cas_check_ref(&o->ref, err);
	if (ret < 0)
		return ret;
	waits_begin(o, o->ref.host);
	ret = registry_open(&o->registry, &o->ref, &options, err);
	return ret < 0 ? ret : open_image(o, err);
}

static void opening_free(struct opening *o)
{
	pool_end(o->pool);
	waits_end(o, true);
	http_free(o->http);
	registry_close(o->registry);
	for (size_t i = 0; i < o->nmanifests; i++)
		registry_manifest_free(&o->manifest[i]);
	free(o->manifest);
	close_files(o);
	cas_beside_close(&o->beside);
	free(o->place);
	free(o->tail);
	cas_arriving_close(&o->folder);
	cas_close(&o->cas);
	progress_free(&o->progress);
}

int wire_open(struct wire **out, const char *source, const struct wire_options *options,
	      struct err *err)
{
	cleanup_wire struct wire *w = calloc(1, sizeof(*w));
	struct opening o = {
		.wire = w,
		.options = options,
		.cas = {.folder = -1, .lock = -1},
		.folder = {.folder = -1, .lock = -1},
		.beside = {.folder = -1, .map_fd = -1},
	};
	int ret;

	*out = NULL;
	if (w == NULL)
		return err_sys(err, ENOMEM, "%s", source);
	w->lock = w->whole.fd = -1;
	/* A peer that hangs up is an error of the write, not the end of this process. */
	signal(SIGPIPE, SIG_IGN);
	ret = progress_init(&o.progress, err);
	if (ret < 0)
		return ret;
	ret = cas_open(&o.cas, options->store, CAS_ADD, err);
	if (ret == 0)
		ret = open_source(&o, source, err);
	opening_free(&o);
	if (ret < 0)
		return err_context(err, ret, "%s", source);
	*out = take_ptr(w);
	return 0;
}

const struct wire_image *wire_image(const struct wire *w, const char *identity)
{
	for (size_t i = 0; i < w->nimages; i++) {
		if (strcmp(w->image[i].identity, identity) == 0)
			return &w->image[i];
	}
	return NULL;
}

void wire_close(struct wire *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < w->nimages; i++) {
		for (size_t k = 0; k < w->image[i].nmembers; k++) {
			free(w->image[i].member[k].name);
			close(w->image[i].member[k].blob.fd);
		}
		free(w->image[i].member);
	}
	free(w->image);
	signatures_free(&w->signatures);
	arrivals_free(w->arrivals);
	if (w->whole.fd >= 0)
		close(w->whole.fd);
	if (w->lock >= 0)
		close(w->lock);
	free(w);
}
