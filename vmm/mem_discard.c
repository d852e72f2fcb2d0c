/*
 * What host pages stand behind guest memory: a file's, or none until they are written; see mem.h.
 *
 * Anonymous pages are given back by MADV_DONTNEED. On a private mapping of a file the file's
 * bytes would show again, so such pages are replaced by an anonymous mapping; mmap does both halves
 * under one lock of the kernel, so that a running vCPU sees the old bytes or zeros. A hole in a
 * mapping makes two of it, and a process may have 65,530 (vm.max_map_count): `pieces` bounds what
 * discards added from above.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/num.h"
#include "vmm/frameset.h"
#include "vmm/mem.h"

#define MAX_PIECES 32768

/* What is worth a mapping of its own however many there are: a range has few of these. */
#define LARGE_HOLE MIB(2)

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool shows_file(const struct mem_range *r, uint64_t page)
{
	return r->file != NULL && (r->file[page / 8] >> (page % 8) & 1) != 0;
}

static void set_shows_file(struct mem_range *r, uint64_t page, uint64_t end, bool file)
{
	while (page < end) {
		uint8_t bit = (uint8_t)(1u << page % 8);

		if (page % 8 == 0 && end - page >= 8) {
			memset(r->file + page / 8, file ? 0xff : 0, (end - page) / 8);
			page = align_down(end, 8);
			continue;
		}
		if (file)
			r->file[page / 8] |= bit;
		else
			r->file[page / 8] &= (uint8_t)~bit;
		page++;
	}
}

/* The end of the run of pages like the first. */
static uint64_t run_end(const struct mem_range *r, uint64_t page, uint64_t end)
{
	const bool file = shows_file(r, page);
	const uint8_t all = file ? 0xff : 0;

	if (r->file == NULL)
		return end;
	while (page < end && shows_file(r, page) == file) {
		page++;
		while (page % 8 == 0 && end - page >= 8 && r->file[page / 8] == all)
			page += 8;
	}
	return page;
}

/* Keep what mem_truncated_file() needs. */
static int note_file(struct mem *mem, const struct blob *src, struct err *err)
{
	char link[32], name[PATH_MAX];
	struct mem_file *grown;
	ssize_t len;

	for (size_t i = 0; i < mem->nfiles; i++) {
		if (mem->file[i].fd != src->fd)
			continue;
		if (mem->file[i].end < src->offset + src->len)
			mem->file[i].end = src->offset + src->len;
		return 0;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", src->fd);
	len = readlink(link, name, sizeof(name) - 1);
	name[len > 0 ? len : 0] = '\0';
	grown = array_grow(mem->file, mem->nfiles, sizeof(*grown));
	if (grown == NULL)
		return err_sys(err, ENOMEM, "map memory from the file");
	mem->file = grown;
	grown[mem->nfiles] = (struct mem_file){src->fd, src->offset + src->len, strdup(name)};
	if (grown[mem->nfiles].name == NULL)
		return err_sys(err, ENOMEM, "map memory from the file");
	mem->nfiles++;
	return 0;
}

const char *mem_truncated_file(const struct mem *mem)
{
	for (size_t i = 0; i < mem->nfiles; i++) {
		struct stat st;

		if (fstat(mem->file[i].fd, &st) == 0 && (uint64_t)st.st_size < mem->file[i].end)
			return mem->file[i].name;
	}
	return NULL;
}

int mem_map_file(struct mem *mem, unsigned range, uint64_t offset, const struct blob *src,
		 struct err *err)
{
	struct mem_range *r = &mem->range[range];
	const uint64_t page = page_size();
	int ret;

	assert(range < mem->nranges && range_within(offset, src->len, r->size));
	assert((offset | src->len | src->offset) % page == 0);
	if (r->file == NULL)
		r->file = calloc(1, r->size / page / 8 + 1);
	if (r->file == NULL)
		return err_sys(err, ENOMEM, "map memory from the file");
	ret = note_file(mem, src, err);
	if (ret < 0)
		return ret;
	if (mmap(r->host + offset, src->len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, src->fd,
		 (off_t)src->offset) == MAP_FAILED)
		return err_sys(err, errno, "map memory from the file");
	set_shows_file(r, offset / page, (offset + src->len) / page, true);
	return 0;
}

/* How many more mappings there may be when these pages of a file become anonymous: at each side the
 * file goes on and is cut, or an anonymous mapping is there to be joined. Two of those, both
 * written to, need not become one with each other. */
static int pieces_added(const struct mem_range *r, uint64_t page, uint64_t end)
{
	int before = 0, behind = 0;

	if (page > 0)
		before = shows_file(r, page - 1) ? 1 : -1;
	if (end < r->size / page_size())
		behind = shows_file(r, end) ? 1 : -1;
	return before + behind > -1 ? before + behind : -1;
}

/* Put fresh memory in place of a file's pages; false when that would be, or is, too many
 * mappings. */
static bool replace(struct mem *mem, struct mem_range *r, uint64_t page, uint64_t end)
{
	const int added = pieces_added(r, page, end);
	uint8_t *at = r->host + page * page_size();
	const uint64_t len = (end - page) * page_size();

	if (mem->pieces + added > MAX_PIECES && len < LARGE_HOLE)
		return false;
	if (mmap(at, len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		return false;
	/* As its neighbours are, so that it becomes one with them. */
	(void)madvise(at, len, MADV_HUGEPAGE);
	set_shows_file(r, page, end, false);
	mem->pieces += added;
	return true;
}

static void discard_run(struct mem *mem, struct mem_range *r, uint64_t page, uint64_t end)
{
	uint8_t *at = r->host + page * page_size();
	const uint64_t len = (end - page) * page_size();

	if (shows_file(r, page) ? replace(mem, r, page, end) : madvise(at, len, MADV_DONTNEED) == 0)
		return;
	memset(at, 0, len);
}

/* The range that [at, at + len) lies in. */
static struct mem_range *range_of(struct mem *mem, const uint8_t *at, uint64_t len)
{
	unsigned i = 0;

	while (at < mem->range[i].host ||
	       !range_within((uint64_t)(at - mem->range[i].host), len, mem->range[i].size)) {
		i++;
		assert(i < mem->nranges);
	}
	return &mem->range[i];
}

void mem_discard(struct mem *mem, void *at, uint64_t len)
{
	struct mem_range *r = range_of(mem, at, len);
	const uint64_t offset = (uint64_t)((uint8_t *)at - r->host), size = page_size();
	uint64_t page = align_up(offset, size) / size, end = align_down(offset + len, size) / size;

	if (page >= end)
		return;
	mem_note_written(r, page * size, (end - page) * size);
	if (mem->discarded != NULL)
		mem->discarded(mem->discarded_opaque, (unsigned)(r - mem->range), page * size,
			       (end - page) * size);
	while (page < end) {
		uint64_t next = run_end(r, page, end);

		discard_run(mem, r, page, next);
		page = next;
	}
}
