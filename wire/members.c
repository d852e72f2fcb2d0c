/* What a wire_open() gives: members of images, and files that arrive with their map. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "wire/wire_internal.h"

static int out_of_memory(struct err *err)
{
	return err_sys(err, ENOMEM, "list what arrives");
}

/* Takes `fd`. */
static int add_member(struct wire_image *image, const char *name, int fd, uint64_t len,
		      struct err *err)
{
	struct container_member *grown = array_grow(image->member, image->nmembers, sizeof(*grown));
	char *copy = strdup(name);

	if (grown != NULL)
		image->member = grown;
	if (grown == NULL || copy == NULL) {
		free(copy);
		close(fd);
		return out_of_memory(err);
	}
	grown[image->nmembers++] =
		(struct container_member){.name = copy, .blob = {.fd = fd, .len = len}};
	return 0;
}

static int add_text(struct wire_image *image, const char *name, const struct buf *text,
		    struct err *err)
{
	cleanup_fd int fd = memfd_create(name, MFD_CLOEXEC);
	int ret;

	if (buf_failed(text))
		return out_of_memory(err);
	if (fd < 0)
		return err_sys(err, errno, "memfd_create");
	ret = io_pwrite(fd, text->data, text->len, 0);
	if (ret < 0)
		return err_sys(err, -ret, "%s", name);
	return add_member(image, name, take_fd(&fd), text->len, err);
}

static int add_layout(struct wire_image *image, const struct oci_descriptor *manifest,
		      struct err *err)
{
	cleanup_buf struct buf layout = {0}, index = {0};
	int ret;

	oci_encode_layout(&layout);
	ret = oci_encode_index(manifest, &index, err);
	if (ret < 0)
		return ret;
	ret = add_text(image, OCI_LAYOUT_NAME, &layout, err);
	return ret < 0 ? ret : add_text(image, OCI_INDEX_NAME, &index, err);
}

static int add_place(struct opening *o, size_t image, size_t file, struct err *err)
{
	struct opening_place *grown = array_grow(o->place, o->nplaces, sizeof(*grown));

	if (grown == NULL)
		return out_of_memory(err);
	o->place = grown;
	grown[o->nplaces++] = (struct opening_place){
		.image = image, .member = o->wire->image[image].nmembers - 1, .file = file};
	return 0;
}

static size_t find_file(const struct opening *o, const char *digest)
{
	size_t i = 0;

	while (i < o->nfiles && strcmp(o->file[i].digest, digest) != 0)
		i++;
	return i;
}

static int add_file(struct opening *o, const struct oci_descriptor *d, int fd, struct err *err)
{
	struct download_file *grown = array_grow(o->file, o->nfiles, sizeof(*grown)), *file;

	if (grown == NULL)
		return out_of_memory(err);
	o->file = grown;
	file = &grown[o->nfiles];
	*file = (struct download_file){
		.source = {.has_digest = true, .size = d->size},
		.fd = fd,
		.first = strcmp(d->media_type, OCI_HOT_TYPE) == 0,
		.table = opening_table_of(d),
	};
	strcpy(file->digest, d->digest);
	o->nfiles++;
	return registry_url(o->registry, file->source.url, err, "blobs/%s", d->digest);
}

static int add_blob(struct opening *o, size_t image, const struct oci_descriptor *d,
		    struct err *err)
{
	cleanup_fd int fd = -1;
	char name[OCI_PATH_SIZE];
	struct stat st;
	bool whole;
	size_t index;
	int ret = cas_arriving_link(&o->folder, &o->cas, d->digest, d->size, err);

	if (ret < 0)
		return ret;
	fd = cas_arriving_open(&o->folder, d->digest, d->size, err);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s", o->folder.path);
	whole = (st.st_mode & 0200) == 0;
	index = find_file(o, d->digest);
	if (!whole && index == o->nfiles) {
		ret = add_file(o, d, fd, err);
		if (ret < 0)
			return ret;
	}
	oci_blob_path(d->digest, name);
	ret = add_member(&o->wire->image[image], name, take_fd(&fd), d->size, err);
	return ret < 0 || whole ? ret : add_place(o, image, index, err);
}

int opening_list_members(struct opening *o, struct err *err)
{
	struct wire *w = o->wire;

	w->image = calloc(o->nmanifests, sizeof(w->image[0]));
	if (w->image == NULL)
		return out_of_memory(err);
	for (size_t i = 0; i < o->nmanifests; i++) {
		const struct registry_manifest *m = &o->manifest[i];
		int ret;

		w->nimages++;
		strcpy(w->image[i].manifest, m->self.digest);
		strcpy(w->image[i].identity, m->config.digest);
		ret = add_layout(&w->image[i], &m->self, err);
		if (ret == 0)
			ret = add_blob(o, i, &m->self, err);
		for (size_t k = 0; ret == 0 && k < m->nblobs; k++)
			ret = add_blob(o, i, &m->blob[k], err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int write_list(const struct opening *o, struct err *err)
{
	cleanup_buf struct buf text = {0};
	cleanup_fd int fd = -1;
	int ret;

	for (size_t i = 0; i < o->nfiles; i++)
		buf_printf(&text, "%s\n", o->file[i].digest[0] != '\0' ? o->file[i].digest : "-");
	if (buf_failed(&text))
		return out_of_memory(err);
	fd = openat(o->folder.folder, CAS_ARRIVING_LIST,
		    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(err, errno, "%s/" CAS_ARRIVING_LIST, o->folder.path);
	ret = io_write(fd, text.data, text.len);
	return ret < 0 ? err_sys(err, -ret, "%s/" CAS_ARRIVING_LIST, o->folder.path) : 0;
}

static void mark_left(const struct arrival *left, struct arrival *a)
{
	uint64_t at = 0, start, len, size = arrival_size(a);

	while (at < size) {
		if (!arrival_missing(left, at, &start, &len)) {
			start = size;
			len = 0;
		}
		arrival_mark(a, at, start - at);
		at = start + len;
	}
}

static void mark_tails(const struct opening *o, struct arrivals *set)
{
	for (size_t i = 0; i < o->ntails; i++) {
		const struct opening_tail *tail = &o->tail[i];
		size_t file = find_file(o, tail->digest);

		if (file < o->nfiles)
			arrival_mark(arrivals_file(set, (uint32_t)file), tail->from,
				     tail->to - tail->from);
	}
}

int opening_make_map(struct opening *o, int *map_fd, struct arrivals **set, struct err *err)
{
	cleanup_cas_left struct cas_left left = {.set = NULL};
	cleanup_free uint64_t *sizes = calloc(o->nfiles, sizeof(*sizes));
	int ret;

	if (sizes == NULL)
		return out_of_memory(err);
	for (size_t i = 0; i < o->nfiles; i++)
		sizes[i] = o->file[i].source.size;
	cas_left_open(&left, &o->folder);
	/* The list and the map belong together, whenever this process is killed. */
	if (unlinkat(o->folder.folder, CAS_ARRIVING_MAP, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "%s/" CAS_ARRIVING_MAP, o->folder.path);
	ret = write_list(o, err);
	if (ret < 0)
		return ret;
	*map_fd = openat(o->folder.folder, CAS_ARRIVING_MAP,
			 O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*map_fd < 0)
		return err_sys(err, errno, "%s/" CAS_ARRIVING_MAP, o->folder.path);
	ret = arrivals_create(set, *map_fd, sizes, (uint32_t)o->nfiles, err);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < o->nfiles; i++) {
		const struct arrival *old =
			cas_left_find(&left, o->file[i].digest, o->file[i].source.size);

		if (old != NULL)
			mark_left(old, arrivals_file(*set, (uint32_t)i));
	}
	mark_tails(o, *set);
	return 0;
}
