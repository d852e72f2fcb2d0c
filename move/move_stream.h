/*
 * What a machine's source and its target say to each other while it moves, over any two byte
 * streams: the two ends of `ssh HOST torpor receive`, say. Lines before the target's first line,
 * such as a banner of the remote host, are skipped.
 *
 *     target → source   "torpor receive 1\n"            it is there, and speaks version 1
 *     source → target   "torpor move 1\n"               the version that both will speak
 *     source → target   DATA … DATA END                 the appliance, as `save -o -` writes it
 *     target → source   READY                           it is checked and staged: memory, devices,
 *                                                       ports. Nothing runs, but for a GO
 *     source → target   GO                              the source has let go: it will not run
 *                                                       again by itself
 *     source → target   GO_PAUSED, instead of GO        the same of a machine that was paused, and
 *                                                       is to stay so
 *     target → source   RUNNING (name)                  the machine runs there, or is paused there:
 *                                                       the source ends it
 *     target → source   FAILED (text), at any time      it does not run there, and never will
 *
 * The machine never runs on both hosts. The target starts it only after GO. After it the source
 * lets it go on only if the target has said FAILED. If the streams end between GO and RUNNING, the
 * source does not know whether it runs on the target: it stays paused here, and the source says so.
 *
 * Behind the first lines each message is a header of 8 bytes, little-endian (type, length), and its
 * body. A type that is not known ends the talk (ERR_INTEGRITY). A later version that streams memory
 * of a running machine adds types above 15, and says a greater number first.
 *
 * The calls block; one thread for each direction. All return 0 or -errno with *err set; after an
 * error the streams are of no more use.
 */
#ifndef TORPOR_MOVE_MOVE_STREAM_H
#define TORPOR_MOVE_MOVE_STREAM_H

#include <stdint.h>

#include "base/err.h"

#define MOVE_VERSION	  1u
#define MOVE_DATA_MAX	  (1u << 20) /* of a DATA message */
#define MOVE_TEXT_MAX	  1023u	     /* of RUNNING and FAILED */
#define MOVE_PREAMBLE_MAX 65536u     /* of what may come before the target's first line */

enum move_type {
	MOVE_DATA = 1,
	MOVE_END,
	MOVE_READY,
	MOVE_GO,
	MOVE_RUNNING,
	MOVE_FAILED,
	MOVE_GO_PAUSED,
};

struct move_message {
	enum move_type type;
	uint32_t len;		      /* of DATA: that much is to be read from the stream */
	char text[MOVE_TEXT_MAX + 1]; /* of RUNNING and FAILED; hostile: not printable */
};

/* `len` bytes at `body`. Returns 0, -EPIPE with ERR_FAILED when the other side is gone, or the
 * errno of write(2). */
int move_send(int fd, enum move_type type, const void *body, uint32_t len, struct err *err);
/* The next message. Of DATA the body is left in the stream: move_receive_data(). Returns 0, -EPIPE
 * with ERR_FAILED at the end of the stream, -EINVAL with ERR_INTEGRITY for what is no message of
 * this protocol, or the errno of read(2). */
int move_receive(int fd, struct move_message *message, struct err *err);
/* The `len` bytes of a DATA message, which are written to `out` as they come. As move_receive(); or
 * the errno of write(2) to `out`. */
int move_receive_data(int fd, uint32_t len, int out, struct err *err);

/* The first lines; before anything is done to the machine. The source waits for the target's line.
 * Both return 0; -EPIPE with ERR_FAILED when a stream ends first (for the source the text quotes
 * the last line that came); -EINVAL with ERR_INCOMPATIBLE for a version that this one does not
 * speak; or the errno of read(2) or write(2). The source also returns -EINVAL with ERR_FAILED after
 * MOVE_PREAMBLE_MAX bytes of other lines, the target -EINVAL with ERR_USAGE when the first line is
 * not that of a source. */
int move_hello_source(int in, int out, struct err *err);
int move_hello_target(int in, int out, struct err *err);

#endif
