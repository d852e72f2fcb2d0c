/*
 * Inside the pager: what its files share. See pager.h.
 *
 *     pager.c          the life of a pager; what is absent; what becomes of discarded frames
 *     pager_worker.c   a thread, and loading one frame: read, check, install, or break the machine
 *     pager_fault.c    the threads that serve faults
 *     pager_fill.c     the threads that load the rest in the background, and first a hot set that
 *                      is still arriving
 *
 * The state of a frame is one atomic byte and the only thing threads agree by:
 *
 *     ABSENT ──► FILLING ──► PRESENT          a filler
 *        │          │           ▲
 *        └──────────┴─► BUSY ───┘             a fault thread
 *
 * A fault thread takes a frame over from a filler: that one may have the lowest priority and not
 * run for long.
 *
 * A frame that cannot be read goes from FILLING or BUSY to DAMAGED, one that is discarded from any
 * state to PRESENT. A thread whose frame was taken over or discarded meanwhile gives it up.
 * Installing the same bytes twice is harmless: pages that are there stay.
 *
 * The functions named *_start and pager_worker_join() are called by the owner's thread, the others
 * by any. *_start return 0; -ENOMEM; or -errno of what pthread_create(3) gave, with *err set.
 * Threads that were started before an error stay: pager_stop() ends them. The others cannot fail: a
 * frame that cannot be loaded breaks the machine (machine_break).
 */
#ifndef TORPOR_SNAPSHOT_PAGER_INTERNAL_H
#define TORPOR_SNAPSHOT_PAGER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "format/image/frame_reader.h"
#include "snapshot/pager.h"

#define PAGER_FAULT_THREADS 4u
/* Of memory that is still arriving, whoever waits for a frame holds a thread: each vCPU, the loop
 * with its devices, and one more that looks. */
#define PAGER_MAX_FAULT_THREADS (MACHINE_MAX_VCPUS + 2u)
#define PAGER_MAX_FULL_THREADS	16u

enum frame_state {
	FRAME_ABSENT,
	FRAME_FILLING,
	FRAME_BUSY,
	FRAME_PRESENT, /* also: zero, discarded, or never ours; what is missing of it is zero */
	FRAME_DAMAGED, /* only in a broken machine */
};

struct pager_range {
	const struct mem_range *mem;
	struct layer_extents extents; /* owned */
	atomic_uchar *state;	      /* owned; one a frame */
	/* The image whose hot set is loaded first, for it is arriving; NULL: none. */
	const struct image *hot;
};

/* A stretch of memory that is registered with userfaultfd. */
struct pager_span {
	uint8_t *host;
	uint64_t len;
};

/* One frame of memory. */
struct pager_frame {
	const struct pager_range *range;
	uint64_t index; /* in the range */
};

/* A thread of the pager with what it needs to load frames. */
struct pager_worker {
	struct pager *pager;
	void (*work)(struct pager_worker *w);
	const char *name;
	pthread_t thread;
	struct frame_reader *reader; /* owned */
	uint8_t *data;		     /* owned; FRAME_SIZE bytes */
	uint64_t put_ns; /* when its last frame was installed; its waiters went on after that */
	/* The frame it is about to install, or NULL: a discard waits for that, but not for the
	 * frame to be read, which may take as long as a network takes. */
	_Atomic(atomic_uchar *) at;
	enum pager_fill mode; /* of a filler: when it works */
	unsigned rank;	      /* of a filler: the first ones stop first */
	uint64_t served;      /* of a filler: faults, when it looked last */
	uint32_t generation;  /* of a filler: of the arrivals, when it looked last */
};

struct pager {
	struct machine *machine;
	int uffd;
	int end_fd;		   /* readable for good: fault threads end */
	struct arrivals *arrivals; /* borrowed; NULL: the files are all there */
	unsigned nranges;
	struct pager_range range[MEM_MAX_RANGES];
	struct pager_span *span; /* owned */
	size_t nspans;

	atomic_bool over; /* `ended`, for those without the lock */
	atomic_uint faults_served_now;
	atomic_uint_fast64_t absent; /* frames not PRESENT yet */
	uint64_t frames;	     /* what `absent` was at the start */
	atomic_uint_fast64_t faults, filled, fault_ns_max, fault_ns_sum;
	struct pager_touch *touched; /* owned; NULL: not wanted; room for all that is absent */
	atomic_size_t ntouched;

	pthread_mutex_t lock; /* guards what follows, up to the threads */
	pthread_cond_t changed;
	enum pager_fill fill;
	bool ended;
	bool held;	  /* nothing is loaded in the background */
	unsigned filling; /* frames that are being loaded in the background */
	struct {
		unsigned range;
		size_t extent;
		uint64_t frame; /* in the run */
	} cursor;		/* of the fill */
	bool passed_over;	/* it has: frames that have not arrived */

	struct pager_worker fault_thread[PAGER_MAX_FAULT_THREADS];
	struct pager_worker hot_thread[1];
	struct pager_worker idle_thread[1];
	struct pager_worker full_thread[PAGER_MAX_FULL_THREADS];
	unsigned nfault_threads, nhot_threads, nidle_threads, nfull_threads;
};

static inline atomic_uchar *pager_state(const struct pager_frame *f)
{
	return &f->range->state[f->index];
}

static inline uint8_t *pager_host(const struct pager_frame *f)
{
	return f->range->mem->host + f->index * FRAME_SIZE;
}

/* `*at` becomes `to` if it is `from`. */
static inline bool pager_turn(atomic_uchar *at, enum frame_state from, enum frame_state to)
{
	uint8_t expected = (uint8_t)from;

	return atomic_compare_exchange_strong(at, &expected, (uint8_t)to);
}

/* pager.c. One frame less is absent. After the last, memory is unregistered and the threads end. */
void pager_count_present(struct pager *p);

/* pager_worker.c */
/* Start a thread with all signals blocked; `w` is zero but for what its kind needs. */
int pager_worker_start(struct pager_worker *w, struct pager *p,
		       void (*work)(struct pager_worker *w), const char *name, struct err *err);
void pager_worker_join(struct pager_worker *w);
/* Put zeros where pages of the frame are missing, and wake all threads that wait for them. */
void pager_put_zeros(struct pager *p, const struct pager_frame *f);
/* Load a frame that was claimed. Returns true when it was this call that made it present: the
 * caller then calls pager_count_present(). False: it was taken over, discarded or damaged. */
bool pager_load_frame(struct pager_worker *w, const struct pager_frame *f,
		      enum frame_state claimed);

/* pager_fault.c */
int pager_faults_start(struct pager *p, struct err *err);
/* pager_fill.c: the thread that loads the hot set of what is arriving, if there is one. */
int pager_hot_start(struct pager *p, struct err *err);
/* The threads this way of filling takes, unless they are there already. */
int pager_fill_start(struct pager *p, enum pager_fill fill, struct err *err);

#endif
