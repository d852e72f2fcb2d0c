/* See frame_cache.h. */
#include "format/image/frame_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "format/image/frame_reader.h"

struct cached_frame {
	const struct image *image;
	uint64_t place;
	uint64_t asked; /* frame_cache.clock when it was last asked for */
	uint8_t *data;	/* owned; FRAME_SIZE bytes; NULL: nothing */
};

struct frame_cache {
	struct frame_readers readers;
	pthread_mutex_t lock; /* of all below; a leaf */
	uint64_t clock;
	unsigned rows;
	struct cached_frame frame[]; /* rows of FRAME_CACHE_WAYS */
};

int frame_cache_new(struct frame_cache **out, unsigned frames, struct err *err)
{
	const unsigned rows = (frames + FRAME_CACHE_WAYS - 1) / FRAME_CACHE_WAYS;
	struct frame_cache *cache =
		calloc(1, sizeof(*cache) + rows * FRAME_CACHE_WAYS * sizeof(cache->frame[0]));

	if (cache == NULL)
		return err_sys(err, ENOMEM, "a cache of frames");
	frame_readers_init(&cache->readers);
	pthread_mutex_init(&cache->lock, NULL);
	cache->rows = rows;
	*out = cache;
	return 0;
}

void frame_cache_free(struct frame_cache *cache)
{
	if (cache == NULL)
		return;
	for (unsigned i = 0; i < cache->rows * FRAME_CACHE_WAYS; i++)
		free(cache->frame[i].data);
	pthread_mutex_destroy(&cache->lock);
	frame_readers_free(&cache->readers);
	free(cache);
}

/* Frames that follow one another have rows that do. */
static struct cached_frame *row_of(struct frame_cache *cache, uint64_t place)
{
	return &cache->frame[place % cache->rows * FRAME_CACHE_WAYS];
}

/* Its place in the row; NULL: it is in none. */
static struct cached_frame *find_frame(struct cached_frame *row, const struct image *image,
				       uint64_t place)
{
	for (struct cached_frame *c = row; c < row + FRAME_CACHE_WAYS; c++) {
		if (c->data != NULL && c->image == image && c->place == place)
			return c;
	}
	return NULL;
}

bool frame_cache_copy(struct frame_cache *cache, const struct image *image, uint64_t place,
		      uint64_t off, void *dst, uint64_t len)
{
	struct cached_frame *c;

	pthread_mutex_lock(&cache->lock);
	c = find_frame(row_of(cache, place), image, place);
	if (c != NULL) {
		c->asked = ++cache->clock;
		memcpy(dst, c->data + off, len);
	}
	pthread_mutex_unlock(&cache->lock);
	return c != NULL;
}

/* An empty one, or the one that was asked for longest ago. */
static struct cached_frame *oldest_of(struct cached_frame *row)
{
	struct cached_frame *oldest = row;

	for (struct cached_frame *c = row; c < row + FRAME_CACHE_WAYS; c++) {
		if (c->asked < oldest->asked)
			oldest = c;
	}
	return oldest;
}

/* Takes `data` over. */
static void keep_frame(struct frame_cache *cache, const struct image *image, uint64_t place,
		       uint8_t *data)
{
	struct cached_frame *row = row_of(cache, place), *c;
	uint8_t *old;

	pthread_mutex_lock(&cache->lock);
	c = find_frame(row, image, place); /* another thread has read it, too */
	if (c == NULL)
		c = oldest_of(row);
	old = c->data;
	*c = (struct cached_frame){image, place, ++cache->clock, data};
	pthread_mutex_unlock(&cache->lock);
	free(old);
}

int frame_cache_load(struct frame_cache *cache, const struct image *image, uint64_t place,
		     uint64_t off, void *dst, uint64_t len, struct err *err)
{
	cleanup_free uint8_t *data = malloc(FRAME_SIZE);
	int ret;

	if (data == NULL)
		return err_sys(err, ENOMEM, "a frame");
	ret = frame_readers_read(&cache->readers, image, place, data, err);
	if (ret < 0)
		return ret;
	memcpy(dst, data + off, len);
	keep_frame(cache, image, place, take_ptr(data));
	return 0;
}
