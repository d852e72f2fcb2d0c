/* See plan.h. */
#include "wire/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/num.h"

/* Threads of machines that wait are few; hints can be many. */
#define ROOM 4096u

int plan_init(struct plan *p, struct arrivals *set, uint64_t now_ns, struct err *err)
{
	*p = (struct plan){.set = set, .rest = PLAN_REST, .demand_ns = now_ns, .rest_ns = now_ns};
	p->file = calloc(arrivals_files(set), sizeof(p->file[0]));
	return p->file != NULL ? 0 : err_sys(err, ENOMEM, "plan a download");
}

void plan_free(struct plan *p)
{
	free(p->file);
	free(p->demands.item);
	free(p->hints.item);
	*p = (struct plan){0};
}

bool plan_has_room(const struct plan *p)
{
	return p->demands.count < ROOM && p->hints.count < ROOM;
}

int plan_ask(struct plan *p, const struct arrivals_request *request, struct err *err)
{
	struct plan_queue *q = request->now ? &p->demands : &p->hints;
	struct plan_range *grown = array_grow(q->item, q->count, sizeof(*grown));

	if (grown == NULL)
		return err_sys(err, ENOMEM, "plan a download");
	q->item = grown;
	grown[q->count++] = (struct plan_range){request->file, request->from, request->len};
	return 0;
}

static void queue_remove(struct plan_queue *q, size_t index)
{
	q->count--;
	memmove(q->item + index, q->item + index + 1, (q->count - index) * sizeof(q->item[0]));
}

/* The first bytes at or behind `from` and before `end` that are missing and not under way. */
static bool find_free(const struct plan *p, uint32_t file, uint64_t from, uint64_t end,
		      struct plan_range *free_range)
{
	const struct arrival *a = arrivals_file(p->set, file);
	uint64_t start, len;

	while (from < end && arrival_missing(a, from, &start, &len) && start < end) {
		uint64_t stop = u64_min(start + len, end);
		bool moved = false;

		for (unsigned i = 0; i < PLAN_JOBS; i++) {
			const struct plan_range *job = &p->job[i];

			if (job->len == 0 || job->file != file || job->from >= stop ||
			    job->from + job->len <= start)
				continue;
			if (job->from <= start) {
				from = job->from + job->len;
				moved = true;
				break;
			}
			stop = job->from;
		}
		if (moved)
			continue;
		*free_range = (struct plan_range){file, start, stop - start};
		return true;
	}
	return false;
}

static bool is_missing(const struct plan *p, const struct plan_range *r)
{
	return !p->file[r->file].ended &&
	       !arrival_has(arrivals_file(p->set, r->file), r->from, r->len);
}

/* Whole blocks: what the map counts. */
static struct plan_range whole_blocks(const struct plan *p, const struct plan_range *r)
{
	uint64_t size = arrival_size(arrivals_file(p->set, r->file));
	uint64_t from = r->from - r->from % ARRIVAL_BLOCK;

	return (struct plan_range){r->file, from,
				   u64_min(align_up(r->from + r->len, ARRIVAL_BLOCK), size) - from};
}

/* How far a range that begins at `from` and has to reach `end` may go on: over what others in the
 * queue want next to it, and as far as reading ahead says. */
static uint64_t stretch(struct plan *p, const struct plan_queue *q, uint32_t file, uint64_t from,
			uint64_t end)
{
	struct plan_file *f = &p->file[file];
	uint64_t size = arrival_size(arrivals_file(p->set, file));
	bool grown = true;

	if (from >= f->behind && from - f->behind <= PLAN_LEAST && f->behind > 0)
		f->forward = u64_min(f->forward * 2, PLAN_MOST);
	else
		f->forward = PLAN_LEAST;
	end = u64_max(end, from + f->forward);
	while (grown && end - from < PLAN_MOST) {
		grown = false;
		for (size_t i = 0; i < q->count; i++) {
			struct plan_range other = whole_blocks(p, &q->item[i]);

			if (other.file == file && other.from <= end && other.from >= from &&
			    other.from + other.len > end) {
				end = other.from + other.len;
				grown = true;
			}
		}
	}
	return u64_min(u64_min(end, from + PLAN_MOST), size);
}

static bool whole_is_under_way(const struct plan *p, uint32_t file)
{
	for (unsigned i = 0; i < PLAN_JOBS; i++) {
		if (p->job[i].len > 0 && p->job[i].file == file)
			return true;
	}
	return false;
}

/* Of a file without ranges. */
static bool next_whole(const struct plan *p, uint32_t file, struct plan_range *next)
{
	uint64_t start, len;

	if (whole_is_under_way(p, file) ||
	    !arrival_missing(arrivals_file(p->set, file), 0, &start, &len))
		return false;
	*next = (struct plan_range){file, 0, arrival_size(arrivals_file(p->set, file))};
	return true;
}

static bool next_asked(struct plan *p, struct plan_queue *q, struct plan_range *next)
{
	for (size_t i = 0; i < q->count;) {
		struct plan_range wanted;

		if (!is_missing(p, &q->item[i])) {
			queue_remove(q, i);
			continue;
		}
		wanted = whole_blocks(p, &q->item[i++]);
		if (p->file[wanted.file].whole) {
			if (next_whole(p, wanted.file, next))
				return true;
			continue;
		}
		if (!find_free(p, wanted.file, wanted.from, wanted.from + wanted.len, next))
			continue;
		wanted.len =
			stretch(p, q, wanted.file, next->from, next->from + next->len) - next->from;
		/* Up to what is there, or under way, already. */
		(void)find_free(p, wanted.file, next->from, next->from + wanted.len, next);
		p->file[wanted.file].behind = next->from + next->len;
		return true;
	}
	return false;
}

/* What is missing here, and another download has. */
static bool next_beside(const struct plan *p, uint32_t file, struct plan_range *next)
{
	const struct arrival *beside = p->file[file].beside;
	const uint64_t size = arrival_size(beside);
	uint64_t at = 0, start, len;

	while (find_free(p, file, at, size, next)) {
		const uint64_t end = next->from + next->len;

		if (!arrival_missing(beside, next->from, &start, &len))
			return true;
		if (start > next->from) {
			next->len = u64_min(end, start) - next->from;
			return true;
		}
		at = start + len;
	}
	return false;
}

static bool next_of_file(const struct plan *p, uint32_t file, struct plan_range *next)
{
	if (p->file[file].beside != NULL)
		return next_beside(p, file, next);
	if (p->file[file].whole)
		return next_whole(p, file, next);
	return find_free(p, file, 0, arrival_size(arrivals_file(p->set, file)), next);
}

static bool next_rest(const struct plan *p, bool first, struct plan_range *next)
{
	for (uint32_t i = 0; i < arrivals_files(p->set); i++) {
		const struct plan_file *f = &p->file[i];

		if (f->ended || f->first != first)
			continue;
		if (!next_of_file(p, i, next))
			continue;
		if (f->beside != NULL || (!first && !f->whole))
			next->len = u64_min(next->len, PLAN_MOST);
		return true;
	}
	return false;
}

static bool next_table(const struct plan *p, struct plan_range *next)
{
	for (uint32_t i = 0; i < arrivals_files(p->set); i++) {
		const struct plan_file *f = &p->file[i];

		if (f->table > 0 && !f->ended && !f->whole && f->beside == NULL &&
		    find_free(p, i, f->table, arrival_size(arrivals_file(p->set, i)), next))
			return true;
	}
	return false;
}

static bool first_is_missing(const struct plan *p)
{
	for (uint32_t i = 0; i < arrivals_files(p->set); i++) {
		if (p->file[i].first && !p->file[i].ended && !plan_file_is_there(p, i))
			return true;
	}
	return false;
}

/* What next_asked() has left in the queue is waited for, and under way. */
static bool somebody_waits(const struct plan *p)
{
	return p->demands.count > 0 || plan_under_way(p, PLAN_DEMAND) > 0;
}

/* When the rest may go on; UINT64_MAX: not before something else happens. */
static uint64_t rest_due_ns(const struct plan *p)
{
	const unsigned rest = plan_under_way(p, PLAN_BACKGROUND);
	uint64_t due = UINT64_MAX;

	if (rest >= p->rest || first_is_missing(p))
		return due;
	if (!somebody_waits(p))
		due = p->demand_ns + PLAN_MOMENT_NS;
	return rest == 0 ? u64_min(due, p->rest_ns + PLAN_TURN_NS) : due;
}

static bool next_background(const struct plan *p, uint64_t now_ns, struct plan_range *next)
{
	if (next_rest(p, true, next))
		return true;
	return rest_due_ns(p) <= now_ns && (next_table(p, next) || next_rest(p, false, next));
}

int plan_next(struct plan *p, unsigned kinds, uint64_t now_ns)
{
	struct plan_range next;
	enum plan_kind kind;
	int job = 0;

	while (job < (int)PLAN_JOBS && p->job[job].len > 0)
		job++;
	if (job == (int)PLAN_JOBS)
		return -1;
	if ((kinds & 1u << PLAN_DEMAND) != 0 && next_asked(p, &p->demands, &next))
		kind = PLAN_DEMAND;
	else if ((kinds & 1u << PLAN_HINT) != 0 && next_asked(p, &p->hints, &next))
		kind = PLAN_HINT;
	else if ((kinds & 1u << PLAN_BACKGROUND) != 0 && next_background(p, now_ns, &next))
		kind = PLAN_BACKGROUND;
	else
		return -1;
	if (kind == PLAN_DEMAND)
		p->rest = 1;
	p->job[job] = next;
	p->kind[job] = kind;
	return job;
}

void plan_done(struct plan *p, int job, uint64_t now_ns)
{
	if (somebody_waits(p))
		p->demand_ns = now_ns;
	else if (p->kind[job] == PLAN_BACKGROUND && p->rest < PLAN_REST)
		p->rest++;
	if (p->kind[job] == PLAN_BACKGROUND)
		p->rest_ns = now_ns;
	p->job[job].len = 0;
}

uint64_t plan_wait_ns(const struct plan *p, uint64_t now_ns)
{
	uint64_t due = rest_due_ns(p);

	return due == UINT64_MAX || due <= now_ns ? 0 : due - now_ns;
}

unsigned plan_under_way(const struct plan *p, enum plan_kind kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PLAN_JOBS; i++)
		n += p->job[i].len > 0 && p->kind[i] == kind;
	return n;
}

bool plan_file_is_there(const struct plan *p, uint32_t file)
{
	uint64_t start, len;

	return !whole_is_under_way(p, file) &&
	       !arrival_missing(arrivals_file(p->set, file), 0, &start, &len);
}
