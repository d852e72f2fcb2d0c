/*
 * Files that are used while they arrive.
 *
 * A set of files has a writer, the process that fetches them, and a reader, a machine. The writer
 * puts what comes into sparse files and notes in the map which blocks are there; the reader waits
 * for a block before it reads it. The map is a file of its own that both map into memory: a header,
 * a record for each file, and a bit for each block of it. A socket (SOCK_SEQPACKET) takes the
 * reader's requests to the writer, and tells each that the other is gone. Others, `ps` among them,
 * read the map alone, and ask nobody.
 *
 *     writer   arrivals_create → arrivals_serve → { arrivals_next, arrival_mark, arrival_drop,
 *              arrival_fail, arrivals_say }* → arrivals_free
 *     reader   arrivals_open → { arrival_await, arrival_has, arrival_want, arrival_again,
 *              arrivals_status }* → arrivals_interrupt → arrivals_free
 *     others   arrivals_status_read
 *
 * Nothing here says where the bytes come from.
 *
 * Threads: any thread may call anything but create, serve, open and free. The writer's
 * arrivals_next() and arrivals_say() belong to one thread at a time.
 *
 * Trust: the reader believes nothing of the map but what it costs itself to be wrong. It takes the
 * layout once and checks it; a block that is called there and is not has other contents than its
 * digest says. The writer checks each request. Neither trusts the other's texts to be printable.
 */
#ifndef TORPOR_BASE_ARRIVAL_H
#define TORPOR_BASE_ARRIVAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define ARRIVAL_BLOCK	  16384u
#define ARRIVAL_MAX_FILES 16384u
#define ARRIVAL_MAX_BYTES (UINT64_C(1) << 46) /* of one file */

struct arrivals; /* the set */
struct arrival;	 /* one file of it; lives as long as the set */

enum arrivals_state {
	ARRIVALS_GOING = 1,
	ARRIVALS_WAITING,  /* for the peer, which is away */
	ARRIVALS_COMPLETE, /* all is there and checked as far as the writer can: it may end */
	ARRIVALS_FAILED,   /* what is missing will not come */
};

struct arrivals_status {
	enum arrivals_state state;
	uint64_t since; /* seconds since 1970: when that began */
	uint64_t bytes; /* of all files */
	uint64_t there; /* of them */
	uint32_t files;
	uint32_t waiters; /* arrivals_waiting(); 0 when it was read from the file */
	char host[256];	  /* whom it comes from, or is waited for */
	char failed[256]; /* why it failed; of the first file that did, or of the set */
};

/* Not all will be there: the set has failed, or a file of it, while the others still come. */
static inline bool arrivals_have_failed(const struct arrivals_status *status)
{
	return status->state == ARRIVALS_FAILED || status->failed[0] != '\0';
}

/* --- the writer --- */

/* Lay out the map of `n` files in `map_fd` (which stays the caller's), nothing there yet, state
 * ARRIVALS_GOING. Returns 0; -EINVAL for no file, too many, or one that is too large; -ENOMEM; or
 * what ftruncate(2) or mmap(2) gave. *out is NULL after an error. */
int arrivals_create(struct arrivals **out, int map_fd, const uint64_t *sizes, uint32_t n,
		    struct err *err);
/* Take over the writer's end of the socket, which is made non-blocking, and lock the map's file: others
 * see by that lock that the writer lives. All other copies of the set are to be freed by then, or
 * in processes that end. */
void arrivals_serve(struct arrivals *set, int socket_fd);
/* Of the map, to be kept open in the writer's process. */
int arrivals_map_fd(const struct arrivals *set);
/* For poll(2): readable when there is a request, or the reader is gone. -1 without one. */
int arrivals_fd(const struct arrivals *set);

struct arrivals_request {
	uint32_t file;
	uint64_t from, len; /* within the file; len > 0 */
	bool now;	    /* somebody waits; else it is a hint */
	/* What is there is wrong. Its blocks are called missing again, already. */
	bool again;
};

/* The next request that is for something missing. Returns 1; 0 when there is none now; -EPIPE when
 * the reader is gone. Requests that make no sense are dropped. */
int arrivals_next(struct arrivals *set, struct arrivals_request *request);
/* These bytes are in the file. Counts the blocks that they cover whole: the last block of a file
 * is whole where the file ends. Wakes those who wait. */
void arrival_mark(struct arrival *a, uint64_t from, uint64_t len);
/* They are not, after all: all blocks that they touch. */
void arrival_drop(struct arrival *a, uint64_t from, uint64_t len);
/* The first run of missing bytes at or behind `from`, at most up to the end of the file. False:
 * there is none. Also the reader's. */
bool arrival_missing(const struct arrival *a, uint64_t from, uint64_t *start, uint64_t *len);
/* What is missing of this file will never come: all who wait for it are told `text`. Final. */
void arrival_fail(struct arrival *a, const char *text);
/* A new state, from `since` (seconds since 1970) on. ARRIVALS_FAILED is final, and `text` says why
 * (otherwise NULL): whoever waits for any file is told. */
void arrivals_say(struct arrivals *set, enum arrivals_state state, uint64_t since, const char *host,
		  const char *text);

/* --- the reader --- */

/* Take over `socket_fd`, the reader's end; -1: nobody will fetch anything more. `map_fd` is only
 * read and stays the caller's. Returns 0; ERR_INTEGRITY for a map that makes no sense; -ENOMEM; or
 * what fstat(2), pread(2) or mmap(2) gave. *out is NULL after an error. */
int arrivals_open(struct arrivals **out, int map_fd, int socket_fd, struct err *err);
/*
 * Wait until these bytes are there, as long as it takes. Returns 0; -EIO when they will not come,
 * with why; -ECANCELED after arrivals_interrupt(); -EINVAL for bytes outside the file. With a NULL
 * `a` all is there.
 */
int arrival_await(struct arrival *a, uint64_t from, uint64_t len, struct err *err);
/* Without waiting. */
bool arrival_has(const struct arrival *a, uint64_t from, uint64_t len);
/* A hint that these bytes will be wanted; may be lost. */
void arrival_want(struct arrival *a, uint64_t from, uint64_t len);
/* What is there is wrong: have it fetched once more, and wait for it. Returns as arrival_await(),
 * which is called for the rest; -EIO as well when the writer has ended. */
int arrival_again(struct arrival *a, uint64_t from, uint64_t len, struct err *err);
/* Wait until something has come since *generation, which is updated and may be 0 first, or a second
 * has passed; not after arrivals_interrupt(). */
void arrivals_await_change(struct arrivals *set, uint32_t *generation);
/* How many threads wait for bytes at this moment. */
unsigned arrivals_waiting(const struct arrivals *set);
/* From now on nobody waits; returns when nobody does. Bytes that are there can still be read. */
void arrivals_interrupt(struct arrivals *set);

/* --- both, and others --- */

uint32_t arrivals_files(const struct arrivals *set);
/* `index` < arrivals_files(). */
struct arrival *arrivals_file(struct arrivals *set, uint32_t index);
uint64_t arrival_size(const struct arrival *a);
struct arrivals *arrival_set(const struct arrival *a);
/* A writer that ended before all was there has failed. */
void arrivals_status(const struct arrivals *set, struct arrivals_status *status);
/* The same from the map's file, by whoever can read it. Returns 0, ERR_INTEGRITY, -ENOMEM or what
 * pread(2) gave. */
int arrivals_status_read(int map_fd, struct arrivals_status *status, struct err *err);
/* NULL is fine. Nobody may be waiting. */
void arrivals_free(struct arrivals *set);

static inline void cleanup_arrivals_fn(struct arrivals **set)
{
	arrivals_free(*set);
}

#define cleanup_arrivals __attribute__((cleanup(cleanup_arrivals_fn)))

#endif
