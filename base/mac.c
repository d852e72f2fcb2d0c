/* See mac.h. */
#include "base/mac.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

void mac_format(const uint8_t mac[MAC_SIZE], char text[MAC_TEXT_SIZE])
{
	snprintf(text, MAC_TEXT_SIZE, MAC_FORMAT, MAC_ARGS(mac));
}

bool mac_parse(const char *text, uint8_t mac[MAC_SIZE])
{
	unsigned byte[MAC_SIZE];

	if (strlen(text) != MAC_TEXT_SIZE - 1)
		return false;
	for (size_t i = 0; i < MAC_TEXT_SIZE - 1; i++) {
		if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
			return false;
	}
	if (sscanf(text, "%x:%x:%x:%x:%x:%x", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
		   &byte[5]) != (int)MAC_SIZE)
		return false;
	for (unsigned i = 0; i < MAC_SIZE; i++)
		mac[i] = (uint8_t)byte[i];
	return true;
}

bool mac_is_unicast(const uint8_t mac[MAC_SIZE])
{
	return (mac[0] & 1) == 0 && !is_zero(mac, MAC_SIZE);
}
