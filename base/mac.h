/* MAC addresses as text: "02:00:00:12:34:56". */
#ifndef TORPOR_BASE_MAC_H
#define TORPOR_BASE_MAC_H

#include <stdbool.h>
#include <stdint.h>

#define MAC_SIZE      6u
#define MAC_TEXT_SIZE 18u /* with the NUL */

/* For printf-like functions: printf(MAC_FORMAT, MAC_ARGS(mac)). */
#define MAC_FORMAT  "%02x:%02x:%02x:%02x:%02x:%02x"
#define MAC_ARGS(m) (m)[0], (m)[1], (m)[2], (m)[3], (m)[4], (m)[5]

void mac_format(const uint8_t mac[MAC_SIZE], char text[MAC_TEXT_SIZE]);

/* Whether the whole text is one address, in digits of either case; if not, `mac` is unchanged. */
bool mac_parse(const char *text, uint8_t mac[MAC_SIZE]);

/* Whether it is the address of one card: neither of a group nor all zero. */
bool mac_is_unicast(const uint8_t mac[MAC_SIZE]);

#endif
