/* Inside base/arrival*.c: how the map lies in its file, and what a set is. Host byte order: a map
 * is read on the host where it was written. */
#ifndef TORPOR_BASE_ARRIVAL_MAP_H
#define TORPOR_BASE_ARRIVAL_MAP_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arrival.h"

#define ARRIVAL_MAGIC  UINT64_C(0x31304c5641525254) /* "TRRAVL01" */
#define ARRIVAL_HEADER 4096u
#define ARRIVAL_RECORD 512u
#define ARRIVAL_TEXT   256u

/* All that changes while others read is atomic, or lies between two steps of `version`. */
struct arrival_header {
	uint64_t magic;
	uint32_t files;
	_Atomic uint32_t generation; /* a futex: one more at each change that ends a wait */
	_Atomic uint32_t version;    /* of what follows up to `taken`; odd while it changes */
	_Atomic uint32_t state;
	_Atomic uint64_t since;
	char host[ARRIVAL_TEXT];
	char text[ARRIVAL_TEXT];
	_Atomic uint32_t taken; /* requests for another copy whose blocks have been dropped */
	/* The writer has locked the file of the map (F_OFD_SETLK), as long as it lives. */
	_Atomic uint32_t served;
};

struct arrival_record {
	uint64_t size;
	uint64_t first_word;	/* of its bitmap; words of 64 bits from the start of the map */
	_Atomic uint64_t there; /* blocks */
	_Atomic uint32_t failed;
	char text[ARRIVAL_TEXT];
};

struct arrival {
	struct arrivals *set;
	uint32_t index;
	uint64_t size, blocks, first_word;
	_Atomic uint64_t *bits;
	struct arrival_record *record;
};

struct arrivals {
	struct arrival_header *header; /* the mapping; read-only for the reader */
	uint64_t map_len;
	int socket;
	int map_fd; /* the writer's, for its lock; else -1 */
	bool writer;
	uint32_t files;
	struct arrival *file; /* owned */
	atomic_bool interrupted;
	atomic_uint waiting;  /* threads that arrivals_interrupt() ends the wait of */
	atomic_uint blocked;  /* of them, those that wait for bytes */
	pthread_mutex_t lock; /* guards `asked` together with the order of the socket */
	uint32_t asked;	      /* requests for another copy */
};

/* A request as it is on the socket. */
struct arrival_message {
	uint32_t file;
	uint32_t kind; /* enum arrival_kind */
	uint64_t from, len;
};

enum arrival_kind {
	ARRIVAL_HINT = 1,
	ARRIVAL_NOW,
	ARRIVAL_AGAIN,
};

_Static_assert(sizeof(struct arrival_header) <= ARRIVAL_HEADER, "the header has its page");
_Static_assert(sizeof(struct arrival_record) <= ARRIVAL_RECORD, "a record has its place");

static inline uint64_t arrival_blocks(uint64_t size)
{
	return (size + ARRIVAL_BLOCK - 1) / ARRIVAL_BLOCK;
}

#endif
