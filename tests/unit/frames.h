/* Frames made by hand, byte by byte, and a checksum that is slow but obvious. */
#ifndef TORPOR_TESTS_UNIT_FRAMES_H
#define TORPOR_TESTS_UNIT_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_SPACE (14u + 4u + 65535u)

enum frame_tcp { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, ECE = 64, CWR = 128 };

struct frame {
	uint8_t to[6], from[6];
	bool v6;
	bool vlan;
	uint8_t source[16], target[16];
	unsigned options; /* bytes behind the IPv4 header, or of a destination options header */
	uint16_t id;
	uint8_t protocol; /* 6, 17, or any other: `data` follows the IP header */
	uint16_t source_port, target_port;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window;
	uint16_t mss;	      /* with SYN; 0: no option */
	unsigned tcp_options; /* bytes of NOP, a multiple of 4 */
	const uint8_t *data;
	size_t len;
};

/* Where the TCP or UDP header is. */
size_t frame_l4(const struct frame *f);
/* Write it with all its checksums; returns its length. */
size_t frame_make(const struct frame *f, uint8_t *out);
/* The same, but with only the pseudo header's sum in the TCP or UDP checksum. */
size_t frame_make_partial(const struct frame *f, uint8_t *out);
/* RFC 1071, two bytes at a time; big-endian, not complemented. */
uint16_t slow_sum(const uint8_t *data, size_t len, uint32_t sum);
/* Checksums of IPv4's header and of TCP or UDP are right. */
bool frame_is_sound(const uint8_t *frame, size_t len);

uint16_t get16(const uint8_t *p);
uint32_t get32(const uint8_t *p);
void put16(uint8_t *p, uint16_t v);
void put32(uint8_t *p, uint32_t v);

#endif
