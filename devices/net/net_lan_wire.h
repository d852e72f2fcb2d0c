/*
 * The protocol on the sockets of a LAN's switch (lan/), all Unix stream sockets in its folder.
 *
 *     port    a machine's card:  GREETING "port MAC NAME\n"; the switch answers "ok\n" or
 *             "no REASON\n"
 *     trunk   another switch:    both say GREETING "trunk ID NAME\n" at once, and "ok\n" or
 *             "no REASON\n" when they have read the greeting of the other
 *     qemu    `-netdev stream`:  no greeting
 *
 * A line ends with \n and is at most LAN_WIRE_LINE_MAX bytes. Behind the lines there are messages:
 * the length, 32 bits, little-endian (big-endian on `qemu`), and so many bytes: a struct
 * virtio_net_hdr_v1 and a frame (on `qemu` the frame alone). On a trunk, a length with
 * LAN_WIRE_NOTE is that of a text for the other switch (lan/trunk.h).
 */
#ifndef TORPOR_DEVICES_NET_NET_LAN_WIRE_H
#define TORPOR_DEVICES_NET_NET_LAN_WIRE_H

#include "devices/net/net.h"

#define LAN_WIRE_GREETING "torpor-lan 1 "
#define LAN_WIRE_LINE_MAX 512u
#define LAN_WIRE_PREFIX	  4u
#define LAN_WIRE_NOTE	  0x80000000u
#define LAN_WIRE_MAX	  (LAN_WIRE_PREFIX + NET_MESSAGE_MAX) /* a message with its length */

#endif
