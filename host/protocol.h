/*
 * The control protocol: one JSON object a line, over the socket `control` in a machine's runtime
 * folder (mode 0600 in a 0700 folder: only the same user gets there). Requests are answered in
 * order; several clients may be connected. A line is at most PROTOCOL_LINE_MAX bytes.
 *
 * A request that fails: {"ok":false,"kind":"integrity","error":text}; kinds are those of err.h.
 * Otherwise:
 *
 * {"do":"status"}
 *     → {"ok":true,"name":…,"pid":…,"state":"running"|"halted"|"paused"|"broken"|"saving",
 *       "memory":bytes,"vcpus":n,"started":seconds since 1970,"encrypted":bool}
 *     "encrypted": what it saves is. While it is saved also "percent" of the save, and "saving":
 *     {"done","expected"}, bytes of it (one that is left running is "saving" too, whatever its vCPUs
 *     do); when it is broken "error", the reason.
 * {"do":"inspect"}
 *     → as status, and "appliance": the description, "wake": see below, "sandbox": what confines
 *       the process {"seccomp":filters,"landlock":version,"own-files":bool,
 *       "dumpable":bool,"capabilities":bits}; own-files: it can open no others;
 *       "base":{"digest","file"} that the next increment is relative to, if any, and "network"
 *       as in stats without the counters, if there are cards. A golden machine has "golden":
 *       {"digest":of its file,"resets":n,"kept":bytes of the file that are kept for the next one}
 * {"do":"pause"}
 * {"do":"unpause"}
 *     → {"ok":true}
 * {"do":"reset"}
 *     → {"ok":true,"pages":put back,"memory":seconds for them,"state":seconds for all else,
 *       "seconds":in all}: a golden machine is what its file says again
 * {"do":"seed","seed":64 hex digits,"clock":ns since 1970, or absent}
 *     → {"ok":true}: for a test. The machine, which is paused, has a generation id that is a
 *       function of the seed, as is what its entropy device gives from then on. With "clock" the
 *       guest's clock is to say that as it goes on. A reset undoes all of it.
 * {"do":"changed"}
 *     → {"ok":true,"memory":[256 numbers],"disks":[256 numbers for each disk]}: of a golden
 *       machine, which is paused: pages of the host's size that changed since the last reset, in
 *       each 256th of memory, and blocks of 4 KiB that were written in each 256th of a disk
 * {"do":"trim","caches":bool}
 *     → {"ok":true,"able":bool}
 *     The guest was asked to give up its free memory, and its caches. Not able: it has no driver
 *     for that, or is paused. It gets all back when it goes on after the next save or pause, or
 *     after 30 seconds.
 * {"do":"balloon","bytes":target, or absent,"ask":bool}
 *     → {"ok":true,"balloon":{"target":bytes,"actual":bytes that are in it,"driver":bool,"answers":n,
 *       "guest":{what the guest last said of its memory: "free","total","available","caches",
 *       "swapped-in","swapped-out": bytes; "major-faults","minor-faults","huge-pages",
 *       "huge-page-failures"}}}
 *     "ask": the guest is asked; when it answers "answers" is one more. In stats, which asks, too.
 * {"do":"trimming"}
 *     → {"ok":true,"busy":bool,"bytes":in the balloon}
 * {"do":"save","path":absolute,"as":name,"flat":bool,"level":n,"leave-running":bool,"parent":absolute,
 *  "full":bool,"force":bool,"encrypt":bool,"decrypt":bool,"replaced":digest,"dependent":name},
 *  and a descriptor with it (SCM_RIGHTS): an empty temporary file beside the path
 *     → {"ok":true,"path":…,"publish":true,"bytes":n,"seconds":paused,"encrypted":bool,
 *       "increment":bool,"parent":{"digest","file"} if it is one}
 *     All is in that file then, and on the disk. Unless it goes on, the machine stays paused until the
 *     client has given the file its name and says "published", or hangs up: before the file has its
 *     name the save is cancelled by that, behind it it is done. If neither "parent" nor "full" is given, the
 *     file is relative to "base" where that was given. "replaced" and "dependent" are of the store:
 *     the identity of the file there that has that path, and another one that stands on that.
 *     "force" replaces another machine's file in the store. "copy": nobody keeps the file, and no
 *     increment is relative to it. "encrypt" is an error when the machine
 *     has no key. Until the reply "status" and "kill" are answered, and any other request by an
 *     error that says that the machine is busy.
 *     With "leave-running" the machine goes on long before the reply, and "seconds" is what it stood
 *     still. Until "published" or, for a stream, the reply, everything is answered but what would
 *     change what is saved ("save", "parent", "key", "hold", "reset"): the machine is busy for those. A
 *     save goes on when the guest switches itself off; "kill" ends it.
 * {"do":"published","done":bool}
 *     → {"ok":true}
 *     Done: the machine is saved, and ends unless it was to be left running. Else it is as it was.
 * {"do":"parent","index":n,"path":absolute}, and a descriptor with it; or with "folder":true, without one
 * {"do":"member","name":its name in the layout}, and a descriptor with it: a file of that folder
 *     → {"ok":true}
 *     Before "save": file number n of the increment's parents; number 0 is the newest.
 * {"do":"save","stream":true,…}, and a descriptor with it
 *     → as "save", without "path" and "publish": it was written to the descriptor
 *     Unless left running, the machine ends after the reply.
 * {"do":"key","lock":{…}}, and a descriptor that the key of the lock is read from
 *     → {"ok":true}
 *     What it saves from then on is encrypted with that. The key is not in the line because
 *     lines stay in buffers.
 * {"do":"hold"}, and a descriptor with it: the reading end of a pipe
 *     → {"ok":true,"paused":bool}, paused: it was before
 *     The machine is paused, and held for a move until that pipe is closed: then it goes on as
 *     it was. A "save" meanwhile does not end it.
 * {"do":"commit"}
 *     → {"ok":true}: once the pipe is closed it stays paused instead
 * {"do":"release","moved":bool}
 *     → {"ok":true}: it is held no more. Moved: it ends, for it runs elsewhere
 * {"do":"stop"}
 *     → {"ok":true}: the power button was pressed; where no driver listens to it, the guest's agent is asked, too
 * {"do":"kill"}
 *     → {"ok":true}: the machine is about to end
 * {"do":"stats","usage":bool}
 *     → {"ok":true,"uptime":seconds,"resident":bytes,"shared":bytes of them that are of files,
 *       "cpu":{"vcpus":seconds,"vmm":seconds},"scratch":bytes of the disks' scratch files,
 *       "usage":{"private":bytes,"shared":bytes,"swap":bytes} of memory, if that was asked for,
 *       "paging":{"frames":n,"present":n,"faults":n,"filled":n,"fault-ns-max":n,"fault-ns-sum":n,
 *       "fill":…},"wake":…,"network":[{"id":…,"kind":"user"|"tap"|"lan"|"none","name":of the tap
 *       or LAN,"mac":…,"link":bool,"sent":{"frames":n,"bytes":n,"dropped":n},"received":{…}}]}
 *     No "paging" when all memory was in place from the start; no "network" without cards.
 * {"do":"ports"}
 *     → {"ok":true,"ports":[{"guest":port,"protocol":"tcp"|"udp","address":…,"host":port}]}
 * {"do":"accepted","guest":port,"client":port}
 *     → {"ok":true,"accepted":bool}
 *     Whether the guest has accepted a TCP connection to its port on the user network, from that
 *     port of the client (0: from any), which is still open.
 * {"do":"fill","fill":"none"|"idle"|"full"}
 *     → {"ok":true}
 * {"do":"wait","or-broken":bool}
 *     → when the machine is over and its name is free again:
 *       {"ok":true,"end":"poweroff"|"killed"|"saved"|"moved"|"failed","error":text,
 *        "status":the application's in the guest, if it told one before it switched itself off,
 *        "asked":bool, a "stop" has pressed its power button}
 *     With "or-broken" also when it is broken, or the guest has halted for good:
 *     "end":"broken"|"halted"; the name is still taken then.
 * {"do":"console"}
 *     → {"ok":true}, then the connection is a raw byte stream both ways
 * {"do":"exec"}
 *     → {"ok":true}, then the connection is one command in the guest, in the frames of
 *       guest/exec_frame.h; an error while the machine is paused
 * {"do":"break"}
 *     → {"ok":true}: the guest's serial console gets a break, behind what was typed before
 *
 * "wake", what was done by the guest agent after a resume:
 *
 *     {"agent":"waiting"|"present"|"silent"|"absent",
 *      "random","clock","hooks": each "none" (not owed)|"owed"|"busy"|"done"|"failed", and then
 *      "random-error","clock-error","hooks-error": texts, "clock-off": seconds of the guest's clock less ours,
 *      "ran":[{"hook":name,"status":n,"output":text}] or null,
 *      "asleep": seconds from the save to the start, only of a machine that was resumed,
 *      "seconds": from the start to the last of it}
 *
 * The functions below: any thread, one at a time for each line_buffer and descriptor. The two that
 * read and the two that send block if the descriptor does.
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
/* One read(2) from fd. Returns the number of bytes; 0 at the end; -errno of read(2), such as
 * -EAGAIN or -EINTR; -EMSGSIZE when the line is longer than PROTOCOL_LINE_MAX; or -ENOMEM. */
int line_buffer_read(struct line_buffer *lines, int fd);
/* The same by recvmsg(2) from a socket whose peer may send a descriptor along: then *passed is that
 * one, and what it was before is closed. Several at once are closed and change nothing. */
int line_buffer_receive(struct line_buffer *lines, int fd, int *passed);
/* The next whole line, without its newline, or NULL. Valid until the next read. */
char *line_buffer_next(struct line_buffer *lines);
/* What is behind the last line taken; NULL, with *len 0, before the first read. */
const uint8_t *line_buffer_rest(const struct line_buffer *lines, size_t *len);

/* Write a whole message with its newline; the reference to `message` is taken, also on failure.
 * Returns 0; -ENOMEM, also for NULL, which json_pack() gives without memory; or -errno of
 * sendmsg(2): -EPIPE when the peer is gone, -EAGAIN when a non-blocking socket is full. Part of the
 * message may be sent then: the connection is of no more use. */
int protocol_send(int fd, json_t *message);
/* The same with a descriptor for the peer. */
int protocol_send_with(int fd, json_t *message, int passed);

/* The reply for an error: a new object, or NULL without memory. */
json_t *protocol_error(const struct err *err);
/* Returns 0 when the reply is "ok"; else what err_set() gives for its kind, with its text in *err;
 * ERR_FAILED for a reply that is NULL or has no known kind. */
int protocol_check(const json_t *reply, struct err *err);
/* A string of a reply; "" when it has none of that name, as that of a machine of another version
 * may. Valid as long as the object. */
const char *protocol_text(const json_t *object, const char *key);

#endif
