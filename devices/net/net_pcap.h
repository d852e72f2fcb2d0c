/*
 * `--pcap FILE`: a back end that carries nothing itself: it writes down every frame that passes
 * (libpcap's file format, nanoseconds, LINKTYPE_ETHERNET) and hands it to the back end behind it.
 */
#ifndef TORPOR_DEVICES_NET_NET_PCAP_H
#define TORPOR_DEVICES_NET_NET_PCAP_H

#include "base/log.h"
#include "devices/net/net.h"

/* Takes over `inner` and `fd` (open for writing, empty), also on error. Returns 0, -ENOMEM, or what
 * write(2) of the file's header gave. A later error ends the capture, with a line in the log;
 * frames still pass. `log` is kept. */
int net_pcap_open(struct net_backend **out, const struct log *log, struct net_backend *inner,
		  int fd, struct err *err);

#endif
