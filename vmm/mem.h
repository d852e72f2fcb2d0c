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
	uint8_t *file;	   /* owned bitmap of the host pages that show a file; NULL: none does */
};

struct mem {
	struct mem_range range[MEM_MAX_RANGES];
	unsigned nranges;
	uint64_t size;	/* sum of the ranges */
	int64_t pieces; /* mappings that discards added to those of the files */

	/* Told by mem_discard() before the pages go, with the lock held: whoever brings absent
	 * frames must have brought those named here, or, where one is named whole, never bring it.
	 * A later missing fault in them wants zeros. NULL: nobody brings any. */
	void (*discarded)(void *opaque, unsigned range, uint64_t offset, uint64_t len);
	void *discarded_opaque;
};

/* Reserve anonymous zero memory of `size` bytes (a multiple of FRAME_SIZE) in the ranges of the
 * architecture (arch_ram_layout). Huge pages are advised. Fails when address space is refused. */
int mem_init(struct mem *mem, uint64_t size, struct err *err);
void mem_free(struct mem *mem);

/* Host address of guest bytes, or NULL when any of them is not RAM. `len` may be 0. */
const void *mem_at(const struct mem *mem, uint64_t gpa, uint64_t len);
/* The same to write them: their frames count as written from now on. */
void *mem_at_write(struct mem *mem, uint64_t gpa, uint64_t len);

/* Copy out of / into guest memory; false when any byte is not RAM (then nothing is copied). */
bool mem_read(const struct mem *mem, uint64_t gpa, void *dst, uint64_t len);
bool mem_write(struct mem *mem, uint64_t gpa, const void *src, uint64_t len);

/* Show a blob at `offset` of a range, privately: what is written stays here. Offset, length and the
 * blob's place in its file are multiples of the host's page. Mapping a file over the range in any
 * other way would let mem_discard() bring its bytes back. Before the vCPUs run. */
int mem_map_file(struct mem *mem, unsigned range, uint64_t offset, const struct blob *src,
		 struct err *err);

/* From now on the host pages that lie wholly in [at, at + len), an address from the accessor, read
 * as zero and cost nothing, until somebody writes to them: in one step, even while vCPUs run and
 * write beside them. The guest has said that their contents do not matter. Lock held.
 *
 * A hostile guest cannot exhaust the process's mappings by it: where a file is mapped and too many
 * small holes are in it, a page is overwritten instead, and costs what it is. */
void mem_discard(struct mem *mem, void *at, uint64_t len);

#endif
