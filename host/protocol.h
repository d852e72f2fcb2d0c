/*
 * The control protocol: one JSON object a line, over the socket `control` in a machine's runtime
 * folder (mode 0600 in a 0700 folder: only the same user gets there). Requests are answered in
 * order; several clients may be connected. A line is at most PROTOCOL_LINE_MAX bytes.
 *
 *     {"do":"status"}    →
 * {"ok":true,"name":…,"pid":…,"state":"running"|"halted"|"paused"|"broken"| "saving","percent":of
 * its save, while that goes on, "error":why it is broken,"memory":bytes,
 *                           "vcpus":n,"started":seconds since 1970,"encrypted":what it saves is}
 *     {"do":"inspect"}   → as status, and "appliance": the description, "wake": see below, "base":
 *                           {"digest","file"} that the next increment is relative to, if any
 *     {"do":"pause"}     → {"ok":true}
 *     {"do":"unpause"}   → {"ok":true}
 *     {"do":"trim","caches":bool}
 *                        → {"ok":true,"able":bool}: the guest was asked to give up its free memory,
 * and its caches; not able: it has no driver for that, or is paused. It gets all back when it goes
 * on after the next save or pause, or after 30 seconds
 *     {"do":"trimming"}  → {"ok":true,"busy":bool,"bytes":in the balloon}
 *     {"do":"save","path":absolute,"leave-running":bool,"parent":absolute,"full":bool,"force":bool}
 *                        → {"ok":true,"path":…,"bytes":n,"seconds":paused,"encrypted":bool,
 *                           "increment":bool,"parent":{"digest","file"} if it is one}; unless left
 * running, the machine ends after the reply. If neither "parent" nor "full" is given, it is
 * relative to "base" where that is in the store. "force" replaces another machine's file in the
 * store. Until the reply "status" and "kill" are answered, any other request by an error that says
 * that the machine is busy; when the client hangs up before the file is in place, the save is
 * cancelled
 *     {"do":"save","stream":true,…}, and a descriptor with it (SCM_RIGHTS)
 *                        → the same without "path": it was written to that
 *     both may have "encrypt":true (which is an error when it has no key) or "decrypt":true
 *     {"do":"key","lock":{…}}, and a descriptor (SCM_RIGHTS) that the key of the lock is read from:
 *                           what is in a line stays in buffers
 *                        → {"ok":true}: what it saves from then on is encrypted with that
 *     {"do":"hold"}, and a descriptor with it: the reading end of a pipe
 *                        → {"ok":true}: it is paused, and held for a move until that pipe is
 * closed: then it goes on as it was. What "save" writes meanwhile ends nothing
 *     {"do":"commit"}    → {"ok":true}: once the pipe is closed it stays paused instead
 *     {"do":"release","moved":bool}
 *                        → {"ok":true}: it is held no more; moved: it ends, for it runs elsewhere
 *     {"do":"stop"}      → {"ok":true}: the power button was pressed
 *     {"do":"kill"}      → {"ok":true}: the machine is about to end
 *     {"do":"stats"}     → {"ok":true,"uptime":seconds,"resident":bytes,"shared":bytes of them that
 *                           are of files,"paging":{"frames":n,"present":n,"faults":n,"filled":n,
 *                           "fault-ns-max":n,"fault-ns-sum":n,"fill":…},"wake":…}; no "paging"
 *                           when all memory was in place from the start;
 *                           with network cards "network":[{"id":…,"kind":"user"|"tap"|"lan"|"none",
 *                           "name":of the tap or LAN,"mac":…,"link":bool,"sent":{"frames":n,
 *                           "bytes":n,"dropped":n},"received":{…}}]; "inspect" has the same without
 *                           the counters
 *     {"do":"ports"}     → {"ok":true,"ports":[{"guest":port,"protocol":"tcp"|"udp","address":…,
 *                           "host":port}]}
 *     {"do":"fill","fill":"none"|"idle"|"full"}
 *                        → {"ok":true}
 *     {"do":"wait","or-broken":bool}
 *                        → when the machine is over and its name is free again:
 *                          {"ok":true,"end":"poweroff"|"killed"|"saved"|"moved"|"failed","error":text};
 *                          if wanted also when it is broken, or the guest has halted for good:
 *                          "end":"broken"|"halted", the name still taken
 *     {"do":"console"}   → {"ok":true}, then the connection is a raw byte stream both ways
 *     {"do":"break"}     → {"ok":true}: the guest's serial console gets a break, behind what was
 *                          typed before
 *
 * "wake", what was done by the guest agent:
 *     {"agent":"waiting"|"present"|"silent"|"absent",
 *      "clock","hooks": each "none" (not owed)|"owed"|"busy"|"done"|"failed", and then
 *      "clock-error","hooks-error": texts, "clock-off": seconds of the guest's clock less ours,
 *      "ran":[{"hook":name,"status":n,"output":text}] or null,
 *      "asleep": seconds from the save to the start, only of a machine that woke,
 *      "seconds": from the start to the last of it}
 *
 * A request that fails: {"ok":false,"kind":"integrity","error":text}; kinds are those of err.h.
 */
#ifndef TORPOR_HOST_PROTOCOL_H
#define TORPOR_HOST_PROTOCOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define PROTOCOL_LINE_MAX 65536u

/* Bytes in, lines out. */
struct line_buffer {
	char *data; /* owned, PROTOCOL_LINE_MAX bytes once used */
	size_t len;
	size_t taken; /* of len, handed out as lines already */
};

void line_buffer_free(struct line_buffer *lines);
/* One read(2) from fd. Returns the number of bytes, 0 at the end, -errno, or -EMSGSIZE when a line
 * does not fit. */
int line_buffer_read(struct line_buffer *lines, int fd);
/* The same from a socket whose peer may send a descriptor along: then *passed is that one, and what
 * it was before is closed. Several at once are closed and change nothing. */
int line_buffer_receive(struct line_buffer *lines, int fd, int *passed);
/* The next whole line, without its newline, or NULL. Valid until the next read. */
char *line_buffer_next(struct line_buffer *lines);
/* What is behind the last line taken. */
const uint8_t *line_buffer_rest(const struct line_buffer *lines, size_t *len);

/* Write a whole message with its newline; the reference to `message` is taken. */
int protocol_send(int fd, json_t *message);
/* The same with a descriptor for the peer. */
int protocol_send_with(int fd, json_t *message, int passed);

json_t *protocol_error(const struct err *err);
/* 0 when the reply says ok; else its error in *err. */
int protocol_check(const json_t *reply, struct err *err);
/* A string of a reply; "" when it has none of that name, as that of a machine of another version
 * may. Valid as long as the object. */
const char *protocol_text(const json_t *object, const char *key);

#endif
