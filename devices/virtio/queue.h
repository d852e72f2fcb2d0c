/*
 * Split virtqueues (virtio 1.2 §2.7), the device's side.
 *
 * The rings are guest memory and hostile: each field is read once, every address is checked before
 * it is used, walks are bounded, and whatever breaks the rules ends in VQ_BROKEN with a reason; the
 * caller then asks the driver for a reset. A popped element is pushed before the machine is next
 * quiesced, so the saved state is indices only; and its in buffers, noted as written when it is
 * popped, are written before the notes are next collected (vmm/dirty.h).
 *
 * Call order: vq_init once; vq_enable when the driver (or a restore) has set up the queue; then
 * vq_pop, vq_push, vq_wants_interrupt; vq_disable on reset. Machine lock held throughout. Only
 * vq_layout_fault() and vq_pop() report errors.
 */
#ifndef TORPOR_DEVICES_VIRTIO_QUEUE_H
#define TORPOR_DEVICES_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "state/state.h"
#include "vmm/mem.h"

#define VQ_MAX_SIZE	128u /* descriptors a queue may have */
#define VQ_MAX_SEGMENTS 128u /* buffers an element may have */

struct vq_state {
	uint64_t desc;	 /* guest-physical addresses of the descriptor table, */
	uint64_t driver; /* the available ring */
	uint64_t device; /* and the used ring */
	uint16_t size;	 /* descriptors, as the driver chose */
	uint16_t next_avail;
	uint16_t next_used;
	uint8_t ready;
	uint8_t pad;
};

extern const struct state_table vq_state_table;

struct vq_desc;
struct vq_avail;
struct vq_used;

struct vq {
	struct vq_state *s;
	struct mem *mem;
	/* In guest memory, to be read; NULL while the queue is not enabled. */
	const struct vq_desc *desc;
	const struct vq_avail *avail;
	const struct vq_used *used;
	bool event_idx;	    /* VIRTIO_F_EVENT_IDX was negotiated */
	bool indirect;	    /* VIRTIO_F_INDIRECT_DESC was negotiated */
	uint16_t signalled; /* next_used when an interrupt was last considered: at rest, the same */
	const char *fault;  /* why it is broken */
};

/* One chain: first the buffers the device reads (out), then those it writes (in). */
struct vq_elem {
	uint16_t head;
	unsigned nout;
	unsigned nin;
	uint64_t out_len; /* bytes left in the out buffers */
	uint64_t in_len;
	struct iovec *out; /* into iov[] */
	struct iovec *in;
	struct iovec iov[VQ_MAX_SEGMENTS];
};

enum vq_result {
	VQ_EMPTY = 0,
	VQ_ELEMENT = 1,
	VQ_BROKEN = -1, /* q->fault says why; the queue must not be used until a reset */
};

void vq_init(struct vq *q, struct vq_state *state, struct mem *mem);
/* NULL when the layout in `state` is acceptable (§2.7: sizes, alignment, all inside RAM), else why
 * not. */
const char *vq_layout_fault(const struct vq_state *state, const struct mem *mem);
/* Take the rings into use; the layout is acceptable. */
void vq_enable(struct vq *q, bool event_idx, bool indirect);
void vq_disable(struct vq *q);

/* The next available element. An empty queue asks the driver to notify about the next one. */
enum vq_result vq_pop(struct vq *q, struct vq_elem *elem);
/* Give the element back with `len` bytes written into its in buffers. */
void vq_push(struct vq *q, uint16_t head, uint32_t len);
/* Give several elements back so that the driver sees all of them or none. */
struct vq_given {
	uint16_t head;
	uint32_t len;
};
void vq_push_all(struct vq *q, const struct vq_given *given, unsigned n);
/* Whether the driver wants an interrupt for what was pushed since the last call (§2.7.7,
 * §2.7.10). */
bool vq_wants_interrupt(struct vq *q);

/* Whether the driver has made more elements available than were popped. */
bool vq_pending(const struct vq *q);
/* The same; if not, as vq_pop() the driver is asked to notify about the next one. */
bool vq_available(struct vq *q);

/* Have the driver notify about the next element that it makes available, also while there are others. Returns the
 * available index, which is another one then. */
uint16_t vq_await_more(struct vq *q);
uint16_t vq_avail_index(const struct vq *q);

/* The first bytes of the first buffer of the next element, as a hint: vq_pop() reads and checks anew. False when
 * there is none, or `len` bytes are not together. */
bool vq_peek(const struct vq *q, void *dst, uint32_t len);

/* Take back the last vq_pop(): the element is available again, as if it had not been popped.
 * Several in a row take back several. */
void vq_unpop(struct vq *q);

/* Copy from the out buffers, or to the in buffers, up to len bytes, and advance past them. Returns
 * how many there were. */
size_t vq_read(struct vq_elem *elem, void *dst, size_t len);
size_t vq_write(struct vq_elem *elem, const void *src, size_t len);
/* Advance past the next part of the out buffers, or of the in buffers: as many bytes as lie
 * together, at most `most` (not 0). Returns where they are and sets *len; NULL when there are none.
 */
const void *vq_take_out(struct vq_elem *elem, uint64_t most, size_t *len);
void *vq_take_in(struct vq_elem *elem, uint64_t most, size_t *len);
/* Advance past the next byte of the in buffers and return where it is; NULL when there is none. */
uint8_t *vq_skip_in(struct vq_elem *elem);
/* Cut the last byte off the in buffers and return where it is; NULL when there is none. */
uint8_t *vq_cut_last(struct vq_elem *elem);

#endif
