/* See file_map.h. */
#include "report/file_map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"

#define HOT_CHUNK 4096u /* places of a list that are read at once */

static enum map_kind kind_of_role(const char *role)
{
	if (strncmp(role, ROLE_MEMORY, strlen(ROLE_MEMORY)) == 0)
		return MAP_MEMORY;
	if (strncmp(role, ROLE_DISK, strlen(ROLE_DISK)) == 0)
		return MAP_DISK;
	if (strcmp(role, ROLE_KERNEL) == 0 || strcmp(role, ROLE_INITRD) == 0)
		return MAP_KERNEL;
	return strcmp(role, ROLE_STATE) == 0 ? MAP_STATE : MAP_META;
}

static enum map_kind kind_of_entry(const struct archive_entry *entry)
{
	static const char *const meta[] = {OCI_MAP_TYPE, OCI_HASHES_TYPE, OCI_HOTLIST_TYPE};

	for (size_t i = 0; i < ARRAY_SIZE(meta); i++) {
		if (strcmp(entry->media_type, meta[i]) == 0)
			return MAP_META;
	}
	return strcmp(entry->media_type, OCI_HOT_TYPE) == 0 ? MAP_HOT : kind_of_role(entry->role);
}

/* `grain`: no cell is smaller. */
static void strip_begin(struct map_strip *s, uint64_t size, uint64_t grain, enum map_kind ground)
{
	s->size = size;
	s->cells = (uint32_t)u64_min(FILE_MAP_CELLS, size / grain + 1);
	s->bytes[ground] = size;
	memset(s->cell, (int)ground, sizeof(s->cell));
}

static uint32_t strip_cell(const struct map_strip *s, uint64_t at)
{
	return (uint32_t)u64_min((uint64_t)((double)at / (double)s->size * s->cells), s->cells - 1);
}

/* Bytes that were of kind `before`. */
static void strip_mark(struct map_strip *s, uint64_t at, uint64_t len, enum map_kind kind,
		       enum map_kind before)
{
	uint32_t first;

	if (len == 0 || at >= s->size)
		return;
	len = u64_min(len, s->size - at);
	s->bytes[kind] += len;
	s->bytes[before] -= u64_min(len, s->bytes[before]);
	first = strip_cell(s, at);
	memset(s->cell + first, (int)kind, strip_cell(s, at + len - 1) - first + 1);
}

/* The blobs that are smaller than a cell, or the others. */
static void mark_blobs(struct map_strip *s, const struct archive *a, bool folder, bool small)
{
	const struct archive_entry *entry;
	const size_t count = archive_entries(a, &entry);
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		const struct blob *b = &entry[i].blob;

		if (small == (b->len < s->size / s->cells))
			strip_mark(s, folder ? sum : b->offset, b->len, kind_of_entry(&entry[i]),
				   MAP_NOTHING);
		sum += b->len;
	}
}

/* Blobs of a folder are files of their own: here they are one behind the other. */
static void mark_file(struct map_strip *s, const struct archive *a)
{
	const struct archive_entry *entry;
	const size_t count = archive_entries(a, &entry);
	uint64_t end = 0, sum = 0;
	bool folder = false;

	for (size_t i = 0; i < count; i++) {
		end = u64_max(end, entry[i].blob.offset + entry[i].blob.len);
		sum += entry[i].blob.len;
		folder = folder || entry[i].blob.fd != entry[0].blob.fd;
	}
	strip_begin(s, folder ? sum : end, 1, MAP_NOTHING);
	mark_blobs(s, a, folder, false);
	mark_blobs(s, a, folder, true);
}

static int mark_hot(struct map_strip *s, const struct image *image, enum map_kind data,
		    struct err *err)
{
	cleanup_free uint8_t *place = malloc((size_t)HOT_CHUNK * 8);
	const uint64_t n = image->hotlist.len / 8;

	if (place == NULL)
		return err_sys(err, ENOMEM, "draw a map");
	for (uint64_t at = 0; at < n; at += HOT_CHUNK) {
		const uint64_t some = u64_min(HOT_CHUNK, n - at);
		int ret = blob_read(&image->hotlist, at * 8, place, some * 8, err);

		if (ret < 0)
			return ret;
		for (uint64_t i = 0; i < some; i++) {
			const uint64_t p = le_get64(place + i * 8);

			if (p < image->map.data_frames)
				strip_mark(s, image_map_frame_at(&image->map, p) * FRAME_SIZE,
					   FRAME_SIZE, MAP_HOT, data);
		}
	}
	return 0;
}

static int mark_image(struct map_strip *s, const struct image *image, struct err *err)
{
	const enum map_kind data = kind_of_role(image->role);

	snprintf(s->role, sizeof(s->role), "%s", image->role);
	strip_begin(s, image->map.size, FRAME_SIZE, MAP_ZERO);
	for (uint32_t i = 0; i < image->map.nextents; i++) {
		const struct extent *e = &image->map.extents[i];

		if (e->kind != EXTENT_ZERO)
			strip_mark(s, e->frame * FRAME_SIZE, (uint64_t)e->frames * FRAME_SIZE,
				   e->kind == EXTENT_DATA ? data : MAP_PARENT, MAP_ZERO);
	}
	return image->hotlist.len > 0 ? mark_hot(s, image, data, err) : 0;
}

/* Each image has one map. */
static const struct image *image_of_map(const struct archive *a, const struct archive_entry *entry)
{
	const char *dot = strrchr(entry->role, '.');
	char role[OCI_ROLE_SIZE];

	if (strcmp(entry->media_type, OCI_MAP_TYPE) != 0 || dot == NULL)
		return NULL;
	snprintf(role, sizeof(role), "%.*s", (int)(dot - entry->role), entry->role);
	return archive_image(a, role);
}

int file_map_make(struct file_map *map, const struct archive *a, struct err *err)
{
	const struct archive_entry *entry;
	const size_t count = archive_entries(a, &entry);
	int ret = 0;

	*map = (struct file_map){.archive = a};
	map->strip = calloc(count + 1, sizeof(map->strip[0]));
	if (map->strip == NULL)
		return err_sys(err, ENOMEM, "draw a map");
	mark_file(&map->strip[map->nstrips++], a);
	for (size_t i = 0; i < count && ret == 0; i++) {
		const struct image *image = image_of_map(a, &entry[i]);

		if (image != NULL && image->map.size > 0)
			ret = mark_image(&map->strip[map->nstrips++], image, err);
	}
	if (ret < 0)
		file_map_free(map);
	return ret;
}

void file_map_free(struct file_map *map)
{
	free(map->strip);
	*map = (struct file_map){0};
}
