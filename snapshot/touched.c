/* See touched.h. */
#include "snapshot/touched.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "format/image/image.h"
#include "snapshot/uffd.h"

/* /proc/self/pagemap (kernel documentation, admin-guide/mm/pagemap): 64 bits a page. */
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)
#define FRAME_PAGES	16u /* of 4 KiB; larger pages are fewer, and the rest is not looked at */

bool touched_in_order(struct err *why)
{
	cleanup_fd int fd = -1;

	return uffd_open(&fd, why) == 0;
}

static int add_touched(struct touched *t, unsigned range, uint64_t frame, struct err *err)
{
	struct pager_touch *grown = array_grow(t->frame, t->n, sizeof(*grown));

	if (grown == NULL)
		return err_sys(err, ENOMEM, "list what was touched");
	t->frame = grown;
	t->frame[t->n++] = (struct pager_touch){range, frame};
	return 0;
}

/* The kernel loads the pages of a file by 64 KiB too, so a frame is touched or not. */
static int collect_range(const struct machine *m, unsigned range, int pagemap, struct touched *t,
			 struct err *err)
{
	const struct mem_range *r = &m->mem.range[range];
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), pages = FRAME_SIZE / page;
	uint64_t entry[FRAME_PAGES];

	for (uint64_t frame = 0; frame < r->size / FRAME_SIZE; frame++) {
		uint64_t first = ((uint64_t)(uintptr_t)r->host + frame * FRAME_SIZE) / page;
		bool there = false;
		int ret = io_pread(pagemap, entry, pages * sizeof(entry[0]),
				   first * sizeof(entry[0]));

		if (ret < 0)
			return err_sys(err, -ret, "read /proc/self/pagemap");
		for (uint64_t i = 0; i < pages; i++)
			there = there || (entry[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) != 0;
		ret = there ? add_touched(t, range, frame, err) : 0;
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int collect_mapped(const struct machine *m, struct touched *t, struct err *err)
{
	cleanup_fd int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (pagemap < 0)
		return err_sys(err, errno, "open /proc/self/pagemap");
	for (unsigned i = 0; i < m->mem.nranges; i++) {
		int ret = collect_range(m, i, pagemap, t, err);

		if (ret < 0) {
			free(t->frame);
			*t = (struct touched){0};
			return ret;
		}
	}
	return 0;
}

int touched_collect(const struct machine *m, const struct pager *pager, struct touched *touched,
		    struct err *err)
{
	const struct pager_touch *noted;
	size_t n;

	*touched = (struct touched){0};
	if (pager == NULL)
		return collect_mapped(m, touched, err);
	n = pager_touched(pager, &noted);
	touched->frame = malloc((n + 1) * sizeof(noted[0]));
	if (touched->frame == NULL)
		return err_sys(err, ENOMEM, "list what was touched");
	if (n > 0)
		memcpy(touched->frame, noted, n * sizeof(noted[0]));
	touched->n = n;
	return 0;
}
