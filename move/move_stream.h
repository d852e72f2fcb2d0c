/*
 * What a machine's source and its target say to each other while it moves, over any two byte
 * streams: the two ends of `ssh HOST torpor receive`, say. No magic of ssh's is needed, and what
 * its banners say before the first line is skipped.
 *
 *     target → source   "torpor receive 1\n"            it is there, and speaks version 1
 *     source → target   "torpor move 1\n"               the version that both will speak
 *     source → target   DATA … DATA END                 the appliance, as `save -o -` writes it
 *     target → source   READY                           it is checked and staged: memory, devices,
 *                                                       ports. Nothing runs, but for a GO
 *     source → target   GO                              the source has let go: it will not run
 *                                                       again by itself
 *     target → source   RUNNING (name)                  the machine runs there: the source ends it
 *     target → source   FAILED (text), at any time      it does not run there, and never will
 *
 * So both never run: the target starts only after GO, and behind GO the source goes on only if the
 * target has said FAILED. If the streams end between GO and RUNNING, nobody knows what became of
 * it: the source stays paused and says so.
 *
 * Behind the first lines each message is a header of 8 bytes, little-endian (type, length), and its
 * body. Types up to 15 end the talk when they are not known; a later version that streams
 * memory of a running machine adds types behind them and says a greater number first.
 *
 * The calls block; one thread for each direction.
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
};

struct move_message {
	enum move_type type;
	uint32_t len;		      /* of DATA: that much is to be read from the stream */
	char text[MOVE_TEXT_MAX + 1]; /* of RUNNING and FAILED; hostile: not printable */
};

/* Returns 0, -EPIPE with ERR_FAILED when the other side is gone, or the errno of write(2). `len`
 * bytes at `body`. */
int move_send(int fd, enum move_type type, const void *body, uint32_t len, struct err *err);
/* The next message. Of DATA the body is left in the stream: move_receive_data(). Returns 0, -EPIPE
 * with ERR_FAILED at the end of the stream, -EINVAL with ERR_INTEGRITY for what is no message of
 * this protocol, or the errno of read(2). */
int move_receive(int fd, struct move_message *message, struct err *err);
/* The `len` bytes of a DATA message, which are written to `out` as they come. As move_receive(); or
 * the errno of write(2) to `out`. */
int move_receive_data(int fd, uint32_t len, int out, struct err *err);

/* The first lines. The source's waits for the target's before anything is done to the machine.
 * -EPIPE when the stream ends first (what came instead is in the error), -EINVAL and
 * ERR_INCOMPATIBLE for a version that this one does not speak. */
int move_hello_source(int in, int out, struct err *err);
int move_hello_target(int in, int out, struct err *err);

#endif
