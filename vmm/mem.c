/* Guest memory; see mem.h. Set up by the owner's thread, then read-only layout: no locks. */
#include "vmm/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "vmm/frameset.h"

int mem_init(struct mem *mem, uint64_t size, struct err *err)
{
	*mem = (struct mem){.size = size};
	arch_ram_layout(size, mem->range, &mem->nranges);
	for (unsigned i = 0; i < mem->nranges; i++) {
		struct mem_range *r = &mem->range[i];
		void *host = mmap(NULL, r->size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (host == MAP_FAILED) {
			int errnum = errno;

			mem_free(mem);
			return err_sys(err, errnum, "reserve %llu MiB of memory for the guest",
				       (unsigned long long)(size >> 20));
		}
		r->host = host;
		r->written = frameset_new(r->size / FRAME_SIZE);
		if (r->written == NULL) {
			mem_free(mem);
			return err_sys(err, ENOMEM, "allocate the set of written frames");
		}
		/* Advice only: without huge pages the guest is slower, not wrong. */
		(void)madvise(host, r->size, MADV_HUGEPAGE);
	}
	return 0;
}

void mem_free(struct mem *mem)
{
	if (mem->in_use)
		return;
	for (unsigned i = 0; i < mem->nranges; i++) {
		if (mem->range[i].host != NULL)
			munmap(mem->range[i].host, mem->range[i].size);
		free(mem->range[i].written);
		free(mem->range[i].file);
	}
	for (size_t i = 0; i < mem->nfiles; i++)
		free(mem->file[i].name);
	free(mem->file);
	*mem = (struct mem){0};
}

void mem_note_written(struct mem_range *r, uint64_t offset, uint64_t len)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	frameset_add_range(r->written, offset / FRAME_SIZE, (offset + len - 1) / FRAME_SIZE);
	if (r->tracked != NULL)
		frameset_add_range(r->tracked, offset / page, (offset + len - 1) / page);
}

static const struct mem_range *mem_find_range(const struct mem *mem, uint64_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < mem->nranges; i++) {
		const struct mem_range *r = &mem->range[i];

		if (gpa >= r->gpa && range_within(gpa - r->gpa, len, r->size))
			return r;
	}
	return NULL;
}

const void *mem_at(const struct mem *mem, uint64_t gpa, uint64_t len)
{
	const struct mem_range *r = mem_find_range(mem, gpa, len);

	return r == NULL ? NULL : r->host + (gpa - r->gpa);
}

void *mem_at_write(struct mem *mem, uint64_t gpa, uint64_t len)
{
	/* Of this very struct mem, which is not const here. */
	struct mem_range *r = (struct mem_range *)(uintptr_t)mem_find_range(mem, gpa, len);

	if (r == NULL)
		return NULL;
	if (len > 0)
		mem_note_written(r, gpa - r->gpa, len);
	return r->host + (gpa - r->gpa);
}

bool mem_read(const struct mem *mem, uint64_t gpa, void *dst, uint64_t len)
{
	const void *src = mem_at(mem, gpa, len);

	if (src == NULL)
		return false;
	memcpy(dst, src, len);
	return true;
}

bool mem_write(struct mem *mem, uint64_t gpa, const void *src, uint64_t len)
{
	void *dst = mem_at_write(mem, gpa, len);

	if (dst == NULL)
		return false;
	memcpy(dst, src, len);
	return true;
}
