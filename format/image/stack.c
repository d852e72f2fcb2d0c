/* See stack.h. Pure. */
#include "format/image/stack.h"

#include <errno.h>
#include <stdlib.h>

#include "base/num.h"

int stack_push(struct stack *stack, const struct image *image, struct err *err)
{
	if (stack->n == STACK_MAX)
		return err_set(err, ERR_INTEGRITY, "more than %u images on top of one another",
			       STACK_MAX);
	if (stack->n > 0 && stack->image[0]->map.size != image->map.size)
		return err_set(err, ERR_INTEGRITY, "its size differs from its parent's");
	stack->image[stack->n++] = image;
	return 0;
}

/* Room doubles each time the count reaches a power of two. */
static struct run *append(struct runs *runs)
{
	if ((runs->n & (runs->n - 1)) == 0) {
		struct run *grown =
			realloc(runs->run, (runs->n == 0 ? 1 : 2 * runs->n) * sizeof(*grown));

		if (grown == NULL)
			return NULL;
		runs->run = grown;
	}
	return &runs->run[runs->n++];
}

static bool continues(const struct run *last, const struct run *next)
{
	return last->image == next->image &&
	       (next->image == NULL || last->place + last->frames == next->place);
}

static int emit(struct runs *runs, const struct run *run, struct err *err)
{
	struct run *last = runs->n > 0 ? &runs->run[runs->n - 1] : NULL;

	if (last != NULL && continues(last, run)) {
		last->frames += run->frames;
		return 0;
	}
	last = append(runs);
	if (last == NULL)
		return err_sys(err, ENOMEM, "read an extent map");
	*last = *run;
	return 0;
}

/* What frames [first, end) are, from image `level` downwards. */
static int resolve(const struct stack *stack, unsigned level, uint64_t first, uint64_t end,
		   struct runs *runs, struct err *err)
{
	const struct image *image;
	int ret = 0;

	if (level == stack->n)
		return err_set(err, ERR_INTEGRITY, "frame %llu refers to a parent it cannot have",
			       (unsigned long long)first);
	image = stack->image[level];
	for (const struct extent *e = image_map_find(&image->map, first); ret == 0 && first < end;
	     e++) {
		uint64_t next = u64_min(end, e->frame + e->frames);
		struct run run = {.frame = first, .frames = next - first};

		if (e->kind == EXTENT_DATA) {
			run.image = image;
			run.place = e->place + (first - e->frame);
		}
		ret = e->kind == EXTENT_PARENT ? resolve(stack, level + 1, first, next, runs, err)
					       : emit(runs, &run, err);
		first = next;
	}
	return ret;
}

int stack_resolve(const struct stack *stack, struct runs *runs, struct err *err)
{
	uint64_t frames = align_up(stack->image[0]->map.size, FRAME_SIZE) / FRAME_SIZE;
	int ret;

	*runs = (struct runs){.size = stack->image[0]->map.size};
	ret = resolve(stack, 0, 0, frames, runs, err);
	if (ret < 0)
		runs_free(runs);
	return ret;
}

void runs_free(struct runs *runs)
{
	free(runs->run);
	*runs = (struct runs){0};
}

const struct run *runs_find(const struct runs *runs, uint64_t frame)
{
	return &runs->run[last_not_above(&runs->run[0].frame, sizeof(runs->run[0]), runs->n,
					 frame)];
}

uint64_t runs_data_frames(const struct runs *runs)
{
	uint64_t frames = 0;

	for (size_t i = 0; i < runs->n; i++)
		frames += runs->run[i].image != NULL ? runs->run[i].frames : 0;
	return frames;
}
