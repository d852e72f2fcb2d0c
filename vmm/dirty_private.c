/* Which frames of a private mapping are no longer the file's; see dirty.h. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "vmm/dirty.h"
#include "vmm/frameset.h"

/* Linux, admin-guide/mm/pagemap.rst: one word a page. */
#define PAGE_FILE    (UINT64_C(1) << 61) /* of a file; a copy of a file's page is not */
#define PAGE_SWAPPED (UINT64_C(1) << 62) /* or marked, or on its way to elsewhere */
#define PAGE_PRESENT (UINT64_C(1) << 63)

#define BATCH 8192 /* pages looked at in one go; a multiple of those in a frame */

static bool page_is_private(uint64_t entry)
{
	return (entry & PAGE_SWAPPED) != 0 || (entry & (PAGE_PRESENT | PAGE_FILE)) == PAGE_PRESENT;
}

/* Of the process that keeps it. */
static int kept = -1;

static int open_pagemap(void)
{
	return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

void dirty_keep_pagemap(void)
{
	if (kept < 0)
		kept = open_pagemap();
}

void dirty_add_private(uint64_t *frames, const uint8_t *host, uint64_t len)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), npages = len / page;
	cleanup_free uint64_t *entries = malloc(BATCH * sizeof(entries[0]));
	cleanup_fd int opened = kept < 0 ? open_pagemap() : -1;
	int fd = kept < 0 ? opened : kept;
	uint64_t at = 0;

	while (fd >= 0 && entries != NULL && at < npages) {
		uint64_t count = u64_min(BATCH, npages - at);
		uint64_t where = ((uintptr_t)host / page + at) * sizeof(entries[0]);

		if (io_pread(fd, entries, count * sizeof(entries[0]), where) < 0)
			break;
		for (uint64_t i = 0; i < count; i++) {
			if (page_is_private(entries[i]))
				frameset_add(frames, (at + i) * page / FRAME_SIZE);
		}
		at += count;
	}
	if (at < npages)
		frameset_add_range(frames, at * page / FRAME_SIZE, len / FRAME_SIZE - 1);
}
