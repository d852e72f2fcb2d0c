/*
 * Guest memory: at most two ranges, one host mapping each, and the one checked accessor.
 *
 * Everything the guest can address goes through mem_at() to be read and mem_at_write() to be
 * written: they return a host pointer only when the whole [gpa, gpa + len) lies in one range, and
 * cannot overflow. Guest memory changes under our hands: copy a field out once, then check the copy
 * (mem_read), never check and re-read.
 *
 * KVM does not see what we write, so mem_at_write() notes it (range.written; vmm/dirty.h). The note
 * is made before the write and lasts until the next dirty_rebase() of the paused machine: a pointer
 * to write through must not be kept across a pause, but be asked for again.
 *
 * Created once, before the vCPUs; the layout never changes afterwards. Reads and writes of contents
 * need no lock.
 */
#ifndef TORPOR_VMM_MEM_H
#define TORPOR_VMM_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/err.h"
#include "base/frame.h"

#define MEM_MAX_RANGES 2

struct mem_range {
	uint64_t gpa;
	uint64_t size;	   /* bytes */
	uint8_t *host;	   /* owned mapping of `size` bytes */
	uint64_t *written; /* owned set of the frames that we, not the guest, wrote or discarded */
	uint64_t
		*tracked; /* the same of the host's pages, borrowed (vmm/dirty.h); NULL: not kept */
	uint8_t *file;	  /* owned bitmap of the host pages that show a file; NULL: none does */
};

/* A file that is mapped into a range. */
struct mem_file {
	int fd;	      /* borrowed */
	uint64_t end; /* bytes of it that the machine needs */
	char *name;   /* owned; "" when the kernel does not tell */
};

struct mem {
	struct mem_range range[MEM_MAX_RANGES];
	unsigned nranges;
	uint64_t size;	       /* sum of the ranges */
	bool in_use;	       /* threads that never came back may write to it: it stays mapped */
	int64_t pieces;	       /* mappings that discards added to those of the files */
	struct mem_file *file; /* owned */
	size_t nfiles;

	/* Called by mem_discard() before the pages go, with the lock held. When it returns, a pager
	 * has loaded the absent frames that are named in part, and will never load those that are
	 * named whole. A later missing fault in them is served with zeros. NULL: no pager. */
	void (*discarded)(void *opaque, unsigned range, uint64_t offset, uint64_t len);
	void *discarded_opaque;
};

/* The architecture's (vmm/x86_64/vm.c): split `size` bytes of RAM into the ranges of the machine
 * type. Sets gpa and size of each range. */
void arch_ram_layout(uint64_t size, struct mem_range range[MEM_MAX_RANGES], unsigned *nranges);

/* Reserve anonymous zero memory of `size` bytes (a multiple of FRAME_SIZE) in the ranges of
 * arch_ram_layout. Huge pages are advised. Returns 0, -ENOMEM, or what mmap(2) gave. */
int mem_init(struct mem *mem, uint64_t size, struct err *err);
/* Nothing is done while it is in_use. */
void mem_free(struct mem *mem);

/* Host address of guest bytes, or NULL when any of them is not RAM. `len` may be 0. */
const void *mem_at(const struct mem *mem, uint64_t gpa, uint64_t len);
/* The same to write them: their frames count as written from now on. */
void *mem_at_write(struct mem *mem, uint64_t gpa, uint64_t len);

/* These bytes of a range, at least one, count as written or discarded by us. */
void mem_note_written(struct mem_range *r, uint64_t offset, uint64_t len);

/* Copy out of / into guest memory; false when any byte is not RAM (then nothing is copied). */
bool mem_read(const struct mem *mem, uint64_t gpa, void *dst, uint64_t len);
bool mem_write(struct mem *mem, uint64_t gpa, const void *src, uint64_t len);

/* Map a blob privately at `offset` of a range: writes do not reach the file. Offset, length and the
 * blob's place in its file are multiples of the host's page. A file mapped over the range in any
 * other way would show its bytes again after mem_discard(). Before the vCPUs run. Returns 0,
 * -ENOMEM, or what mmap(2) gave. */
int mem_map_file(struct mem *mem, unsigned range, uint64_t offset, const struct blob *src,
		 struct err *err);

/* The host pages that lie wholly in [at, at + len), an address from the accessor, read as zero from
 * now on and use no memory until they are written to. One step, even while vCPUs run and write
 * beside them. For memory whose contents the guest has given up. Lock held.
 *
 * A hostile guest cannot exhaust the process's mappings by it: where too many small holes are in a
 * mapped file, a page is overwritten with zeros instead. It then uses memory. */
void mem_discard(struct mem *mem, void *at, uint64_t len);

/* The name of a mapped file that is shorter now than what is mapped of it, or NULL. Any thread,
 * also in a signal handler. */
const char *mem_truncated_file(const struct mem *mem);

#endif
