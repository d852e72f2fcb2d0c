/*
 * Waking: put a live appliance's memory and state into a freshly built machine.
 *
 * Between board_build and machine_run, lock held. Everything is decoded and checked before anything
 * is applied; a failed resume leaves nothing behind but a machine to be freed. How RAM comes is
 * told in load_memory.h.
 */
#ifndef TORPOR_SNAPSHOT_RESUME_H
#define TORPOR_SNAPSHOT_RESUME_H

#include "format/chain.h"
#include "snapshot/pager.h"
#include "vmm/machine.h"

struct resume_params {
	/* Must stay open as long as the machine lives; verified (chain_ensure_verified). */
	const struct chain *chain;
	enum pager_fill fill;
	/* Page everything, also what could be mapped, and note in which order (pager_touched). It
	 * is an error when that is not possible. */
	bool record;
};

/* What the user should hear about, and the pager, owned by the caller: pager_stop() when the vCPUs
 * are gone, before machine_free(). NULL when all memory is in place. */
struct resume_report {
	struct pager *pager;
	uint64_t unaligned; /* bytes of flat frames that could not be mapped */
	uint64_t decoded;   /* bytes that had to be brought before the start */
	struct err why;	    /* ... for lack of this */
};

/* Devices are loaded but not started; board_new_generation comes after this. */
int snapshot_resume(struct machine *m, const struct resume_params *params,
		    struct resume_report *report, struct err *err);

#endif
