/* Between balloon.c, which serves the queues, and balloon_trim.c, which asks for memory. */
#ifndef TORPOR_DEVICES_VIRTIO_BALLOON_INTERNAL_H
#define TORPOR_DEVICES_VIRTIO_BALLOON_INTERNAL_H

#include <linux/virtio_balloon.h>

#include "base/timer.h"
#include "devices/virtio/balloon.h"

#define BALLOON_PAGE   4096u /* whatever the guest's pages are (§5.5.6) */
#define BALLOON_QUEUES 5u

struct balloon_state {
	uint32_t num_pages; /* that we want in the balloon */
	uint32_t actual;    /* that the driver says are in it */
	uint32_t command;   /* free_page_hint_cmd_id */
	uint32_t last_command;
	uint32_t poison; /* what the driver fills free pages with */
	uint32_t target; /* num_pages, when nothing else is asked for */
};

enum balloon_phase {
	BALLOON_IDLE,	 /* nothing is asked for */
	BALLOON_ASKING,	 /* the guest counts its memory, to tell what is available */
	BALLOON_FILLING, /* the balloon grows to num_pages */
	BALLOON_HINTING, /* the guest goes through its free pages */
	BALLOON_GIVEN,	 /* that was all; it waits for its memory */
};

struct virtio_balloon {
	struct virtio_device v;
	struct balloon_state s;
	struct virtio_balloon_config config;
	struct virtio_inflight inflight[BALLOON_QUEUES];
	uint64_t handled[BALLOON_QUEUES];   /* bytes of pages of the request in flight */
	uint64_t available;		    /* bytes, as the guest last reported */
	uint64_t stat[VIRTIO_BALLOON_S_NR]; /* by tag, as it last reported */
	uint32_t stats;			    /* bits: which of them */
	uint64_t answers;		    /* so many reports */
	bool hinting;			    /* the driver has begun to answer s.command */
	bool late; /* hints in the queue were not taken at once: they are not used */

	enum balloon_phase phase;
	uint32_t largest;     /* that s.actual was in this trimming */
	uint64_t progress_ms; /* when the guest last made progress */
	struct timer timer;   /* closed until it is needed */
};

/* Update the configuration space from the state. */
void balloon_update_config(struct virtio_balloon *b);

/* The guest reported `available`; set `actual`; made progress of some kind; finished the command.
 */
void balloon_on_stats(struct virtio_balloon *b);
void balloon_on_actual(struct virtio_balloon *b);
void balloon_note_progress(struct virtio_balloon *b);
void balloon_on_hints_done(struct virtio_balloon *b);
/* The guest may take back what is more than the target. It is not interrupted when nothing changes. */
void balloon_give_back(struct virtio_balloon *b);
void balloon_trim_free(struct virtio_balloon *b);

#endif
